/*
 * Sign-ins: from the service's POST to the answer, and the metadata that stays.
 *
 * Owns struct sign_in, which lives as long as the POST. Invariant: the body has the form of sealed.h or reaches
 * nobody, and is forwarded one recipient at a time; it is never logged or stored, and there is nothing in it that this
 * process could open. Nothing on the way of a sign-in waits for the database.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/codec/json.h"
#include "certs/jose/sealed.h"
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/relay.h"

struct sign_in {
        struct relay *relay;
        struct http_req *r;
        char tenant[TENANT_MAX + 1];
        char id[ID_MAX + 1];
        int64_t at;
        struct relay_trace trace;
        struct sealed sealed; /* in the request's body, which stays until it is answered */
        size_t n;             /* recipients whose key is live */
        size_t recipient[SEALED_RECIPIENTS_MAX];
        char connector[SEALED_RECIPIENTS_MAX][ID_MAX + 1];
};

/* Puts a sign-in that ended into the metadata. */
static void note(const struct sign_in *s, const struct dispatch_trail *trail, const char *problem, const char *reasons)
{
        struct store_sign_in row = {
                .at = s->at, .handed = trail->handed, .received = trail->received, .answered = trail->answered};

        memcpy(row.id, s->id, sizeof(row.id));
        memcpy(row.connector, trail->connector, sizeof(row.connector));
        snprintf(row.state, sizeof(row.state), "%s", trail->state);
        snprintf(row.problem, sizeof(row.problem), "%s", problem);
        wire_lines_cut(row.reasons, sizeof(row.reasons), reasons);
        journal_add(s->relay->journal, s->tenant, &row);
        metering_note(s->relay->metering, s->tenant, &row);
        relay_events_sign_in(s->relay->events, s->tenant, &row, &s->trace);
        relay_events_spans(s->relay->events, s->tenant, &row, &s->trace);
        log_debug("sign_in_ended", KV_S("tenant", s->tenant), KV_S("state", row.state), KV_S("problem", problem),
                  KV_S("connector", row.connector));
}

/* ---- what dispatch calls ---- */

static int on_share(void *arg, size_t i, struct buffer *out)
{
        struct sign_in *s = arg;

        return sealed_share(&s->sealed, s->recipient[i], out);
}

struct others {
        const struct sign_in *s;
        const struct tenant *t;
        bool some; /* one that serves some of the domains that the name may be of is enough */
        bool found;
};

/* Whether all recipients may speak for the domain: only then it may be the name's, which the relay does not know. */
static bool may_be_the_names(const struct others *o, const char *domain)
{
        for (size_t i = 0; i < o->s->n; i++)
                if (!roster_speaks_for(tenant_connector_by_id(o->t->roster, o->s->connector[i]), domain))
                        return false;
        return true;
}

struct served {
        const char *domain;
        bool found;
};

static void look_for_domain(void *arg, const char *realm)
{
        struct served *s = arg;

        s->found |= strcasecmp(realm, s->domain) == 0;
}

/* One that is ready in each domain that the name may be of, or in some. */
static void look_for_other(void *arg, const struct dispatch_view *view)
{
        struct others *o = arg;
        bool all = true, some = false;

        if (!view->ready || o->found)
                return;
        for (size_t i = 0; i < o->s->n; i++)
                if (strcmp(o->s->connector[i], view->connector) == 0) /* a recipient already */
                        return;
        for (size_t i = 0; i < o->t->roster->n_domains; i++) {
                struct served s = {o->t->roster->domains[i].name, false};

                if (!may_be_the_names(o, s.domain))
                        continue;
                connector_realms(o->t, view->connector, look_for_domain, &s);
                all &= s.found;
                some |= s.found;
        }
        o->found = o->some ? some : all;
}

/* Whether the service could seal it anew to somebody else. A second attempt has nothing after it. */
static bool has_others(const struct sign_in *s, bool some)
{
        struct others o = {.s = s, .some = some};
        struct tenant *t;

        if (id_first(s->id) < strlen(s->id) || tenant_get(s->relay, s->tenant, &t) < 0 || !t->roster)
                return false;
        o.t = t;
        dispatch_links(s->relay->dispatch, s->tenant, look_for_other, &o);
        return o.found;
}

