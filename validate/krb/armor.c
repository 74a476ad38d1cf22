/*
 * Gets the armour ticket by an AS exchange with the keytab, at two thirds of its life the next one.
 *
 * Invariant: the ticket in use stays so until its successor is there or its end; a sign-in that began with one
 * has read all of it by then (libkrb5 takes it when the exchange begins).
 */
#include "validate/krb/armor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "validate/krb/courier.h"

#define MARGIN_S 2 /* before its end a ticket is not used any more */
#define STEPS_MAX 4
#define BUDGET_MS 10000
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 30000
#define REFUSED_MS (10 * 60 * 1000)

struct krb_armor {
        struct krb *krb;
        struct krb_domain *domain;
        krb5_principal client;
        krb5_ccache ccache; /* the ticket in use; NULL: none */
        krb5_get_init_creds_opt *options;
        uint64_t usable_until;
        /* the exchange under way */
        krb5_init_creds_context icc;
        struct krb_courier *courier;
        unsigned steps;
        uint64_t retry_ms;
        char why[200]; /* there is no ticket */
        struct loop_timer *timer;
};

static void drop_ticket(struct krb_armor *a)
{
        if (a->options)
                krb5_get_init_creds_opt_free(a->krb->context, a->options);
        if (a->ccache)
                krb5_cc_destroy(a->krb->context, a->ccache);
        a->options = NULL;
        a->ccache = NULL;
}

struct krb_armor *krb_armor_free(struct krb_armor *a)
{
        if (!a)
                return NULL;
        drop_ticket(a);
        if (a->icc)
                krb5_init_creds_free(a->krb->context, a->icc);
        krb_courier_free(a->courier);
        loop_timer_free(a->timer);
        krb5_free_principal(a->krb->context, a->client);
        free(a);
        return NULL;
}

/* The one end of an exchange: when the next one begins. */
static void end(struct krb_armor *a, uint64_t next_ms)
{
        if (a->icc)
                krb5_init_creds_free(a->krb->context, a->icc);
        a->icc = NULL;
        loop_timer_in(a->timer, next_ms + loop_jitter(0, next_ms / 10));
}

/* Our account was refused, or the answer is none: not soon again. */
static void refused(struct krb_armor *a, krb5_error_code code)
{
        const char *text = krb5_get_error_message(a->krb->context, code);

        snprintf(a->why, sizeof a->why, "%s", text);
        krb_make_plain(a->why);
        krb5_free_error_message(a->krb->context, text);
        log_debug("krb_armor", KV_S("domain", a->domain->name), KV_S("refused", a->why));
        end(a, REFUSED_MS);
}

/* Takes the ticket into use. */
static krb5_error_code adopt(struct krb_armor *a, krb5_creds *creds)
{
        krb5_context context = a->krb->context;
        krb5_get_init_creds_opt *options = NULL;
        krb5_ccache ccache = NULL;
        krb5_error_code code = krb_memory_ccache(&ccache, context, creds);

        if (!code)
                code = krb5_get_init_creds_opt_alloc(context, &options);
        if (!code)
                code = krb5_get_init_creds_opt_set_fast_ccache(context, options, ccache);
        if (!code)
                code = krb5_get_init_creds_opt_set_fast_flags(context, options, KRB5_FAST_REQUIRED);
        if (code) {
                if (options)
                        krb5_get_init_creds_opt_free(context, options);
                if (ccache)
                        krb5_cc_destroy(context, ccache);
                return code;
        }
        drop_ticket(a);
        a->options = options;
        a->ccache = ccache;
        return 0;
}

static void finished(struct krb_armor *a)
{
        krb5_context context = a->krb->context;
        krb5_creds creds = {0};
        krb5_timestamp now = 0;
        krb5_error_code code = krb5_init_creds_get_creds(context, a->icc, &creds);
        int64_t life = 0;

        if (!code)
                code = krb5_timeofday(context, &now);
        if (!code)
                code = adopt(a, &creds);
        if (!code)
                life = (int64_t)(uint32_t)creds.times.endtime - (int64_t)(uint32_t)now;
        krb5_free_cred_contents(context, &creds);
        if (code || life <= MARGIN_S) {
                refused(a, code ? code : KRB5KRB_AP_ERR_TKT_EXPIRED);
                return;
        }
        a->usable_until = loop_now(a->krb->loop) + (uint64_t)(life - MARGIN_S) * 1000;
        a->retry_ms = RETRY_MIN_MS;
        log_debug("krb_armor", KV_S("domain", a->domain->name), KV_S("result", "ok"), KV_U("life_s", (uint64_t)life));
        end(a, (uint64_t)life * 1000 * 2 / 3 * 9 / 10); /* two thirds, the jitter included */
}

