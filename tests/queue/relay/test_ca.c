/* The transport CA: what it issues, and which requests it refuses; the requests are the EST client's own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certs/enrol/csr.h"
#include "queue/relay/ca.h"

#define T "acme"
#define ID "connector-aaaaaaaa"
#define DAY 86400

static char dir[64];
static struct ca *ca;
static int64_t now;

static int setup(void **state)
{
        struct error err;

        (void)state;
        now = time(NULL);
        snprintf(dir, sizeof(dir), "/tmp/relay-ca-XXXXXX");
        assert_non_null(mkdtemp(dir));
        assert_int_equal(ca_open(&ca, dir, "node", now, &err), 0);
        return 0;
}

static void remove_file(const char *name)
{
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        unlink(path);
}

static int teardown(void **state)
{
        (void)state;
        ca = ca_free(ca);
        remove_file("transport-ca.key");
        remove_file("transport-ca.pem");
        return rmdir(dir);
}

/* Base64 of the client's request for tenant and id. */
static char *request_text(const struct key *key, const char *tenant, const char *id)
{
        struct buffer der = BUFFER(8192);
        char *text;

        assert_int_equal(csr_make(key, tenant, id, &der, NULL), 0);
        text = calloc(1, der.len * 2 + 8);
        EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)der.data, (int)der.len);
        buffer_free(&der);
        return text;
}

static struct key *new_key(void)
{
        struct key *key = NULL;

        assert_int_equal(key_generate(&key, NULL), 0);
        return key;
}

static X509 *issue(const struct key *key, uint64_t days)
{
        char *text = request_text(key, T, ID);
        struct ca_request request;
        struct error err = {""};
        X509 *cert = NULL;

        assert_int_equal(ca_request_parse(&request, text, strlen(text), T, &err), 0);
        assert_string_equal(request.id, ID);
        assert_int_equal(ca_issue(ca, &request, T, (int64_t)days * 86400, now, &cert), 0);
        ca_request_clear(&request);
        free(text);
        return cert;
}

/* Both certificates by the letter of RFC 5280, as Python 3.13 reads them. */
static void test_strict(void **state)
{
        struct key *key = new_key();
        X509 *cert = issue(key, 1);
        X509_STORE *store = X509_STORE_new();
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();

        (void)state;
        assert_int_equal(X509_STORE_add_cert(store, ca_cert(ca)), 1);
        assert_int_equal(X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT), 1);
        assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
        if (X509_verify_cert(ctx) != 1)
                fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
        X509_STORE_CTX_free(ctx);
        X509_STORE_free(store);
        X509_free(cert);
        key_free(key);
}

static void test_issued(void **state)
{
        struct key *key = new_key();
        X509 *cert = issue(key, 365);
        char tenant[TENANT_MAX + 1], id[ID_MAX + 1], serial[CA_SERIAL_MAX];
        int64_t not_before, not_after;

        (void)state;
        assert_int_equal(X509_verify(cert, X509_get0_pubkey(ca_cert(ca))), 1);
        assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 1);
        assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0), 0);
        assert_int_equal(X509_check_ca(cert), 0);
        assert_int_equal(X509_check_ca(ca_cert(ca)), 1);
        assert_int_equal(ca_peer_identity(cert, tenant, id), 0);
        assert_string_equal(tenant, T);
        assert_string_equal(id, ID);
        assert_int_equal(ca_cert_facts(cert, serial, &not_before, &not_after), 0);
        assert_int_equal(not_before, now - CA_BACKDATE);
        assert_true(not_after - (now - CA_BACKDATE) <= CA_ISSUE_DAYS_MAX * DAY); /* whatever was asked for */
        assert_true(strlen(serial) >= 30);
        X509 *second = issue(key, 1);
        assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(cert), X509_get0_serialNumber(second)), 0);
        X509_free(second);
        X509_free(cert);
        assert_int_equal(ca_peer_identity(ca_cert(ca), tenant, id), -EBADMSG);
        key_free(key);
}

/* What the server wraps, the client unwraps. */
static void test_pkcs7(void **state)
{
        struct key *key = new_key();
        X509 *cert = issue(key, 30);
        X509 *const certs[] = {cert, ca_cert(ca)};
        struct buffer text = BUFFER(16384), pem = BUFFER(16384);
        struct error err = {""};
        char cn[65];
        int64_t not_after;

        (void)state;
        assert_int_equal(ca_certs_only(certs, 2, &text), 0);
        assert_int_equal(csr_certs_from_pkcs7(text.data, text.len, &pem, &err), 0);
        assert_int_equal(csr_cert_info(pem.data, pem.len, &not_after, cn, sizeof(cn), &err), 0);
        assert_string_equal(cn, ID);
        assert_int_equal(csr_cert_matches(pem.data, pem.len, key, &err), 0);
        buffer_free(&text);
        buffer_free(&pem);
        X509_free(cert);
        key_free(key);
}

