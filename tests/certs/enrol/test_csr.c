/*
 * Certificate requests as OpenSSL reads them, and answers as OpenSSL makes them.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/enrol/csr.h"

#define TENANT "acme"
#define ID "connector-0001-aaaa"
#define URI "urn:postern:acme:connector-0001-aaaa"

static void request(void **state)
{
        _cleanup_(buffer_free) struct buffer der = BUFFER(4096);
        struct key *key = fresh_key();
        struct error err = {""};
        char cn[80];

        (void)state;
        assert_int_equal(csr_make(key, TENANT, ID, &der, &err), 0);
        const unsigned char *p = (const unsigned char *)der.data;
        X509_REQ *req = not_null(d2i_X509_REQ(NULL, &p, (long)der.len));
        assert_int_equal(X509_REQ_verify(req, key_evp(key)), 1);
        assert_int_equal(EVP_PKEY_eq(X509_REQ_get0_pubkey(req), key_evp(key)), 1);
        X509_NAME *subject = X509_REQ_get_subject_name(req);
        assert_int_equal(X509_NAME_entry_count(subject), 1);
        assert_true(X509_NAME_get_text_by_NID(subject, NID_commonName, cn, sizeof(cn)) > 0);
        assert_string_equal(cn, ID);

        STACK_OF(X509_EXTENSION) *extensions = not_null(X509_REQ_get_extensions(req));
        assert_int_equal(sk_X509_EXTENSION_num(extensions), 1);
        GENERAL_NAMES *names = not_null(X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL));
        assert_int_equal(sk_GENERAL_NAME_num(names), 1);
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, 0), &type);
        assert_int_equal(type, GEN_URI);
        assert_int_equal(ASN1_STRING_length(value), strlen(URI));
        assert_memory_equal(ASN1_STRING_get0_data(value), URI, strlen(URI));
        GENERAL_NAMES_free(names);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
        X509_REQ_free(req);
        key_free(key);
}

static void request_refused(void **state)
{
        _cleanup_(buffer_free) struct buffer der = BUFFER(4096), small = BUFFER(16);
        struct key *key = fresh_key(), *public = NULL;
        struct error err = {""};
        json_t *jwk = NULL;

        (void)state;
        assert_refused(csr_make(key, "Acme", ID, &der, &err), -EINVAL, &err, "needs a tenant");
        assert_refused(csr_make(key, TENANT, "id,URI:urn:evil:", &der, &err), -EINVAL, &err, "needs a tenant, an id");
        assert_int_equal(key_to_jwk(key, &jwk), 0);
        assert_int_equal(key_from_jwk(&public, jwk, &err), 0);
        assert_refused(csr_make(public, TENANT, ID, &der, &err), -EINVAL, &err, "private key");
        assert_refused(csr_make(key, TENANT, ID, &small, &err), -EMSGSIZE, &err, "no room");
        assert_int_equal(der.len, 0);
        json_decref(jwk);
        key_free(public);
        key_free(key);
}

/* A certificate for key with this CN and SAN, signed by itself. */
static X509 *certificate(const struct key *key, const char *cn, const char *uri, const char *not_after)
{
        X509 *cert = X509_new();
        X509_NAME *name = X509_NAME_new();
        char san[200];

        assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
        assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
        if (cn)
                X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
        X509_set_subject_name(cert, name);
        X509_set_issuer_name(cert, name);
        ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "20260101000000Z");
        ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), not_after);
        X509_set_pubkey(cert, key_evp(key));
        if (uri) {
                snprintf(san, sizeof(san), "DNS:x.example,URI:%s", uri);
                X509_EXTENSION *extension = not_null(X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san));
                X509_add_ext(cert, extension, -1);
                X509_EXTENSION_free(extension);
        }
        assert_true(X509_sign(cert, key_evp(key), EVP_sha256()) > 0);
        X509_NAME_free(name);
        return cert;
}

/* The same with a second CN, signed anew. */
static X509 *with_cn(X509 *cert, const struct key *key, const char *cn)
{
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));

        X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
        X509_set_subject_name(cert, name);
        assert_true(X509_sign(cert, key_evp(key), EVP_sha256()) > 0);
        X509_NAME_free(name);
        return cert;
}

static char *pem_of(X509 *cert)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *text, *copy;

        assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
        const long n = BIO_get_mem_data(bio, &text);
        copy = not_null(strndup(text, (size_t)n));
        BIO_free(bio);
        return copy;
}

