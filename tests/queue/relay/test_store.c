/* The relay's database: what it refuses, what it forgets, and that two processes may use it at once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "queue/relay/store.h"

#define T "acme"
#define PIN "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ID "connector-aaaaaaaa"
#define NOW 1800000000

static char dir[64];
static struct store *store, *other;

static int setup(void **state)
{
        struct error err;

        (void)state;
        snprintf(dir, sizeof(dir), "/tmp/relay-store-XXXXXX");
        assert_non_null(mkdtemp(dir));
        assert_int_equal(store_open(&store, dir, &err), 0);
        assert_int_equal(store_open(&other, dir, &err), 0);
        assert_int_equal(store_tenant_add(store, T, PIN, NOW), 0);
        return 0;
}

static int teardown(void **state)
{
        static const char *const names[] = {"relay.db", "relay.db-wal", "relay.db-shm"};
        char path[128];

        (void)state;
        store = store_free(store);
        other = store_free(other);
        for (size_t i = 0; i < 3; i++) {
                snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                unlink(path);
        }
        return rmdir(dir);
}

static void count(void *arg, const struct store_tenant *t)
{
        (void)t;
        ++*(int *)arg;
}

static void test_tenants(void **state)
{
        struct store_tenant t;
        int n = 0;

        (void)state;
        assert_int_equal(store_tenant_add(other, T, PIN, NOW), -EEXIST);
        assert_int_equal(store_tenant_get(other, "nobody", &t), -ENOENT);
        assert_int_equal(store_tenant_get(other, T, &t), 0);
        assert_string_equal(t.pin, PIN);
        int64_t version = store_version(store);
        assert_int_equal(store_tenant_add(other, "second", PIN, NOW), 0);
        assert_int_not_equal(store_version(store), version);
        assert_int_equal(store_tenants(store, count, &n), 0);
        assert_int_equal(n, 2);
}

static void test_secrets(void **state)
{
        struct store_secret secrets[STORE_SECRETS_MAX];
        uint8_t hash[STORE_HASH_LEN] = {0};
        size_t n;

        (void)state;
        for (uint8_t i = 0; i < STORE_SECRETS_MAX; i++) {
                hash[0] = i;
                assert_int_equal(store_secret_add(store, T, i % 2 ? SECRET_ADMIN : SECRET_SERVICE, hash, NOW), 0);
        }
        hash[0] = 99;
        assert_int_equal(store_secret_add(store, T, SECRET_ADMIN, hash, NOW), -ENOSPC);
        assert_int_equal(store_secrets(other, T, secrets, &n), 0);
        assert_int_equal(n, STORE_SECRETS_MAX);
        assert_int_equal(secrets[1].kind, SECRET_ADMIN);
        assert_int_equal(store_secrets(other, "second", secrets, &n), 0);
        assert_int_equal(n, 0);
}

static int take(struct store *s, const char *tenant, const char *name, const uint8_t *token, uint8_t request,
                int64_t now)
{
        const uint8_t csr[STORE_HASH_LEN] = {request};

        return store_token_take(s, &(struct store_ticket){.tenant = tenant, .name = name, .token = token, .csr = csr},
                                now);
}

static int check(struct store *s, const char *tenant, const char *name, const uint8_t *token, uint8_t request,
                 int64_t now)
{
        const uint8_t csr[STORE_HASH_LEN] = {request};

        return store_token_check(s, &(struct store_ticket){.tenant = tenant, .name = name, .token = token, .csr = csr},
                                 now);
}

static void test_tokens(void **state)
{
        uint8_t hash[STORE_HASH_LEN] = {1}, wrong[STORE_HASH_LEN] = {2};

        (void)state;
        assert_int_equal(store_token_add(store, T, "dc1", hash, NOW + 10), 0);
        assert_int_equal(take(other, T, "dc2", hash, 1, NOW), -EXDEV);
        assert_int_equal(take(other, "second", "dc1", hash, 1, NOW), -EXDEV);
        assert_int_equal(take(other, T, "dc1", wrong, 1, NOW), -EACCES);
        assert_int_equal(take(other, T, "dc1", hash, 1, NOW + 10), -EKEYEXPIRED);
        assert_int_equal(check(other, T, "dc1", hash, 1, NOW), 0);
        assert_int_equal(take(other, T, "dc1", hash, 1, NOW), 0);
        assert_int_equal(check(store, T, "dc1", hash, 2, NOW), -EKEYREVOKED);
        assert_int_equal(take(store, T, "dc1", hash, 2, NOW), -EKEYREVOKED);
}

/* The request that took a token is answered the same for ten minutes, unless its connector was revoked. */
static void test_repeated_request(void **state)
{
        _cleanup_(buffer_free) struct buffer answer = BUFFER(64);
        const uint8_t hash[STORE_HASH_LEN] = {3}, csr[STORE_HASH_LEN] = {1}, csr2[STORE_HASH_LEN] = {2};
        const struct store_ticket its = {.tenant = T, .name = "dc3", .token = hash, .csr = csr},
                                  another = {.tenant = T, .name = "dc3", .token = hash, .csr = csr2};

        (void)state;
        assert_int_equal(store_token_add(store, T, "dc3", hash, NOW + 10), 0);
        assert_int_equal(store_token_answered(store, &its, "early"), -EEXIST);
        assert_int_equal(take(store, T, "dc3", hash, 1, NOW), 0);
        assert_int_equal(store_connector_enrol(store, T, "id-of-dc3", "dc3", NOW), 0);
        assert_int_equal(check(other, T, "dc3", hash, 1, NOW + STORE_REPEAT_S - 1), 1);
        assert_int_equal(check(other, T, "dc4", hash, 1, NOW), -EXDEV);
        assert_int_equal(store_token_answer(other, &its, &answer), -ENOENT);
        assert_int_equal(store_token_answered(other, &another, "its own"), -EEXIST);
        assert_int_equal(store_token_answered(other, &its, "first"), 0);
        assert_int_equal(store_token_answered(store, &its, "second"), -EEXIST);
        assert_int_equal(take(store, T, "dc3", hash, 1, NOW + STORE_REPEAT_S - 1), 1);
        assert_int_equal(store_token_answer(store, &its, &answer), 0);
        assert_string_equal(answer.data, "first");
        assert_int_equal(store_token_answer(store, &another, &answer), -ENOENT);
        assert_int_equal(take(store, T, "dc3", hash, 1, NOW + STORE_REPEAT_S), -EKEYREVOKED);
        assert_int_equal(store_revoke(store, T, "id-of-dc3", NOW), 0);
        assert_int_equal(take(store, T, "dc3", hash, 1, NOW + 1), -EKEYREVOKED);
        assert_int_equal(store_token_answer(store, &its, &answer), -ENOENT);
        assert_int_equal(store_token_answered(store, &its, "third"), -EEXIST);
}

