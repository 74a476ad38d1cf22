/*
 * Sign-ins by LDAP against a real AD DC (Samba) and a real slapd, through the whole of validate/: every state
 * of an account, who it was, what it cost in badPwdCount.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define PARALLEL 64
#define LAB_GOOD_USERS 20

static int set_up(void **state)
{
        static struct rig rig;

        rig_open(&rig);
        rig_samba(&rig, 0);
        rig_slapd(&rig, 1);
        rig_start_ready(&rig, 2);
        *state = &rig;
        return 0;
}

static void assert_accepted(const struct ask *ask, const char *label)
{
        const struct outcome *o = &ask->outcome;

        assert_reason(ask, REASON_OK);
        assert_true(o->password_proved);
        assert_int_equal(o->counted, COUNTED_NO);
        assert_int_equal(o->method, METHOD_LDAP);
        assert_string_equal(o->user.id, lab_get2(label, "SID"));
        assert_string_equal(o->user.sam, lab_get2(label, "SAM"));
        assert_string_equal(o->user.upn, lab_get2(label, "ALT_UPN"));
        assert_string_equal(o->user.domain, "corp.example");
        assert_int_equal(strlen(o->user.guid), 36);
        assert_string_equal(o->dc, lab_get("AD_HOST"));
}

static void test_accepted_says_who(void **state)
{
        static const char *const labels[] = {"GOOD1", "ALT_SUFFIX", "UTF8"};
        char netbios[300];

        for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
                struct ask upn = {.name = lab_get2(labels[i], "UPN"), .password = lab_get2(labels[i], "PASSWORD")};
                struct ask down = {.name = netbios, .password = upn.password};
                struct ask bare = {.name = lab_get2(labels[i], "SAM"), .password = upn.password};

                snprintf(netbios, sizeof netbios, "corp\\%s", lab_get2(labels[i], "SAM"));
                ask_one(*state, &upn);
                assert_accepted(&upn, labels[i]);
                ask_one(*state, &down);
                assert_accepted(&down, labels[i]);
                ask_one(*state, &bare);
                assert_accepted(&bare, labels[i]);
        }
}

/* The implicit UPN and another case name the same account. */
static void test_other_spellings(void **state)
{
        static const char *const names[] = {"GOOD1@corp.example", "good1@CORP.EXAMPLE", "CORP\\GOOD1", "Good1"};

        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
                struct ask ask = {.name = names[i], .password = lab_get("GOOD1_PASSWORD")};

                ask_one(*state, &ask);
                assert_accepted(&ask, "GOOD1");
        }
}

static void test_account_states(void **state)
{
        static const struct {
                const char *label;
                enum reason reason;
                uint32_t data;
                bool proved;
        } rows[] = {
                {"DISABLED", REASON_DISABLED, 0x533, true},
                {"LOCKED", REASON_LOCKED_OUT, 0x775, false},
                {"EXPIRED", REASON_PASSWORD_EXPIRED, 0x532, true},
                {"MUST_CHANGE", REASON_MUST_CHANGE_PASSWORD, 0x773, true},
                {"ACCOUNT_EXPIRED", REASON_ACCOUNT_EXPIRED, 0x701, true},
                {"HOURS", REASON_LOGON_HOURS, 0x530, true},
                {"WORKSTATION", REASON_WORKSTATION, 0x531, true},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = {.name = lab_get2(rows[i].label, "UPN"),
                                  .password = lab_get2(rows[i].label, "PASSWORD")};

                ask_one(*state, &ask);
                assert_reason(&ask, rows[i].reason);
                assert_int_equal(reason_info(ask.outcome.reason)->class, VERDICT_CLASS_POLICY);
                assert_int_equal(ask.outcome.password_proved, rows[i].proved);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_true(ask.outcome.has_ldap && ask.outcome.has_ldap_data);
                assert_int_equal(ask.outcome.ldap, 49);
                assert_int_equal(ask.outcome.ldap_data, rows[i].data);
                assert_string_equal(ask.outcome.user.id, "");
        }
}

