/*
 * Links of the local dispatch: readiness, credit, silence and death, and what connectors say about requests.
 *
 * Owns every struct dispatch_link. Invariants: a link gets at most `granted` requests in its session; a link
 * with a request that it did not acknowledge within a second gets nothing new until it speaks; one that
 * reports nothing for 2.4 times as long as it may is dropped and what it had ends as connector-lost, never repeated.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/relay/dispatch-internal.h"

bool site_has_connector(const struct site *site, const char *connector, const char *boot)
{
        const struct dispatch_link *link;

        TAILQ_FOREACH (link, &site->links, entry) {
                if (strcmp(link->connector, connector) == 0 && (!boot || strcmp(link->boot, boot) == 0))
                        return true;
        }
        return false;
}

/* ---- life and death ---- */

static void heard(struct dispatch_link *link)
{
        link->silent = false;
        link->last_word = loop_now(link->d->loop);
        if (link->dead_ms)
                loop_timer_in(link->dead, link->dead_ms);
}

void dispatch_link_hush(struct dispatch_link *link)
{
        link->silent = true;
        dispatch_link_tell(link);
}

void dispatch_link_heard(struct dispatch_link *link)
{
        const bool was_silent = link->silent;

        heard(link);
        if (!was_silent)
                return;
        dispatch_link_tell(link);
        site_place_parked(link->site);
}

/* Takes back what is certain not to have left; true if r moved on. */
static bool reclaim(struct dispatch_link *link, struct request *r)
{
        if (r->state != REQUEST_QUEUED)
                return false;
        if (!link->sink.withdraw(link->sink.arg, r->id)) {
                request_left(r);
                return false;
        }
        r->to[r->at].tried = !link->far; /* the connector itself was not asked */
        request_detach(r);
        r->trail.connector[0] = '\0';
        r->state = REQUEST_NEW;
        return true;
}

/* What is to become of requests that have left for the link. */
enum rest { REST_STAYS = 0, REST_FAILS, REST_WAITS };

/* What is certain not to have left is placed again, with others. */
static void take_back(struct dispatch_link *link, enum rest rest)
{
        struct request_list moving = TAILQ_HEAD_INITIALIZER(moving);
        struct request *r, *next;

        for (r = TAILQ_FIRST(&link->requests); r; r = next) {
                next = TAILQ_NEXT(r, by_link);
                if (reclaim(link, r))
                        TAILQ_INSERT_TAIL(&moving, r, by_link);
                else if (rest == REST_FAILS)
                        request_fail(r, PROBLEM_CONNECTOR_LOST, true, NULL);
                else if (rest == REST_WAITS)
                        request_orphan(r, link->last_word + link->dead_ms);
        }
        while ((r = TAILQ_FIRST(&moving))) {
                TAILQ_REMOVE(&moving, r, by_link);
                request_place(r);
        }
}

static void on_dead(void *arg)
{
        struct dispatch_link *link = arg;
        struct error why;

        link->draining = true;
        dispatch_link_tell(link);
        site_place_parked(link->site);
        log_debug("link_dead", KV_S("tenant", link->site->tenant), KV_S("connector", link->connector),
                  KV_U("requests", link->n_requests));
        take_back(link, REST_FAILS);
        error_fail(&why, 0, "no report for %u s", link->dead_ms / 1000);
        if (link->sink.drop)
                link->sink.drop(link->sink.arg, why.text);
}

/* The connector was started anew: what an earlier start had, of which no link is left, nobody will answer. */
static void end_earlier_boots(struct site *site, const char *connector)
{
        struct request *r, *next;

        for (r = TAILQ_FIRST(&site->orphans); r; r = next) {
                next = TAILQ_NEXT(r, by_link);
                if (strcmp(r->trail.connector, connector) == 0 && !site_has_connector(site, connector, r->boot))
                        request_fail(r, PROBLEM_CONNECTOR_LOST, true, "the connector was started anew");
        }
}

