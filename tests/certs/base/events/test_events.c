/*
 * Records as lines: what is written, that no value forges anything, and the queue in front of a file and of a socket
 * whose receiver is slow, gone, and back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/text.h"
#include "base/events/events.h"

static const struct events_origin origin = {
        .host = "host-1", .program = "postern", .version = "1.0", .run = 1800000000, .pid = 7};

static struct events_record record(void)
{
        return (struct events_record){
                .wall = 1800000001, .kind = "sign_in", .sentence = "a sign-in was refused", .level = LOG_LEVEL_INFO};
}

static const char *render(enum events_form form, const struct events_record *r)
{
        static char out[EVENTS_LINE_MAX + 1];
        const size_t n = events_render(out, form, &origin, 3, r);

        assert_true(n > 0 && n <= EVENTS_LINE_MAX);
        assert_true(utf8_valid(out, n));
        out[n] = '\0';
        assert_int_equal(strlen(out), n);
        return out;
}

static void test_members(void **state)
{
        struct events_record r = record();

        (void)state;
        events_text(&r, "user", "alice");
        events_text(&r, "none", NULL);
        events_text(&r, "empty", "");
        events_number(&r, "ms", -5);
        events_bool(&r, "proved", true);
        assert_string_equal(
                render(EVENTS_JSON, &r),
                "{\"v\":1,\"time\":\"2027-01-15T08:00:01Z\",\"host\":\"host-1\",\"program\":\"postern\",\"run\":"
                "1800000000,\"number\":3,\"kind\":\"sign_in\",\"user\":\"alice\",\"ms\":-5,\"proved\":true}\n");
        r.notice = true;
        assert_string_equal(
                render(EVENTS_SYSLOG, &r),
                "<85>1 2027-01-15T08:00:01Z host-1 postern 7 sign_in [meta sequenceId=\"3\"][origin "
                "software=\"postern\" swVersion=\"1.0\"][postern@32473 v=\"1\" run=\"1800000000\" number=\"3\" "
                "user=\"alice\" ms=\"-5\" proved=\"true\"] a sign-in was refused");
        r.level = LOG_LEVEL_WARNING;
        assert_memory_equal(render(EVENTS_SYSLOG, &r), "<84>1 ", 6);
}

/* Line ends, quotes, brackets, direction marks, bytes that are no UTF-8: nothing ends a value but its end. */
static void test_hostile_values(void **state)
{
        static const char hostile[] = "a\"],b\n<13>1 - - -\r\\\t\x7f\xc2\x85\xe2\x80\xae\xff\xc3(\xe2\x80\xa8"
                                      "é";
        struct events_record r = record();

        (void)state;
        events_text(&r, "x", hostile);
        events_text(&r, "y", "1");
        const char *json = render(EVENTS_JSON, &r);
        assert_non_null(strstr(json, ",\"x\":\"a\\\"],b\\u000a<13>1 - - -\\u000d\\\\\\u0009\\u007f\\u0085\\u202e"
                                     "\xEF\xBF\xBD\xEF\xBF\xBD(\\u2028é\",\"y\":\"1\"}\n"));
        assert_ptr_equal(strchr(json, '\n'), json + strlen(json) - 1);
        const char *syslog = render(EVENTS_SYSLOG, &r);
        assert_non_null(strstr(syslog, " x=\"a\\\"\\],b\\\\u000a<13>1 - - -\\\\u000d\\\\\\\\u0009\\\\u007f\\\\u0085"
                                       "\\\\u202e\xEF\xBF\xBD\xEF\xBF\xBD(\\\\u2028é\" y=\"1\"] a sign-in"));
        for (const char *c = syslog; *c; c++)
                assert_true((unsigned char)*c >= ' ');
}

