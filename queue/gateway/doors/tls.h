/*
 * The certificate that the doors show, and what client certificates say of who comes.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "queue/gateway/doors/door.h"

struct http;

/* As door.take, of the files of TLS: 1 where it is one. */
int doors_tls_take(struct doors *doors, const char *file, int fd, struct error *err);
/* For the HTTP server (http), or a new context (ret_ctx; the caller's); the other one is NULL. 0 also where there is no
 * certificate: then nothing is made. -EINVAL, -EBADMSG with the file and the cause. */
int doors_tls_use(struct doors *doors, struct http *http, SSL_CTX **ret_ctx, struct error *err);
/* The [application] whose client certificate this is, which verified: by its name, and its dates now. NULL: none's. */
const char *doors_tls_app(const struct doors *doors, X509 *certificate);
