/*
 * Keys in hardware by postern-keyholder: made, opened again, signing, and each thing that goes wrong with its
 * own code and remedy. On a real PKCS#11 module (SoftHSM) and a real TPM 2 in software (swtpm).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/enrol/csr.h"
#include "certs/jose/jose.h"
#include "tests/certs/keys/tokens.h"

#define URI "pkcs11:token=postern;object=identity"
#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

static void assert_opens(struct holder *h, const char *reference, const char *pin_file, bool make)
{
        const int r = holder_open(h, reference, pin_file, make);

        if (r < 0)
                fail_msg("%s: %d %s", reference, r, h->err.text);
        assert_true(key_has_private(h->key) && key_holder_fd(h->key) >= 0);
}

/* It fails with this code and these words, and the PIN is not among them. Returns how the holder ended. */
static int assert_refused(const char *reference, const char *pin_file, bool make, int code, const char *what)
{
        struct holder h;
        const int r = holder_open(&h, reference, pin_file, make);

        if (r != code || !strstr(h.err.text, what))
                fail_msg("%s: expected %d \"%s\", got %d \"%s\"", reference, code, what, r, h.err.text);
        assert_null(strstr(h.err.text, TOKEN_PIN));
        assert_null(strstr(h.err.text, "0000-wrong"));
        return holder_close(&h);
}

/* The signature verifies with the public key alone, as JWS and in a certificate request. */
static void assert_signs(const struct key *key)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096);
        _cleanup_(buffer_free) struct buffer der = BUFFER(4096);
        _cleanup_(key_freep) struct key *public = NULL;
        struct error err = {""};
        struct jws jws = {.payload = BUFFER(0)};
        json_t *jwk = NULL;

        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, &err), 0);
        json_decref(jwk);
        if (jws_sign(key, JOSE_TYP_VERDICT, "{}", 2, &text, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(jws_parse(&jws, text.data, text.len, JOSE_TYP_VERDICT, false, &err), 0);
        assert_int_equal(jws_verify(&jws, public, &err), 0);
        jws_clear(&jws);

        if (csr_make(key, "acme", "connector-0001-aaaa", &der, &err) < 0)
                fail_msg("%s", err.text);
        const unsigned char *p = (const unsigned char *)der.data;
        X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.len);
        assert_int_equal(X509_REQ_verify(req, key_evp(public)), 1);
        X509_REQ_free(req);
}

/* ---- PKCS#11 ---- */

static void test_pkcs11(void **state)
{
        struct softhsm hsm;
        struct holder made, opened;

        (void)state;
        softhsm_begin(&hsm);
        assert_opens(&made, URI, hsm.pin_file, true);
        assert_string_equal(made.name.data, URI);
        assert_signs(made.key);
        assert_opens(&opened, URI "?module-path=" MODULE, hsm.pin_file, false);
        assert_string_equal(key_kid(opened.key), key_kid(made.key));
        assert_signs(opened.key);
        assert_int_equal(holder_close(&opened), 0);
        assert_int_equal(holder_close(&made), 0);
        assert_int_equal(assert_refused(URI, hsm.pin_file, true, -EEXIST, "holds a key of that name"), 1);
        softhsm_end(&hsm);
}

static void test_pkcs11_refusals(void **state)
{
        struct softhsm hsm;
        struct holder h;

        (void)state;
        softhsm_begin(&hsm);
        assert_opens(&h, URI, hsm.pin_file, true);
        assert_int_equal(holder_close(&h), 0);
        assert_int_equal(assert_refused(URI, hsm.wrong_pin_file, false, -EACCES, "refuses the PIN"),
                         KEYHOLDER_EXIT_PIN);
        assert_refused(URI, NULL, false, -EPERM, "pin-source=file:/PATH");
        assert_refused("pkcs11:token=other;object=identity", hsm.pin_file, false, -ENODEV, "plug it in");
        assert_refused("pkcs11:token=postern;object=other", hsm.pin_file, false, -ENOENT, "no private key");
        assert_refused("pkcs11:token=postern", hsm.pin_file, true, -EINVAL, "object=LABEL");
        assert_refused(URI "?module-path=/none.so", hsm.pin_file, false, -ENOENT, "install the package");
        assert_refused("pkcs11:token=postern;foo=1", hsm.pin_file, false, -EINVAL, "not known");
        assert_refused("pkcs11:token=%zz", hsm.pin_file, false, -EINVAL, "malformed");
        assert_refused(URI "?pin-value=" TOKEN_PIN, NULL, false, -EINVAL, "a PIN does not belong there");
        softhsm_end(&hsm);
}

