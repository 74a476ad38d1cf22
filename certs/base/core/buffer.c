/*
 * A growing byte buffer with a maximum.
 *
 * Invariants: len <= max, len < cap whenever data is set, and data[len] is NUL. Bytes of a secret buffer only
 * ever live in OpenSSL's secure heap (or, where a program never set that up, in memory that is wiped before
 * it is freed); no block of a wiped buffer is left unwiped. It does not share, refer to or compare contents.
 */
#include "base/core/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/core/secret.h"

#define BUFFER_CAP_MIN 64

static void release(const struct buffer *b)
{
        if (b->secret)
                OPENSSL_secure_clear_free(b->data, b->cap);
        else if (b->wiped)
                OPENSSL_clear_free(b->data, b->cap);
        else
                free(b->data);
}

/* Makes room for n more bytes and the NUL behind them, doubling up to the maximum. */
static int grow(struct buffer *b, size_t n)
{
        if (n > b->max || b->len > b->max - n)
                return -EMSGSIZE;
        size_t need = b->len + n;
        if (need < b->cap)
                return 0;
        size_t cap = b->cap < BUFFER_CAP_MIN ? BUFFER_CAP_MIN : b->cap;
        while (cap <= need && cap <= b->max / 2)
                cap *= 2;
        if (cap <= need)
                cap = b->max + 1;
        char *data; /* the old block is wiped when secret or wiped */
        if (b->secret || b->wiped) {
                data = b->secret ? OPENSSL_secure_malloc(cap) : OPENSSL_malloc(cap);
                if (data && b->len > 0)
                        memcpy(data, b->data, b->len);
                if (data)
                        release(b);
        } else {
                data = realloc(b->data, cap);
        }
        if (!data)
                return -ENOMEM;
        b->data = data;
        b->cap = cap;
        return 0;
}

int buffer_reserve(struct buffer *b, size_t n)
{
        int r = grow(b, n);

        if (r < 0)
                return r;
        memset(b->data + b->len, 0, n + 1);
        return 0;
}

int buffer_append(struct buffer *b, const void *bytes, size_t n)
{
        if (n == 0)
                return 0;
        int r = grow(b, n);
        if (r < 0)
                return r;
        memcpy(b->data + b->len, bytes, n);
        b->len += n;
        b->data[b->len] = '\0';
        return 0;
}

int buffer_append_str(struct buffer *b, const char *s)
{
        return buffer_append(b, s, strlen(s));
}

int buffer_append_char(struct buffer *b, char c)
{
        return buffer_append(b, &c, 1);
}

/* Formats into the room that there is, and once more where that was too little. */
int buffer_printf(struct buffer *b, const char *fmt, ...)
{
        size_t room = b->cap - b->len;
        va_list ap;
        int r = 0;

        va_start(ap, fmt);
        int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n >= room) {
                r = grow(b, (size_t)n);
                va_start(ap, fmt);
                n = r < 0 ? n : vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
                va_end(ap);
        }
        if (n >= 0 && r == 0 && (size_t)n <= b->max - b->len) {
                b->len += (size_t)n;
                return 0;
        }
        if (b->cap > 0)
                b->data[b->len] = '\0';
        return n < 0 ? -EINVAL : r < 0 ? r : -EMSGSIZE;
}

void buffer_consume(struct buffer *b, size_t n)
{
        if (n >= b->len) {
                buffer_clear(b);
                return;
        }
        if (n == 0)
                return;
        size_t old = b->len;
        memmove(b->data, b->data + n, old - n);
        b->len = old - n;
        if (b->secret || b->wiped)
                wipe(b->data + b->len, n);
        b->data[b->len] = '\0';
}

void buffer_clear(struct buffer *b)
{
        if (!b->data)
                return;
        if (b->secret || b->wiped)
                wipe(b->data, b->cap);
        b->len = 0;
        b->data[0] = '\0';
}

void buffer_free(struct buffer *b)
{
        if (!b)
                return;
        if (b->data)
                release(b);
        b->data = NULL;
        b->len = 0;
        b->cap = 0;
}

char *buffer_steal(struct buffer *b)
{
        if (b->secret || b->wiped)
                return NULL;
        char *data = b->data;
        if (data && b->len == 0) {
                free(data);
                data = NULL;
        }
        b->data = NULL;
        b->len = 0;
        b->cap = 0;
        return data;
}
