/*
 * Internal to certs: what the JOSE files, the roster and the statements share, and what the tests reach into.
 */
#pragma once

#include "certs/codec/crypto.h"
#include "certs/jose/jose.h"
#include "certs/keys/key-internal.h"

struct part {
        const char *text;
        size_t n;
};
/* Splits a compact form at its dots into exactly count parts. */
int jose_split(const char *text, size_t n, struct part *parts, size_t count);
/* base64url of a header of at most JOSE_HEADER_MAX bytes -> its text, which r reads. A failure is the reader's first.
 */
#define JOSE_HEADER_MAX 1024
void jose_header(struct json_reader *r, struct buffer *text, const struct part *b64, const char *what,
                 struct error *err);
