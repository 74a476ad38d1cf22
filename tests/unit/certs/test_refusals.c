/*
 * What the JOSE codec must refuse. Each case changes one thing of a good object, so that nothing else can be
 * the reason, and names what the error must say.
 */
#include "tests/unit/certs/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector/base/text.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

enum where { TOP, PROTECTED };

struct jwe_case {
        enum where where;
        const char *find, *with, *says;
};

/* A request sealed to n keys, as JSON text; free() it. */
static char *sealed(struct key **keys, size_t n)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JWE_MAX);
        struct error err = {""};

        assert_int_equal(jwe_seal(keys, n, "attack at dawn", 14, &text, &err), 0);
        return buffer_steal(&text);
}

/* The text of the protected header changed, the rest as it was. */
static char *with_protected(const char *text, const char *find, const char *with)
{
        static const char header[] = "{\"enc\":\"A256GCM\",\"typ\":\"postern-request+jwe\",\"cty\":\"JWT\"}";
        char *old = b64u_text(header), *changed = replaced(header, find, with);
        char *fresh = b64u_text(changed);
        char *out = replaced(text, old, fresh);

        free(old);
        free(changed);
        free(fresh);
        return out;
}

static void run_jwe(const char *good, const struct jwe_case *c)
{
        char *bad =
                c->where == TOP ? replaced(good, c->find, c->with) : with_protected(good, c->find, c->with);
        struct error err = {""};
        struct jwe jwe;
        int r = jwe_parse(&jwe, bad, strlen(bad), &err);

        if (r == 0)
                fail_msg("accepted: %s -> %s", c->find, c->with);
        assert_refused(r, -EBADMSG, &err, c->says);
        free(bad);
}

