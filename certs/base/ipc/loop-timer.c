/*
 * The loop's timers: one binary heap by (deadline, order of arming), the same for the real and the fake
 * clock.
 *
 * Invariants: timer->index is its place in the heap, or NOT_ARMED; a deadline is never before the moment of
 * arming, so what a callback arms sorts behind everything that is due already. In real mode one libevent
 * timer stands for the first entry.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ipc/loop-internal.h"

#define NOT_ARMED SIZE_MAX

/* A fake clock stands still while deferred calls run; more than this at one moment never ends. */
#define FAKE_RUNAWAY 1000000

struct loop_timer {
        struct loop_node node;
        loop_fn *fn;
        uint64_t at;
        uint64_t seq;
        size_t index;
};

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
        return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void place(struct loop *loop, size_t i, struct loop_timer *t)
{
        loop->heap[i] = t;
        t->index = i;
}

static void sift_up(struct loop *loop, size_t i, struct loop_timer *t)
{
        while (i > 0 && before(t, loop->heap[(i - 1) / 2])) {
                place(loop, i, loop->heap[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        place(loop, i, t);
}

static void sift_down(struct loop *loop, size_t i, struct loop_timer *t)
{
        for (;;) {
                size_t child = 2 * i + 1;
                if (child >= loop->n_heap)
                        break;
                if (child + 1 < loop->n_heap && before(loop->heap[child + 1], loop->heap[child]))
                        child++;
                if (!before(loop->heap[child], t))
                        break;
                place(loop, i, loop->heap[child]);
                i = child;
        }
        place(loop, i, t);
}

static void heap_remove(struct loop *loop, struct loop_timer *t)
{
        size_t i = t->index;
        struct loop_timer *last = loop->heap[--loop->n_heap];

        t->index = NOT_ARMED;
        if (last == t)
                return;
        if (i > 0 && before(last, loop->heap[(i - 1) / 2]))
                sift_up(loop, i, last);
        else
                sift_down(loop, i, last);
}

/* Sets libevent's timer for the first entry. */
static void schedule(struct loop *loop)
{
        if (loop->fake)
                return;
        if (loop->n_heap == 0) {
                (void)evtimer_del(loop->tick);
                return;
        }
        uint64_t now = loop_now(loop);
        uint64_t at = loop->heap[0]->at;
        uint64_t wait = at > now ? at - now : 0;
        struct timeval tv = {(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)};
        if (evtimer_add(loop->tick, &tv) < 0)
                abort(); /* only a lack of memory leads here; a loop without a clock must not go on */
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
        struct loop *loop = arg;

        (void)fd;
        (void)what;
        loop_timers_run(loop);
        schedule(loop);
}

static void run_one(struct loop_timer *t)
{
        struct loop *loop = t->node.loop;
        char saved_id[ID_MAX + 1];

        heap_remove(loop, t);
        loop_enter(&t->node, saved_id);
        t->fn(t->node.arg);
        loop_leave(loop, saved_id);
}

void loop_timers_run(struct loop *loop)
{
        uint64_t now = loop_now(loop);
        uint64_t end = loop->seq;
        bool was_stopped = loop->stopped;

        while (loop->stopped == was_stopped && loop->n_heap > 0 && loop->heap[0]->at <= now && loop->heap[0]->seq < end)
                run_one(loop->heap[0]);
}

bool loop_timers_next(const struct loop *loop, uint64_t *ret_at)
{
        if (loop->n_heap == 0)
                return false;
        *ret_at = loop->heap[0]->at;
        return true;
}

void loop_fake_advance(struct loop *loop, uint64_t ms)
{
        uint64_t target = loop->fake_now + ms;
        unsigned at_once = 0;

        while (loop->n_heap > 0 && loop->heap[0]->at <= target) {
                at_once = loop->heap[0]->at > loop->fake_now ? 0 : at_once + 1;
                if (at_once > FAKE_RUNAWAY)
                        abort();
                if (loop->heap[0]->at > loop->fake_now)
                        loop->fake_now = loop->heap[0]->at;
                run_one(loop->heap[0]);
        }
        loop->fake_now = target;
}

int loop_timers_init(struct loop *loop)
{
        loop->tick = evtimer_new(loop->base, on_tick, loop);
        return loop->tick ? 0 : -ENOMEM;
}

void loop_timers_free(struct loop *loop)
{
        if (loop->tick)
                event_free(loop->tick);
        free(loop->heap);
}

int loop_timer_new(struct loop_timer **ret_timer, struct loop *loop, const char *id, loop_fn *fn, void *arg)
{
        if (loop->n_timers >= loop->cap_heap) { /* there is room in the heap for every timer */
                size_t cap = loop->cap_heap ? loop->cap_heap * 2 : 64;
                struct loop_timer **heap = reallocarray(loop->heap, cap, sizeof(*heap));
                if (!heap)
                        return -ENOMEM;
                loop->heap = heap;
                loop->cap_heap = cap;
        }
        struct loop_timer *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        loop_node_init(&t->node, loop, id, arg);
        t->fn = fn;
        t->index = NOT_ARMED;
        loop->n_timers++;
        *ret_timer = t;
        return 0;
}

void loop_timer_at(struct loop_timer *timer, uint64_t at_ms)
{
        struct loop *loop = timer->node.loop;
        uint64_t now = loop_now(loop);
        const struct loop_timer *first = loop->n_heap > 0 ? loop->heap[0] : NULL;

        if (timer->node.dead)
                return;
        if (timer->index != NOT_ARMED)
                heap_remove(loop, timer);
        timer->at = at_ms > now ? at_ms : now;
        timer->seq = loop->seq++;
        sift_up(loop, loop->n_heap++, timer);
        if (first != loop->heap[0] || first == timer)
                schedule(loop);
}

void loop_timer_in(struct loop_timer *timer, uint64_t delay_ms)
{
        uint64_t now = loop_now(timer->node.loop);

        loop_timer_at(timer, delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms);
}

void loop_timer_stop(struct loop_timer *timer)
{
        /* libevent's timer may now fire early; it then finds nothing due and is set anew. */
        if (timer->index != NOT_ARMED)
                heap_remove(timer->node.loop, timer);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
        return timer->index != NOT_ARMED;
}

struct loop_timer *loop_timer_free(struct loop_timer *timer)
{
        if (!timer)
                return NULL;
        loop_timer_stop(timer);
        timer->node.loop->n_timers--;
        loop_node_free(&timer->node);
        return NULL;
}
