/*
 * Requests of the local dispatch: from submission to the one answer of the caller.
 *
 * Owns every struct request. Invariants: a request is on at most one link; it moves to another candidate only
 * out of REQUEST_QUEUED (withdrawn, so not a byte of it left) or through a decline that permits it; every
 * submission ends in exactly one done or in a cancel, by its own deadline timer at the latest. Links, credit
 * and readiness: dispatch-link.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/error.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/dispatch-internal.h"

#define SWEEP_MS 5000
/* The caller is answered this much before its budget ends, so that the answer arrives in time: a twentieth,
 * at most this. */
#define MARGIN_MAX 100

/* ---- tables ---- */

struct request *request_find(struct dispatch *d, const char *tenant, const char *id)
{
        return table_object(table_find(&d->requests, id, tenant), struct request, by_id);
}

struct site *site_get(struct dispatch *d, const char *tenant)
{
        struct site *s = table_object(table_find(&d->sites, tenant, NULL), struct site, by_tenant);

        if (s)
                return s;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;
        memcpy(s->tenant, tenant, strnlen(tenant, TENANT_MAX));
        TAILQ_INIT(&s->links);
        TAILQ_INIT(&s->standings);
        TAILQ_INIT(&s->parked);
        TAILQ_INIT(&s->orphans);
        table_add(&d->sites, &s->by_tenant, s->tenant, NULL);
        return s;
}

/* ---- state ---- */

/* The one writer of a request's state. */
static void request_set(struct request *r, enum request_state state)
{
        static const char *const words[] = {[REQUEST_NEW] = "waiting",
                                            [REQUEST_QUEUED] = "waiting",
                                            [REQUEST_HANDED] = "handed",
                                            [REQUEST_RECEIVED] = "received"};

        r->state = state;
        r->trail.state = state < REQUEST_ENDING ? words[state] : r->jwe || !r->problem ? "answered" : "failed";
        log_debug("request_state", KV_S("request", r->id), KV_S("state", r->trail.state),
                  KV_S("connector", r->trail.connector));
}

static int64_t since(const struct request *r)
{
        return (int64_t)(loop_now(r->d->loop) - r->began);
}

static void unpark(struct request *r)
{
        if (!r->parked)
                return;
        r->parked = false;
        r->site->n_parked--;
        TAILQ_REMOVE(&r->site->parked, r, by_link);
        loop_timer_stop(r->step);
}

void request_detach(struct request *r)
{
        unpark(r);
        if (r->orphan)
                TAILQ_REMOVE(&r->site->orphans, r, by_link);
        r->orphan = false;
        if (!r->with)
                return;
        TAILQ_REMOVE(&r->with->requests, r, by_link);
        r->with->n_requests--;
        r->with = NULL;
}

static struct request *request_free(struct request *r)
{
        table_remove(&r->by_id);
        loop_timer_free(r->deadline_timer);
        loop_timer_free(r->step);
        free(r->to);
        free(r->reasons);
        free(r->jwe);
        free(r);
        return NULL;
}

static void forget_oldest(struct dispatch *d)
{
        struct request *r = TAILQ_FIRST(&d->memory);

        TAILQ_REMOVE(&d->memory, r, by_link);
        d->n_memory--;
        request_free(r);
}

/* Into the memory of finished requests; the caller is out of it. */
static void request_retire(struct request *r)
{
        struct dispatch *d = r->d;

        request_detach(r);
        /* of many thousand finished ones no more is kept than a verdict that comes again is judged by */
        r->deadline_timer = loop_timer_free(r->deadline_timer);
        r->step = loop_timer_free(r->step);
        free(r->to);
        r->to = NULL;
        r->n_to = 0;
        r->done_at = loop_now(d->loop);
        d->in_flight--;
        r->site->in_flight--;
        r->state = REQUEST_DONE;
        TAILQ_INSERT_TAIL(&d->memory, r, by_link);
        if (++d->n_memory > DISPATCH_MEMORY_MAX)
                forget_oldest(d);
}

