/*
 * Request intake: sealed text, then JWS, claims, roster, signature, audience, time, replay, in that order.
 *
 * Invariant: nothing here asks a DC, and the replay cache is touched only by a request whose signature a
 * service of the roster made. What can't be opened is declined; what could be opened but is wrong is answered
 * with its own reason, sealed with the request's own key, so that a service's operator reads what to mend
 * instead of a timeout.
 */
#include "connector/validator/intake.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/secret.h"

static int decline(struct intake *in, const char *why)
{
        in->result = INTAKE_DECLINE;
        in->decline = why;
        return 0;
}

static int answer(struct intake *in, enum reason reason)
{
        in->result = INTAKE_ANSWER;
        in->reason = reason;
        return 0;
}

const char *intake_unseal(const struct enckeys *keys, int64_t now, const char *text, size_t n, struct buffer *plain,
                          size_t *ret_padded, struct error *detail)
{
        char kid[KID_LEN + 1] = "";
        struct sealed sealed;

        if (sealed_read(&sealed, text, n, detail) < 0)
                return "bad_request";
        for (size_t i = 0; i < sealed.n; i++) {
                const struct key *key;

                sealed_kid(&sealed, i, kid);
                key = enckeys_find(keys, kid, now);
                if (!key)
                        continue;
                *ret_padded = sealed.padded;
                return sealed_open(&sealed, i, key, plain, detail) == 0 ? NULL : "bad_request";
        }
        error_fail(detail, 0, "sealed to a key that this connector does not hold (kid %s)", kid);
        return "stale_key";
}

/* The claims of a parsed request, in the secure heap. 0, 1 (declined), -ENOMEM. */
static int read_claims(struct intake *in, const struct jws *jws)
{
        in->claims = OPENSSL_secure_zalloc(sizeof(*in->claims));
        if (!in->claims)
                return -ENOMEM;
        if (request_claims_decode(in->claims, jws->payload.data, jws->payload.len, &in->detail) < 0) {
                decline(in, "bad_request");
                return 1;
        }
        request_hash(jws->text, jws->text_len, in->req);
        return 0;
}

static bool addressed(const struct request_claims *claims, const char *kid)
{
        for (size_t i = 0; i < claims->n_to; i++)
                if (!strcmp(claims->to[i], kid))
                        return true;
        return false;
}

/* Who sent it, to whom, and when. */
static int check_claims(struct intake *in, const struct intake_context *ctx, const struct jws *jws)
{
        const struct request_claims *c = in->claims;
        const struct roster_member *service = ctx->roster ? roster_sign_in_service(ctx->roster, jws->kid) : NULL;
        int r;

        if (!service)
                return answer(in, REASON_SERVICE_UNKNOWN);
        if (jws_verify(jws, service->key, &in->detail) < 0)
                return answer(in, REASON_REQUEST_SIGNATURE);
        snprintf(in->service_name, sizeof(in->service_name), "%s", service->name);
        if (strcmp(c->iss, service->id) != 0)
                return answer(in, REASON_SERVICE_UNKNOWN);
        if (strcmp(c->aud, ctx->tenant) != 0)
                return answer(in, REASON_WRONG_AUDIENCE);
        if (!addressed(c, key_kid(ctx->keys->identity)))
                return answer(in, REASON_NOT_ADDRESSED);
        if (strcmp(c->jti, ctx->id) != 0) {
                error_fail(&in->detail, 0, "jti %s differs from the relay's id", c->jti);
                return decline(in, "bad_request");
        }
        if (ctx->now < c->iat - WIRE_SKEW || ctx->now > c->iat + REQUEST_AGE_MAX || c->exp + WIRE_SKEW < ctx->now ||
            c->exp - c->iat > REQUEST_LIFE_MAX) {
                error_fail(&in->detail, 0,
                           "iat %lld exp %lld, here it is %lld: check the clocks of the service and of this "
                           "host",
                           (long long)c->iat, (long long)c->exp, (long long)ctx->now);
                return decline(in, "expired");
        }
        r = replay_take(ctx->replay, jws->kid, c->jti, ctx->roster->n_services, ctx->now,
                        c->iat + REQUEST_AGE_MAX + REPLAY_EXTRA);
        if (r == -EEXIST) {
                error_fail(&in->detail, 0, "this request was already taken once");
                return decline(in, "replay");
        }
        if (r == -ESTALE) {
                error_fail(&in->detail, 0, "the clock of this host went back: the request may be a replay");
                return decline(in, "expired");
        }
        if (r == -ENOSPC) {
                error_fail(&in->detail, 0, "too many requests of this service are remembered against replay");
                return decline(in, "full");
        }
        if (r < 0)
                return r;
        if (strcmp(c->op, OP_SIGN_IN) == 0 || strcmp(c->op, OP_CHANGE_PASSWORD) == 0)
                return 0;
        return answer(in, REASON_OPERATION_UNKNOWN);
}

int intake_open(struct intake *ret_in, const struct intake_context *ctx, const char *sealed, size_t n)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 16);
        _cleanup_(jws_clear) struct jws jws = {0};
        struct intake in = {.result = INTAKE_OPEN};
        const char *why = intake_unseal(ctx->keys, ctx->now, sealed, n, &plain, &in.padded, &in.detail);
        size_t len = 0;
        int r = why ? decline(&in, why) + 1 : 0;

        if (r == 0 && (jose_unpadded(plain.data, plain.len, &len) < 0 ||
                       jws_parse(&jws, plain.data, len, JOSE_TYP_REQUEST, true, &in.detail) < 0))
                r = decline(&in, "bad_request") + 1;
        if (r == 0)
                r = read_claims(&in, &jws);
        if (r == 0)
                r = check_claims(&in, ctx, &jws);
        if (r < 0) {
                intake_clear(&in);
                return r;
        }
        *ret_in = in;
        return 0;
}

bool intake_authentic(const struct intake *in)
{
        return in->claims && in->service_name[0];
}

bool intake_tells_time(const struct intake *in)
{
        return intake_authentic(in) &&
               (in->result == INTAKE_OPEN || (in->decline && strcmp(in->decline, "expired") == 0));
}

void intake_clear(struct intake *in)
{
        OPENSSL_secure_clear_free(in->claims, sizeof(*in->claims));
        *in = (struct intake){0};
}
