/*
 * Helpers of the certs tests. They may use OpenSSL in ways the code under test does not.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

struct key *fresh_key(void)
{
        struct error err = {""};
        struct key *key = NULL;

        if (key_generate(&key, &err) < 0)
                fail_msg("%s", err.text);
        return key;
}

struct key *key_from_private_jwk(const json_t *jwk)
{
        uint8_t point[65] = {4}, d[32];
        struct error err = {""};
        EVP_PKEY *evp = NULL;
        struct key *key = NULL;

        assert_int_equal(b64u_decode_exact(point + 1, 32, json_string_value(json_object_get(jwk, "x")), 43), 0);
        assert_int_equal(b64u_decode_exact(point + 33, 32, json_string_value(json_object_get(jwk, "y")), 43), 0);
        assert_int_equal(b64u_decode_exact(d, 32, json_string_value(json_object_get(jwk, "d")), 43), 0);

        OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
        BIGNUM *scalar = BN_bin2bn(d, 32, NULL);
        assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 65), 1);
        assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar), 1);
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
        assert_int_equal(EVP_PKEY_fromdata(ctx, &evp, EVP_PKEY_KEYPAIR, params), 1);
        assert_int_equal(key_from_evp(&key, evp, true, &err), 0);
        EVP_PKEY_free(evp);
        EVP_PKEY_CTX_free(ctx);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(bld);
        BN_free(scalar);
        return key;
}

json_t *private_jwk(const struct key *key)
{
        uint8_t d[32];
        char text[B64U_LEN(32) + 1];
        BIGNUM *bn = NULL;
        json_t *jwk = NULL;

        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(EVP_PKEY_get_bn_param(key_evp(key), OSSL_PKEY_PARAM_PRIV_KEY, &bn), 1);
        assert_int_equal(BN_bn2binpad(bn, d, 32), 32);
        b64u_encode_to(text, d, sizeof(d));
        assert_int_equal(json_object_set_new(jwk, "d", json_string(text)), 0);
        BN_free(bn);
        return jwk;
}

char *replaced(const char *text, const char *find, const char *with)
{
        const char *at = strstr(text, find);
        char *out = NULL;

        if (!at)
                fail_msg("the test looks for %s in %s", find, text);
        if (asprintf(&out, "%.*s%s%s", (int)(at - text), text, with, at + strlen(find)) < 0)
                fail_msg("out of memory");
        return out;
}

char *b64u_text(const char *text)
{
        char *out = not_null(malloc(B64U_LEN(strlen(text)) + 1));

        b64u_encode_to(out, text, strlen(text));
        return out;
}

char *sign_raw(const struct key *key, const char *header, const char *payload)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(2 * JWS_MAX);
        uint8_t signature[ES256_LEN];

        assert_int_equal(b64u_encode(&out, header, strlen(header)), 0);
        assert_int_equal(buffer_append_char(&out, '.'), 0);
        assert_int_equal(b64u_encode(&out, payload, strlen(payload)), 0);
        assert_int_equal(crypto_es256_sign(signature, key_evp(key), out.data, out.len), 0);
        assert_int_equal(buffer_append_char(&out, '.'), 0);
        assert_int_equal(b64u_encode(&out, signature, sizeof(signature)), 0);
        return buffer_steal(&out);
}

void assert_refused(int r, int code, const struct error *err, const char *what)
{
        if (r != code || !strstr(err->text, what))
                fail_msg("expected %d \"%s\", got %d \"%s\"", code, what, r, err->text);
}

uint32_t next_random(uint32_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        return *state;
}

void fill_random(uint32_t *state, void *out, size_t n)
{
        uint8_t *p = out;

        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t)(next_random(state) >> 11);
}
