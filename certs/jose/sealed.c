/*
 * The form of sealed requests, and their opening.
 *
 * Invariant: a struct sealed has exactly the lengths and characters of PROTOCOL.md, the one protected header, and no
 * kid twice; so cutting is arithmetic, and opening has nothing left to negotiate. Shared secret, KEK and CEK are wiped
 * before a function returns; plaintext exists only in the caller's secret buffer. Sealing is sealed-seal.c's.
 */
#include "certs/jose/sealed.h"

#include <errno.h>
#include <string.h>

#include "certs/jose/jose-internal.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define WHAT "sealed request"
#define FOUR "AQgw"            /* last characters whose four lower bits are unused and 0 */
#define TWO "AEIMQUYcgkosw048" /* the same of two */

_Static_assert(sizeof(SEALED_PROTECTED) - 1 == 76, "SEALED_SHARED_LEN counts it");

/* ---- the form ---- */

/* One part of a line: the base64url form of so many bytes, and the character behind it. */
struct field {
        const char *name;
        size_t bytes;
        char end;
};

/* Goes through the fields of one line, which has the right length. Each must be spelt in the one way that its bytes
 * have: unused bits of the last character are 0. */
static int check_line(const char *line, const struct field *fields, size_t n, struct error *err)
{
        for (size_t i = 0; i < n; i++) {
                const size_t len = B64U_LEN(fields[i].bytes), rest = fields[i].bytes % 3;

                if (!b64u_only(line, len, '-') || (rest && !strchr(rest == 1 ? FOUR : TWO, line[len - 1])) ||
                    line[len] != fields[i].end)
                        return error_fail(err, -EBADMSG, WHAT ": %s is not the base64url form of %zu bytes",
                                          fields[i].name, fields[i].bytes);
                line += len + 1;
        }
        return 0;
}

static int check_recipient(const struct sealed *s, size_t i, struct error *err)
{
        static const struct field fields[] = {
                {"kid", 32, '.'}, {"epk_x", 32, '.'}, {"epk_y", 32, '.'}, {"encrypted_key", WRAPPED_LEN, '\n'}};
        int r = check_line(sealed_line(s, i), fields, 4, err);

        for (size_t j = 0; r == 0 && j < i; j++)
                if (memcmp(sealed_line(s, i), sealed_line(s, j), KID_LEN) == 0)
                        return error_fail(err, -EBADMSG, WHAT ": kid of recipient %zu is that of recipient %zu, too", i,
                                          j);
        return r < 0 ? error_prefix(err, r, "recipient %zu", i) : 0;
}

/* The class and the number of recipients that make up n characters. */
static int measure(struct sealed *s, size_t n)
{
        static const size_t classes[] = {PADDED_SMALL, PADDED_LARGE};

        for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
                for (size_t k = 1; k <= SEALED_RECIPIENTS_MAX; k++) {
                        if (n != SEALED_LEN(classes[i], k))
                                continue;
                        s->padded = classes[i];
                        s->n = k;
                        return 0;
                }
        }
        return -EBADMSG;
}

int sealed_read(struct sealed *ret_s, const char *text, size_t n, struct error *err)
{
        const size_t head = sizeof(SEALED_PROTECTED) - 1;
        struct sealed s = {.text = text};
        int r;

        if (measure(&s, n) < 0)
                return error_fail(err, -EBADMSG,
                                  WHAT
                                  ": its length is not that of 1 to %d recipients and a plaintext of %d or %d bytes",
                                  SEALED_RECIPIENTS_MAX, PADDED_SMALL, PADDED_LARGE);
        if (memcmp(text, SEALED_PROTECTED ".", head + 1) != 0)
                return error_fail(err, -EBADMSG, WHAT ": does not begin with the one protected header");
        const struct field shared[] = {
                {"iv", GCM_IV_LEN, '.'}, {"ciphertext", s.padded, '.'}, {"tag", GCM_TAG_LEN, '\n'}};
        r = check_line(text + head + 1, shared, 3, err);
        for (size_t i = 0; r == 0 && i < s.n; i++)
                r = check_recipient(&s, i, err);
        if (r == 0)
                *ret_s = s;
        return r;
}

const char *sealed_line(const struct sealed *s, size_t i)
{
        return s->text + SEALED_LEN(s->padded, i);
}

