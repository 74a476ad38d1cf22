/*
 * How often something is noted that a peer can cause at will: `burst` times at once, then once in each
 * `every_ms`. What is not noted is counted, so that a flood shows as a number and not as rows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct limit {
        uint32_t burst, every_ms;
        uint64_t even_at; /* when all of the burst is there again; 0 at first */
        uint64_t missed;  /* not noted since the last that was */
};

/* Whether to note it, now being loop_now()'s. *ret_missed: how many were not noted before this one; false
 * with *ret_missed = 1 begins a flood. */
static inline bool limit_take(struct limit *l, uint64_t now, uint64_t *ret_missed)
{
        uint64_t from = l->even_at > now ? l->even_at : now;

        if (from - now > (uint64_t)(l->burst - 1) * l->every_ms) {
                *ret_missed = ++l->missed;
                return false;
        }
        l->even_at = from + l->every_ms;
        *ret_missed = l->missed;
        l->missed = 0;
        return true;
}
