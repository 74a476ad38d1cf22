/*
 * The krb5 context and keys of the Kerberos method: nothing of the system steers it, names are built and
 * never parsed, a keytab that can't serve is refused with the remedy.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "validate/krb/krb.h"

static const struct domain_config ad = {
        .name = "corp.example",
        .realm = "CORP.EXAMPLE",
        .keytab = "MEMORY:test-source",
        .service_principal = "host/connector.corp.example",
};

struct fixture {
        struct loop *loop;
        struct krb *krb;
        krb5_keytab source;
        char folder[32];
};

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);
        char path[64];

        assert_non_null(f);
        snprintf(f->folder, sizeof f->folder, "/tmp/postern-krb-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        snprintf(path, sizeof path, "%s/trace", f->folder);
        setenv("KRB5_TRACE", path, 1);
        setenv("KRB5_CONFIG", "/nonexistent/krb5.conf", 1);
        setenv("KRB5_KTNAME", "FILE:/nonexistent/keytab", 1);
        assert_int_equal(loop_new(&f->loop), 0);
        assert_int_equal(krb_new(&f->krb, f->loop, NULL), 0);
        assert_int_equal(krb5_kt_resolve(f->krb->context, ad.keytab, &f->source), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        krb5_kt_close(f->krb->context, f->source);
        krb_free(&f->krb->method);
        f->loop = loop_free(f->loop);
        rmdir(f->folder);
        free(f);
        return 0;
}

static void add_key(struct fixture *f, const char *principal, krb5_enctype enctype, krb5_kvno kvno)
{
        krb5_keytab_entry entry = {.vno = kvno};

        assert_int_equal(krb5_parse_name(f->krb->context, principal, &entry.principal), 0);
        assert_int_equal(krb5_c_make_random_key(f->krb->context, enctype, &entry.key), 0);
        assert_int_equal(krb5_kt_add_entry(f->krb->context, f->source, &entry), 0);
        krb5_free_keytab_entry_contents(f->krb->context, &entry);
}

static size_t count_keys(struct fixture *f, krb5_keytab keytab)
{
        krb5_kt_cursor cursor;
        krb5_keytab_entry entry;
        size_t n = 0;

        assert_int_equal(krb5_kt_start_seq_get(f->krb->context, keytab, &cursor), 0);
        while (krb5_kt_next_entry(f->krb->context, keytab, &entry, &cursor) == 0) {
                krb5_free_keytab_entry_contents(f->krb->context, &entry);
                n++;
        }
        assert_int_equal(krb5_kt_end_seq_get(f->krb->context, keytab, &cursor), 0);
        return n;
}

static void test_environment_is_ignored(void **state)
{
        struct fixture *f = *state;
        char *realm = NULL, path[64];

        assert_null(getenv("KRB5_TRACE"));
        assert_int_equal(krb5_get_default_realm(f->krb->context, &realm), 0);
        assert_string_equal(realm, "POSTERN.INVALID");
        krb5_free_default_realm(f->krb->context, realm);
        snprintf(path, sizeof path, "%s/trace", f->folder);
        assert_int_not_equal(access(path, F_OK), 0);
}

static void test_only_aes_is_offered(void **state)
{
        struct fixture *f = *state;
        krb5_enctype *types = NULL;
        size_t n = 0;

        assert_int_equal(krb5_get_permitted_enctypes(f->krb->context, &types), 0);
        for (; types[n]; n++)
                assert_true(krb_enctype_is_aes(types[n]));
        assert_int_equal(n, 4);
        krb5_free_enctypes(f->krb->context, types);
}

static void test_keytab_is_copied(void **state)
{
        struct fixture *f = *state;
        struct krb_domain *domain;

        add_key(f, "host/connector.corp.example@CORP.EXAMPLE", ENCTYPE_AES256_CTS_HMAC_SHA1_96, 3);
        add_key(f, "host/connector.corp.example@CORP.EXAMPLE", ENCTYPE_ARCFOUR_HMAC, 3);
        add_key(f, "host/other.corp.example@CORP.EXAMPLE", ENCTYPE_AES256_CTS_HMAC_SHA1_96, 3);
        assert_int_equal(krb_domain_add(&f->krb->method, &ad, NULL), 0);
        domain = krb_domain_find(f->krb, &ad);
        assert_non_null(domain);
        assert_string_equal(domain->service_text, "host/connector.corp.example@CORP.EXAMPLE");
        assert_int_equal(count_keys(f, domain->keytab), 1);
        add_key(f, "host/connector.corp.example@CORP.EXAMPLE", ENCTYPE_AES128_CTS_HMAC_SHA1_96, 4);
        assert_int_equal(count_keys(f, domain->keytab), 1);
        assert_int_equal(krb_domain_reload(f->krb, domain), 0);
        assert_int_equal(count_keys(f, domain->keytab), 2);
        assert_int_equal(krb_domain_add(&f->krb->method, &ad, NULL), 0); /* again: replaces */
        assert_int_equal(count_keys(f, krb_domain_find(f->krb, &ad)->keytab), 2);
}

static void test_keytab_without_aes_is_refused(void **state)
{
        struct fixture *f = *state;
        struct error err;

        add_key(f, "host/connector.corp.example@CORP.EXAMPLE", ENCTYPE_ARCFOUR_HMAC, 1);
        assert_true(krb_domain_add(&f->krb->method, &ad, &err) < 0);
        assert_non_null(strstr(err.text, "corp.example"));
        assert_non_null(strstr(err.text, "no AES key"));
        assert_non_null(strstr(err.text, "samba-tool domain exportkeytab"));
        assert_null(krb_domain_find(f->krb, &ad));
}

