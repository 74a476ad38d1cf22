/*
 * A person's private key in a folder: PKCS#8, encrypted or not, or a file that names a key in a token or TPM.
 */
#pragma once

#include <stdbool.h>

#include "certs/keys/key.h"

/* Makes a key and writes path, which must not be there (-EEXIST). uri: of a key in hardware, used or made; NULL: a new
 * one, encrypted by passphrase (NULL: not). */
int folder_key_make(const char *path, const char *uri, const char *passphrase, struct key **ret_key, struct error *err);
/* Reads it, or opens it in its token, asking for the PIN where the URI gives no file. -EACCES: passphrase or PIN
 * missing or wrong. */
int folder_key_read(const char *path, const char *passphrase, struct key **ret_key, struct error *err);
/* Whether reading it takes a passphrase. */
bool folder_key_encrypted(const char *path);
