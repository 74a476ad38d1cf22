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

#include "base/core/text.h"
#include "queue/relay/config.h"

#define GOOD "[relay]\nlisten = 127.0.0.1:0\ncertificate = /c\nkey = /k\n"

static char path[] = "/tmp/relay-config-XXXXXX";

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

/* Reads text as a file. The mistakes without the file's name, or NULL and *ret_config. */
static const char *read_text(const char *text, struct relay_config **ret_config)
{
        static char told[4096];
        struct conf_errors errors = CONF_ERRORS;
        struct error err;
        size_t n = 0;

        assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &err), 0);
        int r = relay_config_load(ret_config, path, &errors);
        assert_int_equal(r, errors.n ? -EINVAL : 0);
        for (char *line = errors.lines.data, *end; errors.n && *line; line = end + 1) {
                assert_int_equal(strncmp(line, path, strlen(path)), 0);
                end = strchr(line, '\n');
                n += (size_t)snprintf(told + n, sizeof(told) - n, "%.*s", (int)(end + 1 - line - (int)strlen(path)),
                                      line + strlen(path));
        }
        conf_errors_clear(&errors);
        return r < 0 ? told : NULL;
}

static void test_good(void **state)
{
        struct relay_config *c = NULL;

        (void)state;
        assert_null(read_text(GOOD "# a comment\nlisten = [::1]:8443\nnode_url = https://a\nnode_url = https://b\n"
                                   "sign_ins_per_second = 7\nlog_level = debug\nnode = n1\n",
                              &c));
        assert_int_equal(c->n_listen, 2);
        assert_string_equal(c->listen[1].host, "::1");
        assert_int_equal(c->listen[1].port, 8443);
        assert_int_equal(c->n_nodes, 2);
        assert_string_equal(c->nodes[1], "https://b");
        assert_int_equal(c->sign_ins_per_second, 7);
        assert_int_equal(c->in_flight_per_tenant, 4096);
        assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
        assert_string_equal(c->state_dir, "/var/lib/postern-relay");
        assert_null(c->user);
        assert_int_equal(c->store, RELAY_ALONE);
        assert_int_equal(c->nats.replicas, 3);
        assert_string_equal(c->nats.bucket, "postern");
        relay_config_free(c);
        assert_null(read_text(GOOD "store = nats\n[nats]\nserver = tls://n1.example:4222 tls://[::1]:4223\n"
                                   "ca = /ca\nstore_login = /etc/login\n[relay]\ndispatch = local\n",
                              &c));
        assert_int_equal(c->store, RELAY_ON_NATS);
        assert_int_equal(c->nats.n_servers, 2);
        assert_string_equal(c->nats.servers[1], "tls://[::1]:4223");
        relay_config_free(c);
        /* as an editor on Windows leaves it */
        assert_null(read_text("\xef\xbb\xbf[ relay ]\r\nlisten = 127.0.0.1:0\r\ncertificate = /c\r\nkey = /k\r\n", &c));
        assert_string_equal(c->key, "/k");
        assert_true(strlen(c->node) > 0);
        relay_config_free(c);
}

#define LISTEN ", allowed: 1 to 8 of ADDRESS:PORT, IPv6 in brackets; the key may be repeated\n"
#define MISSING(end) ": listen: it is missing" LISTEN ": certificate: it is missing, allowed: an absolute path\n" end
#define SERVERS ", allowed: 1 to 8 of tls://HOST:PORT; the key may be repeated\n"
#define NO_KEY ": key: it is missing, allowed: an absolute path\n"

