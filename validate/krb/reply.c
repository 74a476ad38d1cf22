/*
 * What a KDC's answers mean for an attempt: the hints for the key, refusals, referrals, the finished exchange.
 *
 * Invariant: an error that answers the request with preauthentication is mapped here and ends the attempt. libkrb5
 * does not see it, but for an armoured one, which it takes apart; what it then wants to send is not sent.
 */
#include "validate/krb/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"
#include "base/dns/dns.h"
#include "validate/krb/kpasswd.h"
#include "validate/krb/der.h"
#include "validate/types/detail.h"

#define CHANGE_LEAST_MS 500 /* with less, a change is not begun */

/*
 * A KDC of AD looks for explicit UPNs first, so NETBIOS\\name may find the account whose UPN is name@domain
 * instead of the one whose sAMAccountName is name; and where it finds no account of a name it appends a $, and so names
 * a computer's account. Nobody is let in as somebody else.
 */
static void check_sam(const struct krb_attempt *a, struct outcome *out)
{
        const char *found = out->user.sam;
        const size_t n = strlen(a->sam);

        if (out->reason != REASON_OK || !a->sam[0] || !found[0] || name_same(a->sam, found))
                return;
        const bool computers = strlen(found) == n + 1 && found[n] == '$' && strncasecmp(found, a->sam, n) == 0;

        out->reason = computers ? REASON_NOT_A_USER : REASON_NAME_AMBIGUOUS;
        if (!computers)
                out->password_proved = false;
        out->user = (struct identity){0};
        snprintf(out->context, sizeof out->context,
                 computers ? "no account has this name; the KDC appended a $ and took it for a computer's"
                           : "the KDC took the name for another account, whose user principal name it is");
}

/* The old password opened the KDC's reply. That proves it where the KDC is known by the armour; else whoever wrote the
 * reply need only have known what was typed. */
static void say_right(const struct krb_attempt *a, struct outcome *out)
{
        out->password_proved = a->armored;
        if (a->armored)
                return;
        out->claim = CLAIM_RIGHT;
        if (reason_info(out->reason)->verdict == VERDICT_REFUSED)
                out->counted = COUNTED_UNKNOWN;
}

static void on_changed(void *arg, const struct outcome *outcome, bool sent)
{
        struct krb_attempt *a = arg;
        struct outcome out = *outcome;

        (void)sent;
        say_right(a, &out);
        krb_finish(a, &out);
}

/* The old password got a ticket for kadmin/changepw: sends the new one. creds is freed. */
static void change_start(struct krb_attempt *a, krb5_creds *creds)
{
        struct krb_change_request request = {.creds = creds,
                                             .new_password = a->new_password,
                                             .address = a->address,
                                             .address_len = a->address_len,
                                             .id = a->id,
                                             .deadline = a->deadline};
        struct outcome out = {.reason = REASON_DEADLINE, .counted = COUNTED_NO};
        int r = 0;

        krb_wire_done(a);
        krb_slot_leave(a->krb, &a->slot);
        loop_timer_stop(a->timer);
        address_set_port(&request.address, a->config->kpasswd_port ? a->config->kpasswd_port : KPASSWD_PORT);
        krb_set_state(a, KRB_STATE_CHANGING);
        if (loop_now(a->krb->loop) + CHANGE_LEAST_MS <= a->deadline)
                r = krb_change_start(&a->change, a->krb, &request, on_changed, a);
        else
                r = -ETIME;
        krb5_free_cred_contents(a->krb->context, creds);
        if (r == 0)
                return;
        if (r != -ETIME)
                out.reason = REASON_INTERNAL;
        snprintf(out.context, sizeof out.context, "%s; nothing was changed",
                 r == -ETIME ? "too little time was left to change the password"
                             : "the request to change the password could not be made");
        say_right(a, &out);
        krb_finish(a, &out);
}

/* The ticket for our service decides. */
static void judge(struct krb_attempt *a, struct krb_domain *domain, krb5_creds *creds)
{
        struct outcome out = {0};

        krb_verify(a->krb, domain, a->config, creds, &out);
        if (out.reason == REASON_OK)
                out.dc_clock = (int64_t)(uint32_t)creds->times.authtime;
        check_sam(a, &out);
        krb_finish(a, &out);
}

static void on_ticket(void *arg, krb5_creds *creds, const char *why)
{
        struct krb_attempt *a = arg;
        struct krb_domain *domain = krb_domain_find(a->krb, a->config);
        struct outcome out = {.reason = REASON_TRUST_FAILURE, .counted = COUNTED_NO};

        if (creds && domain) {
                judge(a, domain, creds);
                return;
        }
        snprintf(out.context, sizeof out.context, "no ticket for %.100s: %.100s", domain ? domain->service_text : "?",
                 domain ? why : "the domain is gone");
        krb_finish(a, &out);
}

