/*
 * Reading the stored vectors for the tests: by path, stopping the test where one is missing.
 */
#pragma once

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs/trust/roster.h"
#include "certs/trust/statement.h"

/* A file of the folder that the environment variable VECTORS names. New reference. */
json_t *vectors_load(const char *file);
/* A member that must be there; borrowed. */
const char *text_at(const json_t *object, const char *name);
int64_t int_at(const json_t *object, const char *name);
const json_t *at(const json_t *object, const char *name);
/* The key of keys.json, private. New reference. */
struct key *key_at(const json_t *keys, const char *name);
/* The keys that sign in a connector's place, of a vector's member `sign`, into ret (room for STATEMENT_SIGN_MAX); the
 * caller frees their keys. How many. */
size_t sign_at(const json_t *keys, const json_t *vector, struct statement_key *ret);
/* The roster of roster.json, verified with its expectations. */
struct roster *roster_at(const json_t *file);
#define BYTES_EQUAL(text, buffer)                                                                                      \
        do {                                                                                                           \
                assert_int_equal(strlen(text), (buffer).len);                                                          \
                assert_memory_equal(text, (buffer).data, (buffer).len);                                                \
        } while (0)