static void certificate_facts(void **state)
{
        struct key *key = fresh_key(), *other = fresh_key();
        X509 *cert = certificate(key, ID, URI, "20270203040506Z");
        char *pem = pem_of(cert), cn[65], small[8];
        const size_t n = strlen(pem);
        struct error err = {""};
        int64_t not_after = 0;

        (void)state;
        assert_int_equal(csr_cert_info(pem, n, &not_after, cn, sizeof(cn), &err), 0);
        assert_string_equal(cn, ID);
        assert_int_equal(not_after, 1801627506); /* date -d 2027-02-03T04:05:06Z +%s */
        assert_refused(csr_cert_info(pem, n, &not_after, small, sizeof(small), &err), -EBADMSG, &err,
                       "one CN of at most 7");
        assert_refused(csr_cert_info(pem, n / 2, &not_after, cn, sizeof(cn), &err), -EBADMSG, &err,
                       "not a PEM certificate");
        assert_int_equal(csr_cert_matches(pem, n, key, &err), 0);
        assert_refused(csr_cert_matches(pem, n, other, &err), -EKEYREJECTED, &err, "for another key");
        assert_refused(csr_cert_matches("", 0, key, &err), -EBADMSG, &err, "not a PEM certificate");
        assert_int_equal(csr_cert_is_for(pem, n, TENANT, ID, &err), 0);
        assert_refused(csr_cert_is_for(pem, n, "other", ID, &err), -EBADMSG, &err, "does not name urn:postern:other:");
        assert_refused(csr_cert_is_for(pem, n, TENANT, "connector-0002-aaaa", &err), -EBADMSG, &err, "its CN is not");
        assert_int_equal(ERR_peek_error(), 0);
        free(pem);
        X509_free(cert);
        key_free(key);
        key_free(other);
}

static void certificate_without(void **state)
{
        struct key *key = fresh_key();
        X509 *no_san = certificate(key, ID, NULL, "20270203040506Z"),
             *no_cn = certificate(key, NULL, URI, "20270203040506Z");
        X509 *two = with_cn(certificate(key, ID, URI, "20270203040506Z"), key, "connector-0002-aaaa");
        X509 *longer = certificate(key, ID, URI "x", "20270203040506Z");
        char *a = pem_of(no_san), *b = pem_of(no_cn), *c = pem_of(longer), *d = pem_of(two), cn[65];
        struct error err = {""};
        int64_t t;

        (void)state;
        assert_refused(csr_cert_is_for(a, strlen(a), TENANT, ID, &err), -EBADMSG, &err, "does not name");
        assert_refused(csr_cert_is_for(b, strlen(b), TENANT, ID, &err), -EBADMSG, &err, "its CN is not");
        assert_refused(csr_cert_is_for(c, strlen(c), TENANT, ID, &err), -EBADMSG, &err, "does not name");
        assert_refused(csr_cert_info(b, strlen(b), &t, cn, sizeof(cn), &err), -EBADMSG, &err,
                       "does not have exactly one CN");
        assert_refused(csr_cert_is_for(d, strlen(d), TENANT, ID, &err), -EBADMSG, &err, "its CN is not");
        assert_refused(csr_cert_info(d, strlen(d), &t, cn, sizeof(cn), &err), -EBADMSG, &err,
                       "does not have exactly one CN");
        free(d);
        X509_free(two);
        free(a);
        free(b);
        free(c);
        X509_free(no_san);
        X509_free(no_cn);
        X509_free(longer);
        key_free(key);
}

/* Certs-only PKCS#7 as a relay sends it; base64 without line breaks, free() it. */
static char *answer(X509 **certs, size_t n)
{
        PKCS7 *p7 = PKCS7_new();
        unsigned char *der = NULL;

        assert_int_equal(PKCS7_set_type(p7, NID_pkcs7_signed), 1);
        assert_int_equal(PKCS7_content_new(p7, NID_pkcs7_data), 1);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(PKCS7_add_certificate(p7, certs[i]), 1);
        const int len = i2d_PKCS7(p7, &der);
        assert_true(len > 0);
        char *out = not_null(malloc((size_t)len * 2));
        EVP_EncodeBlock((unsigned char *)out, der, len);
        OPENSSL_free(der);
        PKCS7_free(p7);
        return out;
}

