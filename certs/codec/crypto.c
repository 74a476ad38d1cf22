/*
 * The primitives behind JOSE, over OpenSSL's EVP only, so that a private key may live in any provider.
 *
 * Owns the fetched algorithms (kept for the life of the process: one thread, a handful of objects).
 * Invariant: a shared secret, key-encryption key or content key never outlives the call in memory of ours
 * without the caller's buffer; a point is checked to be on P-256 once, on import, and never derived with
 * before. Knows nothing of JSON, base64 or kids.
 */
#include "certs/codec/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/cleanup.h"
#include "base/core/secret.h"

DEFINE_VOID_FREEP(EVP_MD_CTX, EVP_MD_CTX_free)
DEFINE_VOID_FREEP(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)
DEFINE_VOID_FREEP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
DEFINE_VOID_FREEP(ECDSA_SIG, ECDSA_SIG_free)
DEFINE_VOID_FREEP(BIGNUM, BN_free)

static int fail(int code)
{
        ERR_clear_error();
        return code;
}

static const EVP_MD *sha256(void)
{
        static EVP_MD *md;

        if (!md)
                md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
        return md;
}

static EVP_CIPHER *gcm256, *wrap256; /* NULL until they are needed */

static const EVP_CIPHER *fetched(EVP_CIPHER **cipher)
{
        if (!*cipher)
                *cipher = EVP_CIPHER_fetch(NULL, cipher == &gcm256 ? "AES-256-GCM" : "AES-256-WRAP", NULL);
        return *cipher;
}

int crypto_sha256(uint8_t out[SHA256_LEN], const void *bytes, size_t n)
{
        const EVP_MD *md = sha256();

        return md && EVP_Digest(bytes, n, out, NULL, md, NULL) == 1 ? 0 : fail(-EIO);
}

int crypto_keygen(EVP_PKEY **ret_key)
{
        static EVP_PKEY_CTX *ctx; /* ready to generate P-256 keys */
        EVP_PKEY *key = NULL;

        if (!ctx) {
                _cleanup_(free_EVP_PKEY_CTXp) EVP_PKEY_CTX *fresh = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

                if (!fresh || EVP_PKEY_keygen_init(fresh) != 1 || EVP_PKEY_CTX_set_group_name(fresh, "P-256") != 1)
                        return fail(-EIO);
                ctx = steal(fresh);
        }
        if (EVP_PKEY_generate(ctx, &key) != 1)
                return fail(-EIO);
        *ret_key = key;
        return 0;
}

int crypto_point_import(EVP_PKEY **ret_key, const uint8_t xy[P256_POINT_LEN])
{
        static EVP_PKEY_CTX *ctx; /* ready to import */
        _cleanup_(free_EVP_PKEY_CTXp) EVP_PKEY_CTX *check = NULL;
        char group[] = "P-256";
        uint8_t point[1 + P256_POINT_LEN] = {4};
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
                OSSL_PARAM_construct_end(),
        };
        EVP_PKEY *key = NULL;

        memcpy(point + 1, xy, P256_POINT_LEN);
        if (!ctx && !(ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL)))
                return fail(-ENOMEM);
        if (EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
                EVP_PKEY_free(key);
                return fail(-EBADMSG);
        }
        /* The cofactor of P-256 is 1, so the quick check (range, on the curve, not infinity) is the whole
         * check. */
        check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
        if (!check || EVP_PKEY_public_check_quick(check) != 1) {
                EVP_PKEY_free(key);
                return fail(-EBADMSG);
        }
        *ret_key = key;
        return 0;
}

/* The point as keys of this process's own have it: both coordinates for the price of one. A key of a token may not. */
static bool export_whole(const EVP_PKEY *key, uint8_t xy[P256_POINT_LEN])
{
        uint8_t point[1 + P256_POINT_LEN];
        size_t n = 0;

        ERR_set_mark();
        const bool r = EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) == 1 &&
                       n == sizeof(point) && point[0] == POINT_CONVERSION_UNCOMPRESSED;
        ERR_pop_to_mark();
        if (r)
                memcpy(xy, point + 1, P256_POINT_LEN);
        return r;
}

