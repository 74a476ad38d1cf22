/*
 * One sign-in told for somebody who has the user on the telephone, as data: `postern explain`, its JSON and whatever
 * else shows it render the same.
 */
#pragma once

#include <jansson.h>

/* A few lines to copy into a ticket, with a newline between; of what explain_record made. Owned by the caller. */
json_t *explain_ticket(const json_t *explained);
/*
 * What the ledger's record says: texts by key, those without content left out: id, attempt, when (local time), user,
 * user_note, account, service, from, result, meaning, remedy, user_saw, lockout, password, codes, detail; and hops, an
 * array of {"ms":..., "text":...} (ms after the request came; a note that belongs to the hop before it has none). Owned
 * by the caller.
 */
json_t *explain_record(const json_t *record);
