/*
 * Encryption keys over time, the replay cache, and the two-slot roster store.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "connector/frames/name-hash.h"
#include "connector/validator/roster-store.h"
#include "connector/validator/validator.h"
#include "tests/connector/validator/fixture.h"

static const char *const realms[] = {"corp.example"};
static const struct domains_names names = {.n_realms = 1, .realms = realms};

static void test_statement_renewal(void **state)
{
        struct fixture f;
        uint64_t seq;

        (void)state;
        fixture_make(&f);
        seq = f.keys.seq;
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW + STATEMENT_RENEW - 1,
                                      (uint64_t)(NOW + STATEMENT_RENEW - 1) * 1000, false, NULL),
                         0);
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW + STATEMENT_RENEW, (uint64_t)(NOW + STATEMENT_RENEW) * 1000,
                                      false, NULL),
                         1);
        assert_true(f.keys.seq > seq);
        assert_int_equal(f.keys.n, 1);
        seq = f.keys.seq;
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW + STATEMENT_RENEW, (uint64_t)(NOW + STATEMENT_RENEW) * 1000,
                                      true, NULL),
                         1);
        assert_true(f.keys.seq > seq);
        fixture_clear(&f);
}

/* A validator that is started again under the same boot goes on above the one before, whatever the clock did: a relay
 * that ignored its statement would go on giving out a key that nobody holds. */
static void test_restart_after_a_clock_step(void **state)
{
        struct fixture f;
        struct enckeys again;

        (void)state;
        fixture_make(&f);
        enckeys_clear(&f.keys);
        assert_int_equal(enckeys_init(&f.keys, f.identity, CONNECTOR_ID, TENANT, "AAAAAAAAAAAAAAAAAAAAAA", 1000000), 0);
        for (int i = 0; i < 4; i++)
                assert_int_equal(enckeys_turn(&f.keys, &names, NOW, 5000, true, NULL), 1);
        assert_int_equal(f.keys.statement->seq, 1000004);
        /* what the supervisor says 10 ms later; a day back by the clock */
        assert_int_equal(enckeys_init(&again, f.identity, CONNECTOR_ID, TENANT, "AAAAAAAAAAAAAAAAAAAAAA", 1000010), 0);
        assert_int_equal(enckeys_turn(&again, &names, NOW - 86400, 5010, true, NULL), 1);
        assert_true(again.statement->seq > f.keys.statement->seq);
        enckeys_clear(&again);
        fixture_clear(&f);
}

/* What was said by a slow clock would seem older than what an earlier start said: once the clock is set, it is said
 * anew. */
static void test_the_clock_is_set(void **state)
{
        struct fixture f;

        (void)state;
        fixture_make(&f);
        for (int64_t by = 5; by >= -1; by--) /* as two clocks may differ that nobody set */
                assert_int_equal(enckeys_turn(&f.keys, &names, NOW + 10 + by, (uint64_t)(NOW + 10) * 1000, false, NULL),
                                 0);
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW + 16, (uint64_t)(NOW + 10) * 1000, false, NULL), 1);
        assert_true(f.keys.statement->iat == NOW + 16);
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW + 20, (uint64_t)(NOW + 14) * 1000, false, NULL), 0);
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW + 14, (uint64_t)(NOW + 14) * 1000, false, NULL), 1);
        fixture_clear(&f);
}

/* A clock that is set back every day does not keep a key alive. */
static void test_keys_die_by_time_that_passed(void **state)
{
        const uint64_t life_ms = (uint64_t)(ENCKEY_LIFE + STATEMENT_LIFE_MAX + ENCKEY_GRACE) * 1000;
        struct fixture f;
        char first[KID_LEN + 1];

        (void)state;
        fixture_make(&f); /* at NOW * 1000 by the loop's time */
        memcpy(first, key_kid(f.keys.keys[0].key), sizeof(first));
        (void)enckeys_turn(&f.keys, &names, NOW, (uint64_t)NOW * 1000 + life_ms - 1, true, NULL);
        assert_non_null(enckeys_find(&f.keys, first, NOW));
        (void)enckeys_turn(&f.keys, &names, NOW, (uint64_t)NOW * 1000 + life_ms, true, NULL);
        assert_null(enckeys_find(&f.keys, first, NOW));
        fixture_clear(&f);
}

