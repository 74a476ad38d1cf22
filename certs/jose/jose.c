/*
 * What the forms of JOSE share: compact forms cut at their dots, protected headers, padding.
 *
 * Pure. It does not know which header members are right; that is the form's.
 */
#include "certs/jose/jose-internal.h"

#include <errno.h>
#include <string.h>

#include "base/core/secret.h"
#include "base/core/text.h"

int jose_split(const char *text, size_t n, struct part *parts, size_t count)
{
        const char *end = text + n;

        for (size_t i = 0; i < count; i++) {
                const char *dot = n > 0 ? memchr(text, '.', (size_t)(end - text)) : NULL;

                if ((dot != NULL) != (i + 1 < count))
                        return -EBADMSG;
                parts[i] = (struct part){text, (size_t)((dot ? dot : end) - text)};
                text = dot ? dot + 1 : end;
        }
        return 0;
}

void jose_header(struct json_reader *r, struct buffer *text, const struct part *b64, const char *what,
                 struct error *err)
{
        int code = b64u_decode(text, b64->text, b64->n);

        json_read_begin(r, code == 0 && text->data ? text->data : "", text->len, JSON_PLAIN, what,
                        code == 0 ? err : NULL);
        if (code == -EMSGSIZE)
                error_fail(err, -EBADMSG, "%s: is longer than %d bytes", what, JOSE_HEADER_MAX);
        else if (code < 0)
                error_fail(err, code, "%s: is not base64url", what);
}

bool padded_len_valid(size_t n)
{
        return n == PADDED_SMALL || n == PADDED_LARGE;
}

static int pad(struct buffer *out, const char *text, size_t n, size_t padded)
{
        int r;

        if (n > padded)
                return -EMSGSIZE;
        if ((r = buffer_reserve(out, padded)) < 0)
                return r;
        memcpy(out->data + out->len, text, n);
        memset(out->data + out->len + n, 0x20, padded - n);
        out->len += padded;
        out->data[out->len] = '\0';
        return 0;
}

int jose_pad(struct buffer *out, const char *text, size_t n, size_t padded)
{
        return padded_len_valid(padded) ? pad(out, text, n, padded) : -EINVAL;
}

int jose_answer_pad(struct buffer *out, const char *text, size_t n)
{
        size_t padded = PADDED_LARGE;

        while (padded < n && padded < ANSWER_PADDED_MAX)
                padded *= 2;
        return pad(out, text, n, padded);
}

static int unpadded(const char *bytes, size_t n, size_t *ret_len)
{
        size_t len = n;

        while (len > 0 && bytes[len - 1] == 0x20)
                len--;
        /* A blank inside the rest would be padding that is not at the end; base64url and dots hold none. */
        if (len == 0 || memchr(bytes, 0x20, len))
                return -EBADMSG;
        *ret_len = len;
        return 0;
}

int jose_unpadded(const char *bytes, size_t n, size_t *ret_len)
{
        return padded_len_valid(n) ? unpadded(bytes, n, ret_len) : -EBADMSG;
}

int jose_answer_unpadded(const char *bytes, size_t n, size_t *ret_len)
{
        const bool valid = n >= PADDED_LARGE && n <= ANSWER_PADDED_MAX && (n & (n - 1)) == 0;

        return valid ? unpadded(bytes, n, ret_len) : -EBADMSG;
}
