/*
 * The ledger's journal on a real disk and a fake clock: batches, searches, trimming, and a disk that is full,
 * read-only or broken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connector/ledger/store.h"
#include "connector/frames/messages.h"
#include "connector/frames/name-hash.h"
#include "tests/valgrind.h"

static const uint8_t hash_key[NAME_HASH_KEY_LEN] = {7};

struct world {
        struct loop *loop;
        struct journal *journal;
        char dir[64];
};

static void open_journal(struct world *w, uint32_t rows)
{
        struct journal_config config = {.loop = w->loop, .key = hash_key, .days = 30, .rows = rows, .retry_ms = 1000};
        struct error err = {""};

        config.dir_fd = open(w->dir, O_DIRECTORY | O_CLOEXEC);
        assert_true(config.dir_fd >= 0);
        if (ledger_journal_new(&w->journal, &config, &err) < 0)
                fail_msg("%s", err.text);
}

static int set_up(void **state)
{
        struct world *w = calloc(1, sizeof(*w));

        (void)snprintf(w->dir, sizeof(w->dir), "/tmp/postern-journal-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        assert_int_equal(loop_new_fake(&w->loop), 0);
        open_journal(w, 1000000);
        *state = w;
        return 0;
}

static int tear_down(void **state)
{
        struct world *w = *state;
        char path[512];

        ledger_journal_free(w->journal);
        loop_free(w->loop);
        DIR *dir = opendir(w->dir);
        for (struct dirent *e; dir && (e = readdir(dir));) {
                (void)snprintf(path, sizeof(path), "%s/%s", w->dir, e->d_name);
                (void)unlink(path);
        }
        if (dir)
                (void)closedir(dir);
        assert_int_equal(chdir("/"), 0);
        (void)rmdir(w->dir);
        free(w);
        return 0;
}

/* ---- rows ---- */

static void give(struct world *w, const struct msg_out *out)
{
        struct msg_in in;

        assert_false(out->overflow);
        assert_int_equal(msg_parse(&in, out->data, out->len), 0);
        ledger_journal_add(w->journal, &in);
}

static void add_record(struct world *w, const char *id, int64_t wall, const char *user, const char *verdict)
{
        char hash[NAME_HASH_TEXT];
        struct msg_out m;

        name_hash(hash_key, user, strlen(user), hash);
        msg_begin(&m, FRAME_RECORD);
        msg_str(&m, TAG_ID, id);
        msg_u64(&m, R_WALL, (uint64_t)wall);
        msg_str(&m, R_USER_MASKED, "x");
        msg_str(&m, R_USER_HASH, hash);
        msg_str(&m, R_VERDICT, verdict);
        msg_u64(&m, R_PROVED, 1);
        msg_u64(&m, R_MS_TOTAL, 12);
        give(w, &m);
}

static void add_delivery(struct world *w, const char *id, const char *state)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DELIVERY);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_DELIVERY, state);
        give(w, &m);
}

static void add_event(struct world *w, const char *name, const char *id)
{
        struct msg_out m;

        msg_begin(&m, FRAME_EVENT);
        msg_str(&m, TAG_NAME, name);
        msg_str(&m, TAG_TEXT, "detail");
        msg_str(&m, TAG_ID, id);
        give(w, &m);
}

static json_t *find(struct world *w, const struct request *request, const char *user, const char *id)
{
        struct store_search search = {.request = request, .id = id};
        char hash[NAME_HASH_TEXT], hashes[NAME_HASH_TEXT + 8], *names = NULL;
        json_t *list = json_array(), *name = json_pack("[s]", user ? user : "");
        struct error err = {""};

        if (user) {
                name_hash(hash_key, user, strlen(user), hash);
                snprintf(hashes, sizeof(hashes), "[\"%s\"]", hash);
                search.hashes = hashes;
                search.names = names = json_dumps(name, JSON_COMPACT);
        }
        if (ledger_journal_search(w->journal, ledger_store_records, &search, list, &err) < 0)
                fail_msg("%s", err.text);
        json_decref(name);
        free(names);
        return list;
}

static size_t found(struct world *w, const struct request *request, const char *user, const char *id)
{
        json_t *list = find(w, request, user, id);
        size_t n = json_array_size(list);

        json_decref(list);
        return n;
}

static size_t count_all(struct world *w)
{
        const struct request all = {.limit = REQUEST_LIMIT_MAX};

        return found(w, &all, NULL, NULL);
}

static void assert_state(struct world *w, const char *expected)
{
        json_t *status = ledger_journal_status(w->journal);

        assert_string_equal(json_string_value(json_object_get(status, "state")), expected);
        json_decref(status);
}

static long long status_number(struct world *w, const char *key)
{
        json_t *status = ledger_journal_status(w->journal);
        long long n = json_integer_value(json_object_get(status, key));

        json_decref(status);
        return n;
}

/* ---- tests ---- */