static void keep(void *arg, const struct store_connector *c)
{
        struct store_connector *out = arg;

        *out = *c;
        assert_string_equal(c->jwk, "{\"kty\":\"EC\"}");
        assert_string_equal(c->proof, "a.b.c");
        out->jwk = out->proof = NULL;
}

static void test_connectors(void **state)
{
        struct store_connector c = {.id = ID, .kid = PIN, .since = NOW + 5}, got = {.id = ""};
        char jwk[] = "{\"kty\":\"EC\"}", proof[] = "a.b.c";

        (void)state;
        assert_int_equal(store_connector_get(store, T, ID, &got), -ENOENT);
        assert_int_equal(store_connector_enrol(store, T, ID, "dc1", NOW), 0);
        assert_int_equal(store_connector_enrol(store, T, ID, "dc1", NOW + 1), 0);
        assert_int_equal(store_connector_enrol(store, T, ID, "dc2", NOW), -EEXIST);
        assert_int_equal(store_connector_get(other, T, ID, &got), 0);
        assert_string_equal(got.name, "dc1");
        assert_string_equal(got.kid, "");
        c.jwk = jwk;
        c.proof = proof;
        assert_int_equal(store_identity_put(store, T, &c), 0);
        c.since = NOW + 100; /* the same key again keeps its date */
        assert_int_equal(store_identity_put(store, T, &c), 0);
        assert_int_equal(store_identities(store, T, keep, &got), 0);
        assert_string_equal(got.kid, PIN);
        assert_int_equal(got.since, NOW + 5);
        memcpy(c.id, "connector-bbbbbbbb", 19);
        assert_int_equal(store_identity_put(store, T, &c), -ENOENT);
        assert_int_equal(store_purge(store, NOW + STORE_PENDING_LIFE + 6), 0);
        got.id[0] = '\0';
        assert_int_equal(store_identities(store, T, keep, &got), 0);
        assert_string_equal(got.id, "");
}

