/*
 * Requests by libcurl's multi interface: what a call needs, and calls that block.
 *
 * Invariant: only https, TLS 1.2 or newer, the peer verified, no redirect followed, answer and time bounded; libcurl
 * asks neither environment nor configuration of its own. Calls on the loop: https-start.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/http/https-internal.h"
#include "certs/keys/key-tls.h"
#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define TIMEOUT_DEFAULT_MS 15000
#define CONNECT_MAX_MS 10000
#define CONNECT_LOOP_MS 5000
#define REUSE_MAX_S 60 /* idle for longer than this a connection is not used again: servers close theirs after 75 s */
#define BODY_DEFAULT_MAX (1024 * 1024)
#define HEADER_LINE_MAX 4096
#define CHAIN_MAX 65536
#define KEY_TEXT_MAX 16384
#define RETRY_AFTER_MAX 86400

/* ---- files and URLs ---- */

int https_system_cas(struct buffer *out, struct error *err)
{
        const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;
        _cleanup_(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

        if (fd < 0)
                return error_fail(err, -ENOENT,
                                  "the system's CAs are not in %s; install ca-certificates or name "
                                  "the relay's CA",
                                  path ? path : "one file");
        return fd_read_all(out, fd, err);
}

/* A host may do without the system's CAs where the relay's are given. */
int https_proxy_cas(struct buffer *out, const char *ca_pem, struct error *err)
{
        int r = https_system_cas(out, err);

        if (!ca_pem || !*ca_pem || (r < 0 && r != -ENOENT))
                return r;
        return buffer_append_str(out, "\n") < 0 || buffer_append_str(out, ca_pem) < 0
                       ? error_fail(err, -EMSGSIZE, "the CAs are too long")
                       : 0;
}

int https_split_url(const char *url, char out[256], uint16_t *ret_port)
{
        CURLU *u = curl_url();
        char *host = NULL, *port = NULL;
        int r = -EINVAL;

        if (u && strncmp(url, "https://", 8) == 0 && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK && strlen(host) < 256) {
                const size_t v6 = host[0] == '['; /* an IPv6 address */

                *ret_port = (uint16_t)strtoul(port, NULL, 10);
                memcpy(out, host + v6, strlen(host) + 1 - v6);
                out[strlen(out) - v6] = '\0';
                r = 0;
        }
        curl_free(host);
        curl_free(port);
        curl_url_cleanup(u);
        return r;
}

/* ---- the handle ---- */

struct https *https_free(struct https *https)
{
        if (!https)
                return NULL;
        if (https->stop)
                https->stop(https);
        if (https->dead) /* a callback is running: its end comes back */
                return NULL;
        curl_multi_cleanup(https->multi);
        buffer_free(&https->own_cas);
        buffer_free(&https->own_proxy_cas);
        buffer_free(&https->cert);
        buffer_free(&https->key_text);
        key_free(https->key);
        free(https->proxy);
        free(https);
        return NULL;
}

/* A text, or what is in a file. */
static int take_text(struct buffer *out, const char *text, const char *file, const char *what, struct error *err)
{
        int r = text ? buffer_append_str(out, text) : 0;

        if (r < 0)
                return error_fail(err, r, "the %s is too long", what);
        r = !text && file ? file_read(out, file, err) : 0;
        return r < 0 ? error_prefix(err, r, "%s", what) : 0;
}

int https_new(struct https **ret_https, const struct https_config *config, struct error *err)
{
        static bool initialised;
        _cleanup_(https_freep) struct https *https = calloc(1, sizeof(*https));
        int r;

        if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return error_fail(err, -EIO, "HTTPS: libcurl cannot start");
        initialised = true;
        if (!https || !(https->multi = curl_multi_init()) ||
            curl_multi_setopt(https->multi, CURLMOPT_MAXCONNECTS, config->keep ? (long)config->keep : 4L) != CURLM_OK)
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        https->own_cas = BUFFER(CA_BUNDLE_MAX);
        https->own_proxy_cas = BUFFER(2 * CA_BUNDLE_MAX);
        https->cert = BUFFER(CHAIN_MAX);
        https->key_text = BUFFER_SECRET(KEY_TEXT_MAX);
        https->cas = config->cas ? config->cas : &https->own_cas;
        https->proxy_cas = config->cas ? config->proxy_cas : NULL;
        https->agent = config->agent ? config->agent : "postern";
        https->keep = config->keep ? config->keep : 4;
        if (config->ca_file && (r = ca_bundle_read(&https->own_cas, config->ca_file, NULL, err)) < 0)
                return error_prefix(err, r, "CA file");
        if ((r = take_text(&https->cert, config->cert_pem, config->cert_file, "client certificate", err)) < 0 ||
            (r = take_text(&https->key_text, config->key_pem, config->key_file, "client key", err)) < 0)
                return r;
        https->key = config->key ? key_ref(config->key) : NULL;
        if (config->proxy && text_set(&https->proxy, config->proxy) < 0)
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        *ret_https = steal(https);
        return 0;
}

/* ---- a call ---- */

/* Remembers the first failure, so that set-ups read as lists. */
#define SET(option, value) (c = c == CURLE_OK ? curl_easy_setopt(e, (option), (value)) : c)

static CURLcode set_blob(CURL *easy, CURLoption option, const struct buffer *b)
{
        struct curl_blob blob = {b->data, b->len, CURL_BLOB_NOCOPY};

        return b->len ? curl_easy_setopt(easy, option, &blob) : CURLE_OK;
}

/* Adds "name: value"; a line break in it would be a header of somebody else's. */
static int add_header(struct https_call *call, const char *name, const char *value, struct error *err)
{
        _cleanup_(buffer_free) struct buffer line = BUFFER_SECRET(HEADER_LINE_MAX);
        int r = name ? buffer_printf(&line, "%s: %s", name, value) : buffer_append_str(&line, value);

        for (size_t i = 0; r == 0 && i < line.len; i++)
                r = (unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f ? -EINVAL : 0;
        if (r < 0 || line.len == 0)
                return error_fail(err, -EINVAL,
                                  "HTTPS: a request header is empty, too long or holds control characters");
        struct curl_slist *longer = curl_slist_append(call->headers, line.data);
        if (!longer)
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        call->headers = longer;
        return 0;
}

static int add_headers(struct https_call *call, const struct https_request *q, struct error *err)
{
        int r = add_header(call, NULL, "Expect:", err); /* no 100-continue round trip */

        if (r == 0 && q->bearer) {
                _cleanup_(buffer_free) struct buffer value = BUFFER_SECRET(HEADER_LINE_MAX);

                if (buffer_printf(&value, "Bearer %s", q->bearer) < 0)
                        return error_fail(err, -EINVAL, "HTTPS: the bearer token is too long");
                r = add_header(call, "Authorization", value.data, err);
        }
        if (r == 0)
                r = q->content_type ? add_header(call, "Content-Type", q->content_type, err)
                                    : add_header(call, NULL, "Content-Type:", err); /* not libcurl's own */
        if (r == 0 && q->accept)
                r = add_header(call, "Accept", q->accept, err);
        for (const char *const *line = q->headers; r == 0 && line && *line; line++)
                r = add_header(call, NULL, *line, err);
        return r;
}

/*
 * Gives the request's body out once. libcurl sends a request again on a new connection when a kept one ends
 * without an answer; from here it gets no second copy, because a sign-in that was sent may have been started
 * on.
 */
static size_t on_request_body(char *out, size_t size, size_t n, void *arg)
{
        struct https_call *call = arg;
        size_t left = call->body_len - call->given;

        if (left == 0)
                return CURL_READFUNC_ABORT;
        if (left > size * n)
                left = size * n;
        memcpy(out, call->body + call->given, left);
        call->given += left;
        return left;
}

static CURLcode set_body(struct https_call *call, const char *method)
{
        CURL *e = call->easy;
        CURLcode c = CURLE_OK;

        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
        if (call->once && call->body_len > 0) {
                SET(CURLOPT_READFUNCTION, on_request_body);
                SET(CURLOPT_READDATA, call);
        } else {
                SET(CURLOPT_POSTFIELDS, call->body_len ? call->body : "");
        }
        SET(CURLOPT_CUSTOMREQUEST, method);
        return c;
}

/* libcurl tells the cause of a failed verification only when it is first in OpenSSL's queue; so it is noted
 * here. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
        SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct https *https = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

        if (!ok) {
                const X509 *cert = X509_STORE_CTX_get_current_cert(store);
                char *text = https->verify_text;

                https->verify_error = X509_STORE_CTX_get_error(store);
                text[0] = '\0';
                if (cert)
                        X509_NAME_oneline(X509_get_issuer_name(cert), text, (int)sizeof(https->verify_text));
                for (; *text; text++) /* it may be anybody's */
                        *text = *text >= ' ' && *text < 0x7f ? *text : '?';
        }
        return ok;
}

