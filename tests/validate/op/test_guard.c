/*
 * The lockout guard before a real AD DC: whatever is typed however often, the account is not locked out.
 * test_throttle.c has the rest on the fake clock.
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

#define FAILURES 3
#define MANY 24

static void rig_guard(struct rig *rig, enum method method, enum guard_mode mode)
{
        rig_samba_by(rig, 0, method);
        rig->guard = (struct guard_config){.mode = mode, .failures = FAILURES};
        rig_start_ready(rig, 1);
}

static unsigned count_reason(const struct ask *asks, size_t n, enum reason reason)
{
        unsigned found = 0;

        for (size_t i = 0; i < n; i++)
                found += asks[i].outcome.reason == reason;
        return found;
}

/* Other wrong passwords all at once, under every form of the name. */
static void guess(struct rig *rig, const char *label)
{
        static struct ask asks[MANY];
        static char names[3][300], passwords[MANY][32];
        const char *sam = lab_get2(label, "SAM");
        unsigned wrong;

        snprintf(names[0], sizeof names[0], "%s", lab_get2(label, "UPN"));
        snprintf(names[1], sizeof names[1], "%s", lab_get2(label, "ALT_UPN"));
        snprintf(names[2], sizeof names[2], "CORP\\%s", sam);
        for (size_t i = 0; i < MANY; i++) {
                snprintf(passwords[i], sizeof passwords[i], "Wr0ng-%zu", i);
                asks[i] = (struct ask){.name = names[i % 3], .password = passwords[i], .budget_ms = 60000};
        }
        ask_all(rig, asks, MANY);
        wrong = count_reason(asks, MANY, REASON_WRONG_PASSWORD);
        assert_int_equal(wrong, FAILURES);
        assert_int_equal(count_reason(asks, MANY, REASON_THROTTLED), MANY - FAILURES);
        assert_int_equal(lab_bad_pwd_count(sam), FAILURES);
        for (size_t i = 0; i < MANY; i++) {
                if (asks[i].outcome.reason != REASON_THROTTLED)
                        continue;
                assert_int_equal(asks[i].outcome.counted, COUNTED_NO);
                assert_in_range(asks[i].outcome.retry_after, 1, 1800);
                /* a KDC may have told whose name it is */
                assert_true(asks[i].outcome.dc[0] == '\0' || asks[i].outcome.method == METHOD_KRB5);
        }
}

static void test_guessing_does_not_lock_out(void **state)
{
        struct rig *rig = *state;

        rig_guard(rig, METHOD_LDAP, GUARD_ON);
        guess(rig, "GOOD8");
}

/* A UPN whose left part is not the sAMAccountName, and that name, by turns: by Kerberos the KDC tells that they are
 * one, by LDAP the service account. */
static void test_two_names_of_one_account(void **state)
{
        static const enum method methods[] = {METHOD_KRB5, METHOD_LDAP};
        struct rig *rig = *state;

        for (size_t m = 0; m < 2; m++) {
                struct secret *password = NULL;
                const char *text = lab_get2("SVC_SEARCH", "PASSWORD");
                unsigned wrong = 0;

                assert_int_equal(secret_new(&password, text, strlen(text)), 0);
                rig_samba_by(rig, 0, methods[m]);
                rig->domains[0].service_account = m ? lab_get2("SVC_SEARCH", "UPN") : NULL;
                rig->domains[0].service_password = password;
                rig->guard = (struct guard_config){.mode = GUARD_ON, .failures = FAILURES};
                rig_start_ready(rig, 1);
                for (unsigned i = 0; i < 8; i++) {
                        char typed[32];
                        struct ask ask = {.name = i % 2 ? "CORP\\altsuffix" : lab_get2("ALT_SUFFIX", "UPN"),
                                          .password = typed};

                        snprintf(typed, sizeof typed, "Wr0ng-%u", i);
                        ask_one(rig, &ask);
                        wrong += ask.outcome.reason == REASON_WRONG_PASSWORD;
                        if (ask.outcome.reason != REASON_WRONG_PASSWORD)
                                assert_reason(&ask, REASON_THROTTLED);
                }
                assert_int_equal(wrong, FAILURES);
                assert_int_equal(lab_bad_pwd_count("altsuffix"), FAILURES);
                assert_int_equal(lab_unlock("altsuffix"), 0);
                rig->v = validate_free(rig->v);
                rig_spin(rig, 5);
                secret_free(password);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_guessing_does_not_lock_out),
                TEST(test_two_names_of_one_account),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