static bool on_others(void *arg)
{
        return has_others(arg, false);
}

static bool on_alone(void *arg)
{
        return !has_others(arg, true);
}

static void on_done(void *arg, const struct dispatch_outcome *o)
{
        struct sign_in *s = arg;
        struct problem p = {.type = o->problem,
                            .detail = o->detail,
                            .instance = s->id,
                            .started_unknown = o->started_unknown,
                            .reasons = o->reasons};

        note(s, &o->trail, o->jwe ? "" : problem_word(o->problem), o->jwe ? NULL : o->reasons);
        http_on_close(s->r, NULL, NULL);
        if (o->jwe) {
                http_add_header(s->r, "Postern-Connector", o->trail.connector);
                http_add_header(s->r, "Postern-Id", s->id);
                http_reply(s->r, 200, "application/jose", o->jwe, strlen(o->jwe));
        } else {
                http_problem(s->r, &p);
        }
        free(s);
}

/* The caller hung up. */
static void on_close(void *arg)
{
        struct sign_in *s = arg;
        struct dispatch_trail trail = {.state = "cancelled", .handed = -1, .received = -1, .answered = -1};

        dispatch_cancel(s->relay->dispatch, s->tenant, s->id);
        dispatch_trail(s->relay->dispatch, s->tenant, s->id, &trail);
        note(s, &trail, "", NULL);
        free(s);
}

/* ---- the POST ---- */

static void fail_id(struct http_req *r, enum problem_type type, const char *id, const char *detail)
{
        http_problem(r, &(struct problem){.type = type, .instance = id, .detail = detail});
}

static void refuse(struct relay *relay, struct http_req *r, struct tenant *t, enum problem_type type,
                   const char *detail)
{
        api_refuse(relay, r, t, REFUSED_OWN, &(struct problem){.type = type, .detail = detail});
}

/* The id and the budget of the headers. */
static bool read_headers(struct relay *relay, struct http_req *r, struct tenant *t, const char **ret_id,
                         uint32_t *ret_budget)
{
        const char *id = http_header(r, "Postern-Id"), *budget = http_header(r, "Postern-Budget");
        uint64_t ms = BUDGET_DEFAULT;

        if (!id || !id_valid(id, strlen(id))) {
                http_fail(r, PROBLEM_MALFORMED,
                          "Postern-Id must be the request's jti: 16 to 64 characters A-Z a-z 0-9 -");
                return false;
        }
        if (budget && text_parse_u64(budget, BUDGET_LEFT_MIN, BUDGET_MAX, &ms) < 0) {
                refuse(relay, r, t, PROBLEM_MALFORMED, "Postern-Budget must be milliseconds from 50 to 15000");
                return false;
        }
        *ret_id = id;
        *ret_budget = (uint32_t)ms;
        return true;
}

/* Notes the recipients whose key is live, one per connector. */
static void match_recipients(struct sign_in *s, const struct tenant *t)
{
        for (size_t i = 0; i < s->sealed.n; i++) {
                char kid[KID_LEN + 1];
                const char *connector;
                bool known = false;

                sealed_kid(&s->sealed, i, kid);
                connector = tenant_connector_of_key(s->relay, t, kid);
                for (size_t j = 0; connector && j < s->n; j++)
                        known |= strcmp(s->connector[j], connector) == 0;
                if (!connector || known)
                        continue;
                s->recipient[s->n] = i;
                snprintf(s->connector[s->n++], sizeof(s->connector[0]), "%s", connector);
        }
}

/* Refuses what cannot be taken now, whatever it is. */
static bool may_come(struct relay *relay, struct http_req *r, struct tenant *t)
{
        const bool gone = relay->draining || sessions_are_gone(relay, t);

        if (gone)
                refuse(relay, r, t, PROBLEM_DRAINING, NULL);
        return !gone && api_media_type(relay, r, t, SEALED_TYPE);
}

/* Charges the secret that sent it, and no other of the tenant. Only what is well-formed costs. */
static bool admit(struct sign_in *s, struct tenant *t, struct tenant_secret *secret)
{
        struct problem p = {.type = PROBLEM_RATE_LIMITED};

        if (tenant_admit(s->relay, secret, &p.retry_after))
                return true;
        api_refuse(s->relay, s->r, t, REFUSED_OWN, &p);
        return false;
}

