/*
 * Internal to the relay's HTTP wrapper: what http.c (connections), http/answer.c (requests, streams) and
 * http/tls.c share.
 */
#pragma once

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <sys/queue.h>

#include "queue/http/http.h"

enum conn_state {
        CONN_HEAD = 0,  /* waiting for, or reading, a head; evhttp sees nothing yet */
        CONN_BODY,      /* the gate let the head pass; evhttp reads */
        CONN_ANSWERING, /* the handler owns the request; nothing is read */
        CONN_STREAMING, /* the same, the answer's head is out */
        CONN_SENDING,   /* the answer is complete, its bytes are leaving */
        CONN_REFUSING,  /* the gate's own answer is leaving; evhttp is out of it */
        CONN_CLOSING,   /* to be dropped by the timer */
};

struct conn {
        TAILQ_ENTRY(conn) link;
        struct http *http;
        SSL *ssl;                /* owns this struct: freed with it (ex_data) */
        struct bufferevent *bev; /* owned by evhttp */
        struct loop_timer *timer;
        struct loop_timer *poll; /* admits at the first turn; later looks for a hang-up where the descriptor
                                    can't be watched */
        struct event *watch;     /* hang-up while the handler has the request */
        struct http_req *req;
        enum conn_state state;
        bool admitted;
        bool served;    /* at least one request */
        int cert_error; /* X509_V_*, of a client certificate that did not verify */
        struct in6_addr address;
        struct http_head head;
        unsigned linger_ticks;
};

struct http_req {
        struct conn *conn;
        struct evhttp_request *ev;
        http_close_fn *on_close;
        void *close_arg;
        http_close_fn *drained;
        bool answered; /* evhttp owns ev again */
        char peer[INET6_ADDRSTRLEN];
};

TAILQ_HEAD(conn_list, conn);
#define HTTP_LISTENERS_MAX 8

struct http {
        struct http_config config;
        struct evhttp *ev;
        SSL_CTX *tls;
        struct conn_list conns;
        unsigned n_conns;
        struct evhttp_bound_socket *bound[HTTP_LISTENERS_MAX];
        unsigned n_bound;
};

/* Index of struct conn in an SSL. */
extern int http_conn_index;
/* A fresh context; -EINVAL names the file. */
int http_tls_context(SSL_CTX **ret_ctx, const char *cert_file, const char *key_file, X509 *client_ca,
                     struct error *err);

/* The one state writer; arms or stops the deadline of the state. */
void conn_set(struct conn *c, enum conn_state state);
/* Drops the connection at the next turn. Idempotent. */
void conn_kill(struct conn *c);
/* Tells the handler, once, that its request is gone. */
void req_closed(struct http_req *r);
struct http_req *req_new(struct conn *c, struct evhttp_request *ev);
struct http_req *req_free(struct http_req *r);
/* Watching for a hang-up of the client while the handler has the request. */
void conn_watch(struct conn *c);
void conn_unwatch(struct conn *c);
