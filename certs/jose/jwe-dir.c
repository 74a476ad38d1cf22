/*
 * Verdicts and answers as JWE compact: alg "dir" with the one-use key of the request or question, A256GCM.
 *
 * Invariant: the header is one constant text when sealing and exactly its four members when opening. A key
 * seals one verdict, so the random IV never meets the same key twice.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "certs/jose/jose-internal.h"
#include "base/core/text.h"

#define HEADER(typ) "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"typ\":\"" typ "\",\"cty\":\"JWT\"}"

/* What is sealed so. */
static const struct kind {
        const char *what, *typ, *header;
        size_t max;
        bool secret; /* the plaintext goes into a secret buffer only */
} kinds[] = {
        [JWE_VERDICT] = {"verdict JWE", JOSE_TYP_VERDICT_JWE, HEADER(JOSE_TYP_VERDICT_JWE), JWE_MAX, true},
        [JWE_ANSWER] = {"answer JWE", JOSE_TYP_ANSWER_JWE, HEADER(JOSE_TYP_ANSWER_JWE), ANSWER_JWE_MAX, false},
};

static int append_part(struct buffer *out, const void *bytes, size_t n)
{
        int r = buffer_append_char(out, '.');

        return r < 0 ? r : b64u_encode(out, bytes, n);
}

int jwe_seal(enum jwe_kind which, const uint8_t key[32], const void *plain, size_t plain_len, struct buffer *out,
             struct error *err)
{
        const struct kind *kind = &kinds[which];
        _cleanup_(buffer_free) struct buffer text = BUFFER(kind->max), cipher = BUFFER(kind->max);
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        int r;

        if (plain_len == 0)
                return error_fail(err, -EINVAL, "%s: there is nothing to seal", kind->what);
        r = b64u_encode(&text, kind->header, strlen(kind->header));
        r = r < 0 ? r : buffer_reserve(&cipher, plain_len);
        if (r == 0 && RAND_bytes(iv, sizeof(iv)) != 1)
                r = -EIO;
        const struct crypto_gcm gcm = {key, iv, text.data, text.len};
        r = r < 0 ? r : crypto_gcm_seal(&gcm, plain, plain_len, (uint8_t *)cipher.data, tag);
        r = r < 0 ? r : buffer_append_char(&text, '.'); /* the encrypted key is empty */
        r = r < 0 ? r : append_part(&text, iv, sizeof(iv));
        r = r < 0 ? r : append_part(&text, cipher.data, plain_len);
        r = r < 0 ? r : append_part(&text, tag, sizeof(tag));
        r = r < 0 ? r : buffer_append(out, text.data, text.len);
        return r < 0 ? error_fail(err, r, "%s: cannot be sealed: %s", kind->what, strerror(-r)) : 0;
}

static int check_header(const struct kind *kind, const struct part *b64, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JOSE_HEADER_MAX);
        struct json_reader header;
        char what[32];

        (void)snprintf(what, sizeof(what), "%s header", kind->what);
        jose_header(&header, &text, b64, what, err);
        json_read_is(&header, "alg", "dir");
        json_read_is(&header, "enc", "A256GCM");
        json_read_is(&header, "typ", kind->typ);
        json_read_is(&header, "cty", "JWT");
        return json_read_end(&header, true);
}

int jwe_open(enum jwe_kind which, const uint8_t key[32], const char *text, size_t n, struct buffer *plain,
             struct error *err)
{
        const struct kind *kind = &kinds[which];
        _cleanup_(buffer_free) struct buffer cipher = BUFFER(kind->max);
        uint8_t iv[GCM_IV_LEN], tag[GCM_TAG_LEN];
        struct part part[5];
        int r;

        if (kind->secret && !plain->secret)
                return error_fail(err, -EINVAL, "%s: is opened into a secret buffer only", kind->what);
        if (n > kind->max)
                return error_fail(err, -EBADMSG, "%s: is longer than %zu bytes", kind->what, kind->max);
        if (jose_split(text, n, part, 5) < 0)
                return error_fail(err, -EBADMSG, "%s: is not five parts with dots between", kind->what);
        if ((r = check_header(kind, &part[0], err)) < 0)
                return r;
        if (part[1].n > 0)
                return error_fail(err, -EBADMSG, "%s: has an encrypted key, though its alg is dir", kind->what);
        if (b64u_decode_exact(iv, sizeof(iv), part[2].text, part[2].n) < 0)
                return error_fail(err, -EBADMSG, "%s: iv is not the base64url form of 12 bytes", kind->what);
        if (part[3].n == 0 || (r = b64u_decode(&cipher, part[3].text, part[3].n)) == -EBADMSG)
                return error_fail(err, -EBADMSG, "%s: ciphertext is empty or not base64url", kind->what);
        if (b64u_decode_exact(tag, sizeof(tag), part[4].text, part[4].n) < 0)
                return error_fail(err, -EBADMSG, "%s: tag is not the base64url form of 16 bytes", kind->what);
        if (r < 0 || (r = buffer_reserve(plain, cipher.len)) < 0)
                return error_fail(err, r, "%s: no room for the plaintext", kind->what);

        const struct crypto_gcm gcm = {key, iv, part[0].text, part[0].n};
        r = crypto_gcm_open(&gcm, cipher.data, cipher.len, tag, (uint8_t *)plain->data + plain->len);
        if (r == -EKEYREJECTED)
                return error_fail(err, r, "%s: does not decrypt with this key", kind->what);
        if (r < 0)
                return error_fail(err, r, "%s: cannot be opened: %s", kind->what, strerror(-r));
        plain->len += cipher.len;
        plain->data[plain->len] = '\0';
        return 0;
}
