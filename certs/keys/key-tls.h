/*
 * TLS client authentication with a key that signs elsewhere.
 */
#pragma once

#include <openssl/ssl.h>

#include "certs/keys/key.h"

/* Makes ctx show the certificates of a PEM text, the key's own first, and sign with the key. -EBADMSG where
 * there is none or it is for another key. */
int key_tls_use(SSL_CTX *ctx, const char *chain_pem, size_t n, const struct key *key, struct error *err);
