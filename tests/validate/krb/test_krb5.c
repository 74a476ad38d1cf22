/*
 * Sign-ins by Kerberos against a real AD DC (Samba) and a real MIT KDC: every state of an account, who it
 * was, what it cost in badPwdCount, and that one sign-in sends one request with preauthentication.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/krb/krb_rig.h"
#include "tests/validate/unasked.h"

#define INTERLEAVED 64

static int set_up(void **state)
{
        static struct rig rig;

        rig_open(&rig);
        *state = &rig;
        return 0;
}

static int tear_down(void **state)
{
        rig_close(*state);
        return 0;
}

static void assert_reason(const struct ask *ask, enum reason reason)
{
        if (ask->outcome.reason != reason)
                fail_msg("%s@%s: %s instead of %s (%s; krb %d, ntstatus %08x)", ask->user, ask->suffix,
                         reason_info(ask->outcome.reason)->id, reason_info(reason)->id, ask->outcome.context,
                         ask->outcome.krb, ask->outcome.ntstatus);
}

static void assert_accepted(const struct ask *ask, const char *label)
{
        assert_reason(ask, REASON_OK);
        assert_true(ask->outcome.password_proved);
        assert_int_equal(ask->outcome.counted, COUNTED_NO);
        assert_true(ask->left);
        assert_string_equal(ask->outcome.user.id, lab("", label, "sid"));
        assert_string_equal(ask->outcome.user.sam, lab("", label, "sam"));
        assert_string_equal(ask->outcome.user.upn, lab("", label, "alt_upn"));
        assert_string_equal(ask->outcome.user.domain, "corp.example");
}

static void test_accepted_says_who(void **state)
{
        static const char *const labels[] = {"good1", "alt-suffix", "utf8", "workstation", "protected"};

        for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
                for (int form = NAME_UPN; form <= NAME_NETBIOS; form++) {
                        struct ask ask = ask_ad(*state, (enum name_form)form, labels[i]);

                        ask_one(*state, &ask);
                        assert_accepted(&ask, labels[i]);
                }
        }
}

/* AD compares names without case, and the salt comes from the account, not from what was typed. */
static void test_name_in_another_case(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "good1");

        snprintf(ask.user, sizeof ask.user, "GoOd1");
        snprintf(ask.suffix, sizeof ask.suffix, "Corp.EXAMPLE");
        ask_one(*state, &ask);
        assert_accepted(&ask, "good1");
        ask = ask_ad(*state, NAME_NETBIOS, "good1");
        snprintf(ask.user, sizeof ask.user, "GOOD1");
        ask_one(*state, &ask);
        assert_accepted(&ask, "good1");
}

static const struct state {
        const char *label;
        enum reason reason;
        bool claimed; /* nothing is proved: nobody vouches for a plain KRB-ERROR */
        uint32_t ntstatus;
} states[] = {
        {"disabled", REASON_DISABLED, false, 0xC0000072},
        {"locked", REASON_LOCKED_OUT, false, 0xC0000234},
        {"expired", REASON_PASSWORD_EXPIRED, true, 0xC0000071},
        {"must-change", REASON_MUST_CHANGE_PASSWORD, true, 0xC0000224},
        {"account-expired", REASON_ACCOUNT_EXPIRED, true, 0xC0000193},
        {"hours", REASON_LOGON_HOURS, true, 0xC000006F},
};
#define STATES (sizeof states / sizeof *states)

static const struct state *state_of(const char *label)
{
        for (size_t i = 0; i < STATES; i++)
                if (strcmp(states[i].label, label) == 0)
                        return &states[i];
        return NULL;
}

/* Whether this DC tells the account's state before it is sent a password; then it gives the state's own cause. */
static bool told_unasked(const char *label)
{
        const struct state *s = state_of(label);
        uint32_t ntstatus;
        bool tells = unasked_tells(lab("", label, "sam"), &ntstatus);

        if (tells)
                assert_int_equal(ntstatus, s ? s->ntstatus : 0);
        return tells;
}

