/*
 * Names of keys that live in hardware: what a setting, an option or a key file may hold instead of a key.
 *
 *      pkcs11:token=T;object=O?pin-source=file:/PATH[&module-path=/PATH]   (RFC 7512)
 *      handle:0x81000001[?pin-source=file:/PATH]                           a persistent key of a TPM 2
 *      tpm2:                                                               make a new key in a TPM 2
 *      -----BEGIN TSS2 PRIVATE KEY-----                                    a key that one TPM 2 alone can use
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

#define KEY_URI_MAX 1024
#define KEY_PATH_MAX 512

enum key_kind {
        KEY_KIND_NONE = 0, /* no name of a hardware key: a path, or a PEM file with the key itself */
        KEY_KIND_PKCS11,
        KEY_KIND_TPM_HANDLE,
        KEY_KIND_TPM_NEW,
        KEY_KIND_TPM_PEM,
};

/* By the first characters of the text; more is not looked at. */
enum key_kind key_kind_of(const char *text, size_t n);
/*
 * Checks the form of a URI (not of a PEM text): length, characters, no PIN in it, and that a pin-source is an
 * absolute path. ret_pin_file (KEY_PATH_MAX bytes, may be NULL) is its path, or "" where the URI has none.
 * -EINVAL with the remedy in err; the text of a PIN is never in it.
 */
int key_uri_check(const char *uri, char *ret_pin_file, struct error *err);
/* What names the next key after this one: tpm2: for a key in a TPM; for one in a token the URI with .2 behind its
 * object's label, then .3 and so on. -EINVAL where the URI has no object, -EMSGSIZE. */
int key_uri_next(const char *reference, struct buffer *out, struct error *err);
