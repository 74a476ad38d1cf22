/*
 * Internal to the HTTP server: what conn.c (connections), admit.c (who may come), answer.c (requests, streams), http.c
 * and tls.c share.
 */
#pragma once

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/core/table.h"
#include "queue/http/http.h"

#define HTTP_LISTENERS_MAX 8
#define HTTP_SHAKING_MAX 64                           /* handshakes that wait for their turn; more are not accepted */
#define HTTP_ANSWER_MAX (4 * 1024 * 1024 + 16 * 1024) /* with its head */

enum conn_state {
        CONN_HEAD = 0,  /* the handshake; waiting for, or reading, a head */
        CONN_BODY,      /* the head is good */
        CONN_ANSWERING, /* the handler owns the request; nothing is read */
        CONN_STREAMING, /* the same, the answer's head is out */
        CONN_SENDING,   /* the answer is complete, its bytes are leaving */
        CONN_LINGERING, /* the last answer has left; what still comes is thrown away, or closing would reset
                           the answer away */
        CONN_CLOSING,   /* freed by its next turn */
};

/* What a connection is worth when room is needed: whoever has work to do stays. */
enum conn_rank {
        RANK_UNSERVED = 0, /* has not brought a whole request yet, or was refused */
        RANK_IDLE,         /* between two requests */
        RANK_BUSY,
        RANKS_
};

struct http_req {
        struct conn *conn;
        const struct http_route *route;
        unsigned allowed; /* bit for each method that the path serves */
        struct http_parts parts;
        http_close_fn *on_close, *drained;
        void *close_arg;
        struct buffer headers; /* lines for the answer */
        bool keep_open;        /* http_keep_open */
};

TAILQ_HEAD(conn_list, conn);

/* Connections by rank, the stalest of each first. */
struct crowd {
        struct conn_list ranks[RANKS_];
        unsigned n[RANKS_];
};
enum { CROWD_ALL = 0, CROWD_CLIENT, CROWDS_ };

/* Who connects, as far as addresses tell: an IPv4 address, or an IPv6 /64. Lives as long as it has a connection. */
struct client {
        struct table_node by_address;
        char address[INET6_ADDRSTRLEN];
        struct crowd crowd;
};

struct conn {
        TAILQ_ENTRY(conn) place[CROWDS_]; /* in http.crowd, and in its client's */
        struct client *client;            /* NULL: it came by a UNIX socket */
        TAILQ_ENTRY(conn) shake;
        bool shaking; /* in http.shaking */
        struct http *http;
        int fd;
        SSL *ssl; /* NULL: plain */
        struct loop_io *io;
        struct loop_timer *timer; /* the deadline of the state */
        enum conn_state state;
        enum conn_rank rank;
        bool served;    /* at least one request */
        bool more;      /* the descriptor may have bytes to read */
        bool hung_up;   /* the client has closed its end */
        bool last;      /* no further request after this one */
        bool in_turn;   /* conn_turn is running */
        int cert_error; /* X509_V_*, of a client certificate that did not verify */
        void *facts;    /* http_keep_peer */
        void (*free_facts)(void *facts);
        char peer[INET6_ADDRSTRLEN];
        struct buffer in, out;
        struct http_head *head; /* of the request that is read or answered; NULL: of none */
        struct http_req req;
};

struct http_listener {
        struct http *http;
        struct loop_io *io;
        int fd;
        enum http_transport transport;
};

struct http {
        struct http_config config;
        SSL_CTX *tls;
        struct crowd crowd;
        unsigned n_streams;
        struct table clients;
        struct conn_list shaking; /* whose handshake has bytes to go on with */
        unsigned n_shaking;
        struct loop_timer *shake;
        struct http_listener listeners[HTTP_LISTENERS_MAX];
        unsigned n_listeners;
        struct loop_timer *pause; /* accepting again, after descriptors ran out */
        bool accepting;
        uint64_t paused_told; /* when the log was told of that; 0: never */
        bool draining;
        int64_t date_at;
        char date[32];
        uint64_t problems[PROBLEM_TYPES_]; /* answered */
};

/* ---- conn.c ---- */
/* Takes an accepted descriptor, which it owns from now on. Over a cap the
 * stalest goes, or this. */
int http_conn_new(struct http *http, int fd, const struct sockaddr *address, enum http_transport transport);
struct conn *http_conn_free(struct conn *c);
/* What the connection has to do now. */
void http_conn_turn(struct conn *c);
/* The one state writer; arms or stops the deadline of the state. */
void http_conn_set(struct conn *c, enum conn_state state);
/* Frees what the request brought; nothing of it may be in use. */
void http_conn_forget_request(struct conn *c);
/* Drops the connection at its next turn. Idempotent. */
void http_conn_kill(struct conn *c);
/* Sends what waits, as far as the socket takes it; drops the connection where it fails. */
void http_conn_flush(struct conn *c);
/* The answer is complete: sends it, and goes on to the next request. */
void http_conn_answered(struct conn *c);

/* ---- admit.c ---- */
void http_crowd_init(struct crowd *crowd);
unsigned http_crowd_size(const struct crowd *crowd);
/* Counts a new connection among all and its client's (NULL: it is of a UNIX socket); over a cap the stalest makes room.
 * -EBUSY: all have work; -ENOMEM. */
int http_admit(struct conn *c, const struct sockaddr *address);
/* It has this rank from now on. */
void http_admit_rank(struct conn *c, enum conn_rank rank);
void http_admit_leave(struct conn *c);
/*
 * Ends the stalest connection that has no work: of those that have not brought a whole request yet the oldest, of those
 * between two requests the one that has waited longest; whichever kind there is more of, for that is the kind that
 * fills the place. So those who hold connections open for nothing, silent or served once, lock nobody out, also not
 * those who share an address with them; and who has just come is not pushed out by the next one. False: all have work.
 */
bool http_crowd_shed(struct crowd *crowd);
/* The handshake goes on soon, behind those that came before it. */
void http_admit_shake(struct conn *c);
/* The timer of http.shake. */
void http_admit_shake_some(void *arg);

/* ---- http.c ---- */
/* Listens, or does not for now, as descriptors and handshakes are. */
void http_listen_or_pause(struct http *http);

/* ---- tls.c: bytes, through TLS where there is any ---- */
int http_tls_attach(struct conn *c);
/* Whether the handshake is not over. */
bool http_tls_shaking(const struct conn *c);
