/*
 * Verdicts: claims from an outcome, signed with the identity key, padded, sealed with the request's own key.
 *
 * The class and the verdict come from the one table (validate/types/outcome-table.c) and from nowhere else.
 */
#include "connector/validator/verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(char *out, size_t cap, const char *text)
{
        snprintf(out, cap, "%s", text);
}

static void fill_raw(struct verdict_claims *c, const struct outcome *o)
{
        if (o->has_ldap && o->has_ldap_data)
                snprintf(c->raw_ldap, sizeof(c->raw_ldap), "%" PRId32 " data %" PRIx32, o->ldap, o->ldap_data);
        else if (o->has_ldap)
                snprintf(c->raw_ldap, sizeof(c->raw_ldap), "%" PRId32, o->ldap);
        if (o->has_krb)
                snprintf(c->raw_krb, sizeof(c->raw_krb), "%" PRId32, o->krb);
        if (o->has_ntstatus)
                snprintf(c->raw_ntstatus, sizeof(c->raw_ntstatus), "%08" PRIX32, o->ntstatus);
}

/* Who it is, and what the domain's attributes say of the account. */
static void fill_account(struct verdict_claims *c, const struct outcome *o)
{
        static const char *const states[] = {[DETAILS_COMPLETE] = "complete",
                                             [DETAILS_TRUNCATED] = "truncated",
                                             [DETAILS_UNAVAILABLE] = "unavailable"};

        put(c->user_id, sizeof(c->user_id), o->user.id);
        put(c->user_guid, sizeof(c->user_guid), o->user.guid);
        put(c->user_upn, sizeof(c->user_upn), o->user.upn);
        put(c->user_sam, sizeof(c->user_sam), o->user.sam);
        put(c->user_domain, sizeof(c->user_domain), o->user.domain);
        c->attributes_state = states[o->details.state];
        c->attributes = o->details.values;
}

static void fill(struct verdict_claims *c, const struct verdict_frame *f, const struct outcome *o)
{
        const struct reason_info *info = reason_info(o->reason);

        put(c->iss, sizeof(c->iss), f->connector_id);
        put(c->aud, sizeof(c->aud), f->service_id);
        put(c->tenant, sizeof(c->tenant), f->tenant);
        put(c->jti, sizeof(c->jti), f->jti);
        put(c->req, sizeof(c->req), f->req);
        c->iat = f->now;
        c->exp = f->now + VERDICT_LIFE;
        c->verdict = verdict_text(info->verdict);
        c->class = verdict_class_text(info->class);
        put(c->reason, sizeof(c->reason), info->id);
        c->password_proved = o->password_proved;
        c->may_have_counted = counted_text(o->counted);
        if (info->verdict == VERDICT_ACCEPTED)
                fill_account(c, o);
        c->retry_after = o->reason == REASON_THROTTLED ? o->retry_after : 0;
        put(c->dc, sizeof(c->dc), o->dc);
        put(c->method, sizeof(c->method), method_text(o->method));
        fill_raw(c, o);
        c->t_opened = f->t_opened;
        c->t_dc = f->t_dc;
        c->t_total = f->t_total;
}

/* -EMSGSIZE where the claims do not fit. */
static int sign_padded(const struct verdict_frame *f, const struct verdict_claims *c, struct buffer *out,
                       struct error *err)
{
        _cleanup_(buffer_free) struct buffer json = BUFFER(PADDED_LARGE);
        _cleanup_(buffer_free) struct buffer jws = BUFFER(PADDED_LARGE);
        int r = verdict_claims_encode(c, &json, err);

        if (r == 0 && json.len > PADDED_CLAIMS_MAX(f->padded)) /* before a signature that a token is slow to make */
                return -EMSGSIZE;
        if (r == 0)
                r = jws_sign(f->signer, JOSE_TYP_VERDICT, json.data, json.len, &jws, err);
        return r == 0 ? jose_pad(out, jws.data, jws.len, f->padded) : r;
}

/* Makes the claims shorter by what a service can do best without; false: nothing of that is left. */
static bool leave_out(struct verdict_claims *c)
{
        char *const texts[] = {c->raw_ldap, c->raw_krb, c->raw_ntstatus, c->user_guid, c->user_sam, c->user_upn, c->dc};

        if (pairs_drop_last(&c->attributes)) {
                c->attributes_state = "truncated";
                return true;
        }
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (*texts[i]) {
                        *texts[i] = '\0';
                        return true;
                }
        return false;
}

int verdict_seal(const struct verdict_frame *f, const struct outcome *o, struct buffer *out, struct error *err)
{
        _cleanup_(buffer_free) struct buffer padded = BUFFER(PADDED_LARGE);
        struct verdict_claims c = {0};
        int r;

        fill(&c, f, o);
        r = sign_padded(f, &c, &padded, err);
        while (r == -EMSGSIZE && leave_out(&c))
                r = sign_padded(f, &c, &padded, err);
        if (r == 0)
                r = jwe_seal(JWE_VERDICT, f->rk, padded.data, padded.len, out, err);
        return r;
}

void verdict_raw_text(const struct outcome *o, char *out, size_t cap)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(256);
        int r = 0;

        if (o->has_ldap)
                r |= buffer_printf(&b, "ldap=%" PRId32 " ", o->ldap);
        if (o->has_ldap_data)
                r |= buffer_printf(&b, "data=%" PRIx32 " ", o->ldap_data);
        if (o->has_krb)
                r |= buffer_printf(&b, "krb=%" PRId32 " ", o->krb);
        if (o->has_ntstatus)
                r |= buffer_printf(&b, "ntstatus=%08" PRIX32 " ", o->ntstatus);
        if (r < 0 || b.len == 0)
                snprintf(out, cap, "%s", "");
        else
                snprintf(out, cap, "%.*s", (int)b.len - 1, b.data);
}
