/*
 * A person's private key in a folder: PKCS#8, encrypted or not, or a file that names a key in a token or TPM.
 */
#pragma once

#include <stdbool.h>

#include "connector/person/hardware.h"

struct folder_key {
        const char *path;
        const char *passphrase; /* NULL: it is not encrypted */
        hardware_ask_fn *ask;   /* for a token's PIN, or NULL */
};
/* Makes a key and writes its file, which must not be there (-EEXIST). uri: of a key in hardware, used or made; NULL: a
 * new one. */
int folder_key_make(const struct folder_key *file, const char *uri, struct key **ret_key, struct error *err);
/* Reads it, or opens it in its token, asking for the PIN where the URI gives no file. -EACCES: passphrase or PIN
 * missing or wrong. */
int folder_key_read(const struct folder_key *file, struct key **ret_key, struct error *err);
/* Whether reading it takes a passphrase. */
bool folder_key_encrypted(const char *path);
