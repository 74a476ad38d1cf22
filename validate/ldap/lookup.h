/*
 * Looking an account up with the connector's own service account: bind, then one search for who has an alternate id,
 * or the account's attributes. Internal to the LDAP method.
 */
#pragma once

#include "validate/ldap/pool.h"
#include "validate/types/method.h"

struct ldap_lookup;

/* reason: REASON_OK with sam and sid of the one account that was found; REASON_ALIAS_UNKNOWN,
 * REASON_ALIAS_AMBIGUOUS; otherwise what kept it from being known. */
struct ldap_found {
        enum reason reason;
        bool refused; /* the DC refused the service account itself: asking again soon could lock it out */
        char sam[257], sid[SID_TEXT_MAX];
        enum account_kind kind;
        struct account_details details; /* where they were asked for */
        char context[256];
        uint32_t ms;
};
/* Called once, from the loop. */
typedef void ldap_lookup_fn(void *arg, const struct ldap_found *found);

struct ldap_lookup_request {
        const struct attempt *attempt; /* whom to ask, and until when; its name and password are not used */
        const char *attribute, *value; /* the user whose attribute has this value; or */
        const char *sam;               /* or whose sAMAccountName is this; NULL: no others */
        const char *sid;               /* the account whose attributes are read; else NULL */
};
/* Needs service_account and service_password of the attempt's domain. Copies what it needs but these and the
 * attempt's domain and host, which outlive it. 0, -ENOMEM. */
int ldap_lookup_start(struct ldap_lookup **ret, struct ldap_pools *pools, const struct ldap_lookup_request *request,
                      ldap_lookup_fn *fn, void *arg);
void ldap_lookup_cancel(struct ldap_lookup *lookup);
