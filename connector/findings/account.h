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