/* The service is of another realm: asks its KDC for the ticket, through those on the way. */
static void fetch_ticket(struct krb_attempt *a, const struct krb_domain *domain, krb5_creds *tgt)
{
        const struct krb_ticket_request request = {
                .tgt = tgt, .service = domain->service, .id = a->id, .deadline = a->deadline};
        int r;

        krb_wire_done(a);
        krb_slot_leave(a->krb, &a->slot);
        loop_timer_stop(a->timer);
        krb_set_state(a, KRB_STATE_FETCHING);
        r = krb_ticket_start(&a->ticket, a->krb, &request, on_ticket, a);
        if (r < 0)
                krb_finish_reason(a, r == -ENOMEM ? REASON_OVERLOADED : REASON_DC_PROTOCOL,
                                  "no request with the password's ticket could be made");
}

void krb_exchange_finished(struct krb_attempt *a)
{
        struct krb_domain *domain = krb_domain_find(a->krb, a->config);
        krb5_context context = a->krb->context; /* a may be gone at the end */
        krb5_creds creds = {0};
        krb5_error_code code = krb5_init_creds_get_creds(context, a->icc, &creds);

        krb5_init_creds_free(a->krb->context, a->icc);
        a->icc = NULL;
        if (a->new_password && !code) {
                change_start(a, &creds);
                return;
        }
        if (code || !domain) {
                krb_finish_code(a, REASON_INTERNAL, "the exchange's credentials", code);
                return;
        }
        if (domain->foreign)
                fetch_ticket(a, domain, &creds);
        else
                judge(a, domain, &creds);
        krb5_free_cred_contents(context, &creds);
}

void krb_step_failed(struct krb_attempt *a, krb5_error_code code)
{
        struct outcome out = {0};

        if (code == KRB5KRB_AP_ERR_BAD_INTEGRITY && a->granted && a->state != KRB_STATE_PROVING) {
                /* The account needs no preauthentication: its reply opens with the right password only. */
                out.reason = REASON_WRONG_PASSWORD;
                out.counted = COUNTED_NO;
                krb_finish(a, &out);
        } else if (code == KRB5KRB_AP_ERR_BAD_INTEGRITY || code == KRB5_KDCREP_MODIFIED) {
                krb_finish_code(a, REASON_KDC_NOT_VERIFIED, "the KDC's reply", code);
        } else if (code == KRB5_KDCREP_SKEW) {
                krb_finish_code(a, REASON_CLOCK_SKEW, "the KDC's reply", code);
        } else if (code == ENOMEM) {
                krb_finish_reason(a, REASON_OVERLOADED, "out of memory");
        } else if (a->state == KRB_STATE_WAITING) {
                krb_finish_code(a, REASON_INTERNAL, "no request", code);
        } else if (code == KRB5_PREAUTH_FAILED || code == KRB5_PREAUTH_BAD_TYPE || code == KRB5KDC_ERR_PREAUTH_FAILED) {
                krb_finish_code(a, REASON_DC_ERROR, "the KDC offers no usable preauthentication", code);
        } else {
                krb_finish_code(a, REASON_DC_PROTOCOL, "the KDC's reply", code);
        }
}

/* The key is there: libkrb5 gets it, and then the reply that it waits for. */
static void on_key(void *arg, krb5_keytab keytab)
{
        struct krb_attempt *a = arg;
        krb5_error_code code;

        a->key = krb_key_free(a->key);
        a->keytab = keytab;
        loop_timer_stop(a->timer);
        if (!keytab) {
                krb_finish_reason(a, REASON_INTERNAL, "the key could not be made");
                return;
        }
        code = krb5_init_creds_set_keytab(a->krb->context, a->icc, a->keytab);
        if (code)
                krb_finish_code(a, REASON_INTERNAL, "the key", code);
        else
                krb_step(a, a->reply, a->reply_n);
}

