/*
 * One connection: TCP by a loop_io, TLS by bufferevent_openssl, whole messages cut out of its input.
 *
 * Invariants: one request under way at a time, and every message must answer it; anything else ends the
 * connection. The bytes of a request live in one buffer (a bind's in secure memory) that the bufferevent only
 * refers to and that is wiped when it was written or dropped. Requests are smaller than a TLS record: as long
 * as the output holds one, no part of it can be read by the peer. Who uses the connection next is the pool's
 * business.
 */
#include "validate/ldap/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "validate/types/detail.h"

#define STARTTLS_ID 1
#define STARTTLS_ANSWER_MAX 1024

enum conn_state {
        CONN_CONNECTING = 0, /* TCP */
        CONN_STARTTLS,       /* TCP stands, the DC was asked to begin TLS */
        CONN_HANDSHAKE,      /* TLS */
        CONN_REST,           /* open, nothing under way */
        CONN_ASKED,          /* a request is under way */
        CONN_CLOSED,         /* waits for the last callback to return */
};

struct ldap_conn {
        struct ldap_conn_link link;
        struct loop *loop;
        const struct ldap_tls *tls;
        struct ldap_conn_target target;
        char host[257];
        struct ldap_conn_events events;
        struct ldap_conn_user user; /* on_message NULL: nobody's */
        enum conn_state state;
        int fd; /* until the bufferevent owns it */
        int connect_error;
        struct loop_io *io;
        struct loop_timer *timer; /* connect and handshake, later idleness */
        struct bufferevent *bev;
        struct ldap_tls_result tls_result;
        int32_t id; /* of the request under way, or the last */
        size_t request_n;
        uint64_t idle_since;
        unsigned depth; /* callbacks of ours that are running */
};

static const char *const state_names[] = {[CONN_CONNECTING] = "connecting", [CONN_STARTTLS] = "starttls",
                                          [CONN_HANDSHAKE] = "handshake",   [CONN_REST] = "rest",
                                          [CONN_ASKED] = "asked",           [CONN_CLOSED] = "closed"};

/* The one writer of state. */
static void state_set(struct ldap_conn *conn, enum conn_state state)
{
        log_debug("ldap_conn", KV_S("dc", conn->host), KV_S("from", state_names[conn->state]),
                  KV_S("to", state_names[state]));
        conn->state = state;
}

/* Gives back what the connection holds; the struct itself waits for running callbacks. */
struct ldap_conn *ldap_conn_free(struct ldap_conn *conn)
{
        if (!conn)
                return NULL;
        if (conn->state != CONN_CLOSED)
                state_set(conn, CONN_CLOSED);
        conn->io = loop_io_free(conn->io);
        conn->timer = loop_timer_free(conn->timer);
        if (conn->bev)
                bufferevent_free(conn->bev); /* closes the socket, drops and wipes what is unsent */
        conn->bev = NULL;
        if (conn->fd >= 0)
                close(conn->fd);
        conn->fd = -1;
        if (conn->depth == 0)
                free(conn);
        return NULL;
}

static void enter(struct ldap_conn *conn)
{
        conn->depth++;
        if (conn->user.on_message)
                log_set_id(conn->user.id);
}

/* False when the connection was freed meanwhile. */
static bool leave(struct ldap_conn *conn)
{
        if (--conn->depth > 0)
                return conn->state != CONN_CLOSED;
        log_set_id(NULL);
        if (conn->state != CONN_CLOSED)
                return true;
        free(conn);
        return false;
}

bool ldap_conn_left(const struct ldap_conn *conn)
{
        if (!conn->bev || conn->request_n == 0)
                return false;
        return evbuffer_get_length(bufferevent_get_output(conn->bev)) < conn->request_n;
}

