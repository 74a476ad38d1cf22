/*
 * Questions of people to connectors (PROTOCOL.md, section 21): from the POST to the answer.
 *
 * A question is for one connector, goes down its newest stream beside the requests, and takes nothing of their credit
 * or their places: where the stream is not clear it is refused. Where the connector has no stream here it goes by the
 * node that has one (nodes-question.c), and to no third. It is never tried again and never stored. Invariant: each is
 * answered once, before its budget ends, or its caller has gone; it ends with the session, or the node, that took it.
 * What is in it and in its answer this process cannot read: it learns which secret asked which connector, when, and how
 * much.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/bus.h"
#include "queue/relay/relay.h"
#include "queue/wire/question.h"

#define QUESTIONS_PER_LINK 8
#define QUESTIONS_PER_TENANT 128
#define MARGIN_MS 100  /* the answer leaves so long before the caller stops waiting */
#define TAKEN_MS 1000U /* another node has not said that it has it: it is gone, or of an older version */

struct question {
        LIST_ENTRY(question) entry;
        struct relay *relay;
        char tenant[TENANT_MAX + 1], connector[ID_MAX + 1], id[ID_MAX + 1];
        struct http_req *r;         /* who waits; NULL: another node */
        struct session *session;    /* who has it; NULL: another node */
        char node[BUS_RUN_LEN + 1]; /* that one */
        uint64_t number;            /* there */
        bool taken;                 /* it has said that it has it */
        struct buffer answer;       /* what has come of it from there */
        uint64_t since, until;
        struct loop_timer *timer;
};

/* It is not in the list yet. */
static struct question *question_new(struct relay *relay, const char *tenant, const char *connector, const char *id,
                                     uint32_t budget, loop_fn *on_time)
{
        struct question *q = calloc(1, sizeof(*q));

        if (!q || loop_timer_new(&q->timer, relay->loop, NULL, on_time, q) < 0) {
                free(q);
                return NULL;
        }
        q->relay = relay;
        q->answer = BUFFER(ANSWER_JWE_MAX);
        q->since = loop_now(relay->loop);
        q->until = q->since + (budget > 2 * MARGIN_MS ? budget - MARGIN_MS : budget);
        memcpy(q->tenant, tenant, strnlen(tenant, TENANT_MAX));
        memcpy(q->connector, connector, strnlen(connector, ID_MAX));
        memcpy(q->id, id, strnlen(id, ID_MAX));
        return q;
}

static void question_free(struct question *q)
{
        loop_timer_free(q->timer);
        buffer_free(&q->answer);
        free(q);
}

static void end(struct question *q)
{
        LIST_REMOVE(q, entry);
        question_free(q);
}

static void note(const struct question *q, size_t outcome)
{
        if (q->r)
                metering_note_question(q->relay->metering, q->tenant, outcome, loop_now(q->relay->loop) - q->since);
}

/* One line for each: who, when, whom, how much; and what came of it. */
static void end_with(struct question *q, enum problem_type type, const char *detail, const char *reasons)
{
        const struct problem p = {.type = type, .instance = q->id, .detail = detail, .reasons = reasons};

        log_info("question_ended", KV_S("tenant", q->tenant), KV_S("question", q->id), KV_S("connector", q->connector),
                 KV_S("problem", problem_word(type)));
        note(q, type);
        if (q->r) {
                http_on_close(q->r, NULL, NULL);
                http_problem(q->r, &p);
        } else {
                nodes_answer_question(q->relay->nodes, q->node, q->number, NULL, 0, &p);
        }
        end(q);
}

static void end_answered(struct question *q, const char *jwe, size_t n)
{
        log_info("question_ended", KV_S("tenant", q->tenant), KV_S("question", q->id), KV_S("connector", q->connector),
                 KV_U("bytes", n), KV_U("ms", loop_now(q->relay->loop) - q->since));
        note(q, METERED_ANSWER);
        if (q->r) {
                http_on_close(q->r, NULL, NULL);
                http_add_header(q->r, "Postern-Connector", q->connector);
                http_add_header(q->r, "Postern-Id", q->id);
                http_reply(q->r, 200, "application/jose", jwe, n);
        } else {
                nodes_answer_question(q->relay->nodes, q->node, q->number, jwe, n, NULL);
        }
        end(q);
}

