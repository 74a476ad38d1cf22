/*
 * The one table of outcomes and the mapping of foreign codes into it: complete, total, and never telling a
 * user the state of an account whose password was not proved.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "validate/types/edata.h"
#include "validate/types/outcome.h"

static const char *const state_words[] = {"disabled", "locked", "expired",     "hours",  "smart card",
                                          "groups",   "rule",   "time of day", "change", "choose"};

static bool sentence(const char *text)
{
        size_t n = text ? strlen(text) : 0;

        return n > 10 && n < 250 && text[n - 1] == '.' && text[0] >= 'A' && text[0] <= 'Z';
}

static void test_every_row_is_complete(void **state)
{
        (void)state;
        for (unsigned i = 0; i < REASON_MAX; i++) {
                const struct reason_info *info = reason_info((enum reason)i);

                if (!info->id || strspn(info->id, "abcdefghijklmnopqrstuvwxyz_") != strlen(info->id) || !info->id[0])
                        fail_msg("reason %u has no good id", i);
                if (!sentence(info->user_text) || !sentence(info->helpdesk_text) || !sentence(info->remedy))
                        fail_msg("%s lacks a sentence", info->id);
                assert_int_equal(reason_from_id(info->id), i);
                assert_int_equal(info->verdict == VERDICT_ACCEPTED, i == REASON_OK || i == REASON_PASSWORD_CHANGED);
                assert_int_equal(info->class == VERDICT_CLASS_INFRASTRUCTURE, info->verdict == VERDICT_UNAVAILABLE);
                assert_int_equal(info->class == VERDICT_CLASS_NONE, info->verdict == VERDICT_ACCEPTED);
        }
        assert_int_equal(reason_from_id("no_such_reason"), REASON_MAX);
        assert_int_equal(reason_from_id(""), REASON_MAX);
        assert_ptr_equal(reason_info((enum reason)1000), reason_info(REASON_INTERNAL));
        assert_ptr_equal(reason_info(REASON_MAX), reason_info(REASON_INTERNAL));
}

static void test_zero_is_neither(void **state)
{
        const struct outcome zero = {0};

        (void)state;
        assert_int_equal(reason_info(zero.reason)->verdict, VERDICT_UNAVAILABLE);
        assert_false(zero.password_proved);
        assert_string_equal(counted_text(zero.counted), "unknown");
        assert_string_equal(method_text(zero.method), "");
        assert_string_equal(verdict_text(0), "unavailable");
        assert_string_equal(verdict_class_text(0), "infrastructure");
}

static void test_users_are_told_no_state_unproved(void **state)
{
        (void)state;
        for (unsigned i = 0; i < REASON_MAX; i++) {
                const char *text = reason_user_text((enum reason)i, false);

                if (i == REASON_BAD_NEW_PASSWORD || reason_info((enum reason)i)->verdict == VERDICT_ACCEPTED ||
                    i == REASON_CHANGE_UNKNOWN || i == REASON_CHANGED_UNVERIFIED)
                        continue; /* they speak of the new password, not of the account's state */
                for (size_t w = 0; w < sizeof state_words / sizeof *state_words; w++)
                        if (strstr(text, state_words[w]))
                                fail_msg("%s tells a user: %s", reason_info((enum reason)i)->id, text);
                if (reason_info((enum reason)i)->class == VERDICT_CLASS_INFRASTRUCTURE && strstr(text, "wrong"))
                        fail_msg("%s blames the user: %s", reason_info((enum reason)i)->id, text);
        }
        assert_non_null(strstr(reason_user_text(REASON_PASSWORD_EXPIRED, true), "expired"));
        assert_string_equal(reason_user_text(REASON_WRONG_PASSWORD, false),
                            reason_user_text(REASON_UNKNOWN_USER, false));
}