/* Samba refuses Protected Users before it looks at the password, so the answer proves nothing. */
static void test_restriction_proves_nothing(void **state)
{
        const char *passwords[] = {lab_get("PROTECTED_PASSWORD"), "Wr0ng-password-1"};

        for (size_t i = 0; i < 2; i++) {
                struct ask ask = {.name = lab_get("PROTECTED_UPN"), .password = passwords[i]};

                ask_one(*state, &ask);
                assert_reason(&ask, REASON_ACCOUNT_RESTRICTION);
                assert_int_equal(ask.outcome.ldap_data, 0x52f);
                assert_int_equal(ask.outcome.counted, COUNTED_UNKNOWN);
                assert_false(ask.outcome.password_proved);
        }
}

/* A wrong password for an account in a hidden state tells nothing of the state. */
static void test_wrong_password_hides_the_state(void **state)
{
        static const char *const labels[] = {"DISABLED", "EXPIRED", "MUST_CHANGE", "ACCOUNT_EXPIRED"};

        for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
                struct ask ask = {.name = lab_get2(labels[i], "UPN"), .password = "Wr0ng-password-1"};

                ask_one(*state, &ask);
                assert_reason(&ask, REASON_WRONG_PASSWORD);
                assert_false(ask.outcome.password_proved);
                assert_int_equal(lab_unlock(lab_get2(labels[i], "SAM")), 0);
        }
}

static void test_unknown_user(void **state)
{
        struct ask ask = {.name = "nobody-here@corp.example", .password = "Wr0ng-password-1"};

        ask_one(*state, &ask);
        assert_reason(&ask, REASON_WRONG_PASSWORD); /* Samba and Windows both say 52e here */
        assert_int_equal(ask.outcome.ldap_data, 0x52e);
}

static void test_wrong_password_counts_once(void **state)
{
        const char *sam = lab_get("GOOD2_SAM");
        struct ask ask = {.name = lab_get("GOOD2_UPN"), .password = "Wr0ng-password-1"};

        assert_int_equal(lab_unlock(sam), 0);
        for (int i = 1; i <= 3; i++) {
                ask_one(*state, &ask);
                assert_reason(&ask, REASON_WRONG_PASSWORD);
                assert_int_equal(ask.outcome.counted, COUNTED_YES);
                assert_int_equal(lab_bad_pwd_count(sam), i);
        }
        assert_int_equal(lab_unlock(sam), 0);
}

/* LDAP takes the password before the last change for a while: known, and said in the documentation. */
static void test_previous_password(void **state)
{
        struct ask now = {.name = lab_get("PREVIOUS_UPN"), .password = lab_get("PREVIOUS_PASSWORD")};
        struct ask before = {.name = lab_get("PREVIOUS_UPN"), .password = lab_get("PREVIOUS_PREVIOUS_PASSWORD")};

        ask_one(*state, &now);
        assert_accepted(&now, "PREVIOUS");
        ask_one(*state, &before);
        assert_accepted(&before, "PREVIOUS");
}

static void test_input_that_reaches_no_dc(void **state)
{
        static const struct {
                const char *name, *password;
                enum reason reason;
        } rows[] = {
                {"good3@corp.example", "", REASON_EMPTY_PASSWORD},
                {"good3@corp.example", "\xff\xfe", REASON_BAD_PASSWORD_FORM},
                {"CN=good3,CN=Users,DC=corp,DC=example", "x", REASON_BAD_NAME_FORM},
                {"good3@elsewhere.example", "x", REASON_UNKNOWN_DOMAIN},
                {"OTHER\\good3", "x", REASON_UNKNOWN_DOMAIN},
                {"", "x", REASON_BAD_NAME_FORM},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = {.name = rows[i].name, .password = rows[i].password};

                ask_one(*state, &ask);
                assert_reason(&ask, rows[i].reason);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_string_equal(ask.outcome.dc, "");
                assert_int_equal(ask.outcome.method, METHOD_NONE);
        }
}

static void test_slapd(void **state)
{
        struct ask good = {.name = "u1@slapd.example", .password = lab_get("SLAPD_U1_PASSWORD")};
        struct ask wrong = {.name = "u1@slapd.example", .password = "wrong"};
        struct ask nobody = {.name = "u,1=x@slapd.example", .password = "wrong"};

        ask_one(*state, &good);
        assert_reason(&good, REASON_OK);
        assert_string_equal(good.outcome.user.id, lab_get("SLAPD_U1_SID"));
        assert_string_equal(good.outcome.user.sam, "u1");
        assert_string_equal(good.outcome.user.domain, "slapd.example");
        assert_int_equal(strlen(good.outcome.user.guid), 36);
        ask_one(*state, &wrong);
        assert_reason(&wrong, REASON_WRONG_PASSWORD);
        ask_one(*state, &nobody);
        assert_reason(&nobody, REASON_BAD_NAME_FORM);
}

