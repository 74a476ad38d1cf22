/*
 * The one HTTP server: HTTP/1.1 over TLS, plain TCP or UNIX sockets, on the loop. It owns every connection
 * from the first byte to the last: framing (head.h), deadlines, caps, hang-up, streams. Why not a packaged
 * one: README.md.
 *
 * A request belongs to its handler until the handler answers once (http_reply, http_problem, http_fail,
 * http_stream_end) or on_close was called; after either it must be forgotten. Requests of one connection are
 * handled one after the other.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/core/error.h"
#include "base/ipc/loop.h"
#include "queue/http/head.h"
#include "queue/http/problem.h"

struct http;
struct http_req;

typedef void http_handler_fn(void *arg, struct http_req *r);
typedef void http_close_fn(void *arg);

struct http_route {
        enum http_method method;
        const char *pattern; /* {} is one segment: http_part */
        http_handler_fn *fn;
        uint32_t body_max;
};

struct http_limits {
        unsigned connections; /* in all; over it the stalest makes room */
        unsigned per_address; /* of one IPv4 address or IPv6 /64; not counted for UNIX sockets */
        uint32_t body_max;    /* where no route is */
        uint32_t deadline_ms; /* the handshake; head and body of a request, absolute */
        uint32_t idle_ms;     /* between requests */
        uint32_t send_ms;     /* for the client to take an answer */
        uint32_t pending_max; /* unsent bytes of a stream; past it the client is dropped */
};
/* As header, of what stands in for the real thing where things are tried out. */
#define HTTP_SANDBOX_HEADER "Postern-Sandbox: no password is checked here\r\n"
#define HTTP_PENDING_MAX (256 * 1024)
#define HTTP_LIMITS ((struct http_limits){4096, 1024, 16 * 1024, 10000, 75000, 30000, HTTP_PENDING_MAX})

struct http_config {
        struct loop *loop;
        const struct http_route *routes; /* borrowed */
        size_t n_routes;
        void (*before)(void *arg); /* called before each handler; may be NULL */
        void *arg;                 /* for handlers and before */
        struct http_limits limits;
        /* What requests bring is wiped from memory; ordinary memory: a stranger who sends half a head may not use up
         * the secure heap. */
        bool secret_bodies;
        const char *header; /* a line with its CRLF for the head of every answer; borrowed; may be NULL */
};

int http_new(struct http **ret_http, const struct http_config *config, struct error *err);
/* Closes every connection; on_close is called for requests that are open. Not from inside a handler. */
struct http *http_free(struct http *http);

/*
 * Server certificate and key from PEM files; client certificates are asked for and checked against client_cas
 * (NULL: not asked for). Again on reload: connections that are open keep theirs. -EINVAL with the file and
 * the cause; the former stay in use then. http NULL: only looks whether the files would do.
 */
int http_set_tls(struct http *http, const char *cert_file, const char *key_file, const STACK_OF(X509) * client_cas,
                 struct error *err);

/*
 * The same as a context of OpenSSL, for what speaks another protocol beside this server: the caller frees it.
 * wiped: what was decrypted is wiped from OpenSSL's memory. A client certificate that does not verify (its dates aside,
 * as always here) ends the handshake of a connection that is none of this server's.
 */
int http_tls_new(SSL_CTX **ret_ctx, const char *cert_file, const char *key_file, const STACK_OF(X509) * client_cas,
                 bool wiped, struct error *err);
/* Bytes of such a connection, through ssl where it is not NULL; the first read makes the handshake. How many were read
 * or sent; 0: the end; -EAGAIN; -EIO. */
ssize_t http_bytes_recv(SSL *ssl, int fd, void *bytes, size_t n);
ssize_t http_bytes_send(SSL *ssl, int fd, const void *bytes, size_t n);
/* Says that nothing follows. ssl: or NULL. */
void http_bytes_end(SSL *ssl);
/* The certificate of a client (borrowed), only if it verified, dates aside; NULL where none was sent. */
X509 *http_bytes_peer(SSL *ssl);

enum http_transport { HTTP_PLAIN = 0, HTTP_TLS };
/* host is a numeric address; port 0 takes a free one. Before privileges are dropped. */
int http_listen(struct http *http, const char *host, uint16_t port, enum http_transport transport, uint16_t *ret_port,
                struct error *err);
/* A bound socket that somebody else made, of TCP or UNIX (a path with the right owner is its maker's
 * business); owned from now on, also on failure. */
