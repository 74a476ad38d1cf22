/*
 * Claims of a verdict: round trips, and each rule with a case that breaks it alone.
 */
#include "tests/queue/check.h"

#include "queue/wire/wire.h"

#define HASH "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"

static const char good[] = "{\"v\":1,\"iss\":\"connector-0001-aaaa\",\"aud\":\"service-0001-bbbbbb\","
                           "\"tenant\":\"acme\",\"jti\":\"0123456789ABCDEF\","
                           "\"req\":\"" HASH "\",\"iat\":1800000000,\"exp\":1800000030,\"verdict\":"
                           "\"accepted\",\"class\":\"none\",\"reason\":\"ok\","
                           "\"password_proved\":true,\"may_have_counted\":\"0\",\"user\":{\"id\":\"S-1-5-21-"
                           "1\",\"guid\":\"g\",\"upn\":\"amy@corp.example\","
                           "\"sam\":\"amy\",\"domain\":\"corp.example\"},\"dc\":\"dc1\",\"method\":\"ldap\","
                           "\"raw\":{\"ldap\":\"49\",\"krb\":\"24\",\"ntstatus\":\"C000006A\"},"
                           "\"t\":{\"opened\":1,\"dc\":2,\"total\":3}}";

static struct verdict_claims sample(void)
{
        return (struct verdict_claims){.iss = "connector-0001-aaaa",
                                       .aud = "service-0001-bbbbbb",
                                       .tenant = "acme",
                                       .jti = "0123456789ABCDEF",
                                       .req = HASH,
                                       .iat = 1800000000,
                                       .exp = 1800000030,
                                       .verdict = "accepted",
                                       .class = "none",
                                       .reason = "ok",
                                       .password_proved = true,
                                       .may_have_counted = "0",
                                       .user_id = "S-1-5-21-1",
                                       .user_guid = "g",
                                       .user_upn = "amy@corp.example",
                                       .user_sam = "amy",
                                       .user_domain = "corp.example",
                                       .dc = "dc1",
                                       .method = "ldap",
                                       .raw_ldap = "49",
                                       .raw_krb = "24",
                                       .raw_ntstatus = "C000006A",
                                       .t_opened = 1,
                                       .t_dc = 2,
                                       .t_total = 3};
}

static void round_trip(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096), again = BUFFER(4096);
        struct verdict_claims c = sample(), back;
        struct error err = {""};

        (void)state;
        assert_int_equal(verdict_claims_encode(&c, &out, &err), 0);
        assert_string_equal(out.data, good);
        assert_int_equal(verdict_claims_decode(&back, out.data, out.len, &err), 0);
        assert_int_equal(verdict_claims_encode(&back, &again, &err), 0);
        assert_string_equal(again.data, good);
        assert_int_equal(back.t_total, 3);
        assert_string_equal(back.raw_krb, "24");
}

static void least_verdict(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096);
        struct verdict_claims c = sample(), back;
        struct error err = {""};

        (void)state;
        c.verdict = "refused";
        c.class = "credentials";
        c.password_proved = false;
        c.user_id[0] = c.user_guid[0] = c.user_upn[0] = c.user_sam[0] = c.user_domain[0] = '\0';
        c.dc[0] = c.method[0] = c.raw_ldap[0] = c.raw_krb[0] = c.raw_ntstatus[0] = '\0';
        assert_int_equal(verdict_claims_encode(&c, &out, &err), 0);
        assert_null(strstr(out.data, "user"));
        assert_null(strstr(out.data, "raw"));
        assert_int_equal(verdict_claims_decode(&back, out.data, out.len, &err), 0);
        assert_string_equal(back.verdict, "refused");
}

static void encode_refuses_what_was_forgotten(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096);
        struct verdict_claims c = {0};
        struct error err = {""};

        (void)state;
        assert_says(verdict_claims_encode(&c, &out, &err), -EINVAL, &err, "not set");
        c = sample();
        c.user_id[0] = '\0';
        assert_says(verdict_claims_encode(&c, &out, &err), -EINVAL, &err, "user is missing");
        c = sample();
        c.class = "credentials";
        assert_says(verdict_claims_encode(&c, &out, &err), -EINVAL, &err, "class");
        c = sample();
        c.password_proved = false;
        assert_says(verdict_claims_encode(&c, &out, &err), -EINVAL, &err, "password_proved");
        c = sample();
        c.user_domain[0] = '\0';
        assert_says(verdict_claims_encode(&c, &out, &err), -EINVAL, &err, "domain");
        c = sample();
        c.dc[0] = '\xff';
        c.dc[1] = '\0';
        assert_int_equal(verdict_claims_encode(&c, &out, &err), -EINVAL);
        assert_int_equal(out.len, 0);
}

