/*
 * Questions of people to connectors (PROTOCOL.md, section 21): from the POST to the answer.
 *
 * A question is for one connector, goes down its newest stream beside the requests, and takes nothing of their credit
 * or their places: where the stream is not clear it is refused. It is never tried again and never stored. Invariant:
 * each is answered once, before its budget ends, or its caller has gone; it ends with the session that took it. What is
 * in it and in its answer this process cannot read: it learns which secret asked which connector, when, and how much.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/relay.h"
#include "queue/wire/question.h"

#define QUESTIONS_PER_LINK 8
#define QUESTIONS_PER_TENANT 128
#define MARGIN_MS 100 /* the answer leaves so long before the caller stops waiting */

struct question {
        LIST_ENTRY(question) entry;
        struct relay *relay;
        struct session *session;
        struct http_req *r;
        char id[ID_MAX + 1];
        uint64_t since;
        struct loop_timer *deadline;
};

static void question_free(struct question *q)
{
        LIST_REMOVE(q, entry);
        loop_timer_free(q->deadline);
        free(q);
}

/* One line for each: who, when, whom, how much; and what came of it. */
static void end_with(struct question *q, enum problem_type type, const char *detail, const char *reasons)
{
        log_info("question_ended", KV_S("tenant", q->session->tenant->name), KV_S("question", q->id),
                 KV_S("connector", q->session->connector), KV_S("problem", problem_word(type)));
        http_on_close(q->r, NULL, NULL);
        http_problem(q->r, &(struct problem){.type = type, .instance = q->id, .detail = detail, .reasons = reasons});
        question_free(q);
}

static void on_deadline(void *arg)
{
        end_with(arg, PROBLEM_DEADLINE, "the connector did not answer in time", NULL);
}

