/*
 * Storms: as many links as a relay may have, all of which lose it at once, on the fake clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/link/internal.h"

#define LINKS_MAX 10000
#define SECONDS 400

struct one {
        struct reconnect schedule;
        struct loop_timer *timer;
        bool back;
};
static struct {
        struct loop *loop;
        struct one links[LINKS_MAX];
        size_t n, n_back;
        bool up;
        uint64_t began, back_at; /* when the last one was back */
        unsigned attempts[SECONDS], arrivals[SECONDS];
} w;

static size_t second(void)
{
        const uint64_t s = (loop_now(w.loop) - w.began) / 1000;

        assert_true(s < SECONDS);
        return (size_t)s;
}

static void try_again(void *arg)
{
        struct one *l = arg;

        w.attempts[second()]++;
        if (!w.up) {
                loop_timer_in(l->timer, link_reconnect_wait(&l->schedule, RECONNECT_MISSED, HURRY_NONE));
                return;
        }
        w.arrivals[second()]++;
        link_reconnect_linked(&l->schedule);
        l->back = true;
        w.n_back++;
        w.back_at = loop_now(w.loop);
}

static void advance(uint64_t ms)
{
        for (; ms > 0; ms -= 100)
                loop_fake_advance(w.loop, 100);
}

/* n links, of which each was told max, lose the relay, which is away for so long; back when all are back. */
static uint64_t storm(size_t n, uint32_t max, uint64_t away_ms, bool busy)
{
        uint64_t up_at;

        memset(&w, 0, sizeof(w));
        assert_int_equal(loop_new_fake(&w.loop), 0);
        w.n = n;
        w.began = loop_now(w.loop);
        for (size_t i = 0; i < n; i++) {
                struct one *l = &w.links[i];

                link_reconnect_init(&l->schedule);
                link_reconnect_set(&l->schedule, 100, max);
                assert_int_equal(loop_timer_new(&l->timer, w.loop, NULL, try_again, l), 0);
                loop_timer_in(l->timer, link_reconnect_wait(&l->schedule, RECONNECT_LASTED,
                                                            busy ? HURRY_CALLERS_WAIT : HURRY_NONE));
        }
        advance(away_ms);
        w.up = true;
        up_at = loop_now(w.loop);
        advance(61000);
        assert_int_equal(w.n_back, n);
        for (size_t i = 0; i < n; i++)
                loop_timer_free(w.links[i].timer);
        loop_free(w.loop);
        return w.back_at - up_at;
}

static unsigned most(const unsigned *per_second)
{
        unsigned n = 0;

        for (size_t i = 0; i < SECONDS - 2; i++)
                n = per_second[i] > n ? per_second[i] : n;
        return n;
}

static void ten_are_back_within_a_second(void **state)
{
        (void)state;
        assert_true(storm(10, 1000, 60000, false) <= 1000);
        assert_true(storm(10, 1000, 500, true) <= 1000);
        assert_true(storm(10, 1000, 3000, false) <= 1000);
}

/* 50 s: what the relay says where it has 10 000 links and takes 200 a second. */
static void ten_thousand_are_back_within_a_minute(void **state)
{
        static const uint64_t away[] = {0, 1000, 10000, 60000, 300000};

        (void)state;
        for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
                const uint64_t back = storm(LINKS_MAX, 50000, away[i], i % 2);

                assert_true(back <= 60000);
                /* never a crowd, but of those whose callers wait: about 200 a second, however long it was away */
                assert_in_range(most(w.arrivals), 150, 300);
                assert_in_range(most(w.attempts + 2), 150, 300);
        }
}

/* Before any hello nobody knows how many there are: the pauses grow. */
static void never_linked(void **state)
{
        struct reconnect r;
        uint64_t sum = 0, last = 0;

        (void)state;
        link_reconnect_init(&r);
        for (int i = 0; i < 40; i++)
                sum += last = link_reconnect_wait(&r, RECONNECT_MISSED, HURRY_NONE);
        assert_in_range(last, 15000, 30000);
        assert_true(sum > 500000);
        link_reconnect_linked(&r);
        link_reconnect_set(&r, 100, 1000);
        assert_true(link_reconnect_wait(&r, RECONNECT_LASTED, HURRY_NONE) <= 1000);
        assert_in_range(link_reconnect_wait(&r, RECONNECT_MISSED, HURRY_NONE), 980, 1000);
        link_reconnect_linked(&r);
        assert_in_range(link_reconnect_wait(&r, RECONNECT_LASTED, HURRY_CALLERS_WAIT), 100, 200);
        assert_in_range(link_reconnect_wait(&r, RECONNECT_MISSED, HURRY_NONE), 100, 1000);
        assert_in_range(link_reconnect_wait(&r, RECONNECT_MISSED, HURRY_NONE), 980, 1000);
}

/* Sessions that end as soon as they begin: whatever is asked for, the pauses double, until one lasts. */
static void brief_sessions(void **state)
{
        struct reconnect r;
        uint64_t sum = 0;

        (void)state;
        link_reconnect_init(&r);
        link_reconnect_set(&r, 0, 0);
        for (int i = 0; i < 8; i++) {
                link_reconnect_linked(&r);
                sum += link_reconnect_wait(&r, RECONNECT_BRIEF, HURRY_RELAY_IS_UP);
        }
        assert_in_range(sum, 25000, 51000); /* 0, 200 to 400, ... 12800 to 25600 */
        for (int i = 0; i < 8; i++)
                assert_true(link_reconnect_wait(&r, RECONNECT_BRIEF, HURRY_NONE) <= 30000);
        assert_int_equal(link_reconnect_wait(&r, RECONNECT_LASTED, HURRY_CALLERS_WAIT), 0); /* [0,0] was asked for */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ten_are_back_within_a_second),
                cmocka_unit_test(ten_thousand_are_back_within_a_minute),
                cmocka_unit_test(never_linked),
                cmocka_unit_test(brief_sessions),
        };

        return cmocka_run_group_tests_name("queue/link-reconnect", tests, NULL, NULL);
}
