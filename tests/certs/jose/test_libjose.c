/*
 * The codec against libjose, another implementation, in both directions over random inputs.
 *
 * The inputs come from a fixed seed, so a failure repeats.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <jose/jose.h>
#include <stdlib.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "tests/valgrind.h"

#define ROUNDS (in_valgrind() ? 6 : 48)

struct round {
        size_t n;
        struct key *keys[SEALED_RECIPIENTS_MAX];
        struct buffer plain;
};

/* 1..8 recipients and both classes of padding. */
static void round_begin(struct round *round, uint32_t *seed, int i)
{
        round->n = i == 0 ? 1 : i == 1 ? SEALED_RECIPIENTS_MAX : 1 + next_random(seed) % SEALED_RECIPIENTS_MAX;
        round->plain = BUFFER(PADDED_LARGE);
        round->plain.len = i % 2 ? PADDED_LARGE : PADDED_SMALL;
        assert_int_equal(buffer_reserve(&round->plain, PADDED_LARGE - round->plain.len), 0);
        fill_random(seed, round->plain.data, round->plain.len);
        for (size_t k = 0; k < round->n; k++)
                round->keys[k] = fresh_key();
}

static void round_end(struct round *round)
{
        for (size_t k = 0; k < round->n; k++)
                round->keys[k] = key_free(round->keys[k]);
        buffer_free(&round->plain);
}

static void we_open(const struct buffer *text, const struct round *round)
{
        struct error err = {""};
        struct sealed sealed;

        if (sealed_read(&sealed, text->data, text->len, &err) < 0)
                fail_msg("%s: %.*s", err.text, (int)text->len, text->data);
        assert_int_equal(sealed.n, round->n);
        for (size_t k = 0; k < round->n; k++) {
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE);
                char kid[KID_LEN + 1];

                sealed_kid(&sealed, k, kid);
                assert_string_equal(kid, key_kid(round->keys[k]));
                if (sealed_open(&sealed, k, round->keys[k], &plain, &err) < 0)
                        fail_msg("%s", err.text);
                assert_int_equal(plain.len, round->plain.len);
                assert_memory_equal(plain.data, round->plain.data, plain.len);
        }
}

/* The JWE (RFC 7516, general JSON) that a sealed text stands for. */
static json_t *jwe_of(const struct buffer *text)
{
        const char *line = text->data, *end = strchr(line, '\n');
        json_t *jwe, *recipients = json_array();
        struct part part[4];

        assert_int_equal(jose_split(line, (size_t)(end - line), part, 4), 0);
        jwe = json_pack("{s:s%, s:s%, s:s%, s:s%}", "protected", part[0].text, part[0].n, "iv", part[1].text, part[1].n,
                        "ciphertext", part[2].text, part[2].n, "tag", part[3].text, part[3].n);
        for (line = end + 1; *line; line = end + 1) {
                end = strchr(line, '\n');
                assert_int_equal(jose_split(line, (size_t)(end - line), part, 4), 0);
                json_array_append_new(recipients,
                                      json_pack("{s:{s:s, s:s%, s:{s:s, s:s, s:s%, s:s%}}, s:s%}", "header", "alg",
                                                "ECDH-ES+A256KW", "kid", part[0].text, part[0].n, "epk", "kty", "EC",
                                                "crv", "P-256", "x", part[1].text, part[1].n, "y", part[2].text,
                                                part[2].n, "encrypted_key", part[3].text, part[3].n));
        }
        json_object_set_new(jwe, "recipients", recipients);
        return jwe;
}

static void we_seal_they_open(void **state)
{
        uint32_t seed = 0x504f5354;
        struct round round;

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_MAX);
                struct error err = {""};

                round_begin(&round, &seed, i);
                assert_int_equal(sealed_seal(round.keys, round.n, &round.plain, &text, &err), 0);
                json_t *jwe = not_null(jwe_of(&text));
                for (size_t k = 0; k < round.n; k++) {
                        json_t *jwk = private_jwk(round.keys[k]);
                        json_t *rcp = json_array_get(json_object_get(jwe, "recipients"), k);
                        size_t len = 0;
                        uint8_t *plain = not_null(jose_jwe_dec(NULL, jwe, rcp, jwk, &len));

                        assert_int_equal(len, round.plain.len);
                        assert_memory_equal(plain, round.plain.data, len);
                        free(plain);
                        json_decref(jwk);
                }
                json_decref(jwe);
                we_open(&text, &round);
                round_end(&round);
        }
}

static const char *text_of(const json_t *object, const char *name)
{
        return not_null((void *)(uintptr_t)json_string_value(json_object_get(object, name)));
}

static void append_recipient(struct buffer *out, const json_t *rcp)
{
        const json_t *header = json_object_get(rcp, "header"), *epk = json_object_get(header, "epk");

        assert_int_equal(buffer_printf(out, "%s.%s.%s.%s\n", text_of(header, "kid"), text_of(epk, "x"),
                                       text_of(epk, "y"), text_of(rcp, "encrypted_key")),
                         0);
}

/*
 * Seals as libjose does it, and writes down what it made as our text. It sorts the members of the protected header,
 * as other libraries do: that is why the one text has them in this order.
 */