/* The rows of the verdict table: LDAP sub-code, NTSTATUS, KRB-ERROR, and what each proves and costs. */
static const struct row {
        uint32_t data, ntstatus;
        int32_t krb;
        enum reason reason;
        bool ldap_proves, krb_proves;
        enum counted counted;
} rows[] = {
        {0x525, 0xC0000064, 6, REASON_UNKNOWN_USER, false, false, COUNTED_NO},
        {0x52e, 0xC000006D, 24, REASON_WRONG_PASSWORD, false, false, COUNTED_YES},
        {0, 0xC000006A, 24, REASON_WRONG_PASSWORD, false, false, COUNTED_YES},
        {0x52f, 0, 12, REASON_ACCOUNT_RESTRICTION, false, false, COUNTED_UNKNOWN}, /* also a wrong one [M] */
        {0, 0xC000006E, 12, REASON_ACCOUNT_RESTRICTION, false, true, COUNTED_NO},
        {0x530, 0xC000006F, 18, REASON_LOGON_HOURS, true, true, COUNTED_NO},
        {0x531, 0xC0000070, 12, REASON_WORKSTATION, true, true, COUNTED_NO},
        {0x532, 0xC0000071, 23, REASON_PASSWORD_EXPIRED, true, true, COUNTED_NO},
        {0x533, 0xC0000072, 18, REASON_DISABLED, true, false, COUNTED_NO},
        {0x534, 0xC0000073, 60, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
        {0x569, 0xC000015B, 12, REASON_LOGON_TYPE, true, true, COUNTED_NO},
        {0x568, 0xC000015A, 12, REASON_TOO_MANY_GROUPS, true, true, COUNTED_NO},
        {0x701, 0xC0000193, 18, REASON_ACCOUNT_EXPIRED, true, true, COUNTED_NO},
        {0x773, 0xC0000224, 23, REASON_MUST_CHANGE_PASSWORD, true, true, COUNTED_NO},
        {0x775, 0xC0000234, 18, REASON_LOCKED_OUT, false, false, COUNTED_NO},
        {0x51f, 0xC000005E, 29, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
        {0x576, 0xC0000133, 37, REASON_CLOCK_SKEW, false, false, COUNTED_UNKNOWN},
        {0x6fc, 0xC000018C, 60, REASON_TRUST_FAILURE, false, false, COUNTED_UNKNOWN},
        {0x6fb, 0xC000018B, 60, REASON_TRUST_FAILURE, false, false, COUNTED_UNKNOWN},
        {0x78f, 0xC0000413, 12, REASON_AUTHENTICATION_FIREWALL, true, true, COUNTED_NO},
        {0x57, 0xC000000D, 60, REASON_NAME_AMBIGUOUS, false, false, COUNTED_UNKNOWN},
        {0, 0xC00002FA, 12, REASON_SMARTCARD_REQUIRED, false, false, COUNTED_UNKNOWN},
        {0, 0xC00002FA, 24, REASON_SMARTCARD_REQUIRED, false, false, COUNTED_UNKNOWN},
        {0, 0xC0000062, 60, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
        {0, 0xC000018A, 60, REASON_TRUST_FAILURE, false, false, COUNTED_UNKNOWN},
        {0, 0xC0000190, 60, REASON_TRUST_FAILURE, false, false, COUNTED_UNKNOWN},
        {0, 0xC0000192, 60, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
        {0, 0xC00000DC, 60, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
        {0, 0xC0000198, 60, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
        {0, 0xC0000199, 60, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
        {0, 0xC000019A, 60, REASON_DC_ERROR, false, false, COUNTED_UNKNOWN},
};

/* As from a DC of AD. */
static void from_ldap(struct outcome *out, int result, const char *text, size_t n)
{
        const struct ldap_refusal refusal = {.result = result, .diagnostic = text, .n = n, .ad = true};

        outcome_from_ldap(out, &refusal);
}

static struct outcome ldap49(uint32_t data)
{
        struct outcome out = {0};
        char text[200];
        int n = snprintf(text, sizeof text,
                         "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data %x, v2580",
                         data);

        from_ldap(&out, 49, text, (size_t)n);
        return out;
}

static void put32(uint8_t *p, uint32_t v)
{
        for (unsigned i = 0; i < 4; i++)
                p[i] = (uint8_t)(v >> 8 * i);
}

static struct outcome krb_by(int32_t code, uint32_t ntstatus, bool preauth, bool ad, bool armored)
{
        struct outcome out = {0};
        uint8_t raw[12] = {0};
        struct krb_refusal refusal = {.code = code, .preauth = preauth, .ad = ad, .armored = armored};

        put32(raw, ntstatus);
        put32(raw + 8, 1);
        if (ntstatus) {
                refusal.e_data = raw;
                refusal.n = sizeof raw;
        }
        outcome_from_krb(&out, &refusal);
        return out;
}

static struct outcome krb(int32_t code, uint32_t ntstatus, bool preauth, bool ad)
{
        return krb_by(code, ntstatus, preauth, ad, false);
}

static void test_ldap_rows(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct outcome out;

                if (!rows[i].data)
                        continue;
                out = ldap49(rows[i].data);
                if (out.reason != rows[i].reason || out.password_proved != rows[i].ldap_proves ||
                    out.counted != rows[i].counted)
                        fail_msg("data %x: %s proved %d counted %s", rows[i].data, reason_info(out.reason)->id,
                                 out.password_proved, counted_text(out.counted));
                assert_true(out.has_ldap && out.has_ldap_data && out.context[0]);
                assert_int_equal(out.ldap_data, rows[i].data);
        }
}

static void test_ntstatus_rows(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                struct outcome out;

                if (!rows[i].ntstatus)
                        continue;
                out = krb(rows[i].krb, rows[i].ntstatus, true, true);
                /* nobody vouches for it: what only the right password brings is a claim */
                assert_int_equal(out.claim, rows[i].krb_proves ? CLAIM_STATE : CLAIM_NONE);
                if (out.reason != rows[i].reason || out.password_proved ||
                    out.counted != (rows[i].krb_proves ? COUNTED_UNKNOWN : rows[i].counted))
                        fail_msg("NTSTATUS %x: %s proved %d counted %s", rows[i].ntstatus, reason_info(out.reason)->id,
                                 out.password_proved, counted_text(out.counted));
                assert_true(out.has_krb && out.has_ntstatus && out.context[0]);
                out = krb_by(rows[i].krb, rows[i].ntstatus, true, true, true);
                assert_int_equal(out.password_proved, rows[i].krb_proves);
                assert_int_equal(out.claim, CLAIM_NONE);
                /* told before a password was sent, inside the armour or not: nothing is known of the password, nothing
                 * counted */
                for (int armored = 0; armored < 2; armored++) {
                        out = krb_by(rows[i].krb, rows[i].ntstatus, false, true, armored);
                        assert_int_equal(out.claim, rows[i].krb_proves ? CLAIM_STATE : CLAIM_NONE);
                        assert_false(out.password_proved);
                        assert_int_equal(out.counted, COUNTED_NO);
                        assert_int_not_equal(out.reason, REASON_WRONG_PASSWORD);
                }
        }
}

static void test_krb_codes_alone(void **state)
{
        static const struct {
                int32_t code;
                bool preauth;
                enum reason reason;
                bool proved;
                enum counted counted;
        } alone[] = {
                {6, false, REASON_UNKNOWN_USER, false, COUNTED_NO},
                {24, true, REASON_WRONG_PASSWORD, false, COUNTED_YES},
                {24, false, REASON_DC_ERROR, false, COUNTED_NO},
                {31, true, REASON_WRONG_PASSWORD, false, COUNTED_YES},
                {18, false, REASON_LOCKED_OUT, false, COUNTED_NO},
                {18, true, REASON_LOCKED_OUT, false, COUNTED_NO},
                {23, false, REASON_PASSWORD_EXPIRED, false, COUNTED_NO},
                {23, true, REASON_PASSWORD_EXPIRED, false, COUNTED_UNKNOWN},
                {12, false, REASON_ARMOR_REQUIRED, false, COUNTED_NO},
                {12, true, REASON_ACCOUNT_RESTRICTION, false, COUNTED_UNKNOWN},
                {14, false, REASON_ETYPE_NOSUPP, false, COUNTED_NO},
                {37, true, REASON_CLOCK_SKEW, false, COUNTED_UNKNOWN},
                {68, false, REASON_REFERRAL, false, COUNTED_NO},
                {8, false, REASON_NAME_AMBIGUOUS, false, COUNTED_NO},
                {7, false, REASON_DC_ERROR, false, COUNTED_NO},
                {41, true, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
                {60, true, REASON_DC_ERROR, false, COUNTED_UNKNOWN},
                {1, false, REASON_ACCOUNT_EXPIRED, false, COUNTED_NO},
        };

        (void)state;
        for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
                struct outcome out = krb(alone[i].code, 0, alone[i].preauth, true);

                if (out.reason != alone[i].reason || out.password_proved != alone[i].proved ||
                    out.counted != alone[i].counted)
                        fail_msg("code %d: %s proved %d counted %s", alone[i].code, reason_info(out.reason)->id,
                                 out.password_proved, counted_text(out.counted));
                assert_int_equal(out.krb, alone[i].code);
                assert_false(out.has_ntstatus);
                out = krb(alone[i].code, 0, alone[i].preauth, false);
                /* other KDCs leave the cause out of every 18 */
                assert_int_equal(out.reason, alone[i].code == 18 ? REASON_REVOKED : alone[i].reason);
                assert_false(out.password_proved);
        }
}

/* Only a KDC that names no cause says "locked out"; what cannot be read is no such word. */
static void test_revoked_with_other_data(void **state)
{
        static const struct {
                uint8_t bytes[20];
                size_t n;
                enum reason reason;
        } cases[] = {
                {"", 0, REASON_LOCKED_OUT},
                {"\x30\x00", 2, REASON_LOCKED_OUT},
                /* METHOD-DATA with a hint for the key, as Samba sends it */
                {"\x30\x0b\x30\x09\xa1\x03\x02\x01\x13\xa2\x02\x04\x00", 13, REASON_LOCKED_OUT},
                /* an extended error that is none, an unknown shape, cut off, something behind it */
                {"\x30\x0b\x30\x09\xa1\x03\x02\x01\x03\xa2\x02\x04\x00", 13, REASON_REVOKED},
                {"\x30\x03\x02\x01\x07", 5, REASON_REVOKED},
                {"\x30\x0b\x30\x09\xa1\x03\x02\x01\x13\xa2\x02\x04", 12, REASON_REVOKED},
                {"\x30\x00\x00", 3, REASON_REVOKED},
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                const struct krb_refusal refusal = {
                        .code = 18, .e_data = cases[i].bytes, .n = cases[i].n, .preauth = true, .ad = true};
                struct outcome out = {0};

                outcome_from_krb(&out, &refusal);
                assert_int_equal(out.reason, cases[i].reason);
                assert_int_equal(out.counted, out.reason == REASON_REVOKED ? COUNTED_UNKNOWN : COUNTED_NO);
                assert_false(out.password_proved);
        }
}

static void test_ldap_results(void **state)
{
        static const struct {
                int result;
                const char *text;
                enum reason reason;
        } results[] = {
                {49, "", REASON_DC_ERROR},
                {49,
                 "80090346: LdapErr: DSID-0C0904A7, comment: AcceptSecurityContext error, data 80090346, "
                 "v2580",
                 REASON_DC_CHANNEL_BINDING},
                {49, "80090308: LdapErr: DSID-0C0904A7, comment: AcceptSecurityContext error, data 0, v2580",
                 REASON_DC_ERROR},
                {49, "80090308: LdapErr: DSID-0C0904A7, comment: AcceptSecurityContext error, data 52E, v2580",
                 REASON_WRONG_PASSWORD},
                {49, "x, data 123456789, v1", REASON_DC_ERROR}, /* no sub-code, so the bare result counts */
                {49, "x, data 52g, v1", REASON_DC_ERROR},
                {49, "x, data ", REASON_DC_ERROR},
                {49, "x, data 533", REASON_DISABLED},
                {8,
                 "00002028: LdapErr: DSID-0C090202, comment: The server requires binds to turn on integrity "
                 "checking",
                 REASON_DC_SIGNING_REQUIRED},
                {1, "", REASON_DC_ERROR},
                {3, "", REASON_DC_ERROR},
                {10, "", REASON_REFERRAL},
                {32, "", REASON_DC_ERROR},
                {34, "", REASON_DC_ERROR},
                {51, "", REASON_DC_ERROR},
                {52, "", REASON_DC_ERROR},
                {53, "", REASON_DC_ERROR},
                {80, "", REASON_DC_ERROR},
        };

        (void)state;
        for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
                struct outcome out = {0};

                from_ldap(&out, results[i].result, results[i].text, strlen(results[i].text));
                if (out.reason != results[i].reason)
                        fail_msg("result %d, \"%s\": %s", results[i].result, results[i].text,
                                 reason_info(out.reason)->id);
                assert_true(out.context[0]);
        }
}

/* RFC 4511 A.2 is all that a directory other than AD goes by. */
static void test_ldap_49_of_others(void **state)
{
        const struct ldap_refusal refusal = {.result = 49};
        struct outcome out = {0};

        (void)state;
        outcome_from_ldap(&out, &refusal);
        assert_int_equal(out.reason, REASON_WRONG_PASSWORD);
        assert_int_equal(out.counted, COUNTED_YES);
        assert_false(out.password_proved);
}

static void check_unaccepted(const struct outcome *out)
{
        const struct reason_info *info = reason_info(out->reason);

        assert_int_not_equal(info->verdict, VERDICT_ACCEPTED);
        if (out->password_proved)
                assert_int_equal(info->class, VERDICT_CLASS_POLICY);
        if (info->verdict == VERDICT_REFUSED)
                assert_true(out->reason == REASON_WRONG_PASSWORD || out->reason == REASON_UNKNOWN_USER ||
                            info->class == VERDICT_CLASS_POLICY);
}

/* Whatever number a server sends: no acceptance but LDAP's 0, and what nobody knows is unavailable. */
static void test_mapping_is_total(void **state)
{
        (void)state;
        for (int i = -300; i < 5000; i++) {
                struct outcome out = {0};

                from_ldap(&out, i, NULL, 0);
                assert_int_equal(out.reason == REASON_OK, i == 0);
                if (i != 0)
                        check_unaccepted(&out);
                if (i != 0 && i != 49)
                        assert_int_equal(reason_info(out.reason)->verdict, VERDICT_UNAVAILABLE);
                for (int preauth = 0; preauth < 2; preauth++) {
                        out = krb(i, 0, preauth, i % 2);
                        check_unaccepted(&out);
                        out = krb(i, 0xC0FFEE00U, preauth, i % 2);
                        check_unaccepted(&out);
                }
        }
        for (uint32_t data = 0; data < 0x3000; data++) {
                struct outcome out = ldap49(data);
                bool known = false;

                check_unaccepted(&out);
                for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                        known = known || (data && rows[i].data == data);
                if (!known)
                        assert_int_equal(out.reason, REASON_DC_ERROR);
        }
}

/* The three shapes; each with C0000072. */
static const uint8_t bare[] = {0x72, 0, 0, 0xC0, 0, 0, 0, 0, 1, 0, 0, 0};
static const uint8_t error_data[] = {0x30, 0x15, 0xa1, 3, 2, 1, 3, 0xa2, 14, 4, 12, 0x72,
                                     0,    0,    0xC0, 0, 0, 0, 0, 1,    0,  0, 0};
/* One element of METHOD-DATA of another type, without bytes. */
static const uint8_t other_padata[] = {0x30, 9, 0xa1, 3, 2, 1, 2, 0xa2, 2, 4, 0};

static void test_edata_shapes(void **state)
{
        uint8_t method[64] = {0x30, sizeof other_padata + sizeof error_data};
        uint32_t status = 0;
        size_t n = 2 + sizeof other_padata + sizeof error_data;

        (void)state;
        assert_true(edata_ntstatus(bare, sizeof bare, &status));
        assert_int_equal(status, 0xC0000072);
        status = 0;
        assert_true(edata_ntstatus(error_data, sizeof error_data, &status));
        assert_int_equal(status, 0xC0000072);
        memcpy(method + 2, other_padata, sizeof other_padata);
        memcpy(method + 2 + sizeof other_padata, error_data, sizeof error_data);
        status = 0;
        assert_true(edata_ntstatus(method, n, &status));
        assert_int_equal(status, 0xC0000072);
        for (size_t cut = 0; cut < n; cut++)
                assert_false(edata_ntstatus(method, cut, &status));
        method[1] = (uint8_t)(n - 1);
        assert_false(edata_ntstatus(method, n, &status));
}

static void test_edata_refusals(void **state)
{
        static const uint8_t other_type[] = {0x30, 0x15, 0xa1, 3, 2, 1, 4, 0xa2, 14, 4, 12, 0x72,
                                             0,    0,    0xC0, 0, 0, 0, 0, 1,    0,  0, 0};
        static const uint8_t long_length[] = {0x30, 0x81, 0x15, 0xa1, 3, 2, 1, 3, 0xa2, 14, 4, 12,
                                              0x72, 0,    0,    0xC0, 0, 0, 0, 0, 1,    0,  0, 0};
        static const uint8_t indefinite[] = {0x30, 0x80, 0xa1, 3, 2, 1, 3, 0xa2, 14, 4, 12, 0x72, 0,
                                             0,    0xC0, 0,    0, 0, 0, 1, 0,    0,  0, 0,  0};
        static const uint8_t no_failure[] = {0x72, 0, 0, 0x40, 0, 0, 0, 0, 1, 0, 0, 0};
        static const char salt[] = "CORP.EXAMPLE";
        uint32_t status = 7;

        (void)state;
        assert_false(edata_ntstatus(NULL, 0, &status));
        assert_false(edata_ntstatus(other_type, sizeof other_type, &status));
        assert_false(edata_ntstatus(long_length, sizeof long_length, &status));
        assert_false(edata_ntstatus(indefinite, sizeof indefinite, &status));
        assert_false(edata_ntstatus(no_failure, sizeof no_failure, &status));
        assert_false(edata_ntstatus((const uint8_t *)salt, 12, &status));
        assert_false(edata_ntstatus(bare, sizeof bare - 1, &status));
        assert_int_equal(status, 7);
}

/* In the answer 25 an element of type 3 is the salt, whatever its bytes look like. */
static void test_preauth_required_has_no_status(void **state)
{
        const struct krb_refusal refusal = {.code = 25, .e_data = error_data, .n = sizeof error_data, .ad = true};
        struct outcome out = {0};

        (void)state;
        outcome_from_krb(&out, &refusal);
        assert_false(out.has_ntstatus);
        assert_int_equal(out.reason, REASON_DC_ERROR);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_row_is_complete),
                cmocka_unit_test(test_zero_is_neither),
                cmocka_unit_test(test_users_are_told_no_state_unproved),
                cmocka_unit_test(test_ldap_rows),
                cmocka_unit_test(test_ntstatus_rows),
                cmocka_unit_test(test_krb_codes_alone),
                cmocka_unit_test(test_revoked_with_other_data),
                cmocka_unit_test(test_ldap_results),
                cmocka_unit_test(test_ldap_49_of_others),
                cmocka_unit_test(test_mapping_is_total),
                cmocka_unit_test(test_edata_shapes),
                cmocka_unit_test(test_edata_refusals),
                cmocka_unit_test(test_preauth_required_has_no_status),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
