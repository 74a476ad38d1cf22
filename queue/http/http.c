/*
 * Connections of the relay's HTTP server, from accept to the last byte.
 *
 * Owns every struct conn (through its SSL) and its state. Why evhttp is never left alone, with
 * libevent 2.1.12: it has no limits of its own, ends the process when bytes arrive while an answer is pending
 * ("illegal connection state"), answers errors in HTML and is silent when a waiting client hangs up. Hence
 * the invariants: evhttp's read callback runs only for a head that http_head_parse passed (the read watermark
 * holds it back until then) and never while the handler or the socket has the answer; every state has a
 * deadline or a cap; a connection ends only by conn_kill, which lets evhttp clean up through its own error
 * callback. Knows nothing of paths and tenants.
 */
#include "queue/http/http.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/http/internal.h"

#define HOLD_BACK (1U << 30) /* read watermark that no input reaches */
#define LINGER_TICK_MS 20
#define LINGER_TICKS 75
#define REFUSAL_INPUT_MAX (256 * 1024) /* input that is held, and thrown away, while a refusal leaves */
#define POLL_MS 500
#define FREE_TURNS 1000

int http_conn_index = -1;

/* ---- states ---- */

static uint64_t state_deadline(enum conn_state state)
{
        switch (state) {
        case CONN_HEAD:
                return HTTP_IDLE_MS;
        case CONN_SENDING:
                return HTTP_SEND_MS;
        case CONN_REFUSING:
                return HTTP_DEADLINE_MS;
        case CONN_CLOSING:
                return 0;
        case CONN_BODY: /* keeps the head's deadline */
        case CONN_ANSWERING:
        case CONN_STREAMING:
                break;
        }
        return UINT64_MAX;
}

void conn_set(struct conn *c, enum conn_state state)
{
        uint64_t in = state_deadline(state);

        c->state = state;
        if (state == CONN_ANSWERING || state == CONN_STREAMING)
                loop_timer_stop(c->timer);
        else if (in != UINT64_MAX)
                loop_timer_in(c->timer, in);
}

void conn_kill(struct conn *c)
{
        if (c->state != CONN_CLOSING)
                conn_set(c, CONN_CLOSING);
}

/* ---- hang-up of a client that waits for its answer ---- */

static void hung_up(struct conn *c)
{
        conn_unwatch(c);
        if (c->req)
                req_closed(c->req);
        conn_kill(c);
}

/* libevent reports a reset as readable only, so readable is watched too and looked into. */
static void on_watch(int fd, short what, void *arg)
{
        struct conn *c = arg;
        char byte;

        if (what & EV_CLOSED) {
                hung_up(c);
                return;
        }
        ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0) {
                /* Bytes that nobody asked for: the descriptor stays readable, so look only now and then. */
                event_del(c->watch);
                loop_timer_in(c->poll, POLL_MS);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                hung_up(c);
        }
}

static void look_for_hang_up(struct conn *c)
{
        struct pollfd p = {.fd = SSL_get_fd(c->ssl), .events = POLLRDHUP};

        if (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)))
                hung_up(c);
        else
                loop_timer_in(c->poll, POLL_MS);
}

void conn_watch(struct conn *c)
{
        c->watch = event_new(loop_base(c->http->config.loop), SSL_get_fd(c->ssl), EV_READ | EV_CLOSED | EV_PERSIST,
                             on_watch, c);
        if (!c->watch || event_add(c->watch, NULL) < 0)
                conn_kill(c);
}

void conn_unwatch(struct conn *c)
{
        loop_timer_stop(c->poll);
        if (c->watch)
                event_free(c->watch);
        c->watch = NULL;
}

/* ---- the gate ---- */

static void push(struct evbuffer *out, const char *text)
{
        evbuffer_add(out, text, strlen(text));
}

/* Answers without evhttp, which from now on only cleans up. */
static void refuse(struct conn *c, enum problem_type type, const char *detail)
{
        struct evbuffer *out = bufferevent_get_output(c->bev);
        struct buffer body = BUFFER(4096);
        bufferevent_data_cb on_read, on_write;
        bufferevent_event_cb on_event;
        void *arg;

        bufferevent_getcb(c->bev, &on_read, &on_write, &on_event, &arg);
        bufferevent_setcb(c->bev, NULL, NULL, on_event, arg);
        bufferevent_setwatermark(c->bev, EV_READ, 0, REFUSAL_INPUT_MAX);
        conn_set(c, CONN_REFUSING);
        if (problem_encode(&(struct problem){.type = type, .detail = detail}, &body) < 0) {
                conn_kill(c);
                return;
        }
        evbuffer_add_printf(out, "HTTP/1.1 %d Refused\r\n", problem_status(type));
        push(out, "Content-Type: application/problem+json\r\nCache-Control: no-store\r\nConnection: close\r\n");
        evbuffer_add_printf(out, "Content-Length: %zu\r\n\r\n", body.len);
        evbuffer_add(out, body.data, body.len);
        buffer_free(&body);
        bufferevent_enable(c->bev, EV_READ | EV_WRITE);
        log_debug("http_refused", KV_S("problem", problem_word(type)), KV_S("detail", detail));
}

