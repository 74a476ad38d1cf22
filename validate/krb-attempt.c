/*
 * One sign-in (or probe) by Kerberos at one DC: an AS exchange for the connector's own service, stepped by
 * libkrb5, carried by us.
 *
 * Invariant: of the requests of one attempt at most one holds preauthentication, it is the last one, and
 * libkrb5 sees no error that answers it: such an error is mapped here and nothing more is sent. The password
 * is handed to libkrb5 only when a key is needed, and its copies are freed before the outcome is told.
 *
 * It judges no ticket (krb-verify.c) and chooses no DC.
 */
#include "validate/krb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector/base/cleanup.h"
#include "connector/base/log.h"
#include "validate/dns.h"
#include "validate/kpasswd.h"
#include "validate/krb-change.h"
#include "validate/krb-der.h"
#include "validate/krb-key.h"
#include "validate/krb-wire.h"

#define KDC_PORT 88
#define CHANGE_SERVICE "kadmin/changepw"
#define CHANGE_LEAST_MS 500 /* with less, a change is not begun */
#define CONNECT_TIMEOUT_MS 2000

enum krb_state {
        KRB_STATE_START = 0, /* waits for the loop's next turn */
        KRB_STATE_WAITING,   /* for a slot with the KDC */
        KRB_STATE_ASKING,    /* a request without preauthentication is under way */
        KRB_STATE_PROVING,   /* the one request with preauthentication is under way */
        KRB_STATE_CHANGING,  /* the old password was right; the new one is on its way */
        KRB_STATE_DONE,
};

struct krb_attempt {
        struct krb *krb;
        const struct domain_config *config;
        char id[ID_MAX + 1];
        char host[257];
        struct sockaddr_storage address;
        socklen_t address_len;
        const struct secret *password;     /* NULL for a probe */
        char sam[USERNAME_MAX + 1];        /* AD, NETBIOS\name: whom the ticket must name; else "" */
        const struct secret *new_password; /* a change of password, or NULL */
        struct krb_change *change;
        krb5_principal client;
        uint64_t deadline, started;
        enum krb_state state;
        bool left;     /* a byte of the request with preauthentication was handed to a socket */
        bool extended; /* the stage got its time for the answer, after the time to connect */
        uint32_t ms_connect;
        krb5_init_creds_context icc;
        krb5_keytab keytab; /* the user's key, from the KDC's hints on */
        struct krb_wire *wire;
        struct loop_timer *timer;
        struct krb_waiter slot;
        void (*commit)(void *arg);
        void *commit_arg;
        attempt_done_fn *fn;
        void *arg;
};

static const char *const state_names[] = {
        [KRB_STATE_START] = "start",     [KRB_STATE_WAITING] = "waiting",   [KRB_STATE_ASKING] = "asking",
        [KRB_STATE_PROVING] = "proving", [KRB_STATE_CHANGING] = "changing", [KRB_STATE_DONE] = "done",
};

/* The one writer of the state. */
static void set_state(struct krb_attempt *a, enum krb_state state)
{
        log_debug("krb_state", KV_S("from", state_names[a->state]), KV_S("to", state_names[state]),
                  KV_S("dc", a->host));
        a->state = state;
}

static void attempt_free(struct krb_attempt *a)
{
        a->wire = krb_wire_free(a->wire);
        a->change = krb_change_free(a->change);
        krb_slot_leave(a->krb, &a->slot);
        a->timer = loop_timer_free(a->timer);
        if (a->icc)
                krb5_init_creds_free(a->krb->context, a->icc);
        if (a->keytab)
                krb5_kt_close(a->krb->context, a->keytab);
        krb5_free_principal(a->krb->context, a->client);
        free(a);
}

static void wire_done(struct krb_attempt *a)
{
        if (!a->wire)
                return;
        if (a->state == KRB_STATE_PROVING && krb_wire_left(a->wire))
                a->left = true;
        a->ms_connect += krb_wire_connect_ms(a->wire);
        a->wire = krb_wire_free(a->wire);
}