static const struct fixture {
        const char *text, *faults;
} fixtures[] = {
        {"", MISSING(NO_KEY)},
        {GOOD "colour = red\n", ":5: colour: the key is unknown; postern-relay.conf(5) lists all keys\n"},
        {GOOD "conections = 20\n", ":5: conections: the key is unknown; did you mean connections?\n"},
        {GOOD "key = /other\n", ":5: key: it is given twice, first at /tmp/"},
        {GOOD "state_dir = here\n", ":5: state_dir: 'here' does not begin with '/', allowed: an absolute path\n"},
        {GOOD "log_level = loud\n", ":5: log_level: 'loud' is unknown, allowed: error, warning, info, debug\n"},
        {GOOD "certificate_days = 31\n", ":5: certificate_days: '31' is out of range, allowed: 1 to 30\n"},
        {GOOD "connections = -1\n", ":5: connections: '-1' is not a number, allowed: 16 to 65536\n"},
        {GOOD "links_per_tenant = many\n", ":5: links_per_tenant: 'many' is not a number, allowed: 1 to 1024\n"},
        {GOOD "listen = relay.example:443\n", ":5: listen: 'relay.example:443' has no numeric address" LISTEN},
        {GOOD "listen = 127.0.0.1\n", ":5: listen: '127.0.0.1' is not ADDRESS:PORT" LISTEN},
        {GOOD "listen = 127.0.0.1:70000\n", ":5: listen: '127.0.0.1:70000' is not ADDRESS:PORT" LISTEN},
        {GOOD "listen = [::1]:1 [::2]:1 [::3]:1 [::4]:1 [::5]:1 [::6]:1 [::7]:1 [::8]:1\n",
         ":5: listen: it has more than 8 items" LISTEN},
        {GOOD "node_url = http://a\n", ":5: node_url: 'http://a' is not an https:// address of at most 256 bytes, "
                                       "allowed: up to 4 https:// addresses; the key may be repeated\n"},
        {GOOD "store = postgres\n", ":5: store: 'postgres' is unknown, allowed: sqlite, nats\n"},
        {GOOD "server = tls://a:1\n", ":5: server: the key belongs in [nats]\n"},
        {GOOD "store = nats\n[nats]\nbucket = a.b\nserver = nats://a:1\nstore_login = /l\nca = /c\n",
         ":7: bucket: 'a.b' has other characters, allowed: 1 to 32 of A-Z a-z 0-9 _ -\n"
         ":8: server: 'nats://a:1' is not tls://HOST:PORT" SERVERS},
        {GOOD "[nats]\nserver = tls://me:secret@a:1\n",
         ":6: server: a user belongs into store_login and dispatch_login, not here" SERVERS},
        {GOOD "[nats]\nsubject = a..b\ncertificate = /c\nreplicas = 6\n",
         ":6: subject: 'a..b' is not words with dots between, allowed: 1 to 64 of A-Z a-z 0-9 _ - .\n"
         ":7: certificate: it needs key\n:8: replicas: '6' is out of range, allowed: 1 to 5\n"},
        {GOOD "store = nats\n[nats]\nserver = tls://a:1\n",
         ": ca: store = nats needs it, in section [nats]\n"
         ": store_login: store = nats needs it, in section [nats]\n"},
        {GOOD "dispatch = nats\n[nats]\nstore_login = /l\ndispatch_login = /l\n",
         ":8: dispatch_login: it is store_login: the two are users of separate accounts\n"
         ": server: dispatch = nats needs the servers, in section [nats]\n"
         ": ca: dispatch = nats needs it, in section [nats]\n"},
        {GOOD "user = root\n",
         ":5: user: root is not allowed: nothing that reads remote input runs as root, allowed: a "
         "system user other than root\n"},
        {GOOD "key =\n", ":5: key: it is given twice"},
        {"[relay]\nlisten = [::1]:1\ncertificate = /c\nkey =\n", ":4: key: it is empty, allowed: an absolute path\n"},
        {"listen = [::1]:1\n" GOOD, ":1: listen: the key stands before the first section\n"},
        {GOOD "[extra]\nx = y\n", ":5: [extra]: the section is unknown, allowed: [relay], [nats]\n"},
        {"[relay] x\nkey = /k\n",
         ":1: there is text behind the ']'; a comment needs a line of its own\n" MISSING(NO_KEY)},
        {"[relay\nkey = /k\n", ":1: the section's name has no ']' behind it\n" MISSING(NO_KEY)},
        {GOOD "state_dir = /x ; not here\n", ":5: state_dir: a comment needs a line of its own\n"},
        {GOOD "one\ntwo\n", ":5: neither [section] nor key = value nor a comment\n"
                            ":6: neither [section] nor key = value nor a comment\n"},
        {GOOD "node\xc2\xa0= a\n", ":5: a no-break space (U+00A0), which looks like a blank\n"},
        {GOOD "node = a\xe2\x80\x8b\n", ":5: an invisible character (U+200B to U+200F)\n"},
        {GOOD "node = \xfc\n", ":5: the line is not valid UTF-8\n"},
        {GOOD "  indented = 1\n", ":5: indented: the key is unknown; postern-relay.conf(5) lists all keys\n"},
        {"[relay]\ncolour = red\nconnections = x\nkey = k\n",
         ":2: colour: the key is unknown; postern-relay.conf(5) lists all keys\n"
         ":3: connections: 'x' is not a number, allowed: 16 to 65536\n"
         ":4: key: 'k' does not begin with '/', allowed: an absolute path\n" MISSING("")},
};