/* The one way a connection ends by itself. */
static void fail(struct ldap_conn *conn, enum reason reason, const char *why)
{
        struct ldap_conn_user user = conn->user;
        bool left = conn->state == CONN_ASKED && ldap_conn_left(conn);

        log_debug("ldap_conn_lost", KV_S("dc", conn->host), KV_S("reason", reason_info(reason)->id), KV_S("why", why));
        enter(conn);
        conn->events.on_down(conn->events.arg, conn, reason, why);
        ldap_conn_free(conn);
        if (user.on_message)
                user.on_lost(user.arg, reason, why, left);
        leave(conn);
}

static void fail_errno(struct ldap_conn *conn, const char *what, int error)
{
        char why[160];

        snprintf(why, sizeof why, "%s: %s", what, strerror(error));
        if (error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH)
                fail(conn, REASON_DC_UNREACHABLE, why);
        else if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS || error == EADDRNOTAVAIL)
                fail(conn, REASON_OVERLOADED, why);
        else
                fail(conn, REASON_DC_REFUSED, why);
}

static void on_conn_timer(void *arg)
{
        struct ldap_conn *conn = arg;
        char why[96];

        switch (conn->state) {
        case CONN_CONNECTING:
        case CONN_STARTTLS:
        case CONN_HANDSHAKE:
                if (conn->connect_error) {
                        fail_errno(conn, "connect", conn->connect_error);
                        return;
                }
                snprintf(why, sizeof why, "%s after %u ms",
                         conn->state == CONN_CONNECTING ? "no connection" : "TLS handshake not finished",
                         (unsigned)conn->target.timeout_ms);
                fail(conn, conn->state == CONN_CONNECTING ? REASON_DC_UNREACHABLE : REASON_DC_TLS_TIMEOUT, why);
                return;
        case CONN_REST:
                if (!conn->user.on_message)
                        fail(conn, REASON_OK, "idle");
                return;
        case CONN_ASKED:
        case CONN_CLOSED:
                return;
        }
}

/* What lies behind an error of a handshake, where that is known. */
static enum detail handshake_detail(unsigned long code)
{
        switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        case SSL_R_NO_PROTOCOLS_AVAILABLE:
                return DETAIL_TLS_VERSION;
        case SSL_R_WRONG_VERSION_NUMBER: /* the other end answered in clear ... */
        case SSL_R_HTTP_REQUEST:
        case SSL_R_PACKET_LENGTH_TOO_LONG:
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: /* ... or hung up on the first bytes */
                return DETAIL_PORT_WITHOUT_TLS;
        default: /* a foreign number, not an enum of ours */
                return DETAIL_NONE;
        }
}

/* Why a handshake did not end well, which says nothing of a certificate. */
static void fail_handshake(struct ldap_conn *conn, unsigned long code, int error)
{
        const char *said = code && !ERR_SYSTEM_ERROR(code) ? ERR_reason_error_string(code) : NULL;
        const int system = ERR_SYSTEM_ERROR(code) ? (int)ERR_GET_REASON(code) : error;
        const char *text = said ? said : system ? strerror(system) : "closed by the DC";
        const enum detail known = handshake_detail(code);
        const enum detail detail = known == DETAIL_NONE && !said ? DETAIL_PORT_WITHOUT_TLS : known;
        char why[sizeof conn->tls_result.why];

        snprintf(why, sizeof why, "TLS: %s%s%s", detail_phrase(detail), detail ? ": " : "", text);
        fail(conn, REASON_DC_TLS, why);
}

