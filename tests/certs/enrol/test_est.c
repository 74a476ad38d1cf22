/*
 * The HTTPS request and the EST client against a TLS server that misbehaves on demand: each failure has its
 * own code and names the host, the cause and the remedy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "certs/enrol/est.h"
#include "tests/certs/enrol/tls-server.h"

#define ID "connector-0001-aaaa"
#define NAME "dc-east"
#define TOKEN "token"

struct world {
        struct authority ca, other_ca;
        struct tls_server server;
        struct https *https;
        char base[64]; /* https://localhost:port */
        char url[128];
};

static void assert_refused(int r, int code, const struct error *err, const char *what)
{
        if (r != code || !strstr(err->text, what))
                fail_msg("expected %d \"%s\", got %d \"%s\"", code, what, r, err->text);
}

static struct https *client(const char *ca_file, const char *cert_file, const char *key_file)
{
        const struct https_config config = {.ca_file = ca_file, .cert_file = cert_file, .key_file = key_file};
        struct error err = {""};
        struct https *https = NULL;

        if (https_new(&https, &config, &err) < 0)
                fail_msg("%s", err.text);
        return https;
}

static int begin(void **state)
{
        struct world *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        authority_begin(&w->ca);
        authority_begin(&w->other_ca);
        tls_server_start(&w->server, &w->ca, TLS_GOOD);
        snprintf(w->base, sizeof(w->base), "https://localhost:%d", w->server.port);
        w->https = client(w->ca.ca_file, NULL, NULL);
        *state = w;
        return 0;
}

static int end(void **state)
{
        struct world *w = *state;

        https_free(w->https);
        tls_server_stop(&w->server);
        authority_end(&w->ca);
        authority_end(&w->other_ca);
        free(w);
        return 0;
}

static struct https_request get(struct world *w, const char *path)
{
        snprintf(w->url, sizeof(w->url), "%s%s", w->base, path);
        return (struct https_request){.method = "GET", .url = w->url};
}

/*
 * libcurl sends a request again by itself when a kept connection ends without an answer. A sign-in that was
 * sent must not be: a relay that has lost its memory meanwhile would give it to another connector.
 */
static void never_sent_twice(void **state)
{
        struct world *w = *state;
        struct https_request q = get(w, "/keep");
        struct https_response a = {0};
        struct error err = {""};

        assert_int_equal(https_do(w->https, &q, &a, &err), 0);
        https_response_clear(&a);
        q = get(w, "/vanish");
        q.method = "POST";
        q.body = "a.b.c";
        q.body_len = 5;
        assert_refused(https_do(w->https, &q, &a, &err), -EIO, &err, "broke");
        q = get(w, "/vanished");
        assert_int_equal(https_do(w->https, &q, &a, &err), 0);
        assert_string_equal(a.body.data, "1");
        https_response_clear(&a);
}

/* Nor is it said that nothing was sent where only the second connection was refused. */
static void sent_before_refusal(void **state)
{
        struct world *w = *state;
        struct https_request q = get(w, "/keep");
        struct https_response a = {0};
        struct error err = {""};

        assert_int_equal(https_do(w->https, &q, &a, &err), 0);
        https_response_clear(&a);
        q = get(w, "/die");
        q.method = "POST";
        q.body = "a.b.c";
        q.body_len = 5;
        assert_refused(https_do(w->https, &q, &a, &err), -EIO, &err, "broke");
}

