/*
 * The codec against libjose, another implementation, in both directions over random inputs.
 *
 * The inputs come from a fixed seed, so a failure repeats.
 */
#include "tests/unit/certs/fixture.h"

#include <errno.h>
#include <jose/jose.h>
#include <stdlib.h>
#include <string.h>

#include "connector/base/secret.h"
#include "connector/base/text.h"

#define ROUNDS 48

struct round {
        size_t n, len;
        struct key *keys[JWE_RECIPIENTS_MAX];
        uint8_t plain[PADDED_LEN];
};

/* 1..8 recipients, 1..4096 bytes; the first rounds are the corners. */
static void round_begin(struct round *round, uint32_t *seed, int i)
{
        round->n = i == 0 ? 1 : i == 1 ? JWE_RECIPIENTS_MAX : 1 + next_random(seed) % JWE_RECIPIENTS_MAX;
        round->len = i == 0 ? 1 : i == 1 ? PADDED_LEN : 1 + next_random(seed) % PADDED_LEN;
        fill_random(seed, round->plain, round->len);
        for (size_t k = 0; k < round->n; k++)
                round->keys[k] = fresh_key();
}

static void round_end(struct round *round)
{
        for (size_t k = 0; k < round->n; k++)
                round->keys[k] = key_free(round->keys[k]);
}

static void we_open(const char *text, size_t n, const struct round *round)
{
        struct error err = {""};
        struct jwe jwe;

        if (jwe_parse(&jwe, text, n, &err) < 0)
                fail_msg("%s: %.*s", err.text, (int)n, text);
        assert_int_equal(jwe.n, round->n);
        for (size_t k = 0; k < round->n; k++) {
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LEN);

                assert_string_equal(jwe.to[k].kid, key_kid(round->keys[k]));
                if (jwe_open(&jwe, k, round->keys[k], &plain, &err) < 0)
                        fail_msg("%s", err.text);
                assert_int_equal(plain.len, round->len);
                assert_memory_equal(plain.data, round->plain, round->len);
        }
        jwe_clear(&jwe);
}

static void we_seal_they_open(void **state)
{
        uint32_t seed = 0x504f5354;
        struct round round;

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER(JWE_MAX);
                struct error err = {""};

                round_begin(&round, &seed, i);
                assert_int_equal(jwe_seal(round.keys, round.n, round.plain, round.len, &text, &err), 0);
                json_t *jwe = not_null(json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL));
                for (size_t k = 0; k < round.n; k++) {
                        json_t *jwk = private_jwk(round.keys[k]);
                        json_t *rcp = json_array_get(json_object_get(jwe, "recipients"), k);
                        size_t len = 0;
                        uint8_t *plain = not_null(jose_jwe_dec(NULL, jwe, rcp, jwk, &len));

                        assert_int_equal(len, round.len);
                        assert_memory_equal(plain, round.plain, len);
                        free(plain);
                        json_decref(jwk);
                }
                json_decref(jwe);
                we_open(text.data, text.len, &round);
                round_end(&round);
        }
}

/* Seals as libjose does it; alg and kid go where in_protected says. */
static json_t *they_seal(const struct round *round, bool in_protected)
{
        json_t *jwe = json_pack("{s{ssssss}}", "protected", "enc", "A256GCM", "typ", JOSE_TYP_REQUEST_JWE,
                                "cty", "JWT");
        json_t *cek = json_object();

        for (size_t k = 0; k < round->n; k++) {
                json_t *jwk = NULL;
                json_t *header = json_pack("{ssss}", "alg", "ECDH-ES+A256KW", "kid", key_kid(round->keys[k]));
                json_t *rcp = json_object();

                if (in_protected)
                        json_object_update(json_object_get(jwe, "protected"), header);
                else
                        json_object_set(rcp, "header", header);
                assert_int_equal(key_to_jwk(round->keys[k], &jwk), 0);
                assert_true(jose_jwe_enc_jwk(NULL, jwe, rcp, jwk, cek));
                json_decref(jwk);
                json_decref(rcp);
                json_decref(header);
        }
        assert_true(jose_jwe_enc_cek(NULL, jwe, cek, round->plain, round->len));
        json_decref(cek);
        return jwe;
}