/* Keys that `pkcs11-tool` made: one that is right, and those that Postern cannot use. */
static void test_pkcs11_tool(void **state)
{
        static const struct {
                const char *type, *label;
        } keys[] = {{"EC:prime256v1", "right"},
                    {"EC:secp384r1", "curve"},
                    {"rsa:2048", "rsa"},
                    {"EC:prime256v1", "twice"},
                    {"EC:prime256v1", "twice"}};
        struct softhsm hsm;
        struct holder h;

        (void)state;
        softhsm_begin(&hsm);
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                char id[8];

                (void)snprintf(id, sizeof(id), "%02zx", i + 1);
                assert_true(run("pkcs11-tool", "--module", MODULE, "--token-label", "postern", "--login", "--pin",
                                TOKEN_PIN, "--keypairgen", "--key-type", keys[i].type, "--label", keys[i].label, "--id",
                                id, "--usage-sign", NULL));
        }
        assert_opens(&h, "pkcs11:token=postern;object=right", hsm.pin_file, false);
        assert_signs(h.key);
        assert_int_equal(holder_close(&h), 0);
        assert_opens(&h, "pkcs11:token=postern;id=%05", hsm.pin_file, false);
        assert_signs(h.key);
        assert_int_equal(holder_close(&h), 0);
        assert_refused("pkcs11:token=postern;object=curve", hsm.pin_file, false, -EBADMSG, "another curve");
        assert_refused("pkcs11:token=postern;object=rsa", hsm.pin_file, false, -EBADMSG, "not of the kind EC");
        assert_refused("pkcs11:token=postern;object=twice", hsm.pin_file, false, -EINVAL, "several private keys");
        softhsm_end(&hsm);
}

/* ---- TPM ---- */

static void test_tpm(void **state)
{
        struct swtpm tpm;
        struct holder h;
        char kid[KID_LEN + 1], *pem;

        (void)state;
        swtpm_begin(&tpm);
        assert_opens(&h, "tpm2:", NULL, true);
        assert_signs(h.key);
        memcpy(kid, key_kid(h.key), sizeof(kid));
        pem = strdup(h.name.data);
        assert_int_equal(holder_close(&h), 0);
        assert_opens(&h, pem, NULL, false);
        assert_string_equal(key_kid(h.key), kid);
        assert_signs(h.key);
        assert_int_equal(holder_close(&h), 0);
        swtpm_end(&tpm);

        /* the file alone is of no use: another TPM cannot load it */
        swtpm_begin(&tpm);
        assert_refused(pem, NULL, false, -ENOENT, "made in another TPM");
        swtpm_end(&tpm);
        free(pem);
}

