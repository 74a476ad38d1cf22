/*
 * What the JOSE codec must refuse. Each case changes one thing of a good object, so that nothing else can be
 * the reason, and names what the error must say.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* ---- JWS ---- */

static void jws_headers(void **state)
{
        static const struct {
                const char *find, *with, *says;
        } cases[] = {
                {"ES256", "none", "alg is not \"ES256\""},
                {"ES256", "HS256", "alg is not \"ES256\""},
                {"ES256", "es256", "alg is not \"ES256\""},
                {"\"ES256\"", "[\"ES256\"]", "alg is not a string"},
                {"\"alg\":\"ES256\",", "", "alg is missing"},
                {"+jwt", "+jwe", "typ is not \"postern-request+jwt\""},
                {"postern-request", "postern-verdict", "typ is not \"postern-request+jwt\""},
                {"\"typ\"", "\"cty\"", "typ is missing"},
                {"\"kid\":\"", "\"kid\":\"x", "kid is not base64url"},
                {"\"kid\"", "\"kie\"", "kid is missing"},
                {"{", "{\"crit\":[\"b64\"],", "unknown member \"crit\""},
                {"{", "{\"b64\":false,", "unknown member \"b64\""},
                {"{", "{\"jwk\":{},", "unknown member \"jwk\""},
                {"{", "{\"x5c\":[],", "unknown member \"x5c\""},
                {"{", "{\"alg\":\"none\",", "a member is repeated"},
                {"{", " {{", "syntax error"},
                {"}", "", "it ends early"},
                {"}", "}{}", "there is something behind it"},
                {"ES256", "ES256\\u0000", "a string holds NUL"},
        };
        struct key *key = fresh_key();
        char header[200];

        (void)state;
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"postern-request+jwt\",\"kid\":\"%s\"}",
                 key_kid(key));
        for (size_t i = 0; i < N(cases); i++) {
                char *changed = replaced(header, cases[i].find, cases[i].with);
                char *text = sign_raw(key, changed, "{}");
                struct error err = {""};
                struct jws jws;

                assert_refused(jws_parse(&jws, text, strlen(text), JOSE_TYP_REQUEST, true, &err), -EBADMSG, &err,
                               cases[i].says);
                free(text);
                free(changed);
        }
        key_free(key);
}

static void jws_forms(void **state)
{
        static const struct {
                const char *find, *with, *says;
        } cases[] = {
                {".", "", "not three parts"},
                {".", "..", "not three parts"},
                {".e30.", "..", "payload is empty"},
                {".e30.", ".e30=.", "payload is empty or not base64url"},
                {".e30.", ".e31.", "payload is empty or not base64url"}, /* unused bits set */
                {".e30.", ".e 30.", "payload is empty or not base64url"},
                {".e30.", ".e30.AAAA", "signature is not the base64url form of 64 bytes"},
                {".e30.", ".e30.e30.", "not three parts"},
                {"ey", "=y", "header: is not base64url"},
                {"ey", "", "header"},
        };
        _cleanup_(buffer_free) struct buffer good = BUFFER(JWS_MAX);
        struct key *key = fresh_key(), *other = fresh_key();
        struct error err = {""};
        struct jws jws;

        (void)state;
        assert_int_equal(jws_sign(key, JOSE_TYP_REQUEST, "{}", 2, &good, &err), 0);
        for (size_t i = 0; i < N(cases); i++) {
                char *text = replaced(good.data, cases[i].find, cases[i].with);

                assert_refused(jws_parse(&jws, text, strlen(text), JOSE_TYP_REQUEST, false, &err), -EBADMSG, &err,
                               cases[i].says);
                free(text);
        }
        for (size_t n = 0; n < good.len; n++)
                if (jws_parse(&jws, good.data, n, JOSE_TYP_REQUEST, false, &err) == 0)
                        fail_msg("a prefix of %zu bytes is accepted", n);
        assert_int_equal(jws_parse(&jws, good.data, good.len, JOSE_TYP_REQUEST, false, &err), 0);
        assert_int_equal(jws_verify(&jws, key, &err), 0);
        assert_refused(jws_verify(&jws, other, &err), -EKEYREJECTED, &err, "is not the key that should have signed");
        jws.signature[10] ^= 4;
        assert_refused(jws_verify(&jws, key, &err), -EKEYREJECTED, &err, "signature does not verify");
        jws_clear(&jws);
        key_free(key);
        key_free(other);
}

