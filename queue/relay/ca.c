/*
 * The transport CA's key and certificate, and the certificates it issues. Requests and PKCS#7: ca-request.c.
 *
 * Owns the CA key (P-256, 0600, never leaves this process). Invariant: a certificate carries only what the
 * relay wrote: CN, SAN, clientAuth and the requested public key; nothing else of a request is copied.
 */
#include "queue/relay/ca.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"

#define PEM_MAX 16384
#define DAY 86400
#define PATH_CAP 4096

struct ca {
        struct key *key;
        X509 *cert;
};

/* ---- building certificates ---- */

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
        X509V3_CTX ctx;

        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        if (!ext)
                return -ENOMEM;
        int ok = X509_add_ext(cert, ext, -1);
        X509_EXTENSION_free(ext);
        return ok == 1 ? 0 : -ENOMEM;
}

static int set_serial(X509 *cert)
{
        BIGNUM *bn = BN_new();
        int ok = bn && BN_rand(bn, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 && BN_set_bit(bn, 120) == 1 &&
                 BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;

        BN_free(bn);
        return ok ? 0 : -ENOMEM;
}

static int set_name(X509_NAME *name, const char *cn)
{
        return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0) == 1
                       ? 0
                       : -ENOMEM;
}

/* Version, serial, dates and the public key. */
static int set_body(X509 *cert, EVP_PKEY *key, int64_t from, int64_t to)
{
        if (X509_set_version(cert, X509_VERSION_3) != 1 || !ASN1_TIME_set(X509_getm_notBefore(cert), from) ||
            !ASN1_TIME_set(X509_getm_notAfter(cert), to) || X509_set_pubkey(cert, key) != 1)
                return -ENOMEM;
        return set_serial(cert);
}

/* ---- the CA's own files ---- */

static int make_ca_cert(struct ca *ca, const char *node, int64_t now)
{
        char cn[64];
        X509 *cert = X509_new();
        int r = cert ? 0 : -ENOMEM;

        snprintf(cn, sizeof(cn), "Postern transport CA, %.40s", node);
        if (r == 0)
                r = set_body(cert, key_evp(ca->key), now - CA_BACKDATE, now + (int64_t)CA_LIFE_DAYS * DAY);
        if (r == 0)
                r = set_name(X509_get_subject_name(cert), cn);
        if (r == 0 && X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1)
                r = -ENOMEM;
        if (r == 0)
                r = add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
        if (r == 0)
                r = add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
        if (r == 0)
                r = add_extension(cert, cert, NID_subject_key_identifier, "hash");
        if (r == 0 && X509_sign(cert, key_evp(ca->key), EVP_sha256()) == 0)
                r = -EIO;
        if (r < 0) {
                X509_free(cert);
                return r;
        }
        ca->cert = cert;
        return 0;
}

static int write_cert(const struct ca *ca, const char *path, struct error *err)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        int r = -ENOMEM;

        if (bio && PEM_write_bio_X509(bio, ca->cert) == 1) {
                long n = BIO_get_mem_data(bio, &text);
                r = file_write_atomic(path, text, (size_t)n, 0644, err);
        } else {
                error_fail(err, r, "no memory for %s", path);
        }
        BIO_free(bio);
        return r;
}

static int read_cert(struct ca *ca, const char *path, struct error *err)
{
        __attribute__((cleanup(buffer_free))) struct buffer pem = BUFFER(PEM_MAX);

        int r = file_read(&pem, path, err);
        if (r < 0)
                return r;
        BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
        ca->cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
        BIO_free(bio);
        if (!ca->cert || X509_check_private_key(ca->cert, key_evp(ca->key)) != 1)
                return error_fail(err, -EBADMSG, "%s is not the certificate of the CA key beside it", path);
        return 0;
}

/* Key and certificate, each read or made. */
static int load(struct ca *ca, const char *dir, const char *node, int64_t now, struct error *err)
{
        char key_path[PATH_CAP], cert_path[PATH_CAP];

        if ((size_t)snprintf(key_path, sizeof(key_path), "%s/transport-ca.key", dir) >= sizeof(key_path) ||
            (size_t)snprintf(cert_path, sizeof(cert_path), "%s/transport-ca.pem", dir) >= sizeof(cert_path))
                return error_fail(err, -ENAMETOOLONG, "state directory: the name is too long");
        int r = key_read(&ca->key, key_path, NULL, err);
        if (r == -ENOENT) {
                r = key_generate(&ca->key, err);
                if (r == 0)
                        r = key_write(ca->key, key_path, NULL, err);
        }
        if (r == 0)
                r = read_cert(ca, cert_path, err);
        if (r == -ENOENT) {
                r = make_ca_cert(ca, node, now);
                r = r < 0 ? error_fail(err, r, "cannot make the transport CA's certificate")
                          : write_cert(ca, cert_path, err);
        }
        return r;
}

int ca_open(struct ca **ret_ca, const char *dir, const char *node, int64_t now, struct error *err)
{
        _cleanup_(ca_freep) struct ca *ca = calloc(1, sizeof(*ca));

        if (!ca)
                return error_fail(err, -ENOMEM, "no memory");
        int r = load(ca, dir, node, now, err);
        if (r < 0)
                return r;
        *ret_ca = steal(ca);
        return 0;
}

struct ca *ca_free(struct ca *ca)
{
        if (!ca)
                return NULL;
        key_free(ca->key);
        X509_free(ca->cert);
        free(ca);
        return NULL;
}

X509 *ca_cert(const struct ca *ca)
{
        return ca->cert;
}

/* ---- issuing ---- */

static int add_client_extensions(X509 *cert, X509 *issuer, const char *tenant, const char *id)
{
        char san[16 + TENANT_MAX + ID_MAX + 8];
        const struct {
                int nid;
                const char *value;
        } extensions[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                          {NID_key_usage, "critical,digitalSignature"},
                          {NID_ext_key_usage, "clientAuth"},
                          {NID_subject_alt_name, san},
                          {NID_subject_key_identifier, "hash"},
                          {NID_authority_key_identifier, "keyid:always"}};
        int r = 0;

        snprintf(san, sizeof(san), "URI:urn:postern:%s:%s", tenant, id);
        for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]) && r == 0; i++)
                r = add_extension(cert, issuer, extensions[i].nid, extensions[i].value);
        return r;
}

int ca_issue(const struct ca *ca, const struct ca_request *request, const char *tenant, int64_t life, int64_t now,
             X509 **ret_cert)
{
        X509 *cert = X509_new();
        const int64_t whole = life < CA_ISSUE_DAYS_MAX * (int64_t)DAY ? life : CA_ISSUE_DAYS_MAX * (int64_t)DAY;
        const int64_t begin = now - (whole / 10 < CA_BACKDATE ? whole / 10 : CA_BACKDATE);
        int r = cert ? 0 : -ENOMEM;

        if (r == 0)
                r = set_body(cert, X509_REQ_get0_pubkey(request->req), begin, begin + whole);
        if (r == 0)
                r = set_name(X509_get_subject_name(cert), request->id);
        if (r == 0 && X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) != 1)
                r = -ENOMEM;
        if (r == 0)
                r = add_client_extensions(cert, ca->cert, tenant, request->id);
        if (r == 0 && X509_sign(cert, key_evp(ca->key), EVP_sha256()) == 0)
                r = -EIO;
        if (r < 0) {
                X509_free(cert);
                return r;
        }
        *ret_cert = cert;
        return 0;
}