/* Why a handshake or an open connection ended, after the bufferevent said ERROR or EOF. */
static void fail_event(struct ldap_conn *conn, short what, int error)
{
        unsigned long code = bufferevent_get_openssl_error(conn->bev);
        const char *text = code ? ERR_reason_error_string(code) : NULL;
        char why[sizeof conn->tls_result.why];

        ERR_clear_error();
        if (conn->state == CONN_HANDSHAKE && conn->tls_result.refused) {
                snprintf(why, sizeof why, "%s", conn->tls_result.why);
                fail(conn, REASON_DC_CERTIFICATE, why);
        } else if (conn->state == CONN_HANDSHAKE &&
                   (error == 0 || what & BEV_EVENT_EOF || error == ECONNRESET || code)) {
                fail_handshake(conn, code, error);
        } else if (text) {
                snprintf(why, sizeof why, "TLS: %s", text);
                fail(conn, REASON_DC_TLS, why);
        } else if (what & BEV_EVENT_EOF || error == 0) {
                fail(conn, REASON_DC_REFUSED, "closed by the DC");
        } else {
                fail_errno(conn, "connection", error);
        }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
        struct ldap_conn *conn = arg;
        int error = EVUTIL_SOCKET_ERROR();

        (void)bev;
        if (!(what & BEV_EVENT_CONNECTED)) {
                fail_event(conn, what, error);
                return;
        }
        state_set(conn, CONN_REST);
        conn->idle_since = loop_now(conn->loop);
        loop_timer_in(conn->timer, conn->target.idle_ms);
        enter(conn);
        conn->events.on_open(conn->events.arg, conn);
        leave(conn);
}

/* Gives one whole message to the user. False when the connection is gone. */
static bool dispatch(struct ldap_conn *conn, uint8_t *bytes, size_t n)
{
        struct ldap_message m;
        int r = ldap_message_parse(&m, bytes, n);
        char why[80];

        if (r < 0) {
                fail(conn, r == -ENOMEM ? REASON_OVERLOADED : REASON_DC_PROTOCOL, "malformed LDAP message");
                return false;
        }
        /* Message 0 is the server's own word; only Notice of Disconnection exists. */
        if (m.id == 0 && m.op == LDAP_OP_EXTENDED && ldap_bytes_is(&m.name, LDAP_OID_DISCONNECT)) {
                snprintf(why, sizeof why, "Notice of Disconnection, LDAP result %d", (int)m.result);
                fail(conn, REASON_DC_ERROR, why);
                return false;
        }
        if (m.id == 0 || conn->state != CONN_ASKED || m.id != conn->id) {
                fail(conn, REASON_DC_PROTOCOL, m.id == 0 ? "unsolicited message" : "a message that answers no request");
                return false;
        }
        if (m.op != LDAP_OP_ENTRY && m.op != LDAP_OP_REFERENCE) {
                state_set(conn, CONN_REST);
                conn->idle_since = loop_now(conn->loop);
                loop_timer_in(conn->timer, conn->target.idle_ms);
        }
        enter(conn);
        conn->user.on_message(conn->user.arg, &m);
        return leave(conn);
}

/* Cuts the next whole message out of the input: 0 and a buffer, 1 when it isn't all there, -errno. */
static int cut(struct evbuffer *input, struct buffer *out)
{
        uint8_t head[6];
        ev_ssize_t got = evbuffer_copyout(input, head, sizeof head);
        size_t len = 0;
        int r = got <= 0 ? 1 : ldap_message_length(head, (size_t)got, &len);

        if (r != 0)
                return r;
        if (evbuffer_get_length(input) < len)
                return 1;
        r = buffer_reserve(out, len);
        if (r < 0)
                return r;
        if (evbuffer_remove(input, out->data, len) != (int)len)
                return -EIO;
        out->len = len;
        return 0;
}

static void on_read(struct bufferevent *bev, void *arg)
{
        struct ldap_conn *conn = arg;
        bool go_on = true;
        int r = 0;

        while (go_on) {
                struct buffer message = BUFFER(LDAP_MESSAGE_MAX);

                r = cut(bufferevent_get_input(bev), &message);
                go_on = r == 0 && dispatch(conn, (uint8_t *)message.data, message.len);
                buffer_free(&message);
                if (!go_on)
                        break;
        }
        if (r == -EMSGSIZE)
                fail(conn, REASON_DC_PROTOCOL, "LDAP message over 256 KiB");
        else if (r < 0)
                fail(conn, r == -ENOMEM ? REASON_OVERLOADED : REASON_DC_PROTOCOL, "not an LDAP message");
}