static void test_bounds(void **state)
{
        static char big[EVENTS_LINE_MAX], quotes[EVENTS_LINE_MAX];
        struct events_record r = record();

        (void)state;
        memset(big, 'b', sizeof(big));
        memset(quotes, '"', sizeof(quotes));
        events_bytes(&r, "big", big, sizeof(big));
        events_bytes(&r, "quotes", quotes, sizeof(quotes));
        assert_non_null(strstr(render(EVENTS_JSON, &r), "bbb...\",\"quotes\":\"\\\""));
        assert_non_null(strstr(render(EVENTS_JSON, &r), "\\\"...\"}\n"));
        while (r.n < EVENTS_FIELDS_MAX)
                events_bytes(&r, "more", big, sizeof(big));
        events_text(&r, "beyond", "x");
        assert_non_null(strstr(render(EVENTS_JSON, &r), ",\"cut\":true}\n"));
        assert_non_null(strstr(render(EVENTS_SYSLOG, &r), " cut=\"true\"] a sign-in was refused"));
        r.wall = INT64_MAX; /* no year that is one: still a line */
        (void)render(EVENTS_JSON, &r);
        (void)render(EVENTS_SYSLOG, &r);
}

/* ---- the queue ---- */

struct rig {
        struct loop *loop;
        struct events_outlet *outlet;
        char folder[64], path[96];
        unsigned lost; /* calls */
};

static void on_lost(void *arg, const char *why)
{
        struct rig *g = arg;

        assert_true(why[0]);
        g->lost++;
}

static void rig_up(struct rig *g, enum events_form form)
{
        *g = (struct rig){.folder = "/tmp/postern-events-XXXXXX"};
        assert_non_null(mkdtemp(g->folder));
        (void)snprintf(g->path, sizeof(g->path), "%s/file", g->folder);
        assert_int_equal(loop_new_fake(&g->loop), 0);
        const struct events_outlet_config config = {
                .loop = g->loop, .form = form, .origin = &origin, .lost = on_lost, .arg = g};
        assert_int_equal(events_outlet_new(&g->outlet, &config), 0);
}

static void rig_down(struct rig *g)
{
        g->outlet = events_outlet_free(g->outlet);
        loop_free(g->loop);
        (void)unlink(g->path);
        assert_int_equal(rmdir(g->folder), 0);
}

static void put_n(struct rig *g, size_t n)
{
        struct events_record r = record();

        for (size_t i = 0; i < n; i++)
                events_outlet_put(g->outlet, &r);
}

static int open_path(const struct rig *g)
{
        int fd = open(g->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        return fd;
}

/* Whole lines in the file, and whether a gap is told among them. */
static size_t lines_of(const struct rig *g, unsigned long *ret_gap)
{
        static char line[EVENTS_LINE_MAX + 2];
        FILE *f = fopen(g->path, "r");
        size_t n = 0;

        *ret_gap = 0;
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                assert_memory_equal(line, "{\"v\":1,", 7);
                assert_string_equal(line + strlen(line) - 2, "}\n");
                const char *gap = strstr(line, "\"kind\":\"gap\",\"lost\":");
                if (gap)
                        *ret_gap += strtoul(gap + 20, NULL, 10);
                n++;
        }
        (void)fclose(f);
        return n;
}

static struct events_state state_of(const struct rig *g)
{
        struct events_state s;

        events_outlet_state(g->outlet, &s);
        return s;
}

static void test_file(void **state)
{
        unsigned long gap;
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_JSON);
        put_n(&g, 3);
        loop_fake_advance(g.loop, 1000);
        assert_false(state_of(&g).open);
        assert_int_equal(state_of(&g).waiting, 3);
        events_outlet_open(g.outlet, open_path(&g));
        loop_fake_advance(g.loop, 1000);
        assert_true(state_of(&g).open);
        assert_int_equal(state_of(&g).sent, 3);
        put_n(&g, 1000);
        loop_fake_advance(g.loop, 1000);
        assert_int_equal(lines_of(&g, &gap), 1003);
        assert_int_equal(gap, 0);
        put_n(&g, 1); /* the end brings out what waits */
        g.outlet = events_outlet_free(g.outlet);
        assert_int_equal(lines_of(&g, &gap), 1004);
        rig_down(&g);
}