static enum problem_type head_problem(int code)
{
        switch (code) {
        case -EMSGSIZE:
                return PROBLEM_TOO_LARGE;
        case -EOPNOTSUPP:
                return PROBLEM_NO_SUCH_METHOD;
        case -ENODATA:
                return PROBLEM_LENGTH_REQUIRED;
        default:
                return PROBLEM_MALFORMED;
        }
}

/* Looks at the head as far as it is there; lets evhttp have it once it is whole and clean. */
static void look_at_head(struct conn *c, struct evbuffer *input)
{
        char text[HTTP_HEAD_MAX];
        struct error err = {""};

        ev_ssize_t n = evbuffer_copyout(input, text, sizeof(text));
        int r = http_head_parse(&c->head, text, n > 0 ? (size_t)n : 0, &err);
        if (r == HTTP_HEAD_MORE)
                return;
        if (r < 0) {
                refuse(c, head_problem(r), err.text);
                return;
        }
        uint32_t max = c->http->config.body_max(c->http->config.arg, &c->head);
        if (c->head.content_length > max) {
                error_fail(&err, -EMSGSIZE, "the body may have %u bytes here", max);
                refuse(c, PROBLEM_TOO_LARGE, err.text);
                return;
        }
        conn_set(c, CONN_BODY);
        bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
}

static void on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
        struct conn *c = arg;

        if (info->n_added == 0 || c->state != CONN_HEAD)
                return;
        if (info->orig_size == 0)
                loop_timer_in(c->timer, HTTP_DEADLINE_MS);
        look_at_head(c, input);
}

/* Notices that a refusal has left. */
static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
        struct conn *c = arg;

        if (c->state == CONN_REFUSING && info->n_deleted > 0 && evbuffer_get_length(output) == 0 &&
            c->linger_ticks == 0) {
                c->linger_ticks = 1;
                loop_timer_in(c->timer, LINGER_TICK_MS);
        }
}

/* Throws away what a refused client still sends, so that closing does not reset the answer away. */
static void linger(struct conn *c)
{
        struct evbuffer *input = bufferevent_get_input(c->bev);

        if (c->linger_ticks == 0 || c->linger_ticks > LINGER_TICKS) {
                conn_kill(c);
                return;
        }
        if (c->linger_ticks++ == 1)
                shutdown(SSL_get_fd(c->ssl), SHUT_WR);
        evbuffer_drain(input, evbuffer_get_length(input));
        loop_timer_in(c->timer, LINGER_TICK_MS);
}

/* ---- life of a connection ---- */

static void drop(struct conn *c)
{
        conn_unwatch(c);
        if (c->req)
                req_closed(c->req);
        bufferevent_trigger_event(c->bev, BEV_EVENT_ERROR | BEV_EVENT_READING, 0);
}

static void on_timer(void *arg)
{
        struct conn *c = arg;

        if (c->state == CONN_REFUSING)
                linger(c);
        else if (c->state == CONN_CLOSING)
                drop(c);
        else
                conn_kill(c);
}

/* Frees a connection along with its SSL. */
static void on_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
        struct conn *c = ptr;

        (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
        if (!c)
                return;
        conn_unwatch(c);
        c->timer = loop_timer_free(c->timer);
        c->poll = loop_timer_free(c->poll);
        TAILQ_REMOVE(&c->http->conns, c, link);
        c->http->n_conns--;
        free(c);
}

/* evhttp is about to free the connection. */
static void on_evcon_close(struct evhttp_connection *evcon, void *arg)
{
        struct conn *c = arg;
        struct http_req *r = c->req;

        (void)evcon;
        conn_unwatch(c);
        c->state = CONN_CLOSING;
        loop_timer_stop(c->timer);
        if (!r)
                return;
        req_closed(r);
        c->req = NULL;
        if (!r->answered && !evhttp_request_get_connection(r->ev))
                evhttp_request_free(r->ev);
        req_free(r);
}