static void request_as_sent(void **state)
{
        static const char *const headers[] = {"Postern-Id: 0123456789abcdef", NULL};
        struct world *w = *state;
        struct https_request q = get(w, "/echo");
        struct https_response a = {0};
        struct error err = {""};

        q.method = "PUT";
        q.bearer = "s3cret";
        q.content_type = "application/jose";
        q.body = "a.b.c";
        q.body_len = 5;
        q.headers = headers;
        if (https_do(w->https, &q, &a, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.content_type, "text/plain");
        assert_string_equal(a.etag, "\"v7\"");
        assert_string_equal(a.connector, ID);
        assert_int_equal(a.retry_after, 9);
        assert_non_null(strstr(a.body.data, "PUT /echo HTTP/1.1\r\n"));
        assert_non_null(strstr(a.body.data, "\r\nAuthorization: Bearer s3cret\r\n"));
        assert_non_null(strstr(a.body.data, "\r\nContent-Type: application/jose\r\n"));
        assert_non_null(strstr(a.body.data, "\r\nPostern-Id: 0123456789abcdef\r\n"));
        assert_non_null(strstr(a.body.data, "\r\nContent-Length: 5\r\n"));
        assert_null(strstr(a.body.data, "Expect:"));
        assert_string_equal(strstr(a.body.data, "\r\n\r\n") + 4, "a.b.c");
        https_response_clear(&a);
        /* nothing of that request stays for the next */
        q = get(w, "/echo");
        assert_int_equal(https_do(w->https, &q, &a, &err), 0);
        assert_non_null(strstr(a.body.data, "GET /echo HTTP/1.1\r\n"));
        assert_null(strstr(a.body.data, "Authorization"));
        assert_null(strstr(a.body.data, "Postern-Id"));
        https_response_clear(&a);
}

static void requests_refused(void **state)
{
        static const char *const split[] = {"X: y\r\nAuthorization: Bearer z", NULL};
        struct world *w = *state;
        struct https_request q = get(w, "/echo");
        struct https_response a = {0};
        struct error err = {""};

        q.url = "http://localhost/";
        assert_refused(https_do(w->https, &q, &a, &err), -EINVAL, &err, "is not an https:// URL");
        q.url = "https://";
        assert_refused(https_do(w->https, &q, &a, &err), -EINVAL, &err, "is not an https:// URL");
        q = get(w, "/echo");
        q.method = "DELETE";
        assert_refused(https_do(w->https, &q, &a, &err), -EINVAL, &err, "method DELETE");
        q = get(w, "/echo");
        q.headers = split;
        assert_refused(https_do(w->https, &q, &a, &err), -EINVAL, &err, "control characters");
        q = get(w, "/echo");
        q.bearer = "a\r\nb";
        assert_refused(https_do(w->https, &q, &a, &err), -EINVAL, &err, "control characters");
        assert_null(a.body.data);
}

static void answers_out_of_bounds(void **state)
{
        struct world *w = *state;
        struct https_response a = {0};
        struct error err = {""};
        struct https_request q = get(w, "/redirect");

        assert_int_equal(https_do(w->https, &q, &a, &err), 0);
        assert_int_equal(a.status, 302); /* handed out, not followed */
        https_response_clear(&a);
        q = get(w, "/big");
        assert_refused(https_do(w->https, &q, &a, &err), -EMSGSIZE, &err, "longer than 1048576 bytes");
        q.max_body = 4 * 1024 * 1024;
        assert_int_equal(https_do(w->https, &q, &a, &err), 0);
        assert_int_equal(a.body.len, 2 * 1024 * 1024);
        https_response_clear(&a);
        q = get(w, "/cut");
        assert_refused(https_do(w->https, &q, &a, &err), -EIO, &err, "localhost: the connection broke");
        q = get(w, "/stall");
        q.timeout_ms = 300;
        assert_refused(https_do(w->https, &q, &a, &err), -ETIMEDOUT, &err, "localhost: no answer in time");
}

/* A port on which nobody listens. */
static int closed_port(void)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(address);
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
        close(fd);
        return ntohs(address.sin_port);
}

/* Listens and never accepts a TLS handshake. */
static int silent_port(int *ret_fd)
{
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(address);

        *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, n), 0);
        assert_int_equal(listen(*ret_fd, 4), 0);
        assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&address, &n), 0);
        return ntohs(address.sin_port);
}

