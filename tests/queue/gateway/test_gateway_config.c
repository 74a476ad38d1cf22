/*
 * The gateway's configuration: the sample is good, mistakes are told at their place, addresses are what they look like;
 * and its table of frames holds together.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/core/text.h"
#include "queue/gateway/config.h"
#include "queue/gateway/frames.h"

#define GOOD "[gateway]\nlisten = 127.0.0.1:0\n"

static char path[] = "/tmp/gateway-config-XXXXXX";

static int make_file(void **state)
{
        int fd = mkstemp(path);

        (void)state;
        return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
        (void)state;
        return unlink(path);
}

/* Reads text as a file. The mistakes, or "" and *ret_config. */
static const char *read_text(const char *text, struct gateway_config **ret_config)
{
        static char told[4096];
        struct conf_errors errors = CONF_ERRORS;
        struct error err;

        assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &err), 0);
        int r = gateway_config_load(ret_config, path, NULL, &errors);
        assert_int_equal(r, errors.n ? -EINVAL : 0);
        (void)snprintf(told, sizeof(told), "%s", errors.n ? errors.lines.data : "");
        conf_errors_clear(&errors);
        return told;
}

static void test_good(void **state)
{
        struct gateway_config *c = NULL;

        (void)state;
        assert_string_equal(read_text("[gateway]\nlisten = unix:/run/g.sock 127.0.0.9:80 [::1]:81 [2001:db8::1]:443\n"
                                      "certificate = /c\nkey = /k\nrelay = https://a\nrelay = https://b\n"
                                      "trusted_proxies = 10.0.0.0/8 2001:db8::/32 192.0.2.1\n"
                                      "[application wiki]\nsecret_file = /s\n",
                                      &c),
                            "");
        assert_int_equal(c->n_listen, 4);
        assert_int_equal(c->listen[0].kind, LISTEN_UNIX);
        assert_string_equal(c->listen[0].where, "/run/g.sock");
        assert_int_equal(c->listen[1].kind, LISTEN_LOOPBACK);
        assert_int_equal(c->listen[2].kind, LISTEN_LOOPBACK);
        assert_int_equal(c->listen[3].kind, LISTEN_TLS);
        assert_int_equal(c->listen[3].port, 443);
        assert_int_equal(c->n_relays, 2);
        assert_int_equal(c->n_apps, 1);
        assert_string_equal(c->apps[0].name, "wiki");
        assert_int_equal(c->name_failures, 5);
        assert_int_equal(c->remember_s, 0);
        static const struct {
                const char *address;
                bool in;
        } addresses[] = {{"10.255.0.1", true},  {"11.0.0.1", false},    {"192.0.2.1", true},       {"192.0.2.2", false},
                         {"2001:db8::7", true}, {"2001:db9::7", false}, {"::ffff:10.1.1.1", true}, {"unix", false},
                         {"", false},           {"010.0.0.1", false}};
        for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
                assert_int_equal(gateway_net_has(c->proxies, c->n_proxies, addresses[i].address), addresses[i].in);
        gateway_config_free(c);
}

static void test_ldap(void **state)
{
        static const char *const prefixes[] = {
                "ldap:", "ldaps:", "ldapi:", "ldaps:", "saslauthd:", "unix:", "", "https:"};
        struct gateway_config *c = NULL;

        (void)state;
        assert_string_equal(
                read_text("[gateway]\nlisten = ldap:127.0.0.1:389 ldaps:[::1]:636 ldapi:/l ldaps:192.0.2.1:636\n"
                          "listen = saslauthd:/m unix:/u 127.0.0.1:80 https:127.0.0.1:81\ncertificate = /c\nkey = /k\n"
                          "client_ca = /a\nldap_dn = uid=%u, ou=people\nldap_name = %u@corp.example\n"
                          "[application wiki]\ncertificate_name = wiki.example\n",
                          &c),
                "");
        assert_int_equal(c->n_listen, 8);
        for (size_t i = 0; i < 8; i++)
                assert_string_equal(gateway_listen_prefix(&c->listen[i]), prefixes[i]);
        assert_int_equal(c->listen[1].kind, LISTEN_LOOPBACK);
        assert_int_equal(c->listen[2].kind, LISTEN_UNIX);
        assert_int_equal(c->listen[3].kind, LISTEN_TLS);
        assert_string_equal(c->apps[0].certificate_name, "wiki.example");
        gateway_config_free(c);
}

