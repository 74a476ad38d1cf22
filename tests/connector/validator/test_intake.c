/*
 * Intake: every check has a request that passes all others and fails this one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "certs/jose/sealed.h"
#include "connector/validator/intake.h"
#include "tests/connector/validator/fixture.h"

static struct fixture f;
static struct replay *replay;

static int setup(void **state)
{
        (void)state;
        fixture_make(&f);
        return replay_new(&replay, 9);
}

static int teardown(void **state)
{
        (void)state;
        fixture_clear(&f);
        replay = replay_free(replay);
        return 0;
}

static struct intake open_at(const char *jwe, size_t n, int64_t now, const struct roster *roster)
{
        const struct intake_context ctx = {&f.keys, roster, replay, TENANT, REQUEST_ID, now};
        struct intake in = {0};

        assert_int_equal(intake_open(&in, &ctx, jwe, n), 0);
        return in;
}

/* Seals, opens, and gives result, and reason or decline word. */
static void expect(const struct request_claims *c, const struct key *signer, enum intake_result result,
                   const char *decline, enum reason reason)
{
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct intake in;

        fixture_seal(&f, c, signer, &jwe);
        in = open_at(jwe.data, jwe.len, NOW, f.roster);
        assert_int_equal(in.result, result);
        if (decline)
                assert_string_equal(in.decline, decline);
        else
                assert_int_equal(in.reason, reason);
        intake_clear(&in);
}

static void test_good(void **state)
{
        struct request_claims c = fixture_claims(&f);
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct intake in;

        (void)state;
        fixture_seal(&f, &c, f.service, &jwe);
        in = open_at(jwe.data, jwe.len, NOW, f.roster);
        assert_int_equal(in.result, INTAKE_OPEN);
        assert_string_equal(in.claims->username, "alice@corp.example");
        assert_string_equal(in.claims->password, "correct horse");
        assert_string_equal(in.service_name, "portal");
        assert_int_equal(strlen(in.req), KID_LEN);
        intake_clear(&in);
        assert_null(in.claims);
}

static void test_replay(void **state)
{
        struct request_claims c = fixture_claims(&f);

        (void)state;
        expect(&c, f.service, INTAKE_OPEN, NULL, 0);
        expect(&c, f.service, INTAKE_DECLINE, "replay", 0);
}

static void test_signature_and_roster(void **state)
{
        struct request_claims c = fixture_claims(&f);
        _cleanup_(key_freep) struct key *stranger = NULL;

        (void)state;
        assert_int_equal(key_generate(&stranger, NULL), 0);
        expect(&c, stranger, INTAKE_ANSWER, NULL, REASON_SERVICE_UNKNOWN);
        /* the identity key of a connector is in the roster, but not as a service */
        expect(&c, f.identity, INTAKE_ANSWER, NULL, REASON_SERVICE_UNKNOWN);
        memcpy(c.iss, "service-000000002", sizeof("service-000000002"));
        expect(&c, f.service, INTAKE_ANSWER, NULL, REASON_SERVICE_UNKNOWN);
        assert_int_equal(replay_count(replay), 0);
}

/* The last character of the JWS stands for part of the signature: another one, same length, same header. */
static void test_broken_signature(void **state)
{
        struct request_claims c = fixture_claims(&f);
        _cleanup_(buffer_free) struct buffer json = BUFFER_SECRET(PADDED_LARGE), jws = BUFFER_SECRET(PADDED_LARGE),
                                             padded = BUFFER_SECRET(PADDED_LARGE), jwe = BUFFER(JWE_MAX);
        struct key *to[1] = {f.keys.keys[0].key};
        struct intake in;

        (void)state;
        assert_int_equal(request_claims_encode(&c, &json, NULL), 0);
        assert_int_equal(jws_sign(f.service, JOSE_TYP_REQUEST, json.data, json.len, &jws, NULL), 0);
        jws.data[jws.len - 10] = jws.data[jws.len - 10] == 'A' ? 'B' : 'A';
        assert_int_equal(jose_pad(&padded, jws.data, jws.len, PADDED_LARGE), 0);
        assert_int_equal(sealed_seal(to, 1, &padded, &jwe, NULL), 0);
        in = open_at(jwe.data, jwe.len, NOW, f.roster);
        assert_int_equal(in.result, INTAKE_ANSWER);
        assert_int_equal(in.reason, REASON_REQUEST_SIGNATURE);
        intake_clear(&in);
        assert_int_equal(replay_count(replay), 0);
}

