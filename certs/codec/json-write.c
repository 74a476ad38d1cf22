/*
 * The writer: JSON straight into a buffer.
 *
 * Invariant: a text that json_write_end returned 0 for is UTF-8 and has its members in the order of the calls; after a
 * failure the buffer is as it was. A password goes from its slot into a secret buffer and nowhere else.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "certs/codec/json-internal.h"
#include "base/core/secret.h"
#include "base/core/text.h"

void json_write_begin(struct json_writer *w, struct buffer *out)
{
        *w = (struct json_writer){.out = out, .start = out->len};
}

static void put(struct json_writer *w, const char *bytes, size_t n)
{
        if (w->r == 0)
                w->r = buffer_append(w->out, bytes, n);
}

static void put_string(struct json_writer *w, const char *s, size_t n)
{
        uint32_t cp;

        put(w, "\"", 1);
        while (n > 0 && w->r == 0) {
                size_t len = json_plain_run(s, n);

                if (len == 0 && (unsigned char)*s >= 0x80) {
                        len = utf8_next(s, n, &cp);
                        w->r = len ? 0 : -EINVAL;
                }
                if (len > 0) {
                        put(w, s, len);
                } else if (*s == '"' || *s == '\\') {
                        put(w, (const char[]){'\\', *s}, 2);
                } else {
                        char text[7] = "\\u00";

                        hex_encode_to(text + 4, s, 1);
                        put(w, text, 6);
                }
                s += len ? len : 1;
                n -= len ? len : 1;
        }
        put(w, "\"", 1);
}

/* Writes the comma and the member's name that a value needs in front. */
static void put_key(struct json_writer *w, const char *key)
{
        if (w->comma)
                put(w, ",", 1);
        w->comma = true;
        if (!key)
                return;
        put_string(w, key, strlen(key));
        put(w, ":", 1);
}

void json_write_open(struct json_writer *w, const char *key, char bracket)
{
        put_key(w, key);
        put(w, &bracket, 1);
        w->comma = false;
}

void json_write_close(struct json_writer *w, char bracket)
{
        put(w, &bracket, 1);
        w->comma = true;
}

void json_write_bytes(struct json_writer *w, const char *key, const char *s, size_t n)
{
        put_key(w, key);
        put_string(w, s, n);
}

void json_write_str(struct json_writer *w, const char *key, const char *s)
{
        json_write_bytes(w, key, s, strlen(s));
}

void json_write_opt(struct json_writer *w, const char *key, const char *s)
{
        if (s && *s)
                json_write_str(w, key, s);
}

void json_write_int(struct json_writer *w, const char *key, int64_t value)
{
        put_key(w, key);
        if (w->r == 0)
                w->r = buffer_printf(w->out, "%" PRId64, value);
}

void json_write_bool(struct json_writer *w, const char *key, bool value)
{
        json_write_raw(w, key, value ? "true" : "false", value ? 4 : 5);
}

void json_write_fraction(struct json_writer *w, const char *key, double value)
{
        put_key(w, key);
        if (w->r == 0)
                w->r = buffer_printf(w->out, "%.3f", value);
}

void json_write_strings(struct json_writer *w, const char *key, char *const *strings, size_t n)
{
        json_write_open(w, key, '[');
        for (size_t i = 0; i < n; i++)
                json_write_str(w, NULL, strings[i]);
        json_write_close(w, ']');
}

void json_write_lines(struct json_writer *w, const char *key, const char *lines)
{
        if (!lines || !*lines)
                return;
        json_write_open(w, key, '[');
        for (size_t n; *lines; lines += n + (lines[n] == '\n')) {
                n = strcspn(lines, "\n");
                json_write_bytes(w, NULL, lines, n);
        }
        json_write_close(w, ']');
}

void json_write_raw(struct json_writer *w, const char *key, const char *json, size_t n)
{
        put_key(w, key);
        put(w, json, n);
}

int json_write_end(struct json_writer *w)
{
        if (w->r == 0 || w->out->len <= w->start)
                return w->r;
        wipe(w->out->data + w->start, w->out->len - w->start);
        w->out->len = w->start;
        return w->r;
}
