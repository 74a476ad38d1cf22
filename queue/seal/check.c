/*
 * Checking a verdict: every rule of PROTOCOL.md's "service MUST check", in one place.
 *
 * Invariant: *ret_v is written only when all of them hold, so no caller can act on half a check. A verdict
 * that fails means unavailable, whatever it says.
 */
#include "queue/seal/sign-in.h"
#include "base/core/sid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int check_claims(const struct sign_in *s, const char *signer, const struct verdict_claims *v, int64_t now,
                        struct error *err)
{
        if (strcmp(v->iss, signer) != 0)
                return error_fail(err, -EKEYREJECTED, "verdict: iss is not the connector whose key signed it");
        if (strcmp(v->aud, s->service_id) != 0)
                return error_fail(err, -EBADMSG, "verdict: made for another service");
        if (strcmp(v->tenant, s->tenant) != 0)
                return error_fail(err, -EBADMSG, "verdict: made for another tenant");
        if (strcmp(v->jti, s->id) != 0)
                return error_fail(err, -EBADMSG, "verdict: made for another request id");
        if (s->nobody && strcmp(v->verdict, "accepted") == 0)
                return error_fail(err, -EKEYREJECTED, "verdict: accepted, though no password was sent");
        if (strcmp(v->req, s->req) != 0)
                return error_fail(err, -EBADMSG, "verdict: made for another request");
        if (v->iat > now + WIRE_SKEW)
                return error_fail(err, -EBADMSG, "verdict: issued %lld s in the future", (long long)(v->iat - now));
        if (v->exp < now - WIRE_SKEW)
                return error_fail(err, -EBADMSG, "verdict: expired %lld s ago", (long long)(now - v->exp));
        return 0;
}

/*
 * An accepted account is of the domain that the name was sent to, by its name and by its SID: no connector, and no DC
 * behind one, speaks for another domain's accounts.
 */
static int check_user(const struct sign_in *s, const struct verdict_claims *v, struct error *err)
{
        if (strcmp(v->verdict, "accepted") != 0)
                return 0;
        if (strcmp(v->user_domain, s->domain) != 0)
                return error_fail(err, -EKEYREJECTED, "verdict: of an account of domain %s, but %s was asked",
                                  v->user_domain, s->domain);
        if (s->domain_sid[0] && !sid_is_of(v->user_id, s->domain_sid))
                return error_fail(err, -EKEYREJECTED, "verdict: the account %s is not of domain %s, whose SID is %s",
                                  v->user_id, s->domain, s->domain_sid);
        for (size_t i = 0; i < s->n_other_sids; i++)
                if (sid_is_of(v->user_id, s->other_sids[i]))
                        return error_fail(err, -EKEYREJECTED,
                                          "verdict: the account %s is of another domain of the roster than %s",
                                          v->user_id, s->domain);
        return 0;
}

static int check_jws(const struct sign_in *s, const struct buffer *plain, int64_t now, struct verdict_claims *ret_v,
                     struct error *err)
{
        _cleanup_(jws_clear) struct jws jws = {0};
        const struct sign_in_to *signer = s->to;
        const struct key *key = NULL;
        size_t n = 0;
        int r;

        if (plain->len != s->padded || jose_unpadded(plain->data, plain->len, &n) < 0)
                return error_fail(err, -EBADMSG, "verdict: wrong padding, or not its request's");
        r = jws_parse(&jws, plain->data, n, JOSE_TYP_VERDICT, false, err);
        if (r < 0)
                return r;
        while (signer < s->to + s->n_to &&
               !(key = directory_signer(signer->identity, signer->sign, signer->n_sign, jws.kid, now)))
                signer++;
        if (!key)
                return error_fail(err, -EKEYREJECTED, "verdict: signed by a key that the request was not sealed to");
        r = jws_verify(&jws, key, err);
        if (r < 0)
                return r;
        r = verdict_claims_decode(ret_v, jws.payload.data, jws.payload.len, err);
        if (r == 0)
                r = check_claims(s, signer->id, ret_v, now, err);
        return r < 0 ? r : check_user(s, ret_v, err);
}

int sign_in_check(const struct sign_in *s, const char *jwe, size_t n, int64_t now, struct verdict_claims *ret_v,
                  struct error *err)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 1);
        struct verdict_claims v;
        int r;

        r = jwe_open(JWE_VERDICT, s->rk, jwe, n, &plain, err);
        if (r < 0)
                return r;
        r = check_jws(s, &plain, now, &v, err);
        if (r == 0)
                *ret_v = v;
        /* a connector may know a suffix that the roster does not; of a name that is none it says what the user can mend
         */
        if (r == 0 && s->nobody && strcmp(v.verdict, "refused") == 0 && strcmp(v.reason, "bad_name_form") != 0)
                (void)snprintf(ret_v->reason, sizeof(ret_v->reason), "unknown_domain");
        return r;
}
