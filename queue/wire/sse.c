/*
 * The SSE parser (WHATWG HTML, "Interpreting an event stream"), by lines.
 *
 * Invariant: between calls at most one unfinished line and one unfinished event are held, each within
 * data_max. It does not know what the events mean.
 */
#include "queue/wire/sse.h"

#include <errno.h>
#include <string.h>

#include "base/core/text.h"

#define FIELD_MAX 16 /* room in a line for "data: " and the like */

void sse_init(struct sse *s, size_t data_max)
{
        *s = (struct sse){.line = BUFFER(data_max + FIELD_MAX), .data = BUFFER(data_max)};
}

void sse_clear(struct sse *s)
{
        buffer_free(&s->line);
        buffer_free(&s->data);
        s->failed = true;
}

struct sink {
        sse_event_fn *fn;
        void *arg;
        struct error *err;
};

/* A blank line: hands the event over and begins a new one. */
static int dispatch(struct sse *s, const struct sink *sink)
{
        char event[SSE_NAME_MAX + 1];
        int r = 0;

        memcpy(event, s->event[0] ? s->event : "message", s->event[0] ? strlen(s->event) + 1 : sizeof("message"));
        s->event[0] = '\0';
        if (!s->has_data)
                return 0;
        s->has_data = false;
        if (s->data.len > 0)
                r = sink->fn(sink->arg, event, s->data.data, s->data.len);
        buffer_clear(&s->data);
        return r;
}

static int add_data(struct sse *s, const char *value, size_t n, struct error *err)
{
        int r = 0;

        if (s->has_data)
                r = buffer_append_char(&s->data, '\n');
        s->has_data = true;
        r = r < 0 ? r : buffer_append(&s->data, value, n);
        return r < 0 ? error_fail(err, r, "stream: an event is too long") : 0;
}

static int take_line(struct sse *s, const char *line, size_t n, const struct sink *sink)
{
        const char *colon = n ? memchr(line, ':', n) : NULL;
        size_t name_len = colon ? (size_t)(colon - line) : n;
        const char *value = line + name_len + (colon ? 1 : 0);
        size_t value_len = n - name_len - (colon ? 1 : 0);

        if (n == 0)
                return dispatch(s, sink);
        if (memchr(line, '\0', n) || !utf8_valid(line, n))
                return error_fail(sink->err, -EBADMSG, "stream: a line with a NUL or broken UTF-8");
        if (value_len > 0 && value[0] == ' ') {
                value++;
                value_len--;
        }
        if (name_len == 4 && memcmp(line, "data", 4) == 0)
                return add_data(s, value, value_len, sink->err);
        if (name_len != 5 || memcmp(line, "event", 5) != 0)
                return 0;
        if (value_len > SSE_NAME_MAX)
                return error_fail(sink->err, -EBADMSG, "stream: an event's name is too long");
        memcpy(s->event, value, value_len);
        s->event[value_len] = '\0';
        return 0;
}

/* Ends the line that is being gathered; piece is its last part. */
static int end_line(struct sse *s, const char *piece, size_t n, const struct sink *sink)
{
        int r;

        if (s->line.len == 0 && n <= s->line.max)
                return take_line(s, piece, n, sink);
        r = buffer_append(&s->line, piece, n);
        if (r < 0)
                return error_fail(sink->err, r, "stream: a line is too long");
        r = take_line(s, s->line.data, s->line.len, sink);
        buffer_clear(&s->line);
        return r;
}

static int feed(struct sse *s, const char *bytes, size_t n, const struct sink *sink)
{
        while (n > 0) {
                const char *lf, *cr;
                size_t len;
                int r;

                if (s->after_cr && bytes[0] == '\n') {
                        s->after_cr = false;
                        bytes++;
                        n--;
                        continue;
                }
                s->after_cr = false;
                lf = memchr(bytes, '\n', n);
                cr = memchr(bytes, '\r', lf ? (size_t)(lf - bytes) : n);
                len = cr ? (size_t)(cr - bytes) : lf ? (size_t)(lf - bytes) : n; /* in front of the first of them */
                if (len == n) {
                        r = buffer_append(&s->line, bytes, n);
                        return r < 0 ? error_fail(sink->err, r, "stream: a line is too long") : 0;
                }
                s->after_cr = bytes[len] == '\r';
                r = end_line(s, bytes, len, sink);
                if (r != 0)
                        return r;
                bytes += len + 1;
                n -= len + 1;
        }
        return 0;
}

int sse_feed(struct sse *s, const char *bytes, size_t n, sse_event_fn *fn, void *arg, struct error *err)
{
        const struct sink sink = {fn, arg, err};
        int r;

        if (s->failed)
                return error_fail(err, -EBADMSG, "stream: already broken");
        r = feed(s, bytes, n, &sink);
        if (r != 0)
                s->failed = true;
        return r;
}
