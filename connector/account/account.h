/*
 * postern-account: answers one question about an account, for `postern account`, and ends.
 *
 * It is no process of posternd's: it alone holds the credential that reads the directory (`reader`), and nothing else.
 * It never takes a password of the account, so nothing that it does counts as a failed attempt; it only reads.
 */
#pragma once

#include <jansson.h>
#include <ldap.h>

#include "base/core/secret.h"
#include "base/dns/dns.h"
#include "base/ipc/loop.h"
#include "connector/conf/config.h"

#define ACCOUNT_FOUND_MAX 10 /* accounts that a typed name may mean */
#define ACCOUNT_DCS_MAX 64

/* Who reads in one domain. */
struct reader {
        const struct domain_config *domain;
        const struct secret *password; /* or NULL */
        char keytab[64];               /* what libkrb5 opens, or "" */
        char ca_file[64];              /* what libldap opens, or "": the system's CAs */
};

/* A domain controller, to be asked. */
struct dc_place {
        char host[DNS_HOST_MAX + 1];
        struct dns_address address;
        bool listed; /* in dcs of the configuration */
};

/* ---- places.c: where domain controllers are ---- */
/* Those of the configuration, then those of SRV records. How many; 0 with err. */
size_t places_of(struct loop *loop, struct dns *dns, const struct domain_config *domain, struct dc_place *out,
                 size_t max, struct error *err);
/* The place of one that the directory named. */
int places_find(struct loop *loop, struct dns *dns, const struct domain_config *domain, const char *host,
                struct dc_place *ret_place, struct error *err);

/* ---- reading.c: one domain controller's LDAP ---- */
struct reading;
/* What takes what the reader says; errors name the host. -EKEYREJECTED: the domain controller refused the reader's
 * credential; -EINPROGRESS: it never answered the bind. Either may count as a failed attempt of the reader's account,
 * so no other domain controller may then be tried with that credential. Any other error counted nothing. */
int reading_open(struct reading **ret_d, const struct reader *reader, const struct dc_place *place, struct error *err);
struct reading *reading_free(struct reading *d);
/* The reader's own session. */
LDAP *reading_ldap(const struct reading *d);
/* A search below base, of at most max entries; *ret_result is the caller's (ldap_msgfree). */
int reading_search(struct reading *d, const char *base, int scope, const char *filter, const char *const *attributes,
                   int max, LDAPMessage **ret_result, struct error *err);
/* The first value of an attribute, or NULL; ldap_memfree-like: free() it. */
char *reading_text(const struct reading *d, LDAPMessage *entry, const char *attribute);
/* The same as a number; fallback where there is none. */
long long reading_number(const struct reading *d, LDAPMessage *entry, const char *attribute, long long fallback);

/* ---- ticket.c ---- */
/* A TGT of the reader by its keytab, in this process's memory, from the KDC at that place; -EKEYREJECTED and
 * -EINPROGRESS as by reading_open. Sets KRB5_CONFIG and KRB5CCNAME of this process. */
int ticket_get(const struct reader *reader, const struct dc_place *place, struct error *err);

/* ---- lookup.c ---- */
struct lookup {
        struct loop *loop;
        struct dns *dns;
        const struct config *config;
        const struct reader *readers; /* one for each domain of the configuration; without a credential: unset */
        bool all_dcs;
};
/* What is known of the account that a name means: an object for findings/account.h. */
int lookup_name(const struct lookup *l, const char *typed, json_t **ret_answer, struct error *err);
/* What the reader of a domain could do besides reading. */
int lookup_reader(const struct lookup *l, const char *domain, json_t **ret_answer, struct error *err);
