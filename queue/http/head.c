/*
 * The strict reader of request heads: RFC 9112 without its leniencies, for each of them is where two readers
 * of one stream of bytes come to differ about where a request ends (request smuggling).
 *
 * Invariant: when it says 0, method, target and length of the body are known and nobody could read them
 * otherwise. Owns nothing; headers are places in the caller's bytes.
 */
#include "queue/http/head.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/core/text.h"

/* The longest Content-Length that is understood at all; the limit of each path is the caller's. */
#define LENGTH_TEXT_MAX 10

/* Beside letters and digits: RFC 9110 5.6.2 token; RFC 3986 unreserved, and what divides paths and queries.
 */
#define TOKEN "!#$%&'*+-.^_`|~"
#define PATH "-._~/"
#define QUERY "-._~=&"

/* Letters, digits and what is in also. */
static bool all_of(const char *s, size_t n, const char *also)
{
        for (size_t i = 0; i < n; i++) {
                bool alnum =
                        (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9');
                if (!alnum && (!s[i] || !strchr(also, s[i])))
                        return false;
        }
        return true;
}

static bool text_is(const char *s, size_t n, const char *expected)
{
        return strlen(expected) == n && strncasecmp(s, expected, n) == 0;
}

/* Origin-form only (RFC 9112 3.2.1), and nothing that could be spelled another way. */
static int parse_target(struct http_head *head, const char *s, size_t n, struct error *err)
{
        const char *question = memchr(s, '?', n);
        size_t n_path = question ? (size_t)(question - s) : n;
        size_t n_query = question ? n - n_path - 1 : 0;

        if (n == 0 || s[0] != '/' || (n > 1 && s[1] == '/'))
                return error_fail(err, -EBADMSG, "the request target must be a path");
        if (n_path > HTTP_PATH_MAX || n_query > HTTP_QUERY_MAX || !all_of(s, n_path, PATH) ||
            !all_of(s + n - n_query, n_query, QUERY))
                return error_fail(err, -EBADMSG,
                                  "the request target is too long or holds characters that no path here has");
        memcpy(head->path, s, n_path);
        memcpy(head->query, s + n - n_query, n_query);
        return 0;
}

/* METHOD SP target SP HTTP/1.1 (RFC 9112 3): one blank each, none around them. */
static int parse_request_line(struct http_head *head, const char *s, size_t n, struct error *err)
{
        static const char version[] = "HTTP/1.1";
        static const char *const methods[] = {[HTTP_GET] = "GET", [HTTP_POST] = "POST", [HTTP_PUT] = "PUT"};
        const char *sp1 = memchr(s, ' ', n);
        const char *sp2 = sp1 ? memchr(sp1 + 1, ' ', n - (size_t)(sp1 + 1 - s)) : NULL;

        if (!sp2 || sp1 == s || !all_of(s, (size_t)(sp1 - s), TOKEN))
                return error_fail(err, -EBADMSG, "the request line is malformed");
        size_t n_method = (size_t)(sp1 - s), n_version = n - (size_t)(sp2 + 1 - s);
        if (n_version != sizeof(version) - 1 || memcmp(sp2 + 1, version, n_version) != 0)
                return error_fail(err, -EBADMSG, "the request is not HTTP/1.1");
        for (int i = HTTP_GET; i <= HTTP_PUT; i++)
                if (strlen(methods[i]) == n_method && memcmp(methods[i], s, n_method) == 0)
                        head->method = (enum http_method)i;
        if (!head->method)
                return error_fail(err, -EOPNOTSUPP, "only GET, POST and PUT are served");
        return parse_target(head, sp1 + 1, (size_t)(sp2 - sp1 - 1), err);
}

/* Headers that decide framing, identity or what is answered: each at most once (RFC 9110 5.3, RFC 9112 6.3).
 */
static const char *const single_fields[] = {"Host",        "Content-Length", "Content-Type",   "Authorization",
                                            "Expect",      "Postern-Id",     "Postern-Budget", "Connection",
                                            "traceparent", "If-None-Match"};
enum { FIELD_HOST = 0, FIELD_LENGTH = 1, FIELD_EXPECT = 4, FIELD_CONNECTION = 7 };
#define N_SINGLE (sizeof(single_fields) / sizeof(single_fields[0]))

/* Digits only: "1, 1", "+1", "0x1" and what no 32 bits hold are no length (RFC 9112 6.3, rule 5). */
static int parse_length(struct http_head *head, const char *s, size_t n, struct error *err)
{
        char text[LENGTH_TEXT_MAX + 1] = "";

        if (n > 0 && n <= LENGTH_TEXT_MAX)
                memcpy(text, s, n);
        if (text_parse_u64(text, 0, UINT32_MAX, &head->content_length) < 0)
                return error_fail(err, -EBADMSG, "Content-Length is malformed");
        return 0;
}

/* RFC 9112 9.6. What only contains the word closes as well, which is always allowed. */
static bool asks_to_close(const char *s, size_t n)
{
        for (size_t i = 0; i + 5 <= n; i++)
                if (strncasecmp(s + i, "close", 5) == 0)
                        return true;
        return false;
}

/* One of the single_fields; seen has a bit for each. */
static int take_single(struct http_head *head, size_t which, unsigned *seen, const char *value, size_t n,
                       struct error *err)
{
        if (*seen & (1U << which))
                return error_fail(err, -EBADMSG, "header %s is repeated", single_fields[which]);
        *seen |= 1U << which;
        switch (which) {
        case FIELD_LENGTH:
                return parse_length(head, value, n, err);
        case FIELD_EXPECT:
                head->expects_continue = text_is(value, n, "100-continue");
                return head->expects_continue ? 0 : error_fail(err, -EBADMSG, "Expect may only be 100-continue");
        case FIELD_CONNECTION:
                head->closes = asks_to_close(value, n);
                return 0;
        default:
                return 0;
        }
}

/*
 * name ":" value. A name is a token up to the colon, so a line that begins with a blank (obs-fold, RFC
 * 9112 5.2) and a blank before the colon (5.1) are refused.
 */
static int parse_field(struct http_head *head, const char *bytes, const char *s, size_t n, unsigned *seen,
                       struct error *err)
{
        const char *colon = memchr(s, ':', n);
        size_t n_name = colon ? (size_t)(colon - s) : 0;

        if (n_name == 0)
                return error_fail(err, -EBADMSG, "a header line has no name");
        if (!all_of(s, n_name, TOKEN))
                return error_fail(err, -EBADMSG, "a header name is malformed");
        const char *value = colon + 1;
        size_t n_value = n - n_name - 1;
        while (n_value && (*value == ' ' || *value == '\t'))
                value++, n_value--;
        while (n_value && (value[n_value - 1] == ' ' || value[n_value - 1] == '\t'))
                n_value--;
        for (size_t i = 0; i < n_value; i++)
                if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
                        return error_fail(err, -EBADMSG, "a header value holds control characters");
        /* RFC 9112 6.1: whatever the coding, and beside a Content-Length all the more */
        if (text_is(s, n_name, "Transfer-Encoding"))
                return error_fail(err, -ENODATA, "a body needs Content-Length; transfer codings are not taken");
        head->field[head->n_fields++] = (struct http_field){(uint16_t)(s - bytes), (uint16_t)n_name,
                                                            (uint16_t)(value - bytes), (uint16_t)n_value};
        for (size_t i = 0; i < N_SINGLE; i++)
                if (text_is(s, n_name, single_fields[i]))
                        return take_single(head, i, seen, value, n_value, err);
        return 0;
}

/* The lines from s on, behind the request line, each with its CRLF; the last is empty. */
static int parse_fields(struct http_head *head, const char *bytes, const char *s, struct error *err)
{
        const char *end = bytes + head->length - 2;
        unsigned seen = 0;

        while (s < end) {
                const char *line = memmem(s, (size_t)(end - s), "\r\n", 2);
                if (head->n_fields == HTTP_FIELDS_MAX)
                        return error_fail(err, -EMSGSIZE, "more than %d headers", HTTP_FIELDS_MAX);
                int r = parse_field(head, bytes, s, (size_t)(line - s), &seen, err);
                if (r < 0)
                        return r;
                s = line + 2;
        }
        if (!(seen & (1U << FIELD_HOST))) /* RFC 9112 3.2 */
                return error_fail(err, -EBADMSG, "header Host is missing");
        if (head->method == HTTP_GET && head->content_length > 0)
                return error_fail(err, -EBADMSG, "a GET has no body");
        if (head->method != HTTP_GET && !(seen & (1U << FIELD_LENGTH)))
                return error_fail(err, -ENODATA, "Content-Length is missing");
        return 0;
}

/* Every CR is followed by LF, every LF preceded by CR (RFC 9112 2.2), and there is no NUL. */
static bool lines_clean(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (s[i] == '\0' || (s[i] == '\r' && (i + 1 >= n || s[i + 1] != '\n')) ||
                    (s[i] == '\n' && (i == 0 || s[i - 1] != '\r')))
                        return false;
        return true;
}

int http_head_parse(struct http_head *ret_head, const char *bytes, size_t n, struct error *err)
{
        const char *end = memmem(bytes, n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX, "\r\n\r\n", 4);
        struct http_head head = {.method = 0};

        if (!end && n >= HTTP_HEAD_MAX)
                return error_fail(err, -EMSGSIZE, "the headers are longer than %d bytes", HTTP_HEAD_MAX);
        if (!end)
                return HTTP_HEAD_MORE;
        head.length = (size_t)(end - bytes) + 4;
        if (!lines_clean(bytes, head.length))
                return error_fail(err, -EBADMSG, "the headers hold a bare CR, a bare LF or a NUL");
        const char *first = memmem(bytes, head.length, "\r\n", 2);
        int r = first ? parse_request_line(&head, bytes, (size_t)(first - bytes), err) : -EBADMSG;
        if (r == 0)
                r = parse_fields(&head, bytes, first + 2, err);
        if (r == 0)
                *ret_head = head;
        return r;
}

const struct http_field *http_head_field(const struct http_head *head, const char *bytes, const char *name, bool last)
{
        const struct http_field *found = NULL;

        for (unsigned i = 0; i < head->n_fields && (last || !found); i++)
                if (text_is(bytes + head->field[i].name, head->field[i].n_name, name))
                        found = &head->field[i];
        return found;
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