/* Tells the caller. */
static void deliver(struct request *r)
{
        struct dispatch_outcome o = {.jwe = r->jwe,
                                     .problem = r->problem,
                                     .started_unknown = r->started_unknown,
                                     .detail = r->detail[0] ? r->detail : NULL,
                                     .reasons = r->reasons,
                                     .trail = r->trail};
        char *jwe = r->jwe;
        const struct dispatch_caller caller = r->caller;

        request_retire(r);
        r->jwe = NULL; /* the memory of a request holds nothing sealed */
        caller.done(caller.arg, &o);
        free(jwe);
}

static void finish(struct request *r)
{
        request_detach(r);
        loop_timer_stop(r->deadline_timer);
        request_set(r, REQUEST_ENDING);
        loop_timer_in(r->step, 0);
}

void request_fail(struct request *r, enum problem_type problem, bool started_unknown, const char *detail)
{
        if (problem == PROBLEM_CONNECTOR_LOST)
                standing_note(r, END_LOST);
        else if (problem == PROBLEM_DEADLINE)
                standing_note(r, END_UNANSWERED);
        r->problem = problem;
        r->started_unknown = started_unknown;
        if (detail)
                memcpy(r->detail, detail, strnlen(detail, sizeof(r->detail) - 1));
        r->trail.answered = since(r);
        finish(r);
}

void request_answer(struct request *r, const char *jwe)
{
        if (text_set(&r->jwe, jwe) < 0) {
                request_fail(r, PROBLEM_INTERNAL, true, "no memory for the verdict");
                return;
        }
        standing_note(r, END_ANSWERED);
        r->trail.answered = since(r);
        finish(r);
}

/* ---- placing ---- */

void request_add_reason(struct request *r, const char *word)
{
        wire_lines_add(&r->reasons, word, strlen(word));
}

/* Why those who were asked said no, as one problem. */
static void fail_declined(struct request *r)
{
        const char *at = r->reasons, *line;
        bool is_full = false;
        size_t n;

        while (wire_lines_next(&at, &line, &n))
                is_full |= n == strlen("full") && memcmp(line, "full", n) == 0;
        if (is_full)
                request_fail(r, PROBLEM_BUSY, false, "every connector that was asked is full");
        else if (strcmp(r->reasons, "expired") == 0)
                request_fail(r, PROBLEM_MALFORMED, false,
                             "every connector that was asked found the request too old, or from the future: is a clock "
                             "wrong?");
        else if (strcmp(r->reasons, "stale_key") == 0)
                request_fail(r, PROBLEM_STALE_KEYS, false,
                             "the connectors have dropped the keys that this request was sealed to");
        else
                request_fail(r, PROBLEM_NOT_READY, false,
                             "every connector that was asked declined it or did not take it");
}

static void add_link_reasons(struct request *r, const struct dispatch_link *link)
{
        const char *at = link->reasons, *line;
        size_t n;

        while (wire_lines_next(&at, &line, &n))
                wire_lines_add(&r->reasons, line, n);
        if (link->silent)
                request_add_reason(r, "silent");
        if (link->draining)
                request_add_reason(r, "draining");
        if (link->quarantined)
                request_add_reason(r, "quarantined");
}

/* Nobody takes it: says which of the three ways of "nobody" it is. */
static void fail_unplaced(struct request *r)
{
        struct dispatch_link *link;
        bool linked = false, usable = false;

        if (r->d->moving) {
                request_fail(r, PROBLEM_DRAINING, false, NULL);
                return;
        }
        if (r->reasons) {
                fail_declined(r);
                return;
        }
        TAILQ_FOREACH (link, &r->site->links, entry) {
                if (dispatch_candidate_of(r, link) == r->n_to)
                        continue;
                linked = true;
                usable |= dispatch_link_is_ready(link);
                if (!dispatch_link_is_ready(link))
                        add_link_reasons(r, link);
        }
        if (usable) {
                free(r->reasons);
                r->reasons = NULL;
                request_fail(r, PROBLEM_BUSY, false, NULL);
        } else {
                request_fail(r, linked ? PROBLEM_NOT_READY : PROBLEM_NO_CONNECTOR, false, NULL);
        }
}

