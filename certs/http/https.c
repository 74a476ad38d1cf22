/*
 * One blocking HTTPS request at a time, by libcurl's easy interface.
 *
 * Invariant: only https, TLS 1.2 or newer, the peer verified, no redirect followed, answer and time bounded,
 * no body sent twice.
 * An error names the host, the cause and what to do about it, never a credential. The connector's link is not
 * here: it lives on libcurl's multi interface in queue/.
 */
#include "certs/http/https.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/http/http-curl.h"
#include "certs/keys/key-tls.h"
#include "base/core/ca-bundle.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define TIMEOUT_DEFAULT_MS 15000
#define CONNECT_TIMEOUT_MS 10000
#define BODY_DEFAULT_MAX (1024 * 1024)
#define HEADER_LINE_MAX 4096
#define CHAIN_MAX 65536
#define RETRY_AFTER_MAX 86400

struct https {
        CURL *curl;
        struct buffer cas;       /* empty: the system's */
        struct buffer proxy_cas; /* where the proxy is asked by TLS */
        struct http_way way;
        char *cert_file, *key_file, *proxy;
        struct key *key; /* with it, chain is what cert_file held */
        struct buffer chain;
        char reason[CURL_ERROR_SIZE];
        int verify_error; /* X509_V_* of the last handshake */
};

/* One request while it runs. */
struct exchange {
        struct https *https;
        const struct https_request *request;
        struct buffer body;
        size_t given; /* bytes of the request's body that libcurl took */
        struct curl_slist *headers;
        bool overflow;
        char host[256];
};

struct https *https_free(struct https *https)
{
        if (!https)
                return NULL;
        curl_easy_cleanup(https->curl);
        buffer_free(&https->cas);
        buffer_free(&https->proxy_cas);
        http_way_clear(&https->way);
        free(https->cert_file);
        free(https->key_file);
        free(https->proxy);
        buffer_free(&https->chain);
        key_free(https->key);
        free(https);
        return NULL;
}

/* Copies the path of a file that must be readable. */
static int set_file(char **ret_path, const char *path, const char *what, struct error *err)
{
        if (!path)
                return 0;
        if (access(path, R_OK) < 0)
                return error_fail(err, -errno, "%s %s: %s", what, path, strerror(errno));
        return text_set(ret_path, path) < 0 ? error_fail(err, -ENOMEM, "HTTPS: out of memory") : 0;
}

int https_new(struct https **ret_https, const struct https_config *config, struct error *err)
{
        static bool initialised;
        _cleanup_(https_freep) struct https *https = calloc(1, sizeof(*https));
        int r;

        if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_fail(err, -EIO, "HTTPS: libcurl cannot start");
        initialised = true;
        if (!https || !(https->curl = curl_easy_init()))
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        https->cas = BUFFER(CA_BUNDLE_MAX);
        if (config->ca_file && (r = ca_bundle_read(&https->cas, config->ca_file, NULL, err)) < 0)
                return error_prefix(err, r, "CA file");
        if ((r = set_file(&https->cert_file, config->cert_file, "client certificate", err)) < 0 ||
            (r = set_file(&https->key_file, config->key_file, "client key", err)) < 0)
                return r;
        https->chain = BUFFER(CHAIN_MAX);
        if (config->key && (r = file_read(&https->chain, config->cert_file, err)) < 0)
                return r;
        https->key = config->key ? key_ref(config->key) : NULL;
        if (config->proxy && text_set(&https->proxy, config->proxy) < 0)
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        *ret_https = steal(https);
        return 0;
}

void https_response_clear(struct https_response *response)
{
        buffer_free(&response->body);
        *response = (struct https_response){.body = BUFFER(0)};
}

/* ---- the request ---- */

static bool has_controls(const char *s)
{
        for (; *s; s++)
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        return true;
        return false;
}

/* Adds "name: value"; a line break in it would be a header of somebody else's. */
static int add_header(struct exchange *x, const char *name, const char *value, struct error *err)
{
        _cleanup_(buffer_free) struct buffer line = BUFFER_SECRET(HEADER_LINE_MAX);
        int r = name ? buffer_printf(&line, "%s: %s", name, value) : buffer_append_str(&line, value);

        if (r < 0 || line.len == 0 || has_controls(line.data))
                return error_fail(err, -EINVAL,
                                  "HTTPS: a request header is empty, too long or holds control characters");
        struct curl_slist *longer = curl_slist_append(x->headers, line.data);
        if (!longer)
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        x->headers = longer;
        return 0;
}