static void attributes_round_trip(void **state)
{
        static const char text[] =
                "\"attributes\":{\"state\":\"truncated\",\"values\":{\"mail\":[\"amy@corp.example\"],"
                "\"memberOf\":[\"CN=a,DC=x\",\"CN=\\\"b\\\",DC=x\"]}}";
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096);
        struct verdict_claims c = sample(), back;
        struct error err = {""};

        (void)state;
        c.attributes_state = "truncated";
        assert_int_equal(pairs_add(&c.attributes, "mail", "amy@corp.example", 16), 0);
        assert_int_equal(pairs_add(&c.attributes, "memberOf", "CN=a,DC=x", 9), 0);
        assert_int_equal(pairs_add(&c.attributes, "memberOf", "CN=\"b\",DC=x", 11), 0);
        assert_int_equal(verdict_claims_encode(&c, &out, &err), 0);
        assert_non_null(strstr(out.data, text));
        assert_int_equal(verdict_claims_decode(&back, out.data, out.len, &err), 0);
        assert_string_equal(back.attributes_state, "truncated");
        assert_int_equal(back.attributes.len, c.attributes.len);
        assert_memory_equal(back.attributes.bytes, c.attributes.bytes, c.attributes.len);
        c.attributes_state = "unavailable";
        assert_says(verdict_claims_encode(&c, &out, &err), -EINVAL, &err, "denies");
        c = sample();
        c.verdict = "refused";
        c.class = "policy";
        c.user_id[0] = c.user_guid[0] = c.user_upn[0] = c.user_sam[0] = c.user_domain[0] = '\0';
        c.attributes_state = "complete";
        assert_says(verdict_claims_encode(&c, &out, &err), -EINVAL, &err, "attributes without accepted");
}

/* An entry may bring a name again after another one, as with an option: still one member each. */
static void scattered_attributes(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096);
        struct verdict_claims c = sample(), back;
        struct error err = {""};

        (void)state;
        c.attributes_state = "complete";
        assert_int_equal(pairs_add(&c.attributes, "mail", "a", 1), 0);
        assert_int_equal(pairs_add(&c.attributes, "cn", "b", 1), 0);
        assert_int_equal(pairs_add(&c.attributes, "mail", "c", 1), 0);
        assert_int_equal(pairs_add(&c.attributes, "cn", "d", 1), 0);
        assert_int_equal(verdict_claims_encode(&c, &out, &err), 0);
        assert_non_null(strstr(out.data, "\"values\":{\"mail\":[\"a\",\"c\"],\"cn\":[\"b\",\"d\"]}"));
        assert_int_equal(verdict_claims_decode(&back, out.data, out.len, &err), 0);
}

/* 1600 bytes are all that a reader takes. */
static void too_long_attributes(void **state)
{
        char value[1601] = "", json[4096];
        struct verdict_claims c;
        struct error err = {""};

        (void)state;
        for (size_t n = 1590; n <= 1600; n += 10) {
                char *text;

                memset(value, 'x', n);
                snprintf(json, sizeof(json),
                         "\"attributes\":{\"state\":\"complete\",\"values\":{\"mail\":[\"%s\"]}},\"t\":{", value);
                text = replaced(good, "\"t\":{", json);
                assert_int_equal(verdict_claims_decode(&c, text, strlen(text), &err), n == 1590 ? 0 : -EBADMSG);
                free(text);
        }
}

#define ATTRIBUTES(members) "\"attributes\":{" members "},\"t\":{"