static void test_rosters(void **state)
{
        struct buffer text = BUFFER(1024);

        (void)state;
        assert_int_equal(store_roster_get(store, T, &text), -ENOENT);
        assert_int_equal(store_roster_put(store, T, 7, "seven", NOW), 0);
        assert_int_equal(store_roster_put(other, T, 7, "seven again", NOW), -ESTALE);
        assert_int_equal(store_roster_put(other, T, 6, "six", NOW), -ESTALE);
        assert_int_equal(store_roster_put(other, T, 8, "eight", NOW), 0);
        assert_int_equal(store_roster_get(store, T, &text), 0);
        assert_string_equal(text.data, "eight");
        buffer_free(&text);
}

static void test_sign_ins(void **state)
{
        static const char *const tenants[] = {T, T};
        const struct store_sign_in rows[] = {
                {.id = "request-00000001",
                 .at = NOW,
                 .connector = ID,
                 .state = "answered",
                 .handed = 1,
                 .received = 2,
                 .answered = 30},
                {.id = "request-00000002",
                 .at = NOW + 50,
                 .state = "failed",
                 .problem = "busy",
                 .reasons = "full\nno_dc: corp.example",
                 .handed = -1,
                 .received = -1,
                 .answered = -1},
        };
        const struct store_sign_in replayed = {.id = "request-00000001", .at = NOW + 90, .state = "failed"};
        struct store_sign_in got, found[STORE_FOUND_MAX];

        (void)state;
        assert_int_equal(store_sign_ins_put(store, tenants, rows, 2), 0);
        assert_int_equal(store_sign_ins_put(store, tenants, &replayed, 1), 0); /* hides nothing */
        assert_int_equal(store_sign_in_get(other, T, "request-00000001", &got), 0);
        assert_string_equal(got.connector, ID);
        assert_int_equal(got.answered, 30);
        assert_string_equal(got.problem, "");
        assert_string_equal(got.reasons, "");
        assert_int_equal(store_sign_in_get(other, "second", "request-00000001", &got), -ENOENT);
        assert_int_equal(store_sign_ins_find(other, T, "request-0000", found), 2);
        assert_string_equal(found[0].id, "request-00000001");
        assert_string_equal(found[1].problem, "busy");
        assert_int_equal(store_sign_ins_find(other, T, "request-00000002", found), 1);
        assert_int_equal(store_sign_ins_find(other, T, "equest", found), 0);
        assert_int_equal(store_purge(store, NOW + STORE_SIGN_IN_LIFE + 10), 0);
        assert_int_equal(store_sign_in_get(other, T, "request-00000001", &got), -ENOENT);
        assert_int_equal(store_sign_in_get(other, T, "request-00000002", &got), 0);
        assert_string_equal(got.problem, "busy");
        assert_string_equal(got.reasons, "full\nno_dc: corp.example");
        assert_int_equal(got.handed, -1);
}

