/*
 * Deterministic JOSE for the test vectors. See maker.h.
 *
 * Independent of the code under test where that matters: headers are texts here, never built from a struct,
 * and the signature's nonce is RFC 6979's. Shares with it the primitives of certs/codec/crypto.h, which the RFCs'
 * own vectors check.
 */
#include "tests/vectors/maker.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/jose-internal.h"
#include "base/core/text.h"

#define TEXTS_MAX 16384
#define KEYS_MAX 64
#define ORDER_LEN 32

static char *texts[TEXTS_MAX];
static size_t n_texts;
static struct {
        char name[64];
        struct key *key;
} keys[KEYS_MAX];
static size_t n_keys;

void maker_stop(const char *what)
{
        fprintf(stderr, "vectors: %s\n", what);
        exit(1);
}

/* ---- texts ---- */

static char *keep(char *text)
{
        if (!text || n_texts == TEXTS_MAX)
                maker_stop("no room for a text");
        return texts[n_texts++] = text;
}

char *pool_text(const char *fmt, ...)
{
        char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                text = NULL;
        va_end(ap);
        return keep(text);
}

char *pool_bytes(const char *bytes, size_t n)
{
        char *text = calloc(1, n + 1);

        if (text && n > 0)
                memcpy(text, bytes, n);
        return keep(text);
}

void pool_free(void)
{
        while (n_texts > 0)
                free(texts[--n_texts]);
        while (n_keys > 0)
                key_free(keys[--n_keys].key);
}

char *text_replaced(const char *text, const char *from, const char *to)
{
        const char *at = strstr(text, from);

        if (!at || !*from)
                maker_stop(pool_text("\"%s\" is not in \"%.200s\"", from, text));
        if (strstr(at + 1, from))
                maker_stop(pool_text("\"%s\" is repeated in \"%.200s\"", from, text));
        return pool_text("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

char *text_b64u(const void *bytes, size_t n)
{
        char *out = calloc(1, B64U_LEN(n) + 1);

        if (out)
                b64u_encode_to(out, bytes, n);
        return keep(out);
}

/* ---- fixed inputs ---- */

void fixed_bytes(const char *name, uint8_t *out, size_t n)
{
        const char *text = pool_text("postern test vector: %s", name);
        uint8_t hash[SHA256_LEN];

        if (n > sizeof(hash) || crypto_sha256(hash, text, strlen(text)) < 0)
                maker_stop("SHA-256 failed");
        memcpy(out, hash, n);
}

/* The key pair of a scalar: OpenSSL wants the point too. */
static EVP_PKEY *evp_from_scalar(const uint8_t d[ORDER_LEN])
{
        EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
        EC_POINT *point = EC_POINT_new(group);
        BIGNUM *scalar = BN_secure_new();
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        unsigned char octets[1 + P256_POINT_LEN];
        OSSL_PARAM *params = NULL;
        EVP_PKEY *evp = NULL;

        bool ok = point && scalar && build && ctx && BN_bin2bn(d, ORDER_LEN, scalar) &&
                  EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) == 1 &&
                  EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, octets, sizeof(octets), NULL) ==
                          sizeof(octets) &&
                  OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
                  OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets)) == 1 &&
                  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1;
        params = ok ? OSSL_PARAM_BLD_to_param(build) : NULL;
        if (!params || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &evp, EVP_PKEY_KEYPAIR, params) != 1)
                maker_stop("a fixed key cannot be made");
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(build);
        EVP_PKEY_CTX_free(ctx);
        BN_clear_free(scalar);
        EC_POINT_free(point);
        EC_GROUP_free(group);
        return evp;
}

static void scalar_of(const char *name, uint8_t d[ORDER_LEN])
{
        fixed_bytes(pool_text("key %s", name), d, ORDER_LEN);
}

struct key *fixed_key(const char *name)
{
        uint8_t d[ORDER_LEN];
        EVP_PKEY *evp;

        for (size_t i = 0; i < n_keys; i++)
                if (strcmp(keys[i].name, name) == 0)
                        return keys[i].key;
        if (n_keys == KEYS_MAX || strlen(name) >= sizeof(keys[0].name))
                maker_stop("too many fixed keys");
        scalar_of(name, d);
        evp = evp_from_scalar(d);
        if (key_from_evp(&keys[n_keys].key, evp, true, NULL) < 0)
                maker_stop("a fixed key is none");
        EVP_PKEY_free(evp);
        memcpy(keys[n_keys].name, name, strlen(name) + 1);
        return keys[n_keys++].key;
}

