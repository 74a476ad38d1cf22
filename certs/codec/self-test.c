/*
 * Known answers: SHA-256 (FIPS 180-4), AES key wrap (RFC 3394 4.6), AES-GCM (test case 16 without its text), and P-256
 * against itself.
 *
 * It finds set-ups that are broken, not code that is; it runs in well under a millisecond.
 */
#include "certs/codec/self-test.h"

#include <errno.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/codec/crypto.h"
#include "base/core/cleanup.h"
#include "base/core/secret.h"

DEFINE_VOID_FREEP(EVP_PKEY, EVP_PKEY_free)

/* ---- what is wrong ---- */

/* The first error of the queue: the cause; what follows are its consequences. */
static void first_error(char *out, size_t cap)
{
        const char *data = NULL;
        int flags = 0;
        unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
        const char *reason = code ? ERR_reason_error_string(code) : NULL;

        (void)snprintf(out, cap, "%s%s%.160s", reason ? reason : "no reason given", data && *data ? ": " : "",
                       data && (flags & ERR_TXT_STRING) ? data : "");
        ERR_clear_error();
}

/* The first provider of the file that can't be loaded. OpenSSL itself leaves it out in silence. */
static bool provider_fault(OSSL_LIB_CTX *apart, const CONF *conf, char *out, size_t cap)
{
        const char *init = NCONF_get_string(conf, NULL, "openssl_conf");
        const char *providers = init ? NCONF_get_string(conf, init, "providers") : NULL;
        STACK_OF(CONF_VALUE) *list = providers ? NCONF_get_section(conf, providers) : NULL;

        for (int i = 0; list && i < sk_CONF_VALUE_num(list); i++) {
                const CONF_VALUE *entry = sk_CONF_VALUE_value(list, i);
                const char *module = NCONF_get_string(conf, entry->value, "module");
                char why[256];

                ERR_clear_error();
                OSSL_PROVIDER *loaded = module ? NULL : OSSL_PROVIDER_load(apart, entry->name);
                if (module ? access(module, R_OK) == 0 : loaded && OSSL_PROVIDER_unload(loaded) == 1)
                        continue;
                (void)snprintf(why, sizeof(why), "%s", module ? strerror(errno) : "");
                if (!module)
                        first_error(why, sizeof(why));
                (void)snprintf(out, cap, "the provider %.60s: %.170s", entry->name, why);
                return true;
        }
        return false;
}

/* What is wrong with the file as it is read apart, if anything is. */
static bool configuration_fault(const char *file, char *out, size_t cap)
{
        OSSL_LIB_CTX *apart = OSSL_LIB_CTX_new();
        CONF *conf = NCONF_new_ex(apart, NULL);
        bool bad = false;

        ERR_clear_error();
        if (apart && conf && access(file, R_OK) == 0) {
                bad = NCONF_load(conf, file, NULL) != 1;
                if (bad)
                        first_error(out, cap);
                else
                        bad = provider_fault(apart, conf, out, cap);
        }
        NCONF_free(conf);
        OSSL_LIB_CTX_free(apart);
        ERR_clear_error();
        return bad;
}

int crypto_self_test_fail(struct error *err, const char *what)
{
        char reason[256], cause[256];
        char *file = CONF_get1_default_config_file();

        if (ERR_peek_error() == 0) /* ours clear the queue: the commonest reason once more */
                EVP_MD_free(EVP_MD_fetch(NULL, "SHA2-256", NULL));
        first_error(reason, sizeof(reason));
        if (file && configuration_fault(file, cause, sizeof(cause)))
                (void)error_fail(err, -ENOTSUP,
                                 "OpenSSL is not set up: %s can't be loaded: %s (found by %s); correct it, "
                                 "or OPENSSL_CONF where that is set",
                                 file, cause, what);
        else
                (void)error_fail(
                        err, -ENOTSUP,
                        "OpenSSL can't do %s (%s): look which providers, default_properties and ssl_conf %s "
                        "activates, or OPENSSL_CONF where that is set; Postern needs those of the default provider",
                        what, reason, file ? file : "openssl.cnf");
        OPENSSL_free(file);
        return -ENOTSUP;
}

/* ---- the tests ---- */

static bool test_sha256(void)
{
        static const uint8_t expected[4] = {0xba, 0x78, 0x16, 0xbf};
        uint8_t digest[SHA256_LEN];

        return crypto_sha256(digest, "abc", 3) == 0 && memcmp(digest, expected, sizeof(expected)) == 0;
}

static bool test_random(void)
{
        uint8_t some[16];

        return RAND_bytes(some, sizeof(some)) == 1 && RAND_priv_bytes(some, sizeof(some)) == 1;
}

static bool test_wrap(void)
{
        static const uint8_t expected[8] = {0x28, 0xc9, 0xf4, 0x04, 0xc4, 0xb8, 0x10, 0xf4};
        uint8_t kek[32], cek[CEK_LEN], wrapped[WRAPPED_LEN], back[CEK_LEN];

        for (uint8_t i = 0; i < 32; i++)
                kek[i] = i;
        for (uint8_t i = 0; i < 16; i++) {
                cek[i] = (uint8_t)(i << 4 | i);
                cek[16 + i] = i;
        }
        return crypto_wrap(wrapped, kek, cek) == 0 && memcmp(wrapped, expected, sizeof(expected)) == 0 &&
               crypto_unwrap(back, kek, wrapped) == 0 && memcmp(back, cek, sizeof(cek)) == 0;
}

static bool test_gcm(void)
{
        static const uint8_t key[32], iv[GCM_IV_LEN], expected[4] = {0x53, 0x0f, 0x8a, 0xfb};
        const struct crypto_gcm gcm = {.key = key, .iv = iv, .aad = "", .aad_len = 0};
        uint8_t tag[GCM_TAG_LEN], out[1];

        return crypto_gcm_seal(&gcm, "", 0, out, tag) == 0 && memcmp(tag, expected, sizeof(expected)) == 0 &&
               crypto_gcm_open(&gcm, "", 0, tag, out) == 0;
}

static bool test_p256(void)
{
        _cleanup_(free_EVP_PKEYp) EVP_PKEY *own = NULL;
        _cleanup_(free_EVP_PKEYp) EVP_PKEY *peer = NULL;
        uint8_t signature[ES256_LEN], z[32], xy[P256_POINT_LEN];
        bool good = crypto_keygen(&own) == 0 && crypto_point_export(own, xy) == 0 &&
                    crypto_point_import(&peer, xy) == 0 && crypto_es256_sign(signature, own, "abc", 3) == 0 &&
                    crypto_es256_verify(signature, peer, "abc", 3) == 0 && crypto_ecdh(z, own, peer) == 0;

        wipe(z, sizeof(z));
        return good;
}

int crypto_self_test(struct error *err)
{
        static const struct {
                const char *what;
                bool (*test)(void);
        } tests[] = {{"SHA-256", test_sha256},
                     {"random numbers", test_random},
                     {"AES-256-GCM", test_gcm},
                     {"AES-256 key wrap", test_wrap},
                     {"ES256 and ECDH with P-256", test_p256}};

        for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
                if (!tests[i].test())
                        return crypto_self_test_fail(err, tests[i].what);
        return 0;
}
