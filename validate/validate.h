/*
 * Validation of one (name, password) against domain controllers, within a budget, on the caller's loop.
 *
 * Nothing here blocks: no connect, handshake, look-up or library call waits. A wrong password costs
 * badPwdCount at most one: after the password left for a DC, no other DC and no other method is asked, but for the one
 * confirmation of a claim that nobody vouches for, at the same DC (op-confirm.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connector/base/error.h"
#include "connector/base/loop.h"
#include "connector/base/secret.h"
#include "validate/outcome.h"

#define USERNAME_MAX 256 /* bytes, PROTOCOL.md */
#define DCS_MAX 32
#define SUFFIXES_MAX 32
#define ATTRIBUTES_MAX 16

enum dc_identity { DC_IDENTITY_DOMAIN_SAN = 0, DC_IDENTITY_LIST, DC_IDENTITY_PIN };
/* DIRECTORY_GENERIC: an MIT realm or a plain LDAP server (no PAC, no sub-codes): the id is entryUUID or the
 * principal. */
enum directory { DIRECTORY_AD = 0, DIRECTORY_GENERIC };

/* Where a domain's SID is known from. */
enum sid_source { SID_UNKNOWN = 0, SID_LEARNT, SID_CONFIGURED, SID_OF_ROSTER, SID_SOURCES };

struct dc_config {
        const char *host;    /* as in its certificate */
        const char *address; /* numeric, or NULL: looked up by c-ares */
};

struct domain_config {
        const char *name;                   /* DNS name, lower case: corp.example */
        const char *realm;                  /* CORP.EXAMPLE */
        const char *netbios;                /* CORP, or NULL */
        const char *sid;                    /* S-1-5-21-A-B-C, or NULL: learnt, see validate_each_sid */
        const char *suffixes[SUFFIXES_MAX]; /* alternate UPN suffixes, NULL-terminated if fewer */
        struct dc_config dcs[DCS_MAX];
        size_t n_dcs;
        bool discover;          /* DCs are found by SRV records, too */
        const char *site;       /* whose records come first, or NULL */
        enum method methods[2]; /* in order of preference; METHOD_NONE ends. The first is used. */
        enum directory directory;
        uint16_t ldaps_port, kdc_port; /* 0: 636, 88 */
        bool starttls;                 /* StartTLS on ldap_port instead of LDAPS */
        uint16_t ldap_port;            /* 0: 389 */
        bool fast_bind;                /* LDAP: binds that only check passwords; the service account finds the account */
        bool password_change;          /* by kpasswd, whatever the method of sign-ins */
        uint16_t kpasswd_port;         /* 0: 464 */
        const char *ca_pem;            /* CAs for the DCs' certificates, PEM text; NULL: the system's */
        enum dc_identity dc_identity;
        const char *pins[8];       /* b64u SHA-256 of SPKI, for DC_IDENTITY_PIN */
        const char *bind_template; /* generic only: "uid={name},ou=people,dc=x"; {name} is RFC 4514-escaped.
                                      NULL: UPN */
        /* Names of these suffixes are an attribute's value, not a UPN: the account is searched for first. */
        const char *alternate_id;                        /* "mail", or NULL */
        const char *alternate_id_suffixes[SUFFIXES_MAX]; /* NULL-terminated if fewer */
        const char *search_base;                         /* DN; NULL: made of the domain's name */
        const char *service_account;                     /* UPN or NETBIOS\\name that searches */
        const struct secret *service_password;           /* borrowed until validate_free */
        /* What an accepted verdict tells of the account, besides who it is: read on its own bind, or by the service
         * account where it signed in by Kerberos. */
        const char *attributes[ATTRIBUTES_MAX]; /* names, NULL-terminated if fewer */
        bool attributes_required;               /* without them nobody is accepted */
        bool nested_groups;                     /* memberOf means groups of groups, too */
        const char *groups_base;                /* DN: only groups below it are told; NULL: all */
        const char *keytab;            /* krb5 name: "FILE:/path", "MEMORY:x"; NULL: no Kerberos */
        const char *service_principal; /* in the keytab: host/connector.corp.example */
        const char *armor_principal;   /* in the keytab, too: sign-ins are armoured (FAST) with its ticket; or NULL */
        unsigned pool_max;             /* LDAP connections per DC; 0: 16 */
        uint32_t connect_timeout_ms;   /* 0: 2000; connect and handshake with one DC */
};

/* What the lockout guard does: nothing, say what it would do, or act. */
enum guard_mode { GUARD_OBSERVE = 0, GUARD_OFF, GUARD_ON };

struct guard_config {
        enum guard_mode mode;
        unsigned failures;  /* of one account in the window before no DC is asked; below AD's own threshold */
        uint64_t window_ms; /* since the last failure; at least AD's observation window */
        uint64_t repeat_ms; /* so long the same wrong password is answered without asking */
};

struct validate_config {
        const struct domain_config *domains;
        size_t n_domains;
        const char *default_domain; /* for bare names; NULL: refused */
        const char *dns_servers;    /* "10.0.0.1:53,[fd00::1]:53"; NULL: the system's */
        struct guard_config guard;  /* all zero: GUARD_OBSERVE with 4 failures, 30 min, 60 s */
};