char *fixed_scalar(const char *name)
{
        uint8_t d[ORDER_LEN];

        scalar_of(name, d);
        return text_b64u(d, sizeof(d));
}

char *key_x(const struct key *key)
{
        return text_b64u(key_point(key), 32);
}

char *key_y(const struct key *key)
{
        return text_b64u(key_point(key) + 32, 32);
}

/* ---- signatures ---- */

/* V = HMAC(K, V), K = HMAC(K, V || tag || d || hash), as RFC 6979 section 3.2 repeats them. */
struct nonce_state {
        uint8_t k[SHA256_LEN], v[SHA256_LEN];
};

static void hmac(const uint8_t key[SHA256_LEN], const void *bytes, size_t n, uint8_t out[SHA256_LEN])
{
        unsigned len = SHA256_LEN;

        if (!HMAC(EVP_sha256(), key, SHA256_LEN, bytes, n, out, &len) || len != SHA256_LEN)
                maker_stop("HMAC failed");
}

static void nonce_stir(struct nonce_state *s, uint8_t tag, const uint8_t *seed, size_t n)
{
        uint8_t text[SHA256_LEN + 1 + 2 * ORDER_LEN], key[SHA256_LEN];

        memcpy(text, s->v, SHA256_LEN);
        text[SHA256_LEN] = tag;
        if (n > 0)
                memcpy(text + SHA256_LEN + 1, seed, n);
        hmac(s->k, text, SHA256_LEN + 1 + n, key);
        memcpy(s->k, key, sizeof(key));
        hmac(s->k, s->v, SHA256_LEN, key);
        memcpy(s->v, key, sizeof(key));
}

/* seed: scalar, then the hash mod the group's order. The first candidate in range; k is below the order but
 * once in 2^32. */
static void nonce(const uint8_t seed[2 * ORDER_LEN], const BIGNUM *order, BIGNUM *k)
{
        struct nonce_state s;
        uint8_t next[SHA256_LEN];

        memset(s.v, 1, sizeof(s.v));
        memset(s.k, 0, sizeof(s.k));
        nonce_stir(&s, 0, seed, 2 * ORDER_LEN);
        nonce_stir(&s, 1, seed, 2 * ORDER_LEN);
        for (;;) {
                hmac(s.k, s.v, SHA256_LEN, next);
                memcpy(s.v, next, sizeof(next));
                if (!BN_bin2bn(s.v, SHA256_LEN, k))
                        maker_stop("no nonce");
                if (!BN_is_zero(k) && BN_cmp(k, order) < 0)
                        return;
                nonce_stir(&s, 0, NULL, 0);
        }
}

/* (r, s) of ECDSA over the hash e with scalar d; out as r || s. */
static void ecdsa(const uint8_t d_bytes[ORDER_LEN], const uint8_t hash[SHA256_LEN], uint8_t out[ES256_LEN])
{
        EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
        const BIGNUM *order = EC_GROUP_get0_order(group);
        EC_POINT *point = EC_POINT_new(group);
        BN_CTX *ctx = BN_CTX_new();
        BIGNUM *d = BN_bin2bn(d_bytes, ORDER_LEN, NULL), *e = BN_bin2bn(hash, SHA256_LEN, NULL);
        BIGNUM *k = BN_new(), *r = BN_new(), *s = BN_new(), *inverse = BN_new();
        uint8_t seed[2 * ORDER_LEN];

        memcpy(seed, d_bytes, ORDER_LEN);
        if (BN_mod(e, e, order, ctx) != 1 || BN_bn2binpad(e, seed + ORDER_LEN, ORDER_LEN) != ORDER_LEN)
                maker_stop("no hash");
        nonce(seed, order, k);
        bool ok = EC_POINT_mul(group, point, k, NULL, NULL, ctx) == 1 &&
                  EC_POINT_get_affine_coordinates(group, point, r, NULL, ctx) == 1 && BN_nnmod(r, r, order, ctx) == 1 &&
                  BN_mod_inverse(inverse, k, order, ctx) && BN_mod_mul(s, r, d, order, ctx) == 1 &&
                  BN_mod_add(s, s, e, order, ctx) == 1 && BN_mod_mul(s, s, inverse, order, ctx) == 1 &&
                  BN_bn2binpad(r, out, ORDER_LEN) == ORDER_LEN &&
                  BN_bn2binpad(s, out + ORDER_LEN, ORDER_LEN) == ORDER_LEN;
        if (!ok)
                maker_stop("no signature");
        BN_clear_free(d);
        BN_free(e);
        BN_clear_free(k);
        BN_free(r);
        BN_free(s);
        BN_free(inverse);
        BN_CTX_free(ctx);
        EC_POINT_free(point);
        EC_GROUP_free(group);
}

