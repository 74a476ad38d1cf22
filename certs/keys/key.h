/*
 * P-256 keys: the only kind Postern uses end to end (PROTOCOL.md, "one suite per version").
 *
 * A struct key is immutable and reference-counted; it holds a public point and perhaps the private scalar
 * (in OpenSSL's secure heap where that was set up). Its kid is the RFC 7638 thumbprint, its pin the SHA-256
 * of the SPKI DER.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "certs/codec/jose-json.h"
#include "certs/codec/json.h"

struct key;

int key_generate(struct key **ret_key, struct error *err);
/* Around a key that OpenSSL already holds, perhaps in a provider (a TPM); takes a reference. -EBADMSG unless
 * P-256. */
int key_from_evp(struct key **ret_key, EVP_PKEY *evp, bool has_private, struct error *err);
struct key *key_ref(struct key *key);
struct key *key_free(struct key *key); /* drops one reference; NULL-safe; returns NULL */
DEFINE_FREEP(struct key, key_free)

const char *key_kid(const struct key *key); /* NUL-terminated, KID_LEN characters */
const char *key_pin(const struct key *key); /* the same form */
bool key_has_private(const struct key *key);
EVP_PKEY *key_evp(const struct key *key); /* borrowed */

/*
 * Public JWK <-> key. Reads kty "EC", crv "P-256", x and y: 32-byte coordinates of a point on the curve; a private
 * member "d" is refused, other members are the caller's to ask for and to end. NULL after a failure, which the reader
 * has.
 */
struct key *key_read_jwk(struct json_reader *jwk);
/* Writes kty, crv, x and y into the object that is open (no key_ops: WebCrypto refuses it for ECDH). */
void key_write_jwk(struct json_writer *w, const struct key *key);
/* Appends that object's text. */
int key_jwk_text(const struct key *key, struct buffer *out);
/* The same from and to trees: exactly those four members. -EBADMSG with err. */
int key_from_jwk(struct key **ret_key, const json_t *jwk, struct error *err);
int key_to_jwk(const struct key *key, json_t **ret_jwk);

/*
 * Private keys at rest: PKCS#8 PEM, encrypted (PBES2, scrypt) when passphrase is not NULL. Reading an
 * encrypted file without the right passphrase is -EACCES. key_write never overwrites (-EEXIST) and makes mode
 * 0600.
 */
int key_from_pem(struct key **ret_key, const char *pem, size_t n, const char *passphrase, struct error *err);
int key_to_pem(const struct key *key, const char *passphrase, struct buffer *out, struct error *err);
int key_read(struct key **ret_key, const char *path, const char *passphrase, struct error *err);
int key_write(const struct key *key, const char *path, const char *passphrase, struct error *err);
/* Whether the PEM text is an encrypted key, so that a caller knows to ask for the passphrase. */
bool key_pem_encrypted(const char *pem, size_t n);
