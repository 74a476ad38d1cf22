/*
 * The first words of a client of TLS 1.2 or newer, said to nobody: a system-wide set-up (ssl_conf) may leave no version
 * or no cipher to offer.
 */
#include "certs/keys/self-test-tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#include "certs/codec/self-test.h"

static bool says_hello(SSL_CTX *ctx)
{
        SSL *ssl = SSL_new(ctx);
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        bool good = false;

        if (ssl && in && out) {
                SSL_set_bio(ssl, in, out); /* it owns them */
                in = out = NULL;
                SSL_set_connect_state(ssl);
                good = SSL_get_error(ssl, SSL_do_handshake(ssl)) == SSL_ERROR_WANT_READ; /* for the answer */
        }
        BIO_free(in);
        BIO_free(out);
        SSL_free(ssl);
        return good;
}

int tls_self_test(struct error *err)
{
        int r = crypto_self_test(err);
        SSL_CTX *ctx = r == 0 ? SSL_CTX_new(TLS_client_method()) : NULL;

        if (r == 0 && (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || !says_hello(ctx)))
                r = crypto_self_test_fail(err, "TLS 1.2 and newer");
        SSL_CTX_free(ctx);
        ERR_clear_error();
        return r;
}
