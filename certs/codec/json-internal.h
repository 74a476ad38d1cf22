/*
 * Internal to the JSON files of codec: strings as they are spelt.
 */
#pragma once

#include <stdint.h>

#include "certs/codec/json.h"

/* How many of the first n bytes stand for themselves in a string: ASCII, no control character, quote or backslash. */
size_t json_plain_run(const char *s, size_t n);
/* The bytes that a string which passed the check stands for, one after the other; -1 behind the last. */
struct json_spelling {
        const char *at, *end; /* behind the opening quote; the closing one */
        char bytes[4];        /* of an escape */
        size_t n, i;
};
int json_next_byte(struct json_spelling *s);
