/*
 * DCs that fall silent or go away, on the fake clock: who finds out, when, and what it costs the sign-ins.
 * test_dcs.c has one of two real DCs stopped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/validate/fake/fake_rig.h"

#define MINUTE 60000
#define NOTICED_MS 1500 /* a silent DC that sign-ins wait for is found out in so long */

static struct world w;

static int tear_down(void **state)
{
        (void)state;
        world_check(&w);
        world_close(&w);
        return 0;
}

/* Quiet hours: each DC is probed every 15 s and nothing else. */
static void test_quiet_hours(void **state)
{
        (void)state;
        world_open(&w, 2, METHOD_KRB5);
        world_start_ready(&w);
        w.dcs[0].probes = w.dcs[1].probes = 0;
        world_advance(&w, 24 * 60 * MINUTE);
        for (size_t i = 0; i < 2; i++) {
                assert_in_range(w.dcs[i].probes, 24 * 3600 / 17, 24 * 3600 / 15);
                assert_int_equal(w.dcs[i].connects + w.dcs[i].passwords, 0);
                assert_string_equal(world_state(&w, i), "alive");
        }
}

/* A DC that sign-ins keep asking needs no probe. */
static void test_sign_ins_are_probes(void **state)
{
        (void)state;
        world_open(&w, 1, METHOD_LDAP);
        world_start_ready(&w);
        w.dcs[0].probes = 0;
        for (int i = 0; i < 600; i++) {
                world_expect(&w, world_sign_in(&w, i % WORLD_USERS, i % 3 != 0),
                             i % 3 ? REASON_OK : REASON_WRONG_PASSWORD);
                world_advance(&w, 5000);
        }
        assert_int_equal(w.dcs[0].probes, 0);
}

/* Dead it is probed ever more seldom, every ten seconds at last; when it answers again it is alive after two probes. */
static void test_dead_and_back(void **state)
{
        (void)state;
        for (enum dc_act act = DC_REFUSES; act <= DC_SILENT; act++) {
                unsigned probes;

                world_open(&w, 2, METHOD_LDAP);
                world_start_ready(&w);
                w.dcs[0].act = act;
                world_advance(&w, 20000);
                assert_string_equal(world_state(&w, 0), "dead");
                world_advance(&w, MINUTE);
                probes = w.dcs[0].probes;
                world_advance(&w, 60 * MINUTE);
                assert_in_range(w.dcs[0].probes - probes, 3600 / 15, 3600 / 10);
                assert_true(validate_ready(w.v, 0, NULL));
                for (int user = 0; user < 20; user++)
                        world_expect(&w, world_sign_in(&w, user, true), REASON_OK);
                assert_int_equal(w.dcs[0].connects, 0);
                w.dcs[0].act = DC_WELL;
                probes = w.dcs[0].probes;
                for (int ms = 0; ms < 14200 && strcmp(world_state(&w, 0), "recovering") != 0; ms++)
                        world_advance(&w, 1);
                assert_string_equal(world_state(&w, 0), "recovering");
                world_advance(&w, 1200);
                assert_string_equal(world_state(&w, 0), "alive");
                assert_in_range(w.dcs[0].probes - probes, 2, 3);
                world_check(&w);
                if (act == DC_REFUSES)
                        world_close(&w);
        }
}

/* One that hangs while nobody signs in is said to be silent a moment after it was probed, before it is known to be
 * dead; and it is well as soon as it answers. */
static void test_hangs_when_idle(void **state)
{
        (void)state;
        world_open(&w, 2, METHOD_LDAP);
        world_start_ready(&w);
        w.dcs[0].act = DC_SILENT;
        for (int ms = 0; ms < 20000 && strcmp(world_state(&w, 0), "alive") == 0; ms++)
                world_advance(&w, 1);
        assert_string_equal(world_state(&w, 0), "silent");
        assert_string_equal(world_state(&w, 1), "alive");
        for (int ms = 0; ms < 20000 && strcmp(world_state(&w, 0), "silent") == 0; ms++)
                world_advance(&w, 1);
        assert_string_equal(world_state(&w, 0), "dead");
        w.dcs[0].act = DC_WELL;
        world_advance(&w, MINUTE);
        assert_string_equal(world_state(&w, 0), "alive");
}

