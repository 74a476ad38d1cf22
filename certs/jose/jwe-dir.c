/*
 * Verdicts as JWE compact: alg "dir" with the one-use key of the request, A256GCM.
 *
 * Invariant: the header is one constant text when sealing and exactly its four members when opening. A key
 * seals one verdict, so the random IV never meets the same key twice.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "certs/jose/jose-internal.h"
#include "base/core/text.h"

#define WHAT "verdict JWE"
#define HEADER "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"typ\":\"" JOSE_TYP_VERDICT_JWE "\",\"cty\":\"JWT\"}"

static int append_part(struct buffer *out, const void *bytes, size_t n)
{
        int r = buffer_append_char(out, '.');

        return r < 0 ? r : b64u_encode(out, bytes, n);
}

static int build(const uint8_t key[32], const struct part *plain, struct buffer *text)
{
        _cleanup_(buffer_free) struct buffer cipher = BUFFER(JWE_MAX);
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        int r;

        if ((r = b64u_encode(text, HEADER, sizeof(HEADER) - 1)) < 0 || (r = buffer_reserve(&cipher, plain->n)) < 0)
                return r;
        if (RAND_bytes(iv, sizeof(iv)) != 1)
                return -EIO;
        const struct crypto_gcm gcm = {key, iv, text->data, text->len};
        if ((r = crypto_gcm_seal(&gcm, plain->text, plain->n, (uint8_t *)cipher.data, tag)) < 0 ||
            (r = buffer_append_char(text, '.')) < 0 || (r = append_part(text, iv, sizeof(iv))) < 0 ||
            (r = append_part(text, cipher.data, plain->n)) < 0)
                return r;
        return append_part(text, tag, sizeof(tag));
}

int jwe_dir_seal(const uint8_t key[32], const void *plain, size_t plain_len, struct buffer *out, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JWE_MAX);
        const struct part part = {plain, plain_len};
        int r;

        if (plain_len == 0)
                return error_fail(err, -EINVAL, WHAT ": there is nothing to seal");
        if ((r = build(key, &part, &text)) == 0)
                r = buffer_append(out, text.data, text.len);
        return r < 0 ? error_fail(err, r, WHAT ": cannot be sealed: %s", strerror(-r)) : 0;
}

static int check_header(const struct part *b64, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JOSE_HEADER_MAX);
        struct json_reader header;

        jose_header(&header, &text, b64, WHAT " header", err);
        json_read_is(&header, "alg", "dir");
        json_read_is(&header, "enc", "A256GCM");
        json_read_is(&header, "typ", JOSE_TYP_VERDICT_JWE);
        json_read_is(&header, "cty", "JWT");
        return json_read_end(&header, true);
}

int jwe_dir_open(const uint8_t key[32], const char *text, size_t n, struct buffer *plain, struct error *err)
{
        _cleanup_(buffer_free) struct buffer cipher = BUFFER(JWE_MAX);
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        struct part part[5];
        int r;

        if (!plain->secret)
                return error_fail(err, -EINVAL, WHAT ": is opened into a secret buffer only");
        if (n > JWE_MAX)
                return error_fail(err, -EBADMSG, WHAT ": is longer than %d bytes", JWE_MAX);
        if (jose_split(text, n, part, 5) < 0)
                return error_fail(err, -EBADMSG, WHAT ": is not five parts with dots between");
        if ((r = check_header(&part[0], err)) < 0)
                return r;
        if (part[1].n > 0)
                return error_fail(err, -EBADMSG, WHAT ": has an encrypted key, though its alg is dir");
        if (b64u_decode_exact(iv, sizeof(iv), part[2].text, part[2].n) < 0)
                return error_fail(err, -EBADMSG, WHAT ": iv is not the base64url form of 12 bytes");
        if (part[3].n == 0 || (r = b64u_decode(&cipher, part[3].text, part[3].n)) == -EBADMSG)
                return error_fail(err, -EBADMSG, WHAT ": ciphertext is empty or not base64url");
        if (b64u_decode_exact(tag, sizeof(tag), part[4].text, part[4].n) < 0)
                return error_fail(err, -EBADMSG, WHAT ": tag is not the base64url form of 16 bytes");
        if (r < 0 || (r = buffer_reserve(plain, cipher.len)) < 0)
                return error_fail(err, r, WHAT ": no room for the plaintext");

        const struct crypto_gcm gcm = {key, iv, part[0].text, part[0].n};
        r = crypto_gcm_open(&gcm, cipher.data, cipher.len, tag, (uint8_t *)plain->data + plain->len);
        if (r == -EKEYREJECTED)
                return error_fail(err, r, WHAT ": does not decrypt with this key");
        if (r < 0)
                return error_fail(err, r, WHAT ": cannot be opened: %s", strerror(-r));
        plain->len += cipher.len;
        plain->data[plain->len] = '\0';
        return 0;
}