static void they_seal_we_open(void **state)
{
        uint32_t seed = 0x4a574531;
        struct round round;

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                round_begin(&round, &seed, i);
                json_t *jwe = they_seal(&round, false);
                char *text = json_dumps(jwe, 0);

                we_open(text, strlen(text), &round);
                /* libjose writes one recipient flattened, several as general JSON. */
                assert_int_equal(json_object_get(jwe, "recipients") != NULL, round.n > 1);
                free(text);
                json_decref(jwe);
                round_end(&round);
        }
}

/* One recipient whose alg and kid stand in the protected header (libjose keeps epk apart). */
static void they_seal_protected(void **state)
{
        uint32_t seed = 0x70726f74;
        struct round round;

        (void)state;
        round_begin(&round, &seed, 0);
        json_t *jwe = they_seal(&round, true);
        char *text = json_dumps(jwe, JSON_COMPACT);

        assert_null(json_object_get(json_object_get(jwe, "header"), "alg"));
        we_open(text, strlen(text), &round);
        free(text);
        json_decref(jwe);
        round_end(&round);
}

/* What the relay forwards opens too, for us and for them. */
static void stripped(void **state)
{
        uint32_t seed = 0x73747269;
        struct round round;

        (void)state;
        round_begin(&round, &seed, 1);
        json_t *jwe = they_seal(&round, false);
        char *text = json_dumps(jwe, 0);
        struct error err = {""};
        struct jwe parsed;

        assert_int_equal(jwe_parse(&parsed, text, strlen(text), &err), 0);
        for (size_t k = 0; k < round.n; k++) {
                struct round one = {.n = 1, .len = round.len, .keys = {round.keys[k]}};
                json_t *only = NULL, *jwk = private_jwk(round.keys[k]);
                size_t len = 0;

                memcpy(one.plain, round.plain, round.len);
                assert_int_equal(jwe_only(&parsed, k, &only), 0);
                char *forwarded = json_dumps(only, JSON_COMPACT);
                we_open(forwarded, strlen(forwarded), &one);
                void *plain = not_null(jose_jwe_dec(
                        NULL, only, json_array_get(json_object_get(only, "recipients"), 0), jwk, &len));
                assert_int_equal(len, round.len);
                free(plain);
                free(forwarded);
                json_decref(only);
                json_decref(jwk);
        }
        json_t *none = NULL;
        assert_int_equal(jwe_only(&parsed, round.n, &none), -EINVAL);
        assert_int_equal(json_array_size(json_object_get(parsed.root, "recipients")), round.n);
        jwe_clear(&parsed);
        free(text);
        json_decref(jwe);
        round_end(&round);
}

static json_t *flattened_from_compact(const struct buffer *text, const char *const *names, size_t count)
{
        struct part part[5];
        json_t *object = json_object();

        assert_int_equal(jose_split(text->data, text->len, part, count), 0);
        for (size_t i = 0; i < count; i++)
                if (part[i].n > 0)
                        assert_int_equal(
                                json_object_set_new(object, names[i], json_stringn(part[i].text, part[i].n)),
                                0);
        return object;
}

static void compact_from_flattened(struct buffer *out, const json_t *object, const char *const *names,
                                   size_t count)
{
        for (size_t i = 0; i < count; i++) {
                const char *part = json_string_value(json_object_get(object, names[i]));

                if (i > 0)
                        assert_int_equal(buffer_append_char(out, '.'), 0);
                assert_int_equal(buffer_append_str(out, part ? part : ""), 0);
        }
}

static const char *const jws_parts[] = {"protected", "payload", "signature"};
static const char *const jwe_parts[] = {"protected", "encrypted_key", "iv", "ciphertext", "tag"};

static void we_sign_they_verify(void **state)
{
        uint32_t seed = 0x4a575331;

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER(JWS_MAX);
                struct error err = {""};
                struct key *key = fresh_key(), *other = fresh_key();
                char payload[PADDED_LEN];
                const size_t n = 1 + next_random(&seed) % sizeof(payload);
                json_t *jwk = NULL, *wrong = NULL;

                fill_random(&seed, payload, n);
                assert_int_equal(jws_sign(key, JOSE_TYP_VERDICT, payload, n, &text, &err), 0);
                json_t *jws = flattened_from_compact(&text, jws_parts, 3);
                assert_int_equal(key_to_jwk(key, &jwk), 0);
                assert_int_equal(key_to_jwk(other, &wrong), 0);
                assert_true(jose_jws_ver(NULL, jws, NULL, jwk, false));
                assert_false(jose_jws_ver(NULL, jws, NULL, wrong, false));
                json_decref(jwk);
                json_decref(wrong);
                json_decref(jws);
                key_free(key);
                key_free(other);
        }
}

