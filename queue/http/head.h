/*
 * The head of one HTTP/1.1 request, read strictly. Pure: bytes in, struct out.
 *
 * Stricter than RFC 9112 where nothing that we serve needs the freedom: CRLF only, origin-form targets
 * without percent escapes, no folded lines, no repeated framing or identity headers, a body only with
 * Content-Length.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"

#define HTTP_HEAD_MAX 8192
#define HTTP_PATH_MAX 512
#define HTTP_QUERY_MAX 512
#define HTTP_FIELDS_MAX 64

enum http_method { HTTP_GET = 1, HTTP_POST, HTTP_PUT };

/* Where a header stands in the head: its name, and its value without blanks around it. A byte follows each
 * value. */
struct http_field {
        uint16_t name, n_name, value, n_value;
};

struct http_head {
        enum http_method method;
        char path[HTTP_PATH_MAX + 1];
        char query[HTTP_QUERY_MAX + 1]; /* "" where absent */
        size_t length;                  /* bytes up to and with the empty line */
        uint64_t content_length;
        bool expects_continue, closes; /* the client waits for 100; it wants no further request on this connection */
        unsigned n_fields;
        struct http_field field[HTTP_FIELDS_MAX];
};

/* More bytes are needed. */
#define HTTP_HEAD_MORE 1

/*
 * 0 or HTTP_HEAD_MORE; -EMSGSIZE no end within HTTP_HEAD_MAX, -EOPNOTSUPP a method other than GET, POST, PUT,
 * -ENODATA a body without Content-Length (411), -EBADMSG anything else; err says what.
 */
int http_head_parse(struct http_head *ret_head, const char *bytes, size_t n, struct error *err);
/* The first field of this name (any case) in the head that bytes begin with, or the last: what the nearest of several
 * proxies added. NULL: there is none. */
const struct http_field *http_head_field(const struct http_head *head, const char *bytes, const char *name, bool last);

#define HTTP_PARTS_MAX 3
#define HTTP_PART_MAX 64
/* Parts of a path that a pattern names by {}. */
struct http_parts {
        char part[HTTP_PARTS_MAX][HTTP_PART_MAX + 1];
};
/* Whether path has the pattern's shape, each {} one segment of 1..HTTP_PART_MAX bytes of [A-Za-z0-9._-]. */
bool http_path_match(const char *pattern, const char *path, struct http_parts *ret_parts);
/* The value of name in a query a=b&c=d; -ENOENT, -EMSGSIZE. No escapes exist here. */
int http_query_get(const char *query, const char *name, char *out, size_t cap);
