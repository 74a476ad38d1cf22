/*
 * Which link gets a request: by what the relay measures of each connector itself, never by what the connector says of
 * its load.
 *
 * Owns struct standing, one per connector of a tenant, which outlives its links: a bad one does not become a good one
 * by linking again. Invariants: a caller who goes away counts for nothing but the time that it waited; a connector is
 * barred only for requests that it had for long enough and that ended with nothing; and who is barred still gets what
 * no other could take.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "queue/relay/dispatch-internal.h"

#define STANDINGS_MAX 1024
#define WEIGHT 0.3           /* of a new measurement in an average */
#define FLOOR_MS 50.0        /* who answers faster is as good as any other */
#define HALF_LIFE_MS 10000.0 /* an old measurement says less and less */
#define CLEARLY 1.25         /* costs that differ by less are equal */
#define OUTCLASSED 4         /* times the best */
#define PATIENCE_MS 2000     /* a request that was held so long, and not answered, counts against the connector */
#define MOMENT_MS 100        /* what ends together counts once */
#define UNANSWERED_MAX 3     /* in a row */
#define BARRED_MS 30000U
#define BARRED_DOUBLINGS 4

/* ---- standings ---- */

struct standing *standing_get(struct site *site, const char *connector)
{
        struct standing *s;

        TAILQ_FOREACH (s, &site->standings, entry) {
                if (strcmp(s->connector, connector) == 0)
                        return s;
        }
        /* where there are very many: the oldest whose connector has no link is used again */
        s = site->n_standings >= STANDINGS_MAX ? TAILQ_FIRST(&site->standings) : NULL;
        while (s && s->n_links)
                s = TAILQ_NEXT(s, entry);
        if (s) {
                TAILQ_REMOVE(&site->standings, s, entry);
                memset(s, 0, sizeof(*s));
        } else {
                s = calloc(1, sizeof(*s));
                site->n_standings += s != NULL;
        }
        if (!s)
                return NULL;
        s->worth = 1;
        memcpy(s->connector, connector, strnlen(connector, ID_MAX));
        TAILQ_INSERT_TAIL(&site->standings, s, entry);
        return s;
}

void standings_clear(struct site *site)
{
        struct standing *s;

        while ((s = TAILQ_FIRST(&site->standings))) {
                TAILQ_REMOVE(&site->standings, s, entry);
                free(s);
        }
        site->n_standings = 0;
}

/* What is left of a measurement that is so old. */
static double faded(const struct standing *s, uint64_t now)
{
        return now <= s->measured_at ? 1 : exp2(-(double)(now - s->measured_at) / HALF_LIFE_MS);
}

static double latency_now(const struct standing *s, uint64_t now)
{
        return s->latency * faded(s, now);
}

static double worth_now(const struct standing *s, uint64_t now)
{
        return 1 - (1 - s->worth) * faded(s, now);
}

static void measure(struct standing *s, uint64_t now, double latency, double worth)
{
        s->latency = latency_now(s, now) * (1 - WEIGHT) + latency * WEIGHT;
        s->worth = worth_now(s, now) * (1 - WEIGHT) + worth * WEIGHT;
        s->measured_at = now;
}

/* ---- what came of a request ---- */

static bool is_held(const struct request *r)
{
        return r->state == REQUEST_HANDED || r->state == REQUEST_RECEIVED;
}

static uint64_t held_ms(const struct request *r, uint64_t now)
{
        return is_held(r) ? now - r->began - (uint64_t)r->trail.handed : 0;
}

/* One more that ended with nothing. What ends at the same moment has one cause, and what ends with a session, sooner or
 * later, has one as well: a process that was killed is no black hole. What it had when it was barred has told all it
 * can: a pause of seconds with twenty sign-ins in hand is one fault, not twenty. */
static void count_unanswered(struct standing *s, const struct request *r, uint64_t now)
{
        const unsigned barred_ms = BARRED_MS << (s->trips < BARRED_DOUBLINGS ? s->trips : BARRED_DOUBLINGS);
        const struct dispatch_limits *limits = &r->d->limits;

        if (s->tripped_at && r->began + (uint64_t)r->trail.handed <= s->tripped_at)
                return;
        if (s->failed_at && now - s->failed_at < MOMENT_MS)
                return;
        if (r->orphan && s->death == r->orphaned_at)
                return;
        s->death = r->orphan ? r->orphaned_at : s->death;
        s->failed_at = now;
        if (++s->unanswered < UNANSWERED_MAX)
                return;
        s->trips++;
        s->tripped_at = now;
        s->barred_until = now + barred_ms;
        s->unanswered = UNANSWERED_MAX - 1; /* afterwards one more is enough */
        if (limits->barred)
                limits->barred(limits->arg, r->site->tenant, s->connector, barred_ms / 1000);
        if (limits->changed)
                limits->changed(limits->arg, r->site->tenant);
}

