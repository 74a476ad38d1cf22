/*
 * Whether this host's clock is right, by what others' clocks say: the relay's, those of domain controllers that proved
 * who they are, and the iat of requests that services signed.
 *
 * None of them is believed alone: a wrong clock is ours where two kinds of them say so. The relay's alone is the
 * relay's trouble, a service's alone the service's. What they said is kept against the monotonic clock, so a wall clock
 * that is set is judged anew at once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_OFF_S 100 /* from here on requests are about to be declined (PROTOCOL.md 7.6) */
#define CLOCK_SOURCES 32

enum clock_source { CLOCK_RELAY = 1, CLOCK_DC, CLOCK_SERVICE };

struct clock_word {
        enum clock_source source; /* 0: the place is free */
        char name[64];            /* which DC, which service; "" for the relay */
        int64_t base;             /* its time less our monotonic one, s */
        uint64_t at;              /* when it said so, ms */
};

struct clock_watch {
        struct clock_word words[CLOCK_SOURCES];
};

enum clock_state {
        CLOCK_FINE = 0,    /* or nothing is known */
        CLOCK_RELAY_OFF,   /* the relay's alone is off: sign-ins go on */
        CLOCK_SERVICE_OFF, /* some services' alone */
        CLOCK_WRONG,       /* ours is: no sign-in should come here */
};

/* Notes that at monotonic time at_ms the source's clock said wall (s since the epoch). */
void clock_note(struct clock_watch *w, enum clock_source source, const char *name, int64_t wall, uint64_t at_ms);
/* Judges; now_ms and wall are ours. why gets a sentence ("" where all is well). */
enum clock_state clock_judge(const struct clock_watch *w, uint64_t now_ms, int64_t wall, char *why, size_t cap);
/* "fine", "relay_off", "service_off", "wrong". */
const char *clock_state_text(enum clock_state state);