int http_listen_fd(struct http *http, int fd, enum http_transport transport, struct error *err);
/* The same at a path: whatever is there before goes away, and afterwards owner and group may connect. group: or NULL,
 * the process's. Before privileges are dropped. */
int http_listen_unix(struct http *http, const char *path, const char *group, struct error *err);
/* One connection that somebody else accepted; owned from now on, also on failure. */
int http_adopt(struct http *http, int fd, enum http_transport transport);
void http_stop_listening(struct http *http);
/* The i-th listening socket (borrowed); -1: there are no more. */
int http_listening(const struct http *http, unsigned i);
/* From now on each answer is the last of its connection. Listening goes on: a refusal is an answer, too. */
void http_drain(struct http *http);
struct http_view {
        unsigned connections;
        unsigned unanswered; /* answers that have not been given or have not left; streams aside */
        unsigned unserved;   /* connections that have not brought a whole request yet: for who stops listening and wants
                                to lose none */
        const uint64_t *problems; /* how often each problem was answered, by its type: PROBLEM_TYPES_ of them; borrowed
                                   */
};
struct http_view http_view(const struct http *http);
/* The certificate in use (borrowed), or NULL. */
X509 *http_tls_cert(const struct http *http);

/* ---- the request ---- */
const struct http_head *http_head(const struct http_req *r);
/* The i-th {} of the route's pattern. */
const char *http_part(const struct http_req *r, size_t i);
/* NULL where absent. */
const char *http_header(const struct http_req *r, const char *name);
/* The last of several lines of that name. */
const char *http_header_last(const struct http_req *r, const char *name);
/* Until the answer, as is what http_header gives. */
const char *http_body(const struct http_req *r, size_t *ret_n);
/* The handler has what it needs: head and body are wiped at once, and their texts are gone. The answer may follow
 * later. */
void http_wipe_request(struct http_req *r);
/* The peer's numeric address; "unix". */
const char *http_peer(const struct http_req *r);
/* The user that a UNIX socket's other end belongs to. -ENOTSOCK: it is no UNIX socket. */
int http_peer_uid(const struct http_req *r, uid_t *ret_uid);
/* The client certificate, only if it verified, dates aside (borrowed); otherwise NULL, and *ret_why says why
 * (NULL: none was sent). */
X509 *http_peer_cert(const struct http_req *r, const char **ret_why);
/*
 * The connection keeps what its user read from the client certificate instead of the certificate, which is a good part
 * of the memory that an idle connection takes: http_peer_cert must not be asked any more. facts are owned, and freed
 * with the connection.
 */
void http_keep_peer(struct http_req *r, void *facts, void (*free_facts)(void *facts));
/* What was kept, by whichever request of this connection; NULL: nothing. */
const void *http_peer_facts(const struct http_req *r);
/* Called once if the client goes away before the answer. */
void http_on_close(struct http_req *r, http_close_fn *fn, void *arg);

/* ---- the answer ---- */
/* The answer is not the last of its connection, though the server drains: who asked has more to say. */
void http_keep_open(struct http_req *r);
/* Adds a header to the answer that follows. A value with control characters is left out. */
void http_add_header(struct http_req *r, const char *name, const char *value);
/* Answers; type NULL: no body. */
void http_reply(struct http_req *r, int status, const char *type, const void *body, size_t n);
void http_problem(struct http_req *r, const struct problem *p);
/* The commonest problem: a type and a sentence. */
void http_fail(struct http_req *r, enum problem_type type, const char *detail);

/* ---- a stream (text/event-stream) ---- */
/* What is sent on it is acknowledged by the peer's host within 12 s, or the connection is broken (RFC 5482).
 * What the request brought is gone: streams are many and live long.
 * drained is called from the loop, with http_on_close's argument, each time that bytes that had to wait have
 * gone. */
void http_stream_begin(struct http_req *r, http_close_fn *drained);
/*
 * Whether every byte so far has gone to the socket. Bytes sent otherwise wait behind others: who wants to be
 * able to take something back keeps it until the stream is clear.
 */
bool http_stream_clear(const struct http_req *r);
/* 0, or -ENOBUFS: nothing was taken and the connection is being dropped, because more than pending_max bytes
 * wait or it is ending anyway (on_close follows). */
int http_stream_send(struct http_req *r, const void *bytes, size_t n);
/* Drops the connection; on_close follows. */
void http_stream_abort(struct http_req *r);
/* Ends the stream properly and closes. on_close is not called. */
void http_stream_end(struct http_req *r);
