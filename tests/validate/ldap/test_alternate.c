/*
 * Alternate ids before a real AD DC: found by the service account, signed in as the account that has them,
 * and everything that can go wrong on the way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

static struct secret *service_password;

static int tear_down(void **state)
{
        struct rig *rig = *state;

        rig->v = validate_free(rig->v);
        service_password = secret_free(service_password);
        rig_close(rig);
        return 0;
}

static void rig_alternate(struct rig *rig, enum method method, const char *password)
{
        rig_samba_by(rig, 0, method);
        rig->domains[0].alternate_id = "mail";
        rig->domains[0].alternate_id_suffixes[0] = "mail.example";
        rig->domains[0].service_account = lab_get2("SVC_SEARCH", "UPN");
        assert_int_equal(secret_new(&service_password, password, strlen(password)), 0);
        rig->domains[0].service_password = service_password;
        rig_start_ready(rig, 1);
}

static struct ask sign_in(struct rig *rig, const char *name, const char *password)
{
        struct ask ask = {.name = name, .password = password};

        ask_one(rig, &ask);
        return ask;
}

static void check_all(struct rig *rig, enum method method, const char *label)
{
        const char *password = lab_get2(label, "PASSWORD"), *mail = lab_get2(label, "MAIL"),
                   *sam = lab_get2(label, "SAM");
        struct ask ask;

        rig_alternate(rig, method, lab_get2("SVC_SEARCH", "PASSWORD"));
        ask = sign_in(rig, mail, password);
        assert_reason(&ask, REASON_OK);
        assert_string_equal(ask.outcome.user.id, lab_get2(label, "SID"));
        assert_string_equal(ask.outcome.user.sam, sam);
        ask = sign_in(rig, mail, "Wr0ng-password-1");
        assert_reason(&ask, REASON_WRONG_PASSWORD);
        assert_int_equal(lab_bad_pwd_count(sam), 1);
        ask = sign_in(rig, "nobody.box@mail.example", password);
        assert_reason(&ask, REASON_ALIAS_UNKNOWN);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        ask = sign_in(rig, "shared.box@mail.example", lab_get2("SAME_MAIL_1", "PASSWORD"));
        assert_reason(&ask, REASON_ALIAS_AMBIGUOUS);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_int_equal(lab_bad_pwd_count("samemail1") + lab_bad_pwd_count("samemail2"), 0);
        ask = sign_in(rig, lab_get2(label, "UPN"), password); /* other names go their own way */
        assert_reason(&ask, REASON_OK);
}

static void test_found_by_ldap(void **state)
{
        check_all(*state, METHOD_LDAP, "GOOD1");
}

static void test_found_by_krb5(void **state)
{
        check_all(*state, METHOD_KRB5, "GOOD2");
}

/* What people type reaches the filter as a value: nothing in it means anything there. */
static void test_filters_are_not_built_of_names(void **state)
{
        static const char *const names[] = {"good3.box)(objectClass=user@mail.example", "*@mail.example",
                                            "good3.\\62ox@mail.example", "good3.bo%@mail.example",
                                            "good3.box&@mail.example"};
        struct rig *rig = *state;

        rig_alternate(rig, METHOD_LDAP, lab_get2("SVC_SEARCH", "PASSWORD"));
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                struct ask ask = sign_in(rig, names[i], lab_get2("GOOD3", "PASSWORD"));

                if (ask.outcome.reason != REASON_BAD_NAME_FORM)
                        assert_reason(&ask, REASON_ALIAS_UNKNOWN);
        }
        assert_int_equal(lab_bad_pwd_count("good3"), 0);
}

/* A wrong password of the service account is tried once, and does not lock it out. */
static void test_service_account_refused(void **state)
{
        struct rig *rig = *state;

        rig_alternate(rig, METHOD_LDAP, "Not-its-password-1");
        for (int i = 0; i < 20; i++) {
                struct ask ask = sign_in(rig, lab_get2("GOOD4", "MAIL"), lab_get2("GOOD4", "PASSWORD"));

                assert_reason(&ask, REASON_LOOKUP_FAILED);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_non_null(strstr(ask.outcome.context, "service account"));
        }
        assert_int_equal(lab_bad_pwd_count("svc-search"), 1);
        lab_unlock("svc-search");
}

static void test_needs_a_service_account(void **state)
{
        struct rig *rig = *state;
        struct error err = {""};

        rig_samba(rig, 0);
        rig->domains[0].alternate_id = "mail";
        rig->domains[0].alternate_id_suffixes[0] = "mail.example";
        rig->config = (struct validate_config){.domains = rig->domains, .n_domains = 1};
        assert_true(validate_new(&rig->v, rig->loop, &rig->config, NULL, NULL, &err) < 0);
        assert_non_null(strstr(err.text, "alternate_id needs a service account"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_found_by_ldap),
                TEST(test_found_by_krb5),
                TEST(test_filters_are_not_built_of_names),
                TEST(test_service_account_refused),
                TEST(test_needs_a_service_account),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
