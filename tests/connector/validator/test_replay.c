/*
 * The replay cache: what it remembers, for how long, and for whom it has room.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "connector/validator/intake.h"
#include "connector/validator/replay.h"
#include "connector/validator/shares.h"
#include "tests/valgrind.h"

#define LIFE (REQUEST_AGE_MAX + REPLAY_EXTRA)

static int take(struct replay *r, const char *kid, unsigned i, size_t services, int64_t now)
{
        char jti[32];

        snprintf(jti, sizeof(jti), "request-%u", i);
        return replay_take(r, kid, jti, services, now, now + LIFE);
}

static void test_remembers(void **state)
{
        _cleanup_(replay_freep) struct replay *r = NULL;

        (void)state;
        assert_int_equal(replay_new(&r, 2), 0);
        assert_int_equal(replay_take(r, "k", "a", 1, 100, 110), 0);
        assert_int_equal(replay_take(r, "k", "a", 1, 110, 110), -EEXIST);
        assert_int_equal(replay_take(r, "other", "a", 1, 110, 112), 0);
        assert_int_equal(replay_take(r, "k", "b", 1, 110, 120), -ENOSPC);
        assert_int_equal(replay_count(r), 2);
        assert_int_equal(replay_take(r, "k", "b", 1, 130, 140), 0);
        assert_int_equal(replay_count(r), 1);
}

/* A clock that leaps ahead empties it; when it comes back, what was forgotten is refused, not taken again. */
static void test_clock_ahead(void **state)
{
        _cleanup_(replay_freep) struct replay *r = NULL;

        (void)state;
        assert_int_equal(replay_new(&r, 8), 0);
        assert_int_equal(replay_take(r, "k", "a", 1, 100, 265), 0);
        assert_int_equal(replay_take(r, "k", "b", 1, 4000, 4165), 0); /* an hour ahead: a is forgotten */
        assert_int_equal(replay_count(r), 1);
        assert_int_equal(replay_take(r, "k", "a", 1, 110, 265), -ESTALE);
        assert_int_equal(replay_take(r, "k", "c", 1, 110, 266), 0);
        assert_int_equal(replay_take(r, "k", "b", 1, 4010, 4165), -EEXIST);
}

/* A clock that is set back by a minute lets nothing in again. */
static void test_clock_back(void **state)
{
        _cleanup_(replay_freep) struct replay *r = NULL;
        const int64_t iat = 1000, until = iat + LIFE;

        (void)state;
        assert_int_equal(replay_new(&r, 8), 0);
        assert_int_equal(replay_take(r, "k", "a", 1, iat, until), 0);
        for (int64_t now = iat; now <= iat + REQUEST_AGE_MAX + REPLAY_EXTRA; now++)
                assert_int_equal(replay_take(r, "k", "a", 1, now, until), -EEXIST);
        assert_int_equal(replay_take(r, "k", "b", 1, until + 20, until + 20 + LIFE), 0);
        assert_int_equal(replay_take(r, "k", "a", 1, iat + REQUEST_AGE_MAX, until), -ESTALE);
}

/* One service takes all that it can get: the others find room all the same, and it gets no more. */
static void test_one_service_fills_no_other_out(void **state)
{
        enum { MAX = 4000, SERVICES = 4 };
        _cleanup_(replay_freep) struct replay *r = NULL;
        unsigned taken = 0;

        (void)state;
        assert_int_equal(replay_new(&r, MAX), 0);
        while (take(r, "greedy", taken, SERVICES, 1000) == 0)
                taken++;
        assert_int_equal(taken, MAX - (SERVICES - 1) * share_reserve(SERVICES, MAX));
        assert_int_equal(take(r, "greedy", taken, SERVICES, 1100), -ENOSPC);
        for (unsigned i = 0; i < share_reserve(SERVICES, MAX); i++) {
                assert_int_equal(take(r, "a", i, SERVICES, 1000), 0);
                assert_int_equal(take(r, "b", i, SERVICES, 1000), 0);
                assert_int_equal(take(r, "c", i, SERVICES, 1000), 0);
        }
        assert_int_equal(replay_count(r), MAX);
        assert_int_equal(take(r, "a", MAX, SERVICES, 1000), -ENOSPC);
        assert_int_equal(take(r, "greedy", taken, SERVICES, 1000 + LIFE + 20), 0); /* all of it is over */
}

/* The documented rate, for longer than anything is remembered: nobody is declined, nothing taken twice. (A twentieth of
 * room and rate: the sum is the same.) */
static void test_five_thousand_a_second(void **state)
{
        enum { SCALE = 20, RATE = 5000 / SCALE, SECONDS = LIFE + 20 };
        _cleanup_(replay_freep) struct replay *r = NULL;
        unsigned i = 0;

        (void)state;
        if (in_valgrind())
                skip();
        assert_int_equal(replay_new(&r, REPLAY_MAX / SCALE), 0);
        for (int64_t now = 5000; now < 5000 + SECONDS; now++)
                for (unsigned k = 0; k < RATE; k++)
                        assert_int_equal(take(r, "k", i++, 3, now), 0);
        assert_true(replay_count(r) <= (size_t)RATE * (LIFE + 17));
        for (unsigned k = 1; k <= 1000; k++)
                assert_int_equal(take(r, "k", i - k, 3, 5000 + SECONDS - 1), -EEXIST);
}

static void test_shares(void **state)
{
        uint32_t used[3] = {0};

        (void)state;
        assert_int_equal(share_reserve(1, 100), 0);
        assert_int_equal(share_reserve(2, 100), 25);
        assert_int_equal(share_reserve(3, 4), 1);
        assert_int_equal(share_reserve(4, 4), 0);
        while (share_allows(used, 3, 0, 60))
                used[0]++;
        assert_int_equal(used[0], 40);
        while (share_allows(used, 3, 2, 60))
                used[2]++;
        assert_int_equal(used[2], 10);
        while (share_allows(used, 3, 1, 60))
                used[1]++;
        assert_int_equal(used[1], 10);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_remembers),
                cmocka_unit_test(test_clock_ahead),
                cmocka_unit_test(test_clock_back),
                cmocka_unit_test(test_one_service_fills_no_other_out),
                cmocka_unit_test(test_five_thousand_a_second),
                cmocka_unit_test(test_shares),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
