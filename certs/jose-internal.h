/*
 * Internal to certs: what the JOSE files, the roster and the statements share, and what the tests reach into.
 */
#pragma once

#include "certs/crypto.h"
#include "certs/jose.h"

static inline json_t *json_free(json_t *json)
{
        json_decref(json);
        return NULL;
}
DEFINE_FREEP(json_t, json_free)

/* Around a key that signs by asking the holder at fd, which evp owns; xy was checked to be its point. Takes a
 * reference. */
int key_from_held(struct key **ret_key, EVP_PKEY *evp, const uint8_t xy[P256_POINT_LEN], int fd,
                  struct error *err);
/* The checked coordinates, P256_POINT_LEN bytes. */
const uint8_t *key_point(const struct key *key);

struct part {
        const char *text;
        size_t n;
};
/* Splits a compact form at its dots into exactly count parts. */
int jose_split(const char *text, size_t n, struct part *parts, size_t count);
/* base64url of a JSON object of at most JOSE_HEADER_MAX bytes -> that object. */
#define JOSE_HEADER_MAX 1024
int jose_header(json_t **ret_header, const char *b64, size_t n, const char *what, struct error *err);