/* A key in hardware signs by way of OpenSSL's context, as libcurl knows only texts of keys. */
static CURLcode on_tls_context(CURL *curl, void *ctx, void *arg)
{
        struct https_call *call = arg;
        struct https *https = call->https;
        struct error err = {""};

        (void)curl;
        SSL_CTX_set_app_data((SSL_CTX *)ctx, https);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
        if (call->keeps) /* one read for head and body of a record; nobody but https-kept.c reads here */
                SSL_CTX_set_read_ahead((SSL_CTX *)ctx, 1);
        if (!https->key || key_tls_use(ctx, https->cert.data, https->cert.len, https->key, &err) == 0)
                return CURLE_OK;
        (void)snprintf(call->reason, sizeof(call->reason), "%.200s", err.text);
        return CURLE_SSL_CERTPROBLEM;
}

static CURLcode set_tls(struct https_call *call)
{
        const struct https *https = call->https;
        CURL *e = call->easy;
        CURLcode c = CURLE_OK;

        SET(CURLOPT_PROTOCOLS_STR, "https");
        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        /* Each connection proves both ends anew: a resumed session asks for no certificate, and a relay that can't
         * resume it (libcurl 8.12 and later offer those of other calls) may end the handshake. */
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
        SET(CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
        SET(CURLOPT_SSL_CTX_DATA, call);
        SET(CURLOPT_SSLCERTTYPE, "PEM");
        SET(CURLOPT_SSLKEYTYPE, "PEM");
        if (!https->key)
                c = c == CURLE_OK ? set_blob(e, CURLOPT_SSLCERT_BLOB, &https->cert) : c;
        c = c == CURLE_OK ? set_blob(e, CURLOPT_SSLKEY_BLOB, &https->key_text) : c;
        c = c == CURLE_OK ? set_blob(e, CURLOPT_CAINFO_BLOB, https->cas) : c;
        if (https->cas->len) { /* those CAs, not the system's as well; and no file is opened */
                SET(CURLOPT_CAINFO, NULL);
                SET(CURLOPT_CAPATH, NULL);
        }
        return c;
}

/* The proxy or none, its user, the kinds of authentication, its CAs. Nothing of the environment counts afterwards. No
 * Kerberos: it would open files of its own, which a confined process can't. */
static CURLcode set_way(struct https_call *call)
{
        const struct http_way *way = &call->way;
        CURL *e = call->easy;
        CURLcode c = CURLE_OK;

        SET(CURLOPT_PROXY, way->url); /* "" shuts out the environment's */
        SET(CURLOPT_NOPROXY, "");
        if (way->has_user) {
                SET(CURLOPT_PROXYUSERNAME, way->user);
                SET(CURLOPT_PROXYPASSWORD, way->password);
        }
        SET(CURLOPT_PROXYAUTH, (long)(CURLAUTH_BASIC | CURLAUTH_DIGEST | CURLAUTH_NTLM));
        SET(CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
        if (way->tls) {
                SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
                c = c == CURLE_OK ? set_blob(e, CURLOPT_PROXY_CAINFO_BLOB, call->https->proxy_cas) : c;
                SET(CURLOPT_PROXY_CAINFO, NULL);
                SET(CURLOPT_PROXY_CAPATH, NULL);
        }
        return c;
}

/* Which way the call goes, and what a proxy is known by. */
static int find_way(struct https_call *call, struct error *err)
{
        struct https *https = call->https;
        int r = http_way_to(&call->way, call->host, https->proxy, err);

        if (r < 0 || !call->way.tls || https->proxy_cas)
                return r;
        r = https_proxy_cas(&https->own_proxy_cas, https->cas->data, err);
        https->proxy_cas = &https->own_proxy_cas;
        return r;
}

static CURLcode set_call(struct https_call *call, const struct https_request *q, curl_write_callback write)
{
        const bool blocks = !call->https->loop;
        const long timeout = q->timeout_ms || !blocks ? (long)q->timeout_ms : TIMEOUT_DEFAULT_MS;
        const long connect = q->connect_ms ? (long)q->connect_ms : blocks ? CONNECT_MAX_MS : CONNECT_LOOP_MS;
        CURL *e = call->easy;
        CURLcode c = CURLE_OK;

        SET(CURLOPT_URL, q->url);
        SET(CURLOPT_PRIVATE, call);
        SET(CURLOPT_ERRORBUFFER, call->reason);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        SET(CURLOPT_CONNECTTIMEOUT_MS, timeout && timeout < connect ? timeout : connect);
        SET(CURLOPT_TIMEOUT_MS, timeout);
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_MAXAGE_CONN, (long)REUSE_MAX_S);
        SET(CURLOPT_WRITEFUNCTION, write);
        SET(CURLOPT_WRITEDATA, call);
        SET(CURLOPT_HTTPHEADER, call->headers);
        SET(CURLOPT_USERAGENT, call->https->agent);
        if (call->keeps)
                SET(CURLOPT_CONNECT_ONLY, 1L);
        if (q->user) {
                SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
                SET(CURLOPT_USERNAME, q->user);
                SET(CURLOPT_PASSWORD, q->password ? q->password : "");
        }
        c = c == CURLE_OK && strcmp(q->method, "GET") != 0 && !call->keeps ? set_body(call, q->method) : c;
        c = c == CURLE_OK ? set_tls(call) : c;
        return c == CURLE_OK ? set_way(call) : c;
}

int https_call_new(struct https_call **ret_call, struct https *https, const struct https_request *request,
                   const struct https_handlers *handlers, curl_write_callback write, struct error *err)
{
        struct https_call *call = calloc(1, sizeof(*call));
        int r = 0;

        if (!call || !(call->easy = curl_easy_init())) {
                free(call);
                return error_fail(err, -ENOMEM, "HTTPS: out of memory");
        }
        call->https = https;
        call->keeps = request->keeps && handlers && !handlers->on_data;
        call->body = request->body;
        call->body_len = request->body_len;
        call->kept = call->inbox = BUFFER(request->max_body ? request->max_body : BODY_DEFAULT_MAX);
        if (handlers)
                call->handlers = *handlers;
        if (handlers && !call->keeps) {
                call->kept = BUFFER(request->body_len);
                r = buffer_append(&call->kept, request->body, request->body_len);
                call->body = call->kept.data;
        }
        call->once = !handlers || request->once;
        if (r < 0)
                error_fail(err, r, "HTTPS: out of memory");
        else if (https_split_url(request->url, call->host, &call->port) < 0)
                r = error_fail(err, -EINVAL, "%.200s: is not an https:// URL", request->url);
        else if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "PUT") != 0 &&
                 strcmp(request->method, "POST") != 0)
                r = error_fail(err, -EINVAL, "HTTPS: method %.16s is not GET, POST or PUT", request->method);
        else if ((r = find_way(call, err)) == 0 && (call->keeps || (r = add_headers(call, request, err)) == 0) &&
                 set_call(call, request, write) != CURLE_OK)
                r = error_fail(err, -EIO, "HTTPS: libcurl refuses the call to %.200s", call->host);
        if (r < 0)
                https_call_free(call);
        else
                *ret_call = call;
        return r;
}