int dispatch_link_new(struct dispatch_link **ret_link, struct dispatch *d, const struct dispatch_peer *peer,
                      const struct dispatch_sink *sink)
{
        struct dispatch_link *link = calloc(1, sizeof(*link));

        if (!link)
                return -ENOMEM;
        link->d = d;
        link->sink = *sink;
        link->dead_ms = peer->dead_ms;
        link->far = peer->far;
        link->site = site_get(d, peer->tenant);
        link->standing = link->site ? standing_get(link->site, peer->connector) : NULL;
        memcpy(link->connector, peer->connector, strnlen(peer->connector, ID_MAX));
        memcpy(link->boot, peer->boot, strnlen(peer->boot, BOOT_LEN));
        TAILQ_INIT(&link->requests);
        if (!link->standing || loop_timer_new(&link->dead, d->loop, NULL, on_dead, link) < 0) {
                free(link);
                return -ENOMEM;
        }
        link->standing->n_links++;
        TAILQ_INSERT_TAIL(&link->site->links, link, entry);
        end_earlier_boots(link->site, link->connector);
        heard(link);
        if (peer->dead_ms && peer->first_ms > peer->dead_ms)
                loop_timer_in(link->dead, peer->first_ms);
        *ret_link = link;
        return 0;
}

void dispatch_link_gone(struct dispatch_link *link)
{
        struct request *r;
        bool alone, replaced;

        TAILQ_REMOVE(&link->site->links, link, entry);
        link->standing->n_links--;
        alone = !site_has_connector(link->site, link->connector, link->boot);
        replaced = alone && site_has_connector(link->site, link->connector, NULL); /* by a newer start */
        take_back(link, replaced ? REST_FAILS : REST_WAITS);
        if (replaced) /* what this start's other links had before */
                end_earlier_boots(link->site, link->connector);
        TAILQ_FOREACH (r, &link->site->orphans, by_link) /* of this start, and waited since it had another link */
                if (alone && !replaced && !loop_timer_armed(r->step) &&
                    strcmp(r->trail.connector, link->connector) == 0 && strcmp(r->boot, link->boot) == 0)
                        loop_timer_at(r->step, link->last_word + link->dead_ms);
        site_place_parked(link->site);
        loop_timer_free(link->dead);
        free(link->reasons);
        free(link);
}

void dispatch_link_sent(struct dispatch_link *link, const char *id)
{
        struct request *r = request_find(link->d, link->site->tenant, id);

        if (r && r->with == link && r->state == REQUEST_QUEUED)
                request_left(r);
}

bool dispatch_link_returned(struct dispatch_link *link, const char *id, const char *why, bool again)
{
        struct request *r = request_find(link->d, link->site->tenant, id);

        if (!r || r->with != link || (r->state != REQUEST_QUEUED && r->state != REQUEST_HANDED))
                return false;
        link->silent = link->silent || again; /* not by this link, until it speaks */
        dispatch_link_tell(link);
        request_return(r, why, again);
        return true;
}

const char *dispatch_link_reasons(const struct dispatch_link *link)
{
        return link->reasons;
}

void dispatch_link_state(struct dispatch_link *link, const struct dispatch_state *state)
{
        const bool was_silent = link->silent, took = dispatch_link_is_ready(link) && dispatch_link_has_credit(link);

        heard(link);
        if (state->granted > link->granted)
                link->granted = state->granted;
        if (link->granted > link->sent + DISPATCH_CREDIT_MAX)
                link->granted = link->sent + DISPATCH_CREDIT_MAX;
        link->ready = state->ready;
        dispatch_link_tell(link);
        free(link->reasons);
        link->reasons = NULL;
        for (size_t i = 0; i < state->n_reasons; i++)
                wire_lines_add(&link->reasons, state->reasons[i], strlen(state->reasons[i]));
        /* only where it makes a difference: reports are many */
        if (was_silent || (!took && dispatch_link_is_ready(link) && dispatch_link_has_credit(link)))
                site_place_parked(link->site);
}

void dispatch_link_allow(struct dispatch_link *link, uint32_t dead_ms)
{
        if (dead_ms <= link->dead_ms)
                return;
        link->dead_ms = dead_ms;
        heard(link);
}