/* The state, and no word about the password, which stayed here. */
static void assert_told_unasked(const struct ask *ask, const struct state *s)
{
        assert_reason(ask, s->reason);
        assert_false(ask->outcome.password_proved);
        assert_int_equal(ask->outcome.claim, s->claimed ? CLAIM_STATE : CLAIM_NONE);
        assert_int_equal(ask->outcome.ntstatus, s->ntstatus);
        assert_int_equal(ask->outcome.counted, COUNTED_NO);
        assert_false(ask->left);
}

static void test_account_states(void **state)
{
        for (size_t i = 0; i < 2 * STATES; i++) {
                const struct state *s = &states[i / 2];
                struct ask ask = ask_ad(*state, i % 2 ? NAME_UPN : NAME_NETBIOS, s->label);

                ask_one(*state, &ask);
                assert_reason(&ask, s->reason);
                assert_false(ask.outcome.password_proved);
                assert_int_equal(ask.outcome.claim, s->claimed ? CLAIM_STATE : CLAIM_NONE);
                assert_true(ask.outcome.has_krb);
                assert_string_equal(ask.outcome.user.id, "");
                if (told_unasked(s->label)) {
                        assert_told_unasked(&ask, s);
                        continue;
                }
                /* to a password Samba 4.17 gives the cause of every state but a lockout's */
                assert_int_equal(ask.outcome.ntstatus, s->reason == REASON_LOCKED_OUT ? 0 : s->ntstatus);
                assert_true(ask.left);
        }
}

static void test_unknown_user(void **state)
{
        for (int form = NAME_UPN; form <= NAME_NETBIOS; form++) {
                struct ask ask = ask_ad(*state, (enum name_form)form, "good1");

                snprintf(ask.user, sizeof ask.user, "nobody");
                ask_one(*state, &ask);
                assert_reason(&ask, REASON_UNKNOWN_USER);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_false(ask.left);
        }
}

/* Names that a KDC might parse as something else than one account's name never reach it. */
static void test_names_that_no_account_has(void **state)
{
        static const char *const names[] = {"good1\\0", "good1/admin", "krbtgt/CORP.EXAMPLE", "a\\@b", ""};

        for (size_t i = 0; i < 2 * sizeof names / sizeof *names; i++) {
                struct ask ask = ask_ad(*state, i % 2 ? NAME_UPN : NAME_NETBIOS, "good1");

                snprintf(ask.user, sizeof ask.user, "%s", names[i / 2]);
                ask_one(*state, &ask);
                assert_reason(&ask, REASON_BAD_NAME_FORM);
                assert_int_equal(ask.outcome.counted, COUNTED_NO);
                assert_false(ask.left);
        }
}

/* One wrong password costs exactly one, whatever state the account is in. */
static void test_wrong_password_counts_once(void **state)
{
        static const char *const labels[] = {"good2", "disabled", "expired", "must-change", "account-expired", "hours"};

        for (size_t i = 0; i < 2 * sizeof labels / sizeof *labels; i++) {
                struct ask ask = ask_ad(*state, i % 2 ? NAME_UPN : NAME_NETBIOS, labels[i / 2]);
                const char *sam = lab("", labels[i / 2], "sam");
                unsigned before = bad_pwd_count(sam);

                ask.password = "not the password";
                ask_one(*state, &ask);
                assert_false(ask.outcome.password_proved);
                if (told_unasked(labels[i / 2])) {
                        assert_told_unasked(&ask, state_of(labels[i / 2]));
                        assert_int_equal(bad_pwd_count(sam), before);
                        continue;
                }
                assert_reason(&ask, REASON_WRONG_PASSWORD);
                assert_int_equal(ask.outcome.counted, COUNTED_YES);
                assert_true(ask.left);
                assert_int_equal(bad_pwd_count(sam), before + 1);
                if (i % 2)
                        unlock(sam);
        }
}

static void test_locked_out_counts_nothing(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "locked");
        unsigned before = bad_pwd_count("locked");

        ask.password = "not the password";
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_LOCKED_OUT);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
        assert_false(ask.outcome.password_proved);
        assert_int_equal(bad_pwd_count("locked"), before);
}

