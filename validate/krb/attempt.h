/*
 * One attempt by Kerberos, for krb/attempt.c (its life, what is sent) and krb/reply.c (what an answer means).
 */
#pragma once

#include "base/core/text.h"
#include "validate/krb/change.h"
#include "validate/krb/key.h"
#include "validate/krb/ticket.h"
#include "validate/krb/wire.h"
#include "validate/krb/krb.h"

enum krb_state {
        KRB_STATE_START = 0, /* waits for the loop's next turn */
        KRB_STATE_WAITING,   /* for a slot with the KDC */
        KRB_STATE_ASKING,    /* a request without preauthentication is under way */
        KRB_STATE_KEYING,    /* it was answered with the hints for the key, which is being made */
        KRB_STATE_PROVING,   /* the one request with preauthentication is under way */
        KRB_STATE_CHANGING,  /* the old password was right; the new one is on its way */
        KRB_STATE_FETCHING,  /* the password got a ticket; one for our service in another realm is on its way */
        KRB_STATE_DONE,
};

struct krb_attempt {
        struct method_run run; /* the first */
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
        struct krb_ticket *ticket;
        bool armored; /* requests and answers are wrapped (FAST), and libkrb5 reads them */
        bool granted; /* the KDC answered with a ticket, whatever it is worth */
        krb5_principal client;
        uint64_t deadline, started;
        bool patient; /* no stage ends before the deadline */
        enum krb_state state;
        bool left;     /* a byte of the request with preauthentication was handed to a socket */
        bool extended; /* the stage got its time for the answer, after the time to connect */
        uint32_t ms_connect;
        krb5_init_creds_context icc;
        struct krb_key *key; /* being made */
        krb5_keytab keytab;  /* the user's key, once it is made */
        uint8_t *reply;      /* with the hints: libkrb5's next, once the key is there */
        size_t reply_n;
        struct krb_wire *wire;
        struct loop_timer *timer;
        struct krb_waiter slot;
        bool (*told)(void *arg, const uint8_t *salt, size_t n);
        void (*commit)(void *arg); /* as those of struct attempt */
        void (*heard)(void *arg);
        void *attempt_arg;
        attempt_done_fn *fn;
        void *arg;
};

/* The one writer of the state. */
void krb_set_state(struct krb_attempt *a, enum krb_state state);
/* Frees the attempt and tells its outcome: a is gone afterwards. */
void krb_finish(struct krb_attempt *a, struct outcome *out);
/* Ends with a reason of our own. What never left can't have been counted. */
void krb_finish_reason(struct krb_attempt *a, enum reason reason, const char *what);
/* The same with libkrb5's sentence for code. */
void krb_finish_code(struct krb_attempt *a, enum reason reason, const char *what, krb5_error_code code);
/* A transport that failed says nothing about the password. */
void krb_transport_failed(struct krb_attempt *a, int error);
/* Closes the connection and notes what went over it. */
void krb_wire_done(struct krb_attempt *a);
/* Lets libkrb5 take the reply and make what comes next. a may be gone afterwards. */
void krb_step(struct krb_attempt *a, const uint8_t *reply, size_t n);

/* krb_wire_fn: what came back, or didn't. */
void krb_on_reply(void *arg, int failure, const uint8_t *reply, size_t n);
/* libkrb5 gave up on a reply that was not an error, or could not make a request. */
void krb_step_failed(struct krb_attempt *a, krb5_error_code code);
/* Ends a finished exchange: the credentials are judged by the ticket in them. */
void krb_exchange_finished(struct krb_attempt *a);
