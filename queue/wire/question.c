/*
 * Questions of people to connectors, and their answers.
 *
 * An answer's body is a text within the claims, so that whoever signs it need not read it: what is in there cannot
 * become a claim. Signature, audience, times against a clock and replay are the readers'.
 */
#include "queue/wire/question.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/claims.h"
#include "base/core/text.h"
#include "queue/wire/json.h"

static const char *const ops[] = {"explain", "log", "status", NULL};
static const char *const verdicts[] = {"accepted", "refused", "unavailable", "declined", NULL};
static const char *const states[] = {[ANSWER_UNAVAILABLE] = "unavailable",
                                     [ANSWER_OK] = "ok",
                                     [ANSWER_PERSON_UNKNOWN] = "person_unknown",
                                     [ANSWER_ROLE] = "role",
                                     [ANSWER_ENDED] = "ended",
                                     [ANSWER_WRONG_AUDIENCE] = "wrong_audience",
                                     [ANSWER_NO_DOMAIN] = "no_domain",
                                     [ANSWER_RATE] = "rate",
                                     [ANSWER_STATES] = NULL};

const char *question_op_text(enum question_op op)
{
        return op >= QUESTION_EXPLAIN && op <= QUESTION_STATUS ? ops[op - 1] : "?";
}

const char *answer_state_text(enum answer_state state)
{
        return (unsigned)state < ANSWER_STATES ? states[state] : "?";
}

bool question_claims_short_time(int64_t since, int64_t until)
{
        return since > 0 && since <= until && until - since <= QUESTION_TIME_MAX;
}

/* The number of a word that the reader found in the list. */
static size_t number_of(const char *const *words, const char *word)
{
        size_t i = 0;

        while (word && words[i] && words[i] != word)
                i++;
        return i;
}

/* ---- questions ---- */

int question_claims_encode(const struct question_claims *c, struct buffer *out, struct error *err)
{
        char rk[B64U_LEN(sizeof(c->rk)) + 1];
        struct json_writer w;
        int r;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "v", 1);
        json_write_str(&w, "iss", c->iss);
        json_write_str(&w, "aud", c->aud);
        json_write_str(&w, "jti", c->jti);
        json_write_int(&w, "iat", c->iat);
        json_write_int(&w, "exp", c->exp);
        json_write_str(&w, "to", c->to);
        b64u_encode_to(rk, c->rk, sizeof(c->rk));
        json_write_str(&w, "rk", rk);
        json_write_str(&w, "op", question_op_text(c->op));
        json_write_opt(&w, "what", c->what);
        json_write_opt(&w, "verdict", c->verdict);
        if (c->since)
                json_write_int(&w, "since", c->since);
        if (c->until)
                json_write_int(&w, "until", c->until);
        if (c->limit)
                json_write_int(&w, "limit", c->limit);
        json_write_close(&w, '}');
        r = json_write_end(&w);
        return r < 0 ? error_fail(err, r, "question: %s", r == -EINVAL ? "is not UTF-8" : "cannot be written") : 0;
}

/* What only a question for a list has: of a name, or of a short time. */
static void read_log(struct json_reader *r, struct question_claims *c)
{
        if (json_read_has(r, "what"))
                json_read_str(r, "what", JSON_REQUIRED, c->what, sizeof(c->what));
        if (json_read_has(r, "verdict"))
                (void)snprintf(c->verdict, sizeof(c->verdict), "%s", json_read_word(r, "verdict", verdicts));
        if (json_read_has(r, "since"))
                c->since = json_read_int(r, "since", 1, JSON_TIME_MAX);
        if (json_read_has(r, "until"))
                c->until = json_read_int(r, "until", 1, JSON_TIME_MAX);
        if (json_read_has(r, "limit"))
                c->limit = (uint32_t)json_read_int(r, "limit", 1, QUESTION_ROWS_MAX);
        if (!json_read_has(r, "what") && !question_claims_short_time(c->since, c->until))
                json_read_fail(r, "what", "is missing, and since and until are not an hour apart at most");
}

int question_claims_decode(struct question_claims *ret_c, const char *json, size_t n, struct error *err)
{
        struct question_claims c = {0};
        struct json_reader r;

        json_read_begin(&r, json, n, JSON_PLAIN, "question", err);
        json_read_int(&r, "v", 1, 1);
        claims_id(&r, "iss", c.iss);
        claims_tenant(&r, "aud", c.aud);
        claims_id(&r, "jti", c.jti);
        c.iat = json_read_int(&r, "iat", 0, JSON_TIME_MAX);
        c.exp = json_read_int(&r, "exp", 0, JSON_TIME_MAX);
        if (c.exp <= c.iat || c.exp - c.iat > QUESTION_LIFE_MAX)
                json_read_fail(&r, "exp", "is not within 60 s after iat");
        json_read_b64u_text(&r, "to", c.to, 32);
        json_read_b64u(&r, "rk", c.rk, sizeof(c.rk));
        c.op = (enum question_op)(number_of(ops, json_read_word(&r, "op", ops)) + 1);
        if (c.op == QUESTION_EXPLAIN)
                json_read_str(&r, "what", JSON_REQUIRED, c.what, sizeof(c.what));
        if (c.op == QUESTION_LOG)
                read_log(&r, &c);
        if (json_read_end(&r, true) < 0)
                return json_read_result(&r);
        *ret_c = c;
        return 0;
}

