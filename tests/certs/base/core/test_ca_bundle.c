/* CA files: all certificates or none, and the line that is wrong; what OpenSSL's reader leaves out without a word. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"

#define N 3

static char *pem[N]; /* of three CAs */

static char *make_ca(int number)
{
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *cert = X509_new();
        BIO *bio = BIO_new(BIO_s_mem());
        char name[16], *text, *copy;

        snprintf(name, sizeof(name), "CA %d", number);
        assert_int_equal(X509_set_version(cert, 2), 1);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), number);
        X509_gmtime_adj(X509_getm_notBefore(cert), 0);
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (unsigned char *)name, -1, -1, 0);
        X509_set_issuer_name(cert, X509_get_subject_name(cert));
        X509_set_pubkey(cert, key);
        assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
        size_t n = (size_t)BIO_get_mem_data(bio, &text);
        copy = strndup(text, n);
        BIO_free(bio);
        X509_free(cert);
        EVP_PKEY_free(key);
        return copy;
}

static int setup(void **state)
{
        (void)state;
        for (int i = 0; i < N; i++)
                pem[i] = make_ca(i + 1);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        for (int i = 0; i < N; i++)
                free(pem[i]);
        return 0;
}

/* The outcome, with how many, and how many the store got. */
static int take(const char *text, size_t *ret_n, struct error *err)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(CA_BUNDLE_MAX);
        X509_STORE *store = X509_STORE_new();

        *err = (struct error){""};
        *ret_n = 0;
        assert_int_equal(buffer_append_str(&b, text), 0);
        int r = ca_bundle_take(&b, "/ca.pem", store, ret_n, err);
        if (r == 0)
                assert_int_equal(sk_X509_OBJECT_num(X509_STORE_get0_objects(store)), *ret_n);
        X509_STORE_free(store);
        return r;
}

static char *join(const char *a, const char *b, const char *c, const char *d)
{
        char *text = NULL;

        assert_true(asprintf(&text, "%s%s%s%s", a, b, c, d) > 0);
        return text;
}

static void expect(char *text, int r, size_t n, const char *why)
{
        struct error err;
        size_t got;

        assert_int_equal(take(text, &got, &err), r);
        assert_int_equal(got, n);
        if (why && !strstr(err.text, why))
                fail_msg("\"%s\" does not hold \"%s\"", err.text, why);
        free(text);
}

static void test_good(void **state)
{
        char *windows = calloc(1, 8192), *to = windows + 3;

        (void)state;
        expect(join(pem[0], pem[1], pem[2], ""), 0, 3, NULL);
        expect(join("# our CAs, 2026\n\nsubject=CN = CA 1\n", pem[0], "\n--\n  Modulus:\n     00:c4:1f\n", pem[1]), 0,
               2, NULL);
        memcpy(windows, "\xef\xbb\xbf", 3);
        for (const char *p = pem[1]; *p; p++) {
                if (*p == '\n')
                        *to++ = '\r';
                *to++ = *p;
        }
        expect(windows, 0, 1, NULL);
}

static void test_none(void **state)
{
        (void)state;
        expect(strdup(""), -EBADMSG, 0, "/ca.pem:1: the file holds no certificate");
        expect(strdup("nothing here\n"), -EBADMSG, 0, "no certificate");
        expect(strdup("\x30\x82\x01\x01"
                      "der"),
               -EBADMSG, 0, "openssl x509 -inform der");
        expect(strdup("\xff\xfe-"), -EBADMSG, 0, "UTF-16");
}

/* A byte anywhere changed: refused, or the very same certificates. Every third one, as each costs signatures. */
static void test_any_byte(void **state)
{
        char *whole = join(pem[0], pem[1], "", "");
        size_t len = strlen(whole), refused = 0;

        (void)state;
        for (size_t at = 0; at < len; at += 3) {
                const char was = whole[at];
                struct error err;
                size_t n;

                whole[at] = "x-\n A"[at % 5];
                int r = take(whole, &n, &err);
                if (r == 0 && n != 2)
                        fail_msg("byte %zu as %d: only %zu were read", at, whole[at], n);
                if (r < 0)
                        assert_memory_equal(err.text, "/ca.pem:", 8);
                refused += r < 0;
                whole[at] = was;
        }
        assert_true(refused > len / 4);
        free(whole);
}

