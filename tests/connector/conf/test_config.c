/*
 * The configuration: one fixture for each mistake, with what must be said of it; defaults; folders; what
 * children get; and that the sample file and the man page say what the table says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/text.h"
#include "connector/conf/table.h"

#define FIXTURES SOURCE_ROOT "/tests/connector/conf/config"

static void read_file(struct buffer *out, const char *path)
{
        struct error err = {""};

        *out = BUFFER(1024 * 1024);
        if (file_read(out, path, &err) < 0)
                fail_msg("%s", err.text);
}

/* The lines that begin with "# expect: ", without that, into out. */
static size_t read_expected(const char *text, struct buffer *out)
{
        size_t n = 0;

        while (strncmp(text, "# expect: ", 10) == 0) {
                size_t len = strcspn(text, "\n");
                assert_int_equal(buffer_append(out, text + 10, len - 10), 0);
                assert_int_equal(buffer_append_char(out, '\n'), 0);
                text += len + 1;
                n++;
        }
        return n;
}

static void check_fixture(const char *name)
{
        struct conf_errors errors = CONF_ERRORS;
        struct buffer text, expected = BUFFER(65536);
        struct config *config = NULL;

        read_file(&text, name);
        size_t n = read_expected(text.len ? text.data : "", &expected);
        int r = config_load(&config, name, NULL, &errors);
        if (errors.n != n || (n && strcmp(errors.lines.data, expected.data) != 0))
                fail_msg("%s: expected %zu:\n%s\ngot %zu:\n%s", name, n, n ? expected.data : "", errors.n,
                         errors.n ? errors.lines.data : "");
        assert_int_equal(r, n ? -EINVAL : 0);
        assert_true((config != NULL) == (n == 0));
        config_free(config);
        conf_errors_clear(&errors);
        buffer_free(&text);
        buffer_free(&expected);
}

static void test_every_fixture(void **state)
{
        DIR *dir = opendir(FIXTURES);
        unsigned n = 0;

        (void)state;
        assert_non_null(dir);
        assert_int_equal(chdir(FIXTURES), 0);
        for (struct dirent *e; (e = readdir(dir));)
                if (strstr(e->d_name, ".conf")) {
                        check_fixture(e->d_name);
                        n++;
                }
        closedir(dir);
        assert_true(n >= 60);
}

/* Writes text to a fresh file and loads it; all must be well. */
static struct config *load_text(const char *text)
{
        char path[] = "/tmp/postern-config-XXXXXX";
        struct conf_errors errors = CONF_ERRORS;
        struct config *config = NULL;
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
        int r = config_load(&config, path, NULL, &errors);
        unlink(path);
        if (r < 0)
                fail_msg("%s", errors.lines.data);
        conf_errors_clear(&errors);
        return config;
}

static void test_defaults(void **state)
{
        struct config *c = load_text("[domain Corp.Example]\ndcs = DC1.corp.example@192.0.2.1\n");
        const struct domain_config *d = &c->domains[0];

        (void)state;
        assert_null(c->name);
        assert_null(c->relay);
        assert_string_equal(c->state_dir, "/var/lib/postern");
        assert_string_equal(c->runtime_dir, "/run/postern");
        assert_string_equal(c->user_validator, "postern-validator");
        assert_int_equal(c->in_flight, 256);
        assert_int_equal(c->drain_ms, 10000);
        assert_int_equal(c->log_level, LOG_LEVEL_INFO);
        assert_null(c->validate.default_domain);
        assert_int_equal(c->validate.n_domains, 1);
        assert_string_equal(d->name, "corp.example");
        assert_string_equal(d->realm, "CORP.EXAMPLE");
        assert_null(d->netbios);
        assert_int_equal(d->n_dcs, 1);
        assert_string_equal(d->dcs[0].host, "dc1.corp.example");
        assert_string_equal(d->dcs[0].address, "192.0.2.1");
        assert_int_equal(d->methods[1], METHOD_NONE);
        assert_int_equal(d->methods[0], METHOD_LDAP);
        assert_int_equal(d->directory, DIRECTORY_AD);
        assert_int_equal(d->dc_identity, DC_IDENTITY_DOMAIN_SAN);
        assert_int_equal(d->ldaps_port, 636);
        assert_int_equal(d->kdc_port, 88);
        assert_int_equal(d->pool_max, 16);
        assert_int_equal(d->connect_timeout_ms, 2000);
        config_free(c);
}

