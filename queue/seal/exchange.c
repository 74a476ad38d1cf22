/*
 * The flow of one sign-in: keys, request, answer, and the one second attempt.
 *
 * Invariant: at EXCHANGE_POST the request is whole and was not sent yet; each request leaves that step by one answer.
 * Every way out goes by conclude, which alone decides whether there is a second attempt.
 */
#include "queue/seal/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "queue/wire/json.h"

#define ANSWER_MARGIN_MS 200 /* so that the relay's own deadline answer still arrives within ours */

struct exchange {
        struct sealer *sealer;
        struct sign_in_params params;
        uint32_t budget_ms;
        uint64_t started_ms;
        enum exchange_step step;
        bool refreshed; /* the keys came fresh for this sign-in */
        bool again;     /* this is the second attempt */
        struct sign_in request;
        struct sign_in_result result;
        size_t n_tried;
        char tried[REQUEST_TO_MAX][KID_LEN + 1]; /* encryption keys that the first attempt was sealed to */
        const char *tried_texts[REQUEST_TO_MAX];
        char second_id[ID_MAX + 1];
};

/* ---- the outcome ---- */

static void set_text(char *out, size_t cap, const char *text)
{
        wire_text_cut(out, cap, text, strlen(text));
}

static void set_problem(struct sign_in_result *r, const char *problem, const char *started, const char *retry,
                        const char *detail)
{
        set_text(r->problem, sizeof(r->problem), problem);
        set_text(r->started, sizeof(r->started), started);
        set_text(r->retry, sizeof(r->retry), retry);
        set_text(r->detail, sizeof(r->detail), detail);
        r->reasons[0] = '\0';
}

/* No answer came. sent: whether bytes of a sign-in may have left. */
static void set_transport(struct sign_in_result *r, const struct exchange_answer *answer, bool sent)
{
        r->status = 0;
        if (sent && answer->code != -ECONNREFUSED)
                set_problem(r, answer->code == -ETIMEDOUT ? "deadline" : "connection-lost", "unknown", "never",
                            answer->why);
        else
                set_problem(r, "transport", "no", "later", answer->why);
}

void exchange_read_problem(struct sign_in_result *ret_r, const struct exchange_answer *answer)
{
        const bool is_problem = strncmp(answer->content_type, "application/problem+json", 24) == 0;
        const size_t n = is_problem ? answer->n : 0;
        struct sign_in_result *r = ret_r;
        struct json_reader p;

        r->status = answer->status;
        set_problem(r, "", "", "", "");
        json_read_begin(&p, n ? answer->body : "", n, JSON_PLAIN, "problem", NULL);
        json_read_cut(&p, "type", r->problem, sizeof(r->problem));
        json_read_cut(&p, "started", r->started, sizeof(r->started));
        json_read_cut(&p, "retry", r->retry, sizeof(r->retry));
        json_read_cut(&p, json_read_has(&p, "detail") ? "detail" : "title", r->detail, sizeof(r->detail));
        wire_read_lines(&p, "reasons", r->reasons, sizeof(r->reasons));
        if (json_read_end(&p, false) < 0) {
                set_problem(r, "bad-answer", "unknown", "never",
                            "the answer is neither a verdict nor a problem document");
                return;
        }
        if (strncmp(r->problem, "urn:postern:", 12) == 0)
                memmove(r->problem, r->problem + 12, strlen(r->problem + 12) + 1);
        if (!*r->problem)
                set_text(r->problem, sizeof(r->problem), "bad-answer");
        if (!*r->started)
                set_text(r->started, sizeof(r->started), "unknown");
        if (!*r->retry)
                set_text(r->retry, sizeof(r->retry), "never");
}

/* The result says how the attempt ended. */
static void conclude(struct exchange *e, uint64_t now_ms)
{
        const struct sign_in_result *r = &e->result;
        /* the relay said that nobody started, and that it may be otherwise with fresh keys */
        const bool may_seal_again = !r->has_verdict && strcmp(r->started, "no") == 0 &&
                                    (strcmp(r->retry, "refresh-keys") == 0 || strcmp(r->retry, "now") == 0 ||
                                     strcmp(r->problem, "busy") == 0);

        sign_in_clear(&e->request);
        if (!e->again && may_seal_again) {
                e->again = true;
                e->step = EXCHANGE_KEYS;
                return;
        }
        e->step = EXCHANGE_DONE;
        e->result.ms = (uint32_t)(now_ms - e->started_ms);
}

/* ---- one attempt ---- */

uint32_t exchange_left(const struct exchange *e, uint64_t now_ms)
{
        const uint64_t spent = now_ms - e->started_ms;

        return spent >= e->budget_ms ? 0 : e->budget_ms - (uint32_t)spent;
}

/* Makes the request with the keys that there are; with fresher ones where nobody of these can have it. */
static int attempt(struct exchange *e, struct exchange_now now, struct error *err)
{
        struct error why = {""};
        int r;

        sealer_fill(e->sealer, &e->params);
        e->params.now = now.wall;
        r = sign_in_make(&e->request, sealer_view(e->sealer).directory, &e->params, &why);
        if ((r == -ENOENT || (r == 0 && e->request.nobody)) && !e->refreshed) {
                sign_in_clear(&e->request);
                e->step = EXCHANGE_KEYS;
                return 0;
        }
        if (r < 0 && r != -ENOENT)
                return error_fail(err, r, "%s", why.text);
        if (r < 0) {
                set_problem(&e->result, "no-connector", "no", "later", why.text);
                conclude(e, now.ms);
                return 0;
        }
        for (e->n_tried = 0; e->n_tried < e->request.n_to; e->n_tried++)
                memcpy(e->tried[e->n_tried], e->request.to[e->n_tried].sealed_to, sizeof(e->tried[0]));
        set_text(e->result.id, sizeof(e->result.id), e->request.id);
        e->step = EXCHANGE_POST;
        if (exchange_left(e, now.ms) < BUDGET_LEFT_MIN) {
                set_problem(&e->result, "deadline", "no", "later", "the budget ended before the request was sent");
                conclude(e, now.ms);
        }
        return 0;
}

