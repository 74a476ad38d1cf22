/*
 * Keys in a TPM 2, by the OpenSSL provider of the package tpm2-openssl: persistent handles, and TSS2 PEM files,
 * which hold a key that the TPM wrapped for itself.
 *
 * Invariant: the provider lives in a library context of its own; nothing but the key's own operations is
 * fetched from it. Which TPM is TPM2OPENSSL_TCTI's business (default: the kernel's resource manager).
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <string.h>

#include "certs/codec/crypto.h"
#include "base/core/cleanup.h"
#include "connector/keyholder/token.h"

#define PROPERTIES "?provider=tpm2"

DEFINE_VOID_FREEP(BIO, BIO_free_all)
DEFINE_VOID_FREEP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
DEFINE_VOID_FREEP(ECDSA_SIG, ECDSA_SIG_free)

static inline OSSL_STORE_CTX *store_close(OSSL_STORE_CTX *store)
{
        (void)OSSL_STORE_close(store);
        return NULL;
}
DEFINE_FREEP(OSSL_STORE_CTX, store_close)

struct tpm2 {
        OSSL_LIB_CTX *lib;
        EVP_PKEY *key;
        const char *pin;
        unsigned asked; /* how often the provider wanted the PIN */
};

/* What the provider said, for a person who knows TPMs; it never holds the PIN. */
static int tpm_fail(const struct tpm2 *t, int code, const char *what, struct error *err)
{
        char reason[160] = "no reason given";
        const char *data = NULL;
        int flags = 0;
        const unsigned long number = ERR_peek_last_error_all(NULL, NULL, NULL, &data, &flags);

        if (number)
                (void)snprintf(reason, sizeof(reason), "%s%s%.100s",
                               ERR_reason_error_string(number) ? ERR_reason_error_string(number) : "",
                               data && *data ? ": " : "", data ? data : "");
        ERR_clear_error();
        return error_fail(err, t->pin ? -EACCES : code, "%s%s: %s", what,
                          t->pin ? " (a wrong PIN is not told apart; it was tried once)" : "", reason);
}

static int give_pin(char *out, int cap, int for_writing, void *arg)
{
        struct tpm2 *t = arg;
        const int n = t->pin ? (int)strlen(t->pin) : -1;

        (void)for_writing;
        if (t->asked++ > 0 || n < 0 || n > cap)
                return -1;
        memcpy(out, t->pin, (size_t)n);
        return n;
}

static int load_provider(struct tpm2 *t, struct error *err)
{
        t->lib = OSSL_LIB_CTX_new();
        if (!t->lib || !OSSL_PROVIDER_load(t->lib, "default"))
                return error_fail(err, -ENOMEM, "OpenSSL cannot make a context for the TPM");
        if (OSSL_PROVIDER_try_load(t->lib, "tpm2", 1))
                return 0;
        /* not installed, or no TPM answers: the first can be seen */
        const unsigned long number = ERR_peek_error();
        const bool missing = ERR_GET_LIB(number) == ERR_LIB_DSO || ERR_GET_LIB(number) == ERR_LIB_CRYPTO;
        if (missing) {
                ERR_clear_error();
                return error_fail(err, -ENOENT,
                                  "OpenSSL's provider for TPMs is not installed; install the Debian package "
                                  "tpm2-openssl");
        }
        return tpm_fail(&(struct tpm2){0}, -ENODEV,
                        "no TPM answers; see that /dev/tpmrm0 is there and that the user is in the group tss, "
                        "or set TPM2OPENSSL_TCTI",
                        err);
}

/* ---- opening and making ---- */