/* A link that only was slow lately may speak again soon: then nobody has to be told that nobody is ready. */
static bool may_wait(struct request *r)
{
        const uint64_t now = loop_now(r->d->loop), left = r->deadline > now ? r->deadline - now : 0;
        const struct dispatch_link *link;

        if (!r->parked_until)
                r->parked_until = now + (left / 2 < DISPATCH_PARKED_MS ? left / 2 : DISPATCH_PARKED_MS);
        if (now >= r->parked_until || r->site->n_parked >= r->d->limits.parked_per_tenant ||
            (r->caller.others && r->caller.others(r->caller.arg)))
                return false;
        TAILQ_FOREACH (link, &r->site->links, entry)
                if (link->silent && link->ready && !link->draining && !link->quarantined &&
                    dispatch_candidate_of(r, link) < r->n_to)
                        return true;
        return false;
}

void request_return(struct request *r, const char *why, bool again)
{
        r->with->sent--;
        r->to[r->at].tried = !again;
        request_detach(r);
        r->trail.connector[0] = '\0';
        r->trail.handed = -1;
        request_set(r, REQUEST_NEW);
        request_add_reason(r, why);
        request_place(r);
}

/* Whether nobody can be asked after the one that gets it now: no recipient that is there, however busy or slow at the
 * moment, and nobody to whom it could be sealed anew. */
static bool is_last(const struct request *r)
{
        const struct dispatch_link *link;

        TAILQ_FOREACH (link, &r->site->links, entry)
                if (link->ready && !link->draining && !link->quarantined && dispatch_candidate_of(r, link) < r->n_to)
                        return false;
        return !r->caller.alone || r->caller.alone(r->caller.arg);
}

/* Builds the event for link and sends it. 0 left, 1 waits, -errno. */
static int send_event(struct request *r, struct dispatch_link *link)
{
        struct request_event event = {.last = is_last(r)};
        struct buffer sealed = BUFFER(SEALED_SHARE_MAX);
        uint64_t now = loop_now(r->d->loop);

        memcpy(event.id, r->id, sizeof(event.id));
        memcpy(event.traceparent, r->traceparent, sizeof(event.traceparent));
        event.budget = r->deadline > now ? (uint32_t)(r->deadline - now) : 1;
        int code = r->caller.share(r->caller.arg, r->at, &sealed);
        if (code == 0) {
                event.sealed = sealed.data;
                code = link->sink.request(link->sink.arg, &event);
        }
        buffer_free(&sealed);
        return code;
}

void request_left(struct request *r)
{
        r->trail.handed = since(r);
        request_set(r, REQUEST_HANDED);
        loop_timer_in(r->step, DISPATCH_SILENT_MS);
}

void request_place(struct request *r)
{
        struct dispatch_link *link;

        while ((link = dispatch_best_link(r))) {
                r->at = dispatch_candidate_of(r, link);
                r->to[r->at].tried = true;
                int code = send_event(r, link);
                if (code < 0 && link->far) { /* there is no NATS at the moment, or it is choked */
                        r->to[r->at].tried = false;
                        dispatch_link_hush(link);
                }
                if (code < 0) /* or the stream is being dropped: not a byte of it left */
                        continue;
                link->sent++;
                r->with = link;
                r->went_far = link->far;
                TAILQ_INSERT_TAIL(&link->requests, r, by_link);
                link->n_requests++;
                memcpy(r->trail.connector, link->connector, sizeof(r->trail.connector));
                memcpy(r->boot, link->boot, sizeof(r->boot));
                request_set(r, REQUEST_QUEUED);
                if (code == 0)
                        request_left(r);
                else
                        loop_timer_in(r->step, link->far ? DISPATCH_OFFER_MS : DISPATCH_SILENT_MS);
                return;
        }
        if (!may_wait(r)) {
                fail_unplaced(r);
                return;
        }
        r->parked = true;
        r->site->n_parked++;
        TAILQ_INSERT_TAIL(&r->site->parked, r, by_link);
        loop_timer_at(r->step, r->parked_until);
}

void site_place_parked(struct site *site)
{
        struct request *r;

        /* one that waits on goes to the end */
        for (size_t n = site->n_parked; n > 0 && (r = TAILQ_FIRST(&site->parked)); n--) {
                unpark(r);
                request_place(r);
        }
}

