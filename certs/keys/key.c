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

DEFINE_VOID_FREEP(EVP_PKEY, EVP_PKEY_free)

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
        _cleanup_(free_EVP_PKEYp) EVP_PKEY *evp = NULL;

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

struct key *key_read_jwk(struct json_reader *jwk)
{
        _cleanup_(free_EVP_PKEYp) EVP_PKEY *evp = NULL;
        uint8_t xy[P256_POINT_LEN];
        struct key *key = NULL;

        if (json_read_has(jwk, "d"))
                json_read_fail(jwk, "d", "is a private key; only public keys are passed on");
        json_read_is(jwk, "kty", "EC");
        json_read_is(jwk, "crv", "P-256");
        json_read_b64u(jwk, "x", xy, 32);
        json_read_b64u(jwk, "y", xy + 32, 32);
        if (json_read_result(jwk) < 0)
                return NULL;
        if (crypto_point_import(&evp, xy) < 0)
                json_read_fail(jwk, "x", "and y are not a point on P-256");
        else if (key_wrap(&key, evp, false, NULL) < 0)
                json_read_no_memory(jwk);
        else
                evp = NULL;
        return key;
}

void key_write_jwk(struct json_writer *w, const struct key *key)
{
        char x[KID_LEN + 1], y[KID_LEN + 1];

        b64u_encode_to(x, key->xy, 32);
        b64u_encode_to(y, key->xy + 32, 32);
        json_write_str(w, "kty", "EC");
        json_write_str(w, "crv", "P-256");
        json_write_str(w, "x", x);
        json_write_str(w, "y", y);
}

int key_jwk_text(const struct key *key, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        key_write_jwk(&w, key);
        json_write_close(&w, '}');
        return json_write_end(&w);
}

int key_from_jwk(struct key **ret_key, const json_t *jwk, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096);
        struct json_reader r;
        struct key *key;

        if (!json_is_object(jwk) || jose_json_text(jwk, &text) < 0)
                return error_fail(err, -EBADMSG, "jwk: is not an object, or too long");
        json_read_begin(&r, text.data, text.len, JSON_PLAIN, "jwk", err);
        key = key_read_jwk(&r);
        if (json_read_end(&r, true) < 0) {
                key_free(key);
                return json_read_result(&r);
        }
        *ret_key = key;
        return 0;
}

int key_to_jwk(const struct key *key, json_t **ret_jwk)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(512);
        json_t *jwk = key_jwk_text(key, &text) == 0 ? json_loadb(text.data, text.len, 0, NULL) : NULL;

        if (!jwk)
                return -ENOMEM;
        *ret_jwk = jwk;
        return 0;
}
