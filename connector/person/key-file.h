/*
 * A person's private key in a folder: PKCS#8, encrypted or not, or a file that names a key in a token or TPM.
 */
#pragma once

#include <stdbool.h>

#include "connector/person/hardware.h"

#define FOLDER_KEY_MAX 16384 /* bytes of its file */

struct folder_key {
        const char *path;
        const char *passphrase; /* NULL: it is not encrypted */
        hardware_ask_fn *ask;   /* for a token's PIN, or NULL */
};
/* Makes a key whose file is not there yet (-EEXIST: it is). uri: of a key in hardware, used or made; NULL: a new one.
 * reference: gets what the file of a key in hardware holds; else it stays empty. */
int folder_key_make(const struct folder_key *file, const char *uri, struct key **ret_key, struct buffer *reference,
                    struct error *err);
/* Writes its file: the last of what a folder gets, so that a folder without settings holds no key that nobody may
 * overwrite. reference: as made. -EEXIST. */
int folder_key_write(const struct folder_key *file, const struct key *key, const struct buffer *reference,
                     struct error *err);
/* Reads it, or opens it in its token, asking for the PIN where the URI gives no file. -EACCES: passphrase or PIN
 * missing or wrong. */
int folder_key_read(const struct folder_key *file, struct key **ret_key, struct error *err);
/* Whether reading it takes a passphrase. */
bool folder_key_encrypted(const char *path);
