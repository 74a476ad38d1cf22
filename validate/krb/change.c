/*
 * AP-REQ and KRB-PRIV out, AP-REP and KRB-PRIV back, once, over TCP.
 *
 * Invariant: the request is sent at most once; whatever spoils the answer after that says that either
 * password may hold. The messages are libkrb5's, the sending is ours.
 */
#include "validate/krb/change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "validate/krb/kpasswd.h"
#include "validate/krb/wire.h"

struct krb_change {
        struct krb *krb;
        const struct secret *new_password;
        krb5_auth_context auth;
        struct krb_wire *wire;
        struct loop_timer *timer;
        krb_change_fn *fn;
        void *arg;
};

struct krb_change *krb_change_free(struct krb_change *c)
{
        if (!c)
                return NULL;
        krb_wire_free(c->wire);
        loop_timer_free(c->timer);
        if (c->auth)
                krb5_auth_con_free(c->krb->context, c->auth);
        free(c);
        return NULL;
}

static void finish(struct krb_change *c, enum reason reason, const char *why)
{
        bool sent = c->wire && krb_wire_left(c->wire);
        struct outcome out = {.reason = sent ? REASON_CHANGE_UNKNOWN : reason, .counted = COUNTED_NO};

        snprintf(out.context, sizeof out.context, "password change: %.200s", why);
        c->fn(c->arg, &out, sent);
}

/* The answer is under the subkey that the AP-REP offers (Samba, Heimdal) or under the session key (RFC 3244
 * as MIT reads it). */
static krb5_error_code read_private(struct krb_change *c, const struct kpasswd_reply *reply, krb5_data *ret_clear)
{
        krb5_context context = c->krb->context;
        krb5_data priv = {.length = (unsigned)reply->priv_n};
        krb5_data ap_rep = {.length = (unsigned)reply->ap_rep_n};
        krb5_ap_rep_enc_part *part = NULL;
        krb5_replay_data replay = {0};
        krb5_error_code code;

        memcpy(&priv.data, &reply->priv, sizeof reply->priv); /* libkrb5 lacks the const */
        memcpy(&ap_rep.data, &reply->ap_rep, sizeof reply->ap_rep);
        code = krb5_rd_rep(context, c->auth, &ap_rep, &part);
        if (code)
                return code;
        krb5_free_ap_rep_enc_part(context, part);
        code = krb5_rd_priv(context, c->auth, &priv, ret_clear, &replay);
        if (code != KRB5KRB_AP_ERR_BAD_INTEGRITY)
                return code;
        code = krb5_auth_con_setrecvsubkey(context, c->auth, NULL);
        return code ? code : krb5_rd_priv(context, c->auth, &priv, ret_clear, &replay);
}

/* An answer that is a KRB-ERROR carries its result, if any, in the e-data. */
static void on_krb_error(struct krb_change *c, const struct kpasswd_reply *reply)
{
        krb5_context context = c->krb->context;
        krb5_data data = {.length = (unsigned)reply->priv_n};
        krb5_error *error = NULL;
        char why[80];

        memcpy(&data.data, &reply->priv, sizeof reply->priv);
        if (krb5_rd_error(context, &data, &error) != 0) {
                finish(c, REASON_DC_PROTOCOL, "malformed error");
                return;
        }
        snprintf(why, sizeof why, "the DC answers KRB-ERROR %d", (int)error->error);
        krb5_free_error(context, error);
        finish(c, REASON_DC_ERROR, why); /* nobody vouches for it: the password may have been changed */
}

static void on_change_reply(void *arg, int failure, const uint8_t *bytes, size_t n)
{
        struct krb_change *c = arg;
        struct kpasswd_reply reply;
        krb5_data clear = {0};
        struct outcome out = {0};
        krb5_error_code code;

        loop_timer_stop(c->timer);
        if (failure < 0) {
                finish(c, failure == -ETIMEDOUT ? REASON_DC_UNREACHABLE : REASON_DC_REFUSED,
                       failure == -EBADMSG ? "the answer is cut off" : strerrordesc_np(-failure));
                return;
        }
        if (kpasswd_parse(&reply, bytes, n) < 0) {
                finish(c, REASON_DC_PROTOCOL, "malformed answer");
                return;
        }
        if (!reply.ap_rep) {
                on_krb_error(c, &reply);
                return;
        }
        code = read_private(c, &reply, &clear);
        if (code) {
                krb_context_text(c->krb, &out, "the answer", code);
                finish(c, REASON_DC_PROTOCOL, out.context);
                return;
        }
        kpasswd_outcome(&out, (const uint8_t *)clear.data, clear.length, c->new_password);
        krb5_free_data_contents(c->krb->context, &clear);
        c->fn(c->arg, &out, true);
}

static void on_change_timer(void *arg)
{
        struct krb_change *c = arg;

        finish(c, krb_wire_connected(c->wire) ? REASON_DC_TIMEOUT : REASON_DC_UNREACHABLE,
               "no answer from the kpasswd service in time");
}

/* Both messages, in a frame. The clear text is libkrb5's input only. */
static int make_request(struct krb_change *c, krb5_creds *creds, struct buffer *out)
{
        krb5_context context = c->krb->context;
        krb5_address any = {
                .magic = KV5M_ADDRESS, .addrtype = ADDRTYPE_INET, .length = 4, .contents = (krb5_octet[4]){0}};
        krb5_data clear = {.length = (unsigned)secret_len(c->new_password)}, ap_req = {0}, priv = {0};
        const char *text = secret_text(c->new_password);
        krb5_replay_data replay = {0};
        krb5_error_code code = krb5_auth_con_init(context, &c->auth);
        int r = -EBADMSG;

        memcpy(&clear.data, &text, sizeof text);
        if (!code)
                code = krb5_auth_con_setflags(context, c->auth, KRB5_AUTH_CONTEXT_DO_SEQUENCE);
        if (!code)
                code = krb5_mk_req_extended(context, &c->auth, AP_OPTS_USE_SUBKEY | AP_OPTS_MUTUAL_REQUIRED, NULL,
                                            creds, &ap_req);
        if (!code)
                code = krb5_auth_con_setaddrs(context, c->auth, &any, NULL);
        if (!code)
                code = krb5_mk_priv(context, c->auth, &clear, &priv, &replay);
        if (!code)
                r = kpasswd_frame(out, ap_req.data, ap_req.length, priv.data, priv.length);
        krb5_free_data_contents(context, &ap_req);
        krb5_free_data_contents(context, &priv);
        return r;
}

int krb_change_start(struct krb_change **ret, struct krb *krb, const struct krb_change_request *request,
                     krb_change_fn *fn, void *arg)
{
        _cleanup_(buffer_free) struct buffer frame = BUFFER(KPASSWD_REQUEST_MAX);
        struct krb_change *c = calloc(1, sizeof *c);
        int r;

        if (!c)
                return -ENOMEM;
        c->krb = krb;
        c->new_password = request->new_password;
        c->fn = fn;
        c->arg = arg;
        r = make_request(c, request->creds, &frame);
        if (r == 0)
                r = loop_timer_new(&c->timer, krb->loop, request->id, on_change_timer, c);
        if (r == 0)
                r = krb_wire_new(&c->wire, krb->loop, request->id, on_change_reply, c);
        if (r == 0)
                r = krb_wire_send(c->wire, &request->address, request->address_len, frame.data, frame.len);
        if (r < 0) {
                krb_change_free(c);
                return r;
        }
        loop_timer_at(c->timer, request->deadline);
        *ret = c;
        return 0;
}