static void test_all_keys_are_taken(void **state)
{
        struct conf_errors errors = CONF_ERRORS;
        struct config *c = NULL;

        (void)state;
        assert_int_equal(config_load(&c, FIXTURES "/good-all.conf", NULL, &errors), 0);
        const struct domain_config *d = &c->domains[0];
        assert_string_equal(c->name, "north-1");
        assert_string_equal(c->relay, "https://relay.example:8443");
        assert_string_equal(c->tenant, "contoso");
        assert_string_equal(c->state_dir, "/srv/postern");
        assert_string_equal(c->runtime_dir, "/run/p");
        assert_string_equal(c->relay_ca_file, "/etc/ca.pem");
        assert_string_equal(c->proxy, "http://u:p@proxy:3128");
        assert_string_equal(c->user_link, "a");
        assert_string_equal(c->user_validator, "b");
        assert_string_equal(c->user_ledger, "c");
        assert_string_equal(c->user_keys, "d");
        assert_string_equal(c->identity_key, "pkcs11:token=t;object=o?pin-source=file:/etc/pin");
        assert_string_equal(c->transport_key, "handle:0x81000001");
        assert_string_equal(c->control_group, "helpdesk");
        assert_int_equal(c->in_flight, 768);
        assert_int_equal(c->drain_ms, 0);
        assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
        assert_string_equal(c->validate.default_domain, "corp.example");
        assert_int_equal(c->ledger_days, 1);
        assert_int_equal(c->ledger_rows, 100);
        assert_string_equal(d->realm, "AD.CORP.EXAMPLE");
        assert_string_equal(d->netbios, "CORP");
        assert_string_equal(d->sid, "S-1-5-21-1-2-4294967295");
        assert_null(d->suffixes[2]);
        assert_string_equal(d->suffixes[1], "corp.net");
        assert_int_equal(d->n_dcs, 2);
        assert_string_equal(d->dcs[0].host, "dc1.corp.example"); /* the dot only says that the name is whole */
        assert_null(d->dcs[0].address);
        assert_string_equal(d->dcs[1].address, "192.0.2.12");
        assert_int_equal(d->methods[0], METHOD_LDAP);
        assert_int_equal(d->methods[1], METHOD_KRB5);
        assert_int_equal(d->ldaps_port, 1636);
        assert_int_equal(d->kdc_port, 1088);
        assert_string_equal(d->ca_file, "/etc/corp-ca.pem");
        assert_int_equal(d->dc_identity, DC_IDENTITY_PIN);
        assert_null(d->pins[1]);
        assert_string_equal(d->keytab_file, "/etc/corp.keytab");
        assert_string_equal(d->service_principal, "host/connector.corp.example");
        assert_int_equal(d->pool_max, 1);
        assert_int_equal(d->connect_timeout_ms, 100);
        config_free(c);
        conf_errors_clear(&errors);
}

static void test_methods_follow_the_keytab(void **state)
{
        struct config *c =
                load_text("[domain corp.example]\ndcs = dc1.corp.example\nkeytab = /k\nservice_principal = host/x\n");

        (void)state;
        assert_int_equal(c->domains[0].methods[1], METHOD_LDAP);
        assert_int_equal(c->domains[0].methods[0], METHOD_KRB5);
        config_free(c);
}

static void write_text(const char *path, const char *text)
{
        struct error err = {""};

        if (file_write_atomic(path, text, strlen(text), 0600, &err) < 0)
                fail_msg("%s", err.text);
}

