/*
 * Names that an answer showed to be some account's, as keyed hashes: a bounded memory, in which a newer name may take
 * the place of another. It ends with the process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "connector/frames/name-hash.h"

#define KNOWN_NAMES_MAX 32768

struct known_names {
        uint64_t hashes[KNOWN_NAMES_MAX]; /* 0: none */
};

/* Half of the hash's hex digits, which the key makes as good as random; never 0. */
static inline uint64_t known_names_number(const char hash[NAME_HASH_TEXT])
{
        uint64_t number = 0;

        for (unsigned i = 0; i < 16; i++)
                number = number << 4 | (uint64_t)(hash[i] <= '9' ? hash[i] - '0' : hash[i] - 'a' + 10);
        return number ? number : 1;
}

/* names may be NULL: nothing is known then. */
static inline void known_names_add(struct known_names *names, const char hash[NAME_HASH_TEXT])
{
        uint64_t number = known_names_number(hash);

        if (names)
                names->hashes[number % KNOWN_NAMES_MAX] = number;
}

static inline bool known_names_has(const struct known_names *names, const char hash[NAME_HASH_TEXT])
{
        uint64_t number = known_names_number(hash);

        return names && names->hashes[number % KNOWN_NAMES_MAX] == number;
}