static const struct jwe_case two_recipients[] = {
        /* the object */
        {TOP, "{\"protected\"", "[{\"protected\"", "not a JSON object"},
        {TOP, "{\"protected\"", "{\"aad\":\"QQ\",\"protected\"", "\"aad\" is not expected"},
        {TOP, "{\"protected\"", "{\"unprotected\":{},\"protected\"", "\"unprotected\" is not expected"},
        {TOP, "{\"protected\"", "{\"header\":{},\"protected\"", "\"header\" is not expected"},
        {TOP, "{\"protected\"", "{\"encrypted_key\":\"QQ\",\"protected\"",
         "\"encrypted_key\" is not expected"},
        {TOP, "{\"protected\"", "{\"iv\":\"QQ\",\"protected\"", "a member stands twice"},
        {TOP, "{\"protected\":\"", "{\"protected\":\"\\u0000", "a string holds NUL"},
        {TOP, "{\"protected\":\"", "{\"protected\":\"\\ud800", "not a JSON object"},
        {TOP, "{\"protected\":\"", "{\"protected\":\"\xff", "is not UTF-8"},
        {TOP, "\"protected\"", "\"protectef\"", "\"protected\" is missing"},
        {TOP, "{\"protected\":\"", "{\"protected\":\"+", "protected header: is not base64url"},
        {TOP, "{\"protected\":\"", "{\"protected\":\"eyJhIjoxfSA", "protected header"},
        {TOP, "\"iv\":\"", "\"iv\":\"AAAA", "\"iv\" is not the base64url form of 12 bytes"},
        {TOP, "\"iv\":\"", "\"iw\":\"", "\"iv\" is missing"},
        {TOP, "\"iv\":\"", "\"iv\":7,\"x\":\"", "\"x\" is not expected"},
        {TOP, "\",\"tag\":\"", "=\",\"tag\":\"", "\"ciphertext\" is not base64url"},
        {TOP, "\",\"tag\":\"", "\",\"tag\":\"=", "\"tag\" is not the base64url form of 16 bytes"},
        {TOP, "\",\"tag\":\"", "\",\"tag\":\"A", "\"tag\" is not the base64url form of 16 bytes"},
        {TOP, "\"recipients\":[", "\"recipients\":7,\"x\":[", "\"x\" is not expected"},
        {TOP, "\"recipients\":[", "\"recipients\":[7,", "recipient 0: is not a JSON object"},
        {TOP, "\"recipients\":[", "\"recipients\":[{\"encrypted_key\":\"QQ\"},",
         "\"encrypted_key\" is not the base64url"},
        /* the protected header of several recipients */
        {PROTECTED, "A256GCM", "A128GCM", "\"enc\" is not \"A256GCM\""},
        {PROTECTED, "A256GCM", "A256CBC-HS512", "\"enc\" is not \"A256GCM\""},
        {PROTECTED, "+jwe", "+jwt", "\"typ\" is not \"postern-request+jwe\""},
        {PROTECTED, "postern-request+jwe", "Postern-Request+jwe", "\"typ\" is not"},
        {PROTECTED, "\"JWT\"", "\"jwt\"", "\"cty\" is not \"JWT\""},
        {PROTECTED, ",\"cty\":\"JWT\"", "", "\"cty\" is missing"},
        {PROTECTED, "{\"enc\"", "{\"alg\":\"ECDH-ES+A256KW\",\"enc\"",
         "protected header: member \"alg\" is not expected"},
        {PROTECTED, "{\"enc\"", "{\"crit\":[\"exp\"],\"enc\"", "\"crit\" is not expected"},
        {PROTECTED, "{\"enc\"", "{\"zip\":\"DEF\",\"enc\"", "\"zip\" is not expected"},
        {PROTECTED, "{\"enc\"", "{\"apu\":\"QQ\",\"enc\"", "\"apu\" is not expected"},
        {PROTECTED, "{\"enc\"", "{\"enc\":\"A256GCM\",\"enc\"", "a member stands twice"},
        {PROTECTED, "JWT\"}", "JWT\"} x", "there is something behind it"},
        {PROTECTED, "\"JWT\"", "true", "\"cty\" is not a string"},
        /* a recipient's own header */
        {TOP, "\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":\"ECDH-ES\"", "recipient 0: member \"alg\" is not"},
        {TOP, "\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":\"dir\"", "recipient 0: member \"alg\" is not"},
        {TOP, "\"alg\":\"ECDH-ES+A256KW\",", "", "\"alg\" is missing"},
        {TOP, "\"alg\":", "\"enc\":\"A256GCM\",\"alg\":", "stands in the protected header too"},
        {TOP, "\"alg\":", "\"jku\":\"https://x/\",\"alg\":", "\"jku\" is not expected"},
        {TOP, "\"alg\":", "\"jwk\":{},\"alg\":", "\"jwk\" is not expected"},
        {TOP, "\"alg\":", "\"x5u\":\"https://x/\",\"alg\":", "\"x5u\" is not expected"},
        {TOP, "\"alg\":", "\"x5c\":[],\"alg\":", "\"x5c\" is not expected"},
        {TOP, "\"alg\":", "\"apv\":\"QQ\",\"alg\":", "\"apv\" is not expected"},
        {TOP, "\"alg\":", "\"crit\":[],\"alg\":", "\"crit\" is not expected"},
        {TOP, "\"kid\":\"", "\"kid\":\"x", "\"kid\" is not the base64url form of 32 bytes"},
        {TOP, "\"kid\":\"", "\"kid\":5,\"kie\":\"", "\"kie\" is not expected"},
        {TOP, "\"header\":{", "\"header\":{\"alg\":\"dir\",", "a member stands twice"},
        {TOP, "{\"header\":", "{\"header\":{},\"headex\":", "\"headex\" is not expected"},
        {TOP, "\"encrypted_key\":\"", "\"encrypted_key\":\"AAAA",
         "\"encrypted_key\" is not the base64url form of 40 bytes"},
        {TOP, "\"encrypted_key\"", "\"encrypted_kex\"", "recipient 0: member \"encrypted_key\" is missing"},
        /* the ephemeral key */
        {TOP, "\"kty\":\"EC\"", "\"kty\":\"OKP\"", "epk: jwk: member \"kty\" is not \"EC\""},
        {TOP, "\"crv\":\"P-256\"", "\"crv\":\"P-521\"", "epk: jwk: member \"crv\" is not \"P-256\""},
        {TOP, "\"kty\":", "\"d\":\"AAAA\",\"kty\":", "epk: jwk holds a private key"},
        {TOP, "\"kty\":", "\"key_ops\":[],\"kty\":", "\"key_ops\" is not expected"},
        {TOP, "\"x\":\"", "\"x\":\"AA", "\"x\" is not the base64url form of 32 bytes"},
        {TOP, "\"y\":", "\"z\":", "\"y\" is missing"},
        {TOP, "\"epk\":{", "\"epk\":7,\"epl\":{", "\"epl\" is not expected"},
};