static const char *traceparent_of(struct http_req *r)
{
        const char *text = http_header(r, "traceparent");

        return text && wire_traceparent_valid(text) ? text : NULL;
}

static void submit(struct sign_in *s, uint32_t budget)
{
        const char *connectors[SEALED_RECIPIENTS_MAX];
        struct dispatch_submission submission = {
                .tenant = s->tenant,
                .id = s->id,
                .traceparent = s->trace.wanted ? s->trace.onward : traceparent_of(s->r),
                .budget_ms = budget,
                .n = s->n,
                .connectors = connectors,
                .caller = {.share = on_share, .done = on_done, .arg = s, .others = on_others, .alone = on_alone}};

        for (size_t i = 0; i < s->n; i++)
                connectors[i] = s->connector[i];
        http_on_close(s->r, on_close, s);
        int code = dispatch_submit(s->relay->dispatch, &submission);
        if (code == 0)
                return;
        http_on_close(s->r, NULL, NULL);
        fail_id(s->r, code == -EEXIST ? PROBLEM_DUPLICATE_ID : PROBLEM_INTERNAL, s->id, NULL);
        free(s);
}

void api_sign_in(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant_secret *secret;
        struct tenant *t = api_caller(relay, r, http_part(r, 0), SECRET_SERVICE, &secret);
        struct error err = {""};
        struct dispatch_trail known;
        const char *id;
        uint32_t budget;

        if (!t || !may_come(relay, r, t) || !read_headers(relay, r, t, &id, &budget) ||
            handover_hold(relay->handover, r, t, api_sign_in, budget / 2))
                return;
        const uint64_t waited = handover_waited(relay->handover);
        budget = waited + BUDGET_LEFT_MIN < budget ? budget - (uint32_t)waited : BUDGET_LEFT_MIN;
        struct sign_in *s = calloc(1, sizeof(*s));
        size_t n;
        const char *body = http_body(r, &n);
        if (!s) {
                fail_id(r, PROBLEM_INTERNAL, id, "no memory");
                return;
        }
        s->relay = relay;
        s->r = r;
        s->at = loop_wall(relay->loop);
        memcpy(s->tenant, t->name, sizeof(s->tenant));
        memcpy(s->id, id, strlen(id));
        relay_events_trace(relay->events, &s->trace, traceparent_of(r), s->id);
        if (sealed_read(&s->sealed, body, n, &err) < 0) {
                refuse(relay, r, t, PROBLEM_MALFORMED, err.text);
                free(s);
                return;
        }
        if (!admit(s, t, secret)) {
                free(s);
                return;
        }
        /* what memory knows, and no look into the database: connectors have their own memory against replay */
        if (dispatch_trail(relay->dispatch, t->name, s->id, &known) == 0) {
                fail_id(r, PROBLEM_DUPLICATE_ID, s->id, NULL);
                free(s);
                return;
        }
        match_recipients(s, t);
        if (s->n == 0) {
                note(s, &(struct dispatch_trail){.state = "failed", .handed = -1, .received = -1, .answered = -1},
                     problem_word(PROBLEM_STALE_KEYS), NULL);
                fail_id(r, PROBLEM_STALE_KEYS, s->id, NULL);
                free(s);
                return;
        }
        submit(s, budget);
}

/* ---- metadata ---- */

static void reply_row(const struct relay *relay, struct http_req *r, const struct store_sign_in *row)
{
        const struct {
                const char *name;
                int64_t ms; /* -1: it did not get so far */
        } hops[] = {{"in", 0}, {"handed", row->handed}, {"received", row->received}, {"answered", row->answered}};
        _cleanup_(buffer_free) struct buffer json = BUFFER(4096);
        struct json_writer w;

        json_write_begin(&w, &json);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "id", row->id);
        json_write_int(&w, "at", row->at);
        json_write_str(&w, "node", relay->config->node);
        json_write_opt(&w, "connector", row->connector);
        json_write_str(&w, "state", row->state);
        json_write_opt(&w, "problem", row->problem);
        if (refused_is_open(row))
                json_write_opt(&w, "detail", row->reasons);
        else
                json_write_lines(&w, "reasons", row->reasons);
        json_write_open(&w, "hops", '{');
        for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++)
                if (hops[i].ms >= 0)
                        json_write_int(&w, hops[i].name, hops[i].ms);
        json_write_close(&w, '}');
        json_write_close(&w, '}');
        if (json_write_end(&w) == 0)
                http_reply(r, 200, "application/json", json.data, json.len);
        else
                http_fail(r, PROBLEM_INTERNAL, "no memory for the answer");
}

