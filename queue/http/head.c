/*
 * The gate in front of evhttp: takes the head of a request apart and refuses whatever is not plain HTTP/1.1.
 *
 * Invariant: when it says 0, evhttp's own parser reads the same method, target and length from these bytes,
 * so that evhttp never answers on its own and both agree where the body ends. Owns nothing; keeps no header
 * but those that frame the message (evhttp hands out the others).
 */
#include "queue/http/head.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/core/text.h"

/* The largest Content-Length that is understood at all; the limit of each path is the caller's. */
#define LENGTH_TEXT_MAX 10

static bool is_token_char(char c)
{
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
                return true;
        return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_segment_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("-._~", c) != NULL);
}

static bool is_query_char(char c)
{
        return is_segment_char(c) || c == '=' || c == '&';
}

/* Copies the n bytes that all satisfy ok (or are extra) into out. */
static int copy_checked(char *out, size_t cap, const char *bytes, size_t n, bool (*ok)(char), char extra)
{
        if (n >= cap)
                return -EMSGSIZE;
        for (size_t i = 0; i < n; i++) {
                if (!ok(bytes[i]) && bytes[i] != extra)
                        return -EBADMSG;
                out[i] = bytes[i];
        }
        out[n] = '\0';
        return 0;
}

static int parse_method(struct http_head *head, const char *s, size_t n, struct error *err)
{
        static const struct {
                const char *name;
                enum http_method method;
        } methods[] = {{"GET", HTTP_GET}, {"POST", HTTP_POST}, {"PUT", HTTP_PUT}};

        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
                if (strlen(methods[i].name) == n && memcmp(methods[i].name, s, n) == 0) {
                        head->method = methods[i].method;
                        return 0;
                }
        }
        for (size_t i = 0; i < n; i++) {
                if (!is_token_char(s[i]))
                        return error_fail(err, -EBADMSG, "the request line is malformed");
        }
        return error_fail(err, -EOPNOTSUPP, "only GET, POST and PUT are served");
}

static int parse_target(struct http_head *head, const char *s, size_t n, struct error *err)
{
        const char *question = memchr(s, '?', n);
        size_t n_path = question ? (size_t)(question - s) : n;
        size_t n_query = question ? n - n_path - 1 : 0;

        if (n == 0 || s[0] != '/' || (n > 1 && s[1] == '/'))
                return error_fail(err, -EBADMSG, "the request target must be a path");
        if (copy_checked(head->path, sizeof(head->path), s, n_path, is_segment_char, '/') < 0 ||
            copy_checked(head->query, sizeof(head->query), question ? question + 1 : "", n_query, is_query_char, '=') <
                    0)
                return error_fail(err, -EBADMSG,
                                  "the request target is too long or holds characters that no path here has");
        return 0;
}

/* METHOD SP target SP HTTP/1.1 */
static int parse_request_line(struct http_head *head, const char *s, size_t n, struct error *err)
{
        static const char version[] = "HTTP/1.1";
        const char *sp1 = memchr(s, ' ', n);
        const char *sp2 = sp1 ? memchr(sp1 + 1, ' ', n - (size_t)(sp1 + 1 - s)) : NULL;

        if (!sp2 || sp1 == s)
                return error_fail(err, -EBADMSG, "the request line is malformed");
        size_t n_version = n - (size_t)(sp2 + 1 - s);
        if (n_version != sizeof(version) - 1 || memcmp(sp2 + 1, version, n_version) != 0)
                return error_fail(err, -EBADMSG, "the request is not HTTP/1.1");
        int r = parse_method(head, s, (size_t)(sp1 - s), err);
        if (r < 0)
                return r;
        return parse_target(head, sp1 + 1, (size_t)(sp2 - sp1 - 1), err);
}

/* Headers that decide framing or identity: each at most once. */
static const char *const single_fields[] = {"Host",        "Content-Length", "Content-Type",   "Authorization",
                                            "Expect",      "Postern-Id",     "Postern-Budget", "Connection",
                                            "traceparent", "If-None-Match"};
enum { FIELD_HOST = 0, FIELD_LENGTH = 1, FIELD_EXPECT = 4 };
#define N_SINGLE (sizeof(single_fields) / sizeof(single_fields[0]))

static bool field_is(const char *name, size_t n, const char *expected)
{
        return strlen(expected) == n && strncasecmp(name, expected, n) == 0;
}

static int parse_length(struct http_head *head, const char *s, size_t n, struct error *err)
{
        char text[LENGTH_TEXT_MAX + 1];

        if (n == 0 || n > LENGTH_TEXT_MAX)
                return error_fail(err, -EBADMSG, "Content-Length is malformed");
        memcpy(text, s, n);
        text[n] = '\0';
        if (text_parse_u64(text, 0, UINT32_MAX, &head->content_length) < 0)
                return error_fail(err, -EBADMSG, "Content-Length is malformed");
        return 0;
}

/* One of the single_fields; seen is a bit per field. */
static int take_single(struct http_head *head, size_t which, unsigned *seen, const char *value, size_t n,
                       struct error *err)
{
        if (*seen & (1U << which))
                return error_fail(err, -EBADMSG, "header %s stands twice", single_fields[which]);
        *seen |= 1U << which;
        if (which == FIELD_LENGTH)
                return parse_length(head, value, n, err);
        if (which == FIELD_EXPECT && !field_is(value, n, "100-continue"))
                return error_fail(err, -EBADMSG, "Expect may only be 100-continue");
        return 0;
}