static void test_rows_survive(void **state)
{
        const struct request all = {.limit = 10};
        struct world *w = *state;

        add_record(w, "A000000000000001", loop_wall(w->loop), "alice@corp.example", "refused");
        add_delivery(w, "A000000000000001", "confirmed");
        add_delivery(w, "A000000000000001", "late"); /* the last word counts */
        ledger_journal_free(w->journal);
        open_journal(w, 1000000);

        json_t *list = find(w, &all, NULL, "A000000000000001");
        assert_int_equal(json_array_size(list), 1);
        json_t *r = json_array_get(list, 0);
        assert_string_equal(json_string_value(json_object_get(r, "verdict")), "refused");
        assert_string_equal(json_string_value(json_object_get(r, "delivery")), "late");
        assert_true(json_is_true(json_object_get(r, "password_proved")));
        assert_int_equal(json_integer_value(json_object_get(r, "ms_total")), 12);
        assert_null(json_object_get(r, "user"));
        assert_null(json_object_get(r, "user_hash"));
        json_decref(list);
}

static void test_batches(void **state)
{
        struct world *w = *state;

        add_event(w, "one", NULL);
        assert_int_equal(status_number(w, "in_memory"), 1);
        loop_fake_advance(w->loop, 99);
        assert_int_equal(status_number(w, "in_memory"), 1);
        loop_fake_advance(w->loop, 2);
        assert_int_equal(status_number(w, "in_memory"), 0);
        for (int i = 0; i < 100; i++)
                add_event(w, "many", NULL);
        loop_fake_advance(w->loop, 0);
        loop_run_once(w->loop);
        assert_int_equal(status_number(w, "in_memory"), 0);
}

static void test_searches(void **state)
{
        struct request r = {.limit = 10};
        struct world *w = *state;
        int64_t now = loop_wall(w->loop);

        add_record(w, "A000000000000001", now - 100, "alice@corp.example", "accepted");
        add_record(w, "A000000000000002", now - 50, "Alice@Corp.Example", "refused");
        add_record(w, "A000000000000003", now, "bob", "unavailable");
        assert_int_equal(found(w, &r, NULL, NULL), 3);
        assert_int_equal(found(w, &r, "ALICE@corp.example", NULL), 2); /* by hash: the name itself isn't kept */
        assert_int_equal(found(w, &r, "carol", NULL), 0);
        assert_int_equal(found(w, &r, "'; DROP TABLE records; --", NULL), 0);
        assert_int_equal(found(w, &r, NULL, "A000000000000003"), 1);
        r.since = now - 60;
        assert_int_equal(found(w, &r, NULL, NULL), 2);
        r.until = now - 10;
        assert_int_equal(found(w, &r, NULL, NULL), 1);
        r = (struct request){.limit = 10, .verdict = "refused"};
        assert_int_equal(found(w, &r, NULL, NULL), 1);
        r = (struct request){.limit = 2};
        json_t *list = find(w, &r, NULL, NULL);
        assert_int_equal(json_array_size(list), 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), "A000000000000003");
        json_decref(list);
}

static void test_events(void **state)
{
        const struct request r = {.limit = 10, .events = true};
        struct store_search search = {.request = &r, .id = "A000000000000001"};
        struct world *w = *state;
        json_t *list = json_array();
        struct error err;

        add_event(w, "declined", "A000000000000001");
        add_event(w, "link.up", NULL);
        assert_int_equal(ledger_journal_search(w->journal, ledger_store_events, &search, list, &err), 0);
        assert_int_equal(json_array_size(list), 1);
        search.id = NULL;
        json_array_clear(list);
        assert_int_equal(ledger_journal_search(w->journal, ledger_store_events, &search, list, &err), 0);
        assert_int_equal(json_array_size(list), 2);
        json_decref(list);
}

static void test_trims_by_age_and_number(void **state)
{
        struct world *w = *state;
        int64_t now = loop_wall(w->loop);
        char id[32];

        add_record(w, "OLD0000000000001", now - 31 * 86400, "alice", "refused");
        add_record(w, "NEW0000000000001", now, "alice", "refused");
        ledger_journal_flush(w->journal);
        loop_fake_advance(w->loop, 2000);
        assert_int_equal(count_all(w), 1);

        for (int i = 0; i < 150; i++) {
                (void)snprintf(id, sizeof(id), "N%015d", i);
                add_record(w, id, now, "alice", "refused");
        }
        ledger_journal_free(w->journal);
        open_journal(w, 100);
        loop_fake_advance(w->loop, 601000);
        assert_int_equal(count_all(w), 100);
        const struct request one = {.limit = 1};
        assert_int_equal(found(w, &one, NULL, "N000000000000149"), 1); /* the newest stay */
        assert_int_equal(found(w, &one, NULL, "NEW0000000000001"), 0);
}