/* The answer has left; evhttp goes on to the next request, or closes. */
static void on_complete(struct evhttp_request *ev, void *arg)
{
        struct conn *c = arg;
        struct evbuffer *input = bufferevent_get_input(c->bev);

        (void)ev;
        c->req = req_free(c->req);
        c->served = true;
        TAILQ_REMOVE(&c->http->conns, c, link); /* the list is in the order of last use */
        TAILQ_INSERT_TAIL(&c->http->conns, c, link);
        conn_set(c, CONN_HEAD);
        bufferevent_setwatermark(c->bev, EV_READ, HOLD_BACK, 0);
        if (evbuffer_get_length(input) > 0) { /* pipelined bytes would pass evhttp ungated */
                evbuffer_drain(input, evbuffer_get_length(input));
                conn_kill(c);
        }
}

/* One client, as far as addresses tell: an IPv6 host may use all of its /64. */
static bool same_client(const struct in6_addr *a, const struct in6_addr *b)
{
        size_t n = IN6_IS_ADDR_V4MAPPED(a) ? sizeof(*a) : sizeof(*a) / 2;

        return IN6_IS_ADDR_V4MAPPED(a) == IN6_IS_ADDR_V4MAPPED(b) && memcmp(a, b, n) == 0;
}

/* Connections of one client, or (NULL) of all. Those on their way out count no more; those of this turn that were not
 * looked at yet, not yet. */
static unsigned count_conns(const struct http *http, const struct in6_addr *client)
{
        const struct conn *c;
        unsigned n = 0;

        TAILQ_FOREACH (c, &http->conns, link)
                n += c->admitted && c->state != CONN_CLOSING && (!client || same_client(&c->address, client));
        return n;
}

/*
 * Which connection makes room, of one client or (NULL) of all: of those that have not brought a whole request yet the
 * oldest, of those between two requests the one that has waited longest; whichever kind there is more of, for that is
 * the kind that fills the place. So those who hold connections open for nothing, silent or served once, lock nobody
 * out, also not those who share an address with them; and who has just come is not pushed out by the next one. NULL:
 * all have work.
 */
static struct conn *stalest(const struct http *http, const struct in6_addr *client)
{
        struct conn *c, *idle = NULL, *unserved = NULL;
        unsigned n_idle = 0, n_unserved = 0;

        TAILQ_FOREACH (c, &http->conns, link) {
                if (!c->admitted || (c->state != CONN_HEAD && c->state != CONN_BODY) ||
                    (client && !same_client(&c->address, client)))
                        continue;
                if (!c->served) {
                        unserved = unserved ? unserved : c;
                        n_unserved++;
                } else if (c->state == CONN_HEAD) {
                        idle = idle ? idle : c;
                        n_idle++;
                }
        }
        return n_idle > n_unserved ? idle : unserved;
}

static void note_address(struct conn *c)
{
        struct sockaddr_storage ss = {0};
        socklen_t n = sizeof(ss);

        if (getpeername(SSL_get_fd(c->ssl), (struct sockaddr *)&ss, &n) < 0)
                return;
        if (ss.ss_family == AF_INET6) {
                memcpy(&c->address, &((struct sockaddr_in6 *)&ss)->sin6_addr, sizeof(c->address));
        } else if (ss.ss_family == AF_INET) { /* v4-mapped */
                c->address.s6_addr[10] = c->address.s6_addr[11] = 0xff;
                memcpy(&c->address.s6_addr[12], &((struct sockaddr_in *)&ss)->sin_addr, 4);
        }
}

/* First turn of a connection: now its descriptor is known. Over a cap the stalest is dropped, of its own client first;
 * itself, before the handshake has cost anything, where all others have work. */
static void admit(struct conn *c)
{
        const struct http_config *config = &c->http->config;
        struct conn *out = NULL;
        bool over = true;

        note_address(c);
        if (count_conns(c->http, &c->address) >= config->per_address_max)
                out = stalest(c->http, &c->address);
        else if (count_conns(c->http, NULL) >= config->connections_max)
                out = stalest(c->http, NULL);
        else
                over = false;
        c->admitted = true;
        if (over) {
                log_debug("http_over_cap", KV_U("connections", c->http->n_conns));
                conn_kill(out ? out : c);
        }
}

static void on_poll(void *arg)
{
        struct conn *c = arg;

        if (c->admitted)
                look_for_hang_up(c);
        else
                admit(c);
}

