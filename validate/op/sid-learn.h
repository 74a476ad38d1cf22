/*
 * Asks the DCs of a Kerberos domain, over LDAPS, which SID their domain has: without anybody's password, long before
 * the first sign-in, and now and then again. A domain by LDAP learns it from its probes. Internal to validate/.
 */
#pragma once

#include "validate/dc/dc.h"

struct sid_learner;

/* domain was added to the method LDAP; all of it is borrowed. told as dcs_events.sid. 0, -ENOMEM. */
int sid_learner_new(struct sid_learner **ret_learner, const struct dc_tools *tools, const struct domain_config *domain,
                    struct dcs *dcs, dcs_sid_fn *told, void *arg);
struct sid_learner *sid_learner_free(struct sid_learner *learner);
/* The domain's readiness changed: asks now, unless it has been told. NULL-safe. */
void sid_learner_wake(struct sid_learner *learner);