static const struct change changes[] = {
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\""), "member attributes.values is missing"},
        {"\"t\":{", ATTRIBUTES("\"values\":{}"), "member attributes.state is missing"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"some\",\"values\":{}"), "member attributes.state is no known word"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\",\"values\":[]"), "member attributes.values is not an object"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\",\"values\":{\"\":[\"x\"]}"),
         "member attributes.values[0] has no name"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\",\"values\":{\"a b\":[\"x\"]}"),
         "member attributes.values[0] has no name of an attribute"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\",\"values\":{\"a\":\"x\"}"),
         "member attributes.values[0] is not an array"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\",\"values\":{\"a\":[]}"),
         "member attributes.values[0] has 0 elements"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\",\"values\":{\"a\":[1]}"),
         "member attributes.values[0][0] is not a string"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"complete\",\"values\":{},\"x\":1"), "unknown member"},
        {"\"t\":{", ATTRIBUTES("\"state\":\"unavailable\",\"values\":{\"a\":[\"x\"]}"), "denies"},
        {"", "[]", "verdict"},
        {"", "{}", "member v is missing"},
        {"{\"v\":1", "{\"v\":1,\"v\":1", "verdict"},
        {"\"v\":1", "\"v\":2", "member v"},
        {"connector-0001-aaaa", "x", "member iss is not an id"},
        {"service-0001-bbbbbb", "service 0001 bbbbbb", "member aud is not an id"},
        {"\"tenant\":\"acme\",", "", "member tenant is missing"},
        {"\"tenant\":\"acme\"", "\"tenant\":\"ACME\"", "member tenant is not"},
        {"\"jti\":\"0123456789ABCDEF\"", "\"jti\":0", "member jti is not a string"},
        {"\"req\":\"" HASH "\"", "\"req\":\"AAAA\"", "member req"},
        {"\"exp\":1800000030", "\"exp\":1800000031", "member exp is not iat + 30"},
        {"\"exp\":1800000030", "\"exp\":1800000000", "member exp is not iat + 30"},
        {"\"iat\":1800000000", "\"iat\":\"1800000000\"", "member iat is not an integer"},
        {"\"accepted\"", "\"Accepted\"", "member verdict is no known word"},
        {"\"accepted\"", "\"accepted\\u0000\"", "verdict"},
        {"\"verdict\":\"accepted\",", "", "member verdict is missing"},
        {"\"class\":\"none\"", "\"class\":\"other\"", "member class is no known word"},
        {"\"class\":\"none\"", "\"class\":\"policy\"", "class does not go with verdict"},
        {"\"verdict\":\"accepted\"", "\"verdict\":\"refused\"", "class does not go with verdict"},
        {"\"accepted\",\"class\":\"none\"", "\"refused\",\"class\":\"policy\"", "user without accepted"},
        {"\"accepted\",\"class\":\"none\"", "\"refused\",\"class\":\"infrastructure\"",
         "class does not go with verdict"},
        {"\"accepted\",\"class\":\"none\"", "\"unavailable\",\"class\":\"credentials\"",
         "class does not go with verdict"},
        {"\"reason\":\"ok\"", "\"reason\":\"\"", "member reason is empty"},
        {"\"reason\":\"ok\"", "\"reason\":\"a-reason-that-is-longer-than-the-forty-seven-bytes\"",
         "member reason is too long"},
        {"\"password_proved\":true", "\"password_proved\":1", "member password_proved is not a boolean"},
        {"\"password_proved\":true", "\"password_proved\":false", "password_proved is false"},
        {"\"may_have_counted\":\"0\"", "\"may_have_counted\":0", "member may_have_counted is not a string"},
        {"\"may_have_counted\":\"0\"", "\"may_have_counted\":\"2\"", "member may_have_counted"},
        {"\"user\":{\"id\":\"S-1-5-21-1\",", "\"user\":{", "member user.id is missing"},
        {"\"id\":\"S-1-5-21-1\"", "\"id\":\"\"", "member user.id is empty"},
        {"\"id\":\"S-1-5-21-1\"", "\"id\":null", "member user.id is not a string"},
        {",\"domain\":\"corp.example\"}", "}", "member user.domain is missing"},
        {"\"sam\":\"amy\"", "\"sam\":\"amy\",\"groups\":[]", "unknown member \"groups\""},
        {"\"method\":\"ldap\"", "\"method\":\"ntlm\"", "member method"},
        {"\"raw\":{\"ldap\":\"49\"", "\"raw\":{\"ldap\":49", "member raw.ldap is not a string"},
        {"\"raw\":{", "\"raw\":{\"x\":\"y\",", "unknown member \"x\""},
        {"\"t\":{\"opened\":1,\"dc\":2,\"total\":3}", "\"t\":3", "member t is not an object"},
        {"\"opened\":1,", "", "member t.opened is missing"},
        {"\"total\":3", "\"total\":-3", "member t.total is out of range"},
        {"\"total\":3", "\"total\":3600001", "member t.total is out of range"},
        {"\"t\":{", "\"password\":\"x\",\"t\":{", "unknown member \"password\""},
        {"\"dc\":\"dc1\"", "\"dc\":[]", "member dc is not a string"},
        {"\"total\":3}}", "\"total\":3}}}", "verdict"},
};

static void refusals(void **state)
{
        (void)state;
        for (size_t i = 0; i < N(changes); i++) {
                char *json = replaced(good, changes[i].find, changes[i].with);
                struct verdict_claims c = {.reason = "untouched"};
                struct error err = {""};

                assert_says(verdict_claims_decode(&c, json, strlen(json), &err), -EBADMSG, &err, changes[i].says);
                assert_string_equal(c.reason, "untouched");
                free(json);
        }
}

static void accepted_without_user_is_refused(void **state)
{
        char *json =
                replaced(good,
                         "\"user\":{\"id\":\"S-1-5-21-1\",\"guid\":\"g\",\"upn\":\"amy@corp.example\",\"sam\":\"amy\","
                         "\"domain\":\"corp.example\"},",
                         "");
        struct verdict_claims c;
        struct error err = {""};

        (void)state;
        assert_says(verdict_claims_decode(&c, json, strlen(json), &err), -EBADMSG, &err, "user is missing");
        free(json);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(round_trip),
                cmocka_unit_test(least_verdict),
                cmocka_unit_test(encode_refuses_what_was_forgotten),
                cmocka_unit_test(attributes_round_trip),
                cmocka_unit_test(scattered_attributes),
                cmocka_unit_test(too_long_attributes),
                cmocka_unit_test(refusals),
                cmocka_unit_test(accepted_without_user_is_refused),
        };
        return cmocka_run_group_tests_name("queue/wire-verdict", tests, NULL, NULL);
}
