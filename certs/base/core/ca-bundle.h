/*
 * Files of CA certificates, and of a server's own: all of them are read, or the file is refused.
 *
 * OpenSSL's and libcurl's readers stop at the first damaged block without a word, so that the CAs behind it, or
 * all, are missing. Here one damaged certificate anywhere refuses the file, naming line and certificate.
 */
#pragma once

#include <openssl/x509.h>
#include <stddef.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

#define CA_BUNDLE_MAX (1024 * 1024)

/*
 * Makes an admin's PEM text plain (base/admin-text.h; comments between the blocks are allowed) and reads each
 * certificate, which goes into store where that is not NULL. *ret_n (may be NULL): how many, at least one. -EBADMSG
 * with NAME:LINE, then text and store are not to be used; -ENOMEM.
 */
int ca_bundle_take(struct buffer *text, const char *name, X509_STORE *store, size_t *ret_n, struct error *err);
/* The same from a file, appended to the empty out. */
int ca_bundle_read(struct buffer *out, const char *path, size_t *ret_n, struct error *err);
/*
 * What a server shows of itself: its certificate first, then those that lead to its CA. Private keys may stand beside
 * them and are passed over; else as ca_bundle_take. *ret_chain has at least one, and is freed with sk_X509_pop_free.
 */
int ca_bundle_chain(struct buffer *text, const char *name, STACK_OF(X509) * *ret_chain, struct error *err);