/* Any line of it lost. */
static void test_every_line(void **state)
{
        char *whole = join(pem[0], pem[1], pem[2], "");

        (void)state;
        for (char *line = whole; *line; line = strchr(line, '\n') + 1) {
                struct error err;
                char *rest = strchr(line, '\n') + 1, *text = calloc(1, strlen(whole) + 1);
                size_t n;

                memcpy(text, whole, (size_t)(line - whole));
                memcpy(text + (line - whole), rest, strlen(rest));
                assert_int_equal(take(text, &n, &err), -EBADMSG);
                free(text);
        }
        free(whole);
}

static void test_which(void **state)
{
        char *second = strdup(pem[1]), *cut = strndup(pem[2], 200), *typed = strdup(pem[0]);
        unsigned lines = 0;
        char where[80];

        (void)state;
        for (const char *p = pem[0]; *p; p++)
                lines += *p == '\n';
        second[100] = '*';
        snprintf(where, sizeof(where), "/ca.pem:%u: certificate 2 of the file, from line %u on, is damaged", lines + 3,
                 lines + 1);
        expect(join(pem[0], second, pem[2], ""), -EBADMSG, 0, where);
        expect(join(pem[0], pem[1], cut, ""), -EBADMSG, 0, "certificate 3");
        typed[0] = '_';
        expect(join(typed, pem[1], "", ""), -EBADMSG, 0, "/ca.pem:1: a certificate is damaged here");
        expect(join(pem[0], "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "", ""), -EBADMSG, 0,
               "a private key has no place");
        expect(join(pem[0], "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "", ""), -EBADMSG, 0,
               "this block is not a certificate");
        expect(join(pem[0], "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", ""), -EBADMSG, 0,
               "certificate 2");
        free(second);
        free(cut);
        free(typed);
}

/* As a server's file: keys may stand beside the certificates, and no damage hides the ones behind it. Takes text. */
static void expect_chain(char *text, int n, const char *why)
{
        _cleanup_(buffer_free) struct buffer b = BUFFER(CA_BUNDLE_MAX);
        STACK_OF(X509) *chain = NULL;
        struct error err = {""};

        assert_int_equal(buffer_append_str(&b, text), 0);
        assert_int_equal(ca_bundle_chain(&b, "/relay.pem", &chain, &err), why ? -EBADMSG : 0);
        assert_int_equal(chain ? sk_X509_num(chain) : 0, n);
        if (why && !strstr(err.text, why))
                fail_msg("\"%s\" does not hold \"%s\"", err.text, why);
        sk_X509_pop_free(chain, X509_free);
        free(text);
}

static void test_chain(void **state)
{
        static const char key[] = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
                                  "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
                          cut[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n";
        char *typed = strdup(pem[1]);

        (void)state;
        expect_chain(join(pem[0], pem[1], "", ""), 2, NULL);
        expect_chain(join(key, pem[0], pem[1], ""), 2, NULL);
        expect_chain(join(pem[0], key, pem[1], pem[2]), 3, NULL);
        expect_chain(join(pem[0], key, "", ""), 1, NULL);
        expect_chain(join(key, "", "", ""), 0, "holds no certificate");
        expect_chain(join(pem[0], cut, pem[1], ""), 0, "the key before this line has no last line");
        expect_chain(join(pem[0], pem[1], cut, ""), 0, "the file ends inside");
        typed[4] = '_';
        expect_chain(join(pem[0], typed, pem[2], ""), 0, "a certificate is damaged here");
        free(typed);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),     cmocka_unit_test(test_none),
                                           cmocka_unit_test(test_any_byte), cmocka_unit_test(test_every_line),
                                           cmocka_unit_test(test_which),    cmocka_unit_test(test_chain)};

        return cmocka_run_group_tests_name("base/ca-bundle", tests, setup, teardown);
}
