/*
 * The transport CA's key and certificate, and the certificates it issues. Requests and PKCS#7: ca-request.c.
 *
 * Owns the CA key (P-256, 0600, never leaves this process). Invariant: a certificate carries only what the
 * relay wrote: CN, SAN, clientAuth and the requested public key; nothing else of a request is copied.
 */
#include "queue/relay/ca-node.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"

#define PEM_MAX 16384
#define DAY 86400

struct ca {
        struct key *key;
        STACK_OF(X509) * chain; /* its own certificate first */
        STACK_OF(X509) * roots;
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

static int set_name(X509_NAME *name, const char *cn)
{
        return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0) == 1
                       ? 0
                       : -ENOMEM;
}

/* Version, serial, dates and the public key. */
static int set_body(X509 *cert, EVP_PKEY *key, int64_t from, int64_t to)
{
        BIGNUM *serial = BN_new();
        const bool ok = X509_set_version(cert, X509_VERSION_3) == 1 && ASN1_TIME_set(X509_getm_notBefore(cert), from) &&
                        ASN1_TIME_set(X509_getm_notAfter(cert), to) && X509_set_pubkey(cert, key) == 1 && serial &&
                        BN_rand(serial, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                        BN_set_bit(serial, 120) == 1 && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;

        BN_free(serial);
        return ok ? 0 : -ENOMEM;
}

int ca_make_cert(X509 **ret_cert, const struct ca_subject *s, X509 *issuer, EVP_PKEY *issuer_key, int64_t now)
{
        X509 *cert = X509_new();
        int r = cert ? 0 : -ENOMEM;

        if (r == 0)
                r = set_body(cert, s->key, now - CA_BACKDATE, now + (int64_t)s->days * DAY);
        if (r == 0)
                r = set_name(X509_get_subject_name(cert), s->cn);
        if (r == 0 && X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) != 1)
                r = -ENOMEM;
        if (r == 0)
                r = add_extension(cert, cert, NID_basic_constraints,
                                  s->root ? "critical,CA:TRUE,pathlen:1" : "critical,CA:TRUE,pathlen:0");
        if (r == 0)
                r = add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
        if (r == 0)
                r = add_extension(cert, cert, NID_subject_key_identifier, "hash");
        if (r == 0 && issuer)
                r = add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always");
        if (r == 0 && X509_sign(cert, issuer ? issuer_key : s->key, EVP_sha256()) == 0)
                r = -EIO;
        if (r < 0)
                X509_free(cert);
        else
                *ret_cert = cert;
        return r;
}

/* ---- the CA's own files ---- */

static int make_own(struct ca *ca, const char *path, const char *node, int64_t now, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(PEM_MAX);
        char cn[64];
        X509 *cert = NULL;

        snprintf(cn, sizeof(cn), CA_CN "%.40s", node);
        const struct ca_subject subject = {.key = key_evp(ca->key), .cn = cn, .days = CA_LIFE_DAYS};
        ca->chain = sk_X509_new_null();
        if (!ca->chain || ca_make_cert(&cert, &subject, NULL, NULL, now) < 0 || sk_X509_push(ca->chain, cert) == 0) {
                X509_free(cert);
                return error_fail(err, -ENOMEM, "cannot make the transport CA's certificate");
        }
        int r = ca_pem(ca->chain, &pem);
        return r < 0 ? error_fail(err, r, "no memory for %s", path)
                     : file_write_atomic(path, pem.data, pem.len, 0644, err);
}

int ca_pem(const STACK_OF(X509) * certs, struct buffer *out)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        int r = bio ? 0 : -ENOMEM;

        for (int i = 0; r == 0 && i < sk_X509_num(certs); i++)
                if (PEM_write_bio_X509(bio, sk_X509_value(certs, i)) != 1)
                        r = -ENOMEM;
        if (r == 0) {
                const long n = BIO_get_mem_data(bio, &text);
                r = buffer_append(out, text, (size_t)n);
        }
        BIO_free(bio);
        return r;
}

int ca_read_certs(STACK_OF(X509) * *ret_certs, const char *path, int most, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(CA_BUNDLE_MAX);
        STACK_OF(X509) *certs = NULL;

        int r = file_read(&pem, path, err);
        if (r == 0)
                r = ca_bundle_chain(&pem, path, &certs, err);
        if (r == 0 && sk_X509_num(certs) > most)
                r = error_fail(err, -EBADMSG, "%s has more than %d certificates", path, most);
        if (r < 0)
                sk_X509_pop_free(certs, X509_free);
        else
                *ret_certs = certs;
        return r;
}

/* The chain of this file, if it begins with the key's certificate: 1; with another's: 0. */
static int read_chain(struct ca *ca, const char *path, struct error *err)
{
        STACK_OF(X509) *chain = NULL;
        int r = ca_read_certs(&chain, path, CA_CHAIN_MAX, err);

        if (r < 0)
                return r;
        if (X509_check_private_key(sk_X509_value(chain, 0), key_evp(ca->key)) != 1) {
                ERR_clear_error();
                sk_X509_pop_free(chain, X509_free);
                return 0;
        }
        ca->chain = chain;
        return 1;
}

