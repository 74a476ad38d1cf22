/*
 * The misbehaving TLS server and the CA behind it.
 *
 * The child never returns into the test: it ends with _exit, or with the parent.
 */
#include "tests/certs/enrol/tls-server.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/error.h"

static void must(bool ok, const char *what)
{
        if (ok)
                return;
        fprintf(stderr, "tls-server: %s\n", what);
        abort();
}

/* ---- the CA ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

        must(extension && X509_add_ext(cert, extension, -1) == 1, value);
        X509_EXTENSION_free(extension);
}

X509 *authority_issue(const struct authority *ca, EVP_PKEY *key, const char *cn, const char *san, int days)
{
        static long serial = 1;
        X509 *cert = X509_new();
        X509_NAME *name = X509_NAME_new();

        X509_set_version(cert, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
        X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
        X509_set_subject_name(cert, name);
        X509_set_issuer_name(cert, ca->cert ? X509_get_subject_name(ca->cert) : name);
        X509_gmtime_adj(X509_getm_notBefore(cert), -90L * 86400);
        X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * 86400);
        X509_set_pubkey(cert, key);
        add_extension(cert, NID_basic_constraints, ca->cert ? "critical,CA:FALSE" : "critical,CA:TRUE");
        add_extension(cert, NID_key_usage, ca->cert ? "critical,digitalSignature" : "critical,keyCertSign,cRLSign");
        if (san)
                add_extension(cert, NID_subject_alt_name, san);
        must(X509_sign(cert, key_evp(ca->key), EVP_sha256()) > 0, "cannot sign");
        X509_NAME_free(name);
        return cert;
}

void authority_write(const struct authority *ca, const char *name, X509 *cert, const struct key *key, char *out)
{
        snprintf(out, 96, "%.63s/%.30s", ca->dir, name);
        FILE *f = fopen(out, "we");
        must(f && (!cert || PEM_write_X509(f, cert) == 1) &&
                     (!key || PEM_write_PKCS8PrivateKey(f, key_evp(key), NULL, NULL, 0, NULL, NULL) == 1) &&
                     fclose(f) == 0,
             out);
}

void authority_begin(struct authority *ca)
{
        *ca = (struct authority){.dir = "/tmp/postern-est-XXXXXX"};
        must(mkdtemp(ca->dir) && key_generate(&ca->key, NULL) == 0, "cannot make a CA");
        ca->cert = authority_issue(ca, key_evp(ca->key), "test CA", NULL, 30);
        authority_write(ca, "ca.pem", ca->cert, NULL, ca->ca_file);
}

void authority_end(struct authority *ca)
{
        static const char *const names[] = {"ca.pem", "client.pem", "client.key"};
        char path[96];

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                snprintf(path, sizeof(path), "%.63s/%s", ca->dir, names[i]);
                (void)unlink(path);
        }
        must(rmdir(ca->dir) == 0, ca->dir);
        X509_free(ca->cert);
        key_free(ca->key);
}

/* ---- one request ---- */

struct session {
        const struct authority *ca;
        SSL *ssl;
        char text[16384]; /* head and body */
        char method[8], path[256];
        const char *body;
        size_t left; /* of the body, which nobody has read */
};

static size_t body_length(const char *head)
{
        const char *at = strcasestr(head, "\r\nContent-Length:");

        return at ? strtoul(at + 17, NULL, 10) : 0;
}

static bool read_request(struct session *s)
{
        size_t n = 0;

        for (;;) {
                const int r = SSL_read(s->ssl, s->text + n, (int)(sizeof(s->text) - 1 - n));

                if (r <= 0)
                        return false;
                n += (size_t)r;
                s->text[n] = '\0';
                char *end = strstr(s->text, "\r\n\r\n");
                if (end && strncmp(s->text, "POST /early ", 12) == 0) {
                        s->body = end + 4;
                        s->left = body_length(s->text) - (size_t)(s->text + n - s->body);
                        return sscanf(s->text, "%7s %255s", s->method, s->path) == 2;
                }
                if (end && (size_t)(s->text + n - (end + 4)) >= body_length(s->text)) {
                        s->body = end + 4;
                        return sscanf(s->text, "%7s %255s", s->method, s->path) == 2;
                }
        }
}

static void send_text(SSL *ssl, const char *text)
{
        (void)SSL_write(ssl, text, (int)strlen(text));
}

/* head: the lines behind the status line, each with CRLF. */
static void answer(const struct session *s, const char *status, const char *head, const char *body)
{
        char start[2048];

        snprintf(start, sizeof(start), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
                 head, strlen(body));
        send_text(s->ssl, start);
        send_text(s->ssl, body);
}

