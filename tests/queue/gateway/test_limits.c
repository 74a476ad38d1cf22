/*
 * Limits of sources and names: no window sees more failures than allowed, a success sets a name back, what is under way
 * counts, and the table stays small.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "queue/gateway/doors/limits.h"

#define WINDOW 60000

static void fail_once(struct limits *l, const char *key, uint64_t now)
{
        assert_int_equal(limits_begin(l, key, now), 0);
        limits_end(l, key, LIMITS_FAILED, now);
}

static void stops_after_the_limit(void **state)
{
        struct limits *l = limits_new(3, WINDOW, 100);

        (void)state;
        for (int i = 0; i < 3; i++)
                fail_once(l, "amy", 1000);
        assert_int_equal(limits_begin(l, "amy", 1000), 60);
        assert_int_equal(limits_begin(l, "amy", 1000 + WINDOW - 1), 1);
        assert_int_equal(limits_begin(l, "bob", 1000), 0);
        assert_int_equal(limits_begin(l, "amy", 1000 + WINDOW), 0);
        limits_free(l);
}

/* Slow guessing: one failure shortly before the window of the one before ends. */
static void no_window_sees_more(void **state)
{
        struct limits *l = limits_new(3, WINDOW, 100);

        (void)state;
        for (uint64_t i = 0; i < 3; i++)
                fail_once(l, "amy", 1000 + i * (WINDOW - 1));
        assert_int_not_equal(limits_begin(l, "amy", 1000 + 3 * (WINDOW - 1)), 0);
        limits_free(l);
}

static void under_way_counts(void **state)
{
        struct limits *l = limits_new(3, WINDOW, 100);

        (void)state;
        for (int i = 0; i < 3; i++)
                assert_int_equal(limits_begin(l, "amy", 1000), 0);
        assert_int_not_equal(limits_begin(l, "amy", 1000), 0);
        limits_end(l, "amy", LIMITS_UNDECIDED, 1000);
        assert_int_equal(limits_begin(l, "amy", 1000), 0);
        limits_free(l);
}

static void a_success_sets_back(void **state)
{
        struct limits *l = limits_new(2, WINDOW, 100);

        (void)state;
        fail_once(l, "amy", 1000);
        assert_int_equal(limits_begin(l, "amy", 1000), 0);
        limits_end(l, "amy", LIMITS_CLEARED, 1000);
        fail_once(l, "amy", 1000);
        assert_int_equal(limits_begin(l, "amy", 1000), 0);
        limits_end(l, "amy", LIMITS_SUCCEEDED, 1000); /* of a source: it stays counted */
        fail_once(l, "amy", 1000);
        assert_int_not_equal(limits_begin(l, "amy", 1000), 0);
        limits_free(l);
}

/* The one that was used longest ago makes room, but not one whose sign-in is under way. */
static void the_table_stays_small(void **state)
{
        struct limits *l = limits_new(1, WINDOW, 10);
        char key[32];

        (void)state;
        fail_once(l, "first", 1000);
        for (int i = 0; i < 20; i++) {
                (void)snprintf(key, sizeof(key), "other%d", i);
                fail_once(l, key, 1000);
        }
        assert_int_equal(limits_begin(l, "first", 1000), 0);
        limits_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(stops_after_the_limit),
                                           cmocka_unit_test(no_window_sees_more), cmocka_unit_test(under_way_counts),
                                           cmocka_unit_test(a_success_sets_back),
                                           cmocka_unit_test(the_table_stays_small)};

        return cmocka_run_group_tests_name("gateway/limits", tests, NULL, NULL);
}
