/*
 * Connections of the HTTP server, from accept to the last byte: their state and deadlines. Who may come, and who makes
 * room: admit.c.
 *
 * Invariants: bytes are read only in CONN_HEAD and CONN_BODY, and never more than one head or one whole
 * request ahead; each state has a deadline or a cap; requests of one connection are handled one after the
 * other. The descriptor is watched edge-triggered once and for all: what is left in it (`more`) is
 * remembered, so a client that sends while it waits costs nothing, and a hang-up is still noticed. A
 * connection is freed by its own turn, its timer or http_free, never under a handler.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/log.h"
#include "queue/http/internal.h"

#define LINGER_MS 1500
#define READ_MAX (16 * 1024)
#define READ_FIRST (2 * 1024) /* of a request: most are shorter, and the room for it is made, cleared and wiped */
#define TURN_STEPS 64         /* of one connection, before others have theirs */

/* ---- states ---- */

static enum conn_rank rank_of(const struct conn *c)
{
        if (c->state == CONN_HEAD && c->served)
                return RANK_IDLE;
        if (c->state == CONN_LINGERING || (c->state <= CONN_BODY && !c->served))
                return RANK_UNSERVED;
        return RANK_BUSY;
}

void http_conn_set(struct conn *c, enum conn_state state)
{
        const struct http_limits *limits = &c->http->config.limits;

        c->http->n_streams += state == CONN_STREAMING;
        c->http->n_streams -= c->state == CONN_STREAMING;
        c->state = state;
        if (rank_of(c) != c->rank)
                http_admit_rank(c, rank_of(c));
        switch (state) {
        case CONN_HEAD:
                loop_timer_in(c->timer, c->served && !c->in.len ? limits->idle_ms : limits->deadline_ms);
                break;
        case CONN_BODY: /* the head's deadline goes on */
                break;
        case CONN_ANSWERING:
        case CONN_STREAMING:
                loop_timer_stop(c->timer);
                break;
        case CONN_SENDING:
                loop_timer_in(c->timer, limits->send_ms);
                break;
        case CONN_LINGERING:
                loop_timer_in(c->timer, LINGER_MS);
                break;
        case CONN_CLOSING:
                loop_timer_stop(c->timer);
                loop_io_wake(c->io);
                break;
        }
}

void http_conn_kill(struct conn *c)
{
        if (c->state != CONN_CLOSING)
                http_conn_set(c, CONN_CLOSING);
}

/* ---- bytes ---- */

void http_conn_flush(struct conn *c)
{
        while (c->out.len && c->state != CONN_CLOSING) {
                ssize_t n = http_bytes_send(c->ssl, c->fd, c->out.data, c->out.len);
                if (n == -EAGAIN)
                        return;
                if (n <= 0)
                        http_conn_kill(c);
                else if ((size_t)n < c->out.len)
                        buffer_consume(&c->out, (size_t)n);
                else
                        buffer_free(&c->out);
        }
}

/* Reads, so that up to so many bytes are there; false: nothing came. */
static bool fill(struct conn *c, size_t up_to)
{
        size_t room = up_to - c->in.len;
        ssize_t n = -EAGAIN;

        if (!c->more)
                return false;
        const size_t most = c->in.len ? READ_MAX : READ_FIRST;
        room = room < most ? room : most;
        if (buffer_reserve(&c->in, room) == 0)
                n = http_bytes_recv(c->ssl, c->fd, c->in.data + c->in.len, room);
        else
                http_conn_kill(c);
        if (n > 0) {
                if (c->in.len == 0 && c->state == CONN_HEAD)
                        loop_timer_in(c->timer, c->http->config.limits.deadline_ms);
                c->in.len += (size_t)n;
                c->more = c->ssl || c->hung_up || (size_t)n == room; /* epoll(7): a short read has emptied it */
                return true;
        }
        if (n != -EAGAIN)
                http_conn_kill(c);
        c->more = c->ssl && SSL_want_write(c->ssl); /* a handshake that waits for room, not for bytes */
        if (c->in.len == 0)
                buffer_free(&c->in); /* whoever is idle costs little */
        return false;
}