/* A folder is read in the order of names; errors name the file; the merged text means the same to a child. */
static void test_folder_and_merged_text(void **state)
{
        char dir[] = "/tmp/postern-conf-XXXXXX", path[300];
        struct conf_errors errors = CONF_ERRORS;
        struct buffer merged = BUFFER(CONF_TEXT_MAX);
        struct config *config = NULL, *child = NULL;
        struct error err = {""};

        (void)state;
        assert_non_null(mkdtemp(dir));
        assert_int_equal(chdir(dir), 0);
        write_text("10-base.conf", "[connector]\nname = north"); /* no newline at the end */
        write_text("20-corp.conf", "[domain corp.example]\ndcs = dc1.corp.example\n");
        write_text("ignored.txt", "nonsense");
        write_text(".hidden.conf", "nonsense");
        assert_int_equal(config_load(&config, dir, &merged, &errors), 0);
        assert_string_equal(config->name, "north");

        int fd = memfd_create("merged", 0);
        assert_int_equal(write(fd, merged.data, merged.len), (ssize_t)merged.len);
        if (config_from_fd(&child, fd, &err) < 0)
                fail_msg("%s", err.text);
        assert_string_equal(child->name, "north");
        assert_string_equal(child->domains[0].dcs[0].host, "dc1.corp.example");
        config_free(config);
        config_free(child);
        close(fd);
        buffer_free(&merged);

        write_text("30-more.conf", "[connector]\nname = south\n");
        assert_int_equal(config_load(&config, dir, NULL, &errors), -EINVAL);
        assert_int_equal(errors.n, 1);
        (void)snprintf(path, sizeof(path), "%s/30-more.conf:2: name: it is given twice, first at %s/10-base.conf:2\n",
                       dir, dir);
        assert_string_equal(errors.lines.data, path);
        conf_errors_clear(&errors);
        assert_int_equal(chdir("/"), 0);
        const char *const names[] = {"10-base.conf", "20-corp.conf", "30-more.conf", "ignored.txt", ".hidden.conf"};
        for (size_t i = 0; i < 5; i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(rmdir(dir), 0);
}

static void test_missing_file(void **state)
{
        struct conf_errors errors = CONF_ERRORS;
        struct config *config = NULL;

        (void)state;
        assert_int_equal(config_load(&config, "/nonexistent/postern.conf", NULL, &errors), -EINVAL);
        assert_int_equal(errors.n, 1);
        assert_non_null(strstr(errors.lines.data, "/nonexistent/postern.conf"));
        conf_errors_clear(&errors);
}

static void test_child_names_the_first_error(void **state)
{
        static const char text[] =
                "[connector]\nin_flight = 0\nfoo = 1\n[domain corp.example]\ndcs = dc1.corp.example\n";
        struct config *config = NULL;
        struct error err = {""};
        int fd = memfd_create("bad", 0);

        (void)state;
        assert_int_equal(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
        assert_int_equal(config_from_fd(&config, fd, &err), -EINVAL);
        assert_null(config);
        assert_string_equal(err.text, "configuration:2: in_flight: '0' is out of range, allowed: 1 to 768");
        close(fd);
}

/* More mistakes than are kept: the rest is counted. */
static void test_flood_of_errors(void **state)
{
        struct buffer text = BUFFER(CONF_TEXT_MAX);
        struct conf_errors errors = CONF_ERRORS;
        char path[] = "/tmp/postern-flood-XXXXXX";
        struct config *config = NULL;
        int fd = mkstemp(path);

        (void)state;
        assert_int_equal(buffer_append_str(&text, "[connector]\n"), 0);
        for (int i = 0; i < 5000; i++)
                assert_int_equal(buffer_printf(&text, "k%d = 1\n", i), 0);
        assert_int_equal(write(fd, text.data, text.len), (ssize_t)text.len);
        close(fd);
        assert_int_equal(config_load(&config, path, NULL, &errors), -EINVAL);
        assert_int_equal(errors.n, 5000);
        assert_non_null(strstr(errors.lines.data, "and 4900 more\n"));
        unlink(path);
        buffer_free(&text);
        conf_errors_clear(&errors);
}

/* ---- the committed texts ---- */

static void produce(struct buffer *out, void (*write_it)(FILE *))
{
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);

        assert_non_null(f);
        write_it(f);
        assert_int_equal(fclose(f), 0);
        *out = BUFFER(1024 * 1024);
        assert_int_equal(buffer_append(out, text, n), 0);
        free(text);
}

static void test_sample_is_the_tables(void **state)
{
        struct conf_errors errors = CONF_ERRORS;
        struct buffer made, committed;
        struct config *config = NULL;

        (void)state;
        produce(&made, config_write_sample);
        read_file(&committed, SOURCE_ROOT "/connector/packaging/postern.conf.example");
        assert_string_equal(made.data, committed.data);
        assert_int_equal(config_load(&config, SOURCE_ROOT "/connector/packaging/postern.conf.example", NULL, &errors),
                         0);
        config_free(config);
        buffer_free(&made);
        buffer_free(&committed);
        conf_errors_clear(&errors);
}

static void test_man_page_is_the_tables(void **state)
{
        struct buffer made, committed;

        (void)state;
        produce(&made, config_write_man);
        read_file(&committed, SOURCE_ROOT "/connector/man/postern.conf.5");
        char *begin = strstr(committed.data, "a test compares\n");
        assert_non_null(begin);
        begin += strlen("a test compares\n");
        char *end = strstr(begin, ".\\\" end of the keys");
        assert_non_null(end);
        *end = '\0';
        assert_string_equal(made.data, begin);
        buffer_free(&made);
        buffer_free(&committed);
}

/* What a row promises must be there: the generated texts rely on it. */
static void test_rows_are_whole(void **state)
{
        (void)state;
        for (size_t s = 0; s < CONFIG_SECTIONS; s++)
                for (size_t i = 0; i < config_sections[s].n_keys; i++) {
                        const struct conf_key *k = &config_sections[s].keys[i];

                        assert_true(k->help && k->help[strlen(k->help) - 1] == '.');
                        if (k->type == CONF_TEXT || k->type == CONF_LIST)
                                assert_true(k->range && k->max > 0 && (k->initial || k->otherwise));
                        if (k->type == CONF_NUMBER || k->type == CONF_WORD)
                                assert_non_null(k->initial);
                }
}

/* With an argument: writes what is made from the tables (sample or man), for the files that tests compare. */
int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_fixture),
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_all_keys_are_taken),
                cmocka_unit_test(test_methods_follow_the_keytab),
                cmocka_unit_test(test_folder_and_merged_text),
                cmocka_unit_test(test_missing_file),
                cmocka_unit_test(test_child_names_the_first_error),
                cmocka_unit_test(test_flood_of_errors),
                cmocka_unit_test(test_sample_is_the_tables),
                cmocka_unit_test(test_man_page_is_the_tables),
                cmocka_unit_test(test_rows_are_whole),
        };

        if (argc > 1) {
                (strcmp(argv[1], "sample") == 0 ? config_write_sample : config_write_man)(stdout);
                return 0;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
