/*
 * Looking an account up with the connector's own service account: bind, then one search for who has an alternate id,
 * or the account's attributes. Internal to the LDAP method.
 */
#pragma once

#include "validate/ldap/pool.h"
#include "validate/types/method.h"

/* As method_ops.look_up. 0, -ENOMEM. */
int ldap_lookup_start(struct method_run **ret, struct method_instance *method, const struct method_look_up *request,
                      method_found_fn *fn, void *arg);