static int conn_new(struct http *http, SSL *ssl)
{
        struct conn *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->http = http;
        c->ssl = ssl;
        if (loop_timer_new(&c->timer, http->config.loop, NULL, on_timer, c) < 0 ||
            loop_timer_new(&c->poll, http->config.loop, NULL, on_poll, c) < 0 ||
            SSL_set_ex_data(ssl, http_conn_index, c) != 1) {
                loop_timer_free(c->timer);
                loop_timer_free(c->poll);
                free(c);
                return -ENOMEM;
        }
        TAILQ_INSERT_TAIL(&http->conns, c, link);
        http->n_conns++;
        return 0;
}

/* evhttp asks for the transport of a connection that it has accepted. NULL would make it plain text:
 * on_request ends that. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
        struct http *http = arg;
        SSL *ssl = SSL_new(http->tls);

        if (!ssl || conn_new(http, ssl) < 0) {
                SSL_free(ssl);
                return NULL;
        }
        struct conn *c = SSL_get_ex_data(ssl, http_conn_index);
        c->bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
        if (!c->bev) {
                SSL_free(ssl);
                return NULL;
        }
        bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
        bufferevent_setwatermark(c->bev, EV_READ, HOLD_BACK, 0);
        evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c);
        evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, c);
        loop_timer_in(c->timer, HTTP_DEADLINE_MS);
        loop_timer_in(c->poll, 0);
        return c->bev;
}

/* ---- requests ---- */

/* evhttp has a whole request. */
static void on_request(struct evhttp_request *ev, void *arg)
{
        struct http *http = arg;
        struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
        struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
        SSL *ssl = bufferevent_openssl_get_ssl(bev);
        struct conn *c = ssl ? SSL_get_ex_data(ssl, http_conn_index) : NULL;
        bufferevent_data_cb on_read, on_write;
        bufferevent_event_cb on_event;
        void *evarg;

        if (!c || c->state != CONN_BODY || !(c->req = req_new(c, ev))) {
                evhttp_send_error(ev, 503, NULL);
                return;
        }
        evhttp_connection_set_closecb(evcon, on_evcon_close, c);
        evhttp_request_set_on_complete_cb(ev, on_complete, c);
        bufferevent_disable(bev, EV_READ);
        bufferevent_getcb(bev, &on_read, &on_write, &on_event, &evarg);
        bufferevent_setcb(bev, NULL, on_write, on_event, evarg);
        bufferevent_setwatermark(bev, EV_READ, HOLD_BACK, 0);
        conn_set(c, CONN_ANSWERING);
        if (evbuffer_get_length(bufferevent_get_input(bev)) > 0)
                http_add_header(c->req, "Connection", "close");
        conn_watch(c);
        http->config.handler(http->config.arg, c->req);
}

/* ---- the server ---- */

int http_new(struct http **ret_http, const struct http_config *config, struct error *err)
{
        struct http *http = calloc(1, sizeof(*http));

        if (http_conn_index < 0)
                http_conn_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
        if (!http || http_conn_index < 0 || !(http->ev = evhttp_new(loop_base(config->loop)))) {
                free(http);
                return error_fail(err, -ENOMEM, "no memory for the HTTP server");
        }
        http->config = *config;
        TAILQ_INIT(&http->conns);
        evhttp_set_allowed_methods(http->ev, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT);
        evhttp_set_max_headers_size(http->ev, HTTP_HEAD_MAX);
        evhttp_set_max_body_size(http->ev, 1 << 20); /* never reached: the gate knows the limit of each path */
        evhttp_set_default_content_type(http->ev, NULL);
        evhttp_set_bevcb(http->ev, on_accept, http);
        evhttp_set_gencb(http->ev, on_request, http);
        *ret_http = http;
        return 0;
}

struct http *http_free(struct http *http)
{
        if (!http)
                return NULL;
        evhttp_free(http->ev);
        for (int i = 0; i < FREE_TURNS && !TAILQ_EMPTY(&http->conns); i++) /* bufferevents finish from the loop */
                loop_run_once(http->config.loop);
        SSL_CTX_free(http->tls);
        free(http);
        return NULL;
}

int http_set_tls(struct http *http, const char *cert_file, const char *key_file, X509 *client_ca, struct error *err)
{
        SSL_CTX *ctx = NULL;

        int r = http_tls_context(&ctx, cert_file, key_file, client_ca, err);
        if (r < 0)
                return r;
        SSL_CTX_free(http->tls);
        http->tls = ctx;
        return 0;
}

int http_check_tls(const char *cert_file, const char *key_file, struct error *err)
{
        SSL_CTX *ctx = NULL;
        int r = http_tls_context(&ctx, cert_file, key_file, NULL, err);

        SSL_CTX_free(ctx);
        return r;
}

unsigned http_connections(const struct http *http)
{
        return http->n_conns;
}