static void jwe_refusals(void **state)
{
        struct key *keys[] = {fresh_key(), fresh_key()};
        char *good = sealed(keys, 2);
        struct error err = {""};
        struct jwe jwe;

        (void)state;
        assert_int_equal(jwe_parse(&jwe, good, strlen(good), &err), 0);
        jwe_clear(&jwe);
        for (size_t i = 0; i < N(two_recipients); i++)
                run_jwe(good, &two_recipients[i]);
        free(good);
        key_free(keys[0]);
        key_free(keys[1]);
}

/* With one recipient alg, kid and epk may stand in the protected header, enc, typ and cty must. */
static void jwe_alone(void **state)
{
        static const struct jwe_case refused[] = {
                {PROTECTED, "{\"enc\"", "{\"alg\":\"ECDH-ES+A256KW\",\"enc\"",
                 "stands in the protected header too"},
                {PROTECTED, "{\"enc\"", "{\"zip\":\"DEF\",\"enc\"", "\"zip\" is not expected"},
                {PROTECTED, "\"typ\":\"postern-request+jwe\",", "", "\"typ\" is missing"},
                {TOP, "\"recipients\":[", "\"recipients\":[],\"x\":[", "\"x\" is not expected"},
        };
        struct key *key = fresh_key();
        char *good = sealed(&key, 1);
        struct error err = {""};
        struct jwe jwe;

        (void)state;
        for (size_t i = 0; i < N(refused); i++)
                run_jwe(good, &refused[i]);

        /* moved, not doubled: fine, though it no longer decrypts (the AAD changed) */
        char *without = replaced(good, "\"alg\":\"ECDH-ES+A256KW\",", "");
        char *moved = with_protected(without, "{\"enc\"", "{\"alg\":\"ECDH-ES+A256KW\",\"enc\"");
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(64);
        assert_int_equal(jwe_parse(&jwe, moved, strlen(moved), &err), 0);
        assert_refused(jwe_open(&jwe, 0, key, &plain, &err), -EKEYREJECTED, &err,
                       "does not decrypt with this key");
        jwe_clear(&jwe);
        /* without its own header the element may not carry an empty one */
        const char *start = strstr(good, "{\"header\":{") + 10;
        char *empty = NULL;
        assert_true(asprintf(&empty, "%.*s{}%s", (int)(start - good), good, strstr(start, "}}") + 2) > 0);
        assert_refused(jwe_parse(&jwe, empty, strlen(empty), &err), -EBADMSG, &err,
                       "not an object with members");
        free(empty);
        free(without);
        free(moved);
        free(good);
        key_free(key);
}