/* ---- the steps ---- */

int exchange_new(struct exchange **ret_exchange, struct sealer *sealer, const struct sign_in_params *p,
                 uint32_t budget_ms, struct exchange_now now, struct error *err)
{
        _cleanup_(exchange_freep) struct exchange *e = calloc(1, sizeof(*e));
        int r = e ? id_generate(e->result.id) : -ENOMEM;

        if (r < 0)
                return error_fail(err, r, "no memory, or no random bytes");
        e->sealer = sealer;
        e->params = *p;
        if (p->id)
                set_text(e->result.id, sizeof(e->result.id), p->id);
        e->params.id = p->id ? p->id : e->result.id;
        e->budget_ms = budget_ms ? budget_ms : BUDGET_DEFAULT;
        e->started_ms = now.ms;
        if (sealer_fresh(sealer, now.ms) && (r = attempt(e, now, err)) < 0)
                return r;
        *ret_exchange = steal(e);
        return 0;
}

struct exchange *exchange_free(struct exchange *e)
{
        if (!e)
                return NULL;
        sign_in_clear(&e->request);
        wipe(e, sizeof(*e));
        free(e);
        return NULL;
}

enum exchange_step exchange_step(const struct exchange *e)
{
        return e->step;
}

void exchange_post(const struct exchange *e, uint64_t now_ms, struct exchange_post *ret_post)
{
        const uint32_t left = exchange_left(e, now_ms);
        const uint32_t margin = left / 5 < ANSWER_MARGIN_MS ? left / 5 : ANSWER_MARGIN_MS;
        const uint32_t budget = left - margin < BUDGET_LEFT_MIN ? BUDGET_LEFT_MIN : left - margin;

        *ret_post = (struct exchange_post){
                .id = e->request.id,
                .traceparent = e->params.traceparent,
                .body = e->request.body.data,
                .n = e->request.body.len,
                .budget_ms = budget,
                .timeout_ms = left ? left : 1,
        };
}

/*
 * The second attempt: where the keys were stale or the relay was going down, anyhow; where those that the first was
 * sealed to did not take it, if the fresh keys name somebody else who would.
 */
int exchange_keys(struct exchange *e, struct exchange_now now, struct error *err)
{
        const bool anyhow = strcmp(e->result.retry, "now") == 0 || strcmp(e->result.problem, "stale-keys") == 0;

        e->refreshed = true;
        if (!e->again)
                return attempt(e, now, err);
        for (size_t i = 0; i < e->n_tried; i++)
                e->tried_texts[i] = e->tried[i];
        e->params.tried = e->tried_texts;
        e->params.n_tried = e->n_tried;
        /* where the first was never made, this one is it */
        if (e->n_tried && sign_in_retry_id(e->second_id, e->result.id) == 0)
                e->params.id = e->second_id;
        sealer_fill(e->sealer, &e->params);
        e->params.now = now.wall;
        if (anyhow || sign_in_names_another(sealer_view(e->sealer).directory, &e->params))
                return attempt(e, now, err);
        conclude(e, now.ms);
        return 0;
}

void exchange_keys_failed(struct exchange *e, const struct exchange_answer *answer, struct exchange_now now)
{
        if (answer->status == 0) {
                set_transport(&e->result, answer, false);
        } else if (answer->status == 200) {
                e->result.status = 200;
                set_problem(&e->result, "bad-keys", "no", "later", answer->why);
        } else {
                exchange_read_problem(&e->result, answer);
                set_text(e->result.started, sizeof(e->result.started), "no");
        }
        conclude(e, now.ms);
}

static void take_verdict(struct exchange *e, const struct exchange_answer *answer, int64_t wall)
{
        const struct roster *roster = sealer_view(e->sealer).directory->roster;
        struct sign_in_result *r = &e->result;
        struct error err = {""};

        r->status = answer->status;
        if (sign_in_check(&e->request, answer->body, answer->n, wall, &r->verdict, &err) < 0) {
                set_problem(r, "bad-verdict", "unknown", "never", err.text);
                return;
        }
        set_problem(r, "", "", "", "");
        r->has_verdict = true;
        set_text(r->connector, sizeof(r->connector), r->verdict.iss);
        for (size_t i = 0; i < roster->n_connectors; i++)
                if (strcmp(roster->connectors[i].id, r->verdict.iss) == 0 && roster->connectors[i].name)
                        set_text(r->connector_name, sizeof(r->connector_name), roster->connectors[i].name);
}

void exchange_answered(struct exchange *e, const struct exchange_answer *answer, struct exchange_now now)
{
        if (answer->status == 0)
                set_transport(&e->result, answer, true);
        else if (answer->status == 200)
                take_verdict(e, answer, now.wall);
        else
                exchange_read_problem(&e->result, answer);
        if (answer->elsewhere && !e->again && answer->status == 503 && strcmp(e->result.started, "no") == 0)
                set_text(e->result.retry, sizeof(e->result.retry), "now");
        /* Ids are random and a request is sent once: only a proxy that sends again can make a duplicate. */
        if (strcmp(e->result.problem, "duplicate-id") == 0)
                set_problem(&e->result, "connection-lost", "unknown", "never",
                            "the connection to the relay broke after the request was sent");
        conclude(e, now.ms);
}

const struct sign_in_result *exchange_result(const struct exchange *e)
{
        return &e->result;
}