static void they_sign_we_verify(void **state)
{
        uint32_t seed = 0x4a575332;

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER(JWS_MAX), payload = BUFFER(JWS_MAX);
                struct error err = {""};
                struct key *key = fresh_key(), *other = fresh_key();
                json_t *jwk = private_jwk(key);
                uint8_t bytes[PADDED_LEN];
                const size_t n = 1 + next_random(&seed) % sizeof(bytes);
                struct jws jws;

                fill_random(&seed, bytes, n);
                assert_int_equal(b64u_encode(&payload, bytes, n), 0);
                json_t *object = json_pack("{ss}", "payload", payload.data);
                json_t *sig = json_pack("{s{ssssss}}", "protected", "alg", "ES256", "typ", JOSE_TYP_REQUEST,
                                        "kid", key_kid(key));
                assert_true(jose_jws_sig(NULL, object, sig, jwk));
                compact_from_flattened(&text, object, jws_parts, 3);
                assert_int_equal(jws_parse(&jws, text.data, text.len, JOSE_TYP_REQUEST, true, &err), 0);
                assert_int_equal(jws_verify(&jws, key, &err), 0);
                assert_refused(jws_verify(&jws, other, &err), -EKEYREJECTED, &err, "is not the key");
                assert_int_equal(jws.payload.len, n);
                assert_memory_equal(jws.payload.data, bytes, n);
                assert_true(jws.payload.secret);
                jws_clear(&jws);
                json_decref(object);
                json_decref(sig);
                json_decref(jwk);
                key_free(key);
                key_free(other);
        }
}

static json_t *oct_jwk(const uint8_t key[32])
{
        char k[B64U_LEN(32) + 1];

        b64u_encode_to(k, key, 32);
        return json_pack("{ssss}", "kty", "oct", "k", k);
}

static void dir_both_ways(void **state)
{
        uint32_t seed = 0x64697231;

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_(buffer_free) struct buffer ours = BUFFER(JWE_MAX), theirs = BUFFER(JWE_MAX);
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LEN);
                const size_t n = i == 0 ? 1 : i == 1 ? PADDED_LEN : 1 + next_random(&seed) % PADDED_LEN;
                uint8_t key[32], bytes[PADDED_LEN];
                struct error err = {""};
                size_t len = 0;

                fill_random(&seed, key, sizeof(key));
                fill_random(&seed, bytes, n);
                json_t *jwk = oct_jwk(key);
                assert_int_equal(jwe_dir_seal(key, bytes, n, &ours, &err), 0);
                json_t *jwe = flattened_from_compact(&ours, jwe_parts, 5);
                void *opened = not_null(jose_jwe_dec(NULL, jwe, NULL, jwk, &len));
                assert_int_equal(len, n);
                assert_memory_equal(opened, bytes, n);
                free(opened);
                json_decref(jwe);

                jwe = json_pack("{s{ssssssss}}", "protected", "alg", "dir", "enc", "A256GCM", "typ",
                                JOSE_TYP_VERDICT_JWE, "cty", "JWT");
                assert_true(jose_jwe_enc(NULL, jwe, NULL, jwk, bytes, n));
                compact_from_flattened(&theirs, jwe, jwe_parts, 5);
                if (jwe_dir_open(key, theirs.data, theirs.len, &plain, &err) < 0)
                        fail_msg("%s", err.text);
                assert_int_equal(plain.len, n);
                assert_memory_equal(plain.data, bytes, n);
                json_decref(jwe);
                json_decref(jwk);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(we_seal_they_open),   cmocka_unit_test(they_seal_we_open),
                cmocka_unit_test(they_seal_protected), cmocka_unit_test(stripped),
                cmocka_unit_test(we_sign_they_verify), cmocka_unit_test(they_sign_we_verify),
                cmocka_unit_test(dir_both_ways),
        };

        return cmocka_run_group_tests_name("certs-libjose", tests, NULL, NULL);
}
