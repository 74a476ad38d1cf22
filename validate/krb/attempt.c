/*
 * One sign-in (or probe) by Kerberos at one DC: an AS exchange for the connector's own service, stepped by
 * libkrb5, carried by us.
 *
 * Invariant: of the requests of one attempt at most one holds preauthentication, it is the last one, and
 * libkrb5 sees no error that answers it (but within armour, krb/reply.c): such an error is mapped and nothing more is
 * sent. The password is handed to libkrb5 only when a key is needed, and its copies are freed before the outcome is
 * told.
 *
 * It judges no ticket (krb/verify.c) and chooses no DC.
 */
#include "validate/krb/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/dns/dns.h"
#include "validate/krb/armor.h"
#include "validate/krb/der.h"

#define KDC_PORT 88
#define CHANGE_SERVICE "kadmin/changepw"
#define CONNECT_TIMEOUT_MS 2000

static const char *const state_names[] = {
        [KRB_STATE_START] = "start",       [KRB_STATE_WAITING] = "waiting", [KRB_STATE_ASKING] = "asking",
        [KRB_STATE_KEYING] = "keying",     [KRB_STATE_PROVING] = "proving", [KRB_STATE_CHANGING] = "changing",
        [KRB_STATE_FETCHING] = "fetching", [KRB_STATE_DONE] = "done",
};

void krb_set_state(struct krb_attempt *a, enum krb_state state)
{
        log_debug("krb_state", KV_S("from", state_names[a->state]), KV_S("to", state_names[state]),
                  KV_S("dc", a->host));
        a->state = state;
}

static void attempt_free(struct krb_attempt *a)
{
        a->wire = krb_wire_free(a->wire);
        a->change = krb_change_free(a->change);
        a->ticket = krb_ticket_free(a->ticket);
        krb_slot_leave(a->krb, &a->slot);
        a->timer = loop_timer_free(a->timer);
        if (a->icc)
                krb5_init_creds_free(a->krb->context, a->icc);
        krb_key_free(a->key);
        free(a->reply);
        if (a->keytab)
                krb5_kt_close(a->krb->context, a->keytab);
        krb5_free_principal(a->krb->context, a->client);
        free(a);
}

void krb_wire_done(struct krb_attempt *a)
{
        if (!a->wire)
                return;
        if (a->state == KRB_STATE_PROVING && krb_wire_left(a->wire))
                a->left = true;
        a->ms_connect += krb_wire_connect_ms(a->wire);
        a->wire = krb_wire_free(a->wire);
}

void krb_finish(struct krb_attempt *a, struct outcome *out)
{
        attempt_done_fn *fn = a->fn;
        void *arg = a->arg;
        bool left;

        krb_wire_done(a);
        left = a->left;
        out->method = METHOD_KRB5;
        snprintf(out->dc, sizeof out->dc, "%s", a->host);
        out->ms_connect = a->ms_connect;
        out->ms_dc = (uint32_t)(loop_now(a->krb->loop) - a->started);
        krb_set_state(a, KRB_STATE_DONE);
        attempt_free(a);
        fn(arg, out, left);
}

void krb_finish_reason(struct krb_attempt *a, enum reason reason, const char *what)
{
        struct outcome out = {.reason = reason};

        krb_wire_done(a);
        out.counted = a->left ? COUNTED_UNKNOWN : COUNTED_NO;
        snprintf(out.context, sizeof out.context, "%s", what);
        krb_finish(a, &out);
}

void krb_finish_code(struct krb_attempt *a, enum reason reason, const char *what, krb5_error_code code)
{
        struct outcome out = {0};

        krb_context_text(a->krb, &out, what, code);
        krb_finish_reason(a, reason, out.context);
}

static uint64_t stage_end(const struct krb_attempt *a)
{
        uint64_t end = loop_now(a->krb->loop) +
                       (a->config->connect_timeout_ms ? a->config->connect_timeout_ms : CONNECT_TIMEOUT_MS);

        return end < a->deadline && !a->patient ? end : a->deadline;
}