static int add_headers(struct exchange *x, struct error *err)
{
        const struct https_request *q = x->request;
        int r = add_header(x, NULL, "Expect:", err); /* no 100-continue round trip */

        if (r == 0 && q->bearer) {
                _cleanup_(buffer_free) struct buffer value = BUFFER_SECRET(HEADER_LINE_MAX);

                if (buffer_printf(&value, "Bearer %s", q->bearer) < 0)
                        return error_fail(err, -EINVAL, "HTTPS: the bearer token is too long");
                r = add_header(x, "Authorization", value.data, err);
        }
        if (r == 0)
                r = q->content_type ? add_header(x, "Content-Type", q->content_type, err)
                                    : add_header(x, NULL, "Content-Type:", err); /* not libcurl's own */
        for (const char *const *line = q->headers; r == 0 && line && *line; line++)
                r = add_header(x, NULL, *line, err);
        return r;
}

static void headers_clear(struct exchange *x)
{
        for (struct curl_slist *h = x->headers; h; h = h->next)
                wipe(h->data, strlen(h->data));
        curl_slist_free_all(x->headers);
        x->headers = NULL;
}

/* The host of the URL, for error texts; also refuses what is not https. */
static int check_url(struct exchange *x, struct error *err)
{
        CURLU *url = curl_url();
        char *host = NULL;
        int r = 0;

        if (!url || strncmp(x->request->url, "https://", 8) != 0 ||
            curl_url_set(url, CURLUPART_URL, x->request->url, 0) != CURLUE_OK ||
            curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
                r = error_fail(err, -EINVAL, "%.200s: is not an https:// URL", x->request->url);
        else
                snprintf(x->host, sizeof(x->host), "%s", host);
        curl_free(host);
        curl_url_cleanup(url);
        return r;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
        struct exchange *x = arg;

        if (buffer_append(&x->body, bytes, size * n) < 0) {
                x->overflow = true;
                return 0;
        }
        return size * n;
}

/*
 * Gives the request's body out once. libcurl sends a request again on a new connection when a kept one ends
 * without an answer; from here it gets no second copy, because a sign-in that was sent may have been started
 * on.
 */
static size_t on_request_body(char *out, size_t size, size_t n, void *arg)
{
        struct exchange *x = arg;
        size_t left = x->request->body_len - x->given;

        if (left == 0)
                return CURL_READFUNC_ABORT;
        if (left > size * n)
                left = size * n;
        memcpy(out, (const char *)x->request->body + x->given, left);
        x->given += left;
        return left;
}

static int set_method(struct exchange *x, struct error *err)
{
        const struct https_request *q = x->request;
        CURL *curl = x->https->curl;
        const bool put = strcmp(q->method, "PUT") == 0;

        if (strcmp(q->method, "GET") == 0)
                return curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L) == CURLE_OK ? 0 : -ENOMEM;
        if (!put && strcmp(q->method, "POST") != 0)
                return error_fail(err, -EINVAL, "HTTPS: method %.16s is not GET, POST or PUT", q->method);
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
        if (q->body_len > 0) {
                curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_request_body);
                curl_easy_setopt(curl, CURLOPT_READDATA, x);
        } else {
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        }
        if (put)
                curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
        return 0;
}

