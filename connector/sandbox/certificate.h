/*
 * The certificate with which the sandbox's relay shows itself to clients, and the CA that they must trust for it.
 */
#pragma once

#include <openssl/x509.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

/* Appends PEM: a new CA's certificate to ca, and one for 127.0.0.1 and localhost to cert with its key to key. The CA's
 * own key is forgotten. -ENOMEM, -EIO with err. */
int sandbox_certificate(struct buffer *ca, struct buffer *cert, struct buffer *key, int64_t now, struct error *err);
/* Appends the certificate's PEM. -ENOMEM, -EMSGSIZE. */
int sandbox_certificate_pem(struct buffer *out, X509 *cert);
