/*
 * Configurations for what `postern check` tests besides the domains as they are configured.
 */
#pragma once

#include "connector/conf/config.h"

/* The domains that have a second method, by that one; those that use Kerberos, with their own keytab as armour, so that
 * its key is tried. */
enum trial_kind { TRIAL_SECOND = 0, TRIAL_KEYTAB, TRIALS };

/* A copy that owns nothing, to be freed with free(); NULL where no domain is left, or without memory. */
struct config *trial_config(const struct config *config, enum trial_kind kind);
