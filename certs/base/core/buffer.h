/*
 * A growing byte buffer that cannot be made without a maximum.
 *
 * Reaching the maximum is a normal outcome (-EMSGSIZE), not a crash. data is NUL-terminated behind len when len > 0
 * (the NUL is not counted). A buffer marked secret lives in OpenSSL's secure heap and is wiped on growth and free. One
 * marked wiped is wiped in the same way, but lives in ordinary memory: for what strangers decide how much there is of.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
        char *data;
        size_t len;
        size_t cap;
        size_t max;
        bool secret, wiped;
};

#define BUFFER(max_bytes) ((struct buffer){NULL, 0, 0, (max_bytes), false, false})
#define BUFFER_SECRET(max_bytes) ((struct buffer){NULL, 0, 0, (max_bytes), true, false})
#define BUFFER_WIPED(max_bytes) ((struct buffer){NULL, 0, 0, (max_bytes), false, true})

/* 0, -EMSGSIZE (would pass max; nothing appended), -ENOMEM. */
int buffer_append(struct buffer *b, const void *bytes, size_t n);
int buffer_append_str(struct buffer *b, const char *s);
int buffer_append_char(struct buffer *b, char c);
int buffer_printf(struct buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for n more bytes at data + len; the caller writes them and adds to len. */
int buffer_reserve(struct buffer *b, size_t n);
/* Drops the first n bytes. */
void buffer_consume(struct buffer *b, size_t n);
void buffer_clear(struct buffer *b);
/* Frees (wiping when secret or wiped) and leaves an empty buffer of the same maximum. For _cleanup_ too. */
void buffer_free(struct buffer *b);
/* Hands the NUL-terminated bytes (malloc) to the caller and empties the buffer. Not for secret or
 * wiped buffers. NULL if empty. */
char *buffer_steal(struct buffer *b);