/* What a sign-in left at the door says least: all else takes its place, and keys take nobody's. */
static void test_rows_of_the_door(void **state)
{
        static const char *const states[] = {"keys", "keys", "refused", "keys", "failed", "refused", "keys"},
                                 *const after[] = {"keys", "keys", "refused", "refused", "failed", "failed", "failed"},
                                 *const tenants[] = {T};
        struct store_sign_in row = {.id = "request-00000007", .at = NOW}, got;

        (void)state;
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
                (void)snprintf(row.state, sizeof(row.state), "%s", states[i]);
                assert_int_equal(store_sign_ins_put(store, tenants, &row, 1), 0);
                assert_int_equal(store_sign_in_get(other, T, row.id, &got), 0);
                assert_string_equal(got.state, after[i]);
        }
}

struct listed {
        size_t n, pending, alarms;
        char text[600];
};

static void list_event(void *arg, const struct store_event *e)
{
        struct listed *l = arg;

        l->n++;
        l->alarms += strcmp(e->name, "connector_runs_twice") == 0;
        if (strcmp(e->name, "connector_pending") == 0 && l->pending++ == 0)
                snprintf(l->text, sizeof(l->text), "%s", e->text);
}

/* However many events of one kind there are, those of others stay; who asks again and again is one. */
static void test_events(void **state)
{
        struct store_event e = {.at = NOW, .name = "connector_runs_twice", .id = ID, .text = "alarm"};
        struct listed l = {.n = 0};

        (void)state;
        assert_int_equal(store_event_add(store, T, &e), 0);
        for (int i = 0; i < 1200; i++) {
                e = (struct store_event){.at = NOW + i, .name = "connector_pending", .id = ID};
                snprintf(e.text, sizeof(e.text), "asks %d", i);
                assert_int_equal(store_event_add(store, T, &e), 0);
        }
        assert_int_equal(store_events(store, T, list_event, &l), 0);
        assert_int_equal(l.pending, 1);
        assert_int_equal(l.alarms, 1);
        assert_string_equal(l.text, "asks 1199");
        for (int i = 0; i < 300; i++) {
                e = (struct store_event){.at = NOW + i, .name = "connector_pending"};
                snprintf(e.id, sizeof(e.id), "connector-%08d", i);
                assert_int_equal(store_event_add(store, T, &e), 0);
                memcpy(e.name, "connector_released", sizeof("connector_released"));
                assert_int_equal(store_event_add(store, T, &e), 0);
        }
        l = (struct listed){.n = 0};
        assert_int_equal(store_events(store, T, list_event, &l), 0);
        assert_int_equal(l.pending, 100);
        assert_int_equal(l.alarms, 1);
        assert_int_equal(l.n, 201);
        e = (struct store_event){
                .at = NOW, .name = "connector_beyond_roster", .id = "connector-of-others", .text = "the other"};
        assert_int_equal(store_event_add(store, T, &e), 0);
        for (int i = 0; i < 300; i++) { /* one that links again and again */
                e = (struct store_event){.at = NOW + i, .name = "connector_beyond_roster", .id = ID};
                assert_int_equal(store_event_add(store, T, &e), 0);
        }
        l = (struct listed){.n = 0};
        assert_int_equal(store_events(store, T, list_event, &l), 0);
        assert_int_equal(l.n, 203);
        e = (struct store_event){.at = NOW, .name = "connector_pending", .id = ID};
        assert_int_equal(store_event_add(store, "nobody", &e), 0); /* a tenant that was removed meanwhile */
        l = (struct listed){.n = 0};
        assert_int_equal(store_events(store, "nobody", list_event, &l), 0);
        assert_int_equal(l.n, 0);
}

/* A renewal that was checked before a revocation, and stored after it, is not good again once the connector has
 * enrolled anew. */
