/*
 * A deep copy of a validate_config, so that the caller's may go. Internal to validate/.
 */
#pragma once

#include "validate/op/validate.h"

struct config_copy;

/* 0 or -ENOMEM. */
int config_copy_new(struct config_copy **ret_copy, const struct validate_config *config);
struct config_copy *config_copy_free(struct config_copy *copy);
/* Lives as long as the copy. */
const struct validate_config *config_copy_get(const struct config_copy *copy);
/* What a domain needs before it can be served; err says what is missing and where. */
int config_check_domain(const struct domain_config *domain, struct error *err);