static void tls_begin(struct ldap_conn *conn)
{
        SSL *ssl;

        ssl = ldap_tls_session(conn->tls, conn->host, &conn->tls_result);
        if (ssl)
                conn->bev =
                        bufferevent_openssl_socket_new(loop_base(conn->loop), conn->fd, ssl, BUFFEREVENT_SSL_CONNECTING,
                                                       BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        if (!conn->bev) {
                SSL_free(ssl);
                fail(conn, REASON_OVERLOADED, "out of memory");
                return;
        }
        conn->fd = -1;
        state_set(conn, CONN_HANDSHAKE);
        bufferevent_setcb(conn->bev, on_read, NULL, on_event, conn);
        bufferevent_setwatermark(conn->bev, EV_READ, 0, LDAP_MESSAGE_MAX + 1);
        if (bufferevent_enable(conn->bev, EV_READ | EV_WRITE) < 0)
                fail(conn, REASON_OVERLOADED, "out of memory");
}

/*
 * The answer to StartTLS, cut off to the byte: what a man in the middle adds behind it must not be taken for
 * something that came by TLS (as in CVE-2011-0411). 0 when TLS may begin, 1 when more is to come.
 */
static int starttls_answer(struct ldap_conn *conn, char why[160])
{
        uint8_t bytes[STARTTLS_ANSWER_MAX + 1] = {0}; /* one more for ldap_message_parse */
        struct ldap_message m;
        ssize_t n = recv(conn->fd, bytes, STARTTLS_ANSWER_MAX, MSG_PEEK | MSG_DONTWAIT);
        size_t len = 0;
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 1;
        snprintf(why, 160, "StartTLS: %s", n == 0 ? "closed by the DC" : "the answer is malformed");
        if (n <= 0)
                return -ECONNRESET;
        r = ldap_message_length(bytes, (size_t)n, &len);
        if (r > 0 || (r == 0 && len > (size_t)n && len <= STARTTLS_ANSWER_MAX))
                return 1;
        if (r < 0 || len > STARTTLS_ANSWER_MAX || recv(conn->fd, bytes, len, MSG_DONTWAIT) != (ssize_t)len ||
            ldap_message_parse(&m, bytes, len) < 0 || m.op != LDAP_OP_EXTENDED || m.id != STARTTLS_ID)
                return -EBADMSG;
        snprintf(why, 160, "%s, LDAP result %d", detail_phrase(DETAIL_STARTTLS_REFUSED), (int)m.result);
        if (m.result != 0)
                return -EPROTO;
        snprintf(why, 160, "StartTLS: bytes follow its answer in clear text");
        return (size_t)n > len ? -EBADMSG : 0;
}

static void on_starttls(void *arg, int fd, int events)
{
        struct ldap_conn *conn = arg;
        char why[160];
        int r = starttls_answer(conn, why);

        (void)fd;
        (void)events;
        if (r > 0)
                return;
        conn->io = loop_io_free(conn->io);
        if (r == 0)
                tls_begin(conn);
        else
                fail(conn, r == -EBADMSG ? REASON_DC_PROTOCOL : REASON_DC_TLS, why);
}

/* Asks for TLS in clear text: the only message that ever goes so. */
static void starttls_ask(struct ldap_conn *conn)
{
        _cleanup_(buffer_free) struct buffer request = BUFFER(LDAP_REQUEST_MAX);
        int r = ldap_encode_extended(&request, STARTTLS_ID, LDAP_OID_STARTTLS);

        state_set(conn, CONN_STARTTLS);
        if (r == 0 && send(conn->fd, request.data, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
                r = -EIO;
        if (r == 0)
                r = loop_io_new(&conn->io, conn->loop, NULL, conn->fd, LOOP_READ, on_starttls, conn);
        if (r < 0)
                fail(conn, REASON_DC_REFUSED, "StartTLS could not be asked for");
}

/* TCP stands (or not): TLS begins. */
static void on_connected(void *arg, int fd, int events)
{
        struct ldap_conn *conn = arg;
        socklen_t len = sizeof conn->connect_error;

        (void)events;
        conn->io = loop_io_free(conn->io);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &conn->connect_error, &len) < 0)
                conn->connect_error = errno;
        if (conn->connect_error) {
                fail_errno(conn, "connect", conn->connect_error);
                return;
        }
        if (conn->target.starttls)
                starttls_ask(conn);
        else
                tls_begin(conn);
}

/* Begins the TCP connect; an error of it is told by the timer. */
static int connect_start(struct ldap_conn *conn)
{
        const struct sockaddr *address = (const struct sockaddr *)&conn->target.address;
        int one = 1;

        conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (conn->fd >= 0 && setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
            (connect(conn->fd, address, conn->target.address_len) == 0 || errno == EINPROGRESS)) {
                loop_timer_in(conn->timer, conn->target.timeout_ms);
                return loop_io_new(&conn->io, conn->loop, NULL, conn->fd, LOOP_WRITE, on_connected, conn);
        }
        conn->connect_error = errno;
        loop_timer_in(conn->timer, 0);
        return 0;
}

int ldap_conn_new(struct ldap_conn **ret_conn, struct loop *loop, const struct ldap_tls *tls,
                  const struct ldap_conn_target *target, const struct ldap_conn_events *events)
{
        struct ldap_conn *conn = calloc(1, sizeof *conn);
        int r;

        if (!conn)
                return -ENOMEM;
        conn->link.conn = conn;
        conn->loop = loop;
        conn->tls = tls;
        conn->target = *target;
        snprintf(conn->host, sizeof conn->host, "%s", target->host);
        conn->target.host = conn->host;
        conn->events = *events;
        conn->fd = -1;
        r = loop_timer_new(&conn->timer, loop, NULL, on_conn_timer, conn);
        if (r == 0)
                r = connect_start(conn);
        if (r < 0) {
                ldap_conn_free(conn);
                return r;
        }
        *ret_conn = conn;
        return 0;
}

struct ldap_conn_link *ldap_conn_link(struct ldap_conn *conn)
{
        return &conn->link;
}

void ldap_conn_attach(struct ldap_conn *conn, const struct ldap_conn_user *user)
{
        conn->user = *user;
}

void ldap_conn_detach(struct ldap_conn *conn)
{
        memset(&conn->user, 0, sizeof conn->user);
        conn->request_n = 0;
        if (conn->state == CONN_REST)
                loop_timer_in(conn->timer, conn->target.idle_ms);
}

bool ldap_conn_at_rest(const struct ldap_conn *conn)
{
        return conn->state == CONN_REST;
}

bool ldap_conn_in_handshake(const struct ldap_conn *conn)
{
        return conn->state == CONN_HANDSHAKE || conn->state == CONN_STARTTLS;
}

bool ldap_conn_quiet(const struct ldap_conn *conn)
{
        char byte;
        ssize_t n;

        if (conn->state != CONN_REST || !conn->bev || evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0)
                return false;
        n = recv(bufferevent_getfd(conn->bev), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

uint64_t ldap_conn_idle_since(const struct ldap_conn *conn)
{
        return conn->idle_since;
}

int32_t ldap_conn_next_id(struct ldap_conn *conn)
{
        conn->id = conn->id == INT32_MAX ? 1 : conn->id + 1;
        return conn->id;
}

/* Ends the buffer that a request lives in. */
static void request_gone(const void *data, size_t n, void *arg)
{
        struct buffer *request = arg;

        (void)data;
        (void)n;
        buffer_free(request);
        free(request);
}

int ldap_conn_send(struct ldap_conn *conn, struct buffer *request)
{
        struct buffer *held;

        if (conn->state != CONN_REST)
                return -EPIPE;
        held = malloc(sizeof *held);
        if (!held)
                return -ENOMEM;
        *held = *request;
        *request = (struct buffer){.max = held->max, .secret = held->secret};
        conn->request_n = held->len;
        if (evbuffer_add_reference(bufferevent_get_output(conn->bev), held->data, held->len, request_gone, held) < 0) {
                request_gone(NULL, 0, held);
                return -ENOMEM;
        }
        state_set(conn, CONN_ASKED);
        loop_timer_stop(conn->timer);
        return 0;
}