static bool value_valid(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if ((unsigned char)s[i] < 0x20 && s[i] != '\t')
                        return false;
                if (s[i] == 0x7f)
                        return false;
        }
        return true;
}

/* name ":" value */
static int parse_field(struct http_head *head, const char *s, size_t n, unsigned *seen, struct error *err)
{
        const char *colon = memchr(s, ':', n);
        size_t n_name = colon ? (size_t)(colon - s) : 0;

        if (n_name == 0)
                return error_fail(err, -EBADMSG, "a header line has no name");
        for (size_t i = 0; i < n_name; i++) {
                if (!is_token_char(s[i]))
                        return error_fail(err, -EBADMSG, "a header name is malformed");
        }
        const char *value = colon + 1;
        size_t n_value = n - n_name - 1;
        while (n_value && (*value == ' ' || *value == '\t'))
                value++, n_value--;
        while (n_value && (value[n_value - 1] == ' ' || value[n_value - 1] == '\t'))
                n_value--;
        if (!value_valid(value, n_value))
                return error_fail(err, -EBADMSG, "a header value holds control characters");
        if (field_is(s, n_name, "Transfer-Encoding"))
                return error_fail(err, -ENODATA, "a body needs Content-Length; transfer codings are not taken");
        for (size_t i = 0; i < N_SINGLE; i++) {
                if (field_is(s, n_name, single_fields[i]))
                        return take_single(head, i, seen, value, n_value, err);
        }
        return 0;
}

/* The lines behind the request line; each ends in CRLF, the last is empty. */
static int parse_fields(struct http_head *head, const char *s, size_t n, struct error *err)
{
        unsigned seen = 0, count = 0;

        while (n > 2) {
                const char *end = memmem(s, n, "\r\n", 2);
                size_t line = end ? (size_t)(end - s) : n - 2;
                if (++count > HTTP_FIELDS_MAX)
                        return error_fail(err, -EMSGSIZE, "more than %d headers", HTTP_FIELDS_MAX);
                int r = parse_field(head, s, line, &seen, err);
                if (r < 0)
                        return r;
                s += line + 2;
                n -= line + 2;
        }
        if (!(seen & (1U << FIELD_HOST)))
                return error_fail(err, -EBADMSG, "header Host is missing");
        if (head->method == HTTP_GET && head->content_length > 0)
                return error_fail(err, -EBADMSG, "a GET has no body");
        if (head->method != HTTP_GET && !(seen & (1U << FIELD_LENGTH)))
                return error_fail(err, -ENODATA, "Content-Length is missing");
        return 0;
}

/* Every CR is followed by LF, every LF preceded by CR, and there is no NUL. */
static bool lines_clean(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (s[i] == '\0' || (s[i] == '\r' && (i + 1 >= n || s[i + 1] != '\n')) ||
                    (s[i] == '\n' && (i == 0 || s[i - 1] != '\r')))
                        return false;
        }
        return true;
}

int http_head_parse(struct http_head *ret_head, const char *bytes, size_t n, struct error *err)
{
        size_t seen = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX;
        const char *end = memmem(bytes, seen, "\r\n\r\n", 4);
        struct http_head head = {.length = 0};

        if (!end) {
                if (n >= HTTP_HEAD_MAX)
                        return error_fail(err, -EMSGSIZE, "the headers are longer than %d bytes", HTTP_HEAD_MAX);
                return HTTP_HEAD_MORE;
        }
        head.length = (size_t)(end - bytes) + 4;
        if (!lines_clean(bytes, head.length))
                return error_fail(err, -EBADMSG, "the headers hold a bare CR, a bare LF or a NUL");
        const char *first = memmem(bytes, head.length, "\r\n", 2);
        if (!first)
                return error_fail(err, -EBADMSG, "the request line is malformed");
        size_t line = (size_t)(first - bytes);
        int r = parse_request_line(&head, bytes, line, err);
        if (r == 0)
                r = parse_fields(&head, first + 2, head.length - line - 2, err);
        if (r == 0)
                *ret_head = head;
        return r;
}

bool http_path_match(const char *pattern, const char *path, struct http_parts *ret_parts)
{
        size_t part = 0;

        while (*pattern) {
                if (pattern[0] != '{') {
                        if (*pattern++ != *path++)
                                return false;
                        continue;
                }
                size_t n = strcspn(path, "/");
                if (n == 0 || n > HTTP_PART_MAX || part == HTTP_PARTS_MAX)
                        return false;
                memcpy(ret_parts->part[part], path, n);
                ret_parts->part[part++][n] = '\0';
                path += n;
                pattern += 2;
        }
        return *path == '\0';
}

int http_query_get(const char *query, const char *name, char *out, size_t cap)
{
        size_t n_name = strlen(name);

        while (*query) {
                size_t n = strcspn(query, "&");
                if (n > n_name && query[n_name] == '=' && strncmp(query, name, n_name) == 0) {
                        if (n - n_name - 1 >= cap)
                                return -EMSGSIZE;
                        memcpy(out, query + n_name + 1, n - n_name - 1);
                        out[n - n_name - 1] = '\0';
                        return 0;
                }
                query += n + (query[n] == '&');
        }
        return -ENOENT;
}
