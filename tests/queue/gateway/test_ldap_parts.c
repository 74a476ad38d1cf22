/*
 * The LDAP door's pure parts where the sandbox does not reach: DNs, what each answer of the gateway becomes, and
 * entries of which not all is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/core/sid.h"
#include "queue/gateway/dn.h"
#include "queue/gateway/doors/ldap.h"

static void test_dns(void **state)
{
        static const struct {
                const char *text, *type, *value, *rest; /* type NULL: it is none */
        } cases[] = {
                {"uid=alice,dc=corp", "uid", "alice", ",dc=corp"},
                {" UID = Alice B , DC=Corp", "uid", "Alice B", ",dc=corp"},
                {"cn=a\\,b\\2Cc\\\\\\20,o=\\ x", "cn", "a,b,c\\ ", ",o=\\ x"},
                {"2.5.4.3=x=y", "2.5.4.3", "x=y", ""},
                {"cn=\\c3\\a4", "cn", "\xc3\xa4", ""},
                {"", NULL, NULL, NULL},
                {"alice", NULL, NULL, NULL},
                {"alice@corp.example", NULL, NULL, NULL},
                {"CORP\\alice", NULL, NULL, NULL},
                {"uid=", NULL, NULL, NULL},
                {"=x", NULL, NULL, NULL},
                {"uid=a+cn=b,dc=x", NULL, NULL, NULL},
                {"uid=#04", NULL, NULL, NULL},
                {"uid=\"a\"", NULL, NULL, NULL},
                {"uid=a\\", NULL, NULL, NULL},
                {"uid=a\\g", NULL, NULL, NULL},
                {"uid=a\\00", NULL, NULL, NULL},
                {"uid=a,", NULL, NULL, NULL},
                {"uid=a,,dc=x", NULL, NULL, NULL},
                {"uid=a;dc=x", NULL, NULL, NULL},
                {"uid=a,dc", NULL, NULL, NULL},
        };
        struct dn dn;

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const int r = dn_read(&dn, cases[i].text, strlen(cases[i].text));

                if ((r == 0) != (cases[i].type != NULL))
                        fail_msg("'%s' is read as %d", cases[i].text, r);
                if (r < 0)
                        continue;
                assert_string_equal(dn.type, cases[i].type);
                assert_string_equal(dn.value, cases[i].value);
                assert_string_equal(dn.rest, cases[i].rest);
        }
}