/* Once an hour a new key; the one before signs until ten minutes of it are left, so that services know the new one. */
static void test_hourly_signing(void **state)
{
        struct fixture f;
        char first[KID_LEN + 1], second[KID_LEN + 1];

        (void)state;
        fixture_make(&f);
        assert_ptr_equal(enckeys_signer(&f.keys, NOW), f.identity);
        assert_int_equal(f.keys.statement->n_sign, 0);
        f.keys.hourly = true;
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW, 1, false, NULL), 1);
        assert_int_equal(f.keys.statement->n_sign, 1);
        memcpy(first, key_kid(enckeys_signer(&f.keys, NOW)), sizeof(first));
        assert_string_not_equal(first, key_kid(f.identity));
        assert_string_equal(key_kid(f.keys.statement->sign[0].key), first);
        (void)enckeys_turn(&f.keys, &names, NOW + 3599, 1, true, NULL);
        assert_int_equal(f.keys.n_sign, 1);
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW + 3600, 1, false, NULL), 1);
        assert_int_equal(f.keys.statement->n_sign, 2);
        memcpy(second, key_kid(f.keys.sign[0].key), sizeof(second));
        assert_string_equal(key_kid(enckeys_signer(&f.keys, NOW + 3600)), first);
        assert_string_equal(key_kid(enckeys_signer(&f.keys, NOW + 6600)), first);
        assert_string_equal(key_kid(enckeys_signer(&f.keys, NOW + 6601)), second);
        (void)enckeys_turn(&f.keys, &names, NOW + 7200, 1, true, NULL);
        assert_string_equal(key_kid(f.keys.sign[0].key), key_kid(f.keys.statement->sign[0].key));
        assert_string_equal(key_kid(enckeys_signer(&f.keys, NOW + 7200)), second);
        /* each statement is one that a service takes */
        struct statement *taken = NULL;
        assert_int_equal(statement_verify(&taken, f.keys.statement->text, strlen(f.keys.statement->text), f.identity,
                                          CONNECTOR_ID, TENANT, NOW + 7200, NULL),
                         0);
        assert_int_equal(taken->n_sign, f.keys.n_sign);
        statement_free(taken);
        fixture_clear(&f);
}

static void test_daily_key(void **state)
{
        struct fixture f;
        char first[KID_LEN + 1];
        int64_t day2 = NOW + ENCKEY_LIFE;

        (void)state;
        fixture_make(&f);
        memcpy(first, key_kid(f.keys.keys[0].key), sizeof(first));
        assert_int_equal(enckeys_turn(&f.keys, &names, day2, (uint64_t)(day2)*1000, false, NULL), 1);
        assert_int_equal(f.keys.n, 2);
        assert_string_not_equal(key_kid(f.keys.keys[0].key), first);
        assert_string_equal(key_kid(f.keys.statement->keys[0].key), key_kid(f.keys.keys[0].key));
        /* what was sealed under the last statement of the old key still opens, and nothing after that */
        assert_non_null(enckeys_find(&f.keys, first, day2 + STATEMENT_LIFE_MAX));
        assert_null(enckeys_find(&f.keys, first, day2 + STATEMENT_LIFE_MAX + ENCKEY_GRACE + 1));
        assert_int_equal(enckeys_turn(&f.keys, &names, day2 + STATEMENT_LIFE_MAX + ENCKEY_GRACE + 1,
                                      (uint64_t)(day2 + STATEMENT_LIFE_MAX + ENCKEY_GRACE + 1) * 1000, false, NULL),
                         1);
        assert_int_equal(f.keys.n, 1);
        assert_null(enckeys_find(&f.keys, first, NOW));
        fixture_clear(&f);
}

static void test_clock_back(void **state)
{
        struct fixture f;

        (void)state;
        fixture_make(&f);
        assert_int_equal(enckeys_turn(&f.keys, &names, NOW - 86400, (uint64_t)(NOW - 86400) * 1000, false, NULL), 1);
        assert_true(f.keys.keys[0].nbf <= NOW - 86400);
        fixture_clear(&f);
}

static int temp_file(char *path)
{
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        return fd;
}

static void load(int fd, const struct fixture *f, int64_t now, uint64_t want_seq, bool want_roster, int want_r)
{
        _cleanup_(roster_freep) struct roster *roster = NULL;
        struct roster_store s;
        uint64_t seq = 99;

        roster_store_init(&s, dup(fd));
        assert_int_equal(roster_store_load(&s, key_pin(f->tenant_key), TENANT, now, &roster, &seq, NULL), want_r);
        assert_int_equal(seq, want_seq);
        assert_int_equal(roster != NULL, want_roster);
        assert_int_equal(s.iat, seq ? NOW : 0);
        assert_int_equal(s.exp > NOW, seq > 0);
        roster_store_clear(&s);
}

static char seen[1024];

