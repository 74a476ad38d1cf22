/*
 * Who a bind was for: the questions asked on the account's own bind, and what the answers say. Internal to
 * the LDAP method.
 */
#pragma once

#include "validate/ldap/ber.h"
#include "validate/types/name.h"

#define LDAP_BIND_NAME_MAX 1024
#define LDAP_BASE_MAX 1024

/* Collects answers; starts zeroed. */
struct ldap_who {
        char base[LDAP_BASE_MAX]; /* of the account: "<SID=S-1-...>" or a DN; "" while unknown */
        char sid[SID_TEXT_MAX];   /* the bind's own, by the rootDSE; "" where it isn't said */
        char principal[513];      /* NETBIOS\name as the rootDSE has it, or "" */
        bool generic;
        bool contradicts;       /* something that must be one was two or malformed */
        size_t accounts;        /* entries seen by ldap_who_account */
        size_t shown;           /* attributes of them */
        bool of_people;         /* the bind is in Domain Users */
        bool of_computers;      /* the bind is in a group of computers or domain controllers */
        uint32_t type, control; /* sAMAccountType and userAccountControl; 0: not told */
        char account_sid[SID_TEXT_MAX];
        char uuid[37];
        struct identity identity;
};

/* The name to bind with: UPN, NETBIOS\name, or the domain's template filled in. -EMSGSIZE. */
int ldap_bind_name(char out[LDAP_BIND_NAME_MAX], const struct domain_config *domain, const struct name *name);
/* Builds the first question: the rootDSE (AD), or "Who am I". */
int ldap_who_ask(struct buffer *request, int32_t id, const struct domain_config *domain);
void ldap_who_entry(struct ldap_who *who, const struct ldap_message *m);
void ldap_who_done(struct ldap_who *who, const struct ldap_message *m);
/* Builds the second: the account. -ENOENT when the first was not answered. */
int ldap_who_look_up(struct buffer *request, int32_t id, const struct ldap_who *who);
void ldap_who_account(struct ldap_who *who, const struct ldap_message *m);
/* The kind by sAMAccountType and userAccountControl ([MS-ADTS] 2.2.15, 2.2.16); 0: not told. */
enum account_kind ldap_account_kind(uint32_t type, uint32_t control);
/* A decimal number as LDAP has it; 0 for anything else. */
uint32_t ldap_number(const struct ldap_bytes *value);
/* 0 and *ret_identity when the answers agree on exactly one account with an id; else -ENOENT and *ret_why. In AD the
 * account need not be able to read its own entry: the rootDSE says who it is, and what it can of its kind. */
int ldap_who_identity(struct identity *ret_identity, const struct ldap_who *who, const struct domain_config *domain,
                      const char **ret_why);