void krb_transport_failed(struct krb_attempt *a, int error)
{
        char what[128];

        snprintf(what, sizeof what, "KDC: %s",
                 error == -EBADMSG ? "the reply is cut off or too large" : strerrordesc_np(-error));
        krb_wire_done(a);
        if (error == -EBADMSG)
                krb_finish_reason(a, REASON_DC_PROTOCOL, what);
        else if (a->left)
                krb_finish_reason(a, REASON_OUTCOME_UNKNOWN, what);
        else if (error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH)
                krb_finish_reason(a, REASON_DC_UNREACHABLE, what);
        else if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
                 error == -EADDRNOTAVAIL)
                krb_finish_reason(a, REASON_OVERLOADED, what);
        else
                krb_finish_reason(a, REASON_DC_REFUSED, what);
}

/* The state in which a request may be sent; KRB_STATE_DONE when it must not be. */
static enum krb_state state_for_request(const struct krb_attempt *a, const krb5_data *request)
{
        bool preauth = true;

        if (a->armored) /* what is inside can't be seen: the first holds no proof, the second does */
                return a->state == KRB_STATE_WAITING  ? KRB_STATE_ASKING
                       : a->state == KRB_STATE_ASKING ? KRB_STATE_PROVING
                                                      : KRB_STATE_DONE;
        if (krb_as_req_has_preauth(&preauth, (const uint8_t *)request->data, request->length) < 0)
                return KRB_STATE_DONE;
        if (!preauth)
                return a->state == KRB_STATE_WAITING ? KRB_STATE_ASKING : KRB_STATE_DONE;
        return a->state == KRB_STATE_KEYING ? KRB_STATE_PROVING : KRB_STATE_DONE;
}

/* Sends what libkrb5 made, if it is the next request of the one allowed sequence: asking, proving. */
static void send_request(struct krb_attempt *a, const krb5_data *request, const krb5_data *realm)
{
        enum krb_state next = state_for_request(a, request);
        int r;

        if (realm->length != strlen(a->config->realm) || memcmp(realm->data, a->config->realm, realm->length) != 0) {
                krb_finish_reason(a, REASON_REFERRAL, "the KDC refers to a realm that is not configured");
                return;
        }
        if (next == KRB_STATE_DONE) {
                krb_finish_reason(a, REASON_DC_PROTOCOL, "the KDC's reply asks for one request too many");
                return;
        }
        krb_wire_done(a);
        krb_set_state(a, next);
        a->extended = false;
        r = krb_wire_new(&a->wire, a->krb->loop, a->id, krb_on_reply, a);
        if (r == 0)
                r = krb_wire_send(a->wire, &a->address, a->address_len, request->data, request->length);
        if (r < 0)
                krb_transport_failed(a, r);
        else
                loop_timer_at(a->timer, stage_end(a));
}

