/*
 * The relay's HTTP server: the one wrapper around evhttp. It owns every connection from the first byte: TLS,
 * the gate in front of evhttp's parser (http/head.h), deadlines, caps, hang-up detection, streams.
 *
 * A request belongs to the handler until it answers once (http_reply, http_problem, http_stream_end) or until
 * on_close was called; after either it must be forgotten.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/core/error.h"
#include "base/ipc/loop.h"
#include "queue/http/head.h"
#include "queue/http/problem.h"

#define HTTP_DEADLINE_MS 10000        /* handshake, head and body of a request, absolute */
#define HTTP_IDLE_MS 75000            /* between requests */
#define HTTP_SEND_MS 30000            /* for the client to take an answer */
#define HTTP_PENDING_MAX (256 * 1024) /* unsent bytes of a stream; past it the client is dropped */

struct http;
struct http_req;

typedef void http_handler_fn(void *arg, struct http_req *r);
/* Largest body that this path takes. */
typedef uint32_t http_body_max_fn(void *arg, const struct http_head *head);
typedef void http_close_fn(void *arg);

struct http_config {
        struct loop *loop;
        http_handler_fn *handler;
        http_body_max_fn *body_max;
        void *arg;
        unsigned connections_max, per_address_max;
};

int http_new(struct http **ret_http, const struct http_config *config, struct error *err);
/* Closes every connection; on_close is called for requests that are open. */
struct http *http_free(struct http *http);

/* Whether http_set_tls would take these files. -EINVAL with the file and the cause. */
int http_check_tls(const char *cert_file, const char *key_file, struct error *err);
/*
 * Server certificate and key from PEM files; client certificates are asked for and checked against client_ca.
 * Again on reload: connections that are open keep theirs. On failure the former stays in use.
 */
int http_set_tls(struct http *http, const char *cert_file, const char *key_file, X509 *client_ca, struct error *err);
/* host is a numeric address; port 0 takes a free one. Before privileges are dropped. */
int http_listen(struct http *http, const char *host, uint16_t port, uint16_t *ret_port, struct error *err);
void http_stop_listening(struct http *http);
unsigned http_connections(const struct http *http);

/* ---- the request ---- */
const struct http_head *http_head(const struct http_req *r);
/* NULL where absent. */
const char *http_header(const struct http_req *r, const char *name);
const char *http_body(const struct http_req *r, size_t *ret_n);
/* The peer's numeric address. */
const char *http_peer(const struct http_req *r);
/* The client certificate, only if it verified, dates aside (borrowed); otherwise NULL, and *ret_why says why (NULL:
 * none was sent). */
X509 *http_peer_cert(const struct http_req *r, const char **ret_why);
/* Called once if the client goes away before the answer. */
void http_on_close(struct http_req *r, http_close_fn *fn, void *arg);

/* ---- the answer ---- */
/* Adds a header to the answer that follows. */
void http_add_header(struct http_req *r, const char *name, const char *value);
/* Answers; type NULL: no body. */
void http_reply(struct http_req *r, int status, const char *type, const void *body, size_t n);
void http_problem(struct http_req *r, const struct problem *p);
/* The commonest problem: a type and a sentence. */
void http_fail(struct http_req *r, enum problem_type type, const char *detail);

/* ---- a stream (text/event-stream) ---- */
/* drained is called, with http_on_close's argument, each time that the last byte has gone to the socket. */
void http_stream_begin(struct http_req *r, http_close_fn *drained);
/*
 * Whether every byte so far has gone to the socket. Bytes sent otherwise wait behind others: who wants to be
 * able to take something back keeps it until the stream is clear.
 */
bool http_stream_clear(const struct http_req *r);
/* 0, or -ENOBUFS: more than HTTP_PENDING_MAX bytes wait, the connection is being dropped (on_close follows).
 */
int http_stream_send(struct http_req *r, const void *bytes, size_t n);
/* Drops the connection; on_close follows. */
void http_stream_abort(struct http_req *r);
/* Ends the stream properly and closes. on_close is not called. */
void http_stream_end(struct http_req *r);
