/*
 * Which link gets a request, by what was measured of it, and what services are told of that.
 */
#include "tests/queue/relay/dispatch_world.h"

/* ---- who gets it ---- */

#define ALL "111"

static void open_three(struct model_link *l[3], uint64_t credit)
{
        for (size_t i = 0; i < 3; i++) {
                l[i] = open_link(i, (int)i);
                report(l[i], credit, true);
        }
}

/* All that is held by l, but by those in bad, is answered at once. */
static void answer_all_but(struct model_link *l[3], int bad)
{
        for (size_t i = 0; i < w.n; i++) {
                struct model_request *r = &w.requests[i];

                if (r->holder >= 0 && r->holder != bad && !r->answers && !r->cancelled)
                        assert_int_equal(verdict(l[r->holder], r), DISPATCH_CONFIRMED);
        }
        turn();
}

static size_t asked(int connector)
{
        size_t n = 0;

        for (size_t i = 0; i < w.n; i++)
                n += w.requests[i].asked[connector];
        return n;
}

static void keep_alive(struct model_link *l[3], uint64_t ms)
{
        for (; ms > 0; ms -= ms < 400 ? ms : 400) {
                loop_fake_advance(w.loop, ms < 400 ? ms : 400);
                for (size_t i = 0; i < 3; i++)
                        report(l[i], 1 << 20, true); /* says that it is fine, whatever it does */
        }
}

static void test_equal_ones_share_the_work(void **state)
{
        struct model_link *l[3];

        (void)state;
        open_three(l, 1000);
        for (int i = 0; i < 150; i++) {
                submit(ALL, 8000);
                loop_fake_advance(w.loop, 5);
                answer_all_but(l, -1);
        }
        for (int i = 0; i < 3; i++)
                assert_in_range(asked(i), 20, 90);
}

/* One that takes everything, acknowledges it, and never answers, with two good ones beside it. */
static void test_a_black_hole_beside_good_ones(void **state)
{
        struct model_link *l[3];
        size_t lost = 0;

        (void)state;
        open_three(l, 1 << 20);
        for (int i = 0; i < 150; i++) {
                struct model_request *r = submit(ALL, 8000);

                if (r->holder == 0)
                        dispatch_received(l[0]->link, r->id);
                keep_alive(l, 200);
                answer_all_but(l, 0);
        }
        keep_alive(l, 8000);
        for (size_t i = 0; i < w.n; i++)
                lost += !w.requests[i].verdict;
        assert_int_equal(lost, asked(0));
        assert_in_range(lost, 0, 6);
}

/* And two of them beside one that is good. */
static void test_most_of_them_black_holes(void **state)
{
        struct model_link *l[3];
        size_t lost = 0;

        (void)state;
        open_three(l, 1 << 20);
        for (int i = 0; i < 150; i++) {
                struct model_request *r = submit(ALL, 4000);

                if (r->holder != 2)
                        dispatch_received(l[r->holder]->link, r->id);
                keep_alive(l, 200);
                if (r->holder == 2)
                        assert_int_equal(verdict(l[2], r), DISPATCH_CONFIRMED);
                turn();
        }
        keep_alive(l, 4000);
        for (size_t i = 0; i < w.n; i++)
                lost += !w.requests[i].verdict;
        assert_in_range(lost, 0, 12);
}

/* ---- what services are told ---- */

struct shown {
        size_t n;
        char order[N_LINKS + 1]; /* 0, 1 ...: those that are ready */
        unsigned weight[N_CONNECTORS];
};

static void show(void *arg, const struct dispatch_view *view)
{
        struct shown *s = arg;

        for (size_t i = 0; i < N_CONNECTORS; i++) {
                if (strcmp(names[i], view->connector) != 0)
                        continue;
                s->weight[i] = view->ready ? view->weight : 0;
                if (view->ready)
                        s->order[s->n++] = (char)('0' + i);
        }
}

static struct shown shown(void)
{
        struct shown s = {0};

        dispatch_links(w.d, TENANT, show, &s);
        return s;
}

/* Who answers in a fifth of the time, or answers at all, gets more: by what was measured, not by what is in hand. */
static void test_weights(void **state)
{
        static const uint64_t takes[] = {40, 200, 1600};
        struct model_link *l[3];
        struct shown s;

        (void)state;
        open_three(l, 1000);
        s = shown();
        assert_string_equal(s.order, "012");
        for (int i = 0; i < 3; i++)
                assert_int_equal(s.weight[i], 64); /* nothing was measured */
        for (int i = 0; i < 3; i++) {
                for (int k = 0; k < 30; k++) {
                        struct model_request *r = submit(i == 0 ? "100" : i == 1 ? "010" : "001", 15000);

                        loop_fake_advance(w.loop, 1);
                        dispatch_received(l[i]->link, r->id);
                        loop_fake_advance(w.loop, takes[i] / 10);
                        assert_int_equal(verdict(l[i], r), DISPATCH_CONFIRMED);
                        turn();
                }
        }
        s = shown();
        assert_int_equal(s.weight[0], 64);
        assert_int_equal(s.weight[1], 64); /* under 50 ms is as good as 4 */
        assert_int_equal(s.weight[2], 16); /* 161 ms: a fourth, near enough */
        submit("100", 15000);
        submit("100", 15000);
        s = shown();
        assert_int_equal(s.weight[0], 64);
        keep_alive(l, 60000); /* an old measurement says less and less */
        s = shown();
        assert_int_equal(s.weight[2], 64);
}