/* ---- answers ---- */

int answer_claims_encode(const struct answer_claims *c, struct buffer *out, struct error *err)
{
        struct json_writer w;
        int r;

        if ((c->state == ANSWER_OK) != (c->body != NULL))
                return error_fail(err, -EINVAL, "answer: has a body, and not the state ok, or the other way round");
        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "v", 1);
        json_write_str(&w, "iss", c->iss);
        json_write_str(&w, "aud", c->aud);
        json_write_str(&w, "tenant", c->tenant);
        json_write_str(&w, "jti", c->jti);
        json_write_str(&w, "req", c->req);
        json_write_int(&w, "iat", c->iat);
        json_write_int(&w, "exp", c->exp);
        json_write_str(&w, "state", answer_state_text(c->state));
        if (c->body)
                json_write_str(&w, "body", c->body);
        json_write_close(&w, '}');
        r = json_write_end(&w);
        return r < 0 ? error_fail(err, r, "answer: cannot be written: %s", strerror(-r)) : 0;
}

int answer_claims_decode(struct answer_claims *ret_c, const char *json, size_t n, struct error *err)
{
        struct answer_claims c = {0};
        struct json_reader r;

        json_read_begin(&r, json, n, JSON_PLAIN, "answer", err);
        json_read_int(&r, "v", 1, 1);
        claims_id(&r, "iss", c.iss);
        claims_id(&r, "aud", c.aud);
        claims_tenant(&r, "tenant", c.tenant);
        claims_id(&r, "jti", c.jti);
        json_read_b64u_text(&r, "req", c.req, 32);
        c.iat = json_read_int(&r, "iat", 0, JSON_TIME_MAX);
        c.exp = json_read_int(&r, "exp", 0, JSON_TIME_MAX);
        if (c.exp != c.iat + VERDICT_LIFE)
                json_read_fail(&r, "exp", "is not iat + 30");
        c.state = (enum answer_state)number_of(states, json_read_word(&r, "state", states));
        if (c.state == ANSWER_OK)
                json_read_text(&r, "body", JSON_REQUIRED, ANSWER_PADDED_MAX, &c.body);
        if (json_read_end(&r, true) < 0) {
                free(c.body);
                return json_read_result(&r);
        }
        *ret_c = c;
        return 0;
}

void answer_claims_clear(struct answer_claims *c)
{
        free(c->body);
        *c = (struct answer_claims){0};
}

int answer_seal(const struct answer_claims *c, const struct key *key, const uint8_t rk[32], struct buffer *out,
                struct error *err)
{
        _cleanup_(buffer_free) struct buffer json = BUFFER(ANSWER_PADDED_MAX), jws = BUFFER(JWS_MAX),
                                             padded = BUFFER(ANSWER_PADDED_MAX + 16);
        int r = answer_claims_encode(c, &json, err);

        if (r == 0 &&
            json.len > PADDED_CLAIMS_MAX(ANSWER_PADDED_MAX)) /* before a signature that a token is slow to make */
                r = error_fail(err, -EMSGSIZE, "answer: its %zu bytes are too many", json.len);
        if (r == 0)
                r = jws_sign(key, JOSE_TYP_ANSWER, json.data, json.len, &jws, err);
        if (r == 0 && (r = jose_answer_pad(&padded, jws.data, jws.len)) < 0)
                error_fail(err, r, "answer: cannot be padded");
        return r < 0 ? r : jwe_seal(JWE_ANSWER, rk, padded.data, padded.len, out, err);
}

/* ---- declined ---- */

int question_declined_decode(char ret_why[32], const char *json, size_t n, struct error *err)
{
        struct json_reader r;
        char why[32] = "";

        json_read_begin(&r, json, n, JSON_PLAIN, "answer", err);
        json_read_str(&r, "declined", JSON_REQUIRED, why, sizeof(why));
        if (why[0] && !decline_why_valid(why))
                json_read_fail(&r, "declined", "is no known word");
        if (json_read_end(&r, false) < 0)
                return json_read_result(&r);
        memcpy(ret_why, why, sizeof(why));
        return 0;
}
