/*
 * What crosses EST: PKCS#10 requests in, certs-only PKCS#7 out, and the identity in a client certificate.
 *
 * Invariant: a request passes only if every part of it says the same: its own signature, one CN, one SAN made
 * of tenant and CN, a P-256 key. Holds no key.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "queue/relay/ca.h"

#define CSR_TEXT_MAX 16384
#define CSR_DER_MAX 8192
#define BASE64_LINE 64

/* ---- base64 of RFC 8951: standard alphabet, padding, white space anywhere ---- */

/* Decodes into der; -EBADMSG. */
static int decode_base64(const char *text, size_t n, unsigned char *der, size_t cap, size_t *ret_n)
{
        __attribute__((cleanup(buffer_free))) struct buffer packed = BUFFER(CSR_TEXT_MAX);
        size_t pad = 0;

        for (size_t i = 0; i < n; i++) {
                if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n')
                        continue;
                pad += text[i] == '=';
                if (text[i] == '\0' || (pad && text[i] != '=') || buffer_append_char(&packed, text[i]) < 0)
                        return -EBADMSG;
        }
        if (packed.len == 0 || packed.len % 4 || pad > 2 || packed.len / 4 * 3 > cap)
                return -EBADMSG;
        int len = EVP_DecodeBlock(der, (const unsigned char *)packed.data, (int)packed.len);
        ERR_clear_error();
        if (len < 0 || (size_t)len < pad)
                return -EBADMSG;
        *ret_n = (size_t)len - pad;
        return 0;
}

/* ---- requests ---- */

/* The only CN of a subject that has nothing else. */
static int only_cn(const X509_NAME *name, char id[ID_MAX + 1])
{
        if (X509_NAME_entry_count(name) != 1)
                return -EBADMSG;
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, 0);
        if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) != NID_commonName)
                return -EBADMSG;
        const ASN1_STRING *s = X509_NAME_ENTRY_get_data(entry);
        size_t n = (size_t)ASN1_STRING_length(s);
        if (!id_valid((const char *)ASN1_STRING_get0_data(s), n))
                return -EBADMSG;
        memcpy(id, ASN1_STRING_get0_data(s), n);
        id[n] = '\0';
        return 0;
}

/* The URI of a SAN that has nothing else. */
static int only_uri(const GENERAL_NAMES *names, char *out, size_t cap)
{
        if (!names || sk_GENERAL_NAME_num(names) != 1)
                return -EBADMSG;
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);
        if (name->type != GEN_URI)
                return -EBADMSG;
        const ASN1_STRING *s = name->d.uniformResourceIdentifier;
        size_t n = (size_t)ASN1_STRING_length(s);
        const void *bytes = ASN1_STRING_get0_data(s);
        if (n >= cap || memchr(bytes, '\0', n))
                return -EBADMSG;
        memcpy(out, bytes, n);
        out[n] = '\0';
        return 0;
}

static int request_san(X509_REQ *req, char *out, size_t cap)
{
        STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(req);
        GENERAL_NAMES *names = extensions ? X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL) : NULL;
        int r = only_uri(names, out, cap);

        GENERAL_NAMES_free(names);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
        return r;
}

bool ca_is_p256(EVP_PKEY *key)
{
        char group[32] = "";

        return key && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
               EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 && strcmp(group, "prime256v1") == 0;
}

static int check_request(struct ca_request *request, const char *tenant, struct error *err)
{
        char expected[16 + TENANT_MAX + ID_MAX], san[sizeof(expected)];
        EVP_PKEY *key = X509_REQ_get0_pubkey(request->req);

        if (!ca_is_p256(key))
                return error_fail(err, -EBADMSG, "the request's key is not on P-256");
        if (X509_REQ_verify(request->req, key) != 1)
                return error_fail(err, -EBADMSG, "the request's signature does not verify");
        if (only_cn(X509_REQ_get_subject_name(request->req), request->id) < 0)
                return error_fail(err, -EBADMSG,
                                  "the request's subject must be CN=<id> alone, id of 16 to 64 characters "
                                  "A-Z a-z 0-9 -");
        snprintf(expected, sizeof(expected), "urn:postern:%s:%s", tenant, request->id);
        if (request_san(request->req, san, sizeof(san)) < 0 || strcmp(san, expected) != 0)
                return error_fail(err, -EBADMSG, "the request's subjectAltName must be the URI %s alone", expected);
        return 0;
}

int ca_request_parse(struct ca_request *ret_request, const char *base64, size_t n, const char *tenant,
                     struct error *err)
{
        unsigned char der[CSR_DER_MAX];
        const unsigned char *p = der;
        struct ca_request request = {.req = NULL};
        size_t len;

