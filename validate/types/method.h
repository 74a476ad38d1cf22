/*
 * What the two methods share: one attempt by one method at one DC. Internal to validate/.
 *
 * The dispatcher (validate.c) picks domain, DC and method and may go on to another DC only after an attempt
 * that says left == false: the password provably never left this process.
 */
#pragma once

#include <sys/socket.h>

#include "validate/types/name.h"
#include "base/ipc/loop.h"
#include "validate/types/domain.h"

/* Where a realm's nth best KDC is, with its port. 0; -ENOENT: the realm is none of ours; -EHOSTUNREACH: it has
 * no nth KDC that answers. */
typedef int krb_kdc_fn(void *arg, const char *realm, unsigned nth, struct sockaddr_storage *ret_address,
                       socklen_t *ret_len);

#define CLOCK_SKEW_MAX 300 /* s, Kerberos' own limit (RFC 4120 3.1.3) */

struct attempt {
        const char *id;
        const struct domain_config *domain;
        const char *host;                /* of the DC */
        struct sockaddr_storage address; /* without port */
        socklen_t address_len;
        const struct name *name;
        const struct secret *password; /* borrowed until the attempt is done or cancelled */
        /* LDAP: bind on a connection for fast binds, on which nothing can be read: then who the name is, known already.
         */
        bool fast;
        const char *known_sid, *known_sam;
        enum account_kind known_kind;
        const struct secret *new_password; /* Kerberos: change the password to this one; else NULL */
        uint64_t deadline;
        bool patient; /* no other DC could be asked meanwhile: only the deadline bounds connecting and waiting */
        /* Called once, right before the password (or a request keyed with it) goes to the DC, which has shown
         * by then that it answers. The callee cancels whatever else runs for the same sign-in. May be NULL.
         */
        void (*commit)(void *arg);
        /* Kerberos, before commit: the DC told the salt of the account's key, which says whose it is whatever name was
         * typed (nobody vouches for it). False: the attempt ends, and nothing has left. May be NULL. */
        bool (*told)(void *arg, const uint8_t *salt, size_t n);
        /* Called whenever the DC showed that it is at work: it finished a TLS handshake or answered a request. The
         * callee must not end the attempt. May be NULL. */
        void (*heard)(void *arg);
        void *arg; /* of both */
};

/* left: whether the password (or a request keyed with it) was handed to a socket. Called once, from the loop.
 */
typedef void attempt_done_fn(void *arg, const struct outcome *outcome, bool left);

struct ldap_pools;
struct ldap_attempt;
/* One object per process: connection pools to all DCs (key: domain + host). */
int ldap_pools_new(struct ldap_pools **ret, struct loop *loop);
struct ldap_pools *ldap_pools_free(struct ldap_pools *pools);
/* Prepares the TLS context of a domain (CA, identity); err names file and cause. Before the first attempt. */
int ldap_domain_add(struct ldap_pools *pools, const struct domain_config *domain, struct error *err);
int ldap_attempt_start(struct ldap_attempt **ret, struct ldap_pools *pools, const struct attempt *attempt,
                       attempt_done_fn *fn, void *arg);
void ldap_attempt_cancel(struct ldap_attempt *a);
/* The DC is known to be silent: ends now, calling back from inside, as if the deadline had come. For probes
 * and for an attempt that committed. */
void ldap_attempt_expire(struct ldap_attempt *a);
/* Not a sign-in: reads the rootDSE on the first connection that is free, before all sign-ins that wait for one. reason
 * REASON_OK when alive. */
int ldap_probe_start(struct ldap_attempt **ret, struct ldap_pools *pools, const struct attempt *attempt,
                     attempt_done_fn *fn, void *arg);

struct krb;
struct krb_attempt;
int krb_new(struct krb **ret, struct loop *loop, struct error *err);
struct krb *krb_free(struct krb *krb);
/* How requests that hold no password find KDCs: for trusts and armour. */
void krb_set_kdcs(struct krb *krb, krb_kdc_fn *kdc_of, void *arg);
/* Checks keytab and principal of a domain; err says what is missing and how to make it. */
int krb_domain_add(struct krb *krb, const struct domain_config *domain, struct error *err);
/* Reads the domain's keys from another keytab; the old ones stay where that fails. -ENOENT, -ENOMEM with err. */
int krb_set_keytab(struct krb *krb, const struct domain_config *domain, const char *keytab, struct error *err);
int krb_attempt_start(struct krb_attempt **ret, struct krb *krb, const struct attempt *attempt, attempt_done_fn *fn,
                      void *arg);
void krb_attempt_cancel(struct krb_attempt *a);
/* As ldap_attempt_expire. */
void krb_attempt_expire(struct krb_attempt *a);
/* Not a sign-in: an AS-REQ without preauthentication for the connector's own principal; any well-formed
 * answer is alive. */
int krb_probe_start(struct krb_attempt **ret, struct krb *krb, const struct attempt *attempt, attempt_done_fn *fn,
                    void *arg);
