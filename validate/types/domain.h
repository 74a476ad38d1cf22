/*
 * Domains as validate/ takes them: where their domain controllers are, by which method they are asked, what guards
 * their accounts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"
#include "base/core/secret.h"
#include "validate/types/outcome.h"

#define USERNAME_MAX 256 /* bytes, PROTOCOL.md */
#define DCS_MAX 32
#define SUFFIXES_MAX 32
#define ATTRIBUTES_MAX 16
#define PINS_MAX 8

enum dc_identity { DC_IDENTITY_DOMAIN_SAN = 0, DC_IDENTITY_LIST, DC_IDENTITY_PIN };
/* DIRECTORY_GENERIC: an MIT realm or a plain LDAP server (no PAC, no sub-codes): the id is entryUUID or the
 * principal. */
enum directory_kind { DIRECTORY_AD = 0, DIRECTORY_GENERIC };

/* Where a domain's SID is known from. */
enum sid_source { SID_UNKNOWN = 0, SID_LEARNT, SID_CONFIGURED, SID_OF_ROSTER, SID_SOURCES };

/* DISCOVER_AUTO: where no DC is listed; a configuration that was read has one of the others. */
enum discover_mode { DISCOVER_NO = 0, DISCOVER_YES, DISCOVER_AUTO };

struct dc_config {
        const char *host;    /* as in its certificate */
        const char *address; /* numeric, or NULL: looked up by c-ares */
};

/*
 * One domain: what its section of the configuration says, and what the files that it names hold. Lists end with a NULL
 * (METHOD_NONE) if there are fewer. Whoever made it owns the texts.
 */
struct domain_config {
        const char *name;                   /* DNS name, lower case: corp.example */
        const char *realm;                  /* CORP.EXAMPLE */
        const char *netbios;                /* CORP, or NULL */
        const char *sid;                    /* S-1-5-21-A-B-C, or NULL: learnt, see validate_each_sid */
        const char *suffixes[SUFFIXES_MAX]; /* alternate UPN suffixes, lower case */
        struct dc_config dcs[DCS_MAX];
        size_t n_dcs;
        enum discover_mode discover; /* DCs are found by SRV records, too */
        const char *site;            /* whose records come first, or NULL */
        enum method methods[2];      /* in order of preference; the first is used */
        enum directory_kind directory;
        uint16_t ldaps_port, kdc_port; /* 0: 636, 88 */
        bool starttls;                 /* StartTLS on ldap_port instead of LDAPS */
        uint16_t ldap_port;            /* 0: 389 */
        bool fast_bind;        /* LDAP: binds that only check passwords; the service account finds the account */
        bool password_change;  /* by kpasswd, whatever the method of sign-ins */
        uint16_t kpasswd_port; /* 0: 464 */
        const char *ca_file;   /* for humans, or NULL */
        const char *ca_pem;    /* what it holds: CAs for the DCs' certificates, PEM text; NULL: the system's */
        enum dc_identity dc_identity;
        const char *pins[PINS_MAX]; /* b64u SHA-256 of SPKI, for DC_IDENTITY_PIN */
        const char *bind_template;  /* generic only: "uid={name},ou=people,dc=x"; {name} is RFC 4514-escaped.
                                       NULL: UPN */
        /* Names of these suffixes are an attribute's value, not a UPN: the account is searched for first. */
        const char *alternate_id;                        /* "mail", or NULL */
        const char *alternate_id_suffixes[SUFFIXES_MAX]; /* lower case */
        const char *search_base;                         /* DN; NULL: made of the domain's name, domain_search_base */
        const char *service_account;                     /* UPN or NETBIOS\\name that searches */
        const char *service_password_file;               /* for humans, or NULL */
        const struct secret *service_password;           /* what it holds */
        /* Who reads accounts for `postern account`: a principal, and its keytab or its password's file; or NULL. No
         * process that checks passwords opens them. */
        const char *reader, *reader_keytab, *reader_password_file;
        /* What an accepted verdict tells of the account, besides who it is: read on its own bind, or by the service
         * account where it signed in by Kerberos. */
        const char *attributes[ATTRIBUTES_MAX]; /* names */
        bool attributes_required;               /* without them nobody is accepted */
        bool nested_groups;                     /* memberOf means groups of groups, too */
        const char *groups_base;                /* DN: only groups below it are told; NULL: all */
        const char *keytab_file;                /* for humans, or NULL */
        const char *keytab;                     /* what libkrb5 opens: "FILE:/path", "MEMORY:x"; NULL: no Kerberos */
        const char *service_principal;          /* in the keytab: host/connector.corp.example */
        const char *armor_principal; /* in the keytab, too: sign-ins are armoured (FAST) with its ticket; or NULL */
        unsigned pool_max;           /* LDAP connections per DC; 0: 16 */
        uint32_t connect_timeout_ms; /* 0: 2000; connect and handshake with one DC */
};

/* What a domain needs before it can be served; err says what is missing and where. */
int domain_check(const struct domain_config *domain, struct error *err);
/* Where accounts are searched for: search_base, else "DC=corp,DC=example" of the name. out: DOMAIN_BASE_MAX. */
#define DOMAIN_BASE_MAX (4 * USERNAME_MAX)
const char *domain_search_base(char *out, const struct domain_config *domain);

/* What the lockout guard does: nothing, say what it would do, or act. */
enum guard_mode { GUARD_OBSERVE = 0, GUARD_OFF, GUARD_ON };

struct guard_config {
        enum guard_mode mode;
        unsigned failures;  /* of one account in the window before no DC gets a password; below AD's own threshold */
        uint64_t window_ms; /* since the last failure; at least AD's observation window */
        uint64_t repeat_ms; /* so long the same wrong password goes to no DC */
};

struct validate_config {
        const struct domain_config *domains;
        size_t n_domains;
        const char *default_domain; /* for bare names; NULL: refused */
        const char *dns_servers;    /* "10.0.0.1:53,[fd00::1]:53"; NULL: the system's */
        struct guard_config guard;  /* all zero: GUARD_OBSERVE with 4 failures, 30 min, 60 s */
};

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

/* What is known of a DC, for `postern status`. */
struct validate_dc {
        const char *domain, *host;
        const char *source; /* "list", "site", "srv" */
        /* "unknown", "alive", "silent" (a probe waits for longer than an answer takes), "sick" (it fails sign-ins),
         * "recovering", "dead", "gone" */
        const char *state;
        uint32_t ewma_ms;            /* how long its answers take; 0: none yet */
        const char *reason, *detail; /* its latest failure: a reason's id and a sentence; "" since it answered */
        int64_t clock;     /* what its clock said, s since the epoch, in an answer that proves to be its own, */
        uint64_t clock_at; /* at this loop_now(); 0: nothing yet */
};