static void jwe_counts(void **state)
{
        struct key *keys[JWE_RECIPIENTS_MAX + 1];
        _cleanup_(buffer_free) struct buffer text = BUFFER(JWE_MAX);
        struct error err = {""};
        struct jwe jwe;

        (void)state;
        for (size_t i = 0; i < N(keys); i++)
                keys[i] = fresh_key();
        assert_refused(jwe_seal(keys, 0, "x", 1, &text, &err), -EINVAL, &err, "1 to 8 different keys");
        assert_refused(jwe_seal(keys, N(keys), "x", 1, &text, &err), -EINVAL, &err, "1 to 8 different keys");
        assert_refused(jwe_seal(keys, 2, "", 0, &text, &err), -EINVAL, &err, "nothing to seal");
        assert_int_equal(text.len, 0);

        char *good = sealed(keys, JWE_RECIPIENTS_MAX);
        json_t *root = json_loads(good, 0, NULL), *list = json_object_get(root, "recipients");
        json_array_append_new(list, json_deep_copy(json_array_get(list, 0)));
        char *nine = json_dumps(root, 0);
        assert_refused(jwe_parse(&jwe, nine, strlen(nine), &err), -EBADMSG, &err, "array of 1 to 8");
        json_array_remove(list, 7);
        char *twice = json_dumps(root, 0);
        assert_refused(jwe_parse(&jwe, twice, strlen(twice), &err), -EBADMSG, &err,
                       "kid stands in recipient 0 too");
        json_array_clear(list);
        char *none = json_dumps(root, 0);
        assert_refused(jwe_parse(&jwe, none, strlen(none), &err), -EBADMSG, &err, "array of 1 to 8");
        json_decref(root);

        struct key *const same[] = {keys[0], keys[1], keys[0]};
        assert_refused(jwe_seal(same, 3, "x", 1, &text, &err), -EINVAL, &err, "different keys");
        free(good);
        free(nine);
        free(twice);
        free(none);
        for (size_t i = 0; i < N(keys); i++)
                key_free(keys[i]);
}

static void jwe_sizes(void **state)
{
        char *big = not_null(calloc(1, JWE_MAX + 1));
        _cleanup_(buffer_free) struct buffer text = BUFFER(2 * JWE_MAX);
        struct key *key = fresh_key();
        struct error err = {""};
        struct jwe jwe;

        (void)state;
        memset(big, ' ', JWE_MAX + 1);
        assert_refused(jwe_parse(&jwe, big, JWE_MAX + 1, &err), -EBADMSG, &err, "longer than 16384 bytes");
        assert_refused(jwe_parse(&jwe, big, JWE_MAX, &err), -EBADMSG, &err, "is not a JSON object");
        assert_refused(jwe_parse(&jwe, big, 0, &err), -EBADMSG, &err, "is empty");
        assert_refused(jwe_seal(&key, 1, big, JWE_MAX, &text, &err), -EMSGSIZE, &err,
                       "longer than 16384 bytes");
        assert_int_equal(text.len, 0);
        char *good = sealed(&key, 1);
        const size_t n = strlen(good);
        for (size_t i = 0; i < n; i += 11) {
                if (jwe_parse(&jwe, good, i, &err) == 0)
                        fail_msg("a prefix of %zu bytes is accepted", i);
        }
        /* a NUL byte behind the object is something behind it */
        assert_int_equal(jwe_parse(&jwe, good, n + 1, &err), -EBADMSG);
        free(good);
        free(big);
        key_free(key);
}