/* libcurl tells the cause of a failed verification only when it is first in OpenSSL's queue; so it is noted
 * here. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
        SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct https *https = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

        if (!ok)
                https->verify_error = X509_STORE_CTX_get_error(store);
        return ok;
}

static CURLcode on_tls_context(CURL *curl, void *ctx, void *https)
{
        struct https *h = https;
        struct error err = {""};

        (void)curl;
        SSL_CTX_set_app_data((SSL_CTX *)ctx, https);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
        if (!h->key || key_tls_use(ctx, h->chain.data, h->chain.len, h->key, &err) == 0)
                return CURLE_OK;
        snprintf(h->reason, sizeof(h->reason), "%.200s", err.text);
        return CURLE_SSL_CERTPROBLEM;
}

static void set_tls(struct https *https)
{
        CURL *curl = https->curl;

        curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
        curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* both ends prove themselves each time */
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, https);
        if (https->cas.len) {
                struct curl_blob cas = {.data = https->cas.data, .len = https->cas.len, .flags = CURL_BLOB_NOCOPY};

                curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &cas);
                curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* that CA, not the system's as well */
        }
        if (https->cert_file && !https->key)
                curl_easy_setopt(curl, CURLOPT_SSLCERT, https->cert_file);
        if (https->key_file)
                curl_easy_setopt(curl, CURLOPT_SSLKEY, https->key_file);
}

static int set_way(struct exchange *x, struct error *err)
{
        struct https *https = x->https;
        CURLU *url = curl_url();
        char *host = NULL;
        int r = -EINVAL;

        if (url && curl_url_set(url, CURLUPART_URL, x->request->url, 0) == CURLUE_OK &&
            curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
                host[strcspn(host, "]")] = '\0';
                r = http_way_to(&https->way, host[0] == '[' ? host + 1 : host, https->proxy, err);
        } else {
                error_fail(err, r, "HTTPS: libcurl refuses the URL");
        }
        curl_free(host);
        curl_url_cleanup(url);
        buffer_free(&https->proxy_cas);
        https->proxy_cas = BUFFER(2 * CA_BUNDLE_MAX);
        if (r == 0 && https->way.tls)
                r = http_curl_proxy_cas(&https->proxy_cas, https->cas.data, err);
        if (r == 0 && http_curl_apply(https->curl, &https->way, &https->proxy_cas) != CURLE_OK)
                r = error_fail(err, -EIO, "HTTPS: libcurl refuses the proxy");
        return r;
}

static int set_options(struct exchange *x, struct error *err)
{
        const struct https_request *q = x->request;
        struct https *https = x->https;
        CURL *curl = https->curl;
        const long timeout = q->timeout_ms ? (long)q->timeout_ms : TIMEOUT_DEFAULT_MS;
        int r;

        curl_easy_reset(curl); /* keeps its connections */
        https->reason[0] = '\0';
        https->verify_error = X509_V_OK;
        if (curl_easy_setopt(curl, CURLOPT_URL, q->url) != CURLE_OK ||
            curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https") != CURLE_OK)
                return error_fail(err, -EIO, "HTTPS: libcurl refuses the URL");
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout < CONNECT_TIMEOUT_MS ? timeout : CONNECT_TIMEOUT_MS);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, https->reason);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "postern");
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
        if ((r = set_way(x, err)) < 0)
                return r;
        if (q->user) {
                curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
                curl_easy_setopt(curl, CURLOPT_USERNAME, q->user);
                curl_easy_setopt(curl, CURLOPT_PASSWORD, q->password ? q->password : "");
        }
        set_tls(https);
        if ((r = set_method(x, err)) < 0 || (r = add_headers(x, err)) < 0)
                return r;
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, x->headers);
        return 0;
}

/* ---- the answer ---- */

static int verify_failed(const struct exchange *x, struct error *err)
{
        switch (x->https->verify_error) {
        case X509_V_OK:
                return error_fail(err, -EPROTO, "%s: its certificate is for another name (%s)", x->host,
                                  x->https->reason);
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* a CA of the same name with another key */
                return error_fail(err, -EPROTO,
                                  "%s: its certificate is not signed by a CA known here; give its CA with --ca-file",
                                  x->host);
        case X509_V_ERR_CERT_HAS_EXPIRED:
                return error_fail(err, -EPROTO, "%s: its certificate has expired; renew it, or correct the clock here",
                                  x->host);
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return error_fail(err, -EPROTO, "%s: its certificate is not valid yet; correct the clock here",
                                  x->host);
        default:
                return error_fail(err, -EPROTO, "%s: its certificate is not accepted: %s", x->host,
                                  X509_verify_cert_error_string(x->https->verify_error));
        }
}

