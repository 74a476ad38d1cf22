/*
 * krb5_tkt_creds_step() on the loop: libkrb5 names a realm with each request, we find its KDC and carry it there.
 *
 * Invariant: at most KRB_TICKET_REQUESTS_MAX requests, however the realms refer to each other. It judges no
 * ticket (krb-verify.c).
 */
#include "validate/krb-ticket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector/base/cleanup.h"
#include "connector/base/log.h"
#include "connector/base/text.h"
#include "validate/krb-wire.h"

#define TRY_MS 1500 /* for one KDC's answer, while another could be asked */

struct krb_ticket {
        struct krb *krb;
        char id[ID_MAX + 1];
        krb5_ccache ccache; /* of this sign-in alone */
        krb5_tkt_creds_context tcc;
        krb5_data request, realm; /* the one under way */
        unsigned requests, kdcs;
        struct krb_wire *wire;
        struct loop_timer *timer;
        uint64_t deadline;
        krb_kdc_fn *kdc_of;
        void *kdc_arg;
        krb_ticket_fn *fn;
        void *arg;
};

static void request_clear(struct krb_ticket *t)
{
        t->wire = krb_wire_free(t->wire);
        krb5_free_data_contents(t->krb->context, &t->request);
        krb5_free_data_contents(t->krb->context, &t->realm);
}

struct krb_ticket *krb_ticket_free(struct krb_ticket *t)
{
        if (!t)
                return NULL;
        request_clear(t);
        loop_timer_free(t->timer);
        if (t->tcc)
                krb5_tkt_creds_free(t->krb->context, t->tcc);
        if (t->ccache)
                krb5_cc_destroy(t->krb->context, t->ccache);
        free(t);
        return NULL;
}

static void fail(struct krb_ticket *t, const char *why)
{
        char plain[200];
        const struct krb_ticket_result result = {.why = plain};

        snprintf(plain, sizeof plain, "%s", why);
        krb_make_plain(plain);
        t->fn(t->arg, &result);
}

static void fail_code(struct krb_ticket *t, krb5_error_code code)
{
        const char *text = krb5_get_error_message(t->krb->context, code);

        fail(t, text);
        krb5_free_error_message(t->krb->context, text);
}

static void on_reply(void *arg, int failure, const uint8_t *reply, size_t n);

/* Sends the request to the realm's next KDC; t may be gone afterwards. why: what was wrong with the last one. */
static void send_to_next(struct krb_ticket *t, const char *why)
{
        char realm[257], text[200];
        struct sockaddr_storage address;
        uint64_t end = loop_now(t->krb->loop) + TRY_MS;
        socklen_t len;
        int r = -EINVAL;

        t->wire = krb_wire_free(t->wire);
        if (t->realm.length < sizeof realm) {
                snprintf(realm, sizeof realm, "%.*s", (int)t->realm.length, t->realm.data);
                r = t->kdcs < KRB_TICKET_KDCS_MAX && t->kdc_of
                            ? t->kdc_of(t->kdc_arg, realm, t->kdcs++, &address, &len)
                            : -EHOSTUNREACH;
        }
        if (r < 0) {
                snprintf(text, sizeof text, "realm %.100s: %s", r == -EINVAL ? "?" : realm,
                         r == -ENOENT ? "no domain of this realm is configured" : why);
                fail(t, text);
                return;
        }
        r = krb_wire_new(&t->wire, t->krb->loop, t->id, on_reply, t);
        if (r == 0)
                r = krb_wire_send(t->wire, &address, len, t->request.data, t->request.length);
        if (r < 0)
                loop_timer_in(t->timer, 0);
        else
                loop_timer_at(t->timer, end < t->deadline ? end : t->deadline);
}

static void done(struct krb_ticket *t)
{
        krb5_context context = t->krb->context;
        krb5_creds creds = {0};
        struct krb_ticket_result result = {.creds = &creds};
        krb5_error_code code = krb5_tkt_creds_get_creds(context, t->tcc, &creds);

        if (code) {
                fail_code(t, code);
                return;
        }
        t->fn(t->arg, &result);
        krb5_free_cred_contents(context, &creds);
}

/* Lets libkrb5 take the reply and make what comes next. t may be gone afterwards. */
static void step(struct krb_ticket *t, const uint8_t *reply, size_t n)
{
        krb5_data in = {.length = (unsigned)n}, request = {0}, realm = {0};
        unsigned flags = 0;
        krb5_error_code code;

        memcpy(&in.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        code = krb5_tkt_creds_step(t->krb->context, t->tcc, &in, &request, &realm, &flags);
        request_clear(t);
        t->request = request;
        t->realm = realm;
        if (code) {
                fail_code(t, code);
        } else if (!(flags & KRB5_TKT_CREDS_STEP_FLAG_CONTINUE)) {
                done(t);
        } else if (t->requests++ >= KRB_TICKET_REQUESTS_MAX) {
                fail(t, "the realms refer to each other without an end");
        } else {
                t->kdcs = 0;
                log_debug("krb_ticket_request", KV_U("n", t->requests));
                send_to_next(t, "no KDC is known to answer");
        }
}

static void on_reply(void *arg, int failure, const uint8_t *reply, size_t n)
{
        struct krb_ticket *t = arg;

        loop_timer_stop(t->timer);
        if (failure < 0)
                send_to_next(t, failure == -EBADMSG ? "its KDC's reply is cut off or too large"
                                                    : strerrordesc_np(-failure));
        else
                step(t, reply, n);
}

/* The start, or a KDC's time is over. */
static void on_timer(void *arg)
{
        struct krb_ticket *t = arg;

        if (t->requests == 0)
                step(t, NULL, 0);
        else if (loop_now(t->krb->loop) >= t->deadline)
                fail(t, "no time was left");
        else
                send_to_next(t, "its KDC does not answer");
}

/* A cache of its own with the ticket in it, and what to ask for. */
static krb5_error_code prepare(struct krb_ticket *t, const struct krb_ticket_request *request)
{
        krb5_context context = t->krb->context;
        krb5_creds wanted = {.client = request->tgt->client, .server = request->service};
        krb5_error_code code = krb5_cc_new_unique(context, "MEMORY", NULL, &t->ccache);

        if (!code)
                code = krb5_cc_initialize(context, t->ccache, request->tgt->client);
        if (!code)
                code = krb5_cc_store_cred(context, t->ccache, request->tgt);
        if (!code)
                code = krb5_tkt_creds_init(context, t->ccache, &wanted, 0, &t->tcc);
        return code;
}

int krb_ticket_start(struct krb_ticket **ret, struct krb *krb, const struct krb_ticket_request *request,
                     krb_ticket_fn *fn, void *arg)
{
        struct krb_ticket *t = calloc(1, sizeof *t);
        krb5_error_code code;

        if (!t)
                return -ENOMEM;
        t->krb = krb;
        t->fn = fn;
        t->arg = arg;
        t->deadline = request->deadline;
        t->kdc_of = request->kdc_of;
        t->kdc_arg = request->kdc_arg;
        snprintf(t->id, sizeof t->id, "%s", request->id ? request->id : "");
        code = prepare(t, request);
        if (code || loop_timer_new(&t->timer, krb->loop, t->id[0] ? t->id : NULL, on_timer, t) < 0) {
                krb_ticket_free(t);
                return code && code != ENOMEM ? -EBADMSG : -ENOMEM;
        }
        loop_timer_in(t->timer, 0);
        *ret = t;
        return 0;
}
