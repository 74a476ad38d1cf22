/*
 * Asking every connector of the tenant at once, with a person's key through the relay (PROTOCOL.md, section 21).
 */
#pragma once

#include <jansson.h>

#include "connector/cli/cli.h"
#include "queue/wire/question.h"

/*
 * As view_ask, of all connectors that serve one of the person's domains: the answer is in the form of one ledger's, its
 * records are those of all, the newest first, each with the "connector" that it is of; "everywhere" says who of them
 * answered, with its own "answer", and who did not and why. On failure the reason was printed and *ret_code is the exit
 * code; that some are silent is none, that all are is CLI_UNAVAILABLE.
 */
int everywhere_ask(struct cli *cli, const struct question_claims *question, json_t **ret_answer, int *ret_code);
/* On standard error: who is silent, and what that means for what was shown. */
void everywhere_tell(const json_t *answer);
/* How far back the records of each go, for who was looked for in vain. */
void everywhere_tell_reach(const json_t *answer);