static void refused(const char *text, size_t n, const char *why)
{
        struct ca_request request = {.req = NULL};
        struct error err = {""};

        assert_int_equal(ca_request_parse(&request, text, n, T, &err), -EBADMSG);
        assert_null(request.req);
        if (!strstr(err.text, why))
                fail_msg("\"%s\" does not tell \"%s\"", err.text, why);
}

static void test_refusals(void **state)
{
        struct key *key = new_key();
        char *good = request_text(key, T, ID), *text;
        size_t n = strlen(good);

        (void)state;
        refused("", 0, "base64");
        refused("%%%%", 4, "base64");
        refused("AAAA", 4, "PKCS#10");
        refused(good, n - 1, "base64");
        refused(good, n - 4, "PKCS#10");
        text = request_text(key, "other", ID);
        refused(text, strlen(text), "subjectAltName");
        free(text);
        text = calloc(1, n + 8);
        memcpy(text, good, n);
        text[n / 2] = text[n / 2] == 'A' ? 'B' : 'A'; /* somewhere in the key: signature or structure breaks */
        refused(text, n, "request");
        memset(text, 'A', n);
        refused(text, n, "PKCS#10");
        free(text);
        text = calloc(1, 40000);
        memset(text, 'A', 39999);
        refused(text, 39996, "base64");
        free(text);
        free(good);
        key_free(key);
}

/* White space anywhere is fine; so is what a stock tool makes, if it says the same. */
static void test_white_space(void **state)
{
        struct key *key = new_key();
        char *good = request_text(key, T, ID), *spaced = calloc(1, strlen(good) * 3 + 1), *out = spaced;
        struct ca_request request;

        (void)state;
        for (const char *p = good; *p; p++) {
                *out++ = *p;
                *out++ = "\r\n \t"[(p - good) % 4];
        }
        assert_int_equal(ca_request_parse(&request, spaced, strlen(spaced), T, NULL), 0);
        ca_request_clear(&request);
        free(spaced);
        free(good);
        key_free(key);
}

static void test_same_key(void **state)
{
        struct key *key = new_key(), *fresh = new_key();
        X509 *cert = issue(key, 30);
        char *old_text = request_text(key, T, ID), *new_text = request_text(fresh, T, ID);
        struct ca_request request;
        uint8_t hash[CA_KEY_HASH_LEN];

        (void)state;
        assert_int_equal(ca_key_hash(X509_get_X509_PUBKEY(cert), hash), 0);
        assert_int_equal(ca_key_hash(NULL, hash), -EBADMSG);
        assert_int_equal(ca_request_parse(&request, old_text, strlen(old_text), T, NULL), 0);
        assert_true(ca_request_same_key(&request, hash));
        ca_request_clear(&request);
        assert_int_equal(ca_request_parse(&request, new_text, strlen(new_text), T, NULL), 0);
        assert_false(ca_request_same_key(&request, hash));
        ca_request_clear(&request);
        free(old_text);
        free(new_text);
        X509_free(cert);
        key_free(key);
        key_free(fresh);
}

static void test_files(void **state)
{
        char path[128];
        struct ca *again = NULL;
        struct error err;
        struct stat st;

        (void)state;
        snprintf(path, sizeof(path), "%s/transport-ca.key", dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(ca_open(&again, dir, "node", now, &err), 0);
        assert_int_equal(X509_cmp(ca_cert(again), ca_cert(ca)), 0);
        again = ca_free(again);
        remove_file("transport-ca.pem"); /* a crash between the two files */
        assert_int_equal(ca_open(&again, dir, "node", now, &err), 0);
        again = ca_free(again);
        remove_file("transport-ca.key"); /* the key is lost: the certificate beside it no longer fits */
        assert_int_equal(ca_open(&again, dir, "node", now, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "transport-ca.pem"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {TEST(test_strict),   TEST(test_issued),      TEST(test_pkcs7),
                                           TEST(test_refusals), TEST(test_white_space), TEST(test_same_key),
                                           TEST(test_files)};

        return cmocka_run_group_tests_name("relay/ca", tests, NULL, NULL);
}
