/*
 * Claims of a request: what is encoded comes back, and each rule has a case that breaks it alone.
 */
#include "tests/queue/check.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include "certs/jose/jose.h"
#include "base/core/secret.h"
#include "queue/wire/wire.h"

#define KID1 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KID2 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"

static const char good[] =
        "{\"v\":1,\"iss\":\"service-0001-bbbbbb\",\"aud\":\"acme\",\"jti\":\"0123456789ABCDEF\",\"iat\":"
        "1800000000,"
        "\"exp\":1800000060,\"to\":[\"" KID1 "\",\"" KID2
        "\"],\"username\":\"amy@corp.example\",\"password\":\"s3cret\","
        "\"rk\":\"" KID2 "\",\"client\":{\"ip\":\"192.0.2.7\",\"agent\":\"x\",\"app\":\"mail\"}}";

static struct request_claims sample(void)
{
        struct request_claims c = {.iss = "service-0001-bbbbbb",
                                   .aud = "acme",
                                   .jti = "0123456789ABCDEF",
                                   .iat = 1800000000,
                                   .exp = 1800000060,
                                   .n_to = 2,
                                   .to = {KID1, KID2},
                                   .username = "amy@corp.example",
                                   .username_len = 16,
                                   .password = "s3cret",
                                   .password_len = 6,
                                   .client_ip = "192.0.2.7",
                                   .client_agent = "x",
                                   .client_app = "mail"};

        memset(c.rk, 1, sizeof(c.rk));
        return c;
}

static int decode(struct request_claims *c, const char *json, struct error *err)
{
        return request_claims_decode(c, json, strlen(json), err);
}

static void writes_what_the_protocol_shows(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER_SECRET(4096);
        struct request_claims c = sample();
        struct error err = {""};

        (void)state;
        assert_int_equal(request_claims_encode(&c, &out, &err), 0);
        assert_string_equal(out.data, good);
}

static void round_trip_of_odd_text(void **state)
{
        static const char *const texts[] = {"p\"q\\r/s", "\x01\x1f\x7f\t\n", "ä€𝄞", " ", "{}[]:,", "\\u0041"};
        (void)state;
        for (size_t i = 0; i < N(texts); i++) {
                _cleanup_(buffer_free) struct buffer out = BUFFER_SECRET(4096);
                struct request_claims c = sample(), back;
                struct error err = {""};

                c.username_len = c.password_len = strlen(texts[i]);
                memcpy(c.username, texts[i], c.username_len + 1);
                memcpy(c.password, texts[i], c.password_len + 1);
                memcpy(c.op, "other-op", 9);
                assert_int_equal(request_claims_encode(&c, &out, &err), 0);
                assert_int_equal(request_claims_decode(&back, out.data, out.len, &err), 0);
                assert_string_equal(back.username, texts[i]);
                assert_string_equal(back.password, texts[i]);
                assert_int_equal(back.password_form, CREDENTIAL_OK);
                assert_string_equal(back.op, "other-op");
                assert_memory_equal(back.rk, c.rk, sizeof(c.rk));
                assert_int_equal(back.n_to, 2);
                assert_string_equal(back.to[1], KID2);
                assert_string_equal(back.client_app, "mail");
        }
}

static void defaults(void **state)
{
        char *json = replaced(good, ",\"client\":{\"ip\":\"192.0.2.7\",\"agent\":\"x\",\"app\":\"mail\"}", "");
        struct request_claims c;
        struct error err = {""};

        (void)state;
        assert_int_equal(decode(&c, json, &err), 0);
        assert_string_equal(c.op, "sign-in");
        assert_string_equal(c.client_ip, "");
        free(json);
}

static void longest_fits_and_one_more_does_not(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER_SECRET(4096);
        _cleanup_(key_freep) struct key *key = NULL;
        struct request_claims c = sample();
        struct error err = {""};
        size_t fixed, quotes;

        (void)state;
        /* each quote in the password becomes two bytes */
        c.username_len = WIRE_USERNAME_MAX;
        memset(c.username, '"', WIRE_USERNAME_MAX);
        c.password_len = WIRE_PASSWORD_MAX;
        memset(c.password, 'x', WIRE_PASSWORD_MAX);
        memset(c.client_agent, 'a', 200);
        assert_int_equal(request_claims_encode(&c, &out, &err), 0);
        fixed = out.len;
        assert_true(fixed < REQUEST_CLAIMS_MAX);
        quotes = REQUEST_CLAIMS_MAX - fixed;
        assert_true(quotes < WIRE_PASSWORD_MAX);
        memset(c.password, '"', quotes);
        buffer_clear(&out);
        assert_int_equal(request_claims_encode(&c, &out, &err), 0);
        assert_int_equal(out.len, REQUEST_CLAIMS_MAX);

        _cleanup_(buffer_free) struct buffer jws = BUFFER_SECRET(8192);
        assert_int_equal(key_generate(&key, &err), 0);
        assert_int_equal(jws_sign(key, JOSE_TYP_REQUEST, out.data, out.len, &jws, &err), 0);
        assert_true(jws.len <= PADDED_LARGE);
        assert_true(jws.len + 2 > PADDED_LARGE);

        c.password[quotes] = '"';
        buffer_clear(&out);
        assert_says(request_claims_encode(&c, &out, &err), -EMSGSIZE, &err, "too long");
        assert_int_equal(out.len, 0);
}

