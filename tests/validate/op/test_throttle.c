/*
 * The lockout guard in front of the operation, on the fake clock; test_guard.c has it before a real AD DC, and
 * tests/validate/types/test_guard.c its table alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/fake/fake_rig.h"

#define FAILURES 3
#define MANY 120

static struct world w;

static void open_guarded(enum method method, enum guard_mode mode)
{
        world_open(&w, 2, method);
        w.config.guard = (struct guard_config){.mode = mode, .failures = FAILURES};
        world_start_ready(&w);
}

static int tear_down(void **state)
{
        (void)state;
        world_check(&w);
        world_close(&w);
        return 0;
}

static unsigned count_reason(enum reason reason)
{
        unsigned found = 0;

        for (size_t i = 0; i < w.n; i++)
                found += w.asks[i].calls == 1 && w.asks[i].outcome.reason == reason;
        return found;
}

/* Other wrong passwords all at once, under every form of the name: by Kerberos the KDC tells whose they are. */
static void guess(enum method method, size_t forms)
{
        static const char *const names[] = {"user1@corp.example", "CORP\\user1", "alias1@corp.example"};
        unsigned named = 0;

        open_guarded(method, GUARD_ON);
        for (unsigned i = 0; i < MANY; i++) {
                char password[24];

                snprintf(password, sizeof password, "wrong-%u", i);
                world_ask_as(&w, 1, names[i % forms], password, 8000);
        }
        world_advance(&w, 8500);
        assert_int_equal(count_reason(REASON_WRONG_PASSWORD), FAILURES);
        assert_int_equal(count_reason(REASON_THROTTLED), MANY - FAILURES);
        assert_int_equal(w.bad[1], FAILURES);
        for (size_t i = 0; i < w.n; i++) {
                const struct outcome *o = &w.asks[i].outcome;

                if (o->reason != REASON_THROTTLED)
                        continue;
                assert_int_equal(o->counted, COUNTED_NO);
                assert_in_range(o->retry_after, 1, 1800);
                assert_int_equal(w.asks[i].passwords, 0);
                named += o->dc[0] != '\0' && o->method == METHOD_KRB5;
                assert_true(o->dc[0] == '\0' || o->method == METHOD_KRB5);
        }
        /* the KDC that told whose name it is was asked, and the answer says so */
        assert_true(method == METHOD_KRB5 ? named > 0 : named == 0);
        /* to the second when it said, the account is asked for again */
        world_advance(&w, 30 * 60 * 1000);
        world_expect(&w, world_sign_in(&w, 1, true), REASON_OK);
}

static void test_guessing_by_ldap(void **state)
{
        (void)state;
        guess(METHOD_LDAP, 2);
}

static void test_guessing_by_krb5(void **state)
{
        (void)state;
        guess(METHOD_KRB5, 3);
}

/* A program with an old password: one failure at the DC each minute, whatever it tries; the new one gets in. */
static void test_an_old_password_again_and_again(void **state)
{
        (void)state;
        open_guarded(METHOD_LDAP, GUARD_ON);
        for (int i = 0; i < 50; i++) {
                const struct world_ask *ask = world_ask_as(&w, 1, "user1@corp.example", "wrong-old", 8000);

                world_expect(&w, world_finish(&w, ask), REASON_WRONG_PASSWORD);
                assert_int_equal(ask->outcome.counted, i == 0 ? COUNTED_YES : COUNTED_NO);
                world_advance(&w, 1000);
        }
        assert_int_equal(w.bad[1], 1);
        world_expect(&w, world_sign_in(&w, 1, true), REASON_OK);
}

/* Many sign-ins of one account at once with the right password all succeed, a few at a time. */
static void test_a_busy_account(void **state)
{
        (void)state;
        open_guarded(METHOD_LDAP, GUARD_ON);
        for (int i = 0; i < MANY; i++)
                world_ask(&w, 1, true, 8000);
        world_advance(&w, 15 * MANY);
        assert_int_equal(count_reason(REASON_OK), MANY);
}

/* Those that wait for the account's others have their budget, too. */
static void test_waiting_ends(void **state)
{
        (void)state;
        open_guarded(METHOD_LDAP, GUARD_ON);
        w.dcs[0].act = w.dcs[1].act = DC_SILENT_ON_BIND;
        for (int i = 0; i < 10; i++)
                world_ask(&w, 1, true, 2000);
        world_advance(&w, 2300);
        assert_int_equal(count_reason(REASON_OUTCOME_UNKNOWN), FAILURES);
        assert_int_equal(count_reason(REASON_OVERLOADED), 10 - FAILURES);
        assert_int_equal(w.dcs[0].passwords + w.dcs[1].passwords, FAILURES);
}

/* A second time the password goes to the DC only where the limit leaves room for two failures. */
static void test_no_confirmation_close_to_the_limit(void **state)
{
        const struct outcome *o;

        (void)state;
        world_open(&w, 2, METHOD_KRB5);
        w.config.guard = (struct guard_config){.mode = GUARD_ON, .failures = FAILURES};
        w.domain.ca_pem = "for LDAPS";
        world_start_ready(&w);
        w.dcs[0].act = w.dcs[1].act = DC_CLAIMS;
        world_expect(&w, world_sign_in(&w, 1, false), REASON_WRONG_PASSWORD);
        assert_int_equal(w.bad[1], 2);
        o = world_sign_in(&w, 1, false);
        world_expect(&w, o, REASON_PASSWORD_EXPIRED);
        assert_false(o->password_proved);
        assert_int_equal(w.asks[0].passwords, 2);
        assert_int_equal(w.asks[1].passwords, 1);
        assert_int_equal(w.bad[1], FAILURES);
}

static void test_observe_stops_nothing(void **state)
{
        struct validate_guard guard;
        const struct outcome *o = NULL;

        (void)state;
        open_guarded(METHOD_LDAP, GUARD_OBSERVE);
        for (int i = 0; i < FAILURES + 1; i++) {
                o = world_sign_in(&w, 1, false);
                world_expect(&w, o, REASON_WRONG_PASSWORD);
                assert_int_equal(o->counted, COUNTED_YES);
        }
        assert_non_null(strstr(o->context, "the lockout guard would have stopped this"));
        assert_int_equal(w.bad[1], FAILURES + 1);
        validate_guard_state(w.v, &guard);
        assert_string_equal(guard.mode, "observe");
        assert_int_equal(guard.throttled, 1);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_guessing_by_ldap),
                TEST(test_guessing_by_krb5),
                TEST(test_an_old_password_again_and_again),
                TEST(test_a_busy_account),
                TEST(test_waiting_ends),
                TEST(test_no_confirmation_close_to_the_limit),
                TEST(test_observe_stops_nothing),
        };

        return cmocka_run_group_tests_name("validate/throttle", tests, NULL, NULL);
}
