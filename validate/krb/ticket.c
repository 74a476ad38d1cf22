/*
 * krb5_tkt_creds_step() on the loop: libkrb5 names a realm with each request, a courier finds its KDC.
 *
 * Invariant: at most KRB_TICKET_REQUESTS_MAX requests, however the realms refer to each other. It judges no
 * ticket (krb/verify.c).
 */
#include "validate/krb/ticket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "validate/krb/courier.h"

struct krb_ticket {
        struct krb *krb;
        krb5_ccache ccache; /* of this sign-in alone */
        krb5_tkt_creds_context tcc;
        unsigned requests;
        struct krb_courier *courier;
        struct loop_timer *timer; /* the start, from a turn of its own */
        uint64_t deadline;
        krb_ticket_fn *fn;
        void *arg;
};

struct krb_ticket *krb_ticket_free(struct krb_ticket *t)
{
        if (!t)
                return NULL;
        krb_courier_free(t->courier);
        loop_timer_free(t->timer);
        if (t->tcc)
                krb5_tkt_creds_free(t->krb->context, t->tcc);
        if (t->ccache)
                krb5_cc_destroy(t->krb->context, t->ccache);
        free(t);
        return NULL;
}

static void fail_code(struct krb_ticket *t, krb5_error_code code)
{
        const char *text = krb5_get_error_message(t->krb->context, code);
        char why[200];

        snprintf(why, sizeof why, "%s", text);
        krb_make_plain(why);
        krb5_free_error_message(t->krb->context, text);
        t->fn(t->arg, NULL, why);
}

static void done(struct krb_ticket *t)
{
        krb5_context context = t->krb->context; /* t may be gone at the end */
        krb5_creds creds = {0};
        krb5_error_code code = krb5_tkt_creds_get_creds(context, t->tcc, &creds);

        if (code) {
                fail_code(t, code);
                return;
        }
        t->fn(t->arg, &creds, NULL);
        krb5_free_cred_contents(context, &creds);
}

/* Lets libkrb5 take the reply and make what comes next. t may be gone afterwards. */
static void step(struct krb_ticket *t, const uint8_t *reply, size_t n)
{
        krb5_context context = t->krb->context;
        krb5_data in = {.length = (unsigned)n}, request = {0}, realm = {0};
        unsigned flags = 0;
        krb5_error_code code;

        memcpy(&in.data, &reply, sizeof reply); /* libkrb5 lacks the const */
        code = krb5_tkt_creds_step(context, t->tcc, &in, &request, &realm, &flags);
        if (code) {
                fail_code(t, code);
        } else if (!(flags & KRB5_TKT_CREDS_STEP_FLAG_CONTINUE)) {
                done(t);
        } else if (t->requests++ >= KRB_TICKET_REQUESTS_MAX) {
                t->fn(t->arg, NULL, "the realms refer to each other without an end");
        } else {
                log_debug("krb_ticket_request", KV_U("n", t->requests));
                krb_courier_send(t->courier, &request, &realm, t->deadline);
        }
        krb5_free_data_contents(context, &request);
        krb5_free_data_contents(context, &realm);
}

static void on_ticket_reply(void *arg, const uint8_t *reply, size_t n, const char *why)
{
        struct krb_ticket *t = arg;

        if (reply)
                step(t, reply, n);
        else
                t->fn(t->arg, NULL, why);
}

static void on_ticket_timer(void *arg)
{
        step(arg, NULL, 0);
}

int krb_ticket_start(struct krb_ticket **ret, struct krb *krb, const struct krb_ticket_request *request,
                     krb_ticket_fn *fn, void *arg)
{
        krb5_creds wanted = {.client = request->tgt->client, .server = request->service};
        struct krb_ticket *t = calloc(1, sizeof *t);
        krb5_error_code code;

        if (!t)
                return -ENOMEM;
        t->krb = krb;
        t->fn = fn;
        t->arg = arg;
        t->deadline = request->deadline;
        code = krb_memory_ccache(&t->ccache, krb->context, request->tgt);
        if (!code)
                code = krb5_tkt_creds_init(krb->context, t->ccache, &wanted, 0, &t->tcc);
        if (code || krb_courier_new(&t->courier, krb, request->id, on_ticket_reply, t) < 0 ||
            loop_timer_new(&t->timer, krb->loop, request->id, on_ticket_timer, t) < 0) {
                krb_ticket_free(t);
                return code && code != ENOMEM ? -EBADMSG : -ENOMEM;
        }
        loop_timer_in(t->timer, 0);
        *ret = t;
        return 0;
}
