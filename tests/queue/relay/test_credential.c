/* Whether a certificate counts, on a fake clock: dates, revocation, and a clock that jumps. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/core/text.h"
#include "tests/queue/relay/no_store.h"

#define T "acme"
#define PIN "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ID "connector-aaaaaaaa"
#define SERIAL "00112233445566778899"
#define HOUR 3600

static struct relay_config config = {.sign_in_burst = 10};
static struct relay relay;
static struct store *store;
static char dir[64];

/* ---- the store process, played by this one ---- */

static void store_it(const char *tenant, const struct store_event *event)
{
        assert_int_equal(store_event_add(store, tenant, event), 0);
}

static void take_member(void *arg, const struct store_member *member)
{
        struct store_image *image = arg;

        assert_true(image->n_members < 4);
        image->members[image->n_members++] = *member;
}

static void take_serial(void *arg, const struct store_serial *serial)
{
        struct store_image *image = arg;

        assert_true(image->n_revoked < 4);
        image->revoked[image->n_revoked++] = *serial;
}

/* The relay hears what the database has. */
static void tell(void)
{
        struct store_member members[4];
        struct store_serial revoked[4];
        struct store_image image = {.members = members, .revoked = revoked};

        assert_int_equal(store_tenant_get(store, T, &image.tenant), 0);
        assert_int_equal(store_members(store, T, take_member, &image), 0);
        assert_int_equal(store_revoked(store, T, take_serial, &image), 0);
        tenants_told.image(&relay, &image);
}

static int setup(void **state)
{
        struct error err;

        (void)state;
        memset(&relay, 0, sizeof(relay));
        LIST_INIT(&relay.tenants);
        relay.config = &config;
        no_store_event = store_it;
        snprintf(dir, sizeof(dir), "/tmp/relay-credential-XXXXXX");
        assert_non_null(mkdtemp(dir));
        assert_int_equal(loop_new_fake(&relay.loop), 0);
        assert_int_equal(store_open(&store, dir, &err), 0);
        assert_int_equal(store_tenant_add(store, T, PIN, loop_wall(relay.loop)), 0);
        assert_int_equal(store_connector_enrol(store, T, ID, "dc1", loop_wall(relay.loop)), 0);
        assert_int_equal(store_certificate_add(store, T, ID, SERIAL, loop_wall(relay.loop) + HOUR), 0);
        tell();
        clock_start(&relay);
        return 0;
}

static int teardown(void **state)
{
        static const char *const names[] = {"relay.db", "relay.db-wal", "relay.db-shm"};
        struct tenant *t;
        char path[128];

        (void)state;
        while ((t = LIST_FIRST(&relay.tenants)))
                tenant_free(t);
        table_clear(&relay.by_name);
        table_clear(&relay.members);
        table_clear(&relay.revoked);
        store = store_free(store);
        relay.loop = loop_free(relay.loop);
        for (size_t i = 0; i < 3; i++) {
                snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                (void)unlink(path);
        }
        assert_int_equal(rmdir(dir), 0);
        return 0;
}

/* One that began and ends so many seconds from now. */
static struct credential made(int64_t from, int64_t to)
{
        return (struct credential){.tenant = T,
                                   .id = ID,
                                   .serial = SERIAL,
                                   .not_before = loop_wall(relay.loop) + from,
                                   .not_after = loop_wall(relay.loop) + to};
}

static int judged(const struct credential *c)
{
        struct peer peer;
        struct error err = {""};
        int r = credential_check(&relay, c, &peer, &err);

        if (r == 0)
                assert_string_equal(peer.connector.name, "dc1");
        else
                assert_true(err.text[0]);
        return r;
}

struct count {
        const char *name;
        size_t n;
};

static void count_event(void *arg, const struct store_event *e)
{
        struct count *c = arg;

        c->n += strcmp(e->name, c->name) == 0;
}

static size_t events(const char *name)
{
        struct count c = {.name = name};

        assert_int_equal(store_events(store, T, count_event, &c), 0);
        return c.n;
}

static void test_dates(void **state)
{
        const struct credential good = made(-10, HOUR), early = made(60, HOUR), late = made(-HOUR, -1);

        (void)state;
        assert_int_equal(judged(&good), 0);
        assert_int_equal(judged(&early), -EKEYEXPIRED);
        assert_int_equal(judged(&late), -EKEYEXPIRED);
        loop_fake_advance(relay.loop, HOUR * 1000);
        clock_look(&relay);
        assert_int_equal(judged(&good), 0);
        loop_fake_advance(relay.loop, 1000);
        assert_int_equal(judged(&good), -EKEYEXPIRED);
}

static void test_whose_it_is(void **state)
{
        struct credential c = made(-10, HOUR);

        (void)state;
        memcpy(c.id, "connector-bbbbbbbb", sizeof("connector-bbbbbbbb"));
        assert_int_equal(judged(&c), -ENOENT);
        c = made(-10, HOUR);
        memcpy(c.tenant, "other", sizeof("other"));
        assert_int_equal(judged(&c), -ENOENT);
}

/* The identity is barred: whatever certificate it shows, until it has enrolled again; and then not by the old one. */
static void test_revocation(void **state)
{
        struct credential c = made(-10, HOUR), unstored = c;

        (void)state;
        memcpy(unstored.serial, "99", 3);
        assert_int_equal(judged(&unstored), 0);
        assert_int_equal(store_revoke(store, T, ID, loop_wall(relay.loop)), 1);
        tell();
        assert_int_equal(judged(&c), -EKEYREVOKED);
        assert_int_equal(judged(&unstored), -EKEYREVOKED);
        assert_int_equal(store_connector_enrol(store, T, ID, "dc1", loop_wall(relay.loop)), 0);
        tell();
        assert_int_equal(judged(&c), -EKEYREVOKED);
        assert_int_equal(judged(&unstored), 0);
}

