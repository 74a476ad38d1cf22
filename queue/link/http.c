/*
 * libcurl's multi interface on the loop.
 *
 * Invariants: libcurl's socket and timer callbacks only note what it wants watched and never call it; its
 * write callback only stores bytes. After each curl_multi_socket_action, outside of libcurl, `settle` hands
 * out what was stored and what has ended. A call is freed there and nowhere else, so a callback may cancel
 * any call, or free the whole, at any time. Knows nothing of the protocol.
 */
#include "queue/link/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "certs/http/http-curl.h"
#include "certs/keys/key-tls.h"
#include "base/core/cleanup.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define INBOX_MAX (128 * 1024) /* bytes held between libcurl and on_data; past it the transfer is paused */
#define PROBLEM_MAX 16384
#define CONNECT_MS 5000

/* One descriptor that libcurl wants watched. */
struct watch {
        TAILQ_ENTRY(watch) link;
        struct http *http;
        curl_socket_t fd;
        struct loop_io *io;
};

struct http_call {
        TAILQ_ENTRY(http_call) link;
        struct http *http;
        struct http_params params;
        CURL *easy;
        struct curl_slist *headers, *addresses;
        struct dns_query *query; /* the transfer waits for it */
        struct http_way way;
        char *host; /* of the URL */
        uint16_t port;
        size_t asked;        /* names of need() that were looked up */
        struct buffer body;  /* what is sent */
        struct buffer inbox; /* what came and was not handed out */
        bool opened, paused, overflow;
        bool over; /* libcurl is done with it: result is set */
        bool dead; /* cancelled, or on_done was called */
        CURLcode result;
        char error[CURL_ERROR_SIZE];
};

struct http {
        struct loop *loop;
        CURLM *multi;
        struct loop_timer *timer;
        struct link_host *host; /* borrowed */
        char *proxy;            /* as configured, or NULL */
        struct buffer cert, key;
        struct key *held; /* instead of the text in key */
        TAILQ_HEAD(, watch) watches;
        TAILQ_HEAD(, http_call) calls;
        unsigned busy; /* within settle */
        bool dead;     /* freed while busy */
};

/* ---- what libcurl calls ---- */

static void on_io(void *arg, int fd, int events);

static struct watch *watch_of(struct http *http, curl_socket_t fd)
{
        struct watch *w;

        TAILQ_FOREACH (w, &http->watches, link)
                if (w->fd == fd)
                        return w;
        return NULL;
}

static void watch_drop(struct watch *w)
{
        TAILQ_REMOVE(&w->http->watches, w, link);
        w->io = loop_io_free(w->io);
        free(w);
}

static int watch_set(struct http *http, curl_socket_t fd, int events)
{
        struct watch *w = watch_of(http, fd);

        if (w) {
                loop_io_set(w->io, events);
                return 0;
        }
        w = calloc(1, sizeof(*w));
        if (!w)
                return -1;
        w->http = http;
        w->fd = fd;
        if (loop_io_new(&w->io, http->loop, NULL, fd, events, on_io, http) < 0) {
                free(w);
                return -1;
        }
        TAILQ_INSERT_TAIL(&http->watches, w, link);
        return 0;
}

static int socket_cb(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
        struct http *http = arg;
        struct watch *w = watch_of(http, fd);

        (void)easy;
        (void)unused;
        if (what == CURL_POLL_REMOVE) {
                if (w)
                        watch_drop(w);
                return 0;
        }
        return watch_set(http, fd, ((what & CURL_POLL_IN) ? LOOP_READ : 0) | ((what & CURL_POLL_OUT) ? LOOP_WRITE : 0));
}

static int timer_cb(CURLM *multi, long timeout_ms, void *arg)
{
        struct http *http = arg;

        (void)multi;
        if (timeout_ms < 0)
                loop_timer_stop(http->timer);
        else
                loop_timer_in(http->timer, (uint64_t)timeout_ms);
        return 0;
}

