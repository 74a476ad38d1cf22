/*
 * One request at a time, to one KDC after the other until one answers.
 *
 * Invariant: only for requests that may be repeated: they hold no proof of a user's password.
 */
#include "validate/krb/courier.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "validate/krb/wire.h"

#define TRY_MS 1500 /* for one KDC's answer, while another could be asked */

struct krb_courier {
        struct krb *krb;
        char id[ID_MAX + 1];
        krb5_data request, realm;
        unsigned nth;  /* of the realm's KDCs: the next one */
        char why[120]; /* what was wrong with the last one */
        uint64_t deadline;
        struct krb_wire *wire;
        struct loop_timer *timer;
        krb_courier_fn *fn;
        void *arg;
};

static void clear(struct krb_courier *c)
{
        c->wire = krb_wire_free(c->wire);
        krb5_free_data_contents(c->krb->context, &c->request);
        krb5_free_data_contents(c->krb->context, &c->realm);
}

struct krb_courier *krb_courier_free(struct krb_courier *c)
{
        if (!c)
                return NULL;
        clear(c);
        loop_timer_free(c->timer);
        free(c);
        return NULL;
}

static void on_courier_reply(void *arg, int failure, const uint8_t *reply, size_t n);

static void give_up(struct krb_courier *c, const char *realm, int error)
{
        char why[300];

        snprintf(why, sizeof why, "realm %.100s: %s", realm,
                 error == -ENOENT  ? "no domain of this realm is configured"
                 : error == -ETIME ? "no time was left"
                                   : c->why);
        krb_make_plain(why);
        clear(c);
        c->fn(c->arg, NULL, 0, why);
}

/* c may be gone afterwards. */
static void try_next(struct krb_courier *c)
{
        uint64_t end = loop_now(c->krb->loop) + TRY_MS;
        struct sockaddr_storage address;
        char realm[257] = "";
        socklen_t len = 0;
        int r;

        c->wire = krb_wire_free(c->wire);
        snprintf(realm, sizeof realm, "%.*s", (int)c->realm.length, c->realm.data);
        if (loop_now(c->krb->loop) >= c->deadline)
                r = -ETIME;
        else if (!c->krb->method.kdc_of)
                r = -ENOENT;
        else if (c->nth >= KRB_COURIER_KDCS_MAX)
                r = -EHOSTUNREACH;
        else
                r = c->krb->method.kdc_of(c->krb->method.kdc_arg, realm, c->nth++, &address, &len);
        if (r < 0) {
                give_up(c, realm, r);
                return;
        }
        r = krb_wire_new(&c->wire, c->krb->loop, c->id, on_courier_reply, c);
        if (r == 0)
                r = krb_wire_send(c->wire, &address, len, c->request.data, c->request.length);
        if (r < 0)
                snprintf(c->why, sizeof c->why, "%s", strerrordesc_np(-r));
        else
                snprintf(c->why, sizeof c->why, "its KDC does not answer");
        loop_timer_at(c->timer, r < 0 ? 0 : end < c->deadline ? end : c->deadline);
}

static void on_courier_reply(void *arg, int failure, const uint8_t *reply, size_t n)
{
        struct krb_courier *c = arg;

        loop_timer_stop(c->timer);
        if (failure < 0) {
                snprintf(c->why, sizeof c->why, "%s",
                         failure == -EBADMSG ? "its KDC's reply is cut off or too large" : strerrordesc_np(-failure));
                try_next(c);
        } else {
                c->fn(c->arg, reply, n, NULL);
        }
}

/* A request is to be sent, or a KDC's time is over. */
static void on_courier_timer(void *arg)
{
        try_next(arg);
}

int krb_courier_new(struct krb_courier **ret, struct krb *krb, const char *id, krb_courier_fn *fn, void *arg)
{
        struct krb_courier *c = calloc(1, sizeof *c);
        int r;

        if (!c)
                return -ENOMEM;
        c->krb = krb;
        c->fn = fn;
        c->arg = arg;
        snprintf(c->id, sizeof c->id, "%s", id ? id : "");
        r = loop_timer_new(&c->timer, krb->loop, c->id[0] ? c->id : NULL, on_courier_timer, c);
        if (r < 0) {
                free(c);
                return r;
        }
        *ret = c;
        return 0;
}

void krb_courier_send(struct krb_courier *c, krb5_data *request, krb5_data *realm, uint64_t deadline)
{
        clear(c);
        c->request = *request;
        c->realm = *realm;
        *request = *realm = (krb5_data){0};
        c->nth = 0;
        c->deadline = deadline;
        snprintf(c->why, sizeof c->why, "no KDC is known to answer");
        loop_timer_in(c->timer, 0);
}