static void test_previous_password_is_wrong(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "previous");

        ask_one(*state, &ask);
        assert_accepted(&ask, "previous");
        ask = ask_ad(*state, NAME_UPN, "previous");
        ask.password = lab("", "previous", "previous_password");
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_WRONG_PASSWORD);
}

/* The longest password that a secret can be, as it is. */
static void test_longest_password_is_only_wrong(void **state)
{
        struct ask ask = ask_ad(*state, NAME_UPN, "good3");
        char longest[SECRET_MAX + 1];

        memset(longest, 'x', SECRET_MAX);
        longest[SECRET_MAX] = '\0';
        ask.password = longest;
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_WRONG_PASSWORD);
        unlock(lab("", "good3", "sam"));
}

static void test_one_request_with_preauth(void **state)
{
        static const struct {
                const char *label, *password;
                enum reason reason;
                unsigned plain, preauth;
        } rows[] = {
                {"good4", NULL, REASON_OK, 1, 1},
                {"good4", "wrong", REASON_WRONG_PASSWORD, 1, 1},
                {"locked", NULL, REASON_LOCKED_OUT, 1, 1},
                {"expired", NULL, REASON_PASSWORD_EXPIRED, 1, 1},
                {"disabled", "wrong", REASON_WRONG_PASSWORD, 1, 1},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = ask_ad(*state, NAME_UPN, rows[i].label);
                const bool unasked = told_unasked(rows[i].label);
                struct middle m;

                if (rows[i].password)
                        ask.password = rows[i].password;
                middle_open(&m, *state, &ask);
                middle_use(&m, &ask);
                ask_one(*state, &ask);
                rig_spin(*state, 20);
                assert_reason(&ask, unasked ? state_of(rows[i].label)->reason : rows[i].reason);
                assert_int_equal(m.n_plain, rows[i].plain);
                assert_int_equal(m.n_preauth, unasked ? 0 : rows[i].preauth);
                assert_int_equal(m.n_other, 0);
                middle_close(&m);
        }
        unlock("good4");
        unlock("disabled");
}

static void test_probe_is_no_attempt(void **state)
{
        struct ask asks[2] = {ask_ad(*state, NAME_UPN, "good1"), ask_mit(*state, "u1")};

        for (size_t i = 0; i < 2; i++) {
                struct middle m;

                asks[i].password = NULL;
                middle_open(&m, *state, &asks[i]);
                middle_use(&m, &asks[i]);
                ask_one(*state, &asks[i]);
                assert_reason(&asks[i], REASON_OK);
                assert_false(asks[i].left);
                assert_false(asks[i].outcome.password_proved);
                assert_string_equal(asks[i].outcome.user.id, "");
                assert_int_equal(m.n_plain, 1);
                assert_int_equal(m.n_preauth, 0);
                middle_close(&m);
        }
}

static void test_mit(void **state)
{
        static const struct {
                const char *label;
                enum reason reason;
        } rows[] = {
                {"u0", REASON_OK},
                {"expired", REASON_PASSWORD_EXPIRED},
                {"need-change", REASON_PASSWORD_EXPIRED},
                {"disabled", REASON_REVOKED},
        };

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct ask ask = ask_mit(*state, rows[i].label);

                ask_one(*state, &ask);
                assert_reason(&ask, rows[i].reason);
                /* MIT tells states on the first request, the password unseen. */
                assert_int_equal(ask.outcome.password_proved, rows[i].reason == REASON_OK);
                assert_int_equal(ask.left, rows[i].reason == REASON_OK);
        }
}

static void test_mit_identity_and_wrong_password(void **state)
{
        struct ask ask = ask_mit(*state, "u1");

        ask_one(*state, &ask);
        assert_reason(&ask, REASON_OK);
        assert_string_equal(ask.outcome.user.id, "krb5:u1@MIT.EXAMPLE");
        ask = ask_mit(*state, "u1");
        ask.password = "wrong";
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_WRONG_PASSWORD);
        assert_string_equal(ask.outcome.user.id, "");
        ask = ask_mit(*state, "u1");
        snprintf(ask.user, sizeof ask.user, "nobody");
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_UNKNOWN_USER);
}