static void on_time(void *arg)
{
        struct question *q = arg;

        if (loop_now(q->relay->loop) < q->until)
                end_with(q, PROBLEM_NO_CONNECTOR, "the node of the relay that has its link did not take the question",
                         NULL);
        else
                end_with(q, PROBLEM_DEADLINE, "the connector did not answer in time", NULL);
}

static void on_close(void *arg)
{
        struct question *q = arg;

        note(q, METERED_CANCELLED);
        end(q);
}

void session_end_questions(struct session *s)
{
        struct question *q, *next;

        for (q = LIST_FIRST(&s->relay->questions); q; q = next) {
                next = LIST_NEXT(q, entry);
                if (q->session == s)
                        end_with(q, PROBLEM_CONNECTOR_LOST, "its link ended", NULL);
        }
}

/* ---- to the connector ---- */

/* The connector's newest stream that is in use. */
static struct session *stream_of(struct tenant *t, const char *connector)
{
        struct session *s, *found = NULL;

        TAILQ_FOREACH (s, &t->sessions, entry)
                if (strcmp(s->connector, connector) == 0 && !s->superseded && !s->asked_at)
                        found = s;
        return found;
}

/* How many there are of the tenant: with one session (NULL: with any), and of one id (NULL: of any). */
static unsigned count(const struct relay *relay, const char *tenant, const struct session *s, const char *id)
{
        const struct question *q;
        unsigned n = 0;

        LIST_FOREACH (q, &relay->questions, entry)
                n += strcmp(q->tenant, tenant) == 0 && (!s || q->session == s) && (!id || strcmp(q->id, id) == 0);
        return n;
}

/* Whether it may be put now; s NULL: there is no stream here. Otherwise the problem. */
static bool has_room(struct relay *relay, const struct tenant *t, const char *connector, const struct session *s,
                     struct problem *p)
{
        if (tenant_is_quarantined(relay, t, connector)) {
                p->type = PROBLEM_NOT_READY;
                p->reasons = "quarantined";
        } else if (count(relay, t->name, NULL, p->instance)) {
                p->type = PROBLEM_DUPLICATE_ID;
        } else if (count(relay, t->name, NULL, NULL) >= QUESTIONS_PER_TENANT ||
                   (s && (count(relay, t->name, s, NULL) >= QUESTIONS_PER_LINK || !http_stream_clear(s->r)))) {
                p->type = PROBLEM_BUSY;
                p->retry_after = 1;
        } else {
                return true;
        }
        return false;
}

/* By the stream, or by far's node where there is none. False: it cannot leave. */
static bool put(struct question *q, struct session *s, const struct far_link *far, char *share, uint32_t budget)
{
        struct request_event event = {.budget = budget, .sealed = share};
        _cleanup_(buffer_free) struct buffer line = BUFFER(EVENT_MAX);

        q->session = s;
        if (s) {
                event.seq = ++s->questions;
                (void)snprintf(event.id, sizeof(event.id), "%s", q->id);
                if (request_event_encode(&event, &line) < 0 || session_event(s, "question", line.data) < 0)
                        return false;
        } else {
                (void)snprintf(q->node, sizeof(q->node), "%s", far_node_run(far));
                q->number = nodes_pass_question(q->relay->nodes, far, q->id, (uint32_t)(q->until - q->since), share);
                if (!q->number)
                        return false;
        }
        LIST_INSERT_HEAD(&q->relay->questions, q, entry);
        loop_timer_at(q->timer, s || q->until < q->since + TAKEN_MS ? q->until : q->since + TAKEN_MS);
        return true;
}

/* ---- the POST ---- */

/* Charges the secret: QUESTIONS_PER_MINUTE to each connector of the roster. */
static bool admit(struct relay *relay, const struct tenant *t, struct tenant_secret *secret)
{
        const double burst =
                QUESTIONS_PER_MINUTE * (double)(t->roster && t->roster->n_connectors ? t->roster->n_connectors : 1);
        const uint64_t now = loop_now(relay->loop);

        secret->tokens += (double)(now - secret->tokens_at) * burst / 60000;
        secret->tokens_at = now;
        if (secret->tokens > burst)
                secret->tokens = burst;
        if (secret->tokens < 1)
                return false;
        secret->tokens -= 1;
        return true;
}

