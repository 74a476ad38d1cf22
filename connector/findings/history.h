/*
 * What a user's other sign-ins say of one: whether it fails now and then and what the failures have in common, where
 * wrong passwords came from, whether a success is unlike those before. `postern explain`, `log` and their JSON.
 */
#pragma once

#include <jansson.h>

/*
 * Sentences on one record, an array of texts, owned by the caller. records: the user's, the newest first, as the ledger
 * answers `log`. bad_attempts: what the directory counts (badPwdCount), -1: not known.
 */
json_t *history_sentences(const json_t *records, const json_t *record, long long bad_attempts);
/* What the failures among these have in common; a text that the caller owns, or NULL where nothing is to be said. */
json_t *history_compare(const json_t *records);