static void answers(void **state)
{
        struct key *key = fresh_key(), *ca = fresh_key();
        X509 *certs[] = {certificate(key, ID, URI, "20270203040506Z"), certificate(ca, "CA", NULL, "20270203040506Z")};
        char *base64 = answer(certs, 2), *a = pem_of(certs[0]), *b = pem_of(certs[1]), *expected = NULL;
        _cleanup_(buffer_free) struct buffer pem = BUFFER(16384), broken = BUFFER(16384);
        struct error err = {""};

        (void)state;
        assert_true(asprintf(&expected, "%s%s", a, b) > 0);
        assert_int_equal(csr_certs_from_pkcs7(base64, strlen(base64), &pem, &err), 0);
        assert_string_equal(pem.data, expected);
        /* RFC 8951: line breaks of any kind, anywhere */
        for (size_t i = 0; base64[i]; i++) {
                buffer_append_char(&broken, base64[i]);
                if (i % 5 == 0)
                        buffer_append_str(&broken, i % 2 ? "\r\n" : "\n ");
        }
        buffer_clear(&pem);
        assert_int_equal(csr_certs_from_pkcs7(broken.data, broken.len, &pem, &err), 0);
        assert_string_equal(pem.data, expected);
        free(expected);
        free(a);
        free(b);
        free(base64);
        X509_free(certs[0]);
        X509_free(certs[1]);
        key_free(key);
        key_free(ca);
}

static void answers_refused(void **state)
{
        struct key *key = fresh_key();
        X509 *cert = certificate(key, ID, URI, "20270203040506Z"), *many[17];
        char *good = answer(&cert, 1), *none = answer(&cert, 0), *bad = NULL;
        _cleanup_(buffer_free) struct buffer pem = BUFFER(16384), small = BUFFER(100);
        struct error err = {""};
        const size_t n = strlen(good);

        (void)state;
        for (size_t i = 0; i < 17; i++)
                many[i] = cert;
        char *crowd = answer(many, 17);
        assert_refused(csr_certs_from_pkcs7(crowd, strlen(crowd), &pem, &err), -EBADMSG, &err, "holds 17 certificates");
        assert_refused(csr_certs_from_pkcs7("", 0, &pem, &err), -EBADMSG, &err, "is not base64");
        assert_refused(csr_certs_from_pkcs7("!!!!", 4, &pem, &err), -EBADMSG, &err, "is not base64");
        assert_refused(csr_certs_from_pkcs7("QQ=A", 4, &pem, &err), -EBADMSG, &err, "is not base64");
        assert_refused(csr_certs_from_pkcs7("Q===", 4, &pem, &err), -EBADMSG, &err, "is not base64");
        assert_refused(csr_certs_from_pkcs7("QUJD", 4, &pem, &err), -EBADMSG, &err, "is not one PKCS#7");
        assert_refused(csr_certs_from_pkcs7(good, n - 1, &pem, &err), -EBADMSG, &err, "is not base64");
        assert_refused(csr_certs_from_pkcs7(good, n - 8, &pem, &err), -EBADMSG, &err, "is not one PKCS#7");
        assert_refused(csr_certs_from_pkcs7(none, strlen(none), &pem, &err), -EBADMSG, &err, "holds 0 certificates");
        assert_refused(csr_certs_from_pkcs7(good, n, &small, &err), -EMSGSIZE, &err, "no room");
        assert_int_equal(small.len, 0);

        /* a signed message is no certs-only answer */
        BIO *data = BIO_new_mem_buf("x", 1);
        PKCS7 *p7 = not_null(PKCS7_sign(cert, key_evp(key), NULL, data, PKCS7_BINARY));
        unsigned char *der = NULL;
        const int len = i2d_PKCS7(p7, &der);
        bad = not_null(malloc((size_t)len * 2));
        EVP_EncodeBlock((unsigned char *)bad, der, len);
        assert_refused(csr_certs_from_pkcs7(bad, strlen(bad), &pem, &err), -EBADMSG, &err, "certs-only");
        assert_int_equal(pem.len, 0);
        assert_int_equal(ERR_peek_error(), 0);
        OPENSSL_free(der);
        PKCS7_free(p7);
        BIO_free(data);
        free(bad);
        free(good);
        free(none);
        free(crowd);
        X509_free(cert);
        key_free(key);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(request),           cmocka_unit_test(request_refused),
                cmocka_unit_test(certificate_facts), cmocka_unit_test(certificate_without),
                cmocka_unit_test(answers),           cmocka_unit_test(answers_refused),
        };

        return cmocka_run_group_tests_name("certs-csr", tests, NULL, NULL);
}
