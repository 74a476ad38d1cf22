/*
 * Connections of the HTTP server, from accept to the last byte: their state, deadlines, caps, and who makes
 * room.
 *
 * Invariants: bytes are read only in CONN_HEAD and CONN_BODY, and never more than one head or one whole
 * request ahead; each state has a deadline or a cap; requests of one connection are handled one after the
 * other. The descriptor is watched edge-triggered once and for all: what is left in it (`more`) is
 * remembered, so a client that sends while it waits costs nothing, and a hang-up is still noticed. A
 * connection is freed by its own turn, its timer or http_free, never under a handler.
 */
#include <arpa/inet.h>
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
#define TURN_STEPS 64 /* of one connection, before others have theirs */

/* ---- states ---- */

static enum conn_rank rank_of(const struct conn *c)
{
        if (c->state == CONN_HEAD && c->served)
                return RANK_IDLE;
        if (c->state == CONN_LINGERING || (c->state <= CONN_BODY && !c->served))
                return RANK_UNSERVED;
        return RANK_BUSY;
}

/* Moves it to the end of the list of its rank. */
static void set_rank(struct conn *c, enum conn_rank rank)
{
        struct http *http = c->http;

        TAILQ_REMOVE(&http->ranks[c->rank], c, by_rank);
        http->n_rank[c->rank]--;
        TAILQ_INSERT_TAIL(&http->ranks[rank], c, by_rank);
        http->n_rank[rank]++;
        c->rank = rank;
        c->ranked = ++http->ticks;
}

void http_conn_set(struct conn *c, enum conn_state state)
{
        const struct http_limits *limits = &c->http->config.limits;

        c->http->n_streams += state == CONN_STREAMING;
        c->http->n_streams -= c->state == CONN_STREAMING;
        c->state = state;
        if (rank_of(c) != c->rank)
                set_rank(c, rank_of(c));
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
                ssize_t n = http_tls_send(c, c->out.data, c->out.len);
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
        room = room < READ_MAX ? room : READ_MAX;
        if (buffer_reserve(&c->in, room) == 0)
                n = http_tls_recv(c, c->in.data + c->in.len, room);
        else
                http_conn_kill(c);
        if (n > 0) {
                if (c->in.len == 0 && c->state == CONN_HEAD)
                        loop_timer_in(c->timer, c->http->config.limits.deadline_ms);
                c->in.len += (size_t)n;
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
        return c->head.length + (size_t)c->head.content_length;
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
                if (!http_path_match(route->pattern, c->head.path, &c->req.parts))
                        continue;
                c->req.allowed |= 1U << route->method;
                if (route->method == c->head.method)
                        c->req.route = route;
        }
}

/* Looks at the head once it is whole. */
static bool take_head(struct conn *c)
{
        struct error err = {""};
        int r = c->in.len ? http_head_parse(&c->head, c->in.data, c->in.len, &err) : HTTP_HEAD_MORE;

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
        if (c->head.content_length > max) {
                error_fail(&err, -EMSGSIZE, "the body may have %u bytes here", max);
                refuse(c, PROBLEM_TOO_LARGE, err.text);
                return true;
        }
        c->last = c->head.closes;
        http_conn_set(c, CONN_BODY);
        /* RFC 9110 10.1.1: not where the body is there already */
        if (c->head.expects_continue && c->in.len < whole_length(c))
                (void)buffer_append_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        return true;
}

/* Hands the request to its handler once it is whole. */
static bool take_request(struct conn *c)
{
        const struct http_config *config = &c->http->config;

        if (c->in.len < whole_length(c))
                return false;
        for (unsigned i = 0; i < c->head.n_fields; i++) /* values become strings; a blank or CR follows each */
                c->in.data[c->head.field[i].value + c->head.field[i].n_value] = '\0';
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
                buffer_free(&c->in);
                http_tls_close_notify(c);
                (void)shutdown(c->fd, SHUT_WR); /* RFC 9112 9.6 */
                c->more = true;
                http_conn_set(c, CONN_LINGERING);
                return;
        }
        if (c->in.len > whole_length(c))
                buffer_consume(&c->in, whole_length(c));
        else
                buffer_free(&c->in);
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

static void conn_turn(struct conn *c)
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

/* A reset shows as readable only. */
static bool is_reset(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLRDHUP};

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void on_conn_io(void *arg, int fd, int events)
{
        struct conn *c = arg;

        c->more |= (events & LOOP_READ) != 0;
        if ((events & LOOP_HANGUP) ||
            ((events & LOOP_READ) && (c->state == CONN_ANSWERING || c->state == CONN_STREAMING) && is_reset(fd)))
                c->hung_up = true;
        conn_turn(c);
}

