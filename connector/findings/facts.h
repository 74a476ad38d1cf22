/*
 * What the ledger's answers say, member by member, and words for it that are the same wherever it is shown.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The member as text; "" where it is absent or null. */
const char *fact_text(const json_t *object, const char *key);
/* The member as a number; fallback where it is absent. */
long long fact_number(const json_t *object, const char *key, long long fallback);
/* "2026-11-23 21:34:07" in local time. */
void fact_time(long long wall, char *out, size_t cap);
/* "3 min", "2 h" ... */
void fact_age(long long seconds, char *out, size_t cap);
/* What a decline means (PROTOCOL.md 12.4), or "lost", in words for a helpdesk; NULL where the word is not known. */
const char *fact_decline(const char *why);
/* Whether a validator had it and ended before it answered: then nothing was declined, and nothing is known of the
 * password. */
bool fact_is_lost(const json_t *record);
/* "accepted", "refused", "unavailable", "declined" or "lost". */
const char *fact_end(const json_t *record);
/* What to do about domain controllers whose clocks differ from this host's, by how many differ and how many clocks of
 * others (domain controllers, the relay) agree with it; NULL: that does not tell whose is wrong. */
const char *fact_clock_remedy(size_t differ, size_t agree);
/* Who signed in, as far as it may be shown. */
const char *fact_user(const json_t *record);