static void no_connection(void **state)
{
        struct world *w = *state;
        struct https_response a = {0};
        struct error err = {""};
        struct https_request q = {.method = "GET", .url = w->url};
        struct https *proxied = NULL;
        struct https_config config = {.ca_file = w->ca.ca_file};
        char proxy[64];
        int fd = -1;

        snprintf(w->url, sizeof(w->url), "https://localhost:%d/", closed_port());
        assert_refused(https_do(w->https, &q, &a, &err), -ECONNREFUSED, &err,
                       "localhost: no connection (Connection refused)");
        q.url = "https://no-such-host.invalid/";
        assert_refused(https_do(w->https, &q, &a, &err), -ECONNREFUSED, &err, "no-such-host.invalid: its name");
        snprintf(w->url, sizeof(w->url), "https://localhost:%d/", silent_port(&fd));
        q.url = w->url;
        q.timeout_ms = 300;
        assert_refused(https_do(w->https, &q, &a, &err), -ETIMEDOUT, &err, "no connection in time; check address");
        close(fd);
        snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", closed_port());
        config.proxy = proxy;
        assert_int_equal(https_new(&proxied, &config, &err), 0);
        q = get(w, "/echo");
        assert_refused(https_do(proxied, &q, &a, &err), -ECONNREFUSED, &err, "the proxy cannot be reached");
        https_free(proxied);
}

static void bad_certificates(void **state)
{
        struct world *w = *state;
        struct https *stranger = client(w->other_ca.ca_file, NULL, NULL), *system = client(NULL, NULL, NULL);
        struct https_request q = get(w, "/echo");
        struct https_response a = {0};
        struct error err = {""};
        struct tls_server flawed;

        assert_refused(https_do(stranger, &q, &a, &err), -EPROTO, &err,
                       "localhost: its certificate is not signed by a CA known here; "
                       "give its CA with --ca-file");
        assert_refused(https_do(system, &q, &a, &err), -EPROTO, &err, "--ca-file");
        snprintf(w->url, sizeof(w->url), "https://127.0.0.1:%d/echo", w->server.port);
        assert_refused(https_do(w->https, &q, &a, &err), -EPROTO, &err,
                       "127.0.0.1: its certificate is for another name");

        tls_server_start(&flawed, &w->ca, TLS_EXPIRED);
        snprintf(w->url, sizeof(w->url), "https://localhost:%d/echo", flawed.port);
        assert_refused(https_do(w->https, &q, &a, &err), -EPROTO, &err, "has expired");
        tls_server_stop(&flawed);
        tls_server_start(&flawed, &w->ca, TLS_OLD_VERSION);
        snprintf(w->url, sizeof(w->url), "https://localhost:%d/echo", flawed.port);
        assert_refused(https_do(w->https, &q, &a, &err), -EPROTO, &err, "localhost: TLS fails");
        tls_server_stop(&flawed);
        https_free(stranger);
        https_free(system);
}

static void missing_files(void **state)
{
        const struct https_config no_ca = {.ca_file = "/nonexistent/ca.pem"},
                                  no_key = {.key_file = "/nonexistent/key.pem"};
        struct https *https = NULL;
        struct error err = {""};

        (void)state;
        assert_refused(https_new(&https, &no_ca, &err), -ENOENT, &err,
                       "CA file: /nonexistent/ca.pem: cannot be opened: No such file");
        assert_refused(https_new(&https, &no_key, &err), -ENOENT, &err, "client key: /nonexistent/key.pem");
        assert_null(https);
}

static struct key *fresh_key(void)
{
        struct key *key = NULL;

        assert_int_equal(key_generate(&key, NULL), 0);
        return key;
}

