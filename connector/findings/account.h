/*
 * What an account's state in the directory means for a sign-in, from postern-account's answer: for `postern account`
 * and whatever else shows it.
 */
#pragma once

#include <jansson.h>

/*
 * An array of findings, what stops a sign-in first; empty: nothing in the account does. Each is {"code":...,
 * "stops":true|false,"text":...,"remedy":...}; texts are sentences without their full stop, remedy is left out where
 * there is nothing to do. failed: the latest refused attempt of the user as the ledger has it, or NULL. now: s since
 * the epoch. Owned by the caller. Texts may hold what others chose.
 */
json_t *account_findings(const json_t *answer, const json_t *failed, long long now);
/* What the account is, in rows to be shown: an array of {"label","text"}; empty: there is none. Owned by the caller. */
json_t *account_facts(const json_t *answer);
/* What one domain controller counted: a row of the answer's dcs as texts {"dc","role","bad","last_bad","locked","set"}
 * or
 * {"dc","role","error"}. Owned by the caller. */
json_t *account_counters(const json_t *row);