/* One coordinate as 32 bytes. */
static int coordinate(const EVP_PKEY *key, const char *param, uint8_t out[32])
{
        _cleanup_(free_BIGNUMp) BIGNUM *bn = NULL;

        if (EVP_PKEY_get_bn_param(key, param, &bn) != 1 || BN_bn2binpad(bn, out, 32) != 32)
                return fail(-EBADMSG);
        return 0;
}

int crypto_point_export(const EVP_PKEY *key, uint8_t xy[P256_POINT_LEN])
{
        char group[32] = "";
        uint8_t point[P256_POINT_LEN];

        if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1 ||
            (strcmp(group, "prime256v1") != 0 && strcmp(group, "P-256") != 0))
                return fail(-EBADMSG);
        if (export_whole(key, xy))
                return 0;
        if (coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, point) < 0 ||
            coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, point + 32) < 0)
                return -EBADMSG;
        memcpy(xy, point, sizeof(point));
        return 0;
}

ECDSA_SIG *crypto_signature(const uint8_t raw[ES256_LEN])
{
        _cleanup_(free_ECDSA_SIGp) ECDSA_SIG *sig = ECDSA_SIG_new();
        _cleanup_(free_BIGNUMp) BIGNUM *r = BN_bin2bn(raw, 32, NULL);
        _cleanup_(free_BIGNUMp) BIGNUM *s = BN_bin2bn(raw + 32, 32, NULL);

        if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1)
                return NULL;
        r = s = NULL;
        return steal(sig);
}

int crypto_es256_sign(uint8_t signature[ES256_LEN], EVP_PKEY *key, const void *bytes, size_t n)
{
        _cleanup_(free_EVP_MD_CTXp) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        _cleanup_(free_ECDSA_SIGp) ECDSA_SIG *sig = NULL;
        uint8_t der[128];
        const uint8_t *p = der;
        size_t len = sizeof(der);

        if (!ctx)
                return fail(-ENOMEM);
        if (EVP_DigestSignInit(ctx, NULL, sha256(), NULL, key) != 1 || EVP_DigestSign(ctx, der, &len, bytes, n) != 1 ||
            !(sig = d2i_ECDSA_SIG(NULL, &p, (long)len)) || BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, 32) != 32 ||
            BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + 32, 32) != 32)
                return fail(-EIO);
        return 0;
}

int crypto_es256_verify(const uint8_t signature[ES256_LEN], EVP_PKEY *key, const void *bytes, size_t n)
{
        _cleanup_(free_EVP_MD_CTXp) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        _cleanup_(free_ECDSA_SIGp) ECDSA_SIG *sig = crypto_signature(signature);
        uint8_t der[80], *p = der; /* at most 72 bytes for P-256 */
        const int len = sig ? i2d_ECDSA_SIG(sig, &p) : 0;

        if (!ctx || len <= 0)
                return fail(-ENOMEM);
        if (EVP_DigestVerifyInit(ctx, NULL, sha256(), NULL, key) != 1)
                return fail(-EIO);
        return EVP_DigestVerify(ctx, der, (size_t)len, bytes, n) == 1 ? 0 : fail(-EKEYREJECTED);
}

int crypto_ecdh(uint8_t z[32], EVP_PKEY *own, EVP_PKEY *peer)
{
        _cleanup_(free_EVP_PKEY_CTXp) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
        size_t len = 32;

        if (!ctx)
                return fail(-ENOMEM);
        if (EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1 ||
            EVP_PKEY_derive(ctx, z, &len) != 1 || len != 32) {
                wipe(z, 32);
                return fail(-EIO);
        }
        return 0;
}

static int update_u32(EVP_MD_CTX *ctx, uint32_t v)
{
        uint8_t be[4];

        bytes_put_be32(be, v);
        return EVP_DigestUpdate(ctx, be, sizeof(be));
}

/* Datalen || Data. */
static int update_lv(EVP_MD_CTX *ctx, const char *data)
{
        const size_t n = data ? strlen(data) : 0;

        return update_u32(ctx, (uint32_t)n) == 1 && EVP_DigestUpdate(ctx, data ? data : "", n) == 1;
}

