/*
 * What is wrong with a connector, as sentences with a remedy, from the ledger's answer to "status". One place
 * for `postern status`, its JSON and its exit code, and for the hint under `postern log`.
 */
#pragma once

#include <jansson.h>

/* An array of texts, empty where all is well. Texts may hold what others chose: print by cli_print_text. */
json_t *health_wrong(const json_t *status);
