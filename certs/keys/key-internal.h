/*
 * Internal to certs: what a key's makers and users share, and what the tests reach into.
 */
#pragma once

#include "certs/codec/crypto.h"
#include "certs/keys/key.h"

/* Around a key that signs by asking the holder at fd, which evp owns; xy was checked to be its point. Takes a
 * reference. */
int key_from_held(struct key **ret_key, EVP_PKEY *evp, const uint8_t xy[P256_POINT_LEN], int fd, struct error *err);
/* The checked coordinates, P256_POINT_LEN bytes. */
const uint8_t *key_point(const struct key *key);