/* ---- EST ---- */

static void answer_certs(const struct session *s, const char *type, X509 *const *certs, size_t n)
{
        PKCS7 *p7 = PKCS7_new();
        unsigned char *der = NULL;
        char head[128];

        must(PKCS7_set_type(p7, NID_pkcs7_signed) == 1 && PKCS7_content_new(p7, NID_pkcs7_data) == 1, "PKCS7");
        for (size_t i = 0; i < n; i++)
                must(PKCS7_add_certificate(p7, certs[i]) == 1, "PKCS7 certificate");
        const int len = i2d_PKCS7(p7, &der);
        char *base64 = calloc(1, (size_t)len * 2);
        must(len > 0 && base64, "PKCS7 DER");
        EVP_EncodeBlock((unsigned char *)base64, der, len);
        snprintf(head, sizeof(head), "Content-Type: %s\r\nContent-Transfer-Encoding: base64\r\n", type);
        answer(s, "200 OK", head, base64);
        free(base64);
        OPENSSL_free(der);
        PKCS7_free(p7);
}

/* The request as it came, verified; NULL where it is none. */
static X509_REQ *read_csr(const struct session *s)
{
        unsigned char der[8192];
        const int n = EVP_DecodeBlock(der, (const unsigned char *)s->body, (int)strlen(s->body));
        const unsigned char *p = der;
        X509_REQ *req = n > 0 ? d2i_X509_REQ(NULL, &p, n) : NULL;

        if (req && X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) == 1)
                return req;
        X509_REQ_free(req);
        return NULL;
}

static void enroll(const struct session *s, const char *tenant)
{
        X509_REQ *req = read_csr(s);
        EVP_PKEY *other = EVP_EC_gen("P-256");
        char cn[80] = "", san[200];

        if (!req || !strstr(s->text, "\r\nContent-Type: application/pkcs10\r\n")) {
                answer(s, "400 Bad Request", "Content-Type: text/plain\r\n", "no certificate request");
                return;
        }
        X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(req), NID_commonName, cn, sizeof(cn));
        snprintf(san, sizeof(san), "URI:urn:postern:%s:%s", strcmp(tenant, "wrong-uri") == 0 ? "acme" : tenant, cn);
        X509 *leaf = authority_issue(s->ca, strcmp(tenant, "wrong-key") == 0 ? other : X509_REQ_get0_pubkey(req),
                                     strcmp(tenant, "wrong-cn") == 0 ? "connector-9999-zzzz" : cn, san, 30);
        X509 *const leaf_last[] = {s->ca->cert, leaf};
        answer_certs(s,
                     strcmp(tenant, "wrong-type") == 0 ? "text/html" : "application/pkcs7-mime;smime-type=certs-only",
                     leaf_last, 2);
        X509_free(leaf);
        X509_REQ_free(req);
        EVP_PKEY_free(other);
}