static void see(enum log_level level, const char *program, const char *line)
{
        (void)level;
        (void)program;
        (void)snprintf(seen, sizeof(seen), "%s", line);
}

/* A connector that asks real domain controllers takes no roster of a sandbox, whatever the relay sends. */
static void test_sandbox_roster(void **state)
{
        struct validator v = {
                .store = {.fd = -1}, .incoming = BUFFER(ROSTER_TEXT_MAX), .refusals = {.burst = 20, .every_ms = 1000}};
        char tenant[] = TENANT;
        struct msg_out out;
        struct msg_in in;
        struct fixture f;

        (void)state;
        fixture_make(&f);
        f.roster->sandbox = true;
        assert_int_equal(roster_sign(f.roster, f.tenant_key, NOW, 86400, NULL), 0);
        assert_int_equal(loop_new_fake(&v.process.loop), 0);
        v.enrolment.tenant = tenant;
        memcpy(v.enrolment.pin, key_pin(f.tenant_key), KID_LEN + 1);
        msg_begin(&out, FRAME_ROSTER);
        msg_u64(&out, TAG_PART, 0);
        msg_u64(&out, TAG_TOTAL, strlen(f.roster->text));
        msg_bytes(&out, TAG_ROSTER, f.roster->text, strlen(f.roster->text));
        assert_int_equal(msg_parse(&in, out.data, out.len), 0);
        log_open("test", LOG_LEVEL_WARNING, see);
        validator_roster_part(&v, &in);
        log_open("test", LOG_LEVEL_WARNING, NULL);
        assert_null(v.roster);
        assert_non_null(strstr(seen, "roster.refused"));
        assert_non_null(strstr(seen, "sandbox"));
        loop_free(v.process.loop);
        fixture_clear(&f);
}

static void test_roster_store(void **state)
{
        char path[] = "/tmp/postern-roster-XXXXXX";
        int fd = temp_file(path);
        struct roster_store s;
        struct fixture f;

        (void)state;
        fixture_make(&f);
        load(fd, &f, NOW, 0, false, 0);
        roster_store_init(&s, dup(fd));
        assert_int_equal(roster_store_save(&s, f.roster->text, strlen(f.roster->text), NULL), 0);
        load(fd, &f, NOW, 1, true, 0);
        assert_int_equal(roster_sign(f.roster, f.tenant_key, NOW, 86400, NULL), 0);
        assert_int_equal(roster_store_save(&s, f.roster->text, strlen(f.roster->text), NULL), 0);
        load(fd, &f, NOW, 2, true, 0);
        /* expired: not usable, but its seq stays the floor */
        load(fd, &f, NOW + 2 * 86400, 2, false, 0);
        /* nor is one that a clock behind takes for signed in the future; when it is valid is told */
        load(fd, &f, NOW - 3600, 2, false, 0);
        /* a torn write of the next one leaves the older */
        assert_int_equal(pwrite(fd, "torn", 4, 60), 4);
        load(fd, &f, NOW, 2, true, 1);
        roster_store_clear(&s);
        fixture_clear(&f);
        close(fd);
        unlink(path);
}

static void test_names(void **state)
{
        static const uint8_t key[NAME_HASH_KEY_LEN] = {1};
        char a[NAME_HASH_TEXT], b[NAME_HASH_TEXT], masked[320];

        (void)state;
        name_hash(key, "Alice@Corp.Example", 18, a);
        name_hash(key, "alice@corp.example", 18, b);
        assert_string_equal(a, b);
        name_hash(key, "alicf@corp.example", 18, b);
        assert_string_not_equal(a, b);
        name_mask("Summer2024!", 11, 1, masked, sizeof(masked));
        assert_string_equal(masked, "S…! (11)");
        name_mask("abc", 3, 1, masked, sizeof(masked));
        assert_string_equal(masked, "… (3)");
        name_mask("alice@corp.example", 18, 1, masked, sizeof(masked));
        assert_string_equal(masked, "a…e (5)@corp.example");
        name_mask("alice@secret", 12, 0, masked, sizeof(masked));
        assert_string_equal(masked, "a…t (12)");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_statement_renewal), cmocka_unit_test(test_restart_after_a_clock_step),
                cmocka_unit_test(test_the_clock_is_set),  cmocka_unit_test(test_keys_die_by_time_that_passed),
                cmocka_unit_test(test_hourly_signing),    cmocka_unit_test(test_daily_key),
                cmocka_unit_test(test_clock_back),        cmocka_unit_test(test_roster_store),
                cmocka_unit_test(test_sandbox_roster),    cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