static void on_conn_deadline(void *arg)
{
        struct conn *c = arg;

        log_debug("http_deadline", KV_S("peer", c->peer), KV_U("state", c->state));
        http_conn_free(c);
}

/* ---- who may come, who makes room ---- */

/* One client, as far as addresses tell: an IPv6 host may use all of its /64. */
static bool same_client(const struct in6_addr *a, const struct in6_addr *b)
{
        return memcmp(a, b, IN6_IS_ADDR_V4MAPPED(a) ? sizeof(*a) : sizeof(*a) / 2) == 0;
}

static struct conn_bucket *bucket_of(struct http *http, const struct in6_addr *a)
{
        uint64_t x;

        memcpy(&x, &a->s6_addr[IN6_IS_ADDR_V4MAPPED(a) ? 8 : 0], sizeof(x));
        return &http->buckets[(x * (http->seed | 1)) >> 56];
}

/*
 * Makes room for one more connection of the client (NULL: a UNIX socket's). Of those that have not brought a
 * whole request yet the oldest goes, of those between two requests the one that has waited longest; whichever
 * kind there is more of, for that is the kind that fills the place: over the client's own cap among its own,
 * over the other among all. So those who hold connections open for nothing, silent or served once, lock
 * nobody out, also not those who share an address with them; and who has just come is not pushed out by the
 * next one. False: all have work.
 */
static bool make_room(struct http *http, const struct in6_addr *client)
{
        struct conn *c, *stalest[RANKS_] = {NULL};
        unsigned n[RANKS_] = {0}, all = 0;

        if (client) {
                LIST_FOREACH (c, bucket_of(http, client), by_address) {
                        if (!same_client(&c->address, client))
                                continue;
                        all++;
                        n[c->rank]++;
                        if (!stalest[c->rank] || c->ranked < stalest[c->rank]->ranked)
                                stalest[c->rank] = c;
                }
        }
        if (!client || all < http->config.limits.per_address) {
                if (http_connections(http) < http->config.limits.connections)
                        return true;
                for (int i = 0; i < RANKS_; i++) {
                        n[i] = http->n_rank[i];
                        stalest[i] = TAILQ_FIRST(&http->ranks[i]);
                }
        }
        log_debug("http_over_cap", KV_U("connections", http_connections(http)));
        c = stalest[n[RANK_IDLE] > n[RANK_UNSERVED] ? RANK_IDLE : RANK_UNSERVED];
        if (c)
                http_conn_free(c);
        return c != NULL;
}

/* ---- life ---- */

/* The peer's address, as IPv6 and in words; false: it has none. */
static bool read_address(struct conn *c, const struct sockaddr *address)
{
        struct in6_addr *a = &c->address;

        if (address->sa_family == AF_INET6) {
                *a = ((const struct sockaddr_in6 *)address)->sin6_addr;
        } else if (address->sa_family == AF_INET) {
                a->s6_addr[10] = a->s6_addr[11] = 0xff;
                memcpy(&a->s6_addr[12], &((const struct sockaddr_in *)address)->sin_addr, 4);
        } else {
                memcpy(c->peer, "unix", sizeof("unix"));
                return false;
        }
        bool v4 = IN6_IS_ADDR_V4MAPPED(a);
        return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &a->s6_addr[12] : a->s6_addr, c->peer, sizeof(c->peer)) != NULL;
}

int http_conn_new(struct http *http, int fd, const struct sockaddr *address, enum http_transport transport)
{
        struct conn *c = calloc(1, sizeof(*c));

        if (!c) {
                close(fd);
                return -ENOMEM;
        }
        bool counted = read_address(c, address);
        if (!make_room(http, counted ? &c->address : NULL)) {
                close(fd);
                free(c);
                return -EBUSY;
        }
        c->http = http;
        c->fd = fd;
        c->in = (struct buffer){.max = UINT32_MAX, .secret = http->config.secret_bodies};
        c->out = BUFFER(HTTP_ANSWER_MAX);
        c->ranked = ++http->ticks;
        TAILQ_INSERT_TAIL(&http->ranks[RANK_UNSERVED], c, by_rank);
        http->n_rank[RANK_UNSERVED]++;
        LIST_INSERT_HEAD(bucket_of(http, &c->address), c, by_address);
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
        TAILQ_REMOVE(&http->ranks[c->rank], c, by_rank);
        http->n_rank[c->rank]--;
        http->n_streams -= c->state == CONN_STREAMING;
        LIST_REMOVE(c, by_address);
        if (c->ssl)
                http_tls_close_notify(c);
        SSL_free(c->ssl);
        loop_io_free(c->io);
        loop_timer_free(c->timer);
        close(c->fd);
        buffer_free(&c->in);
        buffer_free(&c->out);
        buffer_free(&c->req.headers);
        free(c);
        return NULL;
}