static void on_close(void *arg)
{
        question_free(arg);
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

/* The connector's newest stream that is in use. */
static struct session *stream_of(struct tenant *t, const char *connector)
{
        struct session *s, *found = NULL;

        TAILQ_FOREACH (s, &t->sessions, entry)
                if (strcmp(s->connector, connector) == 0 && !s->superseded && !s->asked_at)
                        found = s;
        return found;
}

/* How many there are; of one session, or of the whole tenant. */
static unsigned count(const struct session *of, bool tenant)
{
        const struct question *q;
        unsigned n = 0;

        LIST_FOREACH (q, &of->relay->questions, entry)
                n += tenant ? q->session->tenant == of->tenant : q->session == of;
        return n;
}

static bool is_under_way(const struct relay *relay, const struct tenant *t, const char *id)
{
        const struct question *q;

        LIST_FOREACH (q, &relay->questions, entry)
                if (q->session->tenant == t && strcmp(q->id, id) == 0)
                        return true;
        return false;
}

/* Sends it down the stream. 0 or -errno. */
static int send_event(struct session *s, const struct sealed *sealed, const char *id, uint32_t budget)
{
        struct request_event event = {.seq = ++s->questions, .budget = budget};
        _cleanup_(buffer_free) struct buffer share = BUFFER(SEALED_SHARE_MAX), line = BUFFER(EVENT_MAX);
        int r = sealed_share(sealed, 0, &share);

        (void)snprintf(event.id, sizeof(event.id), "%s", id);
        event.sealed = share.data;
        r = r < 0 ? r : request_event_encode(&event, &line);
        return r < 0 ? r : session_event(s, "question", line.data);
}

static void ask(struct relay *relay, struct http_req *r, struct session *s, const struct sealed *sealed, const char *id,
                uint32_t budget)
{
        struct question *q = calloc(1, sizeof(*q));

        if (!q || loop_timer_new(&q->deadline, relay->loop, NULL, on_deadline, q) < 0 ||
            send_event(s, sealed, id, budget) < 0) {
                if (q)
                        loop_timer_free(q->deadline);
                free(q);
                http_fail(r, PROBLEM_INTERNAL, "no memory");
                return;
        }
        q->relay = relay;
        q->session = s;
        q->r = r;
        q->since = loop_now(relay->loop);
        (void)snprintf(q->id, sizeof(q->id), "%s", id);
        LIST_INSERT_HEAD(&relay->questions, q, entry);
        loop_timer_in(q->deadline, budget > 2 * MARGIN_MS ? budget - MARGIN_MS : budget);
        http_on_close(r, on_close, q);
}

/* Whom it is for, and whether there is room; NULL: r was answered. */
static struct session *place_of(struct relay *relay, struct http_req *r, struct tenant *t, const struct sealed *sealed,
                                const char *id)
{
        struct problem p = {.type = PROBLEM_STALE_KEYS, .instance = id};
        char kid[KID_LEN + 1];
        const char *connector;
        struct session *s = NULL;

        sealed_kid(sealed, 0, kid);
        connector = tenant_connector_of_key(relay, t, kid);
        if (connector && (s = stream_of(t, connector)) == NULL)
                p.type = PROBLEM_NO_CONNECTOR;
        else if (s && tenant_is_quarantined(relay, t, connector))
                p = (struct problem){.type = PROBLEM_NOT_READY, .instance = id, .reasons = "quarantined"};
        else if (s && is_under_way(relay, t, id))
                p.type = PROBLEM_DUPLICATE_ID;
        else if (s && (count(s, false) >= QUESTIONS_PER_LINK || count(s, true) >= QUESTIONS_PER_TENANT ||
                       !http_stream_clear(s->r)))
                p = (struct problem){.type = PROBLEM_BUSY, .instance = id, .retry_after = 1};
        else if (s)
                return s;
        http_problem(r, &p);
        return NULL;
}

void api_question(void *arg, struct http_req *r)
{
        struct relay *relay = arg;
        struct tenant_secret *secret;
        struct tenant *t = api_caller(relay, r, http_part(r, 0), SECRET_HELPDESK, &secret);
        const char *id = http_header(r, "Postern-Id"), *budget = http_header(r, "Postern-Budget"), *body;
        uint64_t ms = BUDGET_DEFAULT;
        struct session *s;
        struct sealed sealed;
        struct error err = {""};
        char who[13];
        size_t n;

        if (!t)
                return;
        body = http_body(r, &n);
        if (relay->draining || relay->moving) {
                http_fail(r, PROBLEM_DRAINING, NULL);
        } else if (!api_media_type(relay, r, t, SEALED_TYPE)) {
                return;
        } else if (!id || !id_valid(id, strlen(id))) {
                http_fail(r, PROBLEM_MALFORMED,
                          "Postern-Id must be the question's jti: 16 to 64 characters A-Z a-z 0-9 -");
        } else if (budget && text_parse_u64(budget, BUDGET_LEFT_MIN, BUDGET_MAX, &ms) < 0) {
                http_fail(r, PROBLEM_MALFORMED, "Postern-Budget must be milliseconds from 50 to 15000");
        } else if (sealed_read(&sealed, body, n, &err) < 0 || sealed.n != 1 || sealed.padded != PADDED_SMALL) {
                http_fail(r, PROBLEM_MALFORMED,
                          err.text[0] ? err.text : "a question is of 2048 bytes and for one connector");
        } else if (!admit(relay, t, secret)) {
                http_problem(r, &(struct problem){.type = PROBLEM_RATE_LIMITED, .instance = id, .retry_after = 2});
        } else if ((s = place_of(relay, r, t, &sealed, id)) != NULL) {
                hex_encode_to(who, secret->secret.hash, 6);
                log_info("question", KV_S("tenant", t->name), KV_S("question", id), KV_S("secret", who),
                         KV_S("connector", s->connector));
                ask(relay, r, s, &sealed, id, (uint32_t)ms);
        }
}

/* ---- the connector's answer ---- */

static void give(struct question *q, const char *jwe, size_t n)
{
        log_info("question_ended", KV_S("tenant", q->session->tenant->name), KV_S("question", q->id),
                 KV_S("connector", q->session->connector), KV_U("bytes", n),
                 KV_U("ms", loop_now(q->relay->loop) - q->since));
        http_on_close(q->r, NULL, NULL);
        http_add_header(q->r, "Postern-Connector", q->session->connector);
        http_add_header(q->r, "Postern-Id", q->id);
        http_reply(q->r, 200, "application/jose", jwe, n);
        question_free(q);
}

static void give_declined(struct question *q, const char *why)
{
        if (strcmp(why, "stale_key") == 0)
                end_with(q, PROBLEM_STALE_KEYS, NULL, why);
        else if (decline_may_move_on(why) && strcmp(why, "expired") != 0)
                end_with(q, PROBLEM_NOT_READY, NULL, why);
        else
                end_with(q, PROBLEM_MALFORMED, NULL, why);
}

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
                give(q, body, n);
                http_reply(r, 204, NULL, "", 0);
        } else if (type && strcmp(type, "application/json") == 0 && question_declined_decode(why, body, n, &err) == 0) {
                give_declined(q, why);
                http_reply(r, 204, NULL, "", 0);
        } else {
                http_fail(r, PROBLEM_MALFORMED,
                          err.text[0] ? err.text : "neither an answer nor a word why there is none");
        }
}
