/*
 * A CA that signs one certificate and is forgotten.
 *
 * Owns nothing. The certificates are as strict readers want them (Python's VERIFY_X509_STRICT among them), and end with
 * the roster's longest life.
 */
#include "connector/sandbox/certificate.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certs/keys/key.h"
#include "certs/trust/roster.h"

DEFINE_VOID_FREEP(X509, X509_free)

struct extension {
        int nid;
        const char *value;
};

static const struct extension of_ca[] = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                         {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                         {NID_subject_key_identifier, "hash"},
                                         {0, NULL}};
static const struct extension of_server[] = {{NID_basic_constraints, "critical,CA:FALSE"},
                                             {NID_key_usage, "critical,digitalSignature"},
                                             {NID_ext_key_usage, "serverAuth"},
                                             {NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost"},
                                             {NID_subject_key_identifier, "hash"},
                                             {NID_authority_key_identifier, "keyid:always"},
                                             {0, NULL}};

static bool add_extensions(X509 *cert, X509 *issuer, const struct extension *extensions)
{
        bool good = true;

        for (; good && extensions->nid; extensions++) {
                X509V3_CTX ctx;

                X509V3_set_ctx_nodb(&ctx);
                X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
                X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, extensions->nid, extensions->value);
                good = e && X509_add_ext(cert, e, -1) == 1;
                X509_EXTENSION_free(e);
        }
        return good;
}

static bool set_serial(X509 *cert)
{
        BIGNUM *bn = BN_new();
        const bool good = bn && BN_rand(bn, 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                          BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;

        BN_free(bn);
        return good;
}

/* issuer NULL: signs itself. */
static X509 *certify(const char *cn, const struct key *key, X509 *issuer, const struct key *issuer_key,
                     const struct extension *extensions, int64_t now)
{
        X509 *cert = X509_new();
        X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;

        if (name && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0) == 1 &&
            X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name) == 1 &&
            ASN1_TIME_set(X509_getm_notBefore(cert), now - ROSTER_SKEW) &&
            ASN1_TIME_set(X509_getm_notAfter(cert), now + ROSTER_LIFE_MAX) &&
            X509_set_pubkey(cert, key_evp(key)) == 1 && add_extensions(cert, issuer ? issuer : cert, extensions) &&
            X509_sign(cert, key_evp(issuer_key), EVP_sha256()) > 0)
                return cert;
        X509_free(cert);
        return NULL;
}

int sandbox_certificate_pem(struct buffer *out, X509 *cert)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        int r = -ENOMEM;

        if (bio && PEM_write_bio_X509(bio, cert) == 1) {
                const long n = BIO_get_mem_data(bio, &text);
                r = buffer_append(out, text, (size_t)n);
        }
        BIO_free(bio);
        return r;
}

int sandbox_certificate(struct buffer *ca, struct buffer *cert, struct buffer *key, int64_t now, struct error *err)
{
        _cleanup_(key_freep) struct key *ca_key = NULL, *server_key = NULL;
        _cleanup_(free_X509p) X509 *root = NULL, *server = NULL;
        int r = key_generate(&ca_key, err);

        if (r == 0)
                r = key_generate(&server_key, err);
        if (r < 0)
                return r;
        root = certify("Postern sandbox CA", ca_key, NULL, ca_key, of_ca, now);
        server = root ? certify("Postern sandbox relay", server_key, root, ca_key, of_server, now) : NULL;
        if (!server)
                return error_fail(err, -EIO, "OpenSSL cannot make the relay's certificate");
        r = sandbox_certificate_pem(ca, root);
        if (r == 0)
                r = sandbox_certificate_pem(cert, server);
        return r < 0 ? error_fail(err, r, "out of memory") : key_to_pem(server_key, NULL, key, err);
}
