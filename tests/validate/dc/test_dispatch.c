/*
 * The dispatcher over both methods at once, at one real AD DC: the same people by Kerberos and by LDAP, side
 * by side, and a Kerberos DC that goes away.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define ROUNDS 32

static void test_states_by_krb5(void **state)
{
        static const struct {
                const char *label;
                enum reason reason;
        } rows[] = {
                {"GOOD1", REASON_OK},
                {"ALT_SUFFIX", REASON_OK},
                {"DISABLED", REASON_DISABLED},
                {"LOCKED", REASON_LOCKED_OUT},
                {"EXPIRED", REASON_PASSWORD_EXPIRED},
                {"MUST_CHANGE", REASON_MUST_CHANGE_PASSWORD},
        };
        struct rig *rig = *state;
        struct ask nobody = {.name = "nobody-here@corp.example", .password = "Wr0ng-password-1"};

        rig_samba_by(rig, 0, METHOD_KRB5);
        rig_start_ready(rig, 1);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = {.name = lab_get2(rows[i].label, "UPN"),
                                  .password = lab_get2(rows[i].label, "PASSWORD")};

                ask_one(rig, &ask);
                assert_reason(&ask, rows[i].reason);
                assert_int_equal(ask.outcome.method, METHOD_KRB5);
                assert_string_equal(ask.outcome.dc, lab_get("AD_HOST"));
                if (rows[i].reason == REASON_OK)
                        assert_string_equal(ask.outcome.user.id, lab_get2(rows[i].label, "SID"));
        }
        ask_one(rig, &nobody);
        assert_reason(&nobody, REASON_UNKNOWN_USER);
}

/* A wrong password counts once by either method, and both see the same account. */
static void test_both_methods_count_once(void **state)
{
        struct rig *rig = *state;
        const char *sam = lab_get("GOOD5_SAM");
        struct ask wrong = {.name = lab_get("GOOD5_UPN"), .password = "Wr0ng-password-1"};

        assert_int_equal(lab_unlock(sam), 0);
        for (int i = 0; i < 2; i++) {
                if (i == 0)
                        rig_samba_by(rig, 0, METHOD_KRB5);
                else
                        rig_samba(rig, 0);
                rig_start_ready(rig, 1);
                ask_one(rig, &wrong);
                assert_reason(&wrong, REASON_WRONG_PASSWORD);
                assert_int_equal(wrong.outcome.counted, COUNTED_YES);
                assert_int_equal(wrong.outcome.method, i == 0 ? METHOD_KRB5 : METHOD_LDAP);
                assert_int_equal(lab_bad_pwd_count(sam), i + 1);
                rig->v = validate_free(rig->v);
        }
        assert_int_equal(lab_unlock(sam), 0);
}

/* Kerberos for AD and LDAP for slapd in one validator, interleaved. */
static void test_side_by_side(void **state)
{
        static struct ask asks[ROUNDS];
        static char labels[ROUNDS][24];
        struct rig *rig = *state;

        rig_samba_by(rig, 0, METHOD_KRB5);
        rig_slapd(rig, 1);
        rig_start_ready(rig, 2);
        for (unsigned i = 0; i < ROUNDS; i++) {
                snprintf(labels[i], sizeof labels[i], i % 2 ? "SLAPD_U%u" : "GOOD%u", i / 2 + 1);
                asks[i] = (struct ask){.name = lab_get2(labels[i], "UPN"),
                                       .password = lab_get2(labels[i], "PASSWORD"),
                                       .budget_ms = 20000};
        }
        ask_all(rig, asks, ROUNDS);
        for (unsigned i = 0; i < ROUNDS; i++) {
                assert_reason(&asks[i], REASON_OK);
                assert_string_equal(asks[i].outcome.user.id, lab_get2(labels[i], "SID"));
                assert_int_equal(asks[i].outcome.method, i % 2 ? METHOD_LDAP : METHOD_KRB5);
        }
}

/* The first KDC of the list refuses connections: the next one answers, and soon the first is not asked any
 * more. */
static void test_krb5_goes_on(void **state)
{
        struct rig *rig = *state;
        struct ask ask = {.name = lab_get("GOOD1_UPN"), .password = lab_get("GOOD1_PASSWORD")};

        rig_samba_by(rig, 0, METHOD_KRB5);
        rig->domains[0].dcs[1] = rig->domains[0].dcs[0];
        rig->domains[0].dcs[0] = (struct dc_config){.host = "dc0.corp.example", .address = "127.255.255.1"};
        rig->domains[0].n_dcs = 2;
        rig_start(rig, 1);
        for (int i = 0; i < 3; i++) {
                ask_one(rig, &ask);
                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.dc, lab_get("AD_HOST"));
        }
}

static void test_krb5_none_alive(void **state)
{
        struct rig *rig = *state;
        struct ask ask = {.name = lab_get("GOOD1_UPN"), .password = lab_get("GOOD1_PASSWORD")};

        rig_samba_by(rig, 0, METHOD_KRB5);
        rig->domains[0].dcs[0] = (struct dc_config){.host = "dc0.corp.example", .address = "127.255.255.1"};
        rig_start(rig, 1);
        for (int i = 0; i < 2; i++) {
                ask_one(rig, &ask);
                assert_int_equal(reason_info(ask.outcome.reason)->verdict, VERDICT_UNAVAILABLE);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                rig_spin(rig, 100);
                assert_false(validate_ready(rig->v, 0, NULL));
        }
}

/* One of two DCs answers probes, and drops whoever binds: soon nobody goes there, and no bind is repeated.
 * test_health.c has the rest on the fake clock. */
static void test_sick_dc_draws_nobody(void **state)
{
        struct rig *rig = *state;
        struct peer sick, well;
        unsigned failed = 0, good = 0, user = 0;

        peer_open(&sick, rig, peer_address(0), 0, "DC");
        peer_open(&well, rig, peer_address(1), sick.port, "DC");
        sick.on_bind = PEER_CLOSE;
        peer_domain(rig, 0, &sick);
        rig->domains[0].dcs[1] = (struct dc_config){.host = "dc2.corp.example", .address = well.address};
        rig->domains[0].n_dcs = 2;
        rig_start_ready(rig, 1);
        for (; good < 20; user++) { /* in a row */
                char name[40];
                struct ask ask = {.name = name, .password = "right", .budget_ms = 60000};

                snprintf(name, sizeof name, "user%u@corp.example", user);
                ask_one(rig, &ask);
                good = ask.outcome.reason == REASON_OK ? good + 1 : 0;
                failed += ask.outcome.reason != REASON_OK;
                assert_true(user < 100);
        }
        assert_int_equal(sick.binds, failed);
        assert_int_equal(well.binds, user - failed);
        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
        peer_close(&sick);
        peer_close(&well);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_states_by_krb5), TEST(test_both_methods_count_once), TEST(test_side_by_side),
                TEST(test_krb5_goes_on),   TEST(test_krb5_none_alive),         TEST(test_sick_dc_draws_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