static void jwe_does_not_open(void **state)
{
        static const char *const damage[] = {"\"iv\":\"", "\"ciphertext\":\"", "\"tag\":\"",
                                             "\"encrypted_key\":\""};
        struct key *key = fresh_key(), *other = fresh_key();
        char *good = sealed(&key, 1);
        struct error err = {""};

        (void)state;
        for (size_t i = 0; i < N(damage); i++) {
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(64);
                char *at = strstr(good, damage[i]) + strlen(damage[i]);
                const char was = *at;
                struct jwe jwe;

                *at = was == 'A' ? 'B' : 'A';
                assert_int_equal(jwe_parse(&jwe, good, strlen(good), &err), 0);
                assert_refused(jwe_open(&jwe, 0, key, &plain, &err), -EKEYREJECTED, &err,
                               "does not decrypt with this key");
                assert_int_equal(plain.len, 0);
                *at = was;
                jwe_clear(&jwe);
        }
        _cleanup_(buffer_free) struct buffer secret = BUFFER_SECRET(64), small = BUFFER_SECRET(13),
                                             plain = BUFFER(64);
        struct jwe jwe;
        json_t *jwk = NULL;
        struct key *public = NULL;
        assert_int_equal(jwe_parse(&jwe, good, strlen(good), &err), 0);
        assert_refused(jwe_open(&jwe, 0, other, &secret, &err), -EKEYREJECTED, &err, "names another key");
        assert_refused(jwe_open(&jwe, 1, key, &secret, &err), -EINVAL, &err, "wrong index");
        assert_refused(jwe_open(&jwe, 0, key, &plain, &err), -EINVAL, &err, "plain buffer");
        assert_refused(jwe_open(&jwe, 0, key, &small, &err), -EMSGSIZE, &err, "no room");
        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, NULL, &err), 0);
        assert_refused(jwe_open(&jwe, 0, public, &secret, &err), -EINVAL, &err, "a public key");
        jwe.to[0].epk_y[31] ^= 1;
        assert_refused(jwe_open(&jwe, 0, key, &secret, &err), -EBADMSG, &err, "epk is not a point on P-256");
        assert_int_equal(secret.len, 0);
        jwe_clear(&jwe);
        json_decref(jwk);
        key_free(public);
        free(good);
        key_free(key);
        key_free(other);
}

/* ---- JWS ---- */

