/* Heads of requests: what passes, what does not, at every split. The server behind: test_conn.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/http/head.h"

/* Parses from exactly sized heap memory, so that a sanitizer sees a step outside. */
static int parse(struct http_head *head, const char *bytes, size_t n)
{
        char *copy = malloc(n ? n : 1);
        struct error err = {""};

        memcpy(copy, bytes, n);
        int r = http_head_parse(head, copy, n, &err);
        free(copy);
        if (r < 0)
                assert_true(err.text[0]);
        return r;
}

static int parse_text(struct http_head *head, const char *text)
{
        return parse(head, text, strlen(text));
}

static void test_passes(void **state)
{
        static const char text[] = "PUT /v1/tenants/a.b_c-d/roster?x=1&boot=A-_ HTTP/1.1\r\nHOST: "
                                   "r\r\ncontent-length:  42 \r\nX-Any:\r\n\r\nbody";
        struct http_head head;
        size_t whole = sizeof(text) - 1 - 4;

        (void)state;
        for (size_t n = 0; n < whole; n++)
                assert_int_equal(parse(&head, text, n), HTTP_HEAD_MORE);
        for (size_t n = whole; n < sizeof(text); n++) {
                assert_int_equal(parse(&head, text, n), 0);
                assert_int_equal(head.method, HTTP_PUT);
                assert_string_equal(head.path, "/v1/tenants/a.b_c-d/roster");
                assert_string_equal(head.query, "x=1&boot=A-_");
                assert_int_equal(head.length, whole);
                assert_int_equal(head.content_length, 42);
        }
}

static void test_the_last_of_several(void **state)
{
        static const char text[] = "GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.66\r\nHost: r\r\n"
                                   "x-forwarded-for: 198.51.100.7\r\nY: z\r\n\r\n";
        const struct http_field *field;
        struct http_head head;
        struct error err = {""};

        (void)state;
        assert_int_equal(http_head_parse(&head, text, sizeof(text) - 1, &err), 0);
        field = http_head_field(&head, text, "X-Forwarded-For", true);
        assert_non_null(field);
        assert_memory_equal(text + field->value, "198.51.100.7", field->n_value);
        assert_memory_equal(text + http_head_field(&head, text, "X-Forwarded-For", false)->value, "192.0.2.66", 10);
        assert_ptr_equal(http_head_field(&head, text, "host", true), http_head_field(&head, text, "host", false));
        assert_null(http_head_field(&head, text, "X-Forwarded", true));
}

static void test_refused(void **state)
{
        static const struct {
                const char *text;
                int code;
        } cases[] = {
                {"GET / HTTP/1.1\r\n\r\n", -EBADMSG},
                {"GET  / HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {" GET / HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET / HTTP/1.1 \r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET / HTTP/1.10\r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET / http/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET // HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET * HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET /# HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET /?a=%41 HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"GET /?a?b HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"get / HTTP/1.1\r\nHost: r\r\n\r\n", -EOPNOTSUPP},
                {"G\x01T / HTTP/1.1\r\nHost: r\r\n\r\n", -EBADMSG},
                {"PATCH / HTTP/1.1\r\nHost: r\r\n\r\n", -EOPNOTSUPP},
                {"GET / HTTP/1.1\r\nHost: r\r\n: x\r\n\r\n", -EBADMSG},
                {"GET / HTTP/1.1\r\nHost: r\r\nA: \x01\r\n\r\n", -EBADMSG},
                {"GET / HTTP/1.1\r\nHost: r\rA: b\r\n\r\n", -EBADMSG},
                {"GET / HTTP/1.1\r\nHost: r\nA: b\r\n\r\n", -EBADMSG},
                {"GET / HTTP/1.1\r\nHost: r\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", -EBADMSG},
                {"POST / HTTP/1.1\r\nHost: r\r\nContent-Length: \r\n\r\n", -EBADMSG},
                {"POST / HTTP/1.1\r\nHost: r\r\nContent-Length: 0x10\r\n\r\n", -EBADMSG},
                {"POST / HTTP/1.1\r\nHost: r\r\nContent-Length: 1, 1\r\n\r\n", -EBADMSG},
                {"POST / HTTP/1.1\r\nHost: r\r\nContent-Length: 4294967296\r\n\r\n", -EBADMSG},
                {"POST / HTTP/1.1\r\nHost: r\r\n\r\n", -ENODATA},
                {"POST / HTTP/1.1\r\nHost: r\r\nTRANSFER-encoding: identity\r\n\r\n", -ENODATA},
                {"GET / HTTP/1.1\r\nHost: r\r\nContent-Length: 1\r\n\r\n", -EBADMSG},
        };
        struct http_head head;

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int r = parse_text(&head, cases[i].text);
                if (r != cases[i].code)
                        fail_msg("%s: %d", cases[i].text, r);
        }
        assert_int_equal(parse(&head, "GET / HTTP/1.1\r\nHost: \0r\r\n\r\n", 28), -EBADMSG);
}