static void they_seal(const struct round *round, struct buffer *out)
{
        json_t *jwe =
                json_pack("{s{ssssss}}", "protected", "enc", "A256GCM", "typ", JOSE_TYP_REQUEST_JWE, "cty", "JWT");
        json_t *cek = json_object(), *list;

        for (size_t k = 0; k < round->n; k++) {
                json_t *jwk = NULL;
                json_t *rcp = json_pack("{s{ssss}}", "header", "alg", "ECDH-ES+A256KW", "kid", key_kid(round->keys[k]));

                assert_int_equal(key_to_jwk(round->keys[k], &jwk), 0);
                assert_true(jose_jwe_enc_jwk(NULL, jwe, rcp, jwk, cek));
                json_decref(jwk);
                json_decref(rcp);
        }
        assert_true(jose_jwe_enc_cek(NULL, jwe, cek, round->plain.data, round->plain.len));
        assert_int_equal(buffer_printf(out, "%s.%s.%s.%s\n", text_of(jwe, "protected"), text_of(jwe, "iv"),
                                       text_of(jwe, "ciphertext"), text_of(jwe, "tag")),
                         0);
        list = json_object_get(jwe, "recipients"); /* one recipient is written flattened */
        for (size_t k = 0; k < round->n; k++)
                append_recipient(out, list ? json_array_get(list, k) : jwe);
        json_decref(cek);
        json_decref(jwe);
}

static void they_seal_we_open(void **state)
{
        uint32_t seed = 0x4a574531;
        struct round round;

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_MAX);

                round_begin(&round, &seed, i);
                they_seal(&round, &text);
                we_open(&text, &round);
                round_end(&round);
        }
}

/* What the relay forwards opens too, for us and for them. */
static void shares(void **state)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_MAX);
        uint32_t seed = 0x73747269;
        struct error err = {""};
        struct sealed sealed;
        struct round round;

        (void)state;
        round_begin(&round, &seed, 1);
        they_seal(&round, &text);
        assert_int_equal(sealed_read(&sealed, text.data, text.len, &err), 0);
        for (size_t k = 0; k < round.n; k++) {
                _cleanup_(buffer_free) struct buffer share = BUFFER(SEALED_SHARE_MAX);
                struct round one = {.n = 1, .keys = {round.keys[k]}, .plain = round.plain};
                json_t *jwk = private_jwk(round.keys[k]), *jwe;
                size_t len = 0;

                assert_int_equal(sealed_share(&sealed, k, &share), 0);
                we_open(&share, &one);
                jwe = jwe_of(&share);
                void *plain = not_null(
                        jose_jwe_dec(NULL, jwe, json_array_get(json_object_get(jwe, "recipients"), 0), jwk, &len));
                assert_int_equal(len, round.plain.len);
                free(plain);
                json_decref(jwe);
                json_decref(jwk);
        }
        assert_int_equal(sealed_share(&sealed, round.n, &text), -EINVAL);
        round_end(&round);
}

static json_t *flattened_from_compact(const struct buffer *text, const char *const *names, size_t count)
{
        struct part part[5];
        json_t *object = json_object();

        assert_int_equal(jose_split(text->data, text->len, part, count), 0);
        for (size_t i = 0; i < count; i++)
                if (part[i].n > 0)
                        assert_int_equal(json_object_set_new(object, names[i], json_stringn(part[i].text, part[i].n)),
                                         0);
        return object;
}

static void compact_from_flattened(struct buffer *out, const json_t *object, const char *const *names, size_t count)
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
                char payload[PADDED_LARGE];
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
                uint8_t bytes[PADDED_LARGE];
                const size_t n = 1 + next_random(&seed) % sizeof(bytes);
                struct jws jws;

                fill_random(&seed, bytes, n);
                assert_int_equal(b64u_encode(&payload, bytes, n), 0);
                json_t *object = json_pack("{ss}", "payload", payload.data);
                json_t *sig = json_pack("{s{ssssss}}", "protected", "alg", "ES256", "typ", JOSE_TYP_REQUEST, "kid",
                                        key_kid(key));
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
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE);
                const size_t n = i == 0 ? 1 : i == 1 ? PADDED_LARGE : 1 + next_random(&seed) % PADDED_LARGE;
                uint8_t key[32], bytes[PADDED_LARGE];
                struct error err = {""};
                size_t len = 0;

                fill_random(&seed, key, sizeof(key));
                fill_random(&seed, bytes, n);
                json_t *jwk = oct_jwk(key);
                assert_int_equal(jwe_seal(JWE_VERDICT, key, bytes, n, &ours, &err), 0);
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
                if (jwe_open(JWE_VERDICT, key, theirs.data, theirs.len, &plain, &err) < 0)
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
                cmocka_unit_test(we_seal_they_open),
                cmocka_unit_test(they_seal_we_open),
                cmocka_unit_test(shares),
                cmocka_unit_test(we_sign_they_verify),
                cmocka_unit_test(they_sign_we_verify),
                cmocka_unit_test(dir_both_ways),
        };

        return cmocka_run_group_tests_name("certs-libjose", tests, NULL, NULL);
}