/* A persistent key of tpm2-tools, with an authorization value, by its handle. */
static void test_tpm_handle(void **state)
{
        struct softhsm files; /* for its PIN files alone */
        struct swtpm tpm;
        struct holder h;
        char primary[96], public[96], private[96], loaded[96];

        (void)state;
        softhsm_begin(&files);
        swtpm_begin(&tpm);
        (void)snprintf(primary, sizeof(primary), "%s/primary", tpm.dir);
        (void)snprintf(public, sizeof(public), "%s/public", tpm.dir);
        (void)snprintf(private, sizeof(private), "%s/private", tpm.dir);
        (void)snprintf(loaded, sizeof(loaded), "%s/loaded", tpm.dir);
        assert_true(run("tpm2_createprimary", "-C", "o", "-G", "ecc256", "-c", primary, NULL));
        assert_true(run("tpm2_create", "-C", primary, "-G", "ecc256", "-p", TOKEN_PIN, "-u", public, "-r", private,
                        "-a", "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth", NULL));
        assert_true(run("tpm2_flushcontext", "-t", NULL));
        assert_true(run("tpm2_load", "-C", primary, "-u", public, "-r", private, "-c", loaded, NULL));
        assert_true(run("tpm2_evictcontrol", "-C", "o", "-c", loaded, "0x81000001", NULL));
        assert_true(run("tpm2_flushcontext", "-t", NULL));

        assert_opens(&h, "handle:0x81000001", files.pin_file, false);
        assert_signs(h.key);
        assert_int_equal(holder_close(&h), 0);
        assert_int_equal(assert_refused("handle:0x81000001", files.wrong_pin_file, false, -EACCES, "wrong PIN"),
                         KEYHOLDER_EXIT_PIN);
        assert_refused("handle:0x81000002", NULL, false, -ENOENT, "tpm2_getcap handles-persistent");
        assert_refused("handle:0x8100", NULL, false, -EINVAL, "six more");
        swtpm_end(&tpm);
        softhsm_end(&files);
}

static void test_tpm_absent(void **state)
{
        (void)state;
        assert_int_equal(setenv("TPM2OPENSSL_TCTI", "device:/dev/none", 1), 0);
        assert_refused("tpm2:", NULL, true, -ENODEV, "no TPM answers");
        assert_int_equal(setenv("OPENSSL_MODULES", "/nowhere", 1), 0);
        assert_refused("tpm2:", NULL, true, -ENOENT, "Debian package tpm2-openssl");
        assert_int_equal(unsetenv("OPENSSL_MODULES"), 0);
        assert_int_equal(unsetenv("TPM2OPENSSL_TCTI"), 0);
}

/* ---- the holder itself ---- */

static void test_holder_dies(void **state)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096);
        struct error err = {""};
        struct softhsm hsm;
        struct holder h;

        (void)state;
        softhsm_begin(&hsm);
        assert_opens(&h, URI, hsm.pin_file, true);
        struct pollfd p = {.fd = key_holder_fd(h.key), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 0), 0);
        assert_int_equal(kill(h.pid, SIGKILL), 0);
        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_true(jws_sign(h.key, JOSE_TYP_VERDICT, "{}", 2, &text, &err) < 0);
        assert_non_null(strstr(err.text, "token"));
        assert_int_equal(holder_close(&h), -1);
        softhsm_end(&hsm);
}

/* The token is taken away under a key that is open: the signature fails, and the holder ends. */
static void test_token_removed(void **state)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096);
        struct error err = {""};
        struct swtpm tpm;
        struct holder h;

        (void)state;
        swtpm_begin(&tpm);
        assert_opens(&h, "tpm2:", NULL, true);
        swtpm_end(&tpm);
        assert_true(jws_sign(h.key, JOSE_TYP_VERDICT, "{}", 2, &text, &err) < 0);
        assert_int_equal(holder_close(&h), 1);
}

static void test_by_hand(void **state)
{
        (void)state;
        assert_false(run(getenv("KEYHOLDER"), NULL));
        assert_false(run(getenv("KEYHOLDER"), "open", NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pkcs11),      cmocka_unit_test(test_pkcs11_refusals),
                cmocka_unit_test(test_pkcs11_tool), cmocka_unit_test(test_tpm),
                cmocka_unit_test(test_tpm_handle),  cmocka_unit_test(test_tpm_absent),
                cmocka_unit_test(test_holder_dies), cmocka_unit_test(test_token_removed),
                cmocka_unit_test(test_by_hand),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
