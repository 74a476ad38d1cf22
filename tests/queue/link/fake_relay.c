/*
 * The relay of fake_relay.h: just enough HTTP for one well-behaved client.
 */
#include "tests/queue/link/fake_relay.h"

#include "tests/queue/check.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/queue.h>

struct fake_conn {
        TAILQ_ENTRY(fake_conn) link;
        struct fake_relay *relay;
        struct bufferevent *bev;
        bool closing;
};

struct fake_relay {
        struct event_base *base;
        struct evconnlistener *listener;
        SSL_CTX *ctx;
        fake_request_fn *fn;
        void *arg;
        char url[64];
        char *ca_pem, *cert_pem, *key_pem;
        uint32_t address;
        uint16_t port;
        size_t accepted;
        TAILQ_HEAD(, fake_conn) conns;
};

/* ---- certificates ---- */

static void *not_null(void *p)
{
        assert_non_null(p);
        return p;
}

static char *bio_text(BIO *bio)
{
        char *data = NULL;
        long n = BIO_get_mem_data(bio, &data);
        char *text = not_null(strndup(data, (size_t)n));

        BIO_free(bio);
        return text;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
        X509_EXTENSION *extension = not_null(X509V3_EXT_conf_nid(NULL, NULL, nid, value));

        assert_int_equal(X509_add_ext(cert, extension, -1), 1);
        X509_EXTENSION_free(extension);
}

static X509 *make_cert(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
        static long serial = 1;
        X509 *cert = not_null(X509_new());
        X509_NAME *subject = X509_get_subject_name(cert);

        assert_int_equal(X509_set_version(cert, 2), 1);
        assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++), 1);
        assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -3600));
        assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 86400));
        assert_int_equal(
                X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0), 1);
        assert_int_equal(X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject), 1);
        assert_int_equal(X509_set_pubkey(cert, key), 1);
        if (issuer)
                add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3");
        else
                add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
        add_extension(cert, NID_key_usage, issuer ? "critical,digitalSignature" : "critical,keyCertSign,cRLSign");
        assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
        return cert;
}

static char *cert_text(X509 *cert)
{
        BIO *bio = not_null(BIO_new(BIO_s_mem()));

        assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
        return bio_text(bio);
}

static char *key_text(EVP_PKEY *key)
{
        BIO *bio = not_null(BIO_new(BIO_s_mem()));

        assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        return bio_text(bio);
}

static void make_tls(struct fake_relay *r)
{
        EVP_PKEY *ca_key = not_null(EVP_EC_gen("P-256")), *key = not_null(EVP_EC_gen("P-256")),
                 *client_key = not_null(EVP_EC_gen("P-256"));
        static int number;
        char name[32];

        (void)snprintf(name, sizeof(name), "test CA %d", ++number);
        X509 *ca = make_cert(name, ca_key, NULL, ca_key);
        X509 *cert = make_cert("relay", key, ca, ca_key),
             *client = make_cert("connector-0001-aaaa", client_key, ca, ca_key);

        r->ctx = not_null(SSL_CTX_new(TLS_server_method()));
        assert_int_equal(SSL_CTX_use_certificate(r->ctx, cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(r->ctx, key), 1);
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(r->ctx), ca), 1);
        SSL_CTX_set_verify(r->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        r->ca_pem = cert_text(ca);
        r->cert_pem = cert_text(client);
        r->key_pem = key_text(client_key);
        X509_free(ca);
        X509_free(cert);
        X509_free(client);
        EVP_PKEY_free(ca_key);
        EVP_PKEY_free(key);
        EVP_PKEY_free(client_key);
}

/* ---- connections ---- */

static void conn_free(struct fake_conn *c)
{
        TAILQ_REMOVE(&c->relay->conns, c, link);
        bufferevent_free(c->bev);
        free(c);
}

/* The whole request, or false when more must come. */
static bool take_request(struct fake_conn *c)
{
        struct evbuffer *in = bufferevent_get_input(c->bev);
        struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
        char method[16] = "", path[512] = "";
        const char *length;
        size_t head_len, body_len;
        char *text;

        if (end.pos < 0)
                return false;
        head_len = (size_t)end.pos + 4;
        text = not_null(calloc(1, evbuffer_get_length(in) + 1));
        assert_true(evbuffer_copyout(in, text, evbuffer_get_length(in)) >= 0);
        length = strcasestr(text, "\r\nContent-Length:");
        body_len = length && length < text + head_len ? strtoul(length + 17, NULL, 10) : 0;
        if (evbuffer_get_length(in) < head_len + body_len) {
                free(text);
                return false;
        }
        assert_int_equal(evbuffer_drain(in, head_len + body_len), 0);
        text[head_len - 1] = '\0';
        text[head_len + body_len] = '\0';
        assert_int_equal(sscanf(text, "%15s %511s", method, path), 2);
        const struct fake_request request = {method, path, text, text + head_len, body_len};
        c->relay->fn(c->relay->arg, c, &request);
        free(text);
        return true;
}

static void on_read(struct bufferevent *bev, void *arg)
{
        struct fake_conn *c = arg;

        (void)bev;
        while (!c->closing && take_request(c))
                ;
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
        (void)bev;
        if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
                ((struct fake_conn *)arg)->closing = true;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int n, void *arg)
{
        struct fake_relay *r = arg;
        struct fake_conn *c = not_null(calloc(1, sizeof(*c)));
        int on = 1;

        (void)listener;
        (void)addr;
        (void)n;
        /* without it an answer waits 40 ms for an acknowledgement, while the fake clock runs away */
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
        c->relay = r;
        c->bev = not_null(bufferevent_openssl_socket_new(r->base, fd, not_null(SSL_new(r->ctx)),
                                                         BUFFEREVENT_SSL_ACCEPTING,
                                                         BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS));
        bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
        assert_int_equal(bufferevent_enable(c->bev, EV_READ | EV_WRITE), 0);
        TAILQ_INSERT_TAIL(&r->conns, c, link);
        r->accepted++;
}