/* A payload changed under a good header and signature. */
static void jws_tampered(void **state)
{
        _cleanup_(buffer_free) struct buffer good = BUFFER(JWS_MAX);
        struct key *key = fresh_key();
        struct error err = {""};
        struct jws jws;

        (void)state;
        assert_int_equal(jws_sign(key, JOSE_TYP_VERDICT, "{\"verdict\":\"refused\"}", 21, &good, &err), 0);
        char *refused = b64u_text("{\"verdict\":\"refused\"}"), *accepted = b64u_text("{\"verdict\":\"accepted\"}");
        char *text = replaced(good.data, refused, accepted);
        assert_int_equal(jws_parse(&jws, text, strlen(text), JOSE_TYP_VERDICT, false, &err), 0);
        assert_refused(jws_verify(&jws, key, &err), -EKEYREJECTED, &err, "signature does not verify");
        jws_clear(&jws);
        free(refused);
        free(accepted);
        free(text);
        key_free(key);
}

static void jws_sizes(void **state)
{
        char *big = not_null(malloc(JWS_MAX + 1));
        struct error err = {""};
        struct key *key = fresh_key(), *public = NULL;
        _cleanup_(buffer_free) struct buffer small = BUFFER(300);
        json_t *jwk = NULL;
        struct jws jws;

        (void)state;
        memset(big, 'A', JWS_MAX + 1);
        assert_refused(jws_parse(&jws, big, JWS_MAX + 1, JOSE_TYP_ROSTER, false, &err), -EBADMSG, &err, "longer than");
        assert_refused(jws_parse(&jws, big, 0, JOSE_TYP_ROSTER, false, &err), -EBADMSG, &err, "not three parts");
        memcpy(big + 2000, ".AAAA.", 6);
        assert_refused(jws_parse(&jws, big, 3000, JOSE_TYP_ROSTER, false, &err), -EBADMSG, &err,
                       "header: is longer than 1024");
        assert_int_equal(buffer_append_str(&small, "keep"), 0);
        assert_int_equal(jws_sign(key, JOSE_TYP_ROSTER, big, 200, &small, &err), -EMSGSIZE);
        assert_string_equal(small.data, "keep");
        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, &err), 0);
        assert_refused(jws_sign(public, JOSE_TYP_ROSTER, "{}", 2, &small, &err), -EINVAL, &err, "no private part");
        json_decref(jwk);
        key_free(public);
        key_free(key);
        free(big);
}

/* ---- dir ---- */

static void dir_refusals(void **state)
{
        static const struct {
                const char *find, *with, *says;
        } cases[] = {
                {"\"dir\"", "\"A256KW\"", "alg is not \"dir\""},
                {"A256GCM", "A256CBC-HS512", "enc is not \"A256GCM\""},
                {"verdict", "request", "typ is not \"postern-verdict+jwe\""},
                {"\"JWT\"", "\"text\"", "cty is not \"JWT\""},
                {"{", "{\"kid\":\"x\",", "unknown member \"kid\""},
                {"{", "{\"zip\":\"DEF\",", "unknown member \"zip\""},
                {"{", "{\"crit\":[],", "unknown member \"crit\""},
                {",\"cty\":\"JWT\"", "", "cty is missing"},
                {"{", "{\"alg\":\"dir\",", "a member is repeated"},
        };
        static const char header[] =
                "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"typ\":\"postern-verdict+jwe\",\"cty\":\"JWT\"}";
        static const uint8_t key[32] = {7};
        _cleanup_(buffer_free) struct buffer good = BUFFER(JWE_MAX), plain = BUFFER_SECRET(64);
        struct error err = {""};
        char *b64 = b64u_text(header);

        (void)state;
        assert_int_equal(jwe_seal(JWE_VERDICT, key, "accepted", 8, &good, &err), 0);
        for (size_t i = 0; i < N(cases); i++) {
                char *changed = replaced(header, cases[i].find, cases[i].with);
                char *changed_b64 = b64u_text(changed), *text = replaced(good.data, b64, changed_b64);

                assert_refused(jwe_open(JWE_VERDICT, key, text, strlen(text), &plain, &err), -EBADMSG, &err,
                               cases[i].says);
                free(changed);
                free(changed_b64);
                free(text);
        }
        assert_int_equal(plain.len, 0);
        free(b64);
}

