/*
 * PKCS#10 requests, certs-only PKCS#7 answers, and the few things a connector must know of its transport
 * certificate.
 *
 * Invariant: names that go into a request were checked to be ids and tenants, so no character of them means
 * anything to X.509. Proves no chain: that is TLS's work on each connection. Failures leave OpenSSL's error
 * queue empty.
 */
#include "certs/enrol/csr.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "certs/trust/roster.h"
#include "base/core/text.h"

#define ANSWER_MAX (256 * 1024)
#define ANSWER_CERTS_MAX 16
#define URI_MAX (sizeof("urn:postern::") + TENANT_MAX + 64)

DEFINE_VOID_FREEP(BIO, BIO_free_all)
DEFINE_VOID_FREEP(X509, X509_free)
DEFINE_VOID_FREEP(X509_REQ, X509_REQ_free)
DEFINE_VOID_FREEP(X509_NAME, X509_NAME_free)
DEFINE_VOID_FREEP(PKCS7, PKCS7_free)
DEFINE_VOID_FREEP(GENERAL_NAMES, GENERAL_NAMES_free)

static int fail(struct error *err, int code, const char *text)
{
        ERR_clear_error();
        return error_fail(err, code, "%s", text);
}

/* ---- requests ---- */

static bool add_san(X509_REQ *req, const char *tenant, const char *id)
{
        STACK_OF(X509_EXTENSION) *extensions = NULL;
        GENERAL_NAMES *names = GENERAL_NAMES_new();
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *uri = ASN1_IA5STRING_new();
        char text[URI_MAX];
        bool ok = false;

        snprintf(text, sizeof(text), "urn:postern:%s:%s", tenant, id);
        if (names && name && uri && ASN1_STRING_set(uri, text, -1) == 1 && sk_GENERAL_NAME_push(names, name) > 0) {
                GENERAL_NAME_set0_value(name, GEN_URI, uri);
                name = NULL;
                uri = NULL;
                ok = X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
                     X509_REQ_add_extensions(req, extensions) == 1;
        }
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
        ASN1_IA5STRING_free(uri);
        GENERAL_NAME_free(name);
        GENERAL_NAMES_free(names);
        return ok;
}

int csr_make(const struct key *key, const char *tenant, const char *id, struct buffer *out, struct error *err)
{
        _cleanup_(free_X509_NAMEp) X509_NAME *name = X509_NAME_new();
        _cleanup_(free_X509_REQp) X509_REQ *req = X509_REQ_new();
        unsigned char *der = NULL;

        if (!tenant_valid(tenant) || !id_valid(id, strlen(id)) || !key_has_private(key))
                return error_fail(err, -EINVAL, "certificate request: needs a tenant, an id and a private key");
        if (!req || !name ||
            X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, (const unsigned char *)id, -1, -1, 0) != 1 ||
            X509_REQ_set_subject_name(req, name) != 1 || !add_san(req, tenant, id) ||
            X509_REQ_set_pubkey(req, key_evp(key)) != 1 || X509_REQ_sign(req, key_evp(key), EVP_sha256()) <= 0)
                return fail(err, -EIO, "certificate request: OpenSSL cannot make it");
        const int n = i2d_X509_REQ(req, &der);
        if (n <= 0)
                return fail(err, -ENOMEM, "certificate request: out of memory");
        int r = buffer_append(out, der, (size_t)n);
        OPENSSL_free(der);
        return r < 0 ? error_fail(err, r, "certificate request: no room for it") : 0;
}

/* ---- answers ---- */

/* Base64 with blanks and line breaks anywhere (RFC 8951), otherwise strict. */
static int decode_base64(const char *text, size_t n, struct buffer *der)
{
        _cleanup_(buffer_free) struct buffer packed = BUFFER(ANSWER_MAX);
        size_t pads = 0;

        for (size_t i = 0; i < n; i++) {
                const char c = text[i];
                const bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                                   c == '+' || c == '/';

                if (c == '\r' || c == '\n' || c == ' ' || c == '\t')
                        continue;
                if (c == '=')
                        pads++;
                else if (!digit || pads > 0)
                        return -EBADMSG;
                if (buffer_append_char(&packed, c) < 0)
                        return -EBADMSG;
        }
        if (packed.len == 0 || packed.len % 4 || pads > 2 || buffer_reserve(der, packed.len / 4 * 3) < 0)
                return -EBADMSG;
        const int len =
                EVP_DecodeBlock((unsigned char *)der->data, (const unsigned char *)packed.data, (int)packed.len);
        if (len < 0 || (size_t)len < pads)
                return -EBADMSG;
        der->len = (size_t)len - pads;
        return 0;
}

static int append_pem(X509 *cert, struct buffer *pem)
{
        _cleanup_(free_BIOp) BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;

        if (!bio || PEM_write_bio_X509(bio, cert) != 1)
                return -ENOMEM;
        const long n = BIO_get_mem_data(bio, &text);
        return n > 0 ? buffer_append(pem, text, (size_t)n) : -ENOMEM;
}