static void est(const struct session *s, const char *tenant, const char *operation)
{
        /* Basic dc-east:token */
        const bool authorised = strstr(s->text, "\r\nAuthorization: Basic ZGMtZWFzdDp0b2tlbg==\r\n") != NULL;
        const bool renewal = strcmp(operation, "simplereenroll") == 0;

        if (strcmp(tenant, "unknown") == 0)
                answer(s, "404 Not Found", "", "");
        else if (renewal ? !SSL_get0_peer_certificate(s->ssl) : !authorised)
                answer(s, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
        else if (strcmp(tenant, "pending") == 0)
                answer(s, "202 Accepted", "Retry-After: 77\r\n", "");
        else if (strcmp(tenant, "refused") == 0)
                answer(s, "400 Bad Request", "Content-Type: text/plain\r\n", "the name is\r\ntaken");
        else if (strcmp(tenant, "broken") == 0)
                answer(s, "500 Oops", "Content-Type: text/html\r\n", "<p>");
        else if (strcmp(tenant, "no-pkcs7") == 0)
                answer(s, "200 OK", "Content-Type: application/pkcs7-mime\r\n", "QUJD");
        else
                enroll(s, tenant);
}

/* ---- behaviours ---- */

static void big(const struct session *s)
{
        static char chunk[65536];

        memset(chunk, 'x', sizeof(chunk));
        send_text(s->ssl, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        for (int i = 0; i < 32; i++)
                if (SSL_write(s->ssl, chunk, sizeof(chunk)) <= 0)
                        return;
}

/* The request comes back as the body, head and all. */
static void echo(const struct session *s)
{
        answer(s, "200 OK",
               "Content-Type: text/plain\r\nETag: \"v7\"\r\nPostern-Connector: "
               "connector-0001-aaaa\r\nRetry-After: 9\r\n",
               s->text);
}

/* An answer before the body was read, which then is thrown away, as nginx does. */
static void early(struct session *s)
{
        char trash[16384];

        send_text(s->ssl, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nearly");
        (void)usleep(300000); /* by then the client has heard it */
        while (s->left) {
                const int r = SSL_read(s->ssl, trash, (int)(s->left < sizeof(trash) ? s->left : sizeof(trash)));

                if (r <= 0)
                        return;
                s->left -= (size_t)r;
        }
}

/* How often /vanish was asked for. */
static int vanished;

static void serve(struct session *s)
{
        char tenant[65], operation[33], count[16];

        if (sscanf(s->path, "/.well-known/est/%64[^/]/%32s", tenant, operation) == 2)
                est(s, tenant, operation);
        else if (strcmp(s->path, "/echo") == 0)
                echo(s);
        else if (strcmp(s->path, "/redirect") == 0)
                answer(s, "302 Found", "Location: /echo\r\n", "");
        else if (strcmp(s->path, "/big") == 0)
                big(s);
        else if (strcmp(s->path, "/cut") == 0)
                send_text(s->ssl, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        else if (strcmp(s->path, "/keep") == 0) /* and go on with this connection */
                send_text(s->ssl, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept");
        else if (strcmp(s->path, "/early") == 0) /* the same */
                early(s);
        else if (strcmp(s->path, "/vanish") == 0) /* the connection ends without an answer */
                vanished++;
        else if (strcmp(s->path, "/die") == 0) /* the server ends without an answer */
                _exit(0);
        else if (strcmp(s->path, "/vanished") == 0 && snprintf(count, sizeof(count), "%d", vanished) > 0)
                answer(s, "200 OK", "", count);
        else if (strcmp(s->path, "/stall") == 0)
                (void)SSL_read(s->ssl, (char[1]){0}, 1); /* until the client goes */
        else
                answer(s, "404 Not Found", "", "");
}

static void accept_one(SSL_CTX *ctx, int listener, const struct authority *ca)
{
        const int fd = accept(listener, NULL, NULL);
        struct session *s = calloc(1, sizeof(*s));

        must(s != NULL, "out of memory");
        s->ca = ca;
        s->ssl = SSL_new(ctx);
        SSL_set_fd(s->ssl, fd);
        bool more = SSL_accept(s->ssl) == 1;
        while (more && read_request(s)) {
                serve(s);
                more = strcmp(s->path, "/keep") == 0 || strcmp(s->path, "/early") == 0;
        }
        (void)SSL_shutdown(s->ssl);
        SSL_free(s->ssl);
        close(fd);
        free(s);
}

static SSL_CTX *make_context(const struct authority *ca, enum tls_flaw flaw)
{
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *cert = authority_issue(ca, key, "server", "DNS:localhost", flaw == TLS_EXPIRED ? -1 : 30);

        must(SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
                     SSL_CTX_load_verify_file(ctx, ca->ca_file) == 1,
             "TLS context");
        SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4); /* or resumption fails */
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL); /* a client certificate is asked for, not required */
        if (flaw == TLS_OLD_VERSION) {
                SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
                SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
                SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
        }
        X509_free(cert);
        EVP_PKEY_free(key);
        return ctx;
}

void tls_server_start(struct tls_server *server, const struct authority *ca, enum tls_flaw flaw)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(address);
        const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const pid_t parent = getpid();

        /* It listens before the fork, so a client may connect at once. */
        must(listener >= 0 && bind(listener, (struct sockaddr *)&address, n) == 0 && listen(listener, 16) == 0 &&
                     getsockname(listener, (struct sockaddr *)&address, &n) == 0,
             "cannot listen");
        server->port = ntohs(address.sin_port);
        server->pid = fork();
        must(server->pid >= 0, "cannot fork");
        if (server->pid > 0) {
                close(listener);
                return;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        signal(SIGPIPE, SIG_IGN);
        SSL_CTX *ctx = make_context(ca, flaw);
        for (;;)
                accept_one(ctx, listener, ca);
}

void tls_server_stop(struct tls_server *server)
{
        must(kill(server->pid, SIGKILL) == 0 && waitpid(server->pid, NULL, 0) == server->pid, "cannot stop the server");
}