static int open_handle(struct tpm2 *t, const char *uri, struct error *err)
{
        UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(give_pin, 0);
        char text[40];

        /* "?pass" makes the provider ask; pin-source is not its word */
        (void)snprintf(text, sizeof(text), "%.17s%s", uri, t->pin ? "?pass" : "");
        _cleanup_(store_closep) OSSL_STORE_CTX *store =
                OSSL_STORE_open_ex(text, t->lib, PROPERTIES, ui, t, NULL, NULL, NULL);
        while (store && !t->key && !OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);

                if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
                        t->key = OSSL_STORE_INFO_get1_PKEY(info);
                OSSL_STORE_INFO_free(info);
                if (!info)
                        break;
        }
        if (t->key)
                return 0;
        return tpm_fail(t, -ENOENT, "the TPM has no key at that handle; see: tpm2_getcap handles-persistent", err);
}

static int open_pem(struct tpm2 *t, const char *text, struct error *err)
{
        _cleanup_(free_BIOp) BIO *bio = BIO_new_mem_buf(text, -1);

        t->key = bio ? PEM_read_bio_PrivateKey_ex(bio, NULL, give_pin, t, t->lib, PROPERTIES) : NULL;
        return t->key ? 0
                      : tpm_fail(t, -ENOENT,
                                 "the TPM cannot load that key: it was made in another TPM, or this one was cleared "
                                 "since",
                                 err);
}

static int make_key(struct tpm2 *t, struct error *err)
{
        _cleanup_(free_EVP_PKEY_CTXp) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(t->lib, "EC", "provider=tpm2");

        if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_group_name(ctx, "P-256") != 1 ||
            EVP_PKEY_generate(ctx, &t->key) != 1)
                return tpm_fail(t, -EIO, "the TPM cannot make a P-256 key", err);
        return 0;
}

static int write_name(const struct tpm2 *t, const struct token_request *request, struct buffer *name)
{
        _cleanup_(free_BIOp) BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;

        if (!request->make)
                return buffer_append_str(name, request->reference);
        if (!bio || PEM_write_bio_PrivateKey_ex(bio, t->key, NULL, NULL, 0, NULL, NULL, t->lib, PROPERTIES) != 1)
                return -EIO;
        const long n = BIO_get_mem_data(bio, &text);
        return n > 0 ? buffer_append(name, text, (size_t)n) : -EIO;
}

/* ---- signing ---- */

static int sign(struct token *token, const uint8_t digest[DIGEST_LEN], uint8_t signature[SIGNATURE_LEN],
                struct error *err)
{
        struct tpm2 *t = token->state;
        _cleanup_(free_EVP_PKEY_CTXp) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(t->lib, t->key, PROPERTIES);
        OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                               OSSL_PARAM_construct_end()};
        _cleanup_(free_ECDSA_SIGp) ECDSA_SIG *sig = NULL;
        uint8_t der[160];
        const uint8_t *at = der;
        size_t n = sizeof(der);

        if (!ctx || EVP_PKEY_sign_init_ex(ctx, params) != 1 || EVP_PKEY_sign(ctx, der, &n, digest, DIGEST_LEN) != 1 ||
            !(sig = d2i_ECDSA_SIG(NULL, &at, (long)n)) || BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, 32) != 32 ||
            BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + 32, 32) != 32)
                return tpm_fail(t, -EIO, "the TPM does not sign with that key", err);
        t->pin = NULL; /* it was right */
        return 0;
}

int tpm2_open(struct token *token, const struct token_request *request, struct buffer *name, struct error *err)
{
        static struct tpm2 t;
        int r;

        t.pin = request->pin;
        r = load_provider(&t, err);
        if (r < 0)
                return r;
        if (request->make)
                r = make_key(&t, err);
        else if (strncmp(request->reference, "handle:", 7) == 0)
                r = open_handle(&t, request->reference, err);
        else
                r = open_pem(&t, request->reference, err);
        if (r == 0 && crypto_point_export(t.key, token->point) != 0) {
                ERR_clear_error();
                r = error_fail(err, -EBADMSG, "the TPM's key is no P-256 key; Postern uses no other kind");
        }
        if (r == 0 && (r = write_name(&t, request, name)) < 0)
                tpm_fail(&t, r, "the TPM's key cannot be written down", err);
        token->sign = sign;
        token->state = &t;
        return r;
}