/* What connectors' certificates must lead to. */
static int read_roots(struct ca *ca, const char *path, struct error *err)
{
        X509 *own = sk_X509_value(ca->chain, 0);
        int r = ca_read_certs(&ca->roots, path, CA_ROOTS_MAX, err);

        if (r != -ENOENT)
                return r;
        if (X509_check_issued(own, own) != X509_V_OK)
                return error_fail(err, -ENOENT,
                                  "the transport CA is under a root, but %s is missing; put the root there with: "
                                  "postern-relay ca trust ROOT.pem",
                                  path);
        ca->roots = sk_X509_new_null();
        if (!ca->roots || X509_up_ref(own) != 1 || sk_X509_push(ca->roots, own) == 0)
                return error_fail(err, -ENOMEM, "no memory");
        return 0;
}

int ca_path(char out[CA_PATH_CAP], const char *dir, const char *file, struct error *err)
{
        return (size_t)snprintf(out, CA_PATH_CAP, "%s/%s", dir, file) < CA_PATH_CAP
                       ? 0
                       : error_fail(err, -ENAMETOOLONG, "state directory: the name is too long");
}

/* Key, certificate and roots, each read or made. */
static int load(struct ca *ca, const char *dir, const char *node, int64_t now, struct error *err)
{
        char key_path[CA_PATH_CAP], cert_path[CA_PATH_CAP], next_path[CA_PATH_CAP], roots_path[CA_PATH_CAP];

        int r = ca_path(key_path, dir, CA_KEY_FILE, err);
        if (r < 0 || ca_path(cert_path, dir, CA_CERT_FILE, err) < 0 ||
            ca_path(next_path, dir, CA_NEXT_CERT_FILE, err) < 0 || ca_path(roots_path, dir, CA_ROOTS_FILE, err) < 0)
                return -ENAMETOOLONG;
        r = key_read(&ca->key, key_path, NULL, err);
        if (r == -ENOENT && access(cert_path, F_OK) == 0)
                return error_fail(err, -EBADMSG,
                                  "%s is missing, the key of %s: put it back from the backup, or remove that "
                                  "certificate for a new CA, with which every connector enrols anew",
                                  key_path, cert_path);
        if (r == -ENOENT) {
                r = key_generate(&ca->key, err);
                if (r == 0)
                        r = key_write(ca->key, key_path, NULL, err);
        }
        if (r == 0)
                r = read_chain(ca, cert_path, err);
        if (r == 0 && read_chain(ca, next_path, NULL) == 1) /* an installation that was cut off after its key */
                r = rename(next_path, cert_path) == 0 ? 1
                                                      : error_fail(err, -errno, "%s: %s", next_path, strerror(errno));
        if (r == 0)
                r = error_fail(err, -EBADMSG, "%s is not the certificate of the CA key beside it", cert_path);
        if (r == -ENOENT && access(roots_path, F_OK) == 0)
                return error_fail(
                        err, -EBADMSG,
                        "%s is missing, the certificate under a root of transport-roots.pem: put it back from "
                        "the backup",
                        cert_path);
        if (r == -ENOENT)
                r = make_own(ca, cert_path, node, now, err);
        return r < 0 ? r : read_roots(ca, roots_path, err);
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
        sk_X509_pop_free(ca->chain, X509_free);
        sk_X509_pop_free(ca->roots, X509_free);
        free(ca);
        return NULL;
}

X509 *ca_cert(const struct ca *ca)
{
        return sk_X509_value(ca->chain, 0);
}

const STACK_OF(X509) * ca_roots(const struct ca *ca)
{
        return ca->roots;
}

size_t ca_chain(const struct ca *ca, X509 *certs[CA_CHAIN_MAX])
{
        size_t n = 0;

        for (int i = 0; i < sk_X509_num(ca->chain); i++) {
                X509 *cert = sk_X509_value(ca->chain, i);
                if (X509_check_issued(cert, cert) != X509_V_OK)
                        certs[n++] = cert;
        }
        return n;
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
        int64_t ca_end = 0, end = begin + whole, ca_begin;
        char serial[CA_SERIAL_MAX];
        int r = cert ? ca_cert_facts(ca_cert(ca), serial, &ca_begin, &ca_end) : -ENOMEM;

        if (r == 0 && ca_end <= now)
                r = -EKEYEXPIRED;
        if (r == 0) /* never beyond what it leads to */
                r = set_body(cert, X509_REQ_get0_pubkey(request->req), begin, end < ca_end ? end : ca_end);
        if (r == 0)
                r = set_name(X509_get_subject_name(cert), request->id);
        if (r == 0 && X509_set_issuer_name(cert, X509_get_subject_name(ca_cert(ca))) != 1)
                r = -ENOMEM;
        if (r == 0)
                r = add_client_extensions(cert, ca_cert(ca), tenant, request->id);
        if (r == 0 && X509_sign(cert, key_evp(ca->key), EVP_sha256()) == 0)
                r = -EIO;
        if (r < 0) {
                X509_free(cert);
                return r;
        }
        *ret_cert = cert;
        return 0;
}