static void test_sizes(void **state)
{
        static char text[HTTP_HEAD_MAX + 64];
        struct http_head head;
        int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: r\r\nX: ");

        (void)state;
        memset(text + n, 'x', sizeof(text) - (size_t)n);
        assert_int_equal(parse(&head, text, HTTP_HEAD_MAX - 1), HTTP_HEAD_MORE);
        assert_int_equal(parse(&head, text, HTTP_HEAD_MAX), -EMSGSIZE);
        memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
        assert_int_equal(parse(&head, text, HTTP_HEAD_MAX), 0);
        assert_int_equal(head.length, HTTP_HEAD_MAX);
        memset(text + 5, 'a', HTTP_PATH_MAX);
        memcpy(text + 5 + HTTP_PATH_MAX, " HTTP/1.1\r\nHost: r\r\nX: ", 23);
        assert_int_equal(parse(&head, text, HTTP_HEAD_MAX), -EBADMSG);
}

static void test_paths(void **state)
{
        struct http_parts parts;
        char longest[HTTP_PART_MAX + 16] = "/a/";

        (void)state;
        assert_true(http_path_match("/v1/tenants/{}/sign-ins/{}", "/v1/tenants/acme/sign-ins/x-1", &parts));
        assert_string_equal(parts.part[0], "acme");
        assert_string_equal(parts.part[1], "x-1");
        assert_false(http_path_match("/v1/tenants/{}/keys", "/v1/tenants//keys", &parts));
        assert_false(http_path_match("/v1/tenants/{}/keys", "/v1/tenants/a/b/keys", &parts));
        assert_false(http_path_match("/v1/tenants/{}/keys", "/v1/tenants/a/keys/", &parts));
        assert_false(http_path_match("/v1/tenants/{}/keys", "/v1/tenants/a/key", &parts));
        assert_false(http_path_match("/a", "", &parts));
        memset(longest + 3, 'x', HTTP_PART_MAX);
        assert_true(http_path_match("/a/{}", longest, &parts));
        longest[3 + HTTP_PART_MAX] = 'x';
        assert_false(http_path_match("/a/{}", longest, &parts));
}

static void test_queries(void **state)
{
        char out[8];

        (void)state;
        assert_int_equal(http_query_get("boot=abc", "boot", out, sizeof(out)), 0);
        assert_string_equal(out, "abc");
        assert_int_equal(http_query_get("xboot=1&boot=2", "boot", out, sizeof(out)), 0);
        assert_string_equal(out, "2");
        assert_int_equal(http_query_get("boot=", "boot", out, sizeof(out)), 0);
        assert_string_equal(out, "");
        assert_int_equal(http_query_get("boots=1&&=&boo=t", "boot", out, sizeof(out)), -ENOENT);
        assert_int_equal(http_query_get("", "boot", out, sizeof(out)), -ENOENT);
        assert_int_equal(http_query_get("boot=12345678", "boot", out, sizeof(out)), -EMSGSIZE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes),  cmocka_unit_test(test_the_last_of_several),
                                           cmocka_unit_test(test_refused), cmocka_unit_test(test_sizes),
                                           cmocka_unit_test(test_paths),   cmocka_unit_test(test_queries)};

        return cmocka_run_group_tests_name("relay/http-head", tests, NULL, NULL);
}