void request_orphan(struct request *r, uint64_t until)
{
        request_detach(r);
        r->orphan = true;
        r->orphaned_at = loop_now(r->d->loop);
        TAILQ_INSERT_TAIL(&r->site->orphans, r, by_link);
        loop_timer_at(r->step, until);
}

/* ---- timers ---- */

/* A second after it was given to a link. */
static void on_unsent(struct request *r)
{
        struct dispatch_link *link = r->with;

        link->silent = true;
        dispatch_link_tell(link);
        if (!link->sink.withdraw(link->sink.arg, r->id)) {
                request_left(r);
                return;
        }
        request_return(r, "silent", link->far);
}

static void on_step(void *arg)
{
        struct request *r = arg;

        switch (r->state) {
        case REQUEST_QUEUED:
                on_unsent(r);
                return;
        case REQUEST_HANDED:
                if (r->with) {
                        r->with->silent = true;
                        dispatch_link_tell(r->with);
                        return;
                }
                break;
        case REQUEST_RECEIVED:
                break;
        case REQUEST_ENDING:
                deliver(r);
                return;
        case REQUEST_NEW:
                unpark(r);
                fail_unplaced(r);
                return;
        case REQUEST_DONE:
                return;
        }
        if (!r->with && !site_has_connector(r->site, r->trail.connector, r->boot))
                request_fail(r, PROBLEM_CONNECTOR_LOST, true, NULL);
}

/* Tells the connector that nobody waits any more; takes the request back if it never left. Whether it may
 * have been started. */
static bool call_off(struct request *r)
{
        struct dispatch_link *link = r->with;

        if (r->state == REQUEST_NEW)
                return false;
        if (r->state == REQUEST_QUEUED && link && link->sink.withdraw(link->sink.arg, r->id)) {
                link->sent--;
                return false;
        }
        if (link)
                link->sink.cancel(link->sink.arg, r->id);
        return true;
}

static void on_deadline(void *arg)
{
        struct request *r = arg;

        request_fail(r, PROBLEM_DEADLINE, call_off(r), NULL);
}

static void on_sweep(void *arg)
{
        struct dispatch *d = arg;
        struct request *r;

        while ((r = TAILQ_FIRST(&d->memory)) && r->done_at + DISPATCH_MEMORY_MS <= loop_now(d->loop))
                forget_oldest(d);
        loop_timer_in(d->sweep, SWEEP_MS);
}

/* ---- callers ---- */

static struct request *request_new(struct dispatch *d, const struct dispatch_submission *s)
{
        struct request *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        r->d = d;
        r->caller = s->caller;
        r->hop = s->hop;
        memcpy(r->id, s->id, strnlen(s->id, ID_MAX));
        if (s->traceparent)
                memcpy(r->traceparent, s->traceparent, strnlen(s->traceparent, sizeof(r->traceparent) - 1));
        r->to = calloc(REQUEST_TO_MAX, sizeof(*r->to));
        for (; r->to && r->n_to < s->n && r->n_to < REQUEST_TO_MAX; r->n_to++)
                memcpy(r->to[r->n_to].connector, s->connectors[r->n_to], strnlen(s->connectors[r->n_to], ID_MAX));
        r->trail = (struct dispatch_trail){.state = "waiting", .handed = -1, .received = -1, .answered = -1};
        r->site = site_get(d, s->tenant);
        if (r->to && r->site && loop_timer_new(&r->deadline_timer, d->loop, r->id, on_deadline, r) == 0 &&
            loop_timer_new(&r->step, d->loop, r->id, on_step, r) == 0)
                return r;
        loop_timer_free(r->deadline_timer);
        free(r->to);
        free(r);
        return NULL;
}