void krb_step(struct krb_attempt *a, const uint8_t *reply, size_t n)
{
        krb5_context context = a->krb->context; /* a may be gone at the end, and the krb too */
        krb5_data in = {.length = (unsigned)n}, request = {0}, realm = {0};
        unsigned flags = 0;
        krb5_error_code code;

        memcpy(&in.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        code = krb5_init_creds_step(context, a->icc, &in, &request, &realm, &flags);
        if (code)
                krb_step_failed(a, code);
        else if (flags & KRB5_INIT_CREDS_STEP_FLAG_CONTINUE)
                send_request(a, &request, &realm);
        else
                krb_exchange_finished(a);
        krb5_free_data_contents(context, &request);
        krb5_free_data_contents(context, &realm);
}

/* The slot is there: starts the exchange. */
static void begin(struct krb_attempt *a)
{
        struct krb_domain *domain = krb_domain_find(a->krb, a->config);
        krb5_get_init_creds_opt *options = a->krb->options;
        const char *why = "";
        krb5_error_code code;

        if (!domain && !a->new_password) {
                krb_finish_reason(a, REASON_INTERNAL, "the domain was never added");
                return;
        }
        if (domain && domain->armor && a->password) {
                a->armored = true;
                options = krb_armor_options(domain->armor, &why);
        }
        if (!options) {
                krb_finish_reason(a, REASON_ARMOR_UNAVAILABLE, why);
                return;
        }
        code = krb5_init_creds_init(a->krb->context, a->client, NULL, NULL, 0, options, &a->icc);
        if (!code && (a->new_password || !domain->foreign)) /* else a ticket-granting ticket */
                code = krb5_init_creds_set_service(a->krb->context, a->icc,
                                                   a->new_password ? CHANGE_SERVICE : domain->service_text);
        if (code)
                krb_step_failed(a, code);
        else
                krb_step(a, NULL, 0);
}

/* Takes a slot with the KDC, or a place in its queue. A probe needs none, so that it shows the KDC and not
 * our burst. */
static void line_up(struct krb_attempt *a)
{
        int r = 0;

        if (loop_now(a->krb->loop) >= a->deadline) {
                krb_finish_reason(a, REASON_DEADLINE, "the budget ended before the KDC was asked");
                return;
        }
        if (!a->client) {
                krb_finish_reason(a, REASON_BAD_NAME_FORM,
                                  "the name holds a character that no account's name can hold");
                return;
        }
        krb_set_state(a, KRB_STATE_WAITING);
        if (a->password)
                r = krb_slot_enter(a->krb, &a->slot, &a->address, a->address_len);
        if (r < 0)
                krb_finish_reason(a, REASON_OVERLOADED, "out of memory");
        else if (r == 0)
                begin(a);
        else
                loop_timer_at(a->timer, a->deadline); /* in order behind others; another DC may be ready first */
}

/* The stage's time is over: first for connecting, then for the answer. */
static void stage_over(struct krb_attempt *a)
{
        bool left = a->wire && krb_wire_left(a->wire) && a->state == KRB_STATE_PROVING;

        if (loop_now(a->krb->loop) >= a->deadline || (!left && (a->extended || !krb_wire_connected(a->wire)))) {
                if (left)
                        krb_finish_reason(a, REASON_OUTCOME_UNKNOWN,
                                          "the KDC did not answer the request with the proof in time");
                else if (a->wire && !krb_wire_connected(a->wire))
                        krb_finish_reason(a, REASON_DC_UNREACHABLE, "no connection to the KDC in time");
                else
                        krb_finish_reason(a, REASON_DC_TIMEOUT, "the KDC did not answer in time");
                return;
        }
        a->extended = true;
        loop_timer_at(a->timer, left ? a->deadline : stage_end(a));
}

static void on_attempt_timer(void *arg)
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
                        krb_finish_reason(a, REASON_OVERLOADED,
                                          "too many sign-ins are under way with this KDC: no place came free in "
                                          "time");
                break;
        case KRB_STATE_KEYING:
                krb_finish_reason(a, REASON_DEADLINE, "the budget ended before the key was made");
                break;
        case KRB_STATE_ASKING:
        case KRB_STATE_PROVING:
                stage_over(a);
                break;
        case KRB_STATE_CHANGING:
        case KRB_STATE_FETCHING:
        case KRB_STATE_DONE:
                break;
        }
}