static const char *name_of(const struct key *key)
{
        for (size_t i = 0; i < n_keys; i++)
                if (keys[i].key == key)
                        return keys[i].name;
        maker_stop("a key that is not a fixed one");
}

char *make_signature(const struct key *key, const char *signing_input)
{
        uint8_t d[ORDER_LEN], hash[SHA256_LEN], signature[ES256_LEN];

        scalar_of(name_of(key), d);
        if (crypto_sha256(hash, signing_input, strlen(signing_input)) < 0)
                maker_stop("SHA-256 failed");
        ecdsa(d, hash, signature);
        if (crypto_es256_verify(signature, key_evp(key), signing_input, strlen(signing_input)) < 0)
                maker_stop("an own signature does not verify");
        return text_b64u(signature, sizeof(signature));
}

char *make_jws(const struct key *key, const char *header, const char *payload)
{
        char *input = pool_text("%s.%s", text_b64u(header, strlen(header)), text_b64u(payload, strlen(payload)));

        return pool_text("%s.%s", input, make_signature(key, input));
}

char *make_padded(const char *text, size_t padded)
{
        return pool_text("%-*s", (int)padded, text);
}

/* ---- encryption ---- */

struct sealed_parts {
        char *protected_b64, *iv, *ciphertext, *tag;
};

static struct sealed_parts seal(const uint8_t cek[CEK_LEN], const char *header, const char *salt, const char *plain,
                                size_t n)
{
        struct sealed_parts s = {.protected_b64 = text_b64u(header, strlen(header))};
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        uint8_t *cipher;
        const struct crypto_gcm gcm = {cek, iv, s.protected_b64, strlen(s.protected_b64)};

        fixed_bytes(pool_text("iv %s", salt), iv, sizeof(iv));
        cipher = (uint8_t *)keep(calloc(1, n + 1));
        if (crypto_gcm_seal(&gcm, plain, n, cipher, tag) < 0)
                maker_stop("sealing failed");
        s.iv = text_b64u(iv, sizeof(iv));
        s.ciphertext = text_b64u(cipher, n);
        s.tag = text_b64u(tag, sizeof(tag));
        return s;
}

static void cek_of(const char *salt, uint8_t cek[CEK_LEN])
{
        fixed_bytes(pool_text("cek %s", salt), cek, CEK_LEN);
}

char *make_line(const char *to, const char *epk, const char *salt)
{
        static const struct crypto_kdf kdf = {"ECDH-ES+A256KW", NULL, NULL, 256};
        const struct key *ephemeral = fixed_key(epk);
        uint8_t cek[CEK_LEN], z[32], kek[32], wrapped[WRAPPED_LEN];

        cek_of(salt, cek);
        if (crypto_ecdh(z, key_evp(ephemeral), key_evp(fixed_key(to))) < 0 || crypto_concat_kdf(kek, z, &kdf) < 0 ||
            crypto_wrap(wrapped, kek, cek) < 0)
                maker_stop("wrapping failed");
        return pool_text("%s.%s.%s.%s", key_kid(fixed_key(to)), key_x(ephemeral), key_y(ephemeral),
                         text_b64u(wrapped, sizeof(wrapped)));
}

char *make_sealed(const struct make_sealed *in)
{
        uint8_t cek[CEK_LEN];
        struct sealed_parts s;
        char *text;

        cek_of(in->salt, cek);
        s = seal(cek, in->protected, in->salt, in->plain, in->plain_len);
        text = pool_text("%s.%s.%s.%s\n", s.protected_b64, s.iv, s.ciphertext, s.tag);
        for (size_t i = 0; i < in->n; i++)
                text = pool_text("%s%s\n", text,
                                 in->to[i].line ? in->to[i].line : make_line(in->to[i].to, in->to[i].epk, in->salt));
        return text;
}

char *make_jwe_dir(const uint8_t rk[32], const char *header, const char *salt, const char *plain, size_t n)
{
        struct sealed_parts s = seal(rk, header, salt, plain, n);

        return pool_text("%s..%s.%s.%s", s.protected_b64, s.iv, s.ciphertext, s.tag);
}
