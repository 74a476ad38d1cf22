/* Which way: every form of a proxy's URL is understood or refused; no_proxy; and nothing secret in an error. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs/http/http-way.h"

static void set_environment(const char *https, const char *all, const char *no)
{
        static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                            "no_proxy",    "NO_PROXY",    "http_proxy"};

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                unsetenv(names[i]);
        if (https)
                setenv("https_proxy", https, 1);
        if (all)
                setenv("ALL_PROXY", all, 1);
        if (no)
                setenv("no_proxy", no, 1);
}

static void test_forms(void **state)
{
        static const struct {
                const char *text, *url, *host;
                uint16_t port;
                bool tls, addresses;
                const char *user, *password; /* NULL: none */
        } cases[] = {
                {"http://p.example:3128", "http://p.example:3128", "p.example", 3128, false, false, NULL, NULL},
                {"HTTP://p.example:3128/", "http://p.example:3128", "p.example", 3128, false, false, NULL, NULL},
                {"p.example:3128", "http://p.example:3128", "p.example", 3128, false, false, NULL, NULL},
                {"p.example", "http://p.example:1080", "p.example", 1080, false, false, NULL, NULL},
                {"https://p.example", "https://p.example:443", "p.example", 443, true, false, NULL, NULL},
                {"socks4://1.2.3.4:9", "socks4://1.2.3.4:9", "1.2.3.4", 9, false, true, NULL, NULL},
                {"socks4a://p:9", "socks4a://p:9", "p", 9, false, false, NULL, NULL},
                {"socks5://p:9", "socks5://p:9", "p", 9, false, true, NULL, NULL},
                {"socks5h://[::1]:9", "socks5h://[::1]:9", "::1", 9, false, false, NULL, NULL},
                {"http://u:p@h:1", "http://h:1", "h", 1, false, false, "u", "p"},
                {"http://u@h:1", "http://h:1", "h", 1, false, false, "u", ""},
                {"http://u:@h:1", "http://h:1", "h", 1, false, false, "u", ""},
                {"http://CORP\\svc:p%40ss:w%2Frd%25%23%3f@h:1", "http://h:1", "h", 1, false, false, "CORP\\svc",
                 "p@ss:w/rd%#?"},
                {"http://CORP%5Csvc:%20x%3a@[fd00::2]:1", "http://[fd00::2]:1", "fd00::2", 1, false, false, "CORP\\svc",
                 " x:"},
        };

        (void)state;
        set_environment(NULL, NULL, NULL);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct http_way way;
                struct error err = {""};

                if (http_way_to(&way, "relay.example", cases[i].text, &err) < 0)
                        fail_msg("%s: %s", cases[i].text, err.text);
                assert_int_equal(http_way_check(cases[i].text, &err), 0);
                assert_string_equal(way.url, cases[i].url);
                assert_string_equal(way.host, cases[i].host);
                assert_int_equal(way.port, cases[i].port);
                assert_int_equal(way.tls, cases[i].tls);
                assert_int_equal(way.takes_addresses, cases[i].addresses);
                assert_int_equal(way.has_user, cases[i].user != NULL);
                assert_string_equal(way.user, cases[i].user ? cases[i].user : "");
                assert_string_equal(way.password, cases[i].password ? cases[i].password : "");
                http_way_clear(&way);
        }
}