static void test_a_clock_that_jumps(void **state)
{
        static const int64_t jumps[] = {10 * HOUR, -10 * HOUR, INT64_C(10) * 365 * 86400};
        int64_t from;

        (void)state;
        for (size_t i = 0; i < 3; i++) {
                const struct credential here = made(-10, HOUR), there = made(jumps[i] - 10, jumps[i] + HOUR),
                                        nowhere = made(jumps[2] * 2, jumps[2] * 3);
                from = loop_wall(relay.loop);
                assert_int_equal(judged(&there), -EKEYEXPIRED);
                loop_fake_move_wall(relay.loop, jumps[i]);
                clock_look(&relay);
                clock_look(&relay);
                assert_int_equal(events("relay_clock_jumped"), i + 1);
                assert_int_equal(judged(&here), 0);
                assert_int_equal(judged(&there), 0);
                assert_int_equal(judged(&nowhere), -EKEYEXPIRED);
                assert_int_equal(clock_earliest(&relay), jumps[i] < 0 ? from + jumps[i] : from);
                assert_int_equal(clock_latest(&relay), jumps[i] < 0 ? from : from + jumps[i]);
                if (i == 2)
                        break;
                loop_fake_move_wall(relay.loop, -jumps[i]); /* it is mended */
                clock_look(&relay);
                assert_int_equal(events("relay_clock_trusted"), i + 1);
                assert_int_equal(judged(&here), 0);
                assert_int_equal(judged(&there), -EKEYEXPIRED);
        }
        const struct credential old = made(-jumps[2], HOUR - jumps[2]);
        assert_int_equal(judged(&old), 0);
        clock_trust(&relay); /* it is right now: somebody has said so */
        assert_int_equal(judged(&old), -EKEYEXPIRED);
        clock_look(&relay);
        assert_int_equal(events("relay_clock_trusted"), 3);
}

static void test_a_clock_that_is_set_by_and_by(void **state)
{
        const struct credential c = made(-10, HOUR);

        (void)state;
        for (int i = 0; i < 20; i++) {
                loop_fake_move_wall(relay.loop, 300);
                clock_look(&relay);
        }
        assert_int_equal(events("relay_clock_jumped"), 0);
        assert_int_equal(judged(&c), -EKEYEXPIRED);
}

/* ---- rosters and statements ---- */

static struct statement *make_statement(const struct key *identity, const struct key *enc, uint64_t seq, int64_t now)
{
        struct statement *s = calloc(1, sizeof(*s));
        struct error err = {""};

        assert_non_null(s);
        assert_int_equal(text_set(&s->tenant, T), 0);
        assert_int_equal(text_set(&s->iss, ID), 0);
        memcpy(s->boot, "AAAAAAAAAAAAAAAAAAAAAA", sizeof("AAAAAAAAAAAAAAAAAAAAAA"));
        s->seq = seq;
        s->n_keys = 1;
        s->keys[0] = (struct statement_key){key_ref((struct key *)(uintptr_t)enc), now - 60, now + 86400};
        s->realms = calloc(1, sizeof(char *));
        s->n_realms = 1;
        assert_int_equal(text_set(&s->realms[0], "corp.example"), 0);
        assert_int_equal(statement_sign(s, identity, now, HOUR, &err), 0);
        return s;
}

static void test_what_else_ends_by_the_clock(void **state)
{
        const int64_t now = loop_wall(relay.loop);
        struct key *tenant_key, *identity, *enc;
        struct statement *s, *newer;
        struct roster *roster, *verified;
        struct error err = {""};
        struct tenant *t;

        (void)state;
        assert_int_equal(key_generate(&tenant_key, &err), 0);
        assert_int_equal(key_generate(&identity, &err), 0);
        assert_int_equal(key_generate(&enc, &err), 0);
        assert_int_equal(roster_new(&roster, T, tenant_key), 0);
        assert_int_equal(roster_add(roster, false, ID, "dc1", identity, &err), 0);
        assert_int_equal(roster_sign(roster, tenant_key, now, 2 * HOUR, &err), 0);
        assert_int_equal(
                roster_verify(&verified, roster->text, strlen(roster->text), key_pin(tenant_key), T, now, 0, &err), 0);
        assert_int_equal(tenant_get(&relay, T, &t), 0);
        tenant_set_roster(t, verified);
        s = make_statement(identity, enc, 1, now);
        newer = make_statement(identity, enc, 2, now + 1);
        assert_int_equal(tenant_put_statement(&relay, t, ID, s->text, &err), 0);
        loop_fake_move_wall(relay.loop, 10 * HOUR);
        clock_look(&relay);
        tenant_expire_statements(&relay, t);
        assert_non_null(tenant_live_roster(&relay, t));
        assert_string_equal(tenant_connector_of_key(&relay, t, key_kid(enc)), ID);
        assert_int_equal(tenant_put_statement(&relay, t, ID, newer->text, &err), 0);
        clock_trust(&relay);
        tenant_expire_statements(&relay, t);
        assert_null(tenant_live_roster(&relay, t));
        assert_null(tenant_connector_of_key(&relay, t, key_kid(enc)));
        statement_free(s);
        statement_free(newer);
        roster_free(roster);
        key_free(tenant_key);
        key_free(identity);
        key_free(enc);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {TEST(test_dates),
                                           TEST(test_whose_it_is),
                                           TEST(test_revocation),
                                           TEST(test_a_clock_that_jumps),
                                           TEST(test_a_clock_that_is_set_by_and_by),
                                           TEST(test_what_else_ends_by_the_clock)};

        return cmocka_run_group_tests_name("relay/credential", tests, NULL, NULL);
}
