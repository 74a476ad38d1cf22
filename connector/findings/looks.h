/*
 * What the ledger counted over many sign-ins, in sentences: `postern log --slow` and `--unusual`.
 */
#pragma once

#include <jansson.h>

/* On the ledger's answer to "slow": an array of texts, owned by the caller. */
json_t *looks_slow(const json_t *slow);
/* On its answer to "unusual"; empty where nothing is. */
json_t *looks_unusual(const json_t *unusual);