static size_t write_cb(char *bytes, size_t size, size_t count, void *arg)
{
        struct http_call *call = arg;
        size_t n = size * count;
        long status = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        if (call->params.on_data && status != 200 && call->inbox.len + n > PROBLEM_MAX)
                return n; /* the start of an error answer says enough */
        if (call->params.on_data && call->inbox.len > 0 && call->inbox.len + n > call->inbox.max) {
                call->paused = true;
                return CURL_WRITEFUNC_PAUSE;
        }
        if (buffer_append(&call->inbox, bytes, n) < 0) {
                call->overflow = true;
                return n ? 0 : 1;
        }
        return n;
}

/* ---- what we hand out ---- */

static void call_free(struct http_call *call)
{
        TAILQ_REMOVE(&call->http->calls, call, link);
        if (call->easy) {
                curl_multi_remove_handle(call->http->multi, call->easy);
                curl_easy_cleanup(call->easy);
        }
        dns_query_cancel(call->query);
        http_way_clear(&call->way);
        free(call->host);
        curl_slist_free_all(call->headers);
        curl_slist_free_all(call->addresses);
        buffer_free(&call->body);
        buffer_free(&call->inbox);
        free(call);
}

static long status_of(const struct http_call *call)
{
        long status = 0;

        (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

static void hand_open(struct http_call *call)
{
        const char *type = NULL;

        call->opened = true;
        if (!call->params.on_open)
                return;
        (void)curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
        call->params.on_open(call->params.arg, type ? type : "");
}

/* A stream's stored bytes, if its answer is 200. Others keep theirs for on_done. */
static void hand_data(struct http_call *call)
{
        if (!call->params.on_data || call->inbox.len == 0 || status_of(call) != 200)
                return;
        if (!call->opened)
                hand_open(call);
        if (call->dead)
                return;
        call->params.on_data(call->params.arg, call->inbox.data, call->inbox.len);
        buffer_clear(&call->inbox);
}

int64_t http_date(const struct http_call *call)
{
        struct curl_header *header = NULL;
        time_t date;

        if (!call || !call->easy || curl_easy_header(call->easy, "Date", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
                return 0;
        date = curl_getdate(header->value, NULL);
        return date > 0 ? (int64_t)date : 0;
}

static void hand_done(struct http_call *call)
{
        const char *why = "";
        char refused[CURL_ERROR_SIZE];
        long status = call->result == CURLE_OK ? status_of(call) : 0;

        if (call->overflow)
                why = "the answer is too long";
        else if (call->result != CURLE_OK && http_curl_refused(call->easy, &call->way, refused, sizeof(refused)))
                why = refused;
        else if (call->result != CURLE_OK)
                why = call->error[0] ? call->error : curl_easy_strerror(call->result);
        call->dead = true;
        call->params.on_done(call->params.arg, status, &call->inbox, why);
}

static void collect(struct http *http)
{
        CURLMsg *msg;
        int left;

        while ((msg = curl_multi_info_read(http->multi, &left))) {
                struct http_call *call = NULL;

                if (msg->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
                call->over = true;
                call->result = msg->data.result;
        }
}

/* Lets a paused transfer go on; libcurl may call write_cb from here. True when there is more to hand out. */
static bool resume(struct http_call *call)
{
        if (!call->paused || call->dead || call->over)
                return false;
        call->paused = false;
        (void)curl_easy_pause(call->easy, CURLPAUSE_CONT);
        return call->inbox.len > 0;
}

static void hand_out(struct http_call *call)
{
        do {
                if (!call->dead)
                        hand_data(call);
        } while (resume(call));
        if (call->over && !call->dead)
                hand_done(call);
}

static struct http *destroy(struct http *http);

/* Hands out everything, then frees what is over. New calls made meanwhile are behind the end of this round.
 */
static void settle(struct http *http)
{
        struct http_call *call, *next;

        http->busy++;
        collect(http);
        TAILQ_FOREACH (call, &http->calls, link)
                hand_out(call);
        http->busy--;
        if (http->busy)
                return;
        for (call = TAILQ_FIRST(&http->calls); call; call = next) {
                next = TAILQ_NEXT(call, link);
                if (call->dead)
                        call_free(call);
        }
        if (http->dead)
                destroy(http);
}

static void on_io(void *arg, int fd, int events)
{
        struct http *http = arg;
        int running;

        (void)curl_multi_socket_action(http->multi, fd,
                                       ((events & LOOP_READ) ? CURL_CSELECT_IN : 0) |
                                               ((events & LOOP_WRITE) ? CURL_CSELECT_OUT : 0),
                                       &running);
        settle(http);
}

/* libcurl does not ask again for a timeout that it thinks is still armed: ours may have fired a fraction of a
 * millisecond before it was due by libcurl's clock. */
static void rearm(struct http *http)
{
        long ms = -1;

        if (!loop_timer_armed(http->timer) && curl_multi_timeout(http->multi, &ms) == CURLM_OK && ms >= 0)
                loop_timer_in(http->timer, ms > 0 ? (uint64_t)ms : 1);
}

static void on_timer(void *arg)
{
        struct http *http = arg;
        int running;

        (void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        rearm(http);
        settle(http);
}

/* ---- making and ending ---- */

static struct http *destroy(struct http *http)
{
        while (!TAILQ_EMPTY(&http->calls))
                call_free(TAILQ_FIRST(&http->calls));
        if (http->multi)
                curl_multi_cleanup(http->multi);
        while (!TAILQ_EMPTY(&http->watches))
                watch_drop(TAILQ_FIRST(&http->watches));
        http->timer = loop_timer_free(http->timer);
        buffer_free(&http->cert);
        buffer_free(&http->key);
        http->held = key_free(http->held);
        free(http->proxy);
        free(http);
        return NULL;
}

struct http *http_free(struct http *http)
{
        struct http_call *call;

        if (!http)
                return NULL;
        if (!http->busy)
                return destroy(http);
        TAILQ_FOREACH (call, &http->calls, link) {
                call->dead = true;
                dns_query_cancel(call->query); /* dns may go before the rest does */
                call->query = NULL;
        }
        http->dead = true;
        return NULL;
}

static int set_up(struct http *http, const struct http_config *config)
{
        int r = 0;

        http->host = config->host;
        if (config->cert_pem)
                r = buffer_append_str(&http->cert, config->cert_pem);
        if (r == 0 && config->key_pem)
                r = buffer_append_str(&http->key, config->key_pem);
        if (r == 0 && config->key)
                http->held = key_ref(config->key);
        if (r == 0 && config->proxy)
                r = text_set(&http->proxy, config->proxy);
        if (r == 0)
                r = loop_timer_new(&http->timer, http->loop, NULL, on_timer, http);
        return r;
}

int http_new(struct http **ret_http, const struct http_config *config, struct error *err)
{
        struct http *http = calloc(1, sizeof(*http));
        CURLM *m;
        int r;

        if (!http)
                return error_fail(err, -ENOMEM, "link: no memory");
        err->text[0] = '\0';
        TAILQ_INIT(&http->watches);
        TAILQ_INIT(&http->calls);
        http->loop = config->loop;
        http->cert = BUFFER(65536);
        http->key = BUFFER_SECRET(16384);
        m = http->multi = curl_multi_init();
        r = set_up(http, config);
        if (!m || r < 0 || curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, socket_cb) != CURLM_OK ||
            curl_multi_setopt(m, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
            curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, timer_cb) != CURLM_OK ||
            curl_multi_setopt(m, CURLMOPT_TIMERDATA, http) != CURLM_OK ||
            curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, 4L) != CURLM_OK) {
                destroy(http);
                return error_fail(err, -ENOMEM, "link: no memory, or a key or certificate that is too long");
        }
        *ret_http = http;
        return 0;
}

/* ---- one call ---- */

static CURLcode set_blob(CURL *easy, CURLoption option, const struct buffer *b)
{
        struct curl_blob blob = {b->data, b->len, CURL_BLOB_NOCOPY};

        return b->len ? curl_easy_setopt(easy, option, &blob) : CURLE_OK;
}

/* Remembers the first failure, so that set-ups read as lists. */
#define SET(option, value) (c = c == CURLE_OK ? curl_easy_setopt(e, (option), (value)) : c)

/* A key in hardware signs by way of OpenSSL's context, as libcurl knows only texts of keys. */
static CURLcode on_tls_context(CURL *easy, void *ctx, void *arg)
{
        struct http_call *call = arg;
        struct error err = {""};

        (void)easy;
        if (key_tls_use(ctx, call->http->cert.data, call->http->cert.len, call->http->held, &err) == 0)
                return CURLE_OK;
        (void)snprintf(call->error, sizeof(call->error), "%.200s", err.text);
        return CURLE_SSL_CERTPROBLEM;
}

static CURLcode set_tls(struct http_call *call)
{
        const struct http *http = call->http;
        CURL *e = call->easy;
        CURLcode c = CURLE_OK;

        SET(CURLOPT_PROTOCOLS_STR, "https");
        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        /* Each connection proves both ends anew: a resumed session asks for no certificate, and a relay that can't
         * resume it (libcurl 8.12 and later offer those of other calls) may end the handshake. */
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
        SET(CURLOPT_SSLCERTTYPE, "PEM");
        SET(CURLOPT_SSLKEYTYPE, "PEM");
        if (http->held) {
                SET(CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
                SET(CURLOPT_SSL_CTX_DATA, call);
        } else {
                c = c == CURLE_OK ? set_blob(e, CURLOPT_SSLCERT_BLOB, &http->cert) : c;
        }
        c = c == CURLE_OK ? set_blob(e, CURLOPT_SSLKEY_BLOB, &http->key) : c;
        c = c == CURLE_OK ? set_blob(e, CURLOPT_CAINFO_BLOB, &http->host->cas) : c;
        /* nothing by path: the process can open no file */
        SET(CURLOPT_CAINFO, NULL);
        SET(CURLOPT_CAPATH, NULL);
        return c == CURLE_OK ? http_curl_apply(e, &call->way, &http->host->proxy_cas) : c;
}

static CURLcode set_call(struct http_call *call)
{
        const struct http_params *p = &call->params;
        CURL *e = call->easy;
        CURLcode c = CURLE_OK;

        SET(CURLOPT_URL, p->url);
        SET(CURLOPT_PRIVATE, call);
        SET(CURLOPT_ERRORBUFFER, call->error);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
        SET(CURLOPT_TIMEOUT_MS, (long)p->timeout_ms);
        SET(CURLOPT_TCP_KEEPALIVE, 1L);
        SET(CURLOPT_WRITEFUNCTION, write_cb);
        SET(CURLOPT_WRITEDATA, call);
        SET(CURLOPT_HTTPHEADER, call->headers);
        SET(CURLOPT_USERAGENT, "posternd");
        if (p->body) {
                SET(CURLOPT_POST, 1L);
                SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
                SET(CURLOPT_POSTFIELDS, call->body.len ? call->body.data : "");
                SET(CURLOPT_CUSTOMREQUEST, p->method);
        }
        return c;
}

static int add_header(struct http_call *call, const char *name, const char *value)
{
        _cleanup_(buffer_free) struct buffer line = BUFFER(256);
        struct curl_slist *list;

        if (!value)
                return 0;
        if (buffer_printf(&line, "%s: %s", name, value) < 0)
                return -ENOMEM;
        list = curl_slist_append(call->headers, line.data);
        if (!list)
                return -ENOMEM;
        call->headers = list;
        return 0;
}

static int add_headers(struct http_call *call)
{
        int r = add_header(call, "Content-Type", call->params.content_type);

        return r < 0 ? r : add_header(call, "Accept", call->params.accept);
}

/* ---- addresses: libcurl would look them up in a thread, which a confined process can't make ---- */

static int add_addresses(struct http_call *call, const char *host, uint16_t port)
{
        struct dns_address found[DNS_ADDRESSES_MAX];
        size_t n = dns_addresses(call->http->host->dns, host, found);
        _cleanup_(buffer_free) struct buffer line = BUFFER(4096);
        struct curl_slist *list;
        int r = buffer_printf(&line, "%s:%u:", host, port);

        for (size_t i = 0; r == 0 && i < n; i++) {
                char text[INET6_ADDRSTRLEN];
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;

                memcpy(&v4, &found[i].storage, sizeof(v4));
                memcpy(&v6, &found[i].storage, sizeof(v6));
                if (found[i].storage.ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text)))
                        r = buffer_printf(&line, "%s[%s]", i ? "," : "", text);
                else if (inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text)))
                        r = buffer_printf(&line, "%s%s", i ? "," : "", text);
        }
        if (r < 0 || n == 0)
                return r;
        list = curl_slist_append(call->addresses, line.data);
        if (!list)
                return -ENOMEM;
        call->addresses = list;
        return 0;
}

static int go(struct http_call *call)
{
        if (call->addresses && curl_easy_setopt(call->easy, CURLOPT_RESOLVE, call->addresses) != CURLE_OK)
                return -ENOMEM;
        return curl_multi_add_handle(call->http->multi, call->easy) == CURLM_OK ? 0 : -ENOMEM;
}

/* Ends a call that never came to libcurl. */
static void fail_call(struct http_call *call, CURLcode result)
{
        call->over = true;
        call->result = result;
        settle(call->http);
}

/* The i-th name whose address libcurl needs, or NULL: the proxy's, and the relay's where it is asked directly or the
 * proxy takes addresses alone. */
static const char *need(const struct http_call *call, size_t i, uint16_t *ret_port)
{
        const struct http_way *way = &call->way;
        const bool proxy = way->url[0] != '\0';

        *ret_port = proxy && i == 0 ? way->port : call->port;
        if (proxy && i == 0)
                return way->host;
        return i == (proxy ? 1 : 0) && (!proxy || way->takes_addresses) ? call->host : NULL;
}

static void on_address(void *arg, const struct dns_address *address, const char *why);

/* Gives libcurl the call with the addresses that it needs, once they are known. */
static int look_up(struct http_call *call)
{
        struct dns *dns = call->http->host->dns;
        struct dns_address known;
        const char *name;
        uint16_t port;
        int r = 0;

        for (; r == 0 && (name = need(call, call->asked, &port)); call->asked++) {
                if (link_host_numeric(name))
                        continue;
                if (!dns_known(dns, &known, name))
                        return dns_query_start(&call->query, dns, name, on_address, call);
                r = add_addresses(call, name, port);
        }
        return r < 0 ? r : go(call);
}

static void on_address(void *arg, const struct dns_address *address, const char *why)
{
        struct http_call *call = arg;
        uint16_t port;
        const char *name = need(call, call->asked, &port);

        call->query = NULL;
        if (!address) {
                (void)snprintf(call->error, sizeof(call->error), "cannot find the address of %.120s: %.100s", name,
                               why);
                fail_call(call, name == call->host ? CURLE_COULDNT_RESOLVE_HOST : CURLE_COULDNT_RESOLVE_PROXY);
                return;
        }
        call->asked++;
        if (add_addresses(call, name, port) < 0 || look_up(call) < 0)
                fail_call(call, CURLE_OUT_OF_MEMORY);
}

static int begin(struct http_call *call, struct error *err)
{
        int r = link_split_url(call->params.url, &call->host, &call->port);

        if (r == 0)
                r = http_way_to(&call->way, call->host, call->http->proxy, err);
        if (r == 0 && (set_call(call) != CURLE_OK || set_tls(call) != CURLE_OK))
                r = -EINVAL;
        call->params.url = NULL; /* the caller's, for the length of the call */
        return r < 0 ? r : look_up(call);
}

int http_start(struct http *http, struct http_call **ret_call, const struct http_params *params, struct error *err)
{
        struct http_call *call = calloc(1, sizeof(*call));

        if (!call)
                return error_fail(err, -ENOMEM, "link: no memory");
        call->http = http;
        call->params = *params;
        call->inbox = BUFFER(params->on_data ? INBOX_MAX : params->max_answer);
        if (params->body) {
                call->body = *params->body;
                *params->body = BUFFER(call->body.max);
        }
        TAILQ_INSERT_TAIL(&http->calls, call, link);
        call->easy = curl_easy_init();
        err->text[0] = '\0';
        if (!call->easy || add_headers(call) < 0 || begin(call, err) < 0) {
                call_free(call);
                return err->text[0] ? -EINVAL
                                    : error_fail(err, -EINVAL, "link: libcurl refuses the call to %s", params->url);
        }
        *ret_call = call;
        return 0;
}

struct http_call *http_cancel(struct http_call *call)
{
        if (!call)
                return NULL;
        call->dead = true;
        if (!call->http->busy)
                call_free(call);
        return NULL;
}