/* Frees the attempt and tells its outcome: a is gone afterwards. */
static void finish(struct krb_attempt *a, struct outcome *out)
{
        attempt_done_fn *fn = a->fn;
        void *arg = a->arg;
        bool left;

        wire_done(a);
        left = a->left;
        out->method = METHOD_KRB5;
        snprintf(out->dc, sizeof out->dc, "%s", a->host);
        out->ms_connect = a->ms_connect;
        out->ms_dc = (uint32_t)(loop_now(a->krb->loop) - a->started);
        set_state(a, KRB_STATE_DONE);
        attempt_free(a);
        fn(arg, out, left);
}

/* Ends with a reason of our own. What never left can't have been counted. */
static void finish_reason(struct krb_attempt *a, enum reason reason, const char *what)
{
        struct outcome out = {.reason = reason};

        wire_done(a);
        out.counted = a->left ? COUNTED_UNKNOWN : COUNTED_NO;
        snprintf(out.context, sizeof out.context, "%s", what);
        finish(a, &out);
}

static void finish_code(struct krb_attempt *a, enum reason reason, const char *what, krb5_error_code code)
{
        struct outcome out = {0};

        krb_context_text(a->krb, &out, what, code);
        finish_reason(a, reason, out.context);
}

static uint64_t stage_end(const struct krb_attempt *a)
{
        uint64_t end = loop_now(a->krb->loop) +
                       (a->config->connect_timeout_ms ? a->config->connect_timeout_ms : CONNECT_TIMEOUT_MS);

        return end < a->deadline ? end : a->deadline;
}

/* A transport that failed says nothing about the password. */
static void transport_failed(struct krb_attempt *a, int error)
{
        char what[128];

        snprintf(what, sizeof what, "KDC: %s",
                 error == -EBADMSG ? "the reply is cut off or too large" : strerrordesc_np(-error));
        wire_done(a);
        if (error == -EBADMSG)
                finish_reason(a, REASON_DC_PROTOCOL, what);
        else if (a->left)
                finish_reason(a, REASON_OUTCOME_UNKNOWN, what);
        else if (error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH)
                finish_reason(a, REASON_DC_UNREACHABLE, what);
        else if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
                 error == -EADDRNOTAVAIL)
                finish_reason(a, REASON_OVERLOADED, what);
        else
                finish_reason(a, REASON_DC_REFUSED, what);
}

static void step(struct krb_attempt *a, const uint8_t *reply, size_t n);

/*
 * A KDC of AD looks for explicit UPNs first, so NETBIOS\\name may find the account whose UPN is name@domain
 * instead of the one whose sAMAccountName is name. Nobody is let in as somebody else.
 */
static void check_sam(const struct krb_attempt *a, struct outcome *out)
{
        if (out->reason != REASON_OK || !a->sam[0] || !out->user.sam[0] || name_same(a->sam, out->user.sam))
                return;
        out->reason = REASON_NAME_AMBIGUOUS;
        out->password_proved = false;
        out->user = (struct identity){0};
        snprintf(out->context, sizeof out->context,
                 "the KDC took the name for another account, whose user principal name it is");
}

static void on_changed(void *arg, const struct outcome *outcome, bool sent)
{
        struct krb_attempt *a = arg;
        struct outcome out = *outcome;

        (void)sent;
        out.password_proved = true; /* by the ticket that it got; the KDC counted nothing */
        finish(a, &out);
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
        struct outcome out = {.reason = REASON_DEADLINE, .password_proved = true, .counted = COUNTED_NO};
        int r = 0;

        wire_done(a);
        krb_slot_leave(a->krb, &a->slot);
        loop_timer_stop(a->timer);
        address_set_port(&request.address, a->config->kpasswd_port ? a->config->kpasswd_port : KPASSWD_PORT);
        set_state(a, KRB_STATE_CHANGING);
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
        finish(a, &out);
}