static void encode_refuses(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER_SECRET(4096);
        struct request_claims c = sample();
        struct error err = {""};

        (void)state;
        c.password[0] = '\xff';
        assert_says(request_claims_encode(&c, &out, &err), -EINVAL, &err, "UTF-8");
        assert_int_equal(out.len, 0);
        c = sample();
        c.n_to = 0;
        assert_int_equal(request_claims_encode(&c, &out, &err), -EINVAL);
        c = sample();
        c.n_to = REQUEST_TO_MAX + 1;
        assert_int_equal(request_claims_encode(&c, &out, &err), -EINVAL);
}

static void credential_forms(void **state)
{
        char *long_name = repeated('n', WIRE_USERNAME_MAX + 1), *long_password = repeated('p', WIRE_PASSWORD_MAX + 1);
        char *max_name = repeated('n', WIRE_USERNAME_MAX), *max_password = repeated('p', WIRE_PASSWORD_MAX);
        const struct {
                const char *name, *password;
                enum credential_form name_form, password_form;
        } cases[] = {
                {"", "x", CREDENTIAL_EMPTY, CREDENTIAL_OK},
                {"x", "", CREDENTIAL_OK, CREDENTIAL_EMPTY},
                {long_name, "x", CREDENTIAL_TOO_LONG, CREDENTIAL_OK},
                {"x", long_password, CREDENTIAL_OK, CREDENTIAL_TOO_LONG},
                {max_name, max_password, CREDENTIAL_OK, CREDENTIAL_OK},
                {"a\\u0000b", "x", CREDENTIAL_HAS_NUL, CREDENTIAL_OK},
                {"x", "\\u0000", CREDENTIAL_OK, CREDENTIAL_HAS_NUL},
        };
        (void)state;
        for (size_t i = 0; i < N(cases); i++) {
                char *one = replaced(good, "amy@corp.example", cases[i].name);
                char *two = replaced(one, "s3cret", cases[i].password);
                struct request_claims c;
                struct error err = {""};

                assert_int_equal(decode(&c, two, &err), 0);
                assert_int_equal(c.username_form, cases[i].name_form);
                assert_int_equal(c.password_form, cases[i].password_form);
                if (c.password_form != CREDENTIAL_OK)
                        assert_true(c.password[0] == '\0' && c.password_len == 0);
                free(one);
                free(two);
        }
        free(long_name);
        free(long_password);
        free(max_name);
        free(max_password);
}

static void client_texts_are_cut_at_a_character(void **state)
{
        char *agent = repeated('a', 254), *both = malloc(300), *json;
        struct request_claims c;
        struct error err = {""};

        (void)state;
        (void)snprintf(both, 300, "%s€", agent);
        json = replaced(good, "\"agent\":\"x", "\"agent\":\"");
        char *full = replaced(json, "\"agent\":\"", "\"agent\":\"X");
        char *last = replaced(full, "X", both);
        assert_int_equal(decode(&c, last, &err), 0);
        assert_int_equal(strlen(c.client_agent), 254);
        free(agent);
        free(both);
        free(json);
        free(full);
        free(last);
}