struct validate;
struct validate_op;

/* Called whenever the readiness of a domain changes. */
typedef void validate_ready_fn(void *arg);
/* Called once per started operation, from the loop, never from inside validate_start. outcome is the callee's
 * to copy. */
typedef void validate_done_fn(void *arg, const struct outcome *outcome);

/* Copies what it needs of config. Fails with every reason a domain can't be served (e.g. krb5 without keytab)
 * in err. */
int validate_new(struct validate **ret_v, struct loop *loop, const struct validate_config *config,
                 validate_ready_fn *on_ready, void *arg, struct error *err);
/* Cancels what runs, without callbacks. Not from inside a callback of its own. */
struct validate *validate_free(struct validate *v);

struct validate_request {
        const char *id;   /* for the log */
        const char *name; /* as typed, name_len bytes, perhaps not UTF-8 */
        size_t name_len;
        struct secret *password; /* owned by the operation from here on, also on failure. NULL means empty or
                                    of bad form: */
        enum reason password_reason; /* then why (REASON_EMPTY_PASSWORD, REASON_BAD_PASSWORD_FORM) */
        /* Change the password to this one and sign in with it; NULL with REASON_OK: a sign-in. Owned as
         * password is. With another reason the new password was of bad form. */
        struct secret *new_password;
        enum reason
                new_password_reason; /* REASON_OK (set it) or REASON_BAD_NEW_PASSWORD; 0 is REASON_OK, too */
        uint64_t deadline;           /* loop_now() */
};

/* 0, or -ENOMEM. Input that must not reach a DC is answered through fn, too. */
int validate_start(struct validate_op **ret_op, struct validate *v, const struct validate_request *request,
                   validate_done_fn *fn, void *arg);
/* Stops caring: the password is wiped, fn is not called any more. NULL-safe. Valid until fn was called. */
void validate_cancel(struct validate_op *op);

/* The domain named so goes on with the keys of this keytab (krb5 name), also for sign-ins under way. -ENOENT: no
 * such domain, or none that uses Kerberos; else with err, and the keys in use stay. */
int validate_set_keytab(struct validate *v, const char *domain, const char *keytab, struct error *err);

/* Whether a DC of domain i answered lately; why (may be NULL) gets a short cause when not. */
bool validate_ready(const struct validate *v, size_t i, const char **ret_why);
/* How many DCs of domain i are known and not used: more than DCS_MAX, those of the highest priority and the site first. */
size_t validate_left_out(const struct validate *v, size_t i);
/* The index of the domain that name routes to; -ENOENT: none of ours; -EINVAL: it has no form that could name
 * one. */
int validate_route(const struct validate *v, const char *name, size_t n);
/*
 * The SID of a domain of Active Directory: only accounts with it are accepted from its DCs. It is the roster's, else
 * the configuration's, else the first that one of its DCs told.
 */
struct validate_sid {
        const char *domain;
        bool has_one;    /* false: the domain is none of Active Directory */
        const char *sid; /* or "" */
        enum sid_source source;
        const char *learnt; /* the one that was learnt, also where another is in force, or "" */
        bool settled;       /* nobody else can have learnt it at the same moment any more */
        const char *seen;   /* another that a DC told since, or "" */
        const char *rival;  /* a domain that has the same, so that nobody of this one is accepted, or "" */
};
typedef void validate_sid_fn(void *arg, const struct validate_sid *sid);
void validate_each_sid(const struct validate *v, validate_sid_fn *fn, void *arg);
/* The roster's SID of the domain named so, or the one that an earlier run learnt (SID_LEARNT; "": it is to be learnt
 * again). Without effect for a domain that is not configured. */
void validate_set_sid(struct validate *v, const char *domain, enum sid_source source, const char *sid);
/* "learnt", "config", "roster" or "". */
const char *sid_source_text(enum sid_source source);

/* What is known of a DC, for `postern status`. */
struct validate_dc {
        const char *domain, *host;
        const char *source; /* "list", "site", "srv" */
        const char *state;  /* "unknown", "alive", "sick" (it fails sign-ins), "recovering", "dead", "gone" */
        uint32_t ewma_ms;   /* how long its answers take; 0: none yet */
        const char *reason,
                *detail; /* its latest failure: a reason's id and a sentence; "" since it answered */
        int64_t clock;     /* what its clock said, s since the epoch, in an answer that proves to be its own, */
        uint64_t clock_at; /* at this loop_now(); 0: nothing yet */
};
typedef void validate_dc_fn(void *arg, const struct validate_dc *dc);
void validate_each_dc(const struct validate *v, validate_dc_fn *fn, void *arg);
/* What the lockout guard did since the start; in GUARD_OBSERVE what it would have done. */
struct validate_guard {
        const char *mode; /* "off", "observe", "on" */
        uint64_t throttled, repeated;
        size_t names; /* that it keeps count of */
};
void validate_guard_state(const struct validate *v, struct validate_guard *ret_guard);