void standing_note(const struct request *r, enum request_end end)
{
        struct standing *s = is_held(r) ? standing_get(r->site, r->trail.connector) : NULL;
        const uint64_t now = loop_now(r->d->loop), held = held_ms(r, now);

        if (!s)
                return;
        const double so_far = latency_now(s, now), longer = fmax((double)held, so_far);
        switch (end) {
        case END_ANSWERED:
                measure(s, now, (double)held, 1);
                s->unanswered = s->trips = 0;
                s->barred_until = 0;
                if (r->with)
                        dispatch_link_tell(r->with);
                break;
        case END_DECLINED:
                measure(s, now, so_far, 0);
                break;
        case END_CANCELLED: /* it would have taken so long at least */
                measure(s, now, longer, worth_now(s, now));
                break;
        case END_UNANSWERED:
        case END_LOST:
                measure(s, now, longer, 0);
                if (end == END_LOST || held >= PATIENCE_MS)
                        count_unanswered(s, r, now);
                break;
        }
}

/* ---- choosing ---- */

bool dispatch_link_is_ready(const struct dispatch_link *link)
{
        return link->ready && !link->silent && !link->draining && !link->quarantined;
}

bool dispatch_link_has_credit(const struct dispatch_link *link)
{
        return (link->far || link->sent < link->granted) && link->n_requests < DISPATCH_CREDIT_MAX;
}

/* Once its time is over it gets one request at a time, until it answers one. */
bool dispatch_link_barred(const struct dispatch_link *link)
{
        const struct standing *s = link->standing;

        return loop_now(link->d->loop) < s->barred_until || (s->trips > 0 && link->n_requests > 0);
}

void dispatch_link_tell(struct dispatch_link *link)
{
        const struct dispatch_limits *limits = &link->d->limits;
        const bool usable = dispatch_link_is_ready(link),
                   barred = loop_now(link->d->loop) < link->standing->barred_until;

        if (usable == link->shown_usable && barred == link->shown_barred)
                return;
        link->shown_usable = usable;
        link->shown_barred = barred;
        if (limits->changed)
                limits->changed(limits->arg, link->site->tenant);
}

double dispatch_link_pace(const struct dispatch_link *link)
{
        const uint64_t now = loop_now(link->d->loop);

        return fmax(latency_now(link->standing, now), FLOOR_MS) / fmax(worth_now(link->standing, now), 0.05);
}

double dispatch_link_cost(const struct dispatch_link *link)
{
        const uint64_t now = loop_now(link->d->loop);
        const struct request *oldest = TAILQ_FIRST(&link->requests);
        double ms = latency_now(link->standing, now);

        if (oldest && (double)held_ms(oldest, now) > ms)
                ms = (double)held_ms(oldest, now);
        return fmax(ms, FLOOR_MS) * (double)(link->n_requests + 1) / fmax(worth_now(link->standing, now), 0.05);
}

size_t dispatch_candidate_of(const struct request *r, const struct dispatch_link *link)
{
        for (size_t i = 0; i < r->n_to; i++) {
                if (!r->to[i].tried && strcmp(r->to[i].connector, link->connector) == 0)
                        return i;
        }
        return r->n_to;
}

/* Which links are looked at. */
struct kind {
        bool far, barred;
};

/* Whether the link is of this kind, and could be given r, but for credit. */
static bool is_eligible(const struct request *r, const struct dispatch_link *link, struct kind kind)
{
        return link->far == kind.far && dispatch_link_is_ready(link) && dispatch_candidate_of(r, link) < r->n_to &&
               dispatch_link_barred(link) == kind.barred;
}

/*
 * The better of two that are drawn: the best for everybody would be everybody's at once. Nearly equal ones by lot;
 * those that are many times as costly as the best are not drawn, or two bad ones would be chosen between. *ret_any
 * becomes true where there is one of this kind at all, with credit or without.
 */
static struct dispatch_link *better_of_two(const struct request *r, struct kind kind, bool *ret_any)
{
        struct dispatch_link *link, *drawn[2] = {NULL, NULL};
        double best = HUGE_VAL; /* where none has credit */
        size_t n = 0;

        TAILQ_FOREACH (link, &r->site->links, entry) {
                if (!is_eligible(r, link, kind))
                        continue;
                *ret_any = true;
                if (dispatch_link_has_credit(link))
                        best = fmin(best, dispatch_link_cost(link));
        }
        TAILQ_FOREACH (link, &r->site->links, entry) {
                if (!is_eligible(r, link, kind) || !dispatch_link_has_credit(link) ||
                    dispatch_link_cost(link) > best * OUTCLASSED)
                        continue;
                n++;
                if (n <= 2)
                        drawn[n - 1] = link;
                else if (loop_jitter(1, n) <= 2)
                        drawn[loop_jitter(0, 1)] = link;
        }
        if (n < 2)
                return drawn[0];
        const double a = dispatch_link_cost(drawn[0]), b = dispatch_link_cost(drawn[1]);
        return a * CLEARLY < b ? drawn[0] : b * CLEARLY < a ? drawn[1] : drawn[loop_jitter(0, 1)];
}

struct dispatch_link *dispatch_best_link(const struct request *r)
{
        struct dispatch_link *link = NULL;
        bool any = false;

        /* who answers nothing only where there is nobody else; within that this node first, without a hop */
        for (unsigned i = 0; i < 4 && !link && !(any && i == 2); i++)
                if (!(r->hop && i % 2))
                        link = better_of_two(r, (struct kind){.far = i % 2, .barred = i >= 2}, &any);
        return link;
}
