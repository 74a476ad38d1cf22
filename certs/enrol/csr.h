/*
 * PKCS#10 requests and the certs-only PKCS#7 answers of EST, over OpenSSL.
 */
#pragma once

#include <openssl/x509.h>

#include "certs/keys/key.h"

/* DER PKCS#10 with subject CN = id and SAN URI urn:postern:<tenant>:<id>, signed by key. Appends to out. */
int csr_make(const struct key *key, const char *tenant, const char *id, struct buffer *out, struct error *err);
/* Base64 text (RFC 8951: line breaks allowed anywhere) of a certs-only PKCS#7 -> PEM of its certificates, in
 * order. -EBADMSG. */
int csr_certs_from_pkcs7(const char *base64, size_t n, struct buffer *pem, struct error *err);
/* PEM certificate: notAfter as seconds since the epoch, and CN (out_cn: cap bytes). */
int csr_cert_info(const char *pem, size_t n, int64_t *ret_not_after, char *out_cn, size_t cap, struct error *err);
/* notBefore and notAfter of the first certificate, s since the epoch. -EBADMSG. */
int csr_cert_life(const char *pem, size_t n, int64_t *ret_not_before, int64_t *ret_not_after, struct error *err);
/* -EKEYREJECTED unless the certificate carries this key. */
int csr_cert_matches(const char *pem, size_t n, const struct key *key, struct error *err);
/* -EBADMSG unless the certificate's CN is id and it has the SAN URI urn:postern:<tenant>:<id>. */
int csr_cert_is_for(const char *pem, size_t n, const char *tenant, const char *id, struct error *err);
