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
/*
 * The whole story: explain_record, and where there is something to say, seen, an array of what the user's other
 * sign-ins tell of this one (history.h), and ticket. others: those that the ledger answers to explain_others, or NULL.
 * bad_attempts as in history.h. account: what account_findings found in the directory now, or NULL: told as directory,
 * an array of sentences, and what to do about the first that explains the refusal comes before the reason's own remedy.
 * Owned by the caller.
 */
json_t *explain_story(const json_t *record, const json_t *others, long long bad_attempts, const json_t *account);
/* By what the ledger finds all sign-ins of this one's user: the account's id, the name, or what was typed; "" where it
 * is known by none. */
const char *explain_whose(const json_t *record, const char *typed);
/* The question to the ledger for all sign-ins of this one's user; typed: what the user was found by, or NULL. Owned by
 * the caller; NULL: the record names nobody. */
json_t *explain_others(const json_t *record, const char *typed);