/* Throws away what a client still sends, without a look into it. */
static bool discard(struct conn *c)
{
        static char trash[64 * 1024];
        ssize_t n = c->more ? read(c->fd, trash, sizeof(trash)) : -1;

        if (n == 0 || (n < 0 && c->more && errno != EAGAIN && errno != EINTR))
                http_conn_kill(c);
        c->more = n > 0;
        return n > 0;
}

/* ---- requests ---- */

static size_t whole_length(const struct conn *c)
{
        return c->head->length + (size_t)c->head->content_length;
}

/* The last answer of a connection that went wrong. */
static void refuse(struct conn *c, enum problem_type type, const char *why)
{
        log_debug("http_refused", KV_S("peer", c->peer), KV_S("problem", problem_word(type)), KV_S("detail", why));
        c->last = true;
        http_conn_set(c, CONN_ANSWERING);
        http_fail(&c->req, type, why);
}

static void find_route(struct conn *c)
{
        const struct http_config *config = &c->http->config;

        for (size_t i = 0; i < config->n_routes && !c->req.route; i++) {
                const struct http_route *route = &config->routes[i];
                if (!http_path_match(route->pattern, c->head->path, &c->req.parts))
                        continue;
                c->req.allowed |= 1U << route->method;
                if (route->method == c->head->method)
                        c->req.route = route;
        }
}

void http_conn_forget_request(struct conn *c)
{
        buffer_free(&c->in);
        free(c->head);
        c->head = NULL;
}

/* Looks at the head once it is whole. */
static bool take_head(struct conn *c)
{
        struct error err = {""};

        if (c->in.len == 0)
                return false;
        if (!c->head && !(c->head = calloc(1, sizeof(*c->head)))) {
                http_conn_kill(c);
                return false;
        }
        int r = http_head_parse(c->head, c->in.data, c->in.len, &err);
        if (r == HTTP_HEAD_MORE)
                return false;
        c->req = (struct http_req){.conn = c, .headers = BUFFER(HTTP_HEAD_MAX)};
        if (r < 0) {
                refuse(c,
                       r == -EMSGSIZE     ? PROBLEM_TOO_LARGE
                       : r == -EOPNOTSUPP ? PROBLEM_NO_SUCH_METHOD
                       : r == -ENODATA    ? PROBLEM_LENGTH_REQUIRED
                                          : PROBLEM_MALFORMED,
                       err.text);
                return true;
        }
        find_route(c);
        uint32_t max = c->req.route ? c->req.route->body_max : c->http->config.limits.body_max;
        if (c->head->content_length > max) {
                error_fail(&err, -EMSGSIZE, "the body may have %u bytes here", max);
                refuse(c, PROBLEM_TOO_LARGE, err.text);
                return true;
        }
        c->last = c->head->closes;
        http_conn_set(c, CONN_BODY);
        /* RFC 9110 10.1.1: not where the body is there already */
        if (c->head->expects_continue && c->in.len < whole_length(c))
                (void)buffer_append_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        return true;
}

/* Hands the request to its handler once it is whole. */
static bool take_request(struct conn *c)
{
        const struct http_config *config = &c->http->config;

        if (c->in.len < whole_length(c))
                return false;
        for (unsigned i = 0; i < c->head->n_fields; i++) /* values become strings; a blank or CR follows each */
                c->in.data[c->head->field[i].value + c->head->field[i].n_value] = '\0';
        http_conn_set(c, CONN_ANSWERING);
        if (config->before)
                config->before(config->arg);
        if (c->req.route)
                c->req.route->fn(config->arg, &c->req);
        else
                http_fail(&c->req, c->req.allowed ? PROBLEM_NO_SUCH_METHOD : PROBLEM_NOT_FOUND, NULL);
        return true;
}

/* The answer has left: the next request, which may be there already (pipelining, RFC 9112 9.3.2), or the end.
 */
static void finish(struct conn *c)
{
        c->served = true;
        if (c->last) {
                http_conn_forget_request(c);
                http_bytes_end(c->ssl);
                (void)shutdown(c->fd, SHUT_WR); /* RFC 9112 9.6 */
                c->more = true;
                http_conn_set(c, CONN_LINGERING);
                return;
        }
        if (c->in.len > whole_length(c))
                buffer_consume(&c->in, whole_length(c));
        else
                http_conn_forget_request(c);
        http_conn_set(c, CONN_HEAD);
}