/* Said when it changes who is ready, and not with each report. */
static void test_changes_are_told(void **state)
{
        struct model_link *l[3];
        unsigned before;

        (void)state;
        open_three(l, 1000);
        before = w.n_changed;
        for (int i = 0; i < 10; i++)
                report(l[0], 1, true);
        assert_int_equal(w.n_changed, before);
        report(l[0], 1, false);
        assert_int_equal(w.n_changed, ++before);
        report(l[0], 1, true);
        assert_int_equal(w.n_changed, ++before);
        assert_int_equal(submit("010", 8000)->holder, 1);
        loop_fake_advance(w.loop, DISPATCH_SILENT_MS);
        assert_int_equal(w.n_changed, ++before); /* silent */
        report(l[1], 1, true);
        assert_int_equal(w.n_changed, ++before);
        dispatch_link_quarantine(l[2]->link, true);
        assert_int_equal(w.n_changed, ++before);
        assert_string_equal(shown().order, "01");
        dispatch_link_drain(l[0]->link);
        assert_int_equal(w.n_changed, ++before);
        assert_string_equal(shown().order, "1");
}

/* Alone it gets everything; once it has let three down it gets what no other takes; and it is tried again, once. */
static void let_down(struct model_link *l[3], int n)
{
        for (int i = 0; i < n; i++) {
                struct model_request *r = submit("100", 8000);

                assert_int_equal(r->holder, 0); /* never the last one */
                dispatch_received(l[0]->link, r->id);
                keep_alive(l, 8000);
                assert_int_equal(r->problem, PROBLEM_DEADLINE);
        }
}

static void test_the_breaker(void **state)
{
        struct model_link *l[3];
        struct model_request *r;

        (void)state;
        open_three(l, 9);
        let_down(l, 2);
        assert_int_equal(w.n_barred, 0);
        let_down(l, 1);
        assert_int_equal(w.n_barred, 1);
        assert_int_equal(w.barred_s, 30);
        for (int i = 0; i < 20; i++) {
                r = submit("110", 8000);
                assert_int_equal(r->holder, 1);
        }
        keep_alive(l, 20000);
        let_down(l, 1); /* alone: it is asked all the same */
        assert_int_equal(w.n_barred, 2);
        assert_int_equal(w.barred_s, 60);
        close_link(l[0]);
        l[0] = open_link(0, 0); /* linking again makes it no better */
        report(l[0], 9, true);
        assert_int_equal(submit("110", 8000)->holder, 1);
        dispatch_link_drain(l[1]->link);
        r = submit("110", 8000); /* the other is gone */
        assert_int_equal(r->holder, 0);
        assert_int_equal(verdict(l[0], r), DISPATCH_CONFIRMED); /* and it answers: all is forgotten */
        turn();
        l[1] = open_link(3, 1);
        report(l[1], 0, true);
        assert_int_equal(submit("110", 8000)->holder, 0);
}

/* It stands still for a while with twenty in hand, which end one after the other: it is barred once, for the shortest
 * time. */
static void test_one_pause_is_one_fault(void **state)
{
        struct model_link *l[3];
        struct model_request *r[20];

        (void)state;
        open_three(l, 30);
        for (int i = 0; i < 20; i++) {
                r[i] = submit("100", 8000);
                assert_int_equal(r[i]->holder, 0);
                dispatch_received(l[0]->link, r[i]->id);
                keep_alive(l, 200);
        }
        keep_alive(l, 8000);
        for (int i = 0; i < 20; i++)
                assert_int_equal(r[i]->problem, PROBLEM_DEADLINE);
        assert_int_equal(w.n_barred, 1);
        assert_int_equal(w.barred_s, 30);
        let_down(l, 1); /* what it gets afterwards counts again */
        assert_int_equal(w.n_barred, 2);
        assert_int_equal(w.barred_s, 60);
}

static void test_who_goes_away_trips_nothing(void **state)
{
        struct model_link *l[3];
        struct model_request *r;

        (void)state;
        open_three(l, 9);
        for (int i = 0; i < 10; i++) { /* at once, and after long */
                r = submit("100", 15000);
                assert_int_equal(r->holder, 0);
                keep_alive(l, i % 2 ? 3000 : 0);
                dispatch_cancel(w.d, TENANT, r->id);
                r->cancelled = true;
        }
        for (int i = 0; i < 10; i++) { /* nor does one whose budgets are too short for any DC */
                submit("100", 500);
                keep_alive(l, 600);
        }
        assert_int_equal(w.n_barred, 0);
        keep_alive(l, 200000); /* what was slow is long ago */
        for (int i = 0; i < 40; i++) {
                submit("110", 500);
                answer_all_but(l, -1);
        }
        assert_true(asked(0) > 22);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_equal_ones_share_the_work), TEST(test_a_black_hole_beside_good_ones),
                TEST(test_most_of_them_black_holes),  TEST(test_weights),
                TEST(test_changes_are_told),          TEST(test_the_breaker),
                TEST(test_one_pause_is_one_fault),    TEST(test_who_goes_away_trips_nothing),
        };

        return cmocka_run_group_tests_name("dispatch-choice", tests, NULL, NULL);
}
