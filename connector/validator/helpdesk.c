/*
 * One question of a person: opened, checked, noted and looked up by the ledger, answered.
 *
 * Invariant: the ledger hears of a question before anything of its answer exists, and searches no other domains than
 * the roster gives to the person; what nobody of the roster signed is noted only now and then. What the ledger found is
 * known by a number of this process's own, since an id is chosen by whoever asks and told by whoever carries it.
 * Questions have a memory against replay, a rate and places of their own: they take nothing of a sign-in's. No password
 * is ever in one.
 */
#include "connector/validator/helpdesk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/secret.h"
#include "connector/frames/messages.h"
#include "connector/validator/intake.h"
#include "connector/validator/limit.h"
#include "connector/validator/replay.h"
#include "queue/wire/question.h"

#define REPLAY_QUESTIONS 16384
#define MARGIN_MS 200           /* for the way back */
#define STRANGERS_EVERY_MS 1000 /* answers to whom the roster does not know: a signature may be dear */
#define STRANGERS_BURST 10
#define REFUSED_EVERY_MS 1000 /* to whom it knows, whom the rate does not bound yet or any more */
#define REFUSED_BURST 60

_Static_assert(FOUND_MAX <= ANSWER_BODY_MAX && FOUND_ROWS_MAX == QUESTION_ROWS_MAX, "what is found fits an answer");

/* How often one key has asked lately. */
struct asker {
        char kid[KID_LEN + 1];
        struct limit limit;
};

/* One that waits for the ledger. */
struct pending {
        struct helpdesk *all;
        bool used;
        uint64_t number; /* of its query */
        char id[ID_MAX + 1], person[ID_MAX + 1], req[KID_LEN + 1];
        uint8_t rk[32];
        struct buffer found;
        struct loop_timer *timer;
};

struct helpdesk {
        struct helpdesk_config c;
        struct replay *replay;
        struct limit strangers, refused;
        uint64_t numbers; /* of queries, so far */
        struct asker askers[ROSTER_PEOPLE_MAX];
        struct pending pending[HELPDESK_PENDING_MAX];
};

/* A question that could be opened. */
struct opened {
        const char *id;
        struct question_claims claims;
        char req[KID_LEN + 1], kid[KID_LEN + 1];
        const struct roster_member *person; /* NULL: nobody of the roster signed it */
        uint64_t deadline;
};

/* ---- answers ---- */

static void decline(const struct helpdesk *q, const char *id, const char *why, const struct error *detail)
{
        struct msg_out m;

        log_info("question.declined", KV_S("why", why), KV_S("detail", detail ? detail->text : ""));
        msg_begin(&m, FRAME_ANSWER);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_WHY, why);
        (void)q->c.to_link(q->c.arg, &m);
}

static void send_parts(const struct helpdesk *q, const char *id, const struct buffer *jwe)
{
        uint64_t part = 0;
        struct msg_out m;

        for (size_t at = 0; at < jwe->len; part++) {
                const size_t n = jwe->len - at < ANSWER_PART_MAX ? jwe->len - at : ANSWER_PART_MAX;

                msg_begin(&m, FRAME_ANSWER);
                msg_str(&m, TAG_ID, id);
                msg_u64(&m, TAG_PART, part);
                msg_u64(&m, TAG_TOTAL, jwe->len);
                msg_bytes(&m, TAG_ANSWER, jwe->data + at, n);
                if (q->c.to_link(q->c.arg, &m) < 0)
                        return;
                at += n;
        }
}

/* Signs and seals; body with ANSWER_OK alone. */
static void answer(const struct helpdesk *q, const struct pending *p, enum answer_state state, char *body)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(ANSWER_JWE_MAX);
        const int64_t now = loop_wall(q->c.loop);
        struct answer_claims c = {.iat = now, .exp = now + VERDICT_LIFE, .state = state, .body = body};
        struct error err = {""};

        (void)snprintf(c.iss, sizeof(c.iss), "%s", q->c.connector_id);
        (void)snprintf(c.aud, sizeof(c.aud), "%s", p->person);
        (void)snprintf(c.tenant, sizeof(c.tenant), "%s", q->c.tenant);
        (void)snprintf(c.jti, sizeof(c.jti), "%s", p->id);
        (void)snprintf(c.req, sizeof(c.req), "%s", p->req);
        if (answer_seal(&c, enckeys_signer(q->c.keys, now), p->rk, &jwe, &err) == 0)
                send_parts(q, p->id, &jwe);
        else
                log_error("question.not_answered", KV_S("why", err.text));
}