/* Keys of every kind that we accept, and of one that we don't; and an account that asks for no
 * preauthentication, whose reply opens with the right password alone and counts nowhere. */
static void test_mit_kinds_of_keys(void **state)
{
        static const char *const labels[] = {"sha384", "sha256", "aes128", "no-preauth"};
        struct ask ask;

        for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
                ask = ask_mit(*state, labels[i]);
                ask_one(*state, &ask);
                assert_reason(&ask, REASON_OK);
                ask = ask_mit(*state, labels[i]);
                ask.password = "Wr0ng-password-1";
                ask_one(*state, &ask);
                assert_reason(&ask, REASON_WRONG_PASSWORD);
                assert_int_equal(ask.outcome.counted, strcmp(labels[i], "no-preauth") == 0 ? COUNTED_NO : COUNTED_YES);
        }
        ask = ask_mit(*state, "rc4-only");
        ask_one(*state, &ask);
        assert_reason(&ask, REASON_ETYPE_NOSUPP);
        assert_int_equal(ask.outcome.counted, COUNTED_NO);
}

/* A KDC of a directory that should have SIDs but tells none: right password, nobody to name. */
static void test_ad_without_sid_is_unavailable(void **state)
{
        struct rig *rig = *state;
        struct ask ask = ask_mit(rig, "u2");
        struct domain_config config = rig->mit;

        config.directory = DIRECTORY_AD;
        ask.config = &config;
        ask.form = NAME_NETBIOS;
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_NO_IDENTITY);
        assert_true(ask.outcome.password_proved);
        assert_string_equal(ask.outcome.user.id, "");
}

/* Each of many that run at once gets its own answer: right and wrong passwords of different users mixed. */
static void test_interleaved(void **state)
{
        static struct ask asks[INTERLEAVED];

        for (size_t i = 0; i < INTERLEAVED; i++) {
                char label[8];

                snprintf(label, sizeof label, "u%zu", i % 50);
                asks[i] = ask_mit(*state, label);
                if (i % 3 == 2)
                        asks[i].password = "wrong";
        }
        ask_all(*state, asks, INTERLEAVED);
        for (size_t i = 0; i < INTERLEAVED; i++) {
                char id[320];

                snprintf(id, sizeof id, "krb5:%s@MIT.EXAMPLE", asks[i].user);
                assert_reason(&asks[i], i % 3 == 2 ? REASON_WRONG_PASSWORD : REASON_OK);
                assert_string_equal(asks[i].outcome.user.id, i % 3 == 2 ? "" : id);
        }
}

static void test_interleaved_ad(void **state)
{
        static struct ask asks[8];

        for (size_t i = 0; i < 8; i++) {
                char label[8];

                snprintf(label, sizeof label, "good%zu", i + 5);
                asks[i] = ask_ad(*state, i % 2 ? NAME_UPN : NAME_NETBIOS, label);
        }
        ask_all(*state, asks, 8);
        for (size_t i = 0; i < 8; i++) {
                char label[8];

                snprintf(label, sizeof label, "good%zu", i + 5);
                assert_accepted(&asks[i], label);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_accepted_says_who),
                TEST(test_name_in_another_case),
                TEST(test_account_states),
                TEST(test_unknown_user),
                TEST(test_names_that_no_account_has),
                TEST(test_wrong_password_counts_once),
                TEST(test_locked_out_counts_nothing),
                TEST(test_previous_password_is_wrong),
                TEST(test_longest_password_is_only_wrong),
                TEST(test_one_request_with_preauth),
                TEST(test_probe_is_no_attempt),
                TEST(test_mit),
                TEST(test_mit_identity_and_wrong_password),
                TEST(test_mit_kinds_of_keys),
                TEST(test_ad_without_sid_is_unavailable),
                TEST(test_interleaved),
                TEST(test_interleaved_ad),
        };
        return cmocka_run_group_tests_name("validate-krb5", tests, NULL, NULL);
}