/* Has the key made that the KDC's hints ask for; libkrb5 gets it with the reply that holds them. */
static void make_key(struct krb_attempt *a, const struct krb_padata_list *hints, const uint8_t *reply, size_t n)
{
        const struct krb_key_request request = {
                .client = a->client, .hints = hints, .password = a->password, .fn = on_key, .arg = a};
        const char *why = "out of memory";
        enum reason reason = REASON_OVERLOADED;
        const uint8_t *salt;
        size_t salt_n;

        if (a->told && krb_key_salt(hints, &salt, &salt_n) == 0 && !a->told(a->attempt_arg, salt, salt_n)) {
                krb_finish_reason(a, REASON_CANCELLED, "the account's place with the lockout guard is not free");
                return;
        }
        if (a->commit)
                a->commit(a->attempt_arg);
        a->reply = malloc(n);
        if (a->reply) {
                memcpy(a->reply, reply, n);
                a->reply_n = n;
                reason = krb_key_start(&a->key, &why, a->krb, &request);
        }
        if (reason != REASON_OK) {
                krb_finish_reason(a, reason, why);
                return;
        }
        krb_wire_done(a);
        krb_set_state(a, KRB_STATE_KEYING);
        loop_timer_at(a->timer, a->deadline);
}

static void on_as_rep(struct krb_attempt *a, const uint8_t *reply, size_t n)
{
        struct krb_padata_list list;

        if (krb_as_rep_padata(&list, reply, n) < 0) {
                krb_finish_reason(a, REASON_DC_PROTOCOL, "malformed padata in the KDC's reply");
                return;
        }
        if (a->state == KRB_STATE_ASKING)
                make_key(a, &list, reply, n);
        else
                krb_step(a, reply, n);
}

/* A realm that isn't ours answers for the account. */
static void finish_referral(struct krb_attempt *a, const krb5_error *error)
{
        struct outcome out = {.reason = REASON_REFERRAL};

        out.counted = a->left ? COUNTED_UNKNOWN : COUNTED_NO;
        out.has_krb = true;
        out.krb = (int32_t)error->error;
        if (error->client)
                snprintf(out.context, sizeof out.context, "the KDC says that the account is one of the realm %.*s",
                         (int)error->client->realm.length, error->client->realm.data);
        krb_make_plain(out.context);
        krb_finish(a, &out);
}