static void test_refused(void **state)
{
        static const char *const bad[] = {
                "ftp://p:1",
                "socks://p:1",
                "socks6://p:1",
                "://p:1",
                "http://",
                "http://:1",
                "http://p:",
                "http://p:0",
                "http://p:65536",
                "http://p:1/x",
                "http://p:1?x",
                "http://p:1#x",
                "http://p :1",
                "http://[::1:1",
                "http://::1:1",
                "http://-p:1",
                "http://p:1x",
                "http://@p:1",
                "http://:geheim@p:1",
                "http://CORP\\svc:p@ss:w/rd%#?@p:1",
                "http://u:geheim/x@p:1",
                "http://u:geheim#@p:1",
                "http://u:geheim?@p:1",
                "http://u:geheim@@p:1",
                "http://u:geheim%@p:1",
                "http://u:geheim%4@p:1",
                "http://u:geheim%zz@p:1",
                "http://u:geheim%00@p:1",
                "http://u:geheim%0a@p:1",
                "http://u:geheim %20@p:1",
                "http://u:geheim%ff@p:1",
                "http://u:geheim[@p:1",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct http_way way;
                struct error err = {""};

                if (http_way_check(bad[i], &err) != -EINVAL)
                        fail_msg("%s is taken", bad[i]);
                assert_null(strstr(err.text, "geheim"));
                set_environment(bad[i], NULL, NULL);
                assert_int_equal(http_way_to(&way, "relay.example", NULL, &err), -EINVAL);
                assert_memory_equal(err.text, "https_proxy of the environment: ", 32);
                assert_null(strstr(err.text, "geheim"));
        }
}

static void expect_way(const char *host, const char *configured, const char *url)
{
        struct http_way way;
        struct error err = {""};

        if (http_way_to(&way, host, configured, &err) < 0)
                fail_msg("%s", err.text);
        if (strcmp(way.url, url) != 0)
                fail_msg("%s goes by \"%s\", not \"%s\"", host, way.url, url);
}

static void test_where_from(void **state)
{
        (void)state;
        set_environment(NULL, NULL, NULL);
        expect_way("relay.example", NULL, "");
        set_environment("http://a:1", "http://b:2", NULL);
        expect_way("relay.example", NULL, "http://a:1");
        set_environment("", "http://b:2", NULL); /* as libcurl takes it: an empty one is none */
        expect_way("relay.example", NULL, "http://b:2");
        expect_way("relay.example", "", "");
        expect_way("relay.example", "http://c:3", "http://c:3");
        set_environment("http://a:1", NULL, "relay.example");
        expect_way("relay.example", NULL, "");
        expect_way("relay.example", "http://c:3", "http://c:3"); /* a configured one is for each host */
        set_environment(NULL, NULL, NULL);
        setenv("http_proxy", "http://x:1", 1); /* for another scheme */
        expect_way("relay.example", NULL, "");
}

static void test_no_proxy(void **state)
{
        static const struct {
                const char *list, *host;
                bool direct;
        } cases[] = {
                {"*", "relay.example", true},
                {"example", "relay.example", true},
                {".example", "relay.example", true},
                {"Relay.EXAMPLE.", "relay.example", true},
                {"relay.example", "relay.example.", true},
                {"a,  relay.example", "relay.example", true},
                {"a relay.example b", "relay.example", true},
                {"lay.example", "relay.example", false},
                {"x.relay.example", "relay.example", false},
                {"relay.example:443", "relay.example", false},
                {"", "relay.example", false},
                {",", "relay.example", false},
                {".", "relay.example", false},
                {"10.1.2.3", "10.1.2.3", true},
                {"10.1.2.0/24", "10.1.2.3", true},
                {"10.1.2.4/31", "10.1.2.3", false},
                {"10.1.2.2/31", "10.1.2.3", true},
                {"0.0.0.0/0", "10.1.2.3", true},
                {"10.1.2.0/33", "10.1.2.3", false},
                {"10.1.2.0/x", "10.1.2.3", false},
                {"2.3", "10.1.2.3", false},
                {"fd00::/16", "fd00::1", true},
                {"[fd00::1]", "fd00::1", true},
                {"fd00:0:0::1", "fd00::1", true},
                {"fd01::/16", "fd00::1", false},
                {"0.0.0.0/0", "fd00::1", false},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                set_environment("http://a:1", NULL, cases[i].list);
                expect_way(cases[i].host, NULL, cases[i].direct ? "" : "http://a:1");
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_refused),
                                           cmocka_unit_test(test_where_from), cmocka_unit_test(test_no_proxy)};

        return cmocka_run_group_tests_name("certs/http-way", tests, NULL, NULL);
}