/* Copies what outlives the caller's struct and arms the start; takes client over. */
static int attempt_new(struct krb_attempt **ret, struct krb *krb, const struct attempt *attempt, krb5_principal client,
                       attempt_done_fn *fn, void *arg)
{
        struct krb_attempt *a = calloc(1, sizeof *a);

        if (!a || loop_timer_new(&a->timer, krb->loop, attempt->id, on_attempt_timer, a) < 0) {
                krb5_free_principal(krb->context, client);
                free(a);
                return -ENOMEM;
        }
        a->run.ops = &krb_ops;
        a->krb = krb;
        a->config = attempt->domain;
        snprintf(a->id, sizeof a->id, "%s", attempt->id ? attempt->id : "");
        snprintf(a->host, sizeof a->host, "%s", attempt->host ? attempt->host : "");
        a->address = attempt->address;
        a->address_len = attempt->address_len;
        address_set_port(&a->address, a->config->kdc_port ? a->config->kdc_port : KDC_PORT);
        a->deadline = attempt->deadline;
        a->patient = attempt->patient;
        a->told = attempt->told;
        a->commit = attempt->commit;
        a->heard = attempt->heard;
        a->attempt_arg = attempt->arg;
        a->started = loop_now(krb->loop);
        a->slot.timer = a->timer;
        a->client = client;
        a->fn = fn;
        a->arg = arg;
        loop_timer_in(a->timer, 0);
        *ret = a;
        return 0;
}

static int attempt_start(struct method_run **ret, struct method_instance *method, const struct attempt *attempt,
                         attempt_done_fn *fn, void *arg)
{
        struct krb *krb = (struct krb *)method;
        struct krb_attempt *a;
        krb5_principal client = NULL;
        krb5_error_code code;
        int r;

        if (!attempt->password)
                return -EINVAL;
        code = krb_principal_new(&client, krb->context, attempt->domain, attempt->name);
        if (code && code != KRB5_PARSE_MALFORMED) /* malformed: told from the loop */
                return -ENOMEM;
        r = attempt_new(&a, krb, attempt, client, fn, arg);
        if (r < 0)
                return r;
        if (attempt->name->form == NAME_NETBIOS && attempt->domain->directory == DIRECTORY_AD)
                snprintf(a->sam, sizeof a->sam, "%s", attempt->name->user);
        a->password = attempt->password;
        a->new_password = attempt->new_password;
        *ret = &a->run;
        return 0;
}

static int probe_start(struct method_run **ret, struct method_instance *method, const struct attempt *attempt,
                       attempt_done_fn *fn, void *arg)
{
        struct krb *krb = (struct krb *)method;
        struct krb_domain *domain = krb_domain_find(krb, attempt->domain);
        struct krb_attempt *a;
        krb5_principal client = NULL;
        int r;

        if (!domain)
                return -ENOENT;
        if (krb5_copy_principal(krb->context, domain->service, &client) != 0 ||
            krb5_set_principal_realm(krb->context, client, domain->realm) != 0) {
                krb5_free_principal(krb->context, client);
                return -ENOMEM;
        }
        r = attempt_new(&a, krb, attempt, client, fn, arg);
        if (r == 0)
                *ret = &a->run;
        return r;
}

static void attempt_expire(struct method_run *run)
{
        struct krb_attempt *a = (struct krb_attempt *)run;
        bool left = a->wire && krb_wire_left(a->wire) && a->state == KRB_STATE_PROVING;

        if (a->state == KRB_STATE_CHANGING || a->state == KRB_STATE_FETCHING)
                return; /* it has the deadline of its own, and says what is known */
        if (left || a->left)
                krb_finish_reason(a, REASON_OUTCOME_UNKNOWN,
                                  "the KDC stopped answering after it got the request with the proof");
        else if (a->wire && !krb_wire_connected(a->wire))
                krb_finish_reason(a, REASON_DC_UNREACHABLE, "no connection to the KDC in time");
        else
                krb_finish_reason(a, REASON_DC_TIMEOUT, "the KDC stopped answering");
}

static void attempt_cancel(struct method_run *run)
{
        attempt_free((struct krb_attempt *)run);
}

const struct method_ops krb_ops = {.domain_add = krb_domain_add,
                                   .set_keytab = krb_set_keytab,
                                   .start = attempt_start,
                                   .probe = probe_start,
                                   .cancel = attempt_cancel,
                                   .expire = attempt_expire,
                                   .free = krb_free};
