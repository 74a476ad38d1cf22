/*
 * Whether a connector would be given sign-ins of each of its domains, as data: what that takes, one by one.
 */
#pragma once

#include <jansson.h>

/*
 * From the ledger's answer to "status" an array, one for each domain: {"domain","ready","since","conditions":
 * [{"what","met","since"?,"cause"?}]}. what: "link" (a relay node is linked and has heard it), "released" (the relay
 * does not keep it in quarantine), "announced" (the relay takes its key statement), "clock" (it is right), "keys" (they
 * are published and live), "roster" (it lets this connector speak for the domain), "dc" (a domain controller is
 * usable). since is in s since the epoch: of a condition when it came to be so, of the whole the latest of those that
 * decide; cause is a sentence, there where it is not met and known. Owned by the caller.
 */
json_t *readiness_of(const json_t *answer);