/* Lets libkrb5 take the reply and make what comes next. */
static void step(struct krb_armor *a, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context;
        krb5_data in = {.length = (unsigned)n}, request = {0}, realm = {0};
        unsigned flags = 0;
        krb5_error_code code;

        memcpy(&in.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        code = krb5_init_creds_step(context, a->icc, &in, &request, &realm, &flags);
        if (code)
                refused(a, code);
        else if (!(flags & KRB5_INIT_CREDS_STEP_FLAG_CONTINUE))
                finished(a);
        else if (a->steps++ >= STEPS_MAX)
                refused(a, KRB5_GET_IN_TKT_LOOP);
        else
                krb_courier_send(a->courier, &request, &realm, loop_now(a->krb->loop) + BUDGET_MS);
        krb5_free_data_contents(context, &request);
        krb5_free_data_contents(context, &realm);
}

static void on_armor_reply(void *arg, const uint8_t *reply, size_t n, const char *why)
{
        struct krb_armor *a = arg;

        if (reply) {
                step(a, reply, n);
                return;
        }
        snprintf(a->why, sizeof a->why, "%s", why); /* nobody answered: soon again */
        log_debug("krb_armor", KV_S("domain", a->domain->name), KV_S("result", a->why));
        end(a, a->retry_ms);
        a->retry_ms = a->retry_ms * 2 < RETRY_MAX_MS ? a->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_armor_timer(void *arg)
{
        struct krb_armor *a = arg;
        krb5_context context = a->krb->context;
        krb5_error_code code;

        if (a->icc)
                return;
        a->steps = 0;
        code = krb5_init_creds_init(context, a->client, NULL, NULL, 0, a->krb->armor_options, &a->icc);
        if (!code)
                code = krb5_init_creds_set_keytab(context, a->icc, a->domain->armor_keytab);
        if (code)
                refused(a, code);
        else
                step(a, NULL, 0);
}

krb5_error_code krb_armor_principal(krb5_principal *ret, const struct krb *krb, const struct krb_domain *domain)
{
        krb5_principal principal = NULL;
        krb5_error_code code =
                krb5_parse_name_flags(krb->context, domain->armor_principal, KRB5_PRINCIPAL_PARSE_NO_REALM, &principal);

        if (!code)
                code = krb5_set_principal_realm(krb->context, principal, domain->realm);
        if (code)
                krb5_free_principal(krb->context, principal);
        else
                *ret = principal;
        return code;
}

int krb_armor_new(struct krb_armor **ret, struct krb *krb, struct krb_domain *domain, struct error *err)
{
        struct krb_armor *a = calloc(1, sizeof *a);
        krb5_error_code code;

        if (!a)
                return error_fail(err, -ENOMEM, "domain %s: out of memory", domain->name);
        a->krb = krb;
        a->domain = domain;
        a->retry_ms = RETRY_MIN_MS;
        snprintf(a->why, sizeof a->why, "it was not asked for yet");
        code = krb_armor_principal(&a->client, krb, domain);
        if (code || krb_courier_new(&a->courier, krb, NULL, on_armor_reply, a) < 0 ||
            loop_timer_new(&a->timer, krb->loop, NULL, on_armor_timer, a) < 0) {
                krb_armor_free(a);
                return error_fail(err, code ? -EINVAL : -ENOMEM, "domain %s: armor_principal %s: %s", domain->name,
                                  domain->armor_principal,
                                  code ? "it is not a principal without a realm" : "out of memory");
        }
        loop_timer_in(a->timer, 0);
        *ret = a;
        return 0;
}

krb5_get_init_creds_opt *krb_armor_options(const struct krb_armor *a, const char **ret_why)
{
        if (a->options && loop_now(a->krb->loop) < a->usable_until)
                return a->options;
        *ret_why = a->options ? "the armour ticket ran out, and no other could be had" : a->why;
        return NULL;
}

void krb_armor_retry(struct krb_armor *a)
{
        a->retry_ms = RETRY_MIN_MS;
        if (!a->icc && (!a->options || loop_now(a->krb->loop) >= a->usable_until))
                loop_timer_in(a->timer, 0);
}
