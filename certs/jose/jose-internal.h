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
/* base64url of a JSON object of at most JOSE_HEADER_MAX bytes -> that object. */
#define JOSE_HEADER_MAX 1024
int jose_header(json_t **ret_header, const char *b64, size_t n, const char *what, struct error *err);