/* A disk that is full in the middle of a line: the rest goes on where it stopped, and nothing is lost that fits. */
static void test_full_disk(void **state)
{
        struct rlimit limit = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
        unsigned long gap;
        struct rig g;

        (void)state;
        (void)signal(SIGXFSZ, SIG_IGN);
        rig_up(&g, EVENTS_JSON);
        events_outlet_open(g.outlet, open_path(&g));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        put_n(&g, 20);
        loop_fake_advance(g.loop, 1000);
        assert_false(state_of(&g).open);
        assert_true(state_of(&g).why[0] && state_of(&g).waiting > 0 && state_of(&g).sent > 0);
        limit.rlim_cur = RLIM_INFINITY;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        loop_fake_advance(g.loop, 6000);
        assert_true(state_of(&g).open);
        assert_int_equal(lines_of(&g, &gap), 20);
        assert_int_equal(state_of(&g).lost, 0);
        rig_down(&g);
}

/* Half a line was in a file that is gone: the next one gets it whole. */
static void test_another_file(void **state)
{
        struct rlimit limit = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
        unsigned long gap;
        struct rig g;

        (void)state;
        (void)signal(SIGXFSZ, SIG_IGN);
        rig_up(&g, EVENTS_JSON);
        events_outlet_open(g.outlet, open_path(&g));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        put_n(&g, 20);
        loop_fake_advance(g.loop, 1000);
        limit.rlim_cur = RLIM_INFINITY;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        const uint64_t before = state_of(&g).sent;
        assert_int_equal(unlink(g.path), 0);
        events_outlet_open(g.outlet, open_path(&g));
        loop_fake_advance(g.loop, 1000);
        assert_int_equal(lines_of(&g, &gap), 20 - before);
        rig_down(&g);
}

static void test_gap(void **state)
{
        unsigned long gap;
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_JSON);
        put_n(&g, 100000);
        loop_fake_advance(g.loop, 1000);
        const struct events_state s = state_of(&g);
        assert_int_equal(s.lost + s.waiting, 100000);
        assert_true(s.lost > 1000 && s.lost_last > 0);
        events_outlet_open(g.outlet, open_path(&g));
        loop_fake_advance(g.loop, 1000);
        assert_int_equal(lines_of(&g, &gap) - 1, state_of(&g).sent - 1);
        assert_int_equal(gap + state_of(&g).sent - 1, 100000);
        rig_down(&g);
}

static size_t read_all(int fd)
{
        static char text[EVENTS_LINE_MAX + 1];
        size_t n = 0;
        ssize_t got;

        while ((got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
                text[got] = '\0';
                assert_memory_equal(text, "<", 1);
                assert_null(strchr(text, '\n'));
                n++;
        }
        return n;
}

/* A receiver that is slow gets all of it later; one that is gone is said to be, and nothing is lost till another comes.
 */
static void test_socket(void **state)
{
        size_t got = 0;
        int pair[2];
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_SYSLOG);
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
        events_outlet_open(g.outlet, pair[0]);
        put_n(&g, 5000);
        loop_fake_advance(g.loop, 100);
        assert_false(state_of(&g).open);
        assert_true(state_of(&g).waiting > 0);
        while (got < 5000) {
                const size_t n = read_all(pair[1]);

                assert_true(n > 0);
                got += n;
                loop_run_once(g.loop);
                loop_fake_advance(g.loop, 100);
        }
        assert_true(state_of(&g).open);
        assert_int_equal(g.lost, 0);
        close(pair[1]);
        put_n(&g, 10);
        loop_fake_advance(g.loop, 100);
        assert_int_equal(g.lost, 1);
        assert_int_equal(state_of(&g).waiting, 10);
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
        events_outlet_open(g.outlet, pair[0]);
        loop_fake_advance(g.loop, 100);
        assert_int_equal(read_all(pair[1]), 10);
        assert_int_equal(state_of(&g).lost, 0);
        close(pair[1]);
        rig_down(&g);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_members),   cmocka_unit_test(test_hostile_values),
                cmocka_unit_test(test_bounds),    cmocka_unit_test(test_file),
                cmocka_unit_test(test_full_disk), cmocka_unit_test(test_another_file),
                cmocka_unit_test(test_gap),       cmocka_unit_test(test_socket),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
