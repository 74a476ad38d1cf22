/*
 * What answers of kpasswd mean. The policy is the 30 bytes that AD sends instead of a sentence: two of zero,
 * then minPwdLength, pwdHistoryLength, pwdProperties (32 bits each), maxPwdAge and minPwdAge (64 bits, 100
 * ns), all in network order, as decode_ad_policy_info() of MIT krb5's lib/krb5/krb/chpw.c reads them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "validate/krb/kpasswd.h"

#define POLICY(least, history, complex, age)                                                                           \
        "\0\4"                                                                                                         \
        "\0\0"                                                                                                         \
        "\0\0\0" least "\0\0\0" history "\0\0\0" complex "\xff\xff\xdf\x08\x52\x1e\x80\0"                              \
        "\0\0\0\0\0\0\0" age
#define WORDS(code, text)                                                                                              \
        {                                                                                                              \
                "\0" code text, sizeof("\0" code text) - 1                                                             \
        }
#define RULE(...)                                                                                                      \
        {                                                                                                              \
                POLICY(__VA_ARGS__), 32                                                                                \
        }

static const struct {
        struct {
                const char *bytes;
                size_t n;
        } answer;
        const char *password;
        enum reason reason;
} rows[] = {
        {WORDS("\0", ""), "New-Pass-1", REASON_PASSWORD_CHANGED},
        {WORDS("\5", "Not permitted to change password"), "New-Pass-1", REASON_CHANGE_NOT_PERMITTED},
        {WORDS("\2", "failed to set password"), "New-Pass-1", REASON_DC_ERROR},
        {WORDS("\377", ""), "New-Pass-1", REASON_DC_ERROR},
        {WORDS("\4", "Password too short, password must be at least 12 characters long."), "x",
         REASON_NEW_PASSWORD_TOO_SHORT},
        {WORDS("\4", "Password does not meet complexity requirements"), "x", REASON_NEW_PASSWORD_TOO_SIMPLE},
        {WORDS("\4", "Password is already in password history."), "x", REASON_NEW_PASSWORD_IN_HISTORY},
        {WORDS("\4", "Password change rejected, password changes may not be permitted on this account, or the "
                     "minimum password age may not have elapsed."),
         "x", REASON_PASSWORD_TOO_YOUNG},
        {WORDS("\4", "Nein"), "x", REASON_NEW_PASSWORD_REFUSED},
        {RULE("\14", "\0", "\0", "\0"), "Sh0rt-1", REASON_NEW_PASSWORD_TOO_SHORT},
        {RULE("\4", "\0", "\0", "\0"), "\xc3\xa9\xc3\xa9\xc3\xa9", REASON_NEW_PASSWORD_TOO_SHORT}, /* 3 letters */
        {RULE("\7", "\0", "\1", "\0"), "onlylowercase", REASON_NEW_PASSWORD_TOO_SIMPLE},
        {RULE("\7", "\30", "\1", "\0"), "Good-Enough-1", REASON_NEW_PASSWORD_IN_HISTORY},
        {RULE("\7", "\0", "\0", "\1"), "Good-Enough-1", REASON_PASSWORD_TOO_YOUNG},
        {RULE("\7", "\30", "\1", "\1"), "Good-Enough-1", REASON_NEW_PASSWORD_REFUSED}, /* history or age */
};

static void test_answers(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct outcome out = {0};
                struct secret *password = NULL;

                assert_int_equal(secret_new(&password, rows[i].password, strlen(rows[i].password)), 0);
                kpasswd_outcome(&out, (const uint8_t *)rows[i].answer.bytes, rows[i].answer.n, password);
                secret_free(password);
                if (out.reason != rows[i].reason)
                        fail_msg("row %zu: %s instead of %s", i, reason_info(out.reason)->id,
                                 reason_info(rows[i].reason)->id);
                assert_true(out.password_proved);
                assert_int_equal(out.counted, COUNTED_NO);
        }
}

static int open_arena(void **state)
{
        struct error err;

        (void)state;
        return secret_arena_init(4, &err);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};

        return cmocka_run_group_tests(tests, open_arena, NULL);
}