static const struct change changes[] = {
        {"", "[]", "request"},
        {"", "", "is not a JSON object: "},
        {"", "{}", "member v is missing"},
        {"}}", "}} ", NULL}, /* white space behind is no harm */
        {"}}", "}}x", "is not a JSON object: "},
        {"{\"v\":1", "{\"v\":1,\"v\":1", "is not a JSON object: "},
        {"\"v\":1", "\"v\":2", "member v is out of range"},
        {"\"v\":1", "\"v\":\"1\"", "member v is not an integer"},
        {"\"v\":1", "\"v\":1.0", "member v is not an integer"},
        {"\"v\":1", "\"v\":true", "member v is not an integer"},
        {"\"iss\":\"service-0001-bbbbbb\",", "", "member iss is missing"},
        {"service-0001-bbbbbb", "short", "member iss is not an id"},
        {"service-0001-bbbbbb", "service_0001_bbbbbb", "member iss is not an id"},
        {"service-0001-bbbbbb", "service-0001-bbbbb\\u0000", "member iss holds a NUL"},
        {"\"iss\":\"service-0001-bbbbbb\"", "\"iss\":7", "member iss is not a string"},
        {"\"aud\":\"acme\"", "\"aud\":[\"acme\"]", "member aud is not a string"},
        {"\"aud\":\"acme\"", "\"aud\":\"Acme\"", "member aud is not a tenant"},
        {"\"aud\":\"acme\"", "\"aud\":\"\"", "member aud is empty"},
        {"0123456789ABCDEF", "0123456789ABCDE", "member jti is not an id"},
        {"0123456789ABCDEF", "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEFx",
         "member jti is too long"},
        {"\"iat\":1800000000", "\"iat\":-1", "member iat is out of range"},
        {"\"iat\":1800000000", "\"iat\":1800000000.5", "member iat is not an integer"},
        {"\"iat\":1800000000", "\"iat\":null", "member iat is not an integer"},
        {"\"exp\":1800000060", "\"exp\":1800000061", "member exp is not within 60 s"},
        {"\"exp\":1800000060", "\"exp\":1800000000", "member exp is not within 60 s"},
        {"\"exp\":1800000060,", "", "member exp is missing"},
        {"[\"" KID1 "\",\"" KID2 "\"]", "[]", "member to"},
        {"[\"" KID1 "\",\"" KID2 "\"]", "\"" KID1 "\"", "member to"},
        {"\"" KID2 "\"]", "\"" KID1 "\"]", "member to["},
        {"\"" KID2 "\"]", "\"short\"]", "member to["},
        {"\"" KID2 "\"]", "7]", "member to["},
        {"\"" KID1 "\",", "\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",", "member to"},
        {"\"username\":\"amy@corp.example\",", "", "member username is missing"},
        {"\"username\":\"amy@corp.example\"", "\"username\":null", "member username is not a string"},
        {"\"password\":\"s3cret\",", "", "member password is missing"},
        {"\"password\":\"s3cret\"", "\"password\":[\"s3cret\"]", "member password is not a string"},
        {"s3cret", "\xff", "is not a JSON object: "},
        {"s3cret", "\\ud800", "is not a JSON object: "},
        {"\"rk\":\"" KID2 "\"", "\"rk\":\"AAAA\"", "member rk is not base64url"},
        {"\"rk\":\"" KID2 "\"", "\"rk\":\"" KID2 "=\"", "member rk is not base64url"},
        {"\"rk\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"",
         "\"rk\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF\"", "member rk is not base64url"},
        {"\"client\":{", "\"client\":[],\"x\":{", "member client is not an object"},
        {"\"ip\":", "\"IP\":", "unknown member"},
        {"\"app\":\"mail\"", "\"app\":7", "member client.app is not a string"},
        {"}}", "},\"op\":\"Sign In\"}", "member op"},
        {"}}", "},\"op\":\"sign-in-but-much-longer-than-that\"}", "member op is too long"},
        {"}}", "},\"s3cret\":1}", "has an unknown member"},
        {"}}", "},\"kid\":\"x\"}", "has an unknown member"},
};

static void refusals(void **state)
{
        (void)state;
        for (size_t i = 0; i < N(changes); i++) {
                char *json = replaced(good, changes[i].find, changes[i].with);
                struct error err = {""};
                struct request_claims c;
                int r = decode(&c, json, &err);

                if (!changes[i].says)
                        assert_int_equal(r, 0);
                else
                        assert_says(r, -EBADMSG, &err, changes[i].says);
                assert_null(strstr(err.text, "s3cret"));
                free(json);
        }
}

static void hash_is_sha256(void **state)
{
        char hash[KID_LEN + 1];

        (void)state;
        request_hash("abc", 3, hash);
        assert_string_equal(hash, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_what_the_protocol_shows),
                cmocka_unit_test(round_trip_of_odd_text),
                cmocka_unit_test(defaults),
                cmocka_unit_test(longest_fits_and_one_more_does_not),
                cmocka_unit_test(encode_refuses),
                cmocka_unit_test(credential_forms),
                cmocka_unit_test(client_texts_are_cut_at_a_character),
                cmocka_unit_test(refusals),
                cmocka_unit_test(hash_is_sha256),
        };
        return cmocka_run_group_tests_name("queue/wire-request", tests, NULL, NULL);
}
