/*
 * When a link comes back: by the schedule that the relay sized to all its links.
 *
 * A relay that returns is waited for by all of them. Each draws a wait from the whole range once, which spreads them
 * over it, and from then on tries again as often as the range is long, so that they stay spread and no second sees more
 * of them than another. So that is also how long a relay that returns takes to have them back. A relay that ends
 * sessions as soon as they begin, or refuses them, cannot ask for no pause: that one doubles.
 *
 * Pure: no clock and no link, so that the tests can turn ten thousand of them.
 */
#include "base/ipc/loop.h"
#include "queue/link/internal.h"

#define DEFAULT_MIN 500 /* until a relay has said hello */
#define DEFAULT_MAX 2000
#define BACKOFF_MAX 30000
#define FLOOR 100 /* after a session that did not last, whatever the relay asks for; doubled each time */
#define DOUBLINGS 9
#define LOOSE 64 /* the part of a wait by which two differ */

void link_reconnect_init(struct reconnect *r)
{
        *r = (struct reconnect){.min = DEFAULT_MIN, .max = DEFAULT_MAX};
}

void link_reconnect_set(struct reconnect *r, uint32_t min, uint32_t max)
{
        r->min = min;
        r->max = max;
        r->told = true;
}

void link_reconnect_linked(struct reconnect *r)
{
        r->missed = 0;
        r->spread = false;
}

/* The first wait, near the lower bound where callers wait for what this link has. */
static uint64_t first_wait(struct reconnect *r, enum reconnect_hurry hurry)
{
        const uint64_t soon = 2 * (uint64_t)r->min;

        if (hurry == HURRY_RELAY_IS_UP)
                return loop_jitter(0, r->min);
        if (hurry == HURRY_CALLERS_WAIT && soon < r->max)
                return loop_jitter(r->min, soon);
        r->spread = true;
        return loop_jitter(r->min, r->max);
}

uint64_t link_reconnect_wait(struct reconnect *r, enum reconnect_after after, enum reconnect_hurry hurry)
{
        uint64_t wait, floor;

        if (after == RECONNECT_LASTED)
                r->missed = r->brief = 0;
        else if (after == RECONNECT_BRIEF)
                r->brief += r->brief < DOUBLINGS;
        else
                r->missed += r->missed < DOUBLINGS;
        if (r->brief > 1) {
                floor = (uint64_t)FLOOR << (r->brief - 1);
                floor = floor < BACKOFF_MAX / 2 ? floor : BACKOFF_MAX / 2;
                wait = loop_jitter(floor, 2 * floor);
                return wait > r->min ? wait : r->min;
        }
        if (r->missed == 0)
                return first_wait(r, hurry);
        if (!r->told) { /* nobody knows how many links there are: the range grows */
                const uint64_t high = (uint64_t)r->max << r->missed, most = high < BACKOFF_MAX ? high : BACKOFF_MAX;

                return loop_jitter(most / 2, most);
        }
        wait = r->spread ? loop_jitter(r->max - r->max / LOOSE, r->max) : loop_jitter(r->min, r->max);
        r->spread = true;
        return wait > FLOOR ? wait : FLOOR;
}