/* Ends a finished exchange: the credentials are judged by the ticket in them. */
static void exchange_finished(struct krb_attempt *a)
{
        struct krb_domain *domain = krb_domain_find(a->krb, a->config);
        struct outcome out = {0};
        krb5_creds creds = {0};
        krb5_error_code code = krb5_init_creds_get_creds(a->krb->context, a->icc, &creds);

        krb5_init_creds_free(a->krb->context, a->icc);
        a->icc = NULL;
        if (a->new_password && !code) {
                change_start(a, &creds);
                return;
        }
        if (code || !domain) {
                finish_code(a, REASON_INTERNAL, "the exchange's credentials", code);
                return;
        }
        krb_verify(a->krb, domain, a->config, &creds, &out);
        krb5_free_cred_contents(a->krb->context, &creds);
        check_sam(a, &out);
        finish(a, &out);
}

/* libkrb5 gave up on a reply that was not an error, or could not make a request. */
static void step_failed(struct krb_attempt *a, krb5_error_code code)
{
        struct outcome out = {0};

        if (code == KRB5KRB_AP_ERR_BAD_INTEGRITY && a->state == KRB_STATE_ASKING) {
                /* The account needs no preauthentication: its reply opens with the right password only. */
                out.reason = REASON_WRONG_PASSWORD;
                out.counted = COUNTED_NO;
                finish(a, &out);
        } else if (code == KRB5KRB_AP_ERR_BAD_INTEGRITY || code == KRB5_KDCREP_MODIFIED) {
                finish_code(a, REASON_KDC_NOT_VERIFIED, "the KDC's reply", code);
        } else if (code == KRB5_KDCREP_SKEW) {
                finish_code(a, REASON_CLOCK_SKEW, "the KDC's reply", code);
        } else if (code == ENOMEM) {
                finish_reason(a, REASON_OVERLOADED, "out of memory");
        } else if (a->state == KRB_STATE_WAITING) {
                finish_code(a, REASON_INTERNAL, "no request", code);
        } else if (code == KRB5_PREAUTH_FAILED || code == KRB5_PREAUTH_BAD_TYPE ||
                   code == KRB5KDC_ERR_PREAUTH_FAILED) {
                finish_code(a, REASON_DC_ERROR, "the KDC offers no usable preauthentication", code);
        } else {
                finish_code(a, REASON_DC_PROTOCOL, "the KDC's reply", code);
        }
}

/* Gives libkrb5 the key that the KDC's hints ask for. False after the attempt was finished. */
static bool feed_key(struct krb_attempt *a, const struct krb_padata_list *hints)
{
        const struct krb_key_request request = {a->client, hints, a->password};
        const char *why = NULL;
        enum reason reason;
        krb5_error_code code;

        if (a->commit)
                a->commit(a->commit_arg);
        reason = krb_key_prepare(&a->keytab, &why, a->krb, &request);
        if (reason != REASON_OK) {
                finish_reason(a, reason, why);
                return false;
        }
        code = krb5_init_creds_set_keytab(a->krb->context, a->icc, a->keytab);
        if (code) {
                finish_code(a, REASON_INTERNAL, "the key", code);
                return false;
        }
        return true;
}

static void on_as_rep(struct krb_attempt *a, const uint8_t *reply, size_t n)
{
        struct krb_padata_list list;

        if (krb_as_rep_padata(&list, reply, n) < 0) {
                finish_reason(a, REASON_DC_PROTOCOL, "malformed padata in the KDC's reply");
                return;
        }
        if (a->state == KRB_STATE_ASKING && !feed_key(a, &list))
                return;
        step(a, reply, n);
}

/* A realm that isn't ours answers for the account. */
static void finish_referral(struct krb_attempt *a, const krb5_error *error)
{
        struct outcome out = {.reason = REASON_REFERRAL};

        out.counted = a->left ? COUNTED_UNKNOWN : COUNTED_NO;
        out.has_krb = true;
        out.krb = (int32_t)error->error;
        if (error->client && !a->left && error->client->realm.length < sizeof out.realm) {
                memcpy(out.realm, error->client->realm.data, error->client->realm.length);
                krb_make_plain(out.realm);
        }
        if (error->client)
                snprintf(out.context, sizeof out.context,
                         "the KDC says that the account is one of the realm %.*s",
                         (int)error->client->realm.length, error->client->realm.data);
        krb_make_plain(out.context);
        finish(a, &out);
}

