/*
 * P-256 keys: the object, its JWK form, thumbprint and pin. PEM files are key-pem.c's.
 *
 * Invariant: whoever holds a struct key holds a point that was checked to be on P-256, and its kid and pin
 * are computed from that point, never taken from a peer. Reference counts are not atomic: one thread. Does
 * not decide who may use a key for what (roster.c, statement.c).
 */
#include "certs/keys/key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/codec/crypto.h"
#include "certs/keys/key-internal.h"
#include "certs/keys/key-holder.h"
#include "base/core/text.h"

struct key {
        unsigned refs;
        bool has_private;
        int holder_fd; /* evp's; -1: a key in memory */
        EVP_PKEY *evp;
        uint8_t xy[P256_POINT_LEN];
        char kid[KID_LEN + 1];
        char pin[KID_LEN + 1];
};

static inline EVP_PKEY *evp_free(EVP_PKEY *evp)
{
        EVP_PKEY_free(evp);
        return NULL;
}
DEFINE_FREEP(EVP_PKEY, evp_free)

/* RFC 7638 thumbprint of the point. */
static int thumbprint(const uint8_t xy[P256_POINT_LEN], char kid[KID_LEN + 1])
{
        char x[KID_LEN + 1], y[KID_LEN + 1], canonical[160];
        uint8_t digest[SHA256_LEN];

        b64u_encode_to(x, xy, 32);
        b64u_encode_to(y, xy + 32, 32);
        int n = snprintf(canonical, sizeof(canonical), "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
                         x, y);
        int r = crypto_sha256(digest, canonical, (size_t)n);
        if (r == 0)
                b64u_encode_to(kid, digest, sizeof(digest));
        return r;
}

/* SHA-256 of the SubjectPublicKeyInfo. For P-256 with an uncompressed point its DER is a fixed head and the
 * point. */
static int spki_pin(const uint8_t xy[P256_POINT_LEN], char pin[KID_LEN + 1])
{
        static const uint8_t head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                       0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                       0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
        uint8_t spki[sizeof(head) + P256_POINT_LEN], digest[SHA256_LEN];

        memcpy(spki, head, sizeof(head));
        memcpy(spki + sizeof(head), xy, P256_POINT_LEN);
        int r = crypto_sha256(digest, spki, sizeof(spki));
        if (r == 0)
                b64u_encode_to(pin, digest, sizeof(digest));
        return r;
}

/* Makes a struct key around evp, whose reference it takes on success, and its point. */
static int key_wrap_point(struct key **ret_key, EVP_PKEY *evp, const uint8_t xy[P256_POINT_LEN], bool has_private,
                          struct error *err)
{
        _cleanup_(freep) struct key *key = calloc(1, sizeof(*key));

        if (!key)
                return error_fail(err, -ENOMEM, "key: out of memory");
        memcpy(key->xy, xy, P256_POINT_LEN);
        if (thumbprint(key->xy, key->kid) < 0 || spki_pin(key->xy, key->pin) < 0)
                return error_fail(err, -EIO, "key: OpenSSL cannot compute SHA-256");
        key->refs = 1;
        key->holder_fd = -1;
        key->has_private = has_private;
        key->evp = evp;
        *ret_key = steal(key);
        return 0;
}

static int key_wrap(struct key **ret_key, EVP_PKEY *evp, bool has_private, struct error *err)
{
        uint8_t xy[P256_POINT_LEN];

        if (crypto_point_export(evp, xy) < 0)
                return error_fail(err, -EBADMSG, "key: is not a P-256 key; Postern uses no other kind");
        return key_wrap_point(ret_key, evp, xy, has_private, err);
}

int key_generate(struct key **ret_key, struct error *err)
{
        _cleanup_(evp_freep) EVP_PKEY *evp = NULL;

        if (crypto_keygen(&evp) < 0)
                return error_fail(err, -EIO, "key: OpenSSL cannot generate a P-256 key");
        int r = key_wrap(ret_key, evp, true, err);
        if (r == 0)
                evp = NULL;
        return r;
}

