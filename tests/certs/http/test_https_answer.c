/* Answers of HTTP: whole or not yet, by every kind of framing, however they come cut; and what is none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "certs/http/https-answer.h"

#define OK "HTTP/1.1 200 OK\r\n"

static void test_framing(void **state)
{
        static const struct {
                const char *text;
                bool ended;
                int status;
                const char *body;
                bool closes;
        } cases[] = {
                {OK "Content-Length: 5\r\n\r\nhello", false, 200, "hello", false},
                {OK "content-length: 0\r\nConnection: Keep-Alive\r\n\r\n", false, 200, "", false},
                {OK "Content-Length: 2\r\nConnection: x, Close\r\n\r\nhi", false, 200, "hi", true},
                {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;q=\"z\"\r\n wonderful\r\n0\r\n\r\n", false, 200,
                 "hello wonderful", false},
                {OK "Transfer-Encoding: chunked\r\n\r\n0\r\nT: 1\r\nU: 2\r\n\r\n", false, 200, "", false},
                {"HTTP/1.1 204\r\n\r\n", false, 204, "", false},
                {"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", false, 304, "", false},
                {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\n1", false,
                 200, "1", false},
                {"HTTP/1.0 502 Bad\r\n\r\nto the end", true, 502, "to the end", true},
                {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n1", false, 200, "1", false},
                {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", false, 200, "1", true},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const size_t n = strlen(cases[i].text);
                struct https_answer a = {0};
                char bytes[256];

                for (size_t cut = 0; cut < n; cut++)
                        assert_int_equal(https_answer_read(&a, cases[i].text, cut, false), HTTPS_ANSWER_MORE);
                assert_int_equal(https_answer_read(&a, cases[i].text, n, cases[i].ended), 0);
                assert_int_equal(a.status, cases[i].status);
                assert_int_equal(a.closes, cases[i].closes);
                memcpy(bytes, cases[i].text, n);
                assert_int_equal(https_answer_join(&a, bytes), strlen(cases[i].body));
                assert_memory_equal(bytes + a.body, cases[i].body, strlen(cases[i].body));
        }
}

static void test_what_follows_ends_the_connection(void **state)
{
        static const char two[] = OK "Content-Length: 1\r\n\r\n1HTTP";
        struct https_answer a = {0};

        (void)state;
        assert_int_equal(https_answer_read(&a, two, sizeof(two) - 1, false), 0);
        assert_int_equal(a.body_len, 1);
        assert_true(a.closes);
}

static void test_none(void **state)
{
        static const char *const cases[] = {
                "HTTP/2 200\r\n\r\n",
                "HTTP/1.1 20 OK\r\n\r\n",
                "HTTP/1.1 2000\r\n\r\n",
                "HTTP/1.1 099\r\n\r\n",
                "HTTP/1.1 101 Switching\r\n\r\n",
                "SSH-2.0-x\r\n\r\n",
                "\r\n\r\n",
                OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n1",
                OK "Content-Length: +1\r\n\r\n1",
                OK "Content-Length: \r\n\r\n",
                OK "Content-Length: 99999999999\r\n\r\n",
                OK "Transfer-Encoding: gzip\r\n\r\n",
                OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
                OK "Transfer-Encoding: chunked\r\n\r\nx\r\n",
                OK "Transfer-Encoding: chunked\r\n\r\n1\r\n12\r\n",
                OK "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
                OK " folded: 1\r\n\r\n",
                OK "no colon\r\n\r\n",
                OK ": no name\r\n\r\n",
                OK "A: b\001\r\n\r\n",
                OK "A: b\n\r\n",
                "HTTP/1.1 200 OK\rX\r\n\r\n",
        };
        struct https_answer a = {.status = 7};

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_int_equal(https_answer_read(&a, cases[i], strlen(cases[i]), false), -EBADMSG);
        assert_int_equal(https_answer_read(&a, OK, strlen(OK), true), -EBADMSG);
        assert_int_equal(https_answer_read(&a, OK "Content-Length: 2\r\n\r\n1", strlen(OK) + 22, true), -EBADMSG);
        assert_int_equal(a.status, 7);
}

static void test_headers(void **state)
{
        static const char text[] = "HTTP/1.1 103 Hints\r\nETag: early\r\n\r\n" OK
                                   "ETag:  \"a b\" \r\netag: second\r\nEmpty:\r\nContent-Length: 0\r\n\r\n";
        struct https_answer a = {0};
        char value[8];

        (void)state;
        assert_int_equal(https_answer_read(&a, text, sizeof(text) - 1, false), 0);
        https_answer_header(&a, text, "etag", value, sizeof(value));
        assert_string_equal(value, "\"a b\"");
        https_answer_header(&a, text, "etag", value, 5);
        assert_string_equal(value, "");
        https_answer_header(&a, text, "Empty", value, sizeof(value));
        assert_string_equal(value, "");
        https_answer_header(&a, text, "Absent", value, sizeof(value));
        assert_string_equal(value, "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_framing),
                cmocka_unit_test(test_what_follows_ends_the_connection),
                cmocka_unit_test(test_none),
                cmocka_unit_test(test_headers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