static void test_no_roster(void **state)
{
        struct request_claims c = fixture_claims(&f);
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct intake in;

        (void)state;
        fixture_seal(&f, &c, f.service, &jwe);
        in = open_at(jwe.data, jwe.len, NOW, NULL);
        assert_int_equal(in.reason, REASON_SERVICE_UNKNOWN);
        intake_clear(&in);
}

static void test_audience_and_address(void **state)
{
        struct request_claims c = fixture_claims(&f);

        (void)state;
        memcpy(c.aud, "fabrikam", sizeof("fabrikam"));
        expect(&c, f.service, INTAKE_ANSWER, NULL, REASON_WRONG_AUDIENCE);
        c = fixture_claims(&f);
        memcpy(c.to[0], key_kid(f.service), KID_LEN + 1);
        expect(&c, f.service, INTAKE_ANSWER, NULL, REASON_NOT_ADDRESSED);
        c = fixture_claims(&f);
        memcpy(c.jti, "request-000000002", sizeof("request-000000002"));
        expect(&c, f.service, INTAKE_DECLINE, "bad_request", 0);
}

static void test_time(void **state)
{
        struct request_claims c = fixture_claims(&f);

        (void)state;
        assert_true(decline_may_move_on("expired")); /* another connector's clock may be right */
        c.iat = NOW - REQUEST_AGE_MAX - 1;
        c.exp = c.iat + 60;
        expect(&c, f.service, INTAKE_DECLINE, "expired", 0);
        c.iat = NOW + WIRE_SKEW + 1;
        c.exp = c.iat + 60;
        expect(&c, f.service, INTAKE_DECLINE, "expired", 0);
        /* within the tolerance on both sides */
        c.iat = NOW - REQUEST_AGE_MAX;
        c.exp = c.iat + 60;
        expect(&c, f.service, INTAKE_OPEN, NULL, 0);
        memcpy(c.jti, "request-000000001", sizeof("request-000000001"));
        c.iat = NOW + WIRE_SKEW;
        c.exp = c.iat + 60;
        expect(&c, f.service, INTAKE_DECLINE, "replay", 0);
}

static void test_replay_full(void **state)
{
        struct request_claims c = fixture_claims(&f);

        (void)state;
        for (int i = 0; i < 9; i++) {
                char jti[] = "other-0000000000X";

                jti[16] = (char)('0' + i);
                assert_int_equal(replay_take(replay, key_kid(f.service), jti, 1, NOW, NOW + 10), 0);
        }
        expect(&c, f.service, INTAKE_DECLINE, "full", 0);
}

static void test_vanished_key(void **state)
{
        struct request_claims c = fixture_claims(&f);
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct intake in;

        (void)state;
        fixture_seal(&f, &c, f.service, &jwe);
        in = open_at(jwe.data, jwe.len, NOW + ENCKEY_LIFE + STATEMENT_LIFE_MAX + ENCKEY_GRACE + 1, f.roster);
        assert_int_equal(in.result, INTAKE_DECLINE);
        assert_string_equal(in.decline, "stale_key");
        intake_clear(&in);
}

static void test_garbage(void **state)
{
        static const char *const inputs[] = {"", "{", "{}", "[]", "null", "{\"recipients\":[]}"};
        _cleanup_(buffer_free) struct buffer jwe = BUFFER(JWE_MAX);
        struct request_claims c = fixture_claims(&f);
        struct intake in;

        (void)state;
        for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
                in = open_at(inputs[i], strlen(inputs[i]), NOW, f.roster);
                assert_int_equal(in.result, INTAKE_DECLINE);
                assert_string_equal(in.decline, "bad_request");
                intake_clear(&in);
        }
        fixture_seal(&f, &c, f.service, &jwe);
        for (size_t i = 0; i < jwe.len; i += 97) {
                jwe.data[i] ^= 1;
                in = open_at(jwe.data, jwe.len, NOW, f.roster);
                assert_int_equal(in.result, INTAKE_DECLINE);
                assert_non_null(in.detail.text);
                intake_clear(&in);
                jwe.data[i] ^= 1;
        }
        assert_int_equal(replay_count(replay), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_good, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replay, setup, teardown),
                cmocka_unit_test_setup_teardown(test_signature_and_roster, setup, teardown),
                cmocka_unit_test_setup_teardown(test_broken_signature, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_roster, setup, teardown),
                cmocka_unit_test_setup_teardown(test_audience_and_address, setup, teardown),
                cmocka_unit_test_setup_teardown(test_time, setup, teardown),
                cmocka_unit_test_setup_teardown(test_replay_full, setup, teardown),
                cmocka_unit_test_setup_teardown(test_vanished_key, setup, teardown),
                cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