int key_from_evp(struct key **ret_key, EVP_PKEY *evp, bool has_private, struct error *err)
{
        int r = key_wrap(ret_key, evp, has_private, err);

        if (r == 0)
                EVP_PKEY_up_ref(evp);
        return r;
}

struct key *key_ref(struct key *key)
{
        key->refs++;
        return key;
}

struct key *key_free(struct key *key)
{
        if (key && --key->refs == 0) {
                EVP_PKEY_free(key->evp);
                free(key);
        }
        return NULL;
}

const char *key_kid(const struct key *key)
{
        return key->kid;
}

const char *key_pin(const struct key *key)
{
        return key->pin;
}

bool key_has_private(const struct key *key)
{
        return key->has_private;
}

int key_holder_fd(const struct key *key)
{
        return key->holder_fd;
}

int key_from_held(struct key **ret_key, EVP_PKEY *evp, const uint8_t xy[P256_POINT_LEN], int fd, struct error *err)
{
        int r = key_wrap_point(ret_key, evp, xy, true, err);

        if (r == 0) {
                (*ret_key)->holder_fd = fd;
                EVP_PKEY_up_ref(evp);
        }
        return r;
}

EVP_PKEY *key_evp(const struct key *key)
{
        return key->evp;
}

const uint8_t *key_point(const struct key *key)
{
        return key->xy;
}

static bool has_word(const char *const *words, const char *word)
{
        for (; words && *words; words++)
                if (strcmp(*words, word) == 0)
                        return true;
        return false;
}

static int point_from_jwk(uint8_t xy[P256_POINT_LEN], const json_t *jwk, const char *const *allowed, struct error *err)
{
        static const char *const members[] = {"kty", "crv", "x", "y", NULL};
        uint8_t point[P256_POINT_LEN];
        int r;

        if (!json_is_object(jwk))
                return error_fail(err, -EBADMSG, "jwk is not an object");
        if (json_object_get(jwk, "d") || has_word(allowed, "d"))
                return error_fail(err, -EBADMSG, "jwk holds a private key (member d); only public keys are passed on");
        if ((r = jose_json_members(jwk, "jwk", members, allowed, err)) < 0 ||
            (r = jose_json_is(jwk, "jwk", "kty", "EC", err)) < 0 ||
            (r = jose_json_is(jwk, "jwk", "crv", "P-256", err)) < 0 ||
            (r = jose_json_bytes(jwk, "jwk", "x", point, 32, err)) < 0 ||
            (r = jose_json_bytes(jwk, "jwk", "y", point + 32, 32, err)) < 0)
                return r;
        memcpy(xy, point, sizeof(point));
        return 0;
}

int key_from_jwk(struct key **ret_key, const json_t *jwk, const char *const *allowed, struct error *err)
{
        _cleanup_(evp_freep) EVP_PKEY *evp = NULL;
        uint8_t xy[P256_POINT_LEN];
        int r = point_from_jwk(xy, jwk, allowed, err);

        if (r < 0)
                return r;
        if ((r = crypto_point_import(&evp, xy)) < 0)
                return error_fail(err, r, "jwk: x and y are not a point on P-256");
        r = key_wrap(ret_key, evp, false, err);
        if (r == 0)
                evp = NULL;
        return r;
}

int key_to_jwk(const struct key *key, json_t **ret_jwk)
{
        char x[KID_LEN + 1], y[KID_LEN + 1];

        b64u_encode_to(x, key->xy, 32);
        b64u_encode_to(y, key->xy + 32, 32);
        json_t *jwk = json_pack("{ssssssss}", "kty", "EC", "crv", "P-256", "x", x, "y", y);
        if (!jwk)
                return -ENOMEM;
        *ret_jwk = jwk;
        return 0;
}
