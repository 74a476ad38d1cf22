/* The relay's configuration: the sample is good, and every mistake is told at its place, all in one run. */
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

#include "base/core/buffer.h"
#include "base/core/text.h"
#include "queue/relay/config.h"

#define GOOD "listen = 127.0.0.1:0\ncertificate = /c\nkey = /k\n"

static void note(void *arg, const char *file, int line, const char *text)
{
        (void)file;
        assert_int_equal(buffer_printf(arg, "%d %s\n", line, text), 0);
}

/* Reads text as a file; the mistakes as lines. */
static int read_text(const char *text, struct relay_config *config, struct buffer *faults)
{
        char path[] = "/tmp/relay-config-XXXXXX";
        struct error err;
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
        int r = relay_config_read(config, path, note, faults, &err);
        unlink(path);
        return r;
}

static void test_good(void **state)
{
        struct buffer faults = BUFFER(4096);
        struct relay_config c;

        (void)state;
        assert_int_equal(read_text("[relay]\n# a comment\n" GOOD
                                   "listen = [::1]:8443\nnode_url = https://a\nnode_url = https://b\n"
                                   "sign_ins_per_second = 7\nlog_level = debug\nnode = n1\n",
                                   &c, &faults),
                         0);
        assert_int_equal(c.n_listen, 2);
        assert_string_equal(c.listen[1].host, "::1");
        assert_int_equal(c.listen[1].port, 8443);
        assert_int_equal(c.n_nodes, 2);
        assert_int_equal(c.sign_ins_per_second, 7);
        assert_int_equal(c.in_flight_per_tenant, 4096);
        assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
        assert_string_equal(c.state_dir, "/var/lib/postern-relay");
        assert_null(c.user);
        relay_config_clear(&c);
        /* as an editor on Windows leaves it */
        assert_int_equal(read_text("\xef\xbb\xbf[ relay ]\r\nlisten = 127.0.0.1:0\r\ncertificate = /c\r\nkey = /k\r\n",
                                   &c, &faults),
                         0);
        assert_string_equal(c.key, "/k");
        relay_config_clear(&c);
        buffer_free(&faults);
}

static const struct fixture {
        const char *text, *faults;
} fixtures[] = {
        {"", "0 listen: is required\n0 certificate: is required\n0 key: is required\n"},
        {GOOD "colour = red\n", "4 colour: unknown key\n"},
        {GOOD "key = /other\n", "4 key: stands twice\n"},
        {GOOD "state_dir = here\n", "4 state_dir: must be an absolute path, not \"here\"\n"},
        {GOOD "log_level = loud\n", "4 log_level: \"loud\" is not one of error, warning, info, debug\n"},
        {GOOD "certificate_days = 31\n", "4 certificate_days: \"31\" is not a number from 1 to 30\n"},
        {GOOD "connections = -1\n", "4 connections: \"-1\" is not a number from 16 to 65536\n"},
        {GOOD "links_per_tenant = many\n", "4 links_per_tenant: \"many\" is not a number from 1 to 1024\n"},
        {GOOD "listen = relay.example:443\n", "4 listen: the address must be numeric, like 0.0.0.0:443 or [::]:443\n"},
        {GOOD "listen = 127.0.0.1\n", "4 listen: \"127.0.0.1\" is not ADDRESS:PORT\n"},
        {GOOD "listen = 127.0.0.1:70000\n", "4 listen: \"127.0.0.1:70000\" is not ADDRESS:PORT\n"},
        {GOOD "node_url = http://a\n",
         "4 node_url: \"http://a\" is not an https:// address of at most 256 characters\n"},
        {GOOD "user =\n", "4 user: is empty\n"},
        {GOOD "[extra]\nx = y\n", "4 line: unknown section; the only one is [relay]\n"},
        {"[relay] x\n" GOOD, "1 line: there is text behind the ']'; a comment needs a line of its own\n"
                             "0 listen: is required\n0 certificate: is required\n0 key: is required\n"},
        {"[relay\n" GOOD, "1 line: the section's name has no ']' behind it\n"
                          "0 listen: is required\n0 certificate: is required\n0 key: is required\n"},
        {GOOD "state_dir = /x ; not here\n", "4 state_dir: a comment needs a line of its own\n"},
        {GOOD "one\ntwo\n", "4 line: is neither [section], key = value nor a comment\n"
                            "5 line: is neither [section], key = value nor a comment\n"},
        {GOOD "node\xc2\xa0= a\n", "4 line: a no-break space (U+00A0), which looks like a blank\n"},
        {GOOD "node = a\xe2\x80\x8b\n", "4 line: an invisible character (U+200B to U+200F)\n"},
        {GOOD "node = \xfc\n", "4 line: the line is not valid UTF-8\n"},
        {GOOD "  indented = 1\n", "4 indented: unknown key\n"},
        {GOOD "nonsense\n", "4 line: is neither [section], key = value nor a comment\n"},
        {"colour = red\nconnections = x\nkey = k\n",
         "1 colour: unknown key\n2 connections: \"x\" is not a number from 16 to 65536\n3 key: must be an "
         "absolute path, not \"k\"\n"
         "0 listen: is required\n0 certificate: is required\n"},
};

static void test_mistakes(void **state)
{
        struct relay_config c;

        (void)state;
        for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
                struct buffer faults = BUFFER(4096);
                assert_int_equal(read_text(fixtures[i].text, &c, &faults), -EINVAL);
                assert_string_equal(faults.data, fixtures[i].faults);
                buffer_free(&faults);
        }
}

static void test_missing_file(void **state)
{
        struct relay_config c;
        struct error err;

        (void)state;
        assert_int_equal(relay_config_read(&c, "/nonexistent.conf", note, NULL, &err), -ENOENT);
        assert_non_null(strstr(err.text, "/nonexistent.conf"));
}

/* The sample file with every key taken out of its comment is still good. */
static void test_sample(void **state)
{
        struct buffer text = BUFFER(65536), faults = BUFFER(4096);
        struct relay_config c;
        struct error err;
        const char *path = getenv("RELAY_SAMPLE");

        (void)state;
        assert_non_null(path);
        assert_int_equal(relay_config_read(&c, path, note, &faults, &err), 0);
        relay_config_clear(&c);
        assert_int_equal(file_read(&text, path, &err), 0);
        for (char *p = text.data; (p = strstr(p, "\n#")); p++) {
                if (p[2] >= 'a' && p[2] <= 'z')
                        p[1] = ' ';
        }
        if (read_text(text.data, &c, &faults) < 0)
                fail_msg("%s", faults.data);
        assert_non_null(c.ready_file);
        assert_non_null(c.user);
        relay_config_clear(&c);
        buffer_free(&text);
        buffer_free(&faults);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_mistakes),
                                           cmocka_unit_test(test_missing_file), cmocka_unit_test(test_sample)};

        return cmocka_run_group_tests_name("relay/config", tests, NULL, NULL);
}
