/*
 * Judging this host's clock. Pure: no clock is read here.
 *
 * Invariant: one kind of source alone never makes the clock wrong, unless nothing is known of the relay's; sources that
 * contradict each other's direction never do.
 */
#include "connector/validator/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORTH_MS (10 * 60 * 1000) /* what a service or a DC said; the relay's word counts until its next */

const char *clock_state_text(enum clock_state state)
{
        switch (state) {
        case CLOCK_FINE:
                return "fine";
        case CLOCK_RELAY_OFF:
                return "relay_off";
        case CLOCK_SERVICE_OFF:
                return "service_off";
        case CLOCK_WRONG:
                return "wrong";
        }
        return "?";
}

void clock_note(struct clock_watch *w, enum clock_source source, const char *name, int64_t wall, uint64_t at_ms)
{
        struct clock_word *word = NULL; /* the source's own, else the oldest */

        for (size_t i = 0; i < CLOCK_SOURCES; i++) {
                struct clock_word *at = &w->words[i];

                if (at->source == source && strncmp(at->name, name, sizeof(at->name) - 1) == 0) {
                        word = at;
                        break;
                }
                if (at->source != CLOCK_RELAY && (!word || at->at < word->at))
                        word = at;
        }
        if (!word) /* all places are the relay's: it has one */
                return;
        word->source = source;
        snprintf(word->name, sizeof(word->name), "%s", name);
        word->base = wall - (int64_t)(at_ms / 1000);
        word->at = at_ms;
}

/* What the sources of one kind say together. */
struct opinion {
        unsigned fine, ahead, behind; /* how many say so of themselves, against our clock */
        int64_t by;                   /* how far one that is off is ahead of us */
};

static struct opinion opinion_of(const struct clock_watch *w, enum clock_source source, uint64_t now_ms, int64_t wall)
{
        struct opinion o = {0};

        for (size_t i = 0; i < CLOCK_SOURCES; i++) {
                const struct clock_word *word = &w->words[i];
                int64_t by = word->base + (int64_t)(now_ms / 1000) - wall;

                if (word->source != source || (source != CLOCK_RELAY && now_ms - word->at > WORTH_MS))
                        continue;
                o.ahead += by > CLOCK_OFF_S;
                o.behind += by < -CLOCK_OFF_S;
                o.fine += by <= CLOCK_OFF_S && by >= -CLOCK_OFF_S;
                o.by = by > CLOCK_OFF_S || by < -CLOCK_OFF_S ? by : o.by;
        }
        return o;
}

/* 1: most say that our clock is behind; -1: ahead; 0: they say neither. */
static int direction(const struct opinion *o)
{
        return o->ahead > o->fine + o->behind ? 1 : o->behind > o->fine + o->ahead ? -1 : 0;
}

static bool is_known(const struct opinion *o)
{
        return o->fine + o->ahead + o->behind > 0;
}

static bool agree(int a, int b)
{
        return a != 0 && a == b;
}

static void say(char *why, size_t cap, const char *whose, int64_t by, const char *rest)
{
        snprintf(why, cap, "%s %" PRId64 " s %s this host's: %s", whose, by < 0 ? -by : by,
                 by < 0 ? "behind" : "ahead of", rest);
}

enum clock_state clock_judge(const struct clock_watch *w, uint64_t now_ms, int64_t wall, char *why, size_t cap)
{
        struct opinion relay = opinion_of(w, CLOCK_RELAY, now_ms, wall), dc = opinion_of(w, CLOCK_DC, now_ms, wall),
                       service = opinion_of(w, CLOCK_SERVICE, now_ms, wall);
        int by_relay = direction(&relay), by_dc = direction(&dc), by_service = direction(&service);
        bool alone = !is_known(&relay) && ((by_dc && !is_known(&service)) || (by_service && !is_known(&dc)));

        why[0] = '\0';
        if (alone || agree(by_relay, by_dc) || agree(by_relay, by_service) || agree(by_dc, by_service)) {
                if (by_service)
                        say(why, cap, "the clocks of sign-in services are", service.by, "set this host's clock");
                else
                        say(why, cap, "the clocks of domain controllers are", dc.by, "set this host's clock");
                return CLOCK_WRONG;
        }
        if (by_relay) {
                say(why, cap, "the relay's clock is", relay.by, "it alone is off, so look at the relay's host");
                return CLOCK_RELAY_OFF;
        }
        if (by_service) {
                say(why, cap, "a sign-in service's clock is", service.by,
                    "it alone is off, so look at the service's host");
                return CLOCK_SERVICE_OFF;
        }
        return CLOCK_FINE;
}