/* ---- for tests ---- */

void fake_relay_listen(struct fake_relay *r, bool on)
{
        struct sockaddr_in a = {
                .sin_family = AF_INET, .sin_port = htons(r->port), .sin_addr.s_addr = htonl(r->address)};
        socklen_t n = sizeof(a);

        if (r->listener)
                evconnlistener_free(r->listener);
        r->listener = NULL;
        if (!on)
                return;
        r->listener = not_null(evconnlistener_new_bind(r->base, on_accept, r, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                                                       16, (struct sockaddr *)&a, sizeof(a)));
        assert_int_equal(getsockname(evconnlistener_get_fd(r->listener), (struct sockaddr *)&a, &n), 0);
        r->port = ntohs(a.sin_port);
}

static struct fake_relay *relay_at(uint32_t address, fake_request_fn *fn, void *arg)
{
        struct fake_relay *r = not_null(calloc(1, sizeof(*r)));

        r->base = not_null(event_base_new());
        r->fn = fn;
        r->arg = arg;
        r->address = address;
        TAILQ_INIT(&r->conns);
        fake_relay_listen(r, true);
        (void)snprintf(r->url, sizeof(r->url), "https://127.0.0.%u:%u", address & 255, r->port);
        return r;
}

struct fake_relay *fake_relay_new(fake_request_fn *fn, void *arg)
{
        struct fake_relay *r = relay_at(INADDR_LOOPBACK, fn, arg);

        make_tls(r);
        return r;
}

struct fake_relay *fake_relay_beside(const struct fake_relay *first, unsigned n, fake_request_fn *fn, void *arg)
{
        struct fake_relay *r = relay_at(INADDR_LOOPBACK + n, fn, arg);

        assert_int_equal(SSL_CTX_up_ref(first->ctx), 1);
        r->ctx = first->ctx;
        return r;
}

struct fake_relay *fake_relay_free(struct fake_relay *r)
{
        while (!TAILQ_EMPTY(&r->conns))
                conn_free(TAILQ_FIRST(&r->conns));
        fake_relay_listen(r, false);
        SSL_CTX_free(r->ctx);
        event_base_free(r->base);
        free(r->ca_pem);
        free(r->cert_pem);
        free(r->key_pem);
        free(r);
        return NULL;
}

const char *fake_relay_url(const struct fake_relay *r)
{
        return r->url;
}

const char *fake_relay_ca(const struct fake_relay *r)
{
        return r->ca_pem;
}

const char *fake_relay_cert(const struct fake_relay *r)
{
        return r->cert_pem;
}

const char *fake_relay_key(const struct fake_relay *r)
{
        return r->key_pem;
}

size_t fake_relay_accepted(const struct fake_relay *r)
{
        return r->accepted;
}

size_t fake_relay_open(const struct fake_relay *r)
{
        const struct fake_conn *c;
        size_t n = 0;

        TAILQ_FOREACH (c, &r->conns, link)
                n++;
        return n;
}

void fake_relay_allow_anonymous(struct fake_relay *r)
{
        SSL_CTX_set_verify(r->ctx, SSL_VERIFY_NONE, NULL);
}

static void turn(struct fake_relay *r, int flags)
{
        struct fake_conn *c, *next;

        assert_true(event_base_loop(r->base, flags) >= 0);
        for (c = TAILQ_FIRST(&r->conns); c; c = next) {
                next = TAILQ_NEXT(c, link);
                if (c->closing && evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
                        conn_free(c);
        }
}

void fake_relay_turn(struct fake_relay *r)
{
        turn(r, EVLOOP_NONBLOCK);
}

void fake_relay_run(struct fake_relay *r)
{
        assert_int_equal(event_reinit(r->base), 0);
        for (;;)
                turn(r, EVLOOP_ONCE);
}

static void write_text(struct fake_conn *c, const char *text, size_t n)
{
        assert_int_equal(bufferevent_write(c->bev, text, n), 0);
}

void fake_answer_with(struct fake_conn *c, int status, const char *type, const char *fields, const char *body)
{
        char head[512];
        int n = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n",
                         status, type, fields, strlen(body));

        assert_true(n > 0 && (size_t)n < sizeof(head));
        write_text(c, head, (size_t)n);
        write_text(c, body, strlen(body));
}

void fake_answer(struct fake_conn *c, int status, const char *type, const char *body)
{
        fake_answer_with(c, status, type, "", body);
}

void fake_stream(struct fake_conn *c, const char *type)
{
        char head[256];
        int n = snprintf(head, sizeof(head),
                         "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", type);

        write_text(c, head, (size_t)n);
}

void fake_send(struct fake_conn *c, const char *text)
{
        char size[32];
        int n = snprintf(size, sizeof(size), "%zx\r\n", strlen(text));

        write_text(c, size, (size_t)n);
        write_text(c, text, strlen(text));
        write_text(c, "\r\n", 2);
}

void fake_relay_cut(struct fake_relay *r)
{
        struct fake_conn *c;

        fake_relay_listen(r, false);
        TAILQ_FOREACH (c, &r->conns, link)
                c->closing = true;
}

void fake_close(struct fake_conn *c)
{
        c->closing = true;
}