static void enrolled(void **state)
{
        struct world *w = *state;
        struct key *key = fresh_key(), *next = fresh_key();
        struct est_answer answer = {0};
        struct error err = {""};
        char cn[65], cert_file[96], key_file[96];
        int64_t not_after = 0;

        if (est_enroll(w->https, w->base, "acme", ID, NAME, TOKEN, key, &answer, &err) != EST_ISSUED)
                fail_msg("%s", err.text);
        /* the server put its CA first; the certificate with our key comes first here */
        assert_int_equal(csr_cert_matches(answer.chain.data, answer.chain.len, key, &err), 0);
        assert_int_equal(csr_cert_info(answer.chain.data, answer.chain.len, &not_after, cn, sizeof(cn), &err), 0);
        assert_string_equal(cn, ID);
        assert_non_null(strstr(answer.chain.data + 100, "-----BEGIN CERTIFICATE-----"));

        /* renewal: mTLS with what was just issued, a new key */
        BIO *bio = BIO_new_mem_buf(answer.chain.data, (int)answer.chain.len);
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        authority_write(&w->ca, "client.pem", cert, NULL, cert_file);
        authority_write(&w->ca, "client.key", NULL, key, key_file);
        est_answer_clear(&answer);
        struct https *renewing = client(w->ca.ca_file, cert_file, key_file);
        if (est_reenroll(renewing, w->base, "acme", ID, next, &answer, &err) != EST_ISSUED)
                fail_msg("%s", err.text);
        assert_int_equal(csr_cert_matches(answer.chain.data, answer.chain.len, next, &err), 0);
        est_answer_clear(&answer);
        assert_refused(est_reenroll(w->https, w->base, "acme", ID, next, &answer, &err), -EACCES, &err,
                       "does not accept");
        https_free(renewing);
        X509_free(cert);
        BIO_free(bio);
        key_free(key);
        key_free(next);
}

static void not_enrolled(void **state)
{
        static const struct {
                const char *tenant;
                int code;
                const char *says;
        } cases[] = {
                {"wrong-key", -EBADMSG, "is for another key"},
                {"wrong-cn", -EBADMSG, "its CN is not " ID},
                {"wrong-uri", -EBADMSG, "does not name urn:postern:wrong-uri:" ID},
                {"wrong-type", -EBADMSG, "is not application/pkcs7-mime"},
                {"no-pkcs7", -EBADMSG, "is not one PKCS#7 object"},
                {"refused", -EINVAL, "the relay refuses the request: the name is??taken"},
                {"broken", -EIO, "the relay answers 500: no reason given"},
        };
        struct world *w = *state;
        struct key *key = fresh_key();
        struct est_answer answer = {0};
        struct error err = {""};

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int r = est_enroll(w->https, w->base, cases[i].tenant, ID, NAME, TOKEN, key, &answer, &err);

                assert_refused(r, cases[i].code, &err, cases[i].says);
                assert_null(answer.chain.data);
        }
        assert_refused(est_enroll(w->https, w->base, "acme", ID, NAME, "used", key, &answer, &err), -EACCES, &err,
                       "does not accept the token: ");
        assert_refused(est_enroll(w->https, w->base, "acme", ID, "", TOKEN, key, &answer, &err), -EINVAL, &err,
                       "not empty");
        assert_refused(est_enroll(w->https, w->base, "acme", ID, "a:b", TOKEN, key, &answer, &err), -EINVAL, &err,
                       "no colon");
        assert_refused(est_enroll(w->https, w->base, "../x", ID, NAME, TOKEN, key, &answer, &err), -EINVAL, &err,
                       "is not a tenant's name");
        assert_refused(est_enroll(w->https, w->base, "unknown", ID, NAME, TOKEN, key, &answer, &err), -EINVAL, &err,
                       "knows no such tenant");
        assert_int_equal(est_enroll(w->https, w->base, "pending", ID, NAME, TOKEN, key, &answer, &err), EST_PENDING);
        assert_int_equal(answer.retry_after, 77);
        est_answer_clear(&answer);
        key_free(key);
}

int main(void)
{
        static const char *const variables[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                                "ALL_PROXY",   "no_proxy",    "NO_PROXY"};
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(never_sent_twice, begin, end),
                cmocka_unit_test_setup_teardown(sent_before_refusal, begin, end),
                cmocka_unit_test_setup_teardown(request_as_sent, begin, end),
                cmocka_unit_test_setup_teardown(requests_refused, begin, end),
                cmocka_unit_test_setup_teardown(answers_out_of_bounds, begin, end),
                cmocka_unit_test_setup_teardown(no_connection, begin, end),
                cmocka_unit_test_setup_teardown(bad_certificates, begin, end),
                cmocka_unit_test(missing_files),
                cmocka_unit_test_setup_teardown(enrolled, begin, end),
                cmocka_unit_test_setup_teardown(not_enrolled, begin, end),
        };

        for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
                unsetenv(variables[i]);
        return cmocka_run_group_tests_name("certs-est", tests, NULL, NULL);
}
