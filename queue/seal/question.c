/*
 * Questions of people: claims, signature, padding, sealing; and every rule by which an answer counts.
 *
 * Invariant: an answer counts only for the one question that it names, from the one connector that was asked: whoever
 * carries it can drop it, and put no other in its place.
 */
#include "queue/seal/question.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/secret.h"
#include "base/core/text.h"

int asked_make(struct asked *ret_a, const struct directory_entry *to, const char *person_id, struct key *person_key,
               const struct question_claims *what, int64_t now, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(PADDED_CLAIMS_MAX(PADDED_SMALL)), jws = BUFFER(PADDED_LARGE),
                                             plain = BUFFER(PADDED_SMALL + 1);
        const struct statement_key *enc = statement_key_at(to->statement, now);
        _cleanup_(asked_clear) struct asked a = {.body = BUFFER(SEALED_MAX)};
        struct question_claims c = *what;
        int r = id_generate(a.id);

        if (!enc)
                return error_fail(err, -ENOENT, "it has no live encryption key");
        if (r < 0 || RAND_priv_bytes(a.rk, sizeof(a.rk)) != 1)
                return error_fail(err, -EIO, "no random bytes");
        (void)snprintf(a.person_id, sizeof(a.person_id), "%s", person_id);
        (void)snprintf(a.tenant, sizeof(a.tenant), "%s", to->statement->tenant);
        (void)snprintf(a.connector_id, sizeof(a.connector_id), "%s", to->connector->id);
        a.identity = key_ref(to->connector->key);
        a.n_sign = to->statement->n_sign;
        for (size_t i = 0; i < a.n_sign; i++) {
                a.sign[i] = to->statement->sign[i];
                key_ref(a.sign[i].key);
        }
        memcpy(c.iss, a.person_id, sizeof(c.iss));
        memcpy(c.aud, a.tenant, sizeof(c.aud));
        memcpy(c.jti, a.id, sizeof(c.jti));
        memcpy(c.to, key_kid(a.identity), sizeof(c.to));
        memcpy(c.rk, a.rk, sizeof(c.rk));
        c.iat = now;
        c.exp = now + QUESTION_LIFE_MAX;
        r = question_claims_encode(&c, &text, err);
        wipe(c.rk, sizeof(c.rk));
        if (r == 0)
                r = jws_sign(person_key, JOSE_TYP_QUESTION, text.data, text.len, &jws, err);
        if (r < 0)
                return r;
        request_hash(jws.data, jws.len, a.req);
        if ((r = jose_pad(&plain, jws.data, jws.len, PADDED_SMALL)) < 0)
                return error_fail(err, r, "the question cannot be padded");
        if ((r = sealed_seal(&(struct key *){enc->key}, 1, &plain, &a.body, err)) < 0)
                return r;
        *ret_a = a;
        a = (struct asked){0};
        return 0;
}

static int check_claims(const struct asked *a, const struct answer_claims *c, int64_t now, struct error *err)
{
        if (strcmp(c->iss, a->connector_id) != 0 || strcmp(c->tenant, a->tenant) != 0)
                return error_fail(err, -EBADMSG, "answer: of another connector or tenant");
        if (strcmp(c->aud, a->person_id) != 0)
                return error_fail(err, -EBADMSG, "answer: made for another person");
        if (strcmp(c->jti, a->id) != 0 || strcmp(c->req, a->req) != 0)
                return error_fail(err, -EBADMSG, "answer: made for another question");
        if (c->iat > now + WIRE_SKEW || c->exp < now - WIRE_SKEW)
                return error_fail(err, -EBADMSG,
                                  "answer: its time is not now: look at the clocks of this host and its");
        return 0;
}

int asked_check(const struct asked *a, const char *jwe, size_t n, int64_t now, struct answer_claims *ret,
                struct error *err)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER(ANSWER_PADDED_MAX + 16);
        _cleanup_(answer_claims_clear) struct answer_claims c = {0};
        _cleanup_(jws_clear) struct jws jws = {0};
        const struct key *key;
        size_t len = 0;
        int r = jwe_open(JWE_ANSWER, a->rk, jwe, n, &plain, err);

        if (r == 0 && jose_answer_unpadded(plain.data, plain.len, &len) < 0)
                r = error_fail(err, -EBADMSG, "answer: wrong padding");
        if (r == 0)
                r = jws_parse(&jws, plain.data, len, JOSE_TYP_ANSWER, false, err);
        if (r < 0)
                return r;
        key = directory_signer(a->identity, a->sign, a->n_sign, jws.kid, now);
        if (!key)
                return error_fail(err, -EKEYREJECTED, "answer: not signed by the connector that was asked");
        r = jws_verify(&jws, key, err);
        if (r == 0)
                r = answer_claims_decode(&c, jws.payload.data, jws.payload.len, err);
        if (r == 0)
                r = check_claims(a, &c, now, err);
        if (r < 0)
                return r;
        *ret = c;
        c = (struct answer_claims){0};
        return 0;
}

void asked_clear(struct asked *a)
{
        wipe(a->rk, sizeof(a->rk));
        key_free(a->identity);
        for (size_t i = 0; i < a->n_sign; i++)
                key_free(a->sign[i].key);
        buffer_free(&a->body);
        *a = (struct asked){0};
}
