/*
 * Ledger records: frames built from a sign-in, names masked unless they are known to be names.
 *
 * A name is kept in clear only where an answer, this one or an earlier one, showed that an account of this name exists;
 * everything else may be a password in the wrong box, with a domain behind it or without. Of a request that no service
 * of the roster signed, nothing that it says is recorded.
 */
#include "connector/validator/record.h"

#include <stdio.h>
#include <string.h>

#include "base/core/log.h"
#include "connector/frames/messages.h"
#include "connector/validator/known-names.h"
#include "connector/validator/verdict.h"
#include "base/core/typed-name.h"

static void put_if(struct msg_out *m, uint8_t tag, const char *text)
{
        if (text[0])
                msg_str(m, tag, text);
}

static bool account_known(const struct outcome *o)
{
        const struct reason_info *info = reason_info(o->reason);

        /* the guard stops names that are none just the same */
        return o->password_proved || info->verdict == VERDICT_ACCEPTED ||
               (info->class == VERDICT_CLASS_POLICY && o->reason != REASON_THROTTLED) ||
               (o->reason == REASON_WRONG_PASSWORD && o->method == METHOD_KRB5);
}

static void put_name(struct msg_out *m, const struct signins_config *c, const struct request_claims *claims,
                     const struct outcome *o)
{
        char hash[NAME_HASH_TEXT], masked[WIRE_USERNAME_MAX + 64];
        const char *name = claims->username;
        size_t n = claims->username_len;
        const bool known = o && account_known(o);
        const bool nobody = o && (o->reason == REASON_UNKNOWN_USER || o->reason == REASON_ALIAS_UNKNOWN);

        if (claims->username_form != CREDENTIAL_OK)
                return;
        typed_trim(&name, &n);
        name_hash(c->hash_key, name, n, hash);
        msg_str(m, R_USER_HASH, hash);
        if (known)
                known_names_add(c->known_names, hash);
        if (known || (!nobody && known_names_has(c->known_names, hash))) {
                msg_bytes(m, R_USER, name, n);
                return;
        }
        /* typed as name@served-domain or SERVED\name */
        const bool has_domain = memchr(claims->username, '@', claims->username_len) ||
                                memchr(claims->username, '\\', claims->username_len);
        name_mask(name, n, has_domain && validate_route(c->validate, claims->username, claims->username_len) >= 0,
                  masked, sizeof(masked));
        msg_str(m, R_USER_MASKED, masked);
}

/* What a request that a service of the roster signed says of who signs in. Whose name it is by the configuration goes
 * with it, so that the ledger can tell whose affair the record is. */
static void put_request(struct msg_out *m, const struct signins_config *c, const struct intake *in,
                        const struct outcome *o)
{
        const struct request_claims *claims = in->claims;
        const int domain = claims->username_form == CREDENTIAL_OK
                                   ? validate_route(c->validate, claims->username, claims->username_len)
                                   : -1;

        put_name(m, c, claims, o);
        if (c->domains && domain >= 0 && (size_t)domain < c->n_domains)
                msg_str(m, R_REALM, c->domains[domain]);
        msg_str(m, R_SERVICE, in->service_name);
        put_if(m, R_CLIENT_IP, claims->client_ip);
        put_if(m, R_CLIENT_APP, claims->client_app);
        put_if(m, R_CLIENT_AGENT, claims->client_agent);
}

static void put_outcome(struct msg_out *m, const struct outcome *o, const struct intake *in)
{
        const struct reason_info *info = reason_info(o->reason);
        const bool change = intake_authentic(in) && strcmp(in->claims->op, OP_CHANGE_PASSWORD) == 0;
        char raw[128], context[sizeof(o->context) + 32];

        snprintf(context, sizeof(context), "%s%s%s", change ? "change of password" : "",
                 change && o->context[0] ? ": " : "", o->context);
        verdict_raw_text(o, raw, sizeof(raw));
        msg_str(m, R_VERDICT, verdict_text(info->verdict));
        msg_str(m, R_CLASS, verdict_class_text(info->class));
        msg_str(m, R_REASON, info->id);
        msg_u64(m, R_PROVED, o->password_proved);
        msg_str(m, R_COUNTED, counted_text(o->counted));
        put_if(m, R_USER_ID, o->user.id);
        put_if(m, R_UPN, o->user.upn);
        put_if(m, R_SAM, o->user.sam);
        put_if(m, R_DOMAIN, o->user.domain);
        put_if(m, R_DC, o->dc);
        put_if(m, R_METHOD, method_text(o->method));
        put_if(m, R_RAW, raw);
        put_if(m, R_CONTEXT, context);
        msg_u64(m, R_MS_DC, o->ms_dc);
}

void record_signin(const struct signins_config *c, const char *id, const struct intake *in, const struct outcome *o,
                   uint32_t ms_opened, uint32_t ms_total)
{
        const struct reason_info *info = reason_info(o->reason);
        struct msg_out m;

        log_info("signin.done", KV_S("verdict", verdict_text(info->verdict)), KV_S("reason", info->id),
                 KV_S("dc", o->dc), KV_S("method", method_text(o->method)), KV_U("ms", ms_total),
                 KV_S("context", o->context));
        msg_begin(&m, FRAME_RECORD);
        msg_str(&m, TAG_ID, id);
        msg_u64(&m, R_WALL, (uint64_t)loop_wall(c->loop));
        if (intake_authentic(in))
                put_request(&m, c, in, o);
        put_outcome(&m, o, in);
        msg_u64(&m, R_MS_OPENED, ms_opened);
        msg_u64(&m, R_MS_TOTAL, ms_total);
        put_if(&m, R_TRACE, in->trace);
        c->to_ledger(c->arg, &m);
}

void record_declined(const struct signins_config *c, const char *id, const struct intake *in, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_RECORD);
        msg_str(&m, TAG_ID, id);
        msg_u64(&m, R_WALL, (uint64_t)loop_wall(c->loop));
        if (in && intake_authentic(in))
                put_request(&m, c, in, NULL);
        if (in) {
                put_if(&m, R_CONTEXT, in->detail.text);
                put_if(&m, R_TRACE, in->trace);
        }
        msg_str(&m, R_DECLINED, why);
        c->to_ledger(c->arg, &m);
}

void record_event(const struct signins_config *c, const char *name, const char *text)
{
        struct msg_out m;

        msg_begin(&m, FRAME_EVENT);
        msg_str(&m, TAG_NAME, name);
        msg_str(&m, TAG_TEXT, text);
        c->to_ledger(c->arg, &m);
}

void record_delivery(record_send_fn *send, void *arg, const char *id, const char *state)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DELIVERY);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_DELIVERY, state);
        send(arg, &m);
}
