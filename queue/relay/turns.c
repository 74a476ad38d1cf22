/*
 * Whose turn it is to get a certificate: a few at a time and so many a second, so that a fleet which renews at once
 * costs the sign-ins beside it little, and the store's disk is not asked faster than it writes.
 *
 * Owns no request: a place lies in what waits. Invariants: at most TURNS_WAITING_MAX wait, each for TURNS_WAIT_MS at
 * most, and TURNS_WORKING_MAX are being worked on; the first who came is the first who is served; whoever finds no
 * place is told a moment of its own to come again (RFC 7030 4.2.3), so that those who were sent away do not come back
 * together.
 */
#include <errno.h>
#include <stdlib.h>

#include "queue/relay/turns.h"

#define TURNS_WORKING_MAX 4
#define TURNS_EVERY_MS 10 /* 100 a second, each half a millisecond of a processor */
#define TURNS_LATER_MS 20 /* between two who were told to come again: half of the places stay for others */
#define TURNS_LATER_MAX_MS 300000

struct turns {
        struct loop *loop;
        struct loop_timer *timer;
        TAILQ_HEAD(turns_list, turns_place) waiting;
        unsigned n_waiting, n_working;
        uint64_t next_at;  /* not before that another's turn comes */
        uint64_t promised; /* moments up to this were given away */
        uint64_t n_put_off;
};

/* For the first one's turn, or for the end of its patience. */
static void arm(struct turns *q)
{
        const struct turns_place *first = TAILQ_FIRST(&q->waiting);

        if (!first)
                loop_timer_stop(q->timer);
        else
                loop_timer_at(q->timer, q->n_working < TURNS_WORKING_MAX ? q->next_at : first->since + TURNS_WAIT_MS);
}

static void on_timer(void *arg)
{
        struct turns *q = arg;
        const uint64_t now = loop_now(q->loop);
        struct turns_place *first = TAILQ_FIRST(&q->waiting);

        if (first && now >= first->since + TURNS_WAIT_MS) {
                turns_leave(first);
                first->fn(first->arg, false);
        } else if (first && q->n_working < TURNS_WORKING_MAX && now >= q->next_at) {
                turns_leave(first);
                first->queue = q;
                first->working = true;
                q->n_working++;
                q->next_at = now + TURNS_EVERY_MS;
                first->fn(first->arg, true);
        }
        arm(q);
}

int turns_new(struct turns **ret_queue, struct loop *loop)
{
        struct turns *q = calloc(1, sizeof(*q));

        if (!q || loop_timer_new(&q->timer, loop, NULL, on_timer, q) < 0) {
                free(q);
                return -ENOMEM;
        }
        q->loop = loop;
        TAILQ_INIT(&q->waiting);
        *ret_queue = q;
        return 0;
}

struct turns *turns_free(struct turns *q)
{
        if (!q)
                return NULL;
        while (!TAILQ_EMPTY(&q->waiting))
                turns_leave(TAILQ_FIRST(&q->waiting));
        loop_timer_free(q->timer);
        free(q);
        return NULL;
}

bool turns_enter(struct turns *q, struct turns_place *place, turns_fn *fn, void *arg)
{
        if (q->n_waiting >= TURNS_WAITING_MAX)
                return false;
        *place = (struct turns_place){.queue = q, .fn = fn, .arg = arg, .since = loop_now(q->loop)};
        TAILQ_INSERT_TAIL(&q->waiting, place, entry);
        q->n_waiting++;
        arm(q);
        return true;
}

void turns_leave(struct turns_place *place)
{
        struct turns *q = place->queue;

        if (!q)
                return;
        place->queue = NULL;
        if (place->working) {
                q->n_working--;
        } else {
                TAILQ_REMOVE(&q->waiting, place, entry);
                q->n_waiting--;
        }
        place->working = false;
        arm(q);
}

uint32_t turns_later(struct turns *q)
{
        const uint64_t now = loop_now(q->loop), least = now + 1000;

        q->n_put_off++;
        q->promised = q->promised < least ? least : q->promised;
        if (q->promised < now + TURNS_LATER_MAX_MS)
                q->promised += TURNS_LATER_MS;
        return (uint32_t)((q->promised - now + 999) / 1000);
}

unsigned turns_waiting(const struct turns *q)
{
        return q->n_waiting;
}

uint64_t turns_put_off(const struct turns *q)
{
        return q->n_put_off;
}