static void test_mistakes(void **state)
{
        struct relay_config *c = NULL;

        (void)state;
        for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
                const char *want = fixtures[i].faults, *told = read_text(fixtures[i].text, &c);
                const bool whole = want[strlen(want) - 1] == '\n';

                assert_non_null(told);
                if (whole ? strcmp(told, want) != 0 : strncmp(told, want, strlen(want)) != 0)
                        fail_msg("%s\nis told as\n%s\ninstead of\n%s", fixtures[i].text, told, want);
                assert_null(c);
        }
}

static void test_missing_file(void **state)
{
        struct conf_errors errors = CONF_ERRORS;
        struct relay_config *c = NULL;

        (void)state;
        assert_int_equal(relay_config_load(&c, "/nonexistent.conf", &errors), -EINVAL);
        assert_int_equal(errors.n, 1);
        assert_int_equal(strncmp(errors.lines.data, "/nonexistent.conf: ", 19), 0);
        conf_errors_clear(&errors);
}

/* ---- the committed texts ---- */

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

/* The sample is the table's, and good, also with every key taken out of its comment. */
static void test_sample(void **state)
{
        struct buffer text = BUFFER(65536);
        struct relay_config *c = NULL;
        struct error err;
        char *made = produce(relay_config_write_sample);

        (void)state;
        assert_int_equal(file_read(&text, SOURCE_ROOT "/queue/relay/relay.conf.example", &err), 0);
        assert_string_equal(made, text.data);
        assert_null(read_text(text.data, &c));
        assert_string_equal(c->user, "postern-relay");
        relay_config_free(c);
        for (char *p = text.data; (p = strstr(p, "\n#")); p++)
                if (p[2] >= 'a' && p[2] <= 'z')
                        p[1] = ' ';
        const char *faults = read_text(text.data, &c);
        if (faults)
                fail_msg("%s", faults);
        relay_config_free(c);
        buffer_free(&text);
        free(made);
}

static void test_man_page(void **state)
{
        struct buffer text = BUFFER(65536);
        struct error err;
        char *made = produce(relay_config_write_man);

        (void)state;
        assert_int_equal(file_read(&text, SOURCE_ROOT "/connector/man/postern-relay.conf.5", &err), 0);
        assert_non_null(strstr(text.data, made));
        free(made);
        buffer_free(&text);
}

/* With the word sample or man it writes that text instead. */
int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_mistakes),
                                           cmocka_unit_test(test_missing_file), cmocka_unit_test(test_sample),
                                           cmocka_unit_test(test_man_page)};

        if (argc == 2) {
                (strcmp(argv[1], "man") == 0 ? relay_config_write_man : relay_config_write_sample)(stdout);
                return 0;
        }
        return cmocka_run_group_tests_name("relay/config", tests, make_file, remove_file);
}