void dispatch_link_drain(struct dispatch_link *link)
{
        link->draining = true;
        dispatch_link_tell(link);
        take_back(link, REST_STAYS);
        site_place_parked(link->site);
}

void dispatch_link_quarantine(struct dispatch_link *link, bool quarantined)
{
        link->quarantined = quarantined;
        dispatch_link_tell(link);
        if (quarantined)
                take_back(link, REST_STAYS);
        site_place_parked(link->site);
}

bool dispatch_link_is_quarantined(const struct dispatch_link *link)
{
        return link->quarantined;
}

/* ---- what connectors say ---- */

/* The request if this connector has it. */
static struct request *held_by(struct dispatch *d, const char *tenant, const char *connector, const char *id)
{
        struct request *r = request_find(d, tenant, id);

        if (!r || strcmp(r->trail.connector, connector) != 0)
                return NULL;
        return r->state == REQUEST_HANDED || r->state == REQUEST_RECEIVED ? r : NULL;
}

static struct request *held(struct dispatch_link *link, const char *id)
{
        return held_by(link->d, link->site->tenant, link->connector, id);
}

void dispatch_received(struct dispatch_link *link, const char *id)
{
        struct request *r = held(link, id);

        if (!r)
                return;
        if (r->with != link && !link->far) { /* its connector is back under a new session */
                request_detach(r);
                r->with = link;
                r->went_far = false;
                TAILQ_INSERT_TAIL(&link->requests, r, by_link);
                link->n_requests++;
                loop_timer_stop(r->step);
        }
        if (r->state == REQUEST_RECEIVED)
                return;
        r->trail.received = (int64_t)(loop_now(r->d->loop) - r->began);
        r->trail.state = "received";
        r->state = REQUEST_RECEIVED;
        loop_timer_stop(r->step);
        if (r->caller.received)
                r->caller.received(r->caller.arg);
}

void dispatch_declined(struct dispatch_link *link, const char *id, const char *why)
{
        struct request *r = held(link, id);
        char detail[128];

        if (!r)
                return;
        standing_note(r, END_DECLINED);
        request_detach(r);
        loop_timer_stop(r->step);
        request_add_reason(r, why);
        if (!decline_may_move_on(why)) {
                struct error text;
                error_fail(&text, 0, "the connector refused the request: %s", why);
                memcpy(detail, text.text, strnlen(text.text, sizeof(detail) - 1) + 1);
                request_fail(r, PROBLEM_MALFORMED, false, detail);
                return;
        }
        r->state = REQUEST_NEW;
        request_place(r);
}

void dispatch_lost(struct dispatch_link *link, const char *id)
{
        struct request *r = held(link, id);

        /* the other node has lost its link; the connector has shown by one of this node's that it has it still */
        if (r && !(link->far && r->with && !r->with->far))
                request_fail(r, PROBLEM_CONNECTOR_LOST, true, "the connector has lost the request");
}

static int by_text(const void *a, const void *b)
{
        return strcmp(a, b);
}

/* Of a list: what this boot was given and has left for it, and is not among the sorted ids. */
static void fail_others(const struct dispatch_link *link, struct request_list *list, char (*ids)[ID_MAX + 1], size_t n)
{
        struct request *r, *next;

        for (r = TAILQ_FIRST(list); r; r = next) {
                next = TAILQ_NEXT(r, by_link);
                if (r->state == REQUEST_QUEUED || r->went_far || strcmp(r->trail.connector, link->connector) != 0 ||
                    strcmp(r->boot, link->boot) != 0 || (n && bsearch(r->id, ids, n, sizeof(*ids), by_text)))
                        continue;
                request_fail(r, PROBLEM_CONNECTOR_LOST, true, "the connector came back without the request");
        }
}

void dispatch_in_hand(struct dispatch_link *link, char (*ids)[ID_MAX + 1], size_t n)
{
        struct dispatch_link *other;

        if (n)
                qsort(ids, n, sizeof(*ids), by_text);
        fail_others(link, &link->site->orphans, ids, n);
        TAILQ_FOREACH (other, &link->site->links, entry)
                if (other != link) /* what another node gives it may be on its way */
                        fail_others(link, &other->requests, ids, n);
}

