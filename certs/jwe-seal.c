/*
 * Seals a request to several connectors at once: JWE general JSON, ECDH-ES+A256KW, A256GCM.
 *
 * Invariant: each call draws a new content key, a new IV and a new ephemeral key per recipient, and no key is
 * named twice. Nothing secret leaves but in encrypted form: out may be a plain buffer.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "certs/jose-internal.h"
#include "connector/base/secret.h"
#include "connector/base/text.h"

#define PROTECTED "{\"enc\":\"A256GCM\",\"typ\":\"" JOSE_TYP_REQUEST_JWE "\",\"cty\":\"JWT\"}"

/* The content key, wrapped for one recipient. */
static int wrap_cek(const struct key *to, EVP_PKEY *ephemeral, const uint8_t cek[CEK_LEN],
                    uint8_t wrapped[WRAPPED_LEN])
{
        static const struct crypto_kdf kdf = {"ECDH-ES+A256KW", NULL, NULL, 256};
        uint8_t z[32], kek[32];
        int r = crypto_ecdh(z, ephemeral, key_evp(to));

        if (r == 0)
                r = crypto_concat_kdf(kek, z, &kdf);
        if (r == 0)
                r = crypto_wrap(wrapped, kek, cek);
        wipe(z, sizeof(z));
        wipe(kek, sizeof(kek));
        return r;
}

static int append_recipient(const struct key *to, const uint8_t cek[CEK_LEN], struct buffer *out)
{
        uint8_t wrapped[WRAPPED_LEN], xy[P256_POINT_LEN];
        char x[B64U_LEN(32) + 1], y[B64U_LEN(32) + 1], encrypted_key[B64U_LEN(WRAPPED_LEN) + 1];
        EVP_PKEY *ephemeral = NULL;
        int r = crypto_keygen(&ephemeral);

        if (r == 0)
                r = crypto_point_export(ephemeral, xy);
        if (r == 0)
                r = wrap_cek(to, ephemeral, cek, wrapped);
        EVP_PKEY_free(ephemeral);
        if (r < 0)
                return r;
        b64u_encode_to(x, xy, 32);
        b64u_encode_to(y, xy + 32, 32);
        b64u_encode_to(encrypted_key, wrapped, sizeof(wrapped));
        return buffer_printf(out,
                             "{\"header\":{\"alg\":\"ECDH-ES+A256KW\",\"kid\":\"%s\",\"epk\":{\"kty\":\"EC\","
                             "\"crv\":\"P-256\","
                             "\"x\":\"%s\",\"y\":\"%s\"}},\"encrypted_key\":\"%s\"}",
                             key_kid(to), x, y, encrypted_key);
}

static int append_recipients(struct key *const *to, size_t n, const uint8_t cek[CEK_LEN], struct buffer *out)
{
        int r = buffer_append_str(out, "\"recipients\":[");

        for (size_t i = 0; r == 0 && i < n; i++) {
                if (i > 0)
                        r = buffer_append_char(out, ',');
                if (r == 0)
                        r = append_recipient(to[i], cek, out);
        }
        return r < 0 ? r : buffer_append_str(out, "],");
}

/* iv, ciphertext and tag. protected_b64 is the AAD. */
static int append_body(const uint8_t cek[CEK_LEN], const struct buffer *protected_b64,
                       const struct part *plain, struct buffer *out)
{
        _cleanup_(buffer_free) struct buffer cipher = BUFFER(JWE_MAX);
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        char iv_b64[B64U_LEN(GCM_IV_LEN) + 1], tag_b64[B64U_LEN(GCM_TAG_LEN) + 1];
        const struct crypto_gcm gcm = {cek, iv, protected_b64->data, protected_b64->len};
        int r = buffer_reserve(&cipher, plain->n);

        if (r == 0 && RAND_bytes(iv, sizeof(iv)) != 1)
                r = -EIO;
        if (r == 0)
                r = crypto_gcm_seal(&gcm, plain->text, plain->n, (uint8_t *)cipher.data, tag);
        if (r < 0)
                return r;
        b64u_encode_to(iv_b64, iv, sizeof(iv));
        b64u_encode_to(tag_b64, tag, sizeof(tag));
        if ((r = buffer_printf(out, "\"iv\":\"%s\",\"ciphertext\":\"", iv_b64)) < 0 ||
            (r = b64u_encode(out, cipher.data, plain->n)) < 0)
                return r;
        return buffer_printf(out, "\",\"tag\":\"%s\"}", tag_b64);
}

/* The whole text into out, which holds at most JWE_MAX. */
static int build(struct key *const *to, size_t n, const struct part *plain, struct buffer *out)
{
        _cleanup_(buffer_free) struct buffer protected_b64 = BUFFER(JOSE_HEADER_MAX);
        uint8_t cek[CEK_LEN];
        int r = b64u_encode(&protected_b64, PROTECTED, sizeof(PROTECTED) - 1);

        if (r == 0 && RAND_priv_bytes(cek, sizeof(cek)) != 1)
                r = -EIO;
        if (r == 0)
                r = buffer_printf(out, "{\"protected\":\"%s\",", protected_b64.data);
        if (r == 0)
                r = append_recipients(to, n, cek, out);
        if (r == 0)
                r = append_body(cek, &protected_b64, plain, out);
        wipe(cek, sizeof(cek));
        return r;
}

static bool named_twice(struct key *const *to, size_t n)
{
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        if (strcmp(key_kid(to[i]), key_kid(to[j])) == 0)
                                return true;
        return false;
}

int jwe_seal(struct key *const *to, size_t n, const void *plain, size_t plain_len, struct buffer *out,
             struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JWE_MAX);
        const struct part part = {plain, plain_len};
        int r;

        if (n < 1 || n > JWE_RECIPIENTS_MAX || named_twice(to, n))
                return error_fail(err, -EINVAL, "request JWE: is sealed to 1 to %d different keys",
                                  JWE_RECIPIENTS_MAX);
        if (plain_len == 0)
                return error_fail(err, -EINVAL, "request JWE: there is nothing to seal");
        if ((r = build(to, n, &part, &text)) == 0)
                r = buffer_append(out, text.data, text.len);
        if (r == -EMSGSIZE)
                return error_fail(err, r, "request JWE: would be longer than %d bytes or its buffer",
                                  JWE_MAX);
        return r < 0 ? error_fail(err, r, "request JWE: cannot be sealed: %s", strerror(-r)) : 0;
}