static void jws_headers(void **state)
{
        static const struct {
                const char *find, *with, *says;
        } cases[] = {
                {"ES256", "none", "\"alg\" is not \"ES256\""},
                {"ES256", "HS256", "\"alg\" is not \"ES256\""},
                {"ES256", "es256", "\"alg\" is not \"ES256\""},
                {"\"ES256\"", "[\"ES256\"]", "\"alg\" is not a string"},
                {"\"alg\":\"ES256\",", "", "\"alg\" is missing"},
                {"+jwt", "+jwe", "\"typ\" is not \"postern-request+jwt\""},
                {"postern-request", "postern-verdict", "\"typ\" is not \"postern-request+jwt\""},
                {"\"typ\"", "\"cty\"", "\"typ\" is missing"},
                {"\"kid\":\"", "\"kid\":\"x", "\"kid\" is not the base64url form of 32 bytes"},
                {"\"kid\"", "\"kie\"", "\"kid\" is missing"},
                {"{", "{\"crit\":[\"b64\"],", "\"crit\" is not expected"},
                {"{", "{\"b64\":false,", "\"b64\" is not expected"},
                {"{", "{\"jwk\":{},", "\"jwk\" is not expected"},
                {"{", "{\"x5c\":[],", "\"x5c\" is not expected"},
                {"{", "{\"alg\":\"none\",", "a member stands twice"},
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

                assert_refused(jws_parse(&jws, text, strlen(text), JOSE_TYP_REQUEST, true, &err), -EBADMSG,
                               &err, cases[i].says);
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

                assert_refused(jws_parse(&jws, text, strlen(text), JOSE_TYP_REQUEST, false, &err), -EBADMSG,
                               &err, cases[i].says);
                free(text);
        }
        for (size_t n = 0; n < good.len; n++)
                if (jws_parse(&jws, good.data, n, JOSE_TYP_REQUEST, false, &err) == 0)
                        fail_msg("a prefix of %zu bytes is accepted", n);
        assert_int_equal(jws_parse(&jws, good.data, good.len, JOSE_TYP_REQUEST, false, &err), 0);
        assert_int_equal(jws_verify(&jws, key, &err), 0);
        assert_refused(jws_verify(&jws, other, &err), -EKEYREJECTED, &err,
                       "is not the key that should have signed");
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
        char *refused = b64u_text("{\"verdict\":\"refused\"}"),
             *accepted = b64u_text("{\"verdict\":\"accepted\"}");
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
        assert_refused(jws_parse(&jws, big, JWS_MAX + 1, JOSE_TYP_ROSTER, false, &err), -EBADMSG, &err,
                       "longer than");
        assert_refused(jws_parse(&jws, big, 0, JOSE_TYP_ROSTER, false, &err), -EBADMSG, &err,
                       "not three parts");
        memcpy(big + 2000, ".AAAA.", 6);
        assert_refused(jws_parse(&jws, big, 3000, JOSE_TYP_ROSTER, false, &err), -EBADMSG, &err,
                       "header: is longer than 1024");
        assert_int_equal(buffer_append_str(&small, "keep"), 0);
        assert_int_equal(jws_sign(key, JOSE_TYP_ROSTER, big, 200, &small, &err), -EMSGSIZE);
        assert_string_equal(small.data, "keep");
        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, NULL, &err), 0);
        assert_refused(jws_sign(public, JOSE_TYP_ROSTER, "{}", 2, &small, &err), -EINVAL, &err,
                       "no private part");
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
                {"\"dir\"", "\"A256KW\"", "\"alg\" is not \"dir\""},
                {"A256GCM", "A256CBC-HS512", "\"enc\" is not \"A256GCM\""},
                {"verdict", "request", "\"typ\" is not \"postern-verdict+jwe\""},
                {"\"JWT\"", "\"text\"", "\"cty\" is not \"JWT\""},
                {"{", "{\"kid\":\"x\",", "\"kid\" is not expected"},
                {"{", "{\"zip\":\"DEF\",", "\"zip\" is not expected"},
                {"{", "{\"crit\":[],", "\"crit\" is not expected"},
                {",\"cty\":\"JWT\"", "", "\"cty\" is missing"},
                {"{", "{\"alg\":\"dir\",", "a member stands twice"},
        };
        static const char header[] =
                "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"typ\":\"postern-verdict+jwe\",\"cty\":\"JWT\"}";
        static const uint8_t key[32] = {7};
        _cleanup_(buffer_free) struct buffer good = BUFFER(JWE_MAX), plain = BUFFER_SECRET(64);
        struct error err = {""};
        char *b64 = b64u_text(header);

        (void)state;
        assert_int_equal(jwe_dir_seal(key, "accepted", 8, &good, &err), 0);
        for (size_t i = 0; i < N(cases); i++) {
                char *changed = replaced(header, cases[i].find, cases[i].with);
                char *changed_b64 = b64u_text(changed), *text = replaced(good.data, b64, changed_b64);

                assert_refused(jwe_dir_open(key, text, strlen(text), &plain, &err), -EBADMSG, &err,
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
        _cleanup_(buffer_free) struct buffer good = BUFFER(JWE_MAX), plain = BUFFER_SECRET(64),
                                             heap = BUFFER(64);
        struct error err = {""};

        (void)state;
        assert_int_equal(jwe_dir_seal(key, "accepted", 8, &good, &err), 0);
        char *text = replaced(good.data, "..", ".QQ.");
        assert_refused(jwe_dir_open(key, text, strlen(text), &plain, &err), -EBADMSG, &err,
                       "has an encrypted key");
        free(text);
        text = replaced(good.data, "..", "..A");
        assert_refused(jwe_dir_open(key, text, strlen(text), &plain, &err), -EBADMSG, &err, "iv is not");
        free(text);
        text = replaced(good.data, "..", ".");
        assert_refused(jwe_dir_open(key, text, strlen(text), &plain, &err), -EBADMSG, &err, "not five parts");
        free(text);
        assert_refused(jwe_dir_open(key, good.data, good.len - 1, &plain, &err), -EBADMSG, &err,
                       "tag is not");
        assert_refused(jwe_dir_open(other, good.data, good.len, &plain, &err), -EKEYREJECTED, &err,
                       "does not decrypt");
        assert_refused(jwe_dir_open(key, good.data, good.len, &heap, &err), -EINVAL, &err,
                       "secret buffer only");
        assert_refused(jwe_dir_seal(key, "", 0, &good, &err), -EINVAL, &err, "nothing to seal");
        assert_int_equal(plain.len, 0);
        assert_int_equal(jwe_dir_open(key, good.data, good.len, &plain, &err), 0);
        assert_string_equal(plain.data, "accepted");
        good.data[good.len - 3] = good.data[good.len - 3] == 'A' ? 'B' : 'A';
        assert_refused(jwe_dir_open(key, good.data, good.len, &plain, &err), -EKEYREJECTED, &err,
                       "does not decrypt");
}

static void padding(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(2 * PADDED_LEN);
        char text[PADDED_LEN + 1];
        size_t n = 0;

        (void)state;
        memset(text, 'a', sizeof(text));
        assert_int_equal(jose_pad(&out, text, PADDED_LEN + 1), -EMSGSIZE);
        assert_int_equal(out.len, 0);
        assert_int_equal(jose_pad(&out, text, 100), 0);
        assert_int_equal(out.len, PADDED_LEN);
        assert_int_equal(jose_unpadded(out.data, out.len, &n), 0);
        assert_int_equal(n, 100);
        assert_int_equal(jose_unpadded(out.data, out.len - 1, &n), -EBADMSG);
        out.data[4000] = '\t';
        assert_int_equal(jose_unpadded(out.data, out.len, &n), -EBADMSG);
        out.data[4000] = '\0';
        assert_int_equal(jose_unpadded(out.data, out.len, &n), -EBADMSG);
        buffer_clear(&out);
        assert_int_equal(jose_pad(&out, text, PADDED_LEN), 0);
        assert_int_equal(jose_unpadded(out.data, out.len, &n), 0);
        assert_int_equal(n, PADDED_LEN);
        buffer_clear(&out);
        assert_int_equal(jose_pad(&out, text, 0), 0);
        assert_int_equal(jose_unpadded(out.data, out.len, &n), -EBADMSG);
}

/* Error texts never quote what was read: it may be a password. */
static void errors_quote_nothing(void **state)
{
        static const char *const texts[] = {"{\"password\":hunter2}", "{\"password\":\"hunter2\" hunter2}",
                                            "{\"hunter2 hunter2\":1,\"hunter2 hunter2\":2}", "hunter2",
                                            "{} hunter2"};
        static const char *const none[] = {NULL};
        json_t *object = NULL;

        (void)state;
        for (size_t i = 0; i < N(texts); i++) {
                struct error err = {""};

                assert_int_equal(jose_json_object(&object, texts[i], strlen(texts[i]), "claims", &err),
                                 -EBADMSG);
                assert_null(strstr(err.text, "hunter2"));
        }
        struct error err = {""};
        const char *s;
        object = json_pack("{ss}", "password", "hunter2");
        assert_int_equal(jose_json_str(object, "claims", "password", 8, 9, &s, &err), -EBADMSG);
        assert_null(strstr(err.text, "hunter2"));
        assert_int_equal(jose_json_is(object, "claims", "password", "x", &err), -EBADMSG);
        assert_null(strstr(err.text, "hunter2"));
        assert_int_equal(jose_json_members(object, "claims", none, NULL, &err), -EBADMSG);
        assert_null(strstr(err.text, "hunter2"));
        json_decref(object);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(jwe_refusals),
                cmocka_unit_test(jwe_alone),
                cmocka_unit_test(jwe_counts),
                cmocka_unit_test(jwe_sizes),
                cmocka_unit_test(jwe_does_not_open),
                cmocka_unit_test(jws_headers),
                cmocka_unit_test(jws_forms),
                cmocka_unit_test(jws_tampered),
                cmocka_unit_test(jws_sizes),
                cmocka_unit_test(dir_refusals),
                cmocka_unit_test(dir_forms),
                cmocka_unit_test(padding),
                cmocka_unit_test(errors_quote_nothing),
        };

        return cmocka_run_group_tests_name("certs-refusals", tests, NULL, NULL);
}
