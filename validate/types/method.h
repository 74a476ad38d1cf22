/*
 * A method of asking a DC, behind a table of functions, and one attempt by it at one DC. Internal to validate/.
 *
 * Three implement it: validate/ldap, validate/krb, and validate/fake for tests. The operation (validate/op) picks
 * domain, DC and method and may go on to another DC only after an attempt that says left == false: the password
 * provably never left this process.
 */
#pragma once

#include <sys/socket.h>

#include "validate/types/name.h"
#include "base/core/error.h"
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

/* What a look-up found: REASON_OK with sam and sid of the one account; REASON_ALIAS_UNKNOWN, REASON_ALIAS_AMBIGUOUS;
 * otherwise what kept it from being known. */
struct method_found {
        enum reason reason;
        bool refused; /* the DC refused the service account itself: asking again soon could lock it out */
        char sam[257], sid[SID_TEXT_MAX];
        enum account_kind kind;
        struct account_details details; /* where they were asked for */
        char context[256];
        uint32_t ms;
};
/* Called once, from the loop. */
typedef void method_found_fn(void *arg, const struct method_found *found);

struct method_look_up {
        const struct attempt *attempt; /* whom to ask, and until when; its name and password are not used */
        const char *attribute, *value; /* the user whose attribute has this value, */
        const char *sam;               /* or whose sAMAccountName is this; NULL: no others */
        const char *sid;               /* the account whose attributes are read; else NULL */
};

struct method_instance;
/* What is under way: an attempt, a probe or a look-up. */
struct method_run {
        const struct method_ops *ops; /* whose cancel and expire are its own */
};

/* dc/ and op/ know a method by this alone. What starts copies the struct that it gets, but not the domain, host, name
 * and passwords in it; it calls back once, from the loop, unless it is cancelled. It returns 0 or -errno. */
struct method_ops {
        /* Checks and prepares what the domain's attempts need; err names file and cause. Before the first of them. */
        int (*domain_add)(struct method_instance *method, const struct domain_config *domain, struct error *err);
        /* Reads the domain's keys from another keytab (krb5 name); the old ones stay where that fails: -ENOENT, -ENOMEM
         * with err. NULL: the method has no keys. */
        int (*set_keytab)(struct method_instance *method, const struct domain_config *domain, const char *keytab,
                          struct error *err);
        int (*start)(struct method_run **ret_run, struct method_instance *method, const struct attempt *attempt,
                     attempt_done_fn *fn, void *arg);
        /* Not a sign-in: asks what needs no password, before all sign-ins that wait; REASON_OK when the DC is alive. */
        int (*probe)(struct method_run **ret_run, struct method_instance *method, const struct attempt *attempt,
                     attempt_done_fn *fn, void *arg);
        /* Who has a name or an alternate id, or what an account's attributes are: by the domain's service account,
         * which it must have. NULL: the method cannot. */
        int (*look_up)(struct method_run **ret_run, struct method_instance *method,
                       const struct method_look_up *look_up, method_found_fn *fn, void *arg);
        /* Stops caring: nothing is called back. */
        void (*cancel)(struct method_run *run);
        /* The DC is known to be silent: ends now, calling back from inside, as if the deadline had come. For probes and
         * for an attempt that committed. */
        void (*expire)(struct method_run *run);
        struct method_instance *(*free)(struct method_instance *method);
};

/* One object of each per process. */
struct method_instance {
        const struct method_ops *ops;
        krb_kdc_fn *
                kdc_of; /* how requests that hold no password find KDCs, for trusts and armour; NULL: no KDC is known */
        void *kdc_arg;
};

#define METHODS (METHOD_LDAP + 1) /* a table of them, by enum method */

/* NULL-safe. */
static inline void method_cancel(struct method_run *run)
{
        if (run)
                run->ops->cancel(run);
}
