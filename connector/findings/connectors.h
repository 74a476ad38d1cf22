/*
 * What all connectors of a tenant said together, as data: the answer of everywhere_ask (connector/person) to "status",
 * and of any such answer who is missing in it.
 */
#pragma once

#include <jansson.h>

/*
 * Each connector that was asked, in the order of the roster: an array of {"name","id","ready":bool (as the relay sees
 * it, where it told; else who answers is),"well":bool (ready, and it answered),"state" ("ready", "linked, NOT READY",
 * "NOT LINKED"),"rows":[{"label","text"}],"findings": what health_findings says of its answer}. Texts may hold what
 * others chose. Owned by the caller.
 */
json_t *connectors_told(const json_t *answer);
/* One word for all of them: "well", "warned" (sign-ins succeed, something is wrong), "limited" (one is not well),
 * "stopped" (none is ready, or there is none). told: of connectors_told. */
const char *connectors_state(const json_t *told);
/* Who is silent or sent too little, and what that means for what is shown: an array of sentences, empty where nobody
 * is missing, and for an answer of one ledger. Owned by the caller. */
json_t *connectors_missing(const json_t *answer);
/* How far back the records of each go, for who was looked for in vain: an array of lines. Owned by the caller. */
json_t *connectors_reach(const json_t *answer);
