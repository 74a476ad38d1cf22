/*
 * Bytes of a connection, through TLS where it has any; and the server's TLS context: 1.2 or newer, an
 * optional client certificate of one CA, no resumption.
 *
 * Invariant: a client certificate that does not verify (its dates aside, which are looked at later) never
 * counts (conn.cert_error), but the handshake goes on, so that its owner reads a problem with the reason
 * instead of a bare alert. Sessions are never resumed: a resumed one would skip that check. The handshake is
 * done by the first read.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "queue/http/internal.h"

/* Notes what is wrong with a client certificate and goes on. */
static int on_verify(int ok, X509_STORE_CTX *ctx)
{
        SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct conn *c = SSL_get_app_data(ssl);

        if (!ok && c)
                c->cert_error = X509_STORE_CTX_get_error(ctx);
        return ok || c != NULL;
}

/* HTTP/1.1 is all that is spoken. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                   unsigned in_len, void *arg)
{
        static const unsigned char ours[] = "\x08http/1.1";
        unsigned char *chosen = NULL;

        (void)ssl;
        (void)arg;
        if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_NOACK;
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
}

static int tls_fail(struct error *err, const char *what, const char *file)
{
        const char *reason = access(file, R_OK) < 0 ? strerror(errno) : ERR_reason_error_string(ERR_peek_last_error());

        ERR_clear_error();
        return error_fail(err, -EINVAL, "%s %s: %s; both must be PEM files that the configured `user` can read%s%s",
                          what, file, reason ? reason : "not usable", *file_hint(file) ? "; " : "", file_hint(file));
}

/* The certificate and those that lead to its CA: every one of the file, or none. */
static int use_chain(SSL_CTX *ctx, const char *cert_file, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(CA_BUNDLE_MAX); /* the key may be in it */
        STACK_OF(X509) *chain = NULL;
        int r;

        if (access(cert_file, R_OK) < 0)
                return tls_fail(err, "certificate", cert_file);
        r = file_read(&text, cert_file, err);
        if (r == 0)
                r = ca_bundle_chain(&text, cert_file, &chain, err);
        if (r < 0)
                return error_prefix(err, r, "certificate");
        if (SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) != 1)
                r = tls_fail(err, "certificate", cert_file);
        for (int i = 1; r == 0 && i < sk_X509_num(chain); i++)
                if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) != 1)
                        r = tls_fail(err, "certificate", cert_file);
        sk_X509_pop_free(chain, X509_free);
        return r;
}

/* Nobody is there to type one. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
        (void)out, (void)size, (void)writing;
        *(bool *)arg = true;
        return -1;
}

static int use_key(SSL_CTX *ctx, const char *cert_file, const char *key_file, struct error *err)
{
        bool encrypted = false;

        SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
        SSL_CTX_set_default_passwd_cb_userdata(ctx, &encrypted);
        const bool used = SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) == 1;
        SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
        const unsigned long why = ERR_peek_last_error();
        const bool other =
                !used && ERR_GET_LIB(why) == ERR_LIB_X509 && ERR_GET_REASON(why) == X509_R_KEY_VALUES_MISMATCH;

        if (used && SSL_CTX_check_private_key(ctx) == 1)
                return 0;
        if (access(key_file, R_OK) < 0)
                return tls_fail(err, "key", key_file);
        ERR_clear_error();
        return error_fail(err, -EINVAL, "key %s %s%s", key_file,
                          used || other ? "is not that of the certificate "
                          : encrypted   ? "is encrypted with a passphrase; decrypt it: openssl pkey -in FILE -out FILE"
                                        : "holds no private key in PEM (BEGIN PRIVATE KEY)",
                          used || other ? cert_file : "");
}

/* What client certificates must lead to: told to clients where it is a root, else only a link of the chain. */
static int trust_clients(SSL_CTX *ctx, const STACK_OF(X509) * cas)
{
        for (int i = 0; i < sk_X509_num(cas); i++) {
                X509 *ca = sk_X509_value(cas, i);

                if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1 ||
                    (X509_check_issued(ca, ca) == X509_V_OK && SSL_CTX_add_client_CA(ctx, ca) != 1))
                        return -ENOMEM;
        }
        return 0;
}

int http_tls_new(SSL_CTX **ret_ctx, const char *cert_file, const char *key_file, const STACK_OF(X509) * client_cas,
                 bool wiped, struct error *err)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

        if (!ctx)
                return error_fail(err, -ENOMEM, "no memory for TLS");
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | (wiped ? SSL_OP_CLEANSE_PLAINTEXT : 0));
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(ctx, 0);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_read_ahead(ctx, 1); /* one read() for a record, not two */
        SSL_CTX_set_verify(ctx, client_cas ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, on_verify);
        SSL_CTX_set_verify_depth(ctx, 1);
        /* dates are judged at each request, not once in a handshake */
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_NO_CHECK_TIME);
        int r = use_chain(ctx, cert_file, err);
        if (r == 0)
                r = use_key(ctx, cert_file, key_file, err);
        if (r == 0 && client_cas && trust_clients(ctx, client_cas) < 0)
                r = error_fail(err, -ENOMEM, "no memory for TLS");
        if (r < 0)
                SSL_CTX_free(ctx);
        else
                *ret_ctx = ctx;
        return r;
}