/* Both gone: readiness ends, sign-ins hear it at once, and it comes back with the first DC. */
static void test_all_gone(void **state)
{
        const struct world_ask *ask;

        (void)state;
        world_open(&w, 2, METHOD_LDAP);
        world_start_ready(&w);
        w.dcs[0].act = w.dcs[1].act = DC_REFUSES;
        world_advance(&w, 40000);
        assert_false(validate_ready(w.v, 0, NULL));
        ask = world_ask(&w, 1, true, 8000);
        world_expect(&w, world_finish(&w, ask), REASON_DC_REFUSED);
        assert_int_equal(ask->ended - ask->started, 0);
        w.dcs[1].act = DC_WELL;
        world_advance(&w, 11100);
        assert_true(validate_ready(w.v, 0, NULL));
        world_expect(&w, world_sign_in(&w, 1, true), REASON_OK);
}

/* Eight sign-ins at any time, and one of two DCs stops: after NOTICED_MS nobody notices any more, and nobody ever waits
 * out the budget. */
static void stop_one(enum method method, size_t which)
{
        struct world_ask *lanes[8] = {0};
        unsigned unknown = 0, late = 0;
        uint64_t stopped;

        world_open(&w, 2, method);
        w.dcs[1].answer_ms = 20;
        world_start_ready(&w);
        stopped = loop_now(w.loop) + 1000;
        while (loop_now(w.loop) < stopped + 4500) {
                if (loop_now(w.loop) == stopped)
                        w.dcs[which].act = DC_SILENT;
                for (size_t i = 0; i < 8; i++) {
                        const struct world_ask *ask = lanes[i];

                        if (ask && ask->calls == 0)
                                continue;
                        if (ask && ask->outcome.reason == REASON_OUTCOME_UNKNOWN)
                                unknown++;
                        else if (ask)
                                world_expect(&w, &ask->outcome, REASON_OK);
                        if (ask && ask->started >= stopped + NOTICED_MS) {
                                late++;
                                assert_true(ask->ended - ask->started <= 25);
                        }
                        assert_true(!ask || ask->ended - ask->started <= NOTICED_MS);
                        lanes[i] = world_ask(&w, (int)(w.n % WORLD_USERS), true, 8000);
                }
                world_advance(&w, 1);
        }
        assert_true(unknown <= 8);
        assert_true(which == 0 || unknown == 0);
        assert_true(late > 500);
        assert_string_equal(world_state(&w, which), which == 0 ? "dead" : "alive"); /* its next probe will tell */
        for (size_t i = 0; i < 8; i++)
                world_finish(&w, lanes[i]);
}

static void test_stopped_dc_by_ldap(void **state)
{
        (void)state;
        stop_one(METHOD_LDAP, 0);
}

static void test_stopped_dc_by_krb5(void **state)
{
        (void)state;
        stop_one(METHOD_KRB5, 0);
}

static void test_idle_dc_stops(void **state)
{
        (void)state;
        stop_one(METHOD_KRB5, 1);
}

/* It looks the faster one as soon as the other has much to do: that it is silent a probe finds out, not a sign-in. */
static void test_before_the_choice_goes_over(void **state)
{
        (void)state;
        world_open(&w, 2, METHOD_LDAP);
        w.dcs[1].answer_ms = 20;
        world_start_ready(&w);
        for (int i = 0; i < 50; i++)
                world_expect(&w, world_sign_in(&w, i % WORLD_USERS, true), REASON_OK);
        assert_int_equal(w.dcs[1].connects, 0);
        w.dcs[1].act = DC_SILENT;
        w.dcs[0].answer_ms = 60;
        for (int i = 0; i < 200; i++)
                world_expect(&w, world_sign_in(&w, i % WORLD_USERS, true), REASON_OK);
        assert_int_equal(w.dcs[1].connects, 0);
        assert_string_equal(world_state(&w, 1), "dead");
        w.dcs[1].act = DC_WELL;
        world_advance(&w, 20000);
        for (int i = 0; i < 200; i++)
                world_expect(&w, world_sign_in(&w, i % WORLD_USERS, true), REASON_OK);
        assert_true(w.dcs[1].passwords > 100); /* and now it is used */
}