static void test_sids(void **state)
{
        uint8_t bytes[68];
        char text[SID_TEXT_MAX];
        static const char *const good[] = {"S-1-5-21-1-2-4294967295-1104", "S-1-1-0", "S-1-5-32-544"};
        static const char *const bad[] = {"",        "S-1-5",    "S-1-5-", "S-1-5-x", "S-1-5-4294967296",
                                          "S-2-5-1", "S-1-5-1-", "alice"};

        (void)state;
        for (size_t i = 0; i < 3; i++) {
                const size_t n = sid_from_text(bytes, sizeof(bytes), good[i]);

                assert_int_equal(sid_text(text, bytes, n), 0);
                assert_string_equal(text, good[i]);
                assert_int_equal(sid_from_text(bytes, n - 1, good[i]), 0);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(sid_from_text(bytes, sizeof(bytes), bad[i]), 0);
}

static void test_results(void **state)
{
        static const struct {
                const char *verdict, *class, *reason, *counted;
                bool proved;
                enum ldapd_result result;
                const char *said;
        } cases[] = {
                {"accepted", "none", "ok", "0", true, LDAP_SUCCESS, NULL},
                {"refused", "credentials", "wrong_password", "1", false, LDAP_INVALID_CREDENTIALS,
                 "data 52e, v0; T (id I)"},
                {"refused", "credentials", "unknown_user", "0", false, LDAP_INVALID_CREDENTIALS, "data 52e"},
                {"refused", "policy", "password_expired", "0", true, LDAP_INVALID_CREDENTIALS, "data 532"},
                {"refused", "policy", "password_expired", "0", false, LDAP_INVALID_CREDENTIALS, "data 52f"},
                {"refused", "policy", "disabled", "0", true, LDAP_INVALID_CREDENTIALS, "data 533"},
                {"refused", "policy", "disabled", "0", false, LDAP_INVALID_CREDENTIALS, "data 52f"},
                {"refused", "policy", "locked_out", "0", false, LDAP_INVALID_CREDENTIALS, "data 775"},
                {"refused", "policy", "throttled", "0", false, LDAP_INVALID_CREDENTIALS, "data 775"},
                {"refused", "policy", "smartcard_required", "0", true, LDAP_INVALID_CREDENTIALS, "data 52f"},
                {"refused", "policy", "of_tomorrow", "0", true, LDAP_INVALID_CREDENTIALS, "data 52f"},
                {"unavailable", "infrastructure", "no_dc", "0", false, LDAP_UNAVAILABLE, "T (id I, no_dc)"},
                {"unavailable", "infrastructure", "outcome_unknown", "unknown", false, LDAP_UNWILLING, "do not repeat"},
                {"unavailable", "infrastructure", "deadline", "1", false, LDAP_UNWILLING, "do not repeat"},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct buffer text = BUFFER(1024);
                const struct door_answer a = {.id = "I",
                                              .text = "T",
                                              .verdict = cases[i].verdict,
                                              .class = cases[i].class,
                                              .reason = cases[i].reason,
                                              .may_have_counted = cases[i].counted,
                                              .password_proved = cases[i].proved};

                assert_int_equal(ldapd_bind_result(&a, &text), cases[i].result);
                if (cases[i].said ? !text.data || !strstr(text.data, cases[i].said) : text.len > 0)
                        fail_msg("%s says '%s'", cases[i].reason, text.data ? text.data : "");
                buffer_free(&text);
        }
}

/* A filter of two texts, which fit into one byte of length. */
static struct berval assertion(char *out, uint8_t tag, const char *attribute, const char *value)
{
        const size_t a = strlen(attribute), v = strlen(value);
        const int n = snprintf(out, 128, "%c%c\4%c%s\4%c%s", tag, (int)(a + v + 4), (int)a, attribute, (int)v, value);

        return (struct berval){(ber_len_t)n, out};
}

/* Searches for one attribute; the result, and in *ret_found whether there was an entry. */
static int result_of(const struct ldapd_user *user, struct berval filter, bool *ret_found)
{
        struct buffer out = BUFFER(LDAP_ANSWER_MOST);
        const struct ldapd_request q = {.id = 1, .kind = LDAP_SEARCH, .scope = LDAP_SCOPE_SUB, .filter = filter};

        assert_int_equal(ldapd_answer_search(&out, &q, user, false), 0);
        *ret_found = memchr(out.data, 0x64, out.len < 16 ? out.len : 16) != NULL;
        /* SearchResultDone is the last message: id, then its tag and length, then ENUMERATED. */
        const char *done = memrchr(out.data, 0x65, out.len);
        while (done > out.data && memcmp(done - 3, "\2\1\1", 3) != 0)
                done = memrchr(out.data, 0x65, (size_t)(done - out.data));
        const int result = done[4];
        buffer_free(&out);
        return result;
}

static void test_what_is_not_known(void **state)
{
        struct pairs pairs = {.len = 0};
        struct ldapd_user user;
        char text[128], outer[130];
        bool found;

        (void)state;
        assert_int_equal(pairs_add(&pairs, "memberOf", "CN=a", 4), 0);
        assert_int_equal(pairs_add(&pairs, "mail", "m@x", 3), 0);
        assert_int_equal(pairs_add(&pairs, "objectSid", "S-1-1-0", 7), 0);
        struct door_answer a = {.user_id = "S-1-5-21-1-2-3-4",
                                .user_domain = "corp.example",
                                .upn = "alice@corp.example",
                                .sam = "alice",
                                .guid = "00112233-4455-6677-8899-aabbccddeeff",
                                .name = "alice@corp.example",
                                .attributes_state = "complete",
                                .attributes = &pairs};
        char name[] = "xy";
        const struct berval bound = {2, name};
        ldapd_user_set(&user, &a, "alice", &bound);
        assert_string_equal(user.dn, "posternUserId=S-1-5-21-1-2-3-4,dc=corp,dc=example");
        assert_int_equal(result_of(&user, assertion(text, 0xa3, "memberOf", "cn=A"), &found), LDAP_SUCCESS);
        assert_true(found);
        assert_int_equal(result_of(&user, assertion(text, 0xa3, "memberOf", "cn=b"), &found), LDAP_SUCCESS);
        assert_false(found);
        const struct berval guid = assertion(text, 0xa3, "objectGUID", "0123456789012345");
        memcpy(text + guid.bv_len - 16, "\x33\x22\x11\0\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
        assert_int_equal(result_of(&user, guid, &found), LDAP_SUCCESS);
        assert_true(found);
        assert_int_equal(result_of(&user, assertion(text, 0xa3, "objectSid", "S-1-1-0"), &found), LDAP_SUCCESS);
        assert_false(found); /* the verdict's own word about who it is is not overruled */
        a.attributes_state = "truncated";
        ldapd_user_set(&user, &a, "alice", &bound);
        assert_int_equal(result_of(&user, assertion(text, 0xa3, "memberOf", "cn=A"), &found),
                         LDAP_ADMIN_LIMIT_EXCEEDED);
        assert_true(found);
        const struct berval inner = assertion(text, 0xa3, "memberOf", "cn=b");
        outer[0] = (char)0xa2;
        outer[1] = (char)inner.bv_len;
        memcpy(outer + 2, text, inner.bv_len);
        const struct berval negated = {inner.bv_len + 2, outer};
        assert_int_equal(result_of(&user, negated, &found), LDAP_ADMIN_LIMIT_EXCEEDED);
        assert_false(found); /* he may be in that group */
        assert_int_equal(result_of(&user, assertion(text, 0xa3, "uid", "bob"), &found), LDAP_SUCCESS);
        assert_false(found);
        a.attributes_state = "unavailable";
        a.attributes = NULL;
        ldapd_user_set(&user, &a, "alice", &bound);
        assert_int_equal(result_of(&user, assertion(text, 0xa3, "uid", "alice"), &found), LDAP_UNAVAILABLE);
        assert_false(found); /* whoever takes over his groups would take them away */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dns),
                cmocka_unit_test(test_sids),
                cmocka_unit_test(test_results),
                cmocka_unit_test(test_what_is_not_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