/* What a look for a sign-in has found. */
struct found {
        struct store_sign_in rows[STORE_FOUND_MAX];
        size_t n;
};

static void take_row(void *arg, const struct msg_in *m)
{
        struct ask *a = arg;
        struct found *f = a->more;

        if (f->n < STORE_FOUND_MAX && store_frames_sign_in(m, &f->rows[f->n]))
                f->n++;
}

/* The one sign-in whose id begins so: of two attempts the first. */
static void on_beginning_found(struct ask *a, int code)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(1024);
        const struct found *f = a->more;
        struct tenant *t;
        bool one = true;

        for (size_t i = 1; i < f->n; i++)
                one &= id_same(f->rows[i].id, f->rows[0].id);
        for (size_t i = 0; !one && i < f->n; i++)
                if (buffer_printf(&text, "%s\n", f->rows[i].id) < 0)
                        break;
        if (code < 0) {
                http_fail(a->r, PROBLEM_INTERNAL, "the database failed");
        } else if (!one) {
                http_problem(a->r, &(struct problem){.type = PROBLEM_NOT_FOUND,
                                                     .detail = "the ids of several sign-ins begin so: give more of it",
                                                     .reasons = text.data});
        } else if (f->n) {
                reply_row(a->relay, a->r, &f->rows[0]);
        } else if (tenant_get(a->relay, a->tenant, &t) < 0) {
                http_fail(a->r, PROBLEM_NO_SUCH_TENANT, NULL);
        } else {
                refused_tell_absent(a->relay, t, &text);
                fail_id(a->r, PROBLEM_NOT_FOUND, a->id, text.data);
        }
}

/* What is not stored may be under way, or have ended this very moment; or it is the beginning of an id. */
static void on_sign_in_found(struct ask *a, int code)
{
        struct found *f = a->more;
        struct dispatch_trail trail;

        if (code == -ENOENT && dispatch_trail(a->relay->dispatch, a->tenant, a->id, &trail) == 0) {
                f->rows[0] = (struct store_sign_in){.at = loop_wall(a->relay->loop),
                                                    .handed = trail.handed,
                                                    .received = trail.received,
                                                    .answered = -1};
                memcpy(f->rows[0].id, a->id, sizeof(f->rows[0].id));
                snprintf(f->rows[0].state, sizeof(f->rows[0].state), "%s", trail.state);
                memcpy(f->rows[0].connector, trail.connector, sizeof(f->rows[0].connector));
                f->n = 1;
        }
        if (f->n)
                reply_row(a->relay, a->r, &f->rows[0]);
        else if (code != -ENOENT)
                http_fail(a->r, PROBLEM_INTERNAL, "the database failed");
        else if (strlen(a->id) < ID_BEGINNING_MIN)
                on_beginning_found(a, 0);
        else
                ask_store(a, &(struct store_request){.op = STORE_SIGN_INS_FIND, .tenant = a->tenant, .id = a->id},
                          take_row, on_beginning_found);
}

void api_sign_in_get(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        const struct tenant *t = api_tenant(relay, r, http_part(r, 0), 0);
        struct ask *a = t ? ask_new(relay, r, t, http_part(r, 1)) : NULL;

        if (!a)
                return;
        a->more = calloc(1, sizeof(struct found));
        a->clear = free;
        journal_flush(relay->journal);
        if (a->more)
                ask_store(a, &(struct store_request){.op = STORE_SIGN_IN, .tenant = t->name, .id = a->id}, take_row,
                          on_sign_in_found);
        else
                http_fail(r, PROBLEM_INTERNAL, "no memory");
        ask_settle(a);
}