static void settle(struct pending *p)
{
        loop_timer_stop(p->timer);
        buffer_free(&p->found);
        wipe(p->rk, sizeof(p->rk));
        p->used = false;
}

static void fill(struct pending *p, const struct opened *o)
{
        (void)snprintf(p->id, sizeof(p->id), "%s", o->id);
        (void)snprintf(p->person, sizeof(p->person), "%s", o->claims.iss);
        memcpy(p->req, o->req, sizeof(p->req));
        memcpy(p->rk, o->claims.rk, sizeof(p->rk));
}

/* ---- the ledger ---- */

/* Those of the person's domains that this connector serves, a line each. How many of the connector's are not theirs. */
static size_t put_domains(const struct helpdesk *q, const struct roster_member *person, struct buffer *lines)
{
        size_t others = 0;

        for (size_t i = 0; i < q->c.n_domains; i++)
                if (!roster_speaks_for(person, q->c.domains[i]) || buffer_printf(lines, "%s\n", q->c.domains[i]) < 0)
                        others++;
        return others;
}

/* Tells the ledger who asks what, under the next number; refused: it is only noted. */
static int to_ledger(struct helpdesk *q, const struct opened *o, const char *domains, const char *refused)
{
        const struct question_claims *c = &o->claims;
        struct msg_out m;

        msg_begin(&m, FRAME_QUERY);
        msg_u64(&m, TAG_SEQ, ++q->numbers);
        msg_str(&m, TAG_ID, o->id);
        msg_str(&m, TAG_PERSON, o->person ? o->person->name : "?");
        msg_str(&m, TAG_KID, o->kid);
        msg_str(&m, TAG_OP, question_op_text(c->op));
        if (c->what[0])
                msg_str(&m, TAG_WHAT, c->what);
        if (c->verdict[0])
                msg_str(&m, TAG_VERDICT, c->verdict);
        if (c->since)
                msg_u64(&m, TAG_SINCE, (uint64_t)c->since);
        if (c->until)
                msg_u64(&m, TAG_UNTIL, (uint64_t)c->until);
        if (c->limit)
                msg_u64(&m, TAG_LIMIT, c->limit);
        if (domains)
                msg_str(&m, TAG_DOMAINS, domains);
        if (refused)
                msg_str(&m, TAG_REFUSED, refused);
        return q->c.to_ledger(q->c.arg, &m);
}

static void refuse(struct helpdesk *q, const struct opened *o, enum answer_state state)
{
        struct pending p = {.used = true};
        uint64_t missed;

        if (!limit_take(o->person ? &q->refused : &q->strangers, loop_now(q->c.loop), &missed)) {
                decline(q, o->id, "full", NULL);
                return;
        }
        log_warning("question.refused", KV_S("why", answer_state_text(state)),
                    KV_S("person", o->person ? o->person->name : ""), KV_S("key", o->kid));
        (void)to_ledger(q, o, NULL, answer_state_text(state));
        fill(&p, o);
        answer(q, &p, state, NULL);
        wipe(p.rk, sizeof(p.rk));
}

static void on_late(void *arg)
{
        struct pending *p = arg;

        log_warning("question.not_found", KV_S("why", "the ledger gave no answer in time"));
        answer(p->all, p, ANSWER_UNAVAILABLE, NULL);
        settle(p);
}

static void look_up(struct helpdesk *q, const struct opened *o)
{
        _cleanup_(buffer_free) struct buffer domains = BUFFER(8192);
        const size_t others = put_domains(q, o->person, &domains);
        const bool whole = !others && o->claims.op == QUESTION_STATUS; /* as it is: of no domain that went */
        struct pending *p = NULL;

        if (others == q->c.n_domains) {
                refuse(q, o, ANSWER_NO_DOMAIN);
                return;
        }
        if (!others && buffer_printf(&domains, "\n") < 0) { /* and what belongs to no domain */
                refuse(q, o, ANSWER_UNAVAILABLE);
                return;
        }
        for (size_t i = 0; i < HELPDESK_PENDING_MAX && !p; i++)
                if (!q->pending[i].used)
                        p = &q->pending[i];
        if (!p) {
                decline(q, o->id, "full", NULL);
                return;
        }
        fill(p, o);
        p->used = true;
        loop_timer_at(p->timer, o->deadline);
        log_info("question.asked", KV_S("person", o->person->name), KV_S("key", o->kid),
                 KV_S("op", question_op_text(o->claims.op)));
        const int r = to_ledger(q, o, whole ? NULL : domains.data, NULL);
        p->number = q->numbers;
        if (r < 0) {
                answer(q, p, ANSWER_UNAVAILABLE, NULL);
                settle(p);
        }
}

