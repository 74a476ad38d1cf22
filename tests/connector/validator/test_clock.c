/*
 * Whose clock is wrong: what the relay, domain controllers and services say together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "connector/validator/clock.h"

#define MONO UINT64_C(5000000)
#define WALL 1800000000

static char why[160];

static enum clock_state judge(const struct clock_watch *w, int64_t ours)
{
        return clock_judge(w, MONO, ours, why, sizeof(why));
}

/* What each source says, s ahead of WALL; NONE: nothing. */
#define NONE INT64_MAX

static void test_whose(void **state)
{
        static const struct {
                int64_t relay, dc, service;
                enum clock_state is;
        } rows[] = {
                {NONE, NONE, NONE, CLOCK_FINE},
                {0, 0, 0, CLOCK_FINE},
                {-90, 30, 60, CLOCK_FINE},
                /* ours is off: all of them say so, or two of them */
                {-130, -130, -130, CLOCK_WRONG},
                {130, 130, 130, CLOCK_WRONG},
                {-130, NONE, -130, CLOCK_WRONG},
                {-130, -130, NONE, CLOCK_WRONG},
                {0, 130, 130, CLOCK_WRONG},
                /* nothing is known of the relay */
                {NONE, NONE, -130, CLOCK_WRONG},
                {NONE, -130, NONE, CLOCK_WRONG},
                {NONE, -130, 0, CLOCK_FINE},
                /* one kind alone is wrong itself */
                {7200, 0, 0, CLOCK_RELAY_OFF},
                {7200, NONE, NONE, CLOCK_RELAY_OFF},
                {-7200, 0, NONE, CLOCK_RELAY_OFF},
                {0, 0, 500, CLOCK_SERVICE_OFF},
                {0, 500, 0, CLOCK_FINE},
                /* they contradict each other */
                {7200, NONE, -500, CLOCK_RELAY_OFF},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct clock_watch w = {0};

                if (rows[i].relay != NONE)
                        clock_note(&w, CLOCK_RELAY, "", WALL + rows[i].relay, MONO);
                if (rows[i].dc != NONE)
                        clock_note(&w, CLOCK_DC, "dc1", WALL + rows[i].dc, MONO);
                if (rows[i].service != NONE)
                        clock_note(&w, CLOCK_SERVICE, "portal", WALL + rows[i].service, MONO);
                if (judge(&w, WALL) != rows[i].is)
                        fail_msg("row %zu: %s", i, clock_state_text(judge(&w, WALL)));
                assert_int_equal(why[0] == '\0', rows[i].is == CLOCK_FINE);
        }
}

/* One service of several that is wrong is outvoted. */
static void test_most_of_a_kind(void **state)
{
        struct clock_watch w = {0};

        (void)state;
        clock_note(&w, CLOCK_RELAY, "", WALL - 200, MONO);
        clock_note(&w, CLOCK_SERVICE, "a", WALL - 200, MONO);
        assert_int_equal(judge(&w, WALL), CLOCK_WRONG);
        clock_note(&w, CLOCK_SERVICE, "b", WALL, MONO);
        assert_int_equal(judge(&w, WALL), CLOCK_RELAY_OFF);
}

/* The wall clock is set, wrong and right again: both show at once, without a new word from anybody. */
static void test_clock_is_set(void **state)
{
        struct clock_watch w = {0};

        (void)state;
        clock_note(&w, CLOCK_RELAY, "", WALL - 100, MONO - 100000);
        clock_note(&w, CLOCK_DC, "dc1", WALL - 15, MONO - 15000);
        assert_int_equal(judge(&w, WALL), CLOCK_FINE);
        assert_int_equal(judge(&w, WALL + 130), CLOCK_WRONG);
        assert_non_null(strstr(why, "130 s behind this host's"));
        assert_int_equal(judge(&w, WALL), CLOCK_FINE);
}

/* More sources than it keeps: the relay's word stays. */
static void test_many(void **state)
{
        struct clock_watch w = {0};
        char name[16];

        (void)state;
        clock_note(&w, CLOCK_RELAY, "", WALL + 7200, MONO - 900000);
        for (unsigned i = 0; i < 10 * CLOCK_SOURCES; i++) {
                snprintf(name, sizeof(name), "s%u", i);
                clock_note(&w, CLOCK_SERVICE, name, WALL, MONO);
        }
        assert_int_equal(judge(&w, WALL), CLOCK_RELAY_OFF);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whose),
                cmocka_unit_test(test_most_of_a_kind),
                cmocka_unit_test(test_clock_is_set),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