int csr_certs_from_pkcs7(const char *base64, size_t n, struct buffer *pem, struct error *err)
{
        _cleanup_(buffer_free) struct buffer der = BUFFER(ANSWER_MAX);
        _cleanup_(free_PKCS7p) PKCS7 *p7 = NULL;

        if (n > ANSWER_MAX || decode_base64(base64, n, &der) < 0)
                return error_fail(err, -EBADMSG, "certificate answer: is not base64");
        const unsigned char *p = (const unsigned char *)der.data;
        p7 = d2i_PKCS7(NULL, &p, (long)der.len);
        if (!p7 || p != (const unsigned char *)der.data + der.len)
                return fail(err, -EBADMSG, "certificate answer: is not one PKCS#7 object");
        if (!PKCS7_type_is_signed(p7) || !p7->d.sign || sk_PKCS7_SIGNER_INFO_num(p7->d.sign->signer_info) > 0)
                return fail(err, -EBADMSG, "certificate answer: is not a certs-only PKCS#7");
        const int count = sk_X509_num(p7->d.sign->cert);
        if (count < 1 || count > ANSWER_CERTS_MAX)
                return error_fail(err, -EBADMSG, "certificate answer: holds %d certificates, allowed are 1 to %d",
                                  count < 0 ? 0 : count, ANSWER_CERTS_MAX);
        const size_t before = pem->len;
        for (int i = 0; i < count; i++) {
                int r = append_pem(sk_X509_value(p7->d.sign->cert, i), pem);

                if (r < 0) {
                        pem->len = before;
                        ERR_clear_error();
                        return error_fail(err, r, "certificate answer: no room for its certificates");
                }
        }
        return 0;
}

/* ---- certificates ---- */

static X509 *read_cert(const char *pem, size_t n)
{
        _cleanup_(free_BIOp) BIO *bio = n <= ANSWER_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
        X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

        ERR_clear_error();
        return cert;
}

/* The only CN, as UTF-8 without NUL. */
static int common_name(X509 *cert, char *out, size_t cap)
{
        const X509_NAME *subject = X509_get_subject_name(cert);
        const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        unsigned char *text = NULL;
        int r = -EBADMSG;

        if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
                return -EBADMSG;
        const int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (n > 0 && (size_t)n < cap && !memchr(text, '\0', (size_t)n)) {
                memcpy(out, text, (size_t)n);
                out[n] = '\0';
                r = 0;
        }
        OPENSSL_free(text);
        ERR_clear_error();
        return r;
}

int csr_cert_info(const char *pem, size_t n, int64_t *ret_not_after, char *out_cn, size_t cap, struct error *err)
{
        _cleanup_(free_X509p) X509 *cert = read_cert(pem, n);
        struct tm tm;

        if (!cert)
                return error_fail(err, -EBADMSG, "certificate: is not a PEM certificate");
        if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
                return fail(err, -EBADMSG, "certificate: its notAfter is malformed");
        if (common_name(cert, out_cn, cap) < 0)
                return error_fail(err, -EBADMSG, "certificate: does not have exactly one CN of at most %zu bytes",
                                  cap - 1);
        *ret_not_after = timegm(&tm);
        return 0;
}

int csr_cert_life(const char *pem, size_t n, int64_t *ret_not_before, int64_t *ret_not_after, struct error *err)
{
        _cleanup_(free_X509p) X509 *cert = read_cert(pem, n);
        struct tm from, to;

        if (!cert)
                return error_fail(err, -EBADMSG, "certificate: is not a PEM certificate");
        if (ASN1_TIME_to_tm(X509_get0_notBefore(cert), &from) != 1 ||
            ASN1_TIME_to_tm(X509_get0_notAfter(cert), &to) != 1)
                return fail(err, -EBADMSG, "certificate: its validity is malformed");
        *ret_not_before = timegm(&from);
        *ret_not_after = timegm(&to);
        return 0;
}

int csr_cert_matches(const char *pem, size_t n, const struct key *key, struct error *err)
{
        _cleanup_(free_X509p) X509 *cert = read_cert(pem, n);

        if (!cert)
                return error_fail(err, -EBADMSG, "certificate: is not a PEM certificate");
        EVP_PKEY *public = X509_get0_pubkey(cert);
        if (!public || EVP_PKEY_eq(public, key_evp(key)) != 1)
                return fail(err, -EKEYREJECTED, "certificate: is for another key");
        return 0;
}

int csr_cert_is_for(const char *pem, size_t n, const char *tenant, const char *id, struct error *err)
{
        _cleanup_(free_X509p) X509 *cert = read_cert(pem, n);
        char cn[64 + 1], uri[URI_MAX];
        bool named = false;

        if (!cert)
                return error_fail(err, -EBADMSG, "certificate: is not a PEM certificate");
        if (common_name(cert, cn, sizeof(cn)) < 0 || strcmp(cn, id) != 0)
                return error_fail(err, -EBADMSG, "certificate: its CN is not %s", id);
        snprintf(uri, sizeof(uri), "urn:postern:%s:%s", tenant, id);
        _cleanup_(free_GENERAL_NAMESp) GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        ERR_clear_error();
        for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
                int type;
                const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

                named = named || (type == GEN_URI && ASN1_STRING_length(value) == (int)strlen(uri) &&
                                  memcmp(ASN1_STRING_get0_data(value), uri, strlen(uri)) == 0);
        }
        return named ? 0 : error_fail(err, -EBADMSG, "certificate: does not name %s", uri);
}