void helpdesk_found(struct helpdesk *q, const struct msg_in *m)
{
        const uint64_t total = msg_get_u64(m, TAG_TOTAL, 0), number = msg_get_u64(m, TAG_SEQ, 0);
        struct pending *p = NULL;
        char id[ID_MAX + 1];
        const uint8_t *bytes;
        size_t n;

        if (msg_get_str(m, TAG_ID, id, sizeof(id)) < 0)
                return;
        for (size_t i = 0; i < HELPDESK_PENDING_MAX && !p; i++)
                if (q->pending[i].used && q->pending[i].number == number && strcmp(q->pending[i].id, id) == 0)
                        p = &q->pending[i];
        if (!p)
                return;
        log_set_id(id);
        bytes = msg_get_bytes(m, TAG_ANSWER, &n);
        if (bytes && total <= ANSWER_BODY_MAX && p->found.len + n <= total && memchr(bytes, '\0', n) == NULL &&
            buffer_append(&p->found, bytes, n) == 0) {
                if (p->found.len == total) {
                        answer(q, p, ANSWER_OK, p->found.data);
                        settle(p);
                }
        } else {
                answer(q, p, ANSWER_UNAVAILABLE, NULL);
                settle(p);
        }
        log_set_id(NULL);
}

/* ---- checks ---- */

/* Whether the key may ask once more; keys of people who have gone make room. */
static bool within_rate(struct helpdesk *q, const struct roster *roster, const char *kid)
{
        struct asker *place = NULL;
        uint64_t missed;

        for (size_t i = 0; i < ROSTER_PEOPLE_MAX; i++) {
                struct asker *a = &q->askers[i];

                if (strcmp(a->kid, kid) == 0)
                        return limit_take(&a->limit, loop_now(q->c.loop), &missed);
                if (!place && (!a->kid[0] || !roster_person(roster, a->kid)))
                        place = a;
        }
        if (!place)
                return false;
        *place = (struct asker){.limit = {.burst = QUESTIONS_PER_MINUTE, .every_ms = 60000 / QUESTIONS_PER_MINUTE}};
        (void)snprintf(place->kid, sizeof(place->kid), "%s", kid);
        return limit_take(&place->limit, loop_now(q->c.loop), &missed);
}

/* Times and replay: the word of a decline, or NULL. */
static const char *check_time(struct helpdesk *q, const struct opened *o, const struct roster *roster,
                              struct error *detail)
{
        const int64_t now = loop_wall(q->c.loop), iat = o->claims.iat;
        int r;

        if (now < iat - WIRE_SKEW || now > iat + REQUEST_AGE_MAX || o->claims.exp + WIRE_SKEW < now) {
                error_fail(detail, 0, "iat %lld, here it is %lld: check the clocks of the person's and of this host",
                           (long long)iat, (long long)now);
                return "expired";
        }
        r = replay_take(q->replay, o->kid, o->claims.jti, roster->n_people, now, iat + REQUEST_AGE_MAX + REPLAY_EXTRA);
        return r == 0 ? NULL : r == -EEXIST ? "replay" : r == -ESTALE ? "expired" : "full";
}

