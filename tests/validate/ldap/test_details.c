/*
 * Attributes and groups that an accepted verdict carries: by the account's own bind, and by the service account after
 * Kerberos; nested groups, what is too much, and what cannot be read.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

static struct secret *service_password;

static int set_up(void **state)
{
        const char *text = lab_get2("SVC_SEARCH", "PASSWORD");
        int r = rig_set_up(state);

        assert_int_equal(secret_new(&service_password, text, strlen(text)), 0);
        return r;
}

static int tear_down(void **state)
{
        struct rig *rig = *state;

        rig->v = validate_free(rig->v);
        service_password = secret_free(service_password);
        return rig_tear_down(state);
}

static struct domain_config *domain(struct rig *rig, enum method method)
{
        struct domain_config *d = &rig->domains[0];

        rig_samba_by(rig, 0, method);
        d->service_account = lab_get2("SVC_SEARCH", "UPN");
        d->service_password = service_password;
        return d;
}

static unsigned count(const struct pairs *p, const char *name, const char *part)
{
        const char *n, *value;
        unsigned found = 0;

        for (size_t at = 0; pairs_next(p, &at, &n, &value);)
                found += strcmp(n, name) == 0 && strstr(value, part) != NULL;
        return found;
}

static struct ask sign_in(struct rig *rig, const char *label)
{
        struct ask ask = {.name = lab_get2(label, "UPN"), .password = lab_get2(label, "PASSWORD")};

        ask_one(rig, &ask);
        return ask;
}

static void test_both_methods(void **state)
{
        static const enum method methods[] = {METHOD_LDAP, METHOD_KRB5};
        struct rig *rig = *state;

        for (size_t i = 0; i < 2; i++) {
                struct domain_config *d = domain(rig, methods[i]);
                const struct account_details *details;
                struct ask ask;

                d->attributes[0] = "mail";
                d->attributes[1] = "objectGUID";
                d->attributes[2] = "pwdLastSet";
                d->attributes[3] = "MEMBEROF"; /* names are told as the configuration writes them */
                d->attributes[4] = "objectSid";
                d->attributes[5] = "noSuchAttribute";
                rig_start_ready(rig, 1);
                ask = sign_in(rig, "GOOD1");
                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.user.id, lab_get2("GOOD1", "SID"));
                details = &ask.outcome.details;
                assert_int_equal(details->state, DETAILS_COMPLETE);
                assert_int_equal(count(&details->values, "mail", lab_get2("GOOD1", "MAIL")), 1);
                assert_int_equal(count(&details->values, "objectSid", lab_get2("GOOD1", "SID")), 1);
                assert_int_equal(count(&details->values, "objectGUID", "-"), 1);
                assert_int_equal(count(&details->values, "pwdLastSet", "1"), 1);
                assert_int_equal(count(&details->values, "MEMBEROF", "inner-group"), 1);
                assert_int_equal(count(&details->values, "MEMBEROF", "outer-group"), 0);
                assert_int_equal(count(&details->values, "noSuchAttribute", ""), 0);
                rig->v = validate_free(rig->v);
                loop_run_once(rig->loop);
        }
}

static void test_nested_groups(void **state)
{
        static const enum method methods[] = {METHOD_LDAP, METHOD_KRB5};
        struct rig *rig = *state;

        for (size_t i = 0; i < 2; i++) {
                struct domain_config *d = domain(rig, methods[i]);
                struct ask ask;

                d->attributes[0] = "memberOf";
                d->attributes[1] = "tokenGroups";
                d->nested_groups = true;
                rig_start_ready(rig, 1);
                ask = sign_in(rig, "GOOD1");
                assert_reason(&ask, REASON_OK);
                assert_int_equal(ask.outcome.details.state, DETAILS_COMPLETE);
                assert_int_equal(count(&ask.outcome.details.values, "memberOf", "CN=inner-group,"), 1);
                assert_int_equal(count(&ask.outcome.details.values, "memberOf", "CN=outer-group,"), 1);
                assert_true(count(&ask.outcome.details.values, "tokenGroups", "S-1-5-21-") >= 3);
                rig->v = validate_free(rig->v);
                loop_run_once(rig->loop);
                /* nothing below this base */
                d->groups_base = "OU=Elsewhere,DC=corp,DC=example";
                rig_start_ready(rig, 1);
                ask = sign_in(rig, "GOOD1");
                assert_int_equal(count(&ask.outcome.details.values, "memberOf", ""), 0);
                assert_int_equal(ask.outcome.details.state, DETAILS_COMPLETE);
                rig->v = validate_free(rig->v);
                loop_run_once(rig->loop);
        }
}

/* 150 groups are more than a verdict holds: some are told, and that there are more. */
static void test_too_much(void **state)
{
        struct rig *rig = *state;
        struct domain_config *d = domain(rig, METHOD_LDAP);
        struct ask ask;

        d->attributes[0] = "mail";
        d->attributes[1] = "memberOf";
        rig_start_ready(rig, 1);
        ask = sign_in(rig, "MANY_GROUPS");
        assert_reason(&ask, REASON_OK);
        assert_int_equal(ask.outcome.details.state, DETAILS_TRUNCATED);
        assert_true(count(&ask.outcome.details.values, "memberOf", "CN=") > 5);
        assert_true(ask.outcome.details.values.len <= PAIRS_BYTES_MAX);
}

/* The service account's password is wrong: accepted all the same, or, where they are required, by nobody. It costs the
 * service account one failure, not one for each sign-in. */
static void test_not_readable(void **state)
{
        struct rig *rig = *state;
        int before = lab_bad_pwd_count(lab_get2("SVC_SEARCH", "SAM"));

        for (int required = 0; required < 2; required++) {
                struct domain_config *d = domain(rig, METHOD_KRB5);
                struct secret *wrong = NULL;

                assert_int_equal(secret_new(&wrong, "Wr0ng-password-1", 16), 0);
                d->service_password = wrong;
                d->attributes[0] = "mail";
                d->attributes_required = required;
                rig_start_ready(rig, 1);
                for (int i = 0; i < 3; i++) {
                        struct ask ask = sign_in(rig, "GOOD2");

                        assert_reason(&ask, required ? REASON_ATTRIBUTES_UNAVAILABLE : REASON_OK);
                        assert_int_equal(ask.outcome.details.state, DETAILS_UNAVAILABLE);
                        assert_int_equal(ask.outcome.details.values.len, 0);
                        assert_true(ask.outcome.password_proved);
                        assert_int_equal(ask.outcome.counted, COUNTED_NO);
                        assert_string_equal(ask.outcome.user.id, required ? "" : lab_get2("GOOD2", "SID"));
                }
                rig->v = validate_free(rig->v);
                loop_run_once(rig->loop);
                secret_free(wrong);
        }
        assert_int_equal(lab_bad_pwd_count(lab_get2("SVC_SEARCH", "SAM")), before + 2);
}

/* Nobody refused is told anything of the account. */
static void test_refused_carry_none(void **state)
{
        struct rig *rig = *state;
        struct domain_config *d = domain(rig, METHOD_LDAP);
        struct ask wrong = {.name = lab_get2("GOOD12", "UPN"), .password = "Wr0ng-password-1"};

        d->attributes[0] = "mail";
        rig_start_ready(rig, 1);
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        assert_int_equal(wrong.outcome.details.state, DETAILS_NONE);
        assert_int_equal(wrong.outcome.details.values.len, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_both_methods), TEST(test_nested_groups),      TEST(test_too_much),
                TEST(test_not_readable), TEST(test_refused_carry_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
