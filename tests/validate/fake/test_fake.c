/*
 * The scripted method keeps the promises of the table, so that what is shown with it holds of the real ones.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/validate/fake/fake_rig.h"

static struct world w;

static int setup(void **state)
{
        (void)state;
        world_open(&w, 2, METHOD_LDAP);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        world_close(&w);
        return 0;
}

static void test_right_and_wrong(void **state)
{
        const struct outcome *o;

        (void)state;
        world_start_ready(&w);
        o = world_sign_in(&w, 1, true);
        world_expect(&w, o, REASON_OK);
        assert_int_equal(o->ms_total, 15);
        assert_int_equal(o->method, METHOD_LDAP);
        assert_string_equal(o->user.id, "S-1-5-21-1-2-3-1001");
        o = world_sign_in(&w, 1, false);
        world_expect(&w, o, REASON_WRONG_PASSWORD);
        assert_int_equal(o->counted, COUNTED_YES);
        assert_int_equal(w.bad[1], 1);
        world_check(&w);
}

/* A run that is called off is told to nobody, and nothing of it is left. */
static void test_cancelled(void **state)
{
        struct world_ask *ask;

        (void)state;
        world_start_ready(&w);
        for (uint64_t ms = 0; ms < 16; ms++) {
                ask = world_ask(&w, 1, true, 8000);
                world_advance(&w, ms);
                if (ask->calls == 0)
                        world_cancel(&w, ask);
                assert_int_equal(fake_runs(w.fake), 0);
                world_advance(&w, 100);
                assert_int_equal(ask->calls, ms >= 15);
        }
}

/* Whatever is under way when the validator ends is called off. */
static void test_freed_amid(void **state)
{
        (void)state;
        w.dcs[0].act = DC_SILENT;
        world_start(&w);
        world_advance(&w, 20);
        world_ask(&w, 1, true, 8000);
        world_ask(&w, 2, true, 8000);
        world_advance(&w, 1);
        assert_true(fake_runs(w.fake) > 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_right_and_wrong, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(test_freed_amid, setup, teardown),
        };

        return cmocka_run_group_tests_name("validate/fake", tests, NULL, NULL);
}
