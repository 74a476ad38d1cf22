/* A table of frames, and a channel that is held to one: what the table does not allow is neither sent nor handed on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/core/log.h"
#include "base/ipc/frames.h"

enum { ASK = 1, ANSWER, FILE_OF };
enum { WORD = 1, COUNT, BLOB };
enum { LEFT, RIGHT, OTHER };

static const struct frame_rule rules[] = {
        {.type = ASK, .name = "ASK", .about = "", .from = 1, .to = 2, .needs = {WORD}, .may = {COUNT}},
        {.type = ANSWER, .name = "ANSWER", .about = "", .from = 2 | 4, .to = 1, .needs = {BLOB}},
        {.type = FILE_OF, .name = "FILE_OF", .about = "", .from = 1, .to = 2, .fd = FRAME_FD_NEEDED},
};
static const struct frame_tag_rule tags[] = {
        {WORD, FIELD_TEXT, 5, "WORD", ""}, {COUNT, FIELD_NUMBER, 0, "COUNT", ""}, {BLOB, FIELD_BYTES, 0, "BLOB", ""}};
static const char *const parts[] = {"left", "right", "other"};
static const struct frame_table table = {rules, 3, tags, 3, parts, 3};

static int check(const struct msg_out *out, bool has_fd, unsigned from, unsigned to, const char *why)
{
        struct msg_in in;
        struct error err = {""};

        assert_int_equal(msg_parse(&in, out->data, out->len), 0);
        int r = frame_check(&table, &in, has_fd, from, to, &err);
        if (why)
                assert_non_null(strstr(err.text, why));
        return r;
}

static void ask(struct msg_out *m, const char *word)
{
        msg_begin(m, ASK);
        msg_str(m, WORD, word);
}

static void test_who_speaks_to_whom(void **state)
{
        struct msg_out m;

        (void)state;
        ask(&m, "what");
        assert_int_equal(check(&m, false, LEFT, RIGHT, NULL), 0);
        assert_int_equal(check(&m, false, RIGHT, LEFT, "a frame ASK does not go from right to left"), -EPERM);
        assert_int_equal(check(&m, false, LEFT, OTHER, "from left to other"), -EPERM);
        assert_int_equal(check(&m, false, 9, RIGHT, "from ? to right"), -EPERM);
        msg_begin(&m, 77);
        assert_int_equal(check(&m, false, LEFT, RIGHT, "no frame 77"), -EPERM);
        msg_begin(&m, ANSWER);
        msg_bytes(&m, BLOB, "\0\xff", 2);
        assert_int_equal(check(&m, false, RIGHT, LEFT, NULL), 0);
        assert_int_equal(check(&m, false, OTHER, LEFT, NULL), 0);
}

static void test_what_is_in_it(void **state)
{
        struct msg_out m;

        (void)state;
        msg_begin(&m, ASK);
        assert_int_equal(check(&m, false, LEFT, RIGHT, "ASK came without WORD"), -EBADMSG);
        ask(&m, "longer");
        assert_int_equal(check(&m, false, LEFT, RIGHT, "WORD of frame ASK has 6 bytes; at most 5"), -EBADMSG);
        ask(&m, "\xff");
        assert_int_equal(check(&m, false, LEFT, RIGHT, "WORD of frame ASK is not text"), -EBADMSG);
        msg_begin(&m, ASK);
        msg_bytes(&m, WORD, "a\0b", 3);
        assert_int_equal(check(&m, false, LEFT, RIGHT, "is not text"), -EBADMSG);
        ask(&m, "what");
        msg_str(&m, COUNT, "3");
        assert_int_equal(check(&m, false, LEFT, RIGHT, "COUNT of frame ASK is not a number"), -EBADMSG);
        ask(&m, "what");
        msg_u64(&m, COUNT, 3);
        assert_int_equal(check(&m, false, LEFT, RIGHT, NULL), 0);
        msg_bytes(&m, BLOB, "x", 1);
        assert_int_equal(check(&m, false, LEFT, RIGHT, "ASK has no tag BLOB"), -EBADMSG);
        ask(&m, "what");
        msg_bytes(&m, 99, "x", 1);
        assert_int_equal(check(&m, false, LEFT, RIGHT, "ASK has no tag ? (99)"), -EBADMSG);
        ask(&m, "what");
        assert_int_equal(check(&m, true, LEFT, RIGHT, "ASK came with a descriptor"), -EBADMSG);
        msg_begin(&m, FILE_OF);
        assert_int_equal(check(&m, true, LEFT, RIGHT, NULL), 0);
        assert_int_equal(check(&m, false, LEFT, RIGHT, "FILE_OF came without descriptor"), -EBADMSG);
}

static void test_tables(void **state)
{
        struct frame_rule twice[] = {rules[0], rules[0]}, nobody = rules[0], unknown = rules[0];
        struct frame_table t = table;
        struct error err = {""};

        (void)state;
        assert_int_equal(frame_table_check(&table, &err), 0);
        t.frames = twice;
        t.n_frames = 2;
        assert_int_equal(frame_table_check(&t, &err), -EINVAL);
        nobody.to = 8;
        t.frames = &nobody;
        t.n_frames = 1;
        assert_int_equal(frame_table_check(&t, &err), -EINVAL);
        unknown.may[0] = 50;
        t.frames = &unknown;
        assert_int_equal(frame_table_check(&t, &err), -EINVAL);
        t = table;
        t.n_tags = 2;
        assert_int_equal(frame_table_check(&t, &err), -EINVAL);
}

/* ---- channels ---- */