static void dir_forms(void **state)
{
        static const uint8_t key[32] = {7}, other[32] = {8};
        _cleanup_(buffer_free) struct buffer good = BUFFER(JWE_MAX), plain = BUFFER_SECRET(64), heap = BUFFER(64);
        struct error err = {""};

        (void)state;
        assert_int_equal(jwe_seal(JWE_VERDICT, key, "accepted", 8, &good, &err), 0);
        char *text = replaced(good.data, "..", ".QQ.");
        assert_refused(jwe_open(JWE_VERDICT, key, text, strlen(text), &plain, &err), -EBADMSG, &err,
                       "has an encrypted key");
        free(text);
        text = replaced(good.data, "..", "..A");
        assert_refused(jwe_open(JWE_VERDICT, key, text, strlen(text), &plain, &err), -EBADMSG, &err, "iv is not");
        free(text);
        text = replaced(good.data, "..", ".");
        assert_refused(jwe_open(JWE_VERDICT, key, text, strlen(text), &plain, &err), -EBADMSG, &err, "not five parts");
        free(text);
        assert_refused(jwe_open(JWE_VERDICT, key, good.data, good.len - 1, &plain, &err), -EBADMSG, &err, "tag is not");
        assert_refused(jwe_open(JWE_VERDICT, other, good.data, good.len, &plain, &err), -EKEYREJECTED, &err,
                       "does not decrypt");
        assert_refused(jwe_open(JWE_VERDICT, key, good.data, good.len, &heap, &err), -EINVAL, &err,
                       "secret buffer only");
        assert_refused(jwe_seal(JWE_VERDICT, key, "", 0, &good, &err), -EINVAL, &err, "nothing to seal");
        assert_int_equal(plain.len, 0);
        assert_int_equal(jwe_open(JWE_VERDICT, key, good.data, good.len, &plain, &err), 0);
        assert_string_equal(plain.data, "accepted");
        good.data[good.len - 3] = good.data[good.len - 3] == 'A' ? 'B' : 'A';
        assert_refused(jwe_open(JWE_VERDICT, key, good.data, good.len, &plain, &err), -EKEYREJECTED, &err,
                       "does not decrypt");
}

static void padding_of(size_t padded)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(2 * PADDED_LARGE);
        char text[PADDED_LARGE + 1];
        size_t n = 0;

        memset(text, 'a', sizeof(text));
        assert_int_equal(jose_pad(&out, text, padded + 1, padded), -EMSGSIZE);
        assert_int_equal(jose_pad(&out, text, 100, padded + 1), -EINVAL);
        assert_int_equal(out.len, 0);
        assert_int_equal(jose_pad(&out, text, 100, padded), 0);
        assert_int_equal(out.len, padded);
        assert_int_equal(jose_unpadded(out.data, out.len, &n), 0);
        assert_int_equal(n, 100);
        assert_int_equal(jose_unpadded(out.data, out.len - 1, &n), -EBADMSG);
        out.data[2000] = '\t';
        assert_int_equal(jose_unpadded(out.data, out.len, &n), -EBADMSG);
        out.data[2000] = '\0';
        assert_int_equal(jose_unpadded(out.data, out.len, &n), -EBADMSG);
        buffer_clear(&out);
        assert_int_equal(jose_pad(&out, text, padded, padded), 0);
        assert_int_equal(jose_unpadded(out.data, out.len, &n), 0);
        assert_int_equal(n, padded);
        buffer_clear(&out);
        assert_int_equal(jose_pad(&out, text, 0, padded), 0);
        assert_int_equal(jose_unpadded(out.data, out.len, &n), -EBADMSG);
}

static void padding(void **state)
{
        (void)state;
        padding_of(PADDED_SMALL);
        padding_of(PADDED_LARGE);
}

/* Error texts never quote what was read: it may be a password. */
static void errors_quote_nothing(void **state)
{
        static const char *const texts[] = {"{\"password\":hunter2}", "{\"password\":\"hunter2\" hunter2}",
                                            "{\"hunter2 hunter2\":1,\"hunter2 hunter2\":2}", "hunter2", "{} hunter2"};
        json_t *object = NULL;
        struct json_reader r;

        (void)state;
        for (size_t i = 0; i < N(texts); i++) {
                struct error err = {""};

                assert_int_equal(jose_json_object(&object, texts[i], strlen(texts[i]), "claims", &err), -EBADMSG);
                assert_null(strstr(err.text, "hunter2"));
                json_read_begin(&r, texts[i], strlen(texts[i]), JSON_PLAIN, "claims", &err);
                assert_int_equal(json_read_end(&r, true), -EBADMSG);
                assert_null(strstr(err.text, "hunter2"));
        }
        struct error err = {""};
        const char *s;
        object = json_pack("{ss}", "password", "hunter2");
        assert_int_equal(jose_json_str(object, "claims", "password", 8, 9, &s, &err), -EBADMSG);
        assert_null(strstr(err.text, "hunter2"));
        json_decref(object);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(jws_headers),  cmocka_unit_test(jws_forms),
                cmocka_unit_test(jws_tampered), cmocka_unit_test(jws_sizes),
                cmocka_unit_test(dir_refusals), cmocka_unit_test(dir_forms),
                cmocka_unit_test(padding),      cmocka_unit_test(errors_quote_nothing),
        };

        return cmocka_run_group_tests_name("certs-refusals", tests, NULL, NULL);
}