int dispatch_submit(struct dispatch *d, const struct dispatch_submission *s)
{
        struct request *r;
        uint32_t margin = s->budget_ms / 20 < MARGIN_MAX ? s->budget_ms / 20 : MARGIN_MAX;

        r = request_find(d, s->tenant, s->id);
        if (r && !(s->hop && r->state == REQUEST_DONE && r->problem && !r->started_unknown))
                return -EEXIST;
        if (r) { /* this node declined it before, for another of its recipients */
                TAILQ_REMOVE(&d->memory, r, by_link);
                d->n_memory--;
                request_free(r);
        }
        if (!(r = request_new(d, s)))
                return -ENOMEM;
        table_add(&d->requests, &r->by_id, r->id, r->site->tenant);
        d->in_flight++;
        r->site->in_flight++;
        r->began = loop_now(d->loop);
        r->deadline = r->began + s->budget_ms - margin;
        loop_timer_at(r->deadline_timer, r->deadline);
        if (d->draining)
                request_fail(r, PROBLEM_DRAINING, false, NULL);
        else if (r->site->in_flight > d->limits.in_flight_per_tenant)
                request_fail(r, PROBLEM_BUSY, false, "too many sign-ins of this tenant are in flight");
        else
                request_place(r);
        return 0;
}

void dispatch_cancel(struct dispatch *d, const char *tenant, const char *id)
{
        struct request *r = request_find(d, tenant, id);

        if (!r || r->state == REQUEST_DONE)
                return;
        standing_note(r, END_CANCELLED);
        if (r->state != REQUEST_ENDING)
                r->started_unknown = call_off(r);
        request_retire(r);
        free(r->jwe);
        r->jwe = NULL; /* as in deliver */
        r->problem = r->problem ? r->problem : PROBLEM_DEADLINE;
        r->trail.state = "cancelled";
        r->trail.answered = -1;
}

int dispatch_trail(struct dispatch *d, const char *tenant, const char *id, struct dispatch_trail *ret_trail)
{
        const struct request *r = request_find(d, tenant, id);

        if (!r)
                return -ENOENT;
        *ret_trail = r->trail;
        return 0;
}

size_t dispatch_in_flight(const struct dispatch *d, uint64_t *ret_oldest)
{
        const uint64_t now = loop_now(d->loop);
        uint64_t oldest = 0;

        for (struct table_node *node = NULL; ret_oldest && d->in_flight && (node = table_next(&d->requests, node));) {
                const struct request *r = table_object(node, struct request, by_id);

                if (r->state != REQUEST_ENDING && r->state != REQUEST_DONE && now - r->began > oldest)
                        oldest = now - r->began;
        }
        if (ret_oldest)
                *ret_oldest = oldest;
        return d->in_flight;
}

void dispatch_drain(struct dispatch *d, bool links_move)
{
        if (links_move)
                d->moving = true;
        else
                d->draining = true;
}

void dispatch_end(struct dispatch *d, const char *tenant)
{
        const enum problem_type problem = tenant ? PROBLEM_NO_SUCH_TENANT : PROBLEM_DRAINING;
        const char *why = tenant ? "the tenant was removed from this relay" : "the relay is going down";

        for (struct table_node *node = NULL; (node = table_next(&d->requests, node));) {
                struct request *r = table_object(node, struct request, by_id);

                if (r->state == REQUEST_ENDING || r->state == REQUEST_DONE ||
                    (tenant && strcmp(r->site->tenant, tenant) != 0))
                        continue;
                bool started = call_off(r);
                request_fail(r, started ? PROBLEM_CONNECTOR_LOST : problem, started, why);
        }
}

/* ---- life ---- */

int dispatch_new(struct dispatch **ret_dispatch, struct loop *loop, const struct dispatch_limits *limits)
{
        struct dispatch *d = calloc(1, sizeof(*d));

        if (!d || loop_timer_new(&d->sweep, loop, NULL, on_sweep, d) < 0) {
                free(d);
                return -ENOMEM;
        }
        d->loop = loop;
        d->limits = *limits;
        TAILQ_INIT(&d->memory);
        loop_timer_in(d->sweep, SWEEP_MS);
        *ret_dispatch = d;
        return 0;
}

struct dispatch *dispatch_free(struct dispatch *dispatch)
{
        struct table_node *node;

        if (!dispatch)
                return NULL;
        while ((node = table_next(&dispatch->requests, NULL)))
                request_free(table_object(node, struct request, by_id));
        while ((node = table_next(&dispatch->sites, NULL))) {
                struct site *s = table_object(node, struct site, by_tenant);

                table_remove(node);
                standings_clear(s);
                free(s);
        }
        table_clear(&dispatch->requests);
        table_clear(&dispatch->sites);
        loop_timer_free(dispatch->sweep);
        free(dispatch);
        return NULL;
}
