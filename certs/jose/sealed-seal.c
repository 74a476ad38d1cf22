/*
 * Seals a request to several connectors at once: ECDH-ES+A256KW to each, A256GCM for all.
 *
 * Invariant: each call draws a new content key, a new IV and a new ephemeral key per recipient, and no key is
 * named twice. Nothing secret leaves but in encrypted form: out may be a plain buffer.
 */
#include "certs/jose/sealed.h"

#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "certs/jose/jose-internal.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define WHAT "sealed request"

/* The content key, wrapped for one recipient. */
static int wrap_cek(const struct key *to, EVP_PKEY *ephemeral, const uint8_t cek[CEK_LEN], uint8_t wrapped[WRAPPED_LEN])
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

static int append_line(const struct key *to, const uint8_t cek[CEK_LEN], struct buffer *out)
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
        return buffer_printf(out, "%s.%s.%s.%s\n", key_kid(to), x, y, encrypted_key);
}

/* protected, which is the authenticated data, iv, ciphertext and tag. */
static int append_shared(const uint8_t cek[CEK_LEN], const struct buffer *plain, struct buffer *out)
{
        _cleanup_(buffer_free) struct buffer cipher = BUFFER(PADDED_LARGE);
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        char iv_b64[B64U_LEN(GCM_IV_LEN) + 1], tag_b64[B64U_LEN(GCM_TAG_LEN) + 1];
        const struct crypto_gcm gcm = {cek, iv, SEALED_PROTECTED, sizeof(SEALED_PROTECTED) - 1};
        int r = buffer_reserve(&cipher, plain->len);

        if (r == 0 && RAND_bytes(iv, sizeof(iv)) != 1)
                r = -EIO;
        if (r == 0)
                r = crypto_gcm_seal(&gcm, plain->data, plain->len, (uint8_t *)cipher.data, tag);
        if (r < 0)
                return r;
        b64u_encode_to(iv_b64, iv, sizeof(iv));
        b64u_encode_to(tag_b64, tag, sizeof(tag));
        r = buffer_printf(out, SEALED_PROTECTED ".%s.", iv_b64);
        r = r < 0 ? r : b64u_encode(out, cipher.data, plain->len);
        return r < 0 ? r : buffer_printf(out, ".%s\n", tag_b64);
}

int sealed_seal(struct key *const *to, size_t n, const struct buffer *plain, struct buffer *out, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_MAX);
        bool fine = n >= 1 && n <= SEALED_RECIPIENTS_MAX;
        uint8_t cek[CEK_LEN];
        int r;

        for (size_t i = 0; fine && i < n; i++)
                for (size_t j = 0; j < i; j++)
                        fine = fine && strcmp(key_kid(to[i]), key_kid(to[j])) != 0;
        if (!fine)
                return error_fail(err, -EINVAL, WHAT ": is sealed to 1 to %d different keys", SEALED_RECIPIENTS_MAX);
        if (!padded_len_valid(plain->len))
                return error_fail(err, -EINVAL, WHAT ": its plaintext has %d or %d bytes", PADDED_SMALL, PADDED_LARGE);
        r = RAND_priv_bytes(cek, sizeof(cek)) == 1 ? 0 : -EIO;
        if (r == 0)
                r = append_shared(cek, plain, &text);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = append_line(to[i], cek, &text);
        wipe(cek, sizeof(cek));
        if (r == 0)
                r = buffer_append(out, text.data, text.len);
        return r < 0 ? error_fail(err, r, WHAT ": cannot be sealed: %s", strerror(-r)) : 0;
}
