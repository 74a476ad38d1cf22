/*
 * Changing a password through a real AD DC (kpasswd), for accounts in order, expired and due for a change,
 * and what its policies refuse.
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

#define NEW "Brand-new-Pass-77"

static void rig_change(struct rig *rig, enum method method)
{
        rig_samba_by(rig, 0, method);
        rig->domains[0].password_change = true;
        rig_start_ready(rig, 1);
}

static struct ask change(struct rig *rig, const char *label, const char *old, const char *new)
{
        struct ask ask = {.name = lab_get2(label, "UPN"), .password = old, .new_password = new};

        ask_one(rig, &ask);
        return ask;
}

/* Changed; the old password is over, the new one signs in, nothing was counted. */
static void assert_changed(struct rig *rig, const char *label)
{
        const char *sam = lab_get2(label, "SAM");
        struct ask ask = change(rig, label, lab_get2(label, "PASSWORD"), NEW), again;

        assert_reason(&ask, REASON_PASSWORD_CHANGED);
        assert_true(ask.outcome.password_proved);
        assert_string_equal(ask.outcome.user.id, lab_get2(label, "SID"));
        assert_int_equal(lab_bad_pwd_count(sam), 0);
        again = (struct ask){.name = ask.name, .password = NEW};
        ask_one(rig, &again);
        assert_reason(&again, REASON_OK);
}

static void test_changed_by_ldap_domain(void **state)
{
        static const char *const labels[] = {"CHANGE1", "CHANGE_EXPIRED", "CHANGE_MUST"};

        rig_change(*state, METHOD_LDAP);
        for (size_t i = 0; i < 3; i++)
                assert_changed(*state, labels[i]);
}

static void test_changed_by_krb5_domain(void **state)
{
        static const char *const labels[] = {"CHANGE2", "CHANGE_MUST2"};

        rig_change(*state, METHOD_KRB5);
        for (size_t i = 0; i < 2; i++)
                assert_changed(*state, labels[i]);
}

static void test_wrong_old_password_counts_one(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        rig_change(rig, METHOD_LDAP);
        ask = change(rig, "CHANGE3", "Wr0ng-password-1", NEW);
        assert_reason(&ask, REASON_WRONG_PASSWORD);
        assert_int_equal(ask.outcome.counted, COUNTED_YES);
        assert_int_equal(lab_bad_pwd_count("change3"), 1);
        ask = (struct ask){.name = ask.name, .password = lab_get2("CHANGE3", "PASSWORD")};
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
}

static void test_policies(void **state)
{
        static const struct {
                const char *label, *new;
                enum reason reason;
        } rows[] = {
                {"CHANGE_STRICT", "Sh0rt-1", REASON_NEW_PASSWORD_TOO_SHORT},
                {"CHANGE_STRICT", "longbutonlylowercase", REASON_NEW_PASSWORD_TOO_SIMPLE},
                {"CHANGE_DENIED", NEW, REASON_CHANGE_NOT_PERMITTED},
        };
        struct rig *rig = *state;
        const char *strict = lab_get2("CHANGE_STRICT", "PASSWORD");
        struct ask ask;

        rig_change(rig, METHOD_LDAP);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                ask = change(rig, rows[i].label, lab_get2(rows[i].label, "PASSWORD"), rows[i].new);
                assert_reason(&ask, rows[i].reason);
                assert_true(ask.outcome.password_proved);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
        }
        ask = change(rig, "CHANGE_STRICT", strict, NEW);
        assert_reason(&ask, REASON_PASSWORD_CHANGED);
        ask = change(rig, "CHANGE_STRICT", NEW, strict);
        assert_reason(&ask, REASON_NEW_PASSWORD_IN_HISTORY);
        ask = change(rig, "CHANGE_YOUNG", lab_get2("CHANGE_YOUNG", "PASSWORD"), NEW);
        assert_reason(&ask, REASON_PASSWORD_TOO_YOUNG);
        ask = (struct ask){.name = ask.name, .password = lab_get2("CHANGE_YOUNG", "PASSWORD")};
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
}