enum dispatch_receipt dispatch_verdict_of(struct dispatch *d, const char *tenant, const char *connector, const char *id,
                                          const char *jwe)
{
        struct request *r = held_by(d, tenant, connector, id);

        if (r) {
                request_answer(r, jwe);
                return DISPATCH_CONFIRMED;
        }
        r = request_find(d, tenant, id);
        if (r && strcmp(r->trail.connector, connector) == 0 && r->trail.answered >= 0 && !r->problem)
                return DISPATCH_CONFIRMED; /* the same verdict again */
        return DISPATCH_LATE;
}

enum dispatch_receipt dispatch_verdict(struct dispatch_link *link, const char *id, const char *jwe)
{
        return dispatch_verdict_of(link->d, link->site->tenant, link->connector, id, jwe);
}

/* ---- views ---- */

/* Whether it would be given work now: one that answers nothing only where all are so. */
static bool would_take(const struct dispatch_link *link)
{
        const struct dispatch_link *other;

        if (!dispatch_link_is_ready(link) || !dispatch_link_barred(link))
                return dispatch_link_is_ready(link);
        TAILQ_FOREACH (other, &link->site->links, entry) {
                if (dispatch_link_is_ready(other) && !dispatch_link_barred(other))
                        return false;
        }
        return true;
}

struct ranked {
        const struct dispatch_link *link;
        bool ready;
        double pace;
        unsigned weight;
};

static int by_weight(const void *a, const void *b)
{
        const struct ranked *x = a, *y = b;

        if (x->ready != y->ready)
                return x->ready ? -1 : 1;
        return x->weight != y->weight ? (x->weight > y->weight ? -1 : 1)
                                      : strcmp(x->link->connector, y->link->connector);
}

/* Powers of two, so that a measurement that wavers does not change what services are told. */
static unsigned weight_of(double pace, double best)
{
        const long halvings = lround(log2(pace / best));

        return halvings < 1 ? DISPATCH_WEIGHT_MAX : halvings > 6 ? 1U : DISPATCH_WEIGHT_MAX >> halvings;
}

void dispatch_links(struct dispatch *d, const char *tenant, dispatch_view_fn *fn, void *arg)
{
        const struct site *site = site_get(d, tenant);
        const struct dispatch_link *link;
        double best = HUGE_VAL;
        struct ranked *all;
        size_t n = 0, i = 0;

        if (!site)
                return;
        TAILQ_FOREACH (link, &site->links, entry)
                n++;
        all = calloc(n + 1, sizeof(*all));
        if (!all)
                return;
        TAILQ_FOREACH (link, &site->links, entry) {
                all[i] = (struct ranked){.link = link, .ready = would_take(link), .pace = dispatch_link_pace(link)};
                best = all[i].ready ? fmin(best, all[i].pace) : best;
                i++;
        }
        for (i = 0; i < n; i++)
                all[i].weight = all[i].ready ? weight_of(all[i].pace, best) : 1;
        qsort(all, n, sizeof(*all), by_weight);
        for (i = 0; i < n; i++) {
                link = all[i].link;
                fn(arg, &(struct dispatch_view){.connector = link->connector,
                                                .boot = link->boot,
                                                .far = link->far,
                                                .ready = all[i].ready,
                                                .weight = all[i].weight,
                                                .credit = link->granted > link->sent ? link->granted - link->sent : 0,
                                                .in_hand = link->n_requests,
                                                .reasons = link->reasons});
        }
        free(all);
}

long dispatch_spare(struct dispatch *d, const char *tenant, const char *connector)
{
        const struct site *site = site_get(d, tenant);
        const struct dispatch_link *link;
        long spare = -1;

        if (!site || d->moving || d->draining)
                return -1;
        TAILQ_FOREACH (link, &site->links, entry) {
                if (link->far || strcmp(link->connector, connector) != 0 || !dispatch_link_is_ready(link))
                        continue;
                spare = spare < 0 ? 0 : spare;
                if (dispatch_link_has_credit(link))
                        spare += (long)(link->granted - link->sent);
        }
        return spare;
}
