/*
 * The primitives against the published vectors of RFC 7515, 7518 and 3394.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <string.h>

#include "base/core/text.h"

static struct key *private_key(const char *x, const char *y, const char *d)
{
        json_t *jwk = json_pack("{ssssss}", "x", x, "y", y, "d", d);
        struct key *key = key_from_private_jwk(jwk);

        json_decref(jwk);
        return key;
}

/* RFC 7515 appendix A.3. */
static void es256_of_rfc7515(void **state)
{
        static const char text[] =
                "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        static const char signature_b64[] =
                "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        struct key *key = private_key("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                                      "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                                      "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
        uint8_t signature[ES256_LEN];

        (void)state;
        assert_int_equal(b64u_decode_exact(signature, sizeof(signature), signature_b64, strlen(signature_b64)), 0);
        assert_int_equal(crypto_es256_verify(signature, key_evp(key), text, strlen(text)), 0);
        assert_int_equal(crypto_es256_verify(signature, key_evp(key), text, strlen(text) - 1), -EKEYREJECTED);
        for (size_t i = 0; i < sizeof(signature); i += 7) {
                signature[i] ^= 1;
                assert_int_equal(crypto_es256_verify(signature, key_evp(key), text, strlen(text)), -EKEYREJECTED);
                signature[i] ^= 1;
        }
        key_free(key);
}

/* r and s must lie in [1, n - 1]. */
static void es256_range(void **state)
{
        static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                          0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
        struct key *key = fresh_key();
        uint8_t good[ES256_LEN], bad[ES256_LEN];

        (void)state;
        assert_int_equal(crypto_es256_sign(good, key_evp(key), "x", 1), 0);
        for (int half = 0; half < 2; half++) {
                memcpy(bad, good, sizeof(bad));
                memset(bad + 32 * half, 0, 32);
                assert_int_equal(crypto_es256_verify(bad, key_evp(key), "x", 1), -EKEYREJECTED);
                memcpy(bad + 32 * half, order, 32);
                assert_int_equal(crypto_es256_verify(bad, key_evp(key), "x", 1), -EKEYREJECTED);
                memset(bad + 32 * half, 0xff, 32);
                assert_int_equal(crypto_es256_verify(bad, key_evp(key), "x", 1), -EKEYREJECTED);
        }
        assert_int_equal(crypto_es256_verify(good, key_evp(key), "x", 1), 0);
        key_free(key);
}

/* RFC 7518 appendix C: ECDH and the Concat KDF. */
static void agreement_of_rfc7518(void **state)
{
        static const uint8_t z_expected[32] = {158, 86,  217, 29,  129, 113, 53,  211, 114, 131, 66,
                                               131, 191, 132, 38,  156, 251, 49,  110, 163, 218, 128,
                                               106, 72,  246, 218, 167, 121, 140, 254, 144, 196};
        static const uint8_t derived[16] = {86, 170, 141, 234, 248, 35, 109, 32, 92, 34, 40, 205, 113, 167, 16, 26};
        static const struct crypto_kdf info = {"A128GCM", "Alice", "Bob", 128};
        struct key *alice = private_key("gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
                                        "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
                                        "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo");
        struct key *bob = private_key("weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
                                      "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
                                      "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw");
        uint8_t z[32], key[32];

        (void)state;
        assert_int_equal(crypto_ecdh(z, key_evp(alice), key_evp(bob)), 0);
        assert_memory_equal(z, z_expected, 32);
        memset(z, 0, sizeof(z));
        assert_int_equal(crypto_ecdh(z, key_evp(bob), key_evp(alice)), 0);
        assert_memory_equal(z, z_expected, 32);
        assert_int_equal(crypto_concat_kdf(key, z, &info), 0);
        assert_memory_equal(key, derived, 16);
        key_free(alice);
        key_free(bob);
}

/* RFC 3394 section 4.6. */
static void wrap_of_rfc3394(void **state)
{
        static const uint8_t wrapped_expected[WRAPPED_LEN] = {
                0x28, 0xC9, 0xF4, 0x04, 0xC4, 0xB8, 0x10, 0xF4, 0xCB, 0xCC, 0xB3, 0x5C, 0xFB, 0x87,
                0xF8, 0x26, 0x3F, 0x57, 0x86, 0xE2, 0xD8, 0x0E, 0xD3, 0x26, 0xCB, 0xC7, 0xF0, 0xE7,
                0x1A, 0x99, 0xF4, 0x3B, 0xFB, 0x98, 0x8B, 0x9B, 0x7A, 0x02, 0xDD, 0x21};
        uint8_t kek[32], cek[32], wrapped[WRAPPED_LEN], back[32];

        (void)state;
        for (uint8_t i = 0; i < 32; i++) {
                kek[i] = i;
                cek[i] = i < 16 ? (uint8_t)(i * 0x11) : (uint8_t)(i - 16);
        }
        assert_int_equal(crypto_wrap(wrapped, kek, cek), 0);
        assert_memory_equal(wrapped, wrapped_expected, sizeof(wrapped));
        assert_int_equal(crypto_unwrap(back, kek, wrapped), 0);
        assert_memory_equal(back, cek, sizeof(back));
        for (size_t i = 0; i < sizeof(wrapped); i++) {
                wrapped[i] ^= 0x80;
                assert_int_equal(crypto_unwrap(back, kek, wrapped), -EKEYREJECTED);
                wrapped[i] ^= 0x80;
        }
}

/* A wrong tag leaves nothing of the plaintext behind. */
static void gcm_wipes(void **state)
{
        static const uint8_t key[32] = {1}, iv[GCM_IV_LEN] = {2}, zeros[16] = {0};
        const struct crypto_gcm gcm = {key, iv, "aad", 3};
        uint8_t cipher[16], plain[16], tag[GCM_TAG_LEN];

        (void)state;
        assert_int_equal(crypto_gcm_seal(&gcm, "sixteen bytes ok", 16, cipher, tag), 0);
        assert_int_equal(crypto_gcm_open(&gcm, cipher, 16, tag, plain), 0);
        assert_memory_equal(plain, "sixteen bytes ok", 16);
        tag[15] ^= 1;
        assert_int_equal(crypto_gcm_open(&gcm, cipher, 16, tag, plain), -EKEYREJECTED);
        assert_memory_equal(plain, zeros, 16);
}

static void points_off_the_curve(void **state)
{
        uint8_t xy[P256_POINT_LEN];
        EVP_PKEY *evp = NULL;
        struct key *key = fresh_key();

        (void)state;
        memcpy(xy, key_point(key), sizeof(xy));
        xy[63] ^= 1;
        assert_int_equal(crypto_point_import(&evp, xy), -EBADMSG);
        memset(xy, 0, sizeof(xy));
        assert_int_equal(crypto_point_import(&evp, xy), -EBADMSG);
        memset(xy, 0xff, sizeof(xy));
        assert_int_equal(crypto_point_import(&evp, xy), -EBADMSG);
        assert_null(evp);
        assert_int_equal(crypto_point_import(&evp, key_point(key)), 0);
        EVP_PKEY_free(evp);
        key_free(key);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(es256_of_rfc7515),
                cmocka_unit_test(es256_range),
                cmocka_unit_test(agreement_of_rfc7518),
                cmocka_unit_test(wrap_of_rfc3394),
                cmocka_unit_test(gcm_wipes),
                cmocka_unit_test(points_off_the_curve),
        };

        return cmocka_run_group_tests_name("certs-vectors", tests, NULL, NULL);
}
