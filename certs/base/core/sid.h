/*
 * SIDs ([MS-DTYP] 2.4.2): their text, and as far as it matters whose they are. Pure, for whoever handles the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SID_DOMAIN_PREFIX "S-1-5-21-"
#define SID_TEXT_MAX 192 /* S-1-... with 15 sub-authorities, rounded up; also the ids of generic directories */

/* Binary SID -> "S-1-5-21-..." (SID_TEXT_MAX bytes). -EBADMSG unless it is exactly one SID of 1 to 15 sub-authorities.
 */
int sid_text(char *out, const uint8_t *bytes, size_t n);
/* The other way: how many bytes of out (cap: 68 are enough) the SID takes; 0: text is none in the form above. */
size_t sid_from_text(uint8_t *out, size_t cap, const char *text);
/* Behind the domain's part of a SID, "S-1-5-21-A-B-C"; NULL where text does not begin with one ([MS-DTYP] 2.4.2.4). */
const char *sid_skip_domain(const char *text);
/* Whether text is the SID of a domain, in the one form that it has. */
bool sid_is_domain(const char *text);
/* Whether account is the SID of an account of the domain: the domain's SID and one number. */
bool sid_is_of(const char *account, const char *domain);