static void refuse(struct relay *relay, struct http_req *r, const struct tenant *t, const struct problem *p)
{
        metering_note_question(relay->metering, t->name, p->type, 0);
        http_problem(r, p);
}

static void ask(struct relay *relay, struct http_req *r, struct tenant *t, const struct sealed *sealed, const char *id,
                uint32_t budget, const struct tenant_secret *secret)
{
        struct problem p = {.type = PROBLEM_STALE_KEYS, .instance = id};
        _cleanup_(buffer_free) struct buffer share = BUFFER(SEALED_SHARE_MAX);
        char kid[KID_LEN + 1], who[13];

        sealed_kid(sealed, 0, kid);
        const char *connector = tenant_connector_of_key(relay, t, kid);
        struct session *s = connector ? stream_of(t, connector) : NULL;
        const struct far_link *far = connector && !s && relay->nodes ? connector_far(t, connector) : NULL;
        if (connector && !s && !far)
                p.type = PROBLEM_NO_CONNECTOR;
        if ((!s && !far) || !has_room(relay, t, connector, s, &p)) {
                refuse(relay, r, t, &p);
                return;
        }
        struct question *q = question_new(relay, t->name, connector, id, budget, on_time);
        if (q)
                q->r = r;
        if (!q || sealed_share(sealed, 0, &share) < 0 || !put(q, s, far, share.data, budget)) {
                if (q)
                        question_free(q);
                p.type = s ? PROBLEM_INTERNAL : PROBLEM_NO_CONNECTOR;
                refuse(relay, r, t, &p);
                return;
        }
        hex_encode_to(who, secret->secret.hash, 6);
        log_info("question", KV_S("tenant", t->name), KV_S("question", id), KV_S("secret", who),
                 KV_S("connector", connector), KV_S("node", s ? "" : far_node_name(far)));
        http_on_close(r, on_close, q);
}

void api_question(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant_secret *secret;
        struct tenant *t = api_caller(relay, r, http_part(r, 0), SECRET_HELPDESK, &secret);
        const char *id = http_header(r, "Postern-Id"), *budget = http_header(r, "Postern-Budget"), *body;
        struct problem p = {.type = PROBLEM_MALFORMED};
        uint64_t ms = BUDGET_DEFAULT;
        struct sealed sealed;
        struct error err = {""};
        size_t n;

        if (!t)
                return;
        body = http_body(r, &n);
        if (relay->draining || relay->moving) {
                p.type = PROBLEM_DRAINING;
        } else if (!api_media_type(relay, r, t, SEALED_TYPE)) {
                return;
        } else if (!id || !id_valid(id, strlen(id))) {
                p.detail = "Postern-Id must be the question's jti: 16 to 64 characters A-Z a-z 0-9 -";
        } else if (budget && text_parse_u64(budget, BUDGET_LEFT_MIN, BUDGET_MAX, &ms) < 0) {
                p.detail = "Postern-Budget must be milliseconds from 50 to 15000";
        } else if (sealed_read(&sealed, body, n, &err) < 0 || sealed.n != 1 || sealed.padded != PADDED_SMALL) {
                p.detail = err.text[0] ? err.text : "a question is of 2048 bytes and for one connector";
        } else if (!admit(relay, t, secret)) {
                p = (struct problem){.type = PROBLEM_RATE_LIMITED, .instance = id, .retry_after = 2};
        } else {
                ask(relay, r, t, &sealed, id, (uint32_t)ms, secret);
                return;
        }
        refuse(relay, r, t, &p);
}

/* ---- the connector's answer ---- */