static void test_renewed_in_the_same_moment(void **state)
{
        (void)state;
        assert_int_equal(store_connector_enrol(store, T, "connector-renewed", "renewed", NOW), 0);
        assert_int_equal(store_certificate_add(store, T, "connector-renewed", "aa01", NOW + 1000), 0);
        assert_int_equal(store_revoke(store, T, "connector-renewed", NOW), 1);
        assert_int_equal(store_certificate_add(store, T, "connector-renewed", "aa02", NOW + 1000), 0);
        assert_int_equal(store_is_revoked(store, T, "connector-renewed", "aa02"), 1);
        assert_int_equal(store_connector_enrol(store, T, "connector-renewed", "renewed", NOW), 0);
        assert_int_equal(store_certificate_add(store, T, "connector-renewed", "aa03", NOW + 1000), 0);
        assert_int_equal(store_is_revoked(store, T, "connector-renewed", "aa01"), 1);
        assert_int_equal(store_is_revoked(store, T, "connector-renewed", "aa02"), 1);
        assert_int_equal(store_is_revoked(store, T, "connector-renewed", "aa03"), 0);
        /* who was not revoked and enrols again keeps what it has until the new one is there */
        assert_int_equal(store_connector_enrol(store, T, "connector-renewed", "renewed", NOW), 0);
        assert_int_equal(store_is_revoked(store, T, "connector-renewed", "aa03"), 0);
}

/* A database of before is read and written on. */
static void test_older_database(void **state)
{
        static const char *const tenants[] = {T};
        struct store_sign_in row = {
                .id = "request-00000003", .at = NOW, .state = "failed", .problem = "busy", .reasons = "full"};
        struct store *s = NULL;
        struct error err;
        char path[160], folder[128];
        sqlite3 *db = NULL;

        (void)state;
        snprintf(folder, sizeof(folder), "%s/older", dir);
        snprintf(path, sizeof(path), "%s/relay.db", folder);
        assert_int_equal(mkdir(folder, 0700), 0);
        assert_int_equal(store_open(&s, folder, &err), 0);
        assert_int_equal(store_tenant_add(s, T, PIN, NOW), 0);
        store_free(s);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(
                sqlite3_exec(
                        db,
                        "PRAGMA user_version=0; DROP TABLE barred; DROP INDEX event_kind; CREATE INDEX event_of ON "
                        "event(tenant, n); ALTER TABLE sign_in DROP COLUMN reasons; INSERT INTO sign_in VALUES('" T
                        "', 'request-00000009', 1, NULL, 'failed', 'busy', -1, -1, 3)",
                        NULL, NULL, NULL),
                SQLITE_OK);
        sqlite3_close(db);
        for (int again = 0; again < 2; again++) {
                assert_int_equal(store_open(&s, folder, &err), 0);
                assert_int_equal(store_sign_in_get(s, T, "request-00000009", &row), 0);
                assert_string_equal(row.reasons, "");
                assert_int_equal(store_is_revoked(s, T, ID, "00"), 0);
                memcpy(row.id, "request-00000003", sizeof("request-00000003"));
                memcpy(row.reasons, "full", 5);
                assert_int_equal(store_sign_ins_put(s, tenants, &row, 1), 0);
                assert_int_equal(store_sign_in_get(s, T, "request-00000003", &row), 0);
                assert_string_equal(row.reasons, "full");
                store_free(s);
        }
        /* and one of a later version is not touched */
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=7", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_int_equal(store_open(&s, folder, &err), -EPROTO);
        assert_non_null(strstr(err.text, "version 7"));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
}

static void test_opening(void **state)
{
        struct store *s = NULL;
        struct error err;
        struct stat st;
        char path[128];

        (void)state;
        assert_int_equal(store_open(&s, "/nonexistent/folder", &err), -ENOENT);
        assert_non_null(strstr(err.text, "install -d -m 700 -o USER /nonexistent/folder"));
        assert_null(s);
        snprintf(path, sizeof(path), "%s/relay.db", dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {TEST(test_tenants),        TEST(test_secrets),
                                           TEST(test_tokens),         TEST(test_repeated_request),
                                           TEST(test_connectors),     TEST(test_rosters),
                                           TEST(test_sign_ins),       TEST(test_rows_of_the_door),
                                           TEST(test_events),         TEST(test_renewed_in_the_same_moment),
                                           TEST(test_older_database), TEST(test_opening)};

        return cmocka_run_group_tests_name("relay/store", tests, NULL, NULL);
}