/* Every sign-in gets its own account back, whatever connection it shared; wrong ones in between change
 * nothing. */
static void parallel(struct rig *rig, bool slapd)
{
        static struct ask asks[PARALLEL];
        static char labels[PARALLEL][24], names[PARALLEL][64];

        memset(asks, 0, sizeof asks);
        for (unsigned i = 0; i < PARALLEL; i++) {
                unsigned user = slapd ? i % 50 : i % LAB_GOOD_USERS + 1;

                snprintf(labels[i], sizeof labels[i], slapd ? "SLAPD_U%u" : "GOOD%u", user);
                snprintf(names[i], sizeof names[i], slapd ? "u%u@slapd.example" : "good%u@corp.example", user);
                asks[i].name = names[i];
                asks[i].password = slapd && i % 8 == 7 ? "wrong" : lab_get2(labels[i], "PASSWORD");
                asks[i].budget_ms = 20000;
        }
        ask_all(rig, asks, PARALLEL);
        for (unsigned i = 0; i < PARALLEL; i++) {
                bool wrong = strcmp(asks[i].password, "wrong") == 0;

                assert_reason(&asks[i], wrong ? REASON_WRONG_PASSWORD : REASON_OK);
                if (!wrong)
                        assert_string_equal(asks[i].outcome.user.id, lab_get2(labels[i], "SID"));
        }
}

static void test_parallel(void **state)
{
        parallel(*state, true);
        parallel(*state, false);
}

static void test_cancel(void **state)
{
        struct rig *rig = *state;
        struct ask asks[8];
        unsigned before[8], cancelled = 0;

        for (size_t i = 0; i < 8; i++) {
                asks[i] = (struct ask){.name = "good4@corp.example", .password = lab_get("GOOD4_PASSWORD")};
                ask_start(rig, &asks[i]);
        }
        for (size_t i = 0; i < 8; i += 2) {
                before[i] = asks[i].calls;
                cancelled += asks[i].calls == 0;
                validate_cancel(asks[i].op);
                rig_spin(rig, 1);
        }
        for (size_t i = 1; i < 8; i += 2) {
                ask_wait(rig, &asks[i], 1);
                assert_accepted(&asks[i], "GOOD4");
        }
        rig_spin(rig, 50);
        for (size_t i = 0; i < 8; i += 2)
                assert_int_equal(asks[i].calls, before[i]);
        assert_true(cancelled > 0);
}

struct seen {
        unsigned alive, all;
};

static void on_dc(void *arg, const struct validate_dc *dc)
{
        struct seen *seen = arg;

        assert_true(dc->domain[0] && dc->host[0]);
        assert_true(dc->ewma_ms < 5000);
        assert_string_equal(dc->reason, "");
        seen->all++;
        seen->alive += strcmp(dc->state, "alive") == 0;
}

static void test_status(void **state)
{
        struct rig *rig = *state;
        struct seen seen = {0};

        assert_true(validate_ready(rig->v, 0, NULL));
        assert_true(rig->ready_calls > 0);
        validate_each_dc(rig->v, on_dc, &seen);
        assert_int_equal(seen.all, 2);
        assert_int_equal(seen.alive, 2);
        assert_int_equal(validate_route(rig->v, "CORP\\x", 6), 0);
        assert_int_equal(validate_route(rig->v, "x@slapd.example", 15), 1);
        assert_int_equal(validate_route(rig->v, "x@y.example", 11), -ENOENT);
        assert_int_equal(validate_route(rig->v, "CN=x,DC=y", 9), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted_says_who),
                cmocka_unit_test(test_other_spellings),
                cmocka_unit_test(test_account_states),
                cmocka_unit_test(test_restriction_proves_nothing),
                cmocka_unit_test(test_wrong_password_hides_the_state),
                cmocka_unit_test(test_unknown_user),
                cmocka_unit_test(test_wrong_password_counts_once),
                cmocka_unit_test(test_previous_password),
                cmocka_unit_test(test_input_that_reaches_no_dc),
                cmocka_unit_test(test_slapd),
                cmocka_unit_test(test_parallel),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_status),
        };

        return cmocka_run_group_tests(tests, set_up, rig_tear_down);
}
