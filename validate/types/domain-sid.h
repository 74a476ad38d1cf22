/*
 * Which SID each domain has, and so whose accounts a domain's DCs may name. Internal to validate/; pure memory.
 *
 * A SID is the roster's, else the configuration's, else learnt: what a DC of the domain said first. A learnt one is
 * held on to as the others are, but never stands against one of those, whichever domain has it. Of two domains that
 * learn one SID it is the first's, unless both did within SID_SETTLE_MS: then who was first is chance, and neither has
 * it. Times are loop_now()'s.
 */
#pragma once

#include "validate/types/domain.h"

struct domain_sids;

#define SID_SETTLE_MS 2000

/* For the n domains; those of the configuration are in force at once. 0, -ENOMEM. */
int domain_sids_new(struct domain_sids **ret_sids, const struct domain_config *domains, size_t n);
struct domain_sids *domain_sids_free(struct domain_sids *sids);

/* The roster's, or what an earlier run learnt; "" takes it away, and of a learnt one also what DCs said since. A
 * text that is no domain's SID counts as "". True where something changed. */
bool domain_sids_set(struct domain_sids *sids, size_t i, enum sid_source source, const char *sid);
/* A DC of domain i says that this is its domain's SID. It is learnt where none is known, and noted where another is.
 * True where something changed. */
bool domain_sids_told(struct domain_sids *sids, size_t i, const char *sid, uint64_t now);

enum sid_answer {
        SID_IS_OURS = 0,
        SID_IS_FOREIGN,  /* of no account of the domain */
        SID_IS_DISPUTED, /* the domain's SID is another domain's, too, so it names nobody */
};
/* Whether an account with this SID is one of domain i. Where none is known yet, the account's is learnt from;
 */
enum sid_answer domain_sids_judge(struct domain_sids *sids, size_t i, const char *account, uint64_t now);

/* What is known of domain i; its texts live as long as nothing is set or told. */
void domain_sids_get(const struct domain_sids *sids, size_t i, uint64_t now, struct validate_sid *ret_sid);