/* Who asks, and whether that person may. */
static void judge(struct helpdesk *q, struct opened *o, const struct jws *jws)
{
        const struct roster *roster = q->c.roster(q->c.arg);
        const struct roster_member *person = roster ? roster_person(roster, jws->kid) : NULL;
        struct error detail = {""};
        const char *why;

        if (!person || jws_verify(jws, person->key, &detail) < 0 || strcmp(o->claims.iss, person->id) != 0) {
                refuse(q, o, ANSWER_PERSON_UNKNOWN);
                return;
        }
        o->person = person;
        if (strcmp(o->claims.jti, o->id) != 0)
                decline(q, o->id, "bad_request", NULL);
        else if (strcmp(o->claims.aud, q->c.tenant) != 0 || strcmp(o->claims.to, key_kid(q->c.keys->identity)) != 0)
                refuse(q, o, ANSWER_WRONG_AUDIENCE);
        else if ((why = check_time(q, o, roster, &detail)) != NULL)
                decline(q, o->id, why, &detail);
        else if (strcmp(person->role, ROSTER_HELPDESK) != 0)
                refuse(q, o, ANSWER_ROLE);
        else if (loop_wall(q->c.loop) >= person->exp)
                refuse(q, o, ANSWER_ENDED);
        else if (!within_rate(q, roster, o->kid))
                refuse(q, o, ANSWER_RATE);
        else
                look_up(q, o);
}

static void open_and_judge(struct helpdesk *q, const struct msg_in *m, struct opened *o)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 16);
        _cleanup_(jws_clear) struct jws jws = {0};
        struct error detail = {""};
        size_t n, padded = 0, len = 0;
        const char *sealed = (const char *)msg_get_bytes(m, TAG_SEALED, &n);
        const char *why = intake_unseal(q->c.keys, loop_wall(q->c.loop), sealed, n, &plain, &padded, &detail);

        if (!why && (padded != PADDED_SMALL || jose_unpadded(plain.data, plain.len, &len) < 0 ||
                     jws_parse(&jws, plain.data, len, JOSE_TYP_QUESTION, false, &detail) < 0 ||
                     question_claims_decode(&o->claims, jws.payload.data, jws.payload.len, &detail) < 0))
                why = "bad_request";
        if (why) {
                decline(q, o->id, why, &detail);
                return;
        }
        request_hash(jws.text, jws.text_len, o->req);
        memcpy(o->kid, jws.kid, sizeof(o->kid));
        judge(q, o, &jws);
}

void helpdesk_ask(struct helpdesk *q, const struct msg_in *m)
{
        const uint64_t now = loop_now(q->c.loop), received = msg_get_u64(m, TAG_RECEIVED, now);
        const uint64_t budget = msg_get_u64(m, TAG_BUDGET, BUDGET_DEFAULT);
        struct opened o = {.deadline = (received < now ? received : now) + (budget < BUDGET_MAX ? budget : BUDGET_MAX)};
        char id[ID_MAX + 1];

        if (msg_get_str(m, TAG_ID, id, sizeof(id)) < 0 || !id_valid(id, strlen(id)))
                return;
        o.id = id;
        o.deadline -= budget > 2 * MARGIN_MS ? MARGIN_MS : 0;
        log_set_id(id);
        open_and_judge(q, m, &o);
        wipe(o.claims.rk, sizeof(o.claims.rk));
        log_set_id(NULL);
}

/* ---- life ---- */

struct helpdesk *helpdesk_free(struct helpdesk *q)
{
        if (!q)
                return NULL;
        for (size_t i = 0; i < HELPDESK_PENDING_MAX; i++) {
                buffer_free(&q->pending[i].found);
                wipe(q->pending[i].rk, sizeof(q->pending[i].rk));
                loop_timer_free(q->pending[i].timer);
        }
        replay_free(q->replay);
        free(q);
        return NULL;
}

int helpdesk_new(struct helpdesk **ret_q, const struct helpdesk_config *config)
{
        _cleanup_(helpdesk_freep) struct helpdesk *q = calloc(1, sizeof(*q));

        if (!q || replay_new(&q->replay, REPLAY_QUESTIONS) < 0)
                return -ENOMEM;
        q->c = *config;
        q->strangers = (struct limit){.burst = STRANGERS_BURST, .every_ms = STRANGERS_EVERY_MS};
        q->refused = (struct limit){.burst = REFUSED_BURST, .every_ms = REFUSED_EVERY_MS};
        for (size_t i = 0; i < HELPDESK_PENDING_MAX; i++) {
                q->pending[i].all = q;
                q->pending[i].found = BUFFER(ANSWER_BODY_MAX);
                if (loop_timer_new(&q->pending[i].timer, config->loop, NULL, on_late, &q->pending[i]) < 0)
                        return -ENOMEM;
        }
        *ret_q = steal(q);
        return 0;
}