void relay_link_answer(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        const char *type = http_header(r, "Content-Type"), *body;
        struct question *q = NULL;
        struct error err = {""};
        char why[32];
        struct peer peer;
        size_t n;

        if (!relay_link_peer(relay, r, &peer))
                return;
        const struct session *s = session_find(relay, http_part(r, 0));
        if (s && s->tenant == peer.tenant && strcmp(s->connector, peer.connector.id) == 0)
                LIST_FOREACH (q, &relay->questions, entry)
                        if (q->session == s && strcmp(q->id, http_part(r, 1)) == 0)
                                break;
        body = http_body(r, &n);
        if (!q) {
                http_fail(r, PROBLEM_NOT_FOUND, "nobody waits for it any more");
        } else if (type && strcmp(type, "application/jose") == 0 && n <= ANSWER_JWE_MAX && n > 0 &&
                   b64u_only(body, n, '.')) {
                end_answered(q, body, n);
                http_reply(r, 204, NULL, "", 0);
        } else if (type && strcmp(type, "application/json") == 0 && question_declined_decode(why, body, n, &err) == 0) {
                end_with(q,
                         strcmp(why, "stale_key") == 0                             ? PROBLEM_STALE_KEYS
                         : decline_may_move_on(why) && strcmp(why, "expired") != 0 ? PROBLEM_NOT_READY
                                                                                   : PROBLEM_MALFORMED,
                         NULL, why);
                http_reply(r, 204, NULL, "", 0);
        } else {
                http_fail(r, PROBLEM_MALFORMED,
                          err.text[0] ? err.text : "neither an answer nor a word why there is none");
        }
}

/* ---- by another node ---- */

void relay_question_passed(struct relay *relay, const struct question_passed *passed)
{
        struct problem p = {.type = PROBLEM_NO_CONNECTOR, .instance = passed->id};
        struct tenant *t;
        struct session *s = tenant_get(relay, passed->tenant, &t) == 0 ? stream_of(t, passed->connector) : NULL;
        struct question *q =
                s && has_room(relay, t, passed->connector, s, &p)
                        ? question_new(relay, passed->tenant, passed->connector, passed->id, passed->budget, on_time)
                        : NULL;

        if (!q || !put(q, s, NULL, passed->sealed, passed->budget)) {
                if (q)
                        question_free(q);
                nodes_answer_question(relay->nodes, passed->run, passed->number, NULL, 0, &p);
                return;
        }
        memcpy(q->node, passed->run, sizeof(q->node));
        q->number = passed->number;
        log_info("question", KV_S("tenant", q->tenant), KV_S("question", q->id), KV_S("connector", q->connector),
                 KV_S("from", passed->node));
}

/* The one of this number that the node has from here. */
static struct question *passed_to(const struct relay *relay, const char *run, uint64_t number)
{
        struct question *q;

        LIST_FOREACH (q, &relay->questions, entry)
                if (!q->session && q->number == number && (!run || strcmp(q->node, run) == 0))
                        return q;
        return NULL;
}

void relay_question_taken(struct relay *relay, const char *run, uint64_t number)
{
        struct question *q = passed_to(relay, run, number);

        if (!q || q->taken)
                return;
        q->taken = true;
        loop_timer_at(q->timer, q->until);
}

void relay_question_part(struct relay *relay, const char *run, uint64_t number, size_t total, const char *part)
{
        struct question *q = passed_to(relay, run, number);
        const size_t n = strlen(part);

        if (!q)
                return;
        if (total > ANSWER_JWE_MAX || q->answer.len + n > total || !b64u_only(part, n, '.') ||
            buffer_append(&q->answer, part, n) < 0)
                end_with(q, PROBLEM_CONNECTOR_LOST, "its answer did not come through whole", NULL);
        else if (q->answer.len == total)
                end_answered(q, q->answer.data, q->answer.len);
}

void relay_question_failed(struct relay *relay, const char *run, uint64_t number, enum problem_type type,
                           const char *reasons)
{
        struct question *q = passed_to(relay, run, number);

        if (q)
                end_with(q, type, NULL, reasons);
}

void relay_questions_drop(struct relay *relay, const char *run)
{
        struct question *q, *next;

        for (q = LIST_FIRST(&relay->questions); q; q = next) {
                next = LIST_NEXT(q, entry);
                if (strcmp(q->node, run) != 0)
                        continue;
                if (q->session) /* nobody waits any more */
                        end(q);
                else
                        end_with(q, PROBLEM_CONNECTOR_LOST, "the node of the relay that had its link is gone", NULL);
        }
}

unsigned relay_questions_waiting(const struct relay *relay)
{
        const struct question *q;
        unsigned n = 0;

        LIST_FOREACH (q, &relay->questions, entry)
                n += q->r != NULL;
        return n;
}
