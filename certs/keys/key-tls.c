/*
 * A client certificate for a TLS context whose key is no PEM text: libcurl takes only those, so its callback
 * for the context calls this.
 *
 * Invariant: a certificate that is not the key's is refused here, not by the peer.
 */
#include "certs/keys/key-tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

DEFINE_VOID_FREEP(BIO, BIO_free_all)
DEFINE_VOID_FREEP(X509, X509_free)

static int fail(struct error *err, int code, const char *text)
{
        ERR_clear_error();
        return error_fail(err, code, "%s", text);
}

int key_tls_use(SSL_CTX *ctx, const char *chain_pem, size_t n, const struct key *key, struct error *err)
{
        _cleanup_(free_BIOp) BIO *bio = n <= INT_MAX ? BIO_new_mem_buf(chain_pem, (int)n) : NULL;
        _cleanup_(free_X509p) X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
        X509 *next;

        if (!cert || SSL_CTX_use_certificate(ctx, cert) != 1)
                return fail(err, -EBADMSG, "transport certificate: is not a PEM certificate");
        EVP_PKEY *public = X509_get0_pubkey(cert);
        if (!public || EVP_PKEY_eq(public, key_evp(key)) != 1 || SSL_CTX_use_PrivateKey(ctx, key_evp(key)) != 1)
                return fail(err, -EBADMSG, "transport certificate: is for another key");
        SSL_CTX_clear_chain_certs(ctx);
        while ((next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
                if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
                        X509_free(next);
                        return fail(err, -ENOMEM, "transport certificate: out of memory");
                }
        ERR_clear_error(); /* the end of the text */
        return 0;
}