/* One that stays silent costs its sign-ins their budget, but nobody more; who comes when it is known to be gone hears
 * it at once. */
static void test_only_dc_stops(void **state)
{
        const struct world_ask *ask;

        (void)state;
        world_open(&w, 1, METHOD_LDAP);
        world_start_ready(&w);
        world_expect(&w, world_sign_in(&w, 0, true), REASON_OK);
        w.dcs[0].act = DC_SILENT_ON_BIND;
        ask = world_ask(&w, 0, true, 3500);
        world_advance(&w, 100);
        w.dcs[0].act = DC_SILENT;
        world_expect(&w, world_finish(&w, ask), REASON_OUTCOME_UNKNOWN);
        assert_int_equal(ask->outcome.counted, COUNTED_UNKNOWN);
        assert_in_range(ask->ended - ask->started, 3500, 3501);
        assert_false(validate_ready(w.v, 0, NULL)); /* another connector may have a DC */
        world_advance(&w, 10000);
        ask = world_ask(&w, 0, true, 3500);
        world_finish(&w, ask);
        assert_int_equal(ask->ended - ask->started, 0);
        assert_int_equal(reason_info(ask->outcome.reason)->verdict, VERDICT_UNAVAILABLE);
}

/* With only one DC there is nothing better to do than to wait: one that stands still for a while loses nobody. */
static void test_only_dc_stands_still(void **state)
{
        (void)state;
        for (enum method method = METHOD_KRB5; method <= METHOD_LDAP; method++) {
                struct world_ask *asks[48];

                world_open(&w, 1, method);
                world_start_ready(&w);
                w.dcs[0].connect_ms = 3000;
                for (int i = 0; i < 48; i++)
                        asks[i] = world_ask(&w, i % WORLD_USERS, true, 8000);
                world_advance(&w, 1);
                w.dcs[0].connect_ms = 5;
                for (int i = 0; i < 48; i++)
                        world_expect(&w, world_finish(&w, asks[i]), REASON_OK);
                world_check(&w);
                if (method == METHOD_KRB5)
                        world_close(&w);
        }
}

/* A DC that stalls at one stage costs the sign-ins of its own domain only. */
static void test_stalls_cost_nobody_else(void **state)
{
        static const struct {
                enum dc_act act;
                enum reason reason;
        } rows[] = {{DC_SILENT, REASON_DC_UNREACHABLE}, {DC_SILENT_ON_BIND, REASON_OUTCOME_UNKNOWN}};

        (void)state;
        for (size_t i = 0; i < 2; i++) {
                struct world_ask *stuck[10];

                world_open(&w, 2, METHOD_LDAP);
                w.config.n_domains = 2;
                world_start_ready(&w);
                w.dcs[WORLD_DCS - 1].act = rows[i].act;
                for (int k = 0; k < 10; k++)
                        stuck[k] = world_ask_as(&w, 20, "someone@slow.example", "right", 3000);
                while (stuck[0]->calls == 0) {
                        const struct world_ask *ask = world_ask(&w, (int)(w.n % 20), true, 8000);

                        world_expect(&w, world_finish(&w, ask), REASON_OK);
                        assert_int_equal(ask->ended - ask->started, 15);
                }
                for (int k = 0; k < 10; k++) {
                        world_expect(&w, world_finish(&w, stuck[k]), rows[i].reason);
                        assert_in_range(stuck[k]->ended - stuck[k]->started, 2999, 3251);
                }
                world_check(&w);
                if (i == 0)
                        world_close(&w);
        }
}

#define TEST(fn) cmocka_unit_test_teardown(fn, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_quiet_hours),
                TEST(test_sign_ins_are_probes),
                TEST(test_dead_and_back),
                TEST(test_hangs_when_idle),
                TEST(test_all_gone),
                TEST(test_stopped_dc_by_ldap),
                TEST(test_stopped_dc_by_krb5),
                TEST(test_idle_dc_stops),
                TEST(test_before_the_choice_goes_over),
                TEST(test_only_dc_stops),
                TEST(test_only_dc_stands_still),
                TEST(test_stalls_cost_nobody_else),
        };

        return cmocka_run_group_tests_name("validate/silence", tests, NULL, NULL);
}