/* The limit on a file's length stands for a full disk: the same write fails, with another code. */
static void test_full_disk(void **state)
{
        struct world *w = *state;
        struct rlimit before, none;
        char id[32];

        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        none = before;
        none.rlim_cur = 100 * 1024;
        add_record(w, "B000000000000001", loop_wall(w->loop), "alice", "refused");
        ledger_journal_flush(w->journal);
        assert_state(w, "ok");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        for (int i = 0; i < 2000; i++) {
                (void)snprintf(id, sizeof(id), "F%015d", i);
                add_record(w, id, loop_wall(w->loop), "alice", "refused");
                if (i % 100 == 99)
                        loop_fake_advance(w->loop, 10);
        }
        ledger_journal_flush(w->journal);
        assert_state(w, "degraded");
        assert_true(status_number(w, "in_memory") > 0);
        const struct request one = {.limit = 1};
        assert_int_equal(found(w, &one, NULL, "F000000000001999"), 1); /* memory answers */
        loop_fake_advance(w->loop, 3000);
        assert_state(w, "degraded"); /* it tried, and it is still full */

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        loop_fake_advance(w->loop, 1100);
        assert_state(w, "ok");
        assert_int_equal(status_number(w, "in_memory"), 0);
        assert_int_equal(status_number(w, "dropped"), 0);
        assert_int_equal(status_number(w, "rows"), 2001); /* nothing lost, nothing twice */
        ledger_journal_free(w->journal);
        open_journal(w, 1000000);
        assert_int_equal(found(w, &one, NULL, "B000000000000001"), 1);
        assert_int_equal(found(w, &one, NULL, "F000000000001999"), 1);
}

static void test_memory_is_bounded(void **state)
{
        struct world *w = *state;
        char path[128], id[32];

        if (in_valgrind())
                skip();
        ledger_journal_free(w->journal);
        (void)snprintf(path, sizeof(path), "%s/ledger.db", w->dir);
        int fd = open(path, O_WRONLY | O_TRUNC);
        for (int i = 0; i < 200; i++)
                assert_int_equal(write(fd, "this is not a database, not at all\n", 35), 35);
        close(fd);
        open_journal(w, 1000000);
        assert_state(w, "degraded");
        for (int i = 0; i < JOURNAL_MEMORY_ROWS + 3000; i++) {
                (void)snprintf(id, sizeof(id), "M%015d", i);
                add_record(w, id, loop_wall(w->loop), "alice", "refused");
                if (i % 500 == 0)
                        ledger_journal_flush(w->journal);
        }
        ledger_journal_flush(w->journal);
        assert_int_equal(status_number(w, "in_memory"), JOURNAL_MEMORY_ROWS);
        assert_int_equal(status_number(w, "dropped"), 3000);
        assert_int_equal(unlink(path), 0);
        loop_fake_advance(w->loop, 1100);
        assert_state(w, "ok");
        assert_int_equal(status_number(w, "rows"), JOURNAL_MEMORY_ROWS);
}

static void test_pending_is_bounded(void **state)
{
        struct world *w = *state;

        for (int i = 0; i < JOURNAL_PENDING_MAX + 5; i++)
                add_event(w, "flood", NULL);
        assert_int_equal(status_number(w, "in_memory"), JOURNAL_PENDING_MAX);
        assert_int_equal(status_number(w, "dropped"), 5);
}

/* A frame that can't be a row is skipped; those around it are kept. */
static void test_bad_frames(void **state)
{
        struct world *w = *state;
        struct msg_out m;

        add_record(w, "A000000000000001", loop_wall(w->loop), "alice", "refused");
        msg_begin(&m, FRAME_RECORD); /* no id */
        msg_u64(&m, R_WALL, 5);
        give(w, &m);
        msg_begin(&m, FRAME_RECORD);
        msg_str(&m, TAG_ID, "A000000000000002");
        msg_u64(&m, R_WALL, 5);
        msg_bytes(&m, R_USER, "\xff\xfe", 2);
        give(w, &m);
        msg_begin(&m, FRAME_DELIVERY); /* nothing at all */
        give(w, &m);
        add_record(w, "A000000000000003", loop_wall(w->loop), "alice", "refused");
        assert_int_equal(count_all(w), 2);
        assert_state(w, "ok");
}

static void test_other_version(void **state)
{
        struct world *w = *state;
        struct store *store = NULL;
        struct error err = {""};
        int fd = open(w->dir, O_DIRECTORY);
        char path[128];

        ledger_journal_free(w->journal);
        w->journal = NULL;
        (void)snprintf(path, sizeof(path), "%s/ledger.db", w->dir);
        int db = open(path, O_RDWR);
        assert_int_equal(pwrite(db, "\0\0\0\x09", 4, 60), 4); /* user_version in the database's header */
        close(db);
        assert_int_equal(ledger_store_open(&store, fd, NULL, &err), -EPROTO);
        assert_non_null(strstr(err.text, "version 9"));
        close(fd);
        open_journal(w, 1000000);
        assert_state(w, "degraded");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_rows_survive, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_batches, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_searches, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_events, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_trims_by_age_and_number, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_memory_is_bounded, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_pending_is_bounded, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bad_frames, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_other_version, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
