/*
 * One key in a token, as postern-keyholder sees it. Internal to connector/keyholder.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

#define DIGEST_LEN 32
#define POINT_LEN 64     /* x || y */
#define SIGNATURE_LEN 64 /* r || s */
#define PIN_MAX 256

struct token {
        uint8_t point[POINT_LEN];
        int (*sign)(struct token *token, const uint8_t digest[DIGEST_LEN], uint8_t signature[SIGNATURE_LEN],
                    struct error *err);
        void *state;
};

struct token_request {
        const char *reference; /* URI or TSS2 PEM text */
        const char *pin;       /* or NULL */
        bool make;
};

/*
 * Loads what the token needs and opens the key, or makes it; name (appended to) is what names the key from
 * now on. -ENODEV no such token, -EACCES the PIN was refused (it was tried once), -EPERM a PIN is needed or
 * would not be tried, -ENOENT no such key or a package is missing, -EEXIST, -EBADMSG not a P-256 key that
 * signs. What was opened stays so until the process ends.
 */
int pkcs11_open(struct token *token, const struct token_request *request, struct buffer *name, struct error *err);
int tpm2_open(struct token *token, const struct token_request *request, struct buffer *name, struct error *err);