        if (decode_base64(base64, n, der, sizeof(der), &len) < 0)
                return error_fail(err, -EBADMSG, "the body is not base64 of at most %d bytes", CSR_DER_MAX);
        request.req = d2i_X509_REQ(NULL, &p, (long)len);
        int r = request.req && p == der + len ? check_request(&request, tenant, err)
                                              : error_fail(err, -EBADMSG, "the body is not a PKCS#10 request");
        ERR_clear_error();
        if (r < 0)
                ca_request_clear(&request);
        else
                *ret_request = request;
        return r;
}

void ca_request_clear(struct ca_request *request)
{
        X509_REQ_free(request->req);
        request->req = NULL;
}

int ca_key_hash(const X509_PUBKEY *key, uint8_t ret_hash[CA_KEY_HASH_LEN])
{
        const unsigned char *point;
        int n;

        if (!key || X509_PUBKEY_get0_param(NULL, &point, &n, NULL, key) != 1 || n <= 0)
                return -EBADMSG;
        SHA256(point, (size_t)n, ret_hash);
        return 0;
}

bool ca_request_same_key(const struct ca_request *request, const uint8_t hash[CA_KEY_HASH_LEN])
{
        uint8_t its[CA_KEY_HASH_LEN];

        return ca_key_hash(X509_REQ_get_X509_PUBKEY(request->req), its) == 0 && memcmp(its, hash, sizeof(its)) == 0;
}

/* ---- certificates ---- */

int ca_cert_facts(X509 *cert, char serial[CA_SERIAL_MAX], int64_t *ret_not_before, int64_t *ret_not_after)
{
        const ASN1_INTEGER *n = X509_get0_serialNumber(cert);
        struct tm from, to;

        if (ASN1_STRING_length(n) > (CA_SERIAL_MAX - 1) / 2 || ASN1_TIME_to_tm(X509_get0_notBefore(cert), &from) != 1 ||
            ASN1_TIME_to_tm(X509_get0_notAfter(cert), &to) != 1)
                return -EBADMSG;
        hex_encode_to(serial, ASN1_STRING_get0_data(n), (size_t)ASN1_STRING_length(n));
        *ret_not_before = timegm(&from);
        *ret_not_after = timegm(&to);
        return 0;
}

int ca_peer_identity(X509 *cert, char tenant[TENANT_MAX + 1], char id[ID_MAX + 1])
{
        static const char prefix[] = "urn:postern:";
        char san[16 + TENANT_MAX + ID_MAX];
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        int r = only_uri(names, san, sizeof(san));

        GENERAL_NAMES_free(names);
        if (r < 0 || only_cn(X509_get_subject_name(cert), id) < 0 || strncmp(san, prefix, sizeof(prefix) - 1) != 0)
                return -EBADMSG;
        const char *from = san + sizeof(prefix) - 1;
        const char *colon = strchr(from, ':');
        if (!colon || strcmp(colon + 1, id) != 0 || (size_t)(colon - from) > TENANT_MAX)
                return -EBADMSG;
        memcpy(tenant, from, (size_t)(colon - from));
        tenant[colon - from] = '\0';
        return tenant_valid(tenant) ? 0 : -EBADMSG;
}

/* ---- PKCS#7, certs only ---- */

static int encode_base64(const unsigned char *der, size_t n, struct buffer *out)
{
        char line[BASE64_LINE + 1];
        const size_t step = BASE64_LINE / 4 * 3;
        int r = 0;

        for (size_t at = 0; at < n && r == 0; at += step) {
                size_t part = n - at < step ? n - at : step;
                EVP_EncodeBlock((unsigned char *)line, der + at, (int)part);
                r = buffer_append_str(out, line);
                r = r < 0 ? r : buffer_append_str(out, "\r\n");
        }
        return r;
}

int ca_certs_only(X509 *const *certs, size_t n, struct buffer *out)
{
        PKCS7 *p7 = PKCS7_new();
        unsigned char *der = NULL;
        bool ok = p7 && PKCS7_set_type(p7, NID_pkcs7_signed) == 1 && PKCS7_content_new(p7, NID_pkcs7_data) == 1 &&
                  PKCS7_set_detached(p7, 1) >= 0;

        for (size_t i = 0; i < n && ok; i++)
                ok = PKCS7_add_certificate(p7, certs[i]) == 1;
        int len = ok ? i2d_PKCS7(p7, &der) : 0;
        PKCS7_free(p7);
        int r = len > 0 ? encode_base64(der, (size_t)len, out) : -ENOMEM;
        OPENSSL_free(der);
        return r;
}
