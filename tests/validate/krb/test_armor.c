/*
 * Armoured sign-ins (FAST, RFC 6113) at a real AD and a real MIT KDC: the armour ticket that is got, renewed,
 * missing or refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

static char ad_keytab[512], mit_keytab[512];

static void ad_domain(struct rig *rig)
{
        snprintf(ad_keytab, sizeof ad_keytab, "FILE:%s", lab_get("AD_ARMOR_KEYTAB"));
        rig_samba_by(rig, 0, METHOD_KRB5);
        rig->domains[0].keytab = ad_keytab;
        rig->domains[0].armor_principal = lab_get("AD_ARMOR_PRINCIPAL");
}

static void mit_domain(struct rig *rig, const char *principal)
{
        snprintf(mit_keytab, sizeof mit_keytab, "FILE:%s", lab_get("MIT_KEYTAB"));
        rig->domains[0] = (struct domain_config){
                .name = lab_get("MIT_DOMAIN"),
                .realm = lab_get("MIT_REALM"),
                .dcs = {{.host = lab_get("MIT_HOST"), .address = lab_get("MIT_ADDRESS")}},
                .n_dcs = 1,
                .methods = {METHOD_KRB5},
                .directory = DIRECTORY_GENERIC,
                .kdc_port = lab_port("MIT_KDC_PORT"),
                .keytab = mit_keytab,
                .service_principal = lab_get("MIT_SERVICE"),
                .armor_principal = principal,
        };
}

static struct ask u1(const char *password)
{
        return (struct ask){.name = "u1@mit.example", .password = password};
}

/* Armour comes a moment after the DC: until then nobody's password is sent. */
static void wait_armor(struct rig *rig, const char *name, const char *password)
{
        uint64_t end = loop_now(rig->loop) + 120000;

        for (;;) {
                struct ask ask = {.name = name, .password = password};

                ask_one(rig, &ask);
                if (ask.outcome.reason != REASON_ARMOR_UNAVAILABLE)
                        return;
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                if (loop_now(rig->loop) > end)
                        fail_msg("no armour: %s", ask.outcome.context);
                rig_spin(rig, 20);
        }
}

static void test_ad(void **state)
{
        static const struct {
                const char *label;
                enum reason reason;
                bool proved;
        } rows[] = {{"GOOD1", REASON_OK, true},
                    {"DISABLED", REASON_REVOKED, false}, /* no cause comes with an armoured answer */
                    {"EXPIRED", REASON_PASSWORD_EXPIRED, true}};
        struct rig *rig = *state;
        struct ask wrong = {.name = lab_get2("GOOD12", "UPN"), .password = "Wr0ng-password-1"},
                   unknown = {.name = "nobody@corp.example", .password = "Wr0ng-password-1"};

        ad_domain(rig);
        rig_start_ready(rig, 1);
        wait_armor(rig, lab_get2("GOOD1", "UPN"), lab_get2("GOOD1", "PASSWORD"));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = {.name = lab_get2(rows[i].label, "UPN"),
                                  .password = lab_get2(rows[i].label, "PASSWORD")};

                ask_one(rig, &ask);
                assert_reason(&ask, rows[i].reason);
                assert_int_equal(ask.outcome.password_proved, rows[i].proved);
                assert_false(ask.outcome.has_ntstatus);
                if (rows[i].reason == REASON_OK)
                        assert_string_equal(ask.outcome.user.id, lab_get2(rows[i].label, "SID"));
        }
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        assert_int_equal(wrong.outcome.counted, COUNTED_YES);
        assert_int_equal(lab_bad_pwd_count("good12"), 1);
        ask_one(rig, &unknown);
        assert_reason(&unknown, REASON_UNKNOWN_USER);
}

static void test_mit(void **state)
{
        struct rig *rig = *state;
        struct ask wrong = u1("Wr0ng-password-1"), right = u1(lab_get2("MIT_U1", "PASSWORD"));

        mit_domain(rig, lab_get("MIT_SERVICE"));
        rig_start_ready(rig, 1);
        wait_armor(rig, right.name, right.password);
        ask_one(rig, &right);
        assert_reason(&right, REASON_OK);
        assert_string_equal(right.outcome.user.id, "krb5:u1@MIT.EXAMPLE");
        ask_one(rig, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        assert_int_equal(wrong.outcome.counted, COUNTED_YES);
}

/* For longer than an armour ticket lives, no sign-in misses it. */
static void test_renewed(void **state)
{
        struct rig *rig = *state;
        uint64_t end;
        unsigned n = 0;

        mit_domain(rig, lab_get("MIT_SHORT_PRINCIPAL"));
        rig_start_ready(rig, 1);
        wait_armor(rig, "u1@mit.example", lab_get2("MIT_U1", "PASSWORD"));
        end = loop_now(rig->loop) + 1000 * (lab_port("MIT_SHORT_LIFE") + 4u);
        while (loop_now(rig->loop) < end) {
                struct ask ask = u1(lab_get2("MIT_U1", "PASSWORD"));

                ask_one(rig, &ask);
                assert_reason(&ask, REASON_OK);
                n++;
                rig_spin(rig, 200);
        }
        assert_true(n > 20);
}

/* The KDC refuses the connector's own account, whose keytab is of an older key: no user's password is sent, and the
 * reason says where to look. */
static void test_refused(void **state)
{
        struct rig *rig = *state;
        struct ask ask = u1(lab_get2("MIT_U1", "PASSWORD"));

        mit_domain(rig, "short");
        rig_random_keytab("MEMORY:old", "short@MIT.EXAMPLE");
        rig_random_keytab("MEMORY:old", "host/connector.mit.example@MIT.EXAMPLE");
        rig->domains[0].keytab = "MEMORY:old";
        rig_start_ready(rig, 1);
        rig_spin(rig, 100);
        ask_one(rig, &ask);
        while (strstr(ask.outcome.context, "not asked for yet")) {
                rig_spin(rig, 20);
                ask_one(rig, &ask);
        }
        assert_reason(&ask, REASON_ARMOR_UNAVAILABLE);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_false(ask.outcome.password_proved);
}

/* Without a keytab or with one that lacks the armour's principal, the start fails and says so. */
static void test_not_in_the_keytab(void **state)
{
        struct rig *rig = *state;
        struct error err;

        mit_domain(rig, "nobody-has-this");
        rig->config = (struct validate_config){.domains = rig->domains, .n_domains = 1};
        assert_int_equal(validate_new(&rig->v, rig->loop, &rig->config, NULL, NULL, &err), -ENOENT);
        assert_non_null(strstr(err.text, "armor_principal"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_ad), TEST(test_mit), TEST(test_renewed), TEST(test_refused), TEST(test_not_in_the_keytab),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
