/*
 * Internal to certs: the primitives that JOSE needs, each a thin, bounded call of OpenSSL's EVP.
 *
 * Algorithms are fetched once and kept. All return 0 or -errno without text: the caller knows which member it
 * was about. Failures leave OpenSSL's error queue empty, so that TLS code on the same thread is not confused
 * by it.
 */
#pragma once

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32
#define P256_POINT_LEN 64 /* x || y */
#define ES256_LEN 64      /* r || s */
#define CEK_LEN 32
#define WRAPPED_LEN 40
#define GCM_IV_LEN 12
#define GCM_TAG_LEN 16

/* -EIO only when OpenSSL itself fails. */
int crypto_sha256(uint8_t out[SHA256_LEN], const void *bytes, size_t n);

int crypto_keygen(EVP_PKEY **ret_key);
/* The point as a public key; -EBADMSG unless it is on P-256. */
int crypto_point_import(EVP_PKEY **ret_key, const uint8_t xy[P256_POINT_LEN]);
/* The public point of a P-256 key, also of one that lives in another provider; -EBADMSG for other curves and
 * kinds. */
int crypto_point_export(const EVP_PKEY *key, uint8_t xy[P256_POINT_LEN]);

/* A raw signature (r || s) as OpenSSL's object, which the caller frees; NULL: out of memory. */
ECDSA_SIG *crypto_signature(const uint8_t raw[ES256_LEN]);
/* ES256 with raw r || s; verify says -EKEYREJECTED. */
int crypto_es256_sign(uint8_t signature[ES256_LEN], EVP_PKEY *key, const void *bytes, size_t n);
int crypto_es256_verify(const uint8_t signature[ES256_LEN], EVP_PKEY *key, const void *bytes, size_t n);

/* Z of ECDH. peer must come from crypto_point_import or crypto_keygen: its point is not checked again here.
 */
int crypto_ecdh(uint8_t z[32], EVP_PKEY *own, EVP_PKEY *peer);

struct crypto_kdf {
        const char *algorithm; /* AlgorithmID */
        const char *apu, *apv; /* PartyUInfo and PartyVInfo, decoded; NULL: empty */
        uint32_t bits;         /* keydatalen, at most 256 */
};
/* Concat KDF of RFC 7518 section 4.6.2 with SHA-256, one round; writes bits / 8 bytes. */
int crypto_concat_kdf(uint8_t *out, const uint8_t z[32], const struct crypto_kdf *info);

/* AES-256 key wrap, RFC 3394. Unwrapping says -EKEYREJECTED when the check value is wrong. */
int crypto_wrap(uint8_t out[WRAPPED_LEN], const uint8_t kek[32], const uint8_t cek[CEK_LEN]);
int crypto_unwrap(uint8_t cek[CEK_LEN], const uint8_t kek[32], const uint8_t wrapped[WRAPPED_LEN]);

struct crypto_gcm {
        const uint8_t *key; /* 32 bytes */
        const uint8_t *iv;  /* GCM_IV_LEN */
        const char *aad;
        size_t aad_len;
};
/* AES-256-GCM of n bytes into out (n bytes). Opening wipes out and says -EKEYREJECTED when the tag is wrong.
 */
int crypto_gcm_seal(const struct crypto_gcm *p, const void *plain, size_t n, uint8_t *out, uint8_t tag[GCM_TAG_LEN]);
int crypto_gcm_open(const struct crypto_gcm *p, const void *cipher, size_t n, const uint8_t tag[GCM_TAG_LEN],
                    uint8_t *out);
