/*
 * The attributes and groups of an account that the configuration names: which questions are asked on a bound
 * connection, and what the answers say. Internal to the LDAP method; no socket.
 */
#pragma once

#include "base/core/pairs.h"
#include "validate/ldap/ber.h"
#include "validate/types/domain.h"

#define LDAP_DETAILS_GROUPS_MAX 200 /* of nested ones, asked for */

/* Starts zeroed but for the first two. */
struct ldap_details {
        const struct domain_config *domain;
        const char *base;       /* of the account: "<SID=S-1-...>" or a DN */
        unsigned asked;         /* questions so far */
        bool found;             /* the account */
        bool failed;            /* a question was refused */
        char dn[1025];          /* the account's */
        uint32_t type, control; /* sAMAccountType and userAccountControl; 0: not told */
        struct account_details details;
};

/* Builds the next question. 0; 1: there is none left; -EMSGSIZE, -ENOMEM. */
int ldap_details_ask(struct ldap_details *d, struct buffer *request, int32_t id);
void ldap_details_entry(struct ldap_details *d, const struct ldap_message *m);
void ldap_details_done(struct ldap_details *d, const struct ldap_message *m);
/* After the last question: what came out. */
void ldap_details_result(const struct ldap_details *d, struct account_details *ret_details);