static void test_mistakes(void **state)
{
        static const struct {
                const char *text, *fault;
        } cases[] = {
                {"[gateway]\n", "listen: it is missing"},
                {"[gateway]\nlisten = unix:run.sock\n", "is not unix: and an absolute path"},
                {"[gateway]\nlisten = localhost:80\n", "with a numeric address"},
                {"[gateway]\nlisten = 127.0.0.1\n", "is neither unix:/PATH nor ADDRESS:PORT"},
                {"[gateway]\nlisten = 0.0.0.0:80\n", "is not loopback, which needs TLS"},
                {"[gateway]\nlisten = 0.0.0.0:80\ncertificate = /c\nkey = /k\n",
                 "which needs an [application] section"},
                {GOOD "certificate = /c\n", "key"},
                {GOOD "relay = http://a\n", "is not an https:// address"},
                {GOOD "trusted_proxies = 10.0.0.0/33\n", "is neither a numeric address nor a network"},
                {GOOD "trusted_proxies = proxy.example\n", "is neither a numeric address nor a network"},
                {GOOD "remember_s = 61\n", "'61' is out of range"},
                {GOOD "user_link = root\n", "root is not allowed"},
                {GOOD "[application]\nsecret_file = /s\n", "application"},
                {GOOD "[application a]\ncertificate_name = .example\n", "'.example' is not the name of one host"},
                {GOOD "[application a]\ncertificate_name = *.example\n", "'*.example' is not the name of one host"},
                {GOOD "[application a]\n", "application a has neither `secret_file` nor `certificate_name`"},
                {GOOD "[application a]\ncertificate_name = a.example\n", "give `client_ca` in [gateway]"},
                {GOOD "client_ca = /c\n", "certificate"},
                {"[gateway]\nlisten = ldapi:x\n", "is not ldapi: and an absolute path"},
                {"[gateway]\nlisten = ldap:dc1:389\n", "is neither ldapi:/PATH nor ldap:ADDRESS:PORT"},
                {"[gateway]\nlisten = ldaps:127.0.0.1:636\n",
                 "ldaps:127.0.0.1 is by its name inside TLS, which needs TLS"},
                {"[gateway]\nlisten = ldap:192.0.2.1:389\ncertificate = /c\nkey = /k\n[application a]\nsecret_file = "
                 "/s\n",
                 "say who may use it, by `ldap_clients`"},
                {GOOD "ldap_dn = alice\n", "is not a DN like"},
                {GOOD "ldap_dn = uid=x,dc=%u\n", "is not a DN like"},
                {GOOD "ldap_dn = uid=%u,ou=%u\n", "is not a DN like"},
                {GOOD "ldap_name = alice\n", "is not a name like"},
                {GOOD "ldap_name = %u%u\n", "is not a name like"},
                {GOOD "ldap_name = %s%u\n", "is not a name like"},
        };
        struct gateway_config *c = NULL;

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const char *told = read_text(cases[i].text, &c);

                if (!strstr(told, cases[i].fault))
                        fail_msg("%s\nis told as '%s', without '%s'", cases[i].text, told, cases[i].fault);
                assert_null(c);
        }
}

static char *produce(void (*write_it)(FILE *))
{
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);

        assert_non_null(f);
        write_it(f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void test_sample(void **state)
{
        struct buffer text = BUFFER(65536);
        struct gateway_config *c = NULL;
        struct error err;
        char *made = produce(gateway_config_write_sample);

        (void)state;
        assert_int_equal(file_read(&text, SOURCE_ROOT "/queue/gateway/gateway.conf.example", &err), 0);
        assert_string_equal(made, text.data);
        assert_string_equal(read_text(text.data, &c), "");
        gateway_config_free(c);
        buffer_free(&text);
        free(made);
}

static void test_man_page(void **state)
{
        struct buffer text = BUFFER(65536);
        struct error err;
        char *made = produce(gateway_config_write_man);

        (void)state;
        assert_int_equal(file_read(&text, SOURCE_ROOT "/connector/man/postern-gateway.conf.5", &err), 0);
        assert_non_null(strstr(text.data, made));
        free(made);
        buffer_free(&text);
}

static void test_frames(void **state)
{
        struct error err = {""};

        (void)state;
        if (frame_table_check(&gateway_frames, &err) < 0)
                fail_msg("%s", err.text);
}

/* With an argument: writes what is made from the table (sample or man), for the files that tests compare. */
int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),     cmocka_unit_test(test_ldap),
                                           cmocka_unit_test(test_mistakes), cmocka_unit_test(test_sample),
                                           cmocka_unit_test(test_man_page), cmocka_unit_test(test_frames)};

        if (argc > 1) {
                (strcmp(argv[1], "sample") == 0 ? gateway_config_write_sample : gateway_config_write_man)(stdout);
                return 0;
        }
        return cmocka_run_group_tests_name("gateway/config", tests, make_file, remove_file);
}
