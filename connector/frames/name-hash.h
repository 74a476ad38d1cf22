/*
 * How names are kept in records: masked where they resolved to nothing (people type passwords into the wrong
 * box), with a keyed hash so that the helpdesk can still search for a name it knows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NAME_HASH_KEY_LEN 32
#define NAME_HASH_TEXT 33 /* 16 bytes in hex, NUL */

/* HMAC-SHA256 of the name with ASCII letters in lower case, cut to 16 bytes. Several names of one account
 * hash differently. */
void name_hash(const uint8_t key[NAME_HASH_KEY_LEN], const char *name, size_t n, char ret_hash[NAME_HASH_TEXT]);
/*
 * "a…m (17)": the first character, the last one, the length in bytes; nothing but the length below 4
 * characters. A part behind the last @ is kept when keep_domain (it named a domain that is served). Always
 * valid UTF-8. cap >= 300.
 */
void name_mask(const char *name, size_t n, int keep_domain, char *out, size_t cap);