struct https_call *https_call_free(struct https_call *call)
{
        curl_multi_remove_handle(call->https->multi, call->easy);
        curl_easy_cleanup(call->easy);
        if (call->keeps)
                call->https->let_go(call);
        for (struct curl_slist *h = call->headers; h; h = h->next)
                wipe(h->data, strlen(h->data));
        curl_slist_free_all(call->headers);
        curl_slist_free_all(call->addresses);
        http_way_clear(&call->way);
        buffer_free(&call->kept);
        buffer_free(&call->inbox);
        free(call);
        return NULL;
}

void https_collect(struct https *https)
{
        CURLMsg *msg;
        int left;

        while ((msg = curl_multi_info_read(https->multi, &left))) {
                struct https_call *call = NULL;

                if (msg->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
                call->over = true;
                call->result = msg->data.result;
        }
}

long https_status(const struct https_call *call)
{
        long status = call->answer.status;

        if (!call->keeps)
                (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

/* ---- calls that block ---- */

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
        struct https_call *call = arg;

        call->overflow |= buffer_append(&call->inbox, bytes, size * n) < 0;
        return call->overflow ? 0 : size * n;
}

/* Half a value would be a wrong one. */
void https_header(const struct https_call *call, const char *name, char *out, size_t cap)
{
        struct curl_header *header = NULL;

        out[0] = '\0';
        if (call->keeps && call->answer.status)
                https_answer_header(&call->answer, call->head.data, name, out, cap);
        else if (curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
                 strlen(header->value) < cap)
                memcpy(out, header->value, strlen(header->value) + 1);
}

static void take_response(struct https_call *call, struct https_response *ret_response)
{
        struct https_response response = {.status = https_status(call), .body = call->inbox};
        curl_off_t after = 0;

        call->inbox = BUFFER(0);
        curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &after);
        https_header(call, "Content-Type", response.content_type, sizeof(response.content_type));
        https_header(call, "ETag", response.etag, sizeof(response.etag));
        https_header(call, "Postern-Connector", response.connector, sizeof(response.connector));
        response.retry_after = after < 0 ? 0 : after > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (uint32_t)after;
        *ret_response = response;
}

int https_do(struct https *https, const struct https_request *request, struct https_response *ret_response,
             struct error *err)
{
        struct https_call *call = NULL;
        int running, r;

        https->verify_error = X509_V_OK;
        r = https_call_new(&call, https, request, NULL, on_body, err);
        if (!call)
                return r;
        bool works = curl_multi_add_handle(https->multi, call->easy) == CURLM_OK;
        while (works && !call->over) {
                works = curl_multi_perform(https->multi, &running) == CURLM_OK;
                https_collect(https);
                if (works && !call->over)
                        works = curl_multi_poll(https->multi, NULL, 0, 1000, NULL) == CURLM_OK;
        }
        if (!works)
                r = error_fail(err, -EIO, "%s: libcurl cannot make the call", call->host);
        else if (call->result != CURLE_OK)
                r = https_why(call, err);
        else
                take_response(call, ret_response);
        https_call_free(call);
        return r;
}

void https_response_clear(struct https_response *response)
{
        buffer_free(&response->body);
        *response = (struct https_response){.body = BUFFER(0)};
}