static void on_error(struct krb_attempt *a, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context; /* a may be gone at the end, and the krb too */
        krb5_data data = {.length = (unsigned)n, .data = NULL};
        krb5_error *error = NULL;
        struct krb_padata_list list;
        struct outcome out = {0};

        memcpy(&data.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        if (krb5_rd_error(context, &data, &error) != 0) {
                krb_finish_reason(a, REASON_DC_PROTOCOL, "malformed error from the KDC");
                return;
        }
        /* code 25 to the first request: the KDC tells how to make the key */
        const bool hints = error->error == KRB_ERROR_PREAUTH_REQUIRED && a->state == KRB_STATE_ASKING;
        if (hints && krb_padata_parse(&list, (const uint8_t *)error->e_data.data, error->e_data.length) < 0) {
                krb_finish_reason(a, REASON_DC_PROTOCOL, "malformed method data from the KDC");
        } else if (hints) {
                make_key(a, &list, reply, n);
        } else if (error->error == KRB_ERROR_WRONG_REALM) {
                finish_referral(a, error);
        } else {
                const struct krb_refusal refusal = {.code = (int32_t)error->error,
                                                    .e_data = (const uint8_t *)error->e_data.data,
                                                    .n = error->e_data.length,
                                                    .preauth = a->state == KRB_STATE_PROVING,
                                                    .ad = a->config->directory == DIRECTORY_AD};
                outcome_from_krb(&out, &refusal);
                krb_finish(a, &out);
        }
        krb5_free_error(context, error);
}

/* A KDC that answers a probe is alive. Its answer, an error that asks for preauthentication, has its time. */
static void probe_done(struct krb_attempt *a, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context;
        krb5_data data = {.length = (unsigned)n};
        krb5_error *error = NULL;
        int64_t skew = 0;
        char why[80];

        memcpy(&data.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        if (krb_message_kind(reply, n) == KRB_MESSAGE_ERROR && krb5_rd_error(context, &data, &error) == 0) {
                skew = (int64_t)(uint32_t)error->stime - loop_wall(a->krb->loop);
                krb5_free_error(context, error);
        }
        if (skew <= CLOCK_SKEW_MAX && skew >= -CLOCK_SKEW_MAX) {
                krb_finish_reason(a, REASON_OK, "");
                return;
        }
        snprintf(why, sizeof why, "its clock is %lld %s", llabs((long long)skew),
                 detail_phrase(skew > 0 ? DETAIL_CLOCK_AHEAD : DETAIL_CLOCK_BEHIND));
        krb_finish_reason(a, REASON_CLOCK_SKEW, why);
}

/* Within armour libkrb5 makes the key itself: the KDC's hints can be read by nobody else. */
static bool feed_password(struct krb_attempt *a)
{
        krb5_error_code code;

        if (a->commit)
                a->commit(a->attempt_arg);
        code = krb5_init_creds_set_password(a->krb->context, a->icc, secret_text(a->password));
        if (code)
                krb_finish_code(a, REASON_INTERNAL, "the password", code);
        return !code;
}

/* Whether libkrb5 found an error inside the armour: it keeps that one then, and else the one outside, which anybody on
 * the way may have written. */
static bool was_inside(struct krb_attempt *a, const krb5_error *outside)
{
        krb5_error *kept = NULL;
        bool same;

        if (krb5_init_creds_get_error(a->krb->context, a->icc, &kept) != 0 || !kept)
                return false;
        same = kept->error == outside->error && kept->e_data.length == outside->e_data.length &&
               (kept->e_data.length == 0 || memcmp(kept->e_data.data, outside->e_data.data, kept->e_data.length) == 0);
        krb5_free_error(a->krb->context, kept);
        return !same;
}

/* An armoured error: libkrb5 finds the code inside; what it wants to send after a proof is not sent. A refusal that is
 * not inside the armour is none. No NTSTATUS comes with either, so they can't tell a lockout from other states; 23
 * alone says that the password was right. */
static void on_armored_error(struct krb_attempt *a, const krb5_error *outside, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context;
        krb5_data in = {.length = (unsigned)n}, request = {0}, realm = {0};
        struct krb_refusal refusal = {.code = (int32_t)outside->error,
                                      .preauth = a->state == KRB_STATE_PROVING,
                                      .ad = a->config->directory == DIRECTORY_AD,
                                      .armored = true};
        struct outcome out = {0};
        unsigned flags = 0;
        krb5_error_code code;

        memcpy(&in.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        code = krb5_init_creds_step(context, a->icc, &in, &request, &realm, &flags);
        krb5_free_data_contents(context, &request);
        krb5_free_data_contents(context, &realm);
        if (code && (code < KRB5KDC_ERR_NONE || code > KRB5KDC_ERR_NONE + 127)) {
                krb_step_failed(a, code);
                return;
        }
        if (code)
                refusal.code = (int32_t)(code - KRB5KDC_ERR_NONE);
        outcome_from_krb(&out, &refusal);
        if (reason_info(out.reason)->verdict == VERDICT_REFUSED && !was_inside(a, outside)) {
                snprintf(out.context, sizeof out.context,
                         "KRB-ERROR %d came outside the armour, so it may not be the KDC's", (int)outside->error);
                out.reason = REASON_KDC_NOT_VERIFIED;
                out.password_proved = false;
                out.claim = CLAIM_NONE;
                out.counted = refusal.preauth ? COUNTED_UNKNOWN : COUNTED_NO;
        }
        krb_finish(a, &out);
}

static void on_armored(struct krb_attempt *a, enum krb_message kind, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context; /* a may be gone at the end, and the krb too */
        krb5_data data = {.length = (unsigned)n};
        krb5_error *error = NULL;

        memcpy(&data.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        if (kind == KRB_MESSAGE_ERROR && krb5_rd_error(context, &data, &error) != 0) {
                krb_finish_reason(a, REASON_DC_PROTOCOL, "malformed error from the KDC");
                return;
        }
        if (error && error->error == KRB_ERROR_WRONG_REALM)
                finish_referral(a, error);
        else if (error && (error->error != KRB_ERROR_PREAUTH_REQUIRED || a->state != KRB_STATE_ASKING))
                on_armored_error(a, error, reply, n);
        else if (a->state != KRB_STATE_ASKING || feed_password(a))
                krb_step(a, reply, n);
        if (error)
                krb5_free_error(context, error);
}

void krb_on_reply(void *arg, int failure, const uint8_t *reply, size_t n)
{
        struct krb_attempt *a = arg;
        enum krb_message kind;

        loop_timer_stop(a->timer);
        if (failure < 0) {
                krb_transport_failed(a, failure);
                return;
        }
        if (a->heard)
                a->heard(a->attempt_arg);
        if (krb_wire_left(a->wire) && a->state == KRB_STATE_PROVING)
                a->left = true;
        kind = krb_message_kind(reply, n);
        a->granted = kind == KRB_MESSAGE_AS_REP;
        if (kind == KRB_MESSAGE_BAD)
                krb_finish_reason(a, REASON_DC_PROTOCOL, "the KDC's reply is not a Kerberos message");
        else if (!a->password)
                probe_done(a, reply, n);
        else if (a->armored)
                on_armored(a, kind, reply, n);
        else if (kind == KRB_MESSAGE_ERROR)
                on_error(a, reply, n);
        else
                on_as_rep(a, reply, n);
}