struct end {
        struct ipc *ipc;
        size_t n, n_refused;
        uint8_t refused;
};

static void on_frame(void *arg, const struct msg_in *m, int fd)
{
        struct end *e = arg;

        (void)m;
        if (fd >= 0)
                close(fd);
        e->n++;
}

static void on_closed(void *arg, const char *why)
{
        (void)arg;
        fail_msg("%s", why);
}

static void on_refused(void *arg, uint8_t type, const char *why)
{
        struct end *e = arg;

        assert_non_null(strstr(why, "frame"));
        e->refused = type;
        e->n_refused++;
}

static void test_a_channel(void **state)
{
        struct end left = {0}, right = {0};
        struct loop *loop;
        struct msg_out m;
        int fds[2];

        (void)state;
        log_open("test", LOG_LEVEL_ERROR, NULL);
        assert_int_equal(loop_new(&loop), 0);
        assert_int_equal(ipc_pair(fds), 0);
        assert_int_equal(ipc_new(&left.ipc, loop, fds[0], on_frame, on_closed, &left), 0);
        assert_int_equal(ipc_new(&right.ipc, loop, fds[1], on_frame, on_closed, &right), 0);
        ipc_set_rules(right.ipc, &table, RIGHT, LEFT, on_refused);

        /* the peer has no scruples: nothing of it arrives, what is right does, and the owner is told once */
        for (int i = 0; i < 3; i++) {
                msg_begin(&m, ANSWER);
                msg_str(&m, BLOB, "x");
                assert_int_equal(ipc_send(left.ipc, &m), 0);
        }
        ask(&m, "too long");
        assert_int_equal(ipc_send(left.ipc, &m), 0);
        msg_begin(&m, FILE_OF);
        assert_int_equal(ipc_send_fd(left.ipc, &m, 0), 0);
        ask(&m, "what");
        assert_int_equal(ipc_send(left.ipc, &m), 0);
        loop_run_once(loop);
        assert_int_equal(right.n, 2);
        assert_int_equal(right.n_refused, 1);
        assert_int_equal(right.refused, ANSWER);

        /* and this side sends nothing that it may not */
        assert_int_equal(ipc_send(right.ipc, &m), -EPROTO);
        msg_begin(&m, ANSWER);
        assert_int_equal(ipc_send(right.ipc, &m), -EPROTO);
        msg_str(&m, BLOB, "x");
        assert_int_equal(ipc_send_fd(right.ipc, &m, 0), -EPROTO);
        assert_int_equal(ipc_send(right.ipc, &m), 0);
        loop_run_once(loop);
        assert_int_equal(left.n, 1);
        ipc_free(left.ipc);
        ipc_free(right.ipc);
        loop_free(loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_speaks_to_whom),
                cmocka_unit_test(test_what_is_in_it),
                cmocka_unit_test(test_tables),
                cmocka_unit_test(test_a_channel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
