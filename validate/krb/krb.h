/*
 * Internals that the files of the Kerberos method share: the context with its own profile, and a domain's
 * keys.
 */
#pragma once

#include <krb5.h>
#include <sys/queue.h>

#include "validate/types/method.h"

/* A domain as Kerberos sees it: the connector's own service and its keys, in a memory keytab of ours. */
struct krb_domain {
        TAILQ_ENTRY(krb_domain) link;
        char *name; /* domain_config.name */
        char *realm;
        char *keytab_source; /* as configured, to read again after the key changed */
        char *service_text;  /* host/connector.corp.example@CORP.EXAMPLE, krb5's quoting */
        krb5_principal service;
        bool foreign;             /* the service is of another realm, whose trust is to be used */
        krb5_keytab keytab;       /* of service alone: libkrb5 opens a ticket with whatever key of it fits */
        krb5_keytab armor_keytab; /* of armor_principal alone */
        char *armor_principal;    /* NULL: no armour */
        struct krb_armor *armor;  /* NULL: sign-ins go without */
};

#define KRB_SLOTS 32 /* sign-ins under way with one KDC */

/* A sign-in's place with its KDC; timer is the sign-in's and is fired when the place becomes its. */
struct krb_waiter {
        TAILQ_ENTRY(krb_waiter) link;
        struct krb_kdc *kdc; /* NULL: neither holds nor waits */
        bool holds;
        struct loop_timer *timer;
};

struct krb_kdc {
        TAILQ_ENTRY(krb_kdc) link;
        struct sockaddr_storage address; /* with the port */
        socklen_t len;
        unsigned busy;
        TAILQ_HEAD(, krb_waiter) waiting;
};

struct krb {
        struct method_instance method; /* the first */
        struct loop *loop;
        struct _profile_t *profile;
        krb5_context context;
        krb5_get_init_creds_opt *options;
        krb5_get_init_creds_opt *armor_options; /* of the connector's own exchanges */
        struct krb_batch *batch;                /* where keys are made */
        unsigned long serial;                   /* makes names of memory keytabs unique */
        TAILQ_HEAD(, krb_domain) domains;
        TAILQ_HEAD(, krb_kdc) kdcs;
};

/* The method Kerberos: one object per process. */
int krb_new(struct krb **ret, struct loop *loop, struct error *err);
/* As those of method_ops, method being that of a struct krb. */
struct method_instance *krb_free(struct method_instance *method);
int krb_domain_add(struct method_instance *method, const struct domain_config *domain, struct error *err);
int krb_set_keytab(struct method_instance *method, const struct domain_config *domain, const char *keytab,
                   struct error *err);
/* krb/attempt.c. A probe is an AS-REQ without preauthentication for the connector's own principal; any well-formed
 * answer is alive. */
extern const struct method_ops krb_ops;

/* 0: w holds a slot; 1: it waits, and w->timer fires once it holds one; -ENOMEM. */
int krb_slot_enter(struct krb *krb, struct krb_waiter *w, const struct sockaddr_storage *address, socklen_t len);
/* Gives back the slot or the place in the queue, if any. */
void krb_slot_leave(struct krb *krb, struct krb_waiter *w);

/* NULL when krb_domain_add was never called for it. */
struct krb_domain *krb_domain_find(struct krb *krb, const struct domain_config *config);
/* Reads the keytab again, after a key of a version we don't have was asked for. 0 or a krb5 code; the old
 * keys stay on failure. */
krb5_error_code krb_domain_reload(struct krb *krb, struct krb_domain *domain);
/* The client principal of a name, built from its parts and never parsed. 0 or a krb5 code:
 * KRB5_PARSE_MALFORMED for a name that no account can have. */
krb5_error_code krb_principal_new(krb5_principal *ret, krb5_context context, const struct domain_config *config,
                                  const struct name *name);
/* The kinds of keys we accept, RC4 and DES are none. */
bool krb_enctype_is_aes(krb5_enctype enctype);
/* A memory cache of its own with creds in it, for their client; krb5_cc_destroy wipes it. 0 or a krb5 code. */
krb5_error_code krb_memory_ccache(krb5_ccache *ret, krb5_context context, krb5_creds *creds);
/* A memory keytab under a name nobody used before; krb5_kt_close destroys it. 0 or a krb5 code. */
krb5_error_code krb_memory_keytab(krb5_keytab *ret, struct krb *krb);
/*
 * Checks that creds, the product of a finished AS exchange, were made by a KDC that knows our service key,
 * and says who they are. Fills reason, identity, password_proved and context of out. REASON_OK only with an
 * identity.
 */
void krb_verify(struct krb *krb, struct krb_domain *domain, const struct domain_config *config, krb5_creds *creds,
                struct outcome *out);
/* "it holds host/c@R number 3 (aes256-cts-hmac-sha1-96); ...": the keys of a keytab (krb5 name) by principal, key
 * number and kind, of which those that differ from wanted (or NULL) in capitals only are marked. "" where it cannot be
 * read. */
void krb_keytab_text(krb5_context context, const char *source, const char *wanted, char *out, size_t cap);
/* Makes text that may hold words of a KDC fit for records: what is not printable ASCII becomes '?'. */
void krb_make_plain(char *text);
/* Writes krb5's own sentence for code, which may quote the KDC, into out->context. */
void krb_context_text(struct krb *krb, struct outcome *out, const char *what, krb5_error_code code);