/* Another keytab at a reload: the error tells what that one holds, and the keys that were there stay. */
static void test_refused_at_reload_tells_the_new_ones_keys(void **state)
{
        struct fixture *f = *state;
        krb5_keytab served = f->source, other = NULL;
        struct error err = {""};

        add_key(f, "host/connector.corp.example@CORP.EXAMPLE", ENCTYPE_AES256_CTS_HMAC_SHA1_96, 3);
        assert_int_equal(krb_domain_add(&f->krb->method, &ad, NULL), 0);
        assert_int_equal(krb5_kt_resolve(f->krb->context, "MEMORY:test-other", &other), 0);
        f->source = other;
        add_key(f, "host/other.corp.example@CORP.EXAMPLE", ENCTYPE_AES256_CTS_HMAC_SHA1_96, 7);
        f->source = served;
        assert_true(krb_set_keytab(&f->krb->method, &ad, "MEMORY:test-other", &err) < 0);
        assert_non_null(strstr(err.text, "host/other.corp.example@CORP.EXAMPLE number 7"));
        assert_null(strstr(err.text, "number 3"));
        assert_string_equal(krb_domain_find(f->krb, &ad)->keytab_source, ad.keytab);
        assert_int_equal(count_keys(f, krb_domain_find(f->krb, &ad)->keytab), 1);
        krb5_kt_close(f->krb->context, other);
}

static void test_missing_keytab_is_refused(void **state)
{
        struct fixture *f = *state;
        struct domain_config config = ad;
        struct error err;

        config.keytab = "FILE:/nonexistent/keytab";
        assert_true(krb_domain_add(&f->krb->method, &config, &err) < 0);
        assert_non_null(strstr(err.text, "/nonexistent/keytab"));
        config.keytab = NULL;
        assert_true(krb_domain_add(&f->krb->method, &config, &err) < 0);
        assert_non_null(strstr(err.text, "keytab"));
}

/* Checks that a name becomes one component with exactly these bytes in exactly this realm. */
static void assert_principal(struct fixture *f, const struct domain_config *config, enum name_form form,
                             const char *user, const char *component, int type)
{
        struct name name = {.form = form, .suffix = "Alt.Example"};
        krb5_principal p = NULL;

        snprintf(name.user, sizeof name.user, "%s", user);
        assert_int_equal(krb_principal_new(&p, f->krb->context, config, &name), 0);
        assert_int_equal(p->length, 1);
        assert_int_equal(p->type, type);
        assert_int_equal(p->data[0].length, strlen(component));
        assert_memory_equal(p->data[0].data, component, strlen(component));
        assert_int_equal(p->realm.length, strlen("CORP.EXAMPLE"));
        assert_memory_equal(p->realm.data, "CORP.EXAMPLE", strlen("CORP.EXAMPLE"));
        krb5_free_principal(f->krb->context, p);
}

static void test_names_are_not_parsed(void **state)
{
        struct fixture *f = *state;
        struct domain_config generic = ad;

        generic.directory = DIRECTORY_GENERIC;
        assert_principal(f, &ad, NAME_UPN, "alice", "alice@Alt.Example", KRB5_NT_ENTERPRISE_PRINCIPAL);
        assert_principal(f, &ad, NAME_UPN, "a@b", "a@b@Alt.Example", KRB5_NT_ENTERPRISE_PRINCIPAL);
        assert_principal(f, &ad, NAME_NETBIOS, "alice", "alice", KRB5_NT_PRINCIPAL);
        assert_principal(f, &ad, NAME_NETBIOS, "a@EVIL", "a@EVIL", KRB5_NT_PRINCIPAL);
        assert_principal(f, &generic, NAME_UPN, "bob", "bob", KRB5_NT_PRINCIPAL);
        assert_principal(f, &generic, NAME_UPN, "bob/admin@EVIL\\0", "bob/admin@EVIL\\0", KRB5_NT_PRINCIPAL);
}

static void test_names_that_no_account_has(void **state)
{
        static const char *const users[] = {"", "a\\0", "krbtgt/CORP.EXAMPLE", "\\", "/"};
        struct fixture *f = *state;
        krb5_principal p = NULL;

        for (size_t i = 0; i < 2 * sizeof users / sizeof *users; i++) {
                struct name name = {.form = i % 2 ? NAME_UPN : NAME_NETBIOS, .suffix = "corp.example"};

                snprintf(name.user, sizeof name.user, "%s", users[i / 2]);
                assert_int_equal(krb_principal_new(&p, f->krb->context, &ad, &name), KRB5_PARSE_MALFORMED);
                assert_null(p);
        }
}

static void test_memory_keytabs_are_unique(void **state)
{
        struct fixture *f = *state;
        krb5_keytab a, b;
        char name_a[128], name_b[128];

        assert_int_equal(krb_memory_keytab(&a, f->krb), 0);
        assert_int_equal(krb_memory_keytab(&b, f->krb), 0);
        assert_int_equal(krb5_kt_get_name(f->krb->context, a, name_a, sizeof name_a), 0);
        assert_int_equal(krb5_kt_get_name(f->krb->context, b, name_b, sizeof name_b), 0);
        assert_string_not_equal(name_a, name_b);
        krb5_kt_close(f->krb->context, a);
        krb5_kt_close(f->krb->context, b);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_environment_is_ignored),
                TEST(test_only_aes_is_offered),
                TEST(test_keytab_is_copied),
                TEST(test_keytab_without_aes_is_refused),
                TEST(test_refused_at_reload_tells_the_new_ones_keys),
                TEST(test_missing_keytab_is_refused),
                TEST(test_names_are_not_parsed),
                TEST(test_names_that_no_account_has),
                TEST(test_memory_keytabs_are_unique),
        };
        return cmocka_run_group_tests_name("validate-krb-context", tests, NULL, NULL);
}