/* Code 25 to the first request: the KDC tells how to make the key. */
static void on_preauth_required(struct krb_attempt *a, const krb5_error *error, const uint8_t *reply,
                                size_t n)
{
        struct krb_padata_list list;

        if (krb_padata_parse(&list, (const uint8_t *)error->e_data.data, error->e_data.length) < 0) {
                finish_reason(a, REASON_DC_PROTOCOL, "malformed method data from the KDC");
                return;
        }
        if (feed_key(a, &list))
                step(a, reply, n);
}

static void on_error(struct krb_attempt *a, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context; /* a may be gone at the end, and the krb too */
        krb5_data data = {.length = (unsigned)n, .data = NULL};
        krb5_error *error = NULL;
        struct outcome out = {0};

        memcpy(&data.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        if (krb5_rd_error(context, &data, &error) != 0) {
                finish_reason(a, REASON_DC_PROTOCOL, "malformed error from the KDC");
                return;
        }
        if (error->error == KRB_ERROR_PREAUTH_REQUIRED && a->state == KRB_STATE_ASKING) {
                on_preauth_required(a, error, reply, n);
        } else if (error->error == KRB_ERROR_WRONG_REALM) {
                finish_referral(a, error);
        } else {
                const struct krb_refusal refusal = {.code = (int32_t)error->error,
                                                    .e_data = (const uint8_t *)error->e_data.data,
                                                    .n = error->e_data.length,
                                                    .preauth = a->state == KRB_STATE_PROVING,
                                                    .ad = a->config->directory == DIRECTORY_AD};
                outcome_from_krb(&out, &refusal);
                finish(a, &out);
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
                finish_reason(a, REASON_OK, "");
                return;
        }
        snprintf(why, sizeof why, "its clock differs from ours by %lld s", (long long)skew);
        finish_reason(a, REASON_CLOCK_SKEW, why);
}

static void on_reply(void *arg, int failure, const uint8_t *reply, size_t n)
{
        struct krb_attempt *a = arg;
        enum krb_message kind;

        loop_timer_stop(a->timer);
        if (failure < 0) {
                transport_failed(a, failure);
                return;
        }
        if (krb_wire_left(a->wire) && a->state == KRB_STATE_PROVING)
                a->left = true;
        kind = krb_message_kind(reply, n);
        if (kind == KRB_MESSAGE_BAD)
                finish_reason(a, REASON_DC_PROTOCOL, "the KDC's reply is no Kerberos message");
        else if (!a->password)
                probe_done(a, reply, n);
        else if (kind == KRB_MESSAGE_ERROR)
                on_error(a, reply, n);
        else
                on_as_rep(a, reply, n);
}

/* The state in which a request may be sent; KRB_STATE_DONE when it must not be. */
static enum krb_state state_for_request(const struct krb_attempt *a, const krb5_data *request)
{
        bool preauth = true;

        if (krb_as_req_has_preauth(&preauth, (const uint8_t *)request->data, request->length) < 0)
                return KRB_STATE_DONE;
        if (!preauth)
                return a->state == KRB_STATE_WAITING ? KRB_STATE_ASKING : KRB_STATE_DONE;
        return a->state == KRB_STATE_ASKING && a->password ? KRB_STATE_PROVING : KRB_STATE_DONE;
}

/* Sends what libkrb5 made, if it is the next request of the one allowed sequence: asking, proving. */
static void send_request(struct krb_attempt *a, const krb5_data *request, const krb5_data *realm)
{
        enum krb_state next = state_for_request(a, request);
        int r;

        if (realm->length != strlen(a->config->realm) ||
            memcmp(realm->data, a->config->realm, realm->length) != 0) {
                finish_reason(a, REASON_REFERRAL, "the KDC refers to a realm that is not configured");
                return;
        }
        if (next == KRB_STATE_DONE) {
                finish_reason(a, REASON_DC_PROTOCOL, "the KDC's reply asks for one request too many");
                return;
        }
        wire_done(a);
        set_state(a, next);
        a->extended = false;
        r = krb_wire_new(&a->wire, a->krb->loop, a->id, on_reply, a);
        if (r == 0)
                r = krb_wire_send(a->wire, &a->address, a->address_len, request->data, request->length);
        if (r < 0)
                transport_failed(a, r);
        else
                loop_timer_at(a->timer, stage_end(a));
}

/* Lets libkrb5 take the reply and make what comes next. a may be gone afterwards. */
static void step(struct krb_attempt *a, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context; /* a may be gone at the end, and the krb too */
        krb5_data in = {.length = (unsigned)n}, request = {0}, realm = {0};
        unsigned flags = 0;
        krb5_error_code code;

        memcpy(&in.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        code = krb5_init_creds_step(context, a->icc, &in, &request, &realm, &flags);
        if (code)
                step_failed(a, code);
        else if (flags & KRB5_INIT_CREDS_STEP_FLAG_CONTINUE)
                send_request(a, &request, &realm);
        else
                exchange_finished(a);
        krb5_free_data_contents(context, &request);
        krb5_free_data_contents(context, &realm);
}

/* The slot is there: starts the exchange. */
static void begin(struct krb_attempt *a)
{
        struct krb_domain *domain = krb_domain_find(a->krb, a->config);
        krb5_error_code code;

        if (!domain && !a->new_password) {
                finish_reason(a, REASON_INTERNAL, "the domain was never added");
                return;
        }
        code = krb5_init_creds_init(a->krb->context, a->client, NULL, NULL, 0, a->krb->options, &a->icc);
        if (!code)
                code = krb5_init_creds_set_service(a->krb->context, a->icc,
                                                   a->new_password ? CHANGE_SERVICE : domain->service_text);
        if (code)
                step_failed(a, code);
        else
                step(a, NULL, 0);
}

/* Takes a slot with the KDC, or a place in its queue. A probe needs none, so that it shows the KDC and not
 * our burst. */
static void line_up(struct krb_attempt *a)
{
        int r = 0;

        if (loop_now(a->krb->loop) >= a->deadline) {
                finish_reason(a, REASON_DEADLINE, "the budget ended before the KDC was asked");
                return;
        }
        if (!a->client) {
                finish_reason(a, REASON_BAD_NAME_FORM,
                              "the name holds a character that no account's name can hold");
                return;
        }
        set_state(a, KRB_STATE_WAITING);
        if (a->password)
                r = krb_slot_enter(a->krb, &a->slot, &a->address, a->address_len);
        if (r < 0)
                finish_reason(a, REASON_OVERLOADED, "out of memory");
        else if (r == 0)
                begin(a);
        else
                loop_timer_at(a->timer,
                              a->deadline); /* in order behind others; another DC may be ready first */
}

/* The stage's time is over: first for connecting, then for the answer. */
static void stage_over(struct krb_attempt *a)
{
        bool left = a->wire && krb_wire_left(a->wire) && a->state == KRB_STATE_PROVING;

        if (loop_now(a->krb->loop) >= a->deadline ||
            (!left && (a->extended || !krb_wire_connected(a->wire)))) {
                if (left)
                        finish_reason(a, REASON_OUTCOME_UNKNOWN,
                                      "the KDC did not answer the request with the proof in time");
                else if (a->wire && !krb_wire_connected(a->wire))
                        finish_reason(a, REASON_DC_UNREACHABLE, "no connection to the KDC in time");
                else
                        finish_reason(a, REASON_DC_TIMEOUT, "the KDC did not answer in time");
                return;
        }
        a->extended = true;
        loop_timer_at(a->timer, left ? a->deadline : stage_end(a));
}

static void on_timer(void *arg)
{
        struct krb_attempt *a = arg;

        switch (a->state) {
        case KRB_STATE_START:
                line_up(a);
                break;
        case KRB_STATE_WAITING:
                if (a->slot.holds && loop_now(a->krb->loop) < a->deadline)
                        begin(a);
                else
                        finish_reason(a, REASON_OVERLOADED,
                                      "too many sign-ins are under way with this KDC: no place came free in "
                                      "time");
                break;
        case KRB_STATE_ASKING:
        case KRB_STATE_PROVING:
                stage_over(a);
                break;
        case KRB_STATE_CHANGING:
        case KRB_STATE_DONE:
                break;
        }
}

/* Copies what outlives the caller's struct and arms the start. client is taken over on success. */
static int attempt_new(struct krb_attempt **ret, struct krb *krb, const struct attempt *attempt,
                       krb5_principal client)
{
        struct krb_attempt *a = calloc(1, sizeof *a);
        int r;

        if (!a)
                return -ENOMEM;
        a->krb = krb;
        a->config = attempt->domain;
        snprintf(a->id, sizeof a->id, "%s", attempt->id ? attempt->id : "");
        snprintf(a->host, sizeof a->host, "%s", attempt->host ? attempt->host : "");
        a->address = attempt->address;
        a->address_len = attempt->address_len;
        address_set_port(&a->address, a->config->kdc_port ? a->config->kdc_port : KDC_PORT);
        a->deadline = attempt->deadline;
        a->commit = attempt->commit;
        a->commit_arg = attempt->commit_arg;
        a->started = loop_now(krb->loop);
        r = loop_timer_new(&a->timer, krb->loop, a->id[0] ? a->id : NULL, on_timer, a);
        if (r < 0) {
                free(a);
                return r;
        }
        a->slot.timer = a->timer;
        a->client = client;
        loop_timer_in(a->timer, 0);
        *ret = a;
        return 0;
}

static int start(struct krb_attempt **ret, struct krb *krb, const struct attempt *attempt,
                 krb5_principal client, const struct secret *password)
{
        struct krb_attempt *a;
        int r = attempt_new(&a, krb, attempt, client);

        if (r < 0) {
                krb5_free_principal(krb->context, client);
                return r;
        }
        a->password = password;
        *ret = a;
        return 0;
}

int krb_attempt_start(struct krb_attempt **ret, struct krb *krb, const struct attempt *attempt,
                      attempt_done_fn *fn, void *arg)
{
        krb5_principal client = NULL;
        krb5_error_code code;
        int r;

        if (!attempt->password)
                return -EINVAL;
        code = krb_principal_new(&client, krb->context, attempt->domain, attempt->name);
        if (code && code != KRB5_PARSE_MALFORMED) /* malformed: told from the loop */
                return -ENOMEM;
        r = start(ret, krb, attempt, client, attempt->password);
        if (r < 0)
                return r;
        if (attempt->name->form == NAME_NETBIOS && attempt->domain->directory == DIRECTORY_AD)
                snprintf((*ret)->sam, sizeof(*ret)->sam, "%s", attempt->name->user);
        (*ret)->new_password = attempt->new_password;
        (*ret)->fn = fn;
        (*ret)->arg = arg;
        return 0;
}

int krb_probe_start(struct krb_attempt **ret, struct krb *krb, const struct attempt *attempt,
                    attempt_done_fn *fn, void *arg)
{
        struct krb_domain *domain = krb_domain_find(krb, attempt->domain);
        krb5_principal client = NULL;
        int r;

        if (!domain)
                return -ENOENT;
        if (krb5_copy_principal(krb->context, domain->service, &client) != 0)
                return -ENOMEM;
        r = start(ret, krb, attempt, client, NULL);
        if (r < 0)
                return r;
        (*ret)->fn = fn;
        (*ret)->arg = arg;
        return 0;
}

void krb_attempt_expire(struct krb_attempt *a)
{
        bool left = a->wire && krb_wire_left(a->wire) && a->state == KRB_STATE_PROVING;

        if (a->state == KRB_STATE_CHANGING)
                return; /* it has the deadline of its own, and says what is known of the new password */
        if (left || a->left)
                finish_reason(a, REASON_OUTCOME_UNKNOWN,
                              "the KDC stopped answering after it got the request with the proof");
        else if (a->wire && !krb_wire_connected(a->wire))
                finish_reason(a, REASON_DC_UNREACHABLE, "no connection to the KDC in time");
        else
                finish_reason(a, REASON_DC_TIMEOUT, "the KDC stopped answering");
}

void krb_attempt_cancel(struct krb_attempt *a)
{
        if (a)
                attempt_free(a);
}