void sealed_kid(const struct sealed *s, size_t i, char ret_kid[KID_LEN + 1])
{
        memcpy(ret_kid, sealed_line(s, i), KID_LEN);
        ret_kid[KID_LEN] = '\0';
}

int sealed_share(const struct sealed *s, size_t i, struct buffer *out)
{
        int r = i < s->n ? buffer_append(out, s->text, SEALED_SHARED_LEN(s->padded) + 1) : -EINVAL;

        return r < 0 ? r : buffer_append(out, sealed_line(s, i), SEALED_LINE_LEN + 1);
}

/* ---- opening ---- */

/* ECDH-ES+A256KW backwards: the content key of one recipient. */
static int unwrap_cek(const char *line, const struct key *key, uint8_t cek[CEK_LEN])
{
        static const struct crypto_kdf kdf = {"ECDH-ES+A256KW", NULL, NULL, 256};
        uint8_t xy[P256_POINT_LEN], wrapped[WRAPPED_LEN], z[32], kek[32];
        EVP_PKEY *epk = NULL;
        int r = b64u_decode_exact(xy, 32, line + 44, 43);

        r = r < 0 ? r : b64u_decode_exact(xy + 32, 32, line + 88, 43);
        r = r < 0 ? r : b64u_decode_exact(wrapped, sizeof(wrapped), line + 132, 54);
        r = r < 0 ? r : crypto_point_import(&epk, xy);
        if (r < 0)
                return r;
        r = crypto_ecdh(z, key_evp(key), epk);
        if (r == 0)
                r = crypto_concat_kdf(kek, z, &kdf);
        if (r == 0)
                r = crypto_unwrap(cek, kek, wrapped);
        EVP_PKEY_free(epk);
        wipe(z, sizeof(z));
        wipe(kek, sizeof(kek));
        return r;
}

/* The shared line's iv, ciphertext and tag, decrypted into plain, which has the room. */
static int open_shared(const struct sealed *s, const uint8_t cek[CEK_LEN], struct buffer *plain)
{
        _cleanup_(buffer_free) struct buffer cipher = BUFFER(PADDED_LARGE);
        const size_t head = sizeof(SEALED_PROTECTED) - 1;
        const char *iv_text = s->text + head + 1, *cipher_text = iv_text + B64U_LEN(GCM_IV_LEN) + 1;
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        const struct crypto_gcm gcm = {cek, iv, s->text, head};
        int r = b64u_decode_exact(iv, sizeof(iv), iv_text, B64U_LEN(GCM_IV_LEN));

        r = r < 0 ? r : b64u_decode(&cipher, cipher_text, B64U_LEN(s->padded));
        r = r < 0 ? r
                  : b64u_decode_exact(tag, sizeof(tag), cipher_text + B64U_LEN(s->padded) + 1, B64U_LEN(GCM_TAG_LEN));
        return r < 0 ? r : crypto_gcm_open(&gcm, cipher.data, cipher.len, tag, (uint8_t *)plain->data + plain->len);
}

int sealed_open(const struct sealed *s, size_t i, const struct key *key, struct buffer *plain, struct error *err)
{
        uint8_t cek[CEK_LEN];
        int r;

        if (i >= s->n || !plain->secret || !key_has_private(key))
                return error_fail(err, -EINVAL, WHAT ": opened with a wrong index, a public key or a plain buffer");
        if (memcmp(sealed_line(s, i), key_kid(key), KID_LEN) != 0)
                return error_fail(err, -EKEYREJECTED, WHAT ": kid of recipient %zu names another key", i);
        if ((r = buffer_reserve(plain, s->padded)) < 0)
                return error_fail(err, r, WHAT ": no room for the plaintext");
        r = unwrap_cek(sealed_line(s, i), key, cek);
        if (r == 0)
                r = open_shared(s, cek, plain);
        wipe(cek, sizeof(cek));
        /* one text for every way in which a key can be the wrong one: an attacker learns nothing from it */
        if (r == -EKEYREJECTED)
                return error_fail(err, r, WHAT ": does not decrypt with this key");
        if (r == -EBADMSG)
                return error_fail(err, r, WHAT ": epk is not a point on P-256");
        if (r < 0)
                return error_fail(err, r, WHAT ": cannot be opened: %s", strerror(-r));
        plain->len += s->padded;
        plain->data[plain->len] = '\0';
        return 0;
}
