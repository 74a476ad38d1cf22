/*
 * A key for the fuzz targets alone: their corpora are sealed to it and signed by it. It guards nothing.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "certs/keys/key.h"

/* Its scalar, as a JWK has it. */
#define FIXED_KEY_D "UYRC6fu1d0J75ebPow7BBNhrcUVTSO0IV2UcHgIG7Ro"

static inline struct key *fixed_key(void)
{
        static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUYRC6fu1d0J75ebP\n"
                                  "ow7BBNhrcUVTSO0IV2UcHgIG7RqhRANCAAQlGNTXzIrz6AD1tBehfKkw6vQnO8AT\n"
                                  "OA8l6p3zFqednH5b47il9s//Lohncq7MzddYBZhaHbM9enQdmkzNBS6H\n"
                                  "-----END PRIVATE KEY-----\n";
        static struct key *key;

        if (!key && key_from_pem(&key, pem, strlen(pem), NULL, NULL) < 0)
                abort();
        return key;
}

/* A broken property ends the run. */
static inline void must(int holds)
{
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
