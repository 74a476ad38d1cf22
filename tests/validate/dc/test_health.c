/*
 * DCs that answer probes and fail sign-ins, on the fake clock; test_dispatch.c has one over TLS.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/validate/fake/fake_rig.h"

#define USERS 12
#define SEVERAL 3 /* so many sign-ins may find out that a DC is sick */

static struct world w;

/* Two DCs; the first is the faster, and in use. */
static int set_up_pair(void **state)
{
        (void)state;
        world_open(&w, 2, METHOD_LDAP);
        w.dcs[1].answer_ms = 30;
        world_start_ready(&w);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        world_check(&w);
        world_close(&w);
        return 0;
}

/* It answers probes, and the passwords of several accounts come to nothing: the next go elsewhere, and none is sent
 * twice. */
static void test_sick_dc_draws_nobody(void **state)
{
        static const enum dc_act sicknesses[] = {DC_FAILS_BINDS, DC_DROPS_BINDS};

        (void)state;
        for (size_t i = 0; i < sizeof sicknesses / sizeof *sicknesses; i++) {
                unsigned failed = 0, before = w.dcs[1].passwords;

                w.dcs[0].act = sicknesses[i];
                w.dcs[0].passwords = 0;
                for (int user = 0; user < USERS; user++) {
                        failed += world_sign_in(&w, user, true)->reason != REASON_OK;
                        world_advance(&w, 60);
                }
                assert_int_equal(failed, SEVERAL);
                assert_int_equal(w.dcs[0].passwords, SEVERAL);
                assert_int_equal(w.dcs[1].passwords - before, USERS - SEVERAL);
                assert_string_equal(world_state(&w, 0), "sick");
                w.dcs[0].act = DC_WELL;
                for (int user = 0; user < 60;
                     user++) { /* its rest is over some time, and trials show that it is well */
                        world_expect(&w, world_sign_in(&w, user % WORLD_USERS, true), REASON_OK);
                        world_advance(&w, 1000);
                }
                assert_string_equal(world_state(&w, 0), "alive");
        }
}

/* It answers probes, and passwords not at all: while the first ones still wait, the next go elsewhere. */
static void test_silent_on_binds_draws_nobody(void **state)
{
        struct world_ask *held[4];

        (void)state;
        w.dcs[0].act = DC_SILENT_ON_BIND;
        for (int i = 0; i < 4; i++)
                held[i] = world_ask(&w, i, true, 8000);
        world_advance(&w, 3000);
        assert_string_equal(world_state(&w, 0), "sick");
        for (int user = 4; user < 4 + USERS; user++) {
                const struct outcome *o = world_sign_in(&w, user, true);

                world_expect(&w, o, REASON_OK);
                assert_string_equal(o->dc, "dc2.corp.example");
        }
        for (int i = 0; i < 4; i++)
                assert_int_equal(held[i]->calls, 0); /* no other DC gets their passwords */
        assert_int_equal(w.dcs[0].passwords, 4);
        for (int i = 0; i < 4; i++)
                world_expect(&w, world_finish(&w, held[i]), REASON_OUTCOME_UNKNOWN);
}

/* What fails for one account, at whatever DC. */
static void fail_user_0(struct world *world, const struct fake_question *question, struct fake_answer *answer)
{
        if (question->step != FAKE_PASSWORD || world->asks[world->n - 1].user != 0)
                return;
        answer->outcome = (struct outcome){.reason = REASON_DC_ERROR, .counted = COUNTED_UNKNOWN};
}

/* One account that only brings trouble sends nobody else away, and gets another DC itself. */
static void test_one_odd_account(void **state)
{
        const struct outcome *o;

        (void)state;
        w.script = fail_user_0;
        for (int i = 0; i < 6; i++) {
                o = world_sign_in(&w, 0, true);
                world_expect(&w, o, REASON_DC_ERROR);
                if (i < 2)
                        assert_string_equal(o->dc, i == 0 ? "dc1.corp.example" : "dc2.corp.example");
                world_advance(&w, 150);
                o = world_sign_in(&w, 10 + i, true);
                world_expect(&w, o, REASON_OK);
                assert_string_equal(o->dc, "dc1.corp.example");
        }
        assert_string_equal(world_state(&w, 0), "alive");
}

/* Where all are sick, none is: as soon as one serves again it is used. */
static void test_all_sick(void **state)
{
        (void)state;
        w.dcs[0].act = w.dcs[1].act = DC_FAILS_BINDS;
        for (int user = 0; user < USERS; user++)
                world_expect(&w, world_sign_in(&w, user, true), REASON_DC_ERROR);
        assert_true(validate_ready(w.v, 0, NULL));
        w.dcs[0].act = w.dcs[1].act = DC_WELL;
        for (int user = 0; user < USERS; user++)
                world_expect(&w, world_sign_in(&w, user, true), REASON_OK);
}

/* The only DC is a second away, whatever the time to connect: there is nothing better to do than to wait. */
static void test_only_dc_is_far(void **state)
{
        (void)state;
        world_open(&w, 1, METHOD_LDAP);
        w.dcs[0].connect_ms = 3000; /* over the time to connect */
        w.dcs[0].answer_ms = 1000;
        world_start(&w);
        for (int user = 0; user < 3; user++) {
                world_expect(&w, world_sign_in(&w, user, true), REASON_OK);
                assert_int_equal(w.dcs[0].passwords, user + 1);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up_pair, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_sick_dc_draws_nobody),
                TEST(test_silent_on_binds_draws_nobody),
                TEST(test_one_odd_account),
                TEST(test_all_sick),
                cmocka_unit_test_teardown(test_only_dc_is_far, tear_down),
        };

        return cmocka_run_group_tests_name("validate/health", tests, NULL, NULL);
}