/* ---- turns ---- */

/* One step; false: it is the peer's turn, or the handler's. */
static bool step(struct conn *c)
{
        switch (c->state) {
        case CONN_HEAD:
                return take_head(c) || fill(c, HTTP_HEAD_MAX);
        case CONN_BODY:
                return take_request(c) || fill(c, whole_length(c));
        case CONN_ANSWERING:
        case CONN_STREAMING:
                if (c->hung_up)
                        http_conn_kill(c);
                return false;
        case CONN_SENDING:
                if (c->out.len == 0)
                        finish(c);
                return c->out.len == 0;
        case CONN_LINGERING:
                return discard(c);
        case CONN_CLOSING:
                break;
        }
        return false;
}

void http_conn_turn(struct conn *c)
{
        int budget = TURN_STEPS;
        bool waited;

        c->in_turn = true;
        do {
                waited = c->out.len > 0;
                http_conn_flush(c);
                if (waited && c->out.len == 0 && c->state == CONN_STREAMING && c->req.drained)
                        c->req.drained(c->req.close_arg);
        } while (step(c) && --budget);
        c->in_turn = false;
        if (c->state == CONN_CLOSING)
                http_conn_free(c);
        else if (!budget)
                loop_io_wake(c->io);
}

void http_conn_answered(struct conn *c)
{
        http_conn_set(c, CONN_SENDING);
        if (c->in_turn) /* the turn goes on when the handler returns */
                return;
        http_conn_flush(c);
        if (c->state == CONN_SENDING && c->out.len == 0)
                finish(c);
        if (c->state != CONN_SENDING && (c->in.len || c->more))
                loop_io_wake(c->io);
}

static void on_conn_io(void *arg, int fd, int events)
{
        struct conn *c = arg;
        struct pollfd p = {.fd = fd, .events = POLLRDHUP};

        c->more |= (events & LOOP_READ) != 0;
        if (events & LOOP_HANGUP)
                c->hung_up = true;
        else if ((events & LOOP_READ) && (c->state == CONN_ANSWERING || c->state == CONN_STREAMING))
                /* a reset shows as readable only */
                c->hung_up |= poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
        if (c->more && c->state == CONN_HEAD && http_tls_shaking(c))
                http_admit_shake(c);
        else
                http_conn_turn(c);
}

static void on_conn_deadline(void *arg)
{
        struct conn *c = arg;

        log_debug("http_deadline", KV_S("peer", c->peer), KV_U("state", c->state));
        http_conn_free(c);
}

/* ---- life ---- */

int http_conn_new(struct http *http, int fd, const struct sockaddr *address, enum http_transport transport)
{
        struct conn *c = calloc(1, sizeof(*c));

        if (!c) {
                close(fd);
                return -ENOMEM;
        }
        c->http = http;
        c->fd = fd;
        int r = http_admit(c, address);
        if (r < 0) {
                close(fd);
                free(c);
                return r;
        }
        c->in = (struct buffer){.max = UINT32_MAX, .wiped = http->config.secret_bodies};
        c->out = BUFFER(HTTP_ANSWER_MAX);
        if (loop_timer_new(&c->timer, http->config.loop, NULL, on_conn_deadline, c) < 0 ||
            loop_io_new(&c->io, http->config.loop, NULL, fd, LOOP_READ | LOOP_WRITE | LOOP_HANGUP | LOOP_EDGE,
                        on_conn_io, c) < 0 ||
            (transport == HTTP_TLS && http_tls_attach(c) < 0)) {
                http_conn_free(c);
                return -ENOMEM;
        }
        http_conn_set(c, CONN_HEAD);
        return 0;
}

struct conn *http_conn_free(struct conn *c)
{
        struct http *http = c->http;

        if (c->req.on_close)
                c->req.on_close(c->req.close_arg);
        http_admit_leave(c);
        http->n_streams -= c->state == CONN_STREAMING;
        http_bytes_end(c->ssl);
        SSL_free(c->ssl);
        if (c->facts)
                c->free_facts(c->facts);
        loop_io_free(c->io);
        loop_timer_free(c->timer);
        close(c->fd);
        http_conn_forget_request(c);
        buffer_free(&c->out);
        buffer_free(&c->req.headers);
        free(c);
        return NULL;
}
