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
/* The value of a part, of the parts of the ledger's answer to "status"; NULL where it never spoke. */
const json_t *fact_part(const json_t *parts, const char *part);
/* Since when the part's member has been as it is, by the ledger; 0: not known. */
long long fact_since(const json_t *parts, const char *part, const char *member);
/* Sets the member of object; a text that is NULL or "" leaves it out. */
void fact_put(json_t *object, const char *key, const char *text);
/* Appends {"label","text"}, the text as printf makes it: what is not UTF-8 is no text of JSON, and says so. */
void fact_row(json_t *rows, const char *label, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
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