/* Nothing reaches a DC. */
static void test_refused_before_any_dc(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        rig_change(rig, METHOD_LDAP);
        ask = change(rig, "CHANGE4", "same-Pass-1", "same-Pass-1");
        assert_reason(&ask, REASON_BAD_NEW_PASSWORD);
        ask = change(rig, "CHANGE4", "x",
                     "bad\xff"
                     "utf8");
        assert_reason(&ask, REASON_BAD_NEW_PASSWORD);
        assert_string_equal(ask.outcome.dc, "");
        assert_int_equal(lab_bad_pwd_count("change4"), 0);
        rig->v = validate_free(rig->v);
        rig_samba(rig, 0);
        rig_start_ready(rig, 1);
        ask = change(rig, "CHANGE4", lab_get2("CHANGE4", "PASSWORD"), NEW);
        assert_reason(&ask, REASON_CHANGE_UNAVAILABLE);
        assert_string_equal(ask.outcome.dc, "");
}

/* The kpasswd service cannot be reached: said so, and nothing changed. */
static void test_no_kpasswd_service(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        rig_samba(rig, 0);
        rig->domains[0].password_change = true;
        rig->domains[0].kpasswd_port = 1;
        rig_start_ready(rig, 1);
        ask = change(rig, "CHANGE5", lab_get2("CHANGE5", "PASSWORD"), NEW);
        assert_reason(&ask, REASON_DC_REFUSED);
        assert_non_null(strstr(ask.outcome.context, "password change"));
        ask = (struct ask){.name = ask.name, .password = lab_get2("CHANGE5", "PASSWORD")};
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
}

/* The request was taken and nobody answers: either password may hold, and nothing is sent again. */
static void test_no_answer(void **state)
{
        struct rig *rig = *state;
        struct ask ask = {.name = lab_get2("CHANGE6", "UPN"),
                          .password = lab_get2("CHANGE6", "PASSWORD"),
                          .new_password = NEW,
                          .budget_ms = 5000};
        struct peer mute;

        peer_open(&mute, rig, lab_get("AD_ADDRESS"), 0, NULL);
        rig_samba(rig, 0);
        rig->domains[0].password_change = true;
        rig->domains[0].kpasswd_port = mute.port;
        rig_start_ready(rig, 1);
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_CHANGE_UNKNOWN);
        assert_string_equal(ask.outcome.user.id, "");
        ask = (struct ask){.name = ask.name, .password = ask.password};
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK); /* here the old one */
        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
        peer_close(&mute);
}

/* Changed, but the sign-in with the new password decides nothing: the verdict says both. */
static void test_changed_unverified(void **state)
{
        struct rig *rig = *state;
        struct ask ask;

        rig_random_keytab("MEMORY:other", "host/connector.corp.example@CORP.EXAMPLE");
        rig_samba_by(rig, 0, METHOD_KRB5);
        rig->domains[0].password_change = true;
        rig->domains[0].keytab = "MEMORY:other";
        rig_start_ready(rig, 1);
        ask = change(rig, "CHANGE8", lab_get2("CHANGE8", "PASSWORD"), NEW);
        assert_reason(&ask, REASON_CHANGED_UNVERIFIED);
        assert_false(ask.outcome.password_proved); /* by a KDC that nobody vouched for */
        assert_string_equal(ask.outcome.user.id, "");
        assert_non_null(strstr(ask.outcome.context, "kdc_not_verified"));
        assert_int_equal(lab_bad_pwd_count("change8"), 0);
        rig->v = validate_free(rig->v);
        loop_run_once(rig->loop);
        rig_samba(rig, 0);
        rig_start_ready(rig, 1);
        ask = (struct ask){.name = lab_get2("CHANGE8", "UPN"), .password = NEW};
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_changed_by_ldap_domain),
                TEST(test_changed_by_krb5_domain),
                TEST(test_wrong_old_password_counts_one),
                TEST(test_policies),
                TEST(test_refused_before_any_dc),
                TEST(test_no_kpasswd_service),
                TEST(test_no_answer),
                TEST(test_changed_unverified),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