int http_set_tls(struct http *http, const char *cert_file, const char *key_file, const STACK_OF(X509) * client_cas,
                 struct error *err)
{
        SSL_CTX *ctx = NULL;
        int r = http_tls_new(&ctx, cert_file, key_file, client_cas, http && http->config.secret_bodies, err);

        if (r < 0)
                return r;
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
        if (!http) {
                SSL_CTX_free(ctx);
                return 0;
        }
        SSL_CTX_free(http->tls);
        http->tls = ctx;
        return 0;
}

X509 *http_tls_cert(const struct http *http)
{
        return http->tls ? SSL_CTX_get0_certificate(http->tls) : NULL;
}

/* ---- bytes ---- */

int http_tls_attach(struct conn *c)
{
        c->ssl = c->http->tls ? SSL_new(c->http->tls) : NULL;
        if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
                return -ENOMEM;
        SSL_set_app_data(c->ssl, c);
        SSL_set_accept_state(c->ssl);
        return 0;
}

/* What a call of OpenSSL (or, without TLS, of the kernel) has come to. */
static ssize_t result_of(SSL *ssl, ssize_t n)
{
        if (n > 0 || (n == 0 && !ssl))
                return n;
        if (!ssl)
                return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EIO;
        switch (SSL_get_error(ssl, (int)n)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
                return -EAGAIN;
        case SSL_ERROR_ZERO_RETURN:
                return 0;
        default:
                ERR_clear_error();
                SSL_set_quiet_shutdown(ssl, 1);
                return -EIO;
        }
}

ssize_t http_bytes_recv(SSL *ssl, int fd, void *bytes, size_t n)
{
        return result_of(ssl, ssl ? SSL_read(ssl, bytes, (int)n) : read(fd, bytes, n));
}

ssize_t http_bytes_send(SSL *ssl, int fd, const void *bytes, size_t n)
{
        return result_of(ssl, ssl ? SSL_write(ssl, bytes, (int)n) : send(fd, bytes, n, MSG_NOSIGNAL));
}

bool http_tls_shaking(const struct conn *c)
{
        return c->ssl && SSL_in_init(c->ssl);
}

void http_bytes_end(SSL *ssl)
{
        if (!ssl || SSL_in_init(ssl) || (SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN))
                return;
        (void)SSL_shutdown(ssl);
        ERR_clear_error();
}

X509 *http_bytes_peer(SSL *ssl)
{
        return SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get0_peer_certificate(ssl) : NULL;
}

X509 *http_peer_cert(const struct http_req *r, const char **ret_why)
{
        const struct conn *c = r->conn;
        X509 *cert = c->ssl ? SSL_get0_peer_certificate(c->ssl) : NULL;
        long code = c->cert_error || !cert ? c->cert_error : SSL_get_verify_result(c->ssl);

        *ret_why = NULL;
        if (cert && code == X509_V_OK)
                return cert;
        if (cert)
                *ret_why = X509_verify_cert_error_string(code);
        return NULL;
}

void http_keep_peer(struct http_req *r, void *facts, void (*free_facts)(void *facts))
{
        /* a SubjectPublicKeyInfo of an algorithm that is none (the object identifier is an attribute's) and no bits */
        static const unsigned char no_key[] = {0x30, 0x0a, 0x30, 0x05, 0x06, 0x03, 0x55, 0x04, 0x03, 0x03, 0x01, 0x00};
        const unsigned char *p = no_key;
        struct conn *c = r->conn;
        X509 *cert = SSL_get0_peer_certificate(c->ssl);
        X509_PUBKEY *key = cert ? X509_get_X509_PUBKEY(cert) : NULL;
        STACK_OF(X509) *chain = SSL_get_peer_cert_chain(c->ssl);

        if (c->facts)
                c->free_facts(c->facts);
        c->facts = facts;
        c->free_facts = free_facts;
        /* OpenSSL lets go of a peer's certificate with the session only, so what takes the memory is taken out of it */
        while (cert && X509_get_ext_count(cert) > 0)
                X509_EXTENSION_free(X509_delete_ext(cert, 0));
        if (key)
                (void)d2i_X509_PUBKEY(&key, &p, sizeof(no_key)); /* X509_set_pubkey takes 15 times as long */
        while (sk_X509_num(chain) > 0)
                X509_free(sk_X509_pop(chain));
        ERR_clear_error();
}

const void *http_peer_facts(const struct http_req *r)
{
        return r->conn->facts;
}
