/*
 * Server-sent events: bytes in, events out. No descriptor, no clock.
 *
 * Understands the fields event and data; ignores id, retry, comments and unknown fields. Everything is bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/core/buffer.h"
#include "base/core/error.h"

#define SSE_NAME_MAX 32

struct sse {
        struct buffer line, data;
        char event[SSE_NAME_MAX + 1];
        bool has_data, after_cr, failed;
};

/* data_max bounds the data of one event, and one line. */
void sse_init(struct sse *s, size_t data_max);
void sse_clear(struct sse *s);

/* One event: its name ("message" where none was given) and data, NUL-terminated behind n. Not 0: stop, feed returns it.
 */
typedef int sse_event_fn(void *arg, const char *event, const char *data, size_t n);
/*
 * Takes the next bytes of the stream, however they are cut, and calls fn for each event that is complete. 0; -EMSGSIZE
 * (over the limit), -EBADMSG (NUL, not UTF-8, an event name that is too long), -ENOMEM: the stream is then useless,
 * further calls fail as well.
 */
int sse_feed(struct sse *s, const char *bytes, size_t n, sse_event_fn *fn, void *arg, struct error *err);