int crypto_concat_kdf(uint8_t *out, const uint8_t z[32], const struct crypto_kdf *info)
{
        _cleanup_(free_EVP_MD_CTXp) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        uint8_t digest[SHA256_LEN];

        if (!ctx)
                return fail(-ENOMEM);
        if (info->bits > 256 || info->bits % 8)
                return -EINVAL;
        if (EVP_DigestInit_ex2(ctx, sha256(), NULL) != 1 || update_u32(ctx, 1) != 1 ||
            EVP_DigestUpdate(ctx, z, 32) != 1 || update_lv(ctx, info->algorithm) != 1 ||
            update_lv(ctx, info->apu) != 1 || update_lv(ctx, info->apv) != 1 || update_u32(ctx, info->bits) != 1 ||
            EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
                return fail(-EIO);
        memcpy(out, digest, info->bits / 8);
        wipe(digest, sizeof(digest));
        return 0;
}

int crypto_wrap(uint8_t out[WRAPPED_LEN], const uint8_t kek[32], const uint8_t cek[CEK_LEN])
{
        _cleanup_(free_EVP_CIPHER_CTXp) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n = 0, tail = 0;

        if (!ctx)
                return fail(-ENOMEM);
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        if (EVP_EncryptInit_ex2(ctx, fetched(&wrap256), kek, NULL, NULL) != 1 ||
            EVP_EncryptUpdate(ctx, out, &n, cek, CEK_LEN) != 1 || n != WRAPPED_LEN ||
            EVP_EncryptFinal_ex(ctx, out + n, &tail) != 1)
                return fail(-EIO);
        return 0;
}

int crypto_unwrap(uint8_t cek[CEK_LEN], const uint8_t kek[32], const uint8_t wrapped[WRAPPED_LEN])
{
        _cleanup_(free_EVP_CIPHER_CTXp) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        uint8_t plain[WRAPPED_LEN]; /* room for what the provider may write before its check */
        int n = 0;
        int r = 0;

        if (!ctx)
                return fail(-ENOMEM);
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        if (EVP_DecryptInit_ex2(ctx, fetched(&wrap256), kek, NULL, NULL) != 1)
                r = fail(-EIO);
        else if (EVP_DecryptUpdate(ctx, plain, &n, wrapped, WRAPPED_LEN) != 1 || n != CEK_LEN)
                r = fail(-EKEYREJECTED);
        else
                memcpy(cek, plain, CEK_LEN);
        wipe(plain, sizeof(plain));
        return r;
}

int crypto_gcm_seal(const struct crypto_gcm *p, const void *plain, size_t n, uint8_t *out, uint8_t tag[GCM_TAG_LEN])
{
        _cleanup_(free_EVP_CIPHER_CTXp) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int len = 0;

        if (!ctx)
                return fail(-ENOMEM);
        if (n > INT_MAX || p->aad_len > INT_MAX)
                return -EMSGSIZE;
        if (EVP_EncryptInit_ex2(ctx, fetched(&gcm256), p->key, p->iv, NULL) != 1 ||
            EVP_EncryptUpdate(ctx, NULL, &len, (const uint8_t *)p->aad, (int)p->aad_len) != 1 ||
            EVP_EncryptUpdate(ctx, out, &len, plain, (int)n) != 1 || EVP_EncryptFinal_ex(ctx, out + len, &len) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_LEN, tag) != 1)
                return fail(-EIO);
        return 0;
}

int crypto_gcm_open(const struct crypto_gcm *p, const void *cipher, size_t n, const uint8_t tag[GCM_TAG_LEN],
                    uint8_t *out)
{
        _cleanup_(free_EVP_CIPHER_CTXp) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        uint8_t expected[GCM_TAG_LEN];
        int len = 0;

        if (!ctx)
                return fail(-ENOMEM);
        if (n > INT_MAX || p->aad_len > INT_MAX)
                return -EMSGSIZE;
        memcpy(expected, tag, sizeof(expected));
        if (EVP_DecryptInit_ex2(ctx, fetched(&gcm256), p->key, p->iv, NULL) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_LEN, expected) != 1 ||
            EVP_DecryptUpdate(ctx, NULL, &len, (const uint8_t *)p->aad, (int)p->aad_len) != 1)
                return fail(-EIO);
        if (EVP_DecryptUpdate(ctx, out, &len, cipher, (int)n) != 1 || EVP_DecryptFinal_ex(ctx, out + len, &len) != 1) {
                wipe(out, n);
                return fail(-EKEYREJECTED);
        }
        return 0;
}