static int timed_out(const struct exchange *x, struct error *err)
{
        curl_off_t connected = 0;

        curl_easy_getinfo(x->https->curl, CURLINFO_APPCONNECT_TIME_T, &connected);
        if (connected == 0)
                return error_fail(err, -ETIMEDOUT, "%s: no connection in time; check address, port, proxy and firewall",
                                  x->host);
        return error_fail(err, -ETIMEDOUT, "%s: no answer in time", x->host);
}

static int not_connected(const struct exchange *x, struct error *err)
{
        long number = 0;

        curl_easy_getinfo(x->https->curl, CURLINFO_OS_ERRNO, &number);
        return error_fail(err, -ECONNREFUSED, "%s: no connection (%s); check that it runs, its address and port",
                          x->host, number ? strerror((int)number) : x->https->reason);
}

/* Everything that is neither name, connection, time nor certificate. */
static int broken(const struct exchange *x, CURLcode code, struct error *err)
{
        const char *reason = x->https->reason[0] ? x->https->reason : curl_easy_strerror(code);
        /* With bytes of the body given, a failed handshake is that of a second connection: the first one
         * broke. */
        if ((code == CURLE_SSL_CONNECT_ERROR && x->given == 0) || strstr(reason, "alert"))
                return error_fail(err, -EPROTO, "%s: TLS fails: %s", x->host, reason);
        if (code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CIPHER)
                return error_fail(err, -EPROTO, "%s: the CA file or client certificate cannot be used: %s", x->host,
                                  reason);
        return error_fail(err, -EIO, "%s: the connection broke: %s", x->host, reason);
}

static int explain(const struct exchange *x, CURLcode code, struct error *err)
{
        char refused[CURL_ERROR_SIZE];

        if (x->overflow)
                return error_fail(err, -EMSGSIZE, "%s: its answer is longer than %zu bytes", x->host, x->body.max);
        if (code == CURLE_PEER_FAILED_VERIFICATION || x->https->verify_error != X509_V_OK)
                return verify_failed(x, err);
        if (code == CURLE_OPERATION_TIMEDOUT)
                return timed_out(x, err);
        if (x->given == 0 && http_curl_refused(x->https->curl, &x->https->way, refused, sizeof(refused)))
                return error_fail(err, -ECONNREFUSED, "%s: %s", x->host, refused);
        if (x->given > 0) /* never "not connected", which a second connection would say */
                return broken(x, code, err);
        if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
                return error_fail(err, -ECONNREFUSED,
                                  "%s: its name (or the proxy's) does not resolve; check the URL and DNS", x->host);
        if (code == CURLE_COULDNT_CONNECT)
                return not_connected(x, err);
        return broken(x, code, err);
}

/* One header, or "" where it is absent or does not fit: half a value would be a wrong one. */
static void copy_header(CURL *curl, const char *name, char *out, size_t cap)
{
        struct curl_header *header = NULL;

        out[0] = '\0';
        if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK && strlen(header->value) < cap)
                memcpy(out, header->value, strlen(header->value) + 1);
}

static void take_response(struct exchange *x, struct https_response *ret_response)
{
        struct https_response response = {.body = x->body};
        CURL *curl = x->https->curl;
        curl_off_t after = 0;

        x->body = BUFFER(0);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
        curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after);
        copy_header(curl, "Content-Type", response.content_type, sizeof(response.content_type));
        copy_header(curl, "ETag", response.etag, sizeof(response.etag));
        copy_header(curl, "Postern-Connector", response.connector, sizeof(response.connector));
        response.retry_after = after < 0 ? 0 : after > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (uint32_t)after;
        *ret_response = response;
}

int https_do(struct https *https, const struct https_request *request, struct https_response *ret_response,
             struct error *err)
{
        struct exchange x = {.https = https, .request = request};
        int r;

        x.body = BUFFER(request->max_body ? request->max_body : BODY_DEFAULT_MAX);
        if ((r = check_url(&x, err)) == 0 && (r = set_options(&x, err)) == 0) {
                const CURLcode code = curl_easy_perform(https->curl);

                if (code != CURLE_OK)
                        r = explain(&x, code, err);
                else
                        take_response(&x, ret_response);
        }
        curl_easy_reset(https->curl); /* it must not point to what the caller owns */
        headers_clear(&x);
        buffer_free(&x.body);
        return r;
}
