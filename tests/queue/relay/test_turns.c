/*
 * The queue before the transport CA, on a fake clock: turns in order and at their pace, its bounds, who is put off, who
 * goes away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/relay/turns.h"

#define ASKERS 200

struct asker {
        struct turns_place place;
        unsigned turns, late;
        uint64_t at;
        bool stays; /* its work takes until the test ends it */
};

static struct {
        struct loop *loop;
        struct turns *queue;
        struct asker askers[ASKERS];
        struct asker *last; /* whose turn was last */
} w;

static int begin(void **state)
{
        (void)state;
        memset(&w, 0, sizeof(w));
        assert_int_equal(loop_new_fake(&w.loop), 0);
        assert_int_equal(turns_new(&w.queue, w.loop), 0);
        return 0;
}

static int end(void **state)
{
        (void)state;
        w.queue = turns_free(w.queue);
        w.loop = loop_free(w.loop);
        return 0;
}

static void on_turn(void *arg, bool turn)
{
        struct asker *a = arg;

        a->at = loop_now(w.loop);
        a->turns += turn;
        a->late += !turn;
        if (!turn)
                return;
        assert_true(!w.last || a > w.last); /* in the order of coming */
        w.last = a;
        if (!a->stays)
                turns_leave(&a->place);
}

static bool enter(size_t i, bool stays)
{
        w.askers[i].stays = stays;
        return turns_enter(w.queue, &w.askers[i].place, on_turn, &w.askers[i]);
}

static void test_pace(void **state)
{
        const uint64_t began = loop_now(w.loop);

        (void)state;
        for (size_t i = 0; i < TURNS_WAITING_MAX; i++)
                assert_true(enter(i, false));
        assert_int_equal(w.askers[0].turns, 0); /* never from within */
        loop_fake_advance(w.loop, 0);
        assert_int_equal(w.askers[0].turns, 1);
        assert_int_equal(w.askers[1].turns, 0);
        loop_fake_advance(w.loop, TURNS_WAIT_MS);
        for (size_t i = 0; i < TURNS_WAITING_MAX; i++) {
                assert_int_equal(w.askers[i].turns, 1);
                assert_int_equal(w.askers[i].at, began + 10 * i);
        }
        assert_int_equal(turns_waiting(w.queue), 0);
}

static void test_bounds(void **state)
{
        (void)state;
        for (size_t i = 0; i < 4; i++)
                assert_true(enter(i, true));
        loop_fake_advance(w.loop, 100);
        assert_int_equal(turns_waiting(w.queue), 0); /* four are worked on */
        for (size_t i = 4; i < 4 + TURNS_WAITING_MAX; i++)
                assert_true(enter(i, false));
        assert_false(enter(150, false));
        loop_fake_advance(w.loop, TURNS_WAIT_MS / 2);
        assert_int_equal(turns_waiting(w.queue), TURNS_WAITING_MAX);
        /* one is done: all others have their turns, one after the other */
        turns_leave(&w.askers[2].place);
        loop_fake_advance(w.loop, 1000);
        for (size_t i = 4; i < 4 + TURNS_WAITING_MAX; i++)
                assert_int_equal(w.askers[i].turns, 1);
        for (size_t i = 0; i < 4; i++)
                turns_leave(&w.askers[i].place);
}

/* While nothing gets done, nobody waits for longer than TURNS_WAIT_MS. */
static void test_patience(void **state)
{
        const uint64_t began = loop_now(w.loop);

        (void)state;
        for (size_t i = 0; i < 20; i++)
                assert_true(enter(i, true));
        loop_fake_advance(w.loop, TURNS_WAIT_MS - 1);
        assert_int_equal(turns_waiting(w.queue), 16);
        loop_fake_advance(w.loop, 1);
        assert_int_equal(turns_waiting(w.queue), 0);
        for (size_t i = 0; i < 20; i++) {
                assert_int_equal(w.askers[i].turns, i < 4);
                assert_int_equal(w.askers[i].late, i >= 4);
        }
        assert_int_equal(w.askers[19].at, began + TURNS_WAIT_MS);
        for (size_t i = 0; i < 20; i++)
                turns_leave(&w.askers[i].place);
}

static void test_going_away(void **state)
{
        (void)state;
        for (size_t i = 0; i < 10; i++)
                assert_true(enter(i, false));
        turns_leave(&w.askers[0].place);
        turns_leave(&w.askers[5].place);
        turns_leave(&w.askers[5].place); /* once is enough */
        loop_fake_advance(w.loop, 1000);
        for (size_t i = 0; i < 10; i++)
                assert_int_equal(w.askers[i].turns, i != 0 && i != 5);
}

/* Whoever is put off gets a moment of its own: of 10000 no more than 50 come in any second but the last. */
static void test_later(void **state)
{
        static unsigned in_second[400];
        unsigned last = 0;

        (void)state;
        memset(in_second, 0, sizeof(in_second));
        for (unsigned i = 0; i < 10000; i++) {
                const uint32_t s = turns_later(w.queue);

                assert_true(s >= 1 && s <= 301);
                in_second[s]++;
                last = s > last ? s : last;
        }
        assert_int_equal(turns_put_off(w.queue), 10000);
        assert_true(last >= 200 && last <= 202);
        for (unsigned s = 0; s <= last; s++)
                assert_true(in_second[s] <= 50);
        /* they are served by and by, and who comes then waits no longer than needed */
        loop_fake_advance(w.loop, 205000);
        assert_true(turns_later(w.queue) <= 2);
        for (unsigned i = 0; i < 100000; i++)
                assert_true(turns_later(w.queue) <= 301);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_pace, begin, end),
                cmocka_unit_test_setup_teardown(test_bounds, begin, end),
                cmocka_unit_test_setup_teardown(test_patience, begin, end),
                cmocka_unit_test_setup_teardown(test_going_away, begin, end),
                cmocka_unit_test_setup_teardown(test_later, begin, end),
        };

        return cmocka_run_group_tests_name("relay/turns", tests, NULL, NULL);
}
