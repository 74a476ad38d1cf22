/*
 * Internal to the HTTPS client: what https.c (calls, and those that block), https-why.c (why one failed) and
 * https-start.c (calls on the loop) share.
 */
#pragma once

#include <curl/curl.h>
#include <sys/queue.h>

#include "certs/http/https-answer.h"
#include "certs/http/http-way.h"
#include "certs/http/https.h"

struct https {
        CURLM *multi;
        unsigned keep;
        struct buffer own_cas, own_proxy_cas;
        const struct buffer *cas, *proxy_cas; /* the caller's, or those; empty cas: libcurl's own files */
        struct buffer cert, key_text;
        struct key *key; /* instead of key_text */
        char *proxy;
        const char *agent;
        int verify_error;                    /* X509_V_* of the last handshake that failed */
        char verify_text[256];               /* and what its certificate names: issuer, or hosts */
        struct https_loop *loop;             /* NULL: calls block */
        void (*stop)(struct https *);        /* frees it; so that only those who use it link loop and dns */
        void (*let_go)(struct https_call *); /* https_kept_clear, for the same reason */
        bool dead;                           /* freed within a callback */
};

struct https_call {
        TAILQ_ENTRY(https_call) link;
        struct https *https;
        CURL *easy;
        struct curl_slist *headers, *addresses;
        struct http_way way;
        char host[256]; /* of the URL */
        uint16_t port;
        const char *body;          /* the caller's, or kept */
        size_t body_len, given;    /* given: bytes that libcurl took */
        bool once;                 /* libcurl gets the body no second time */
        struct buffer kept, inbox; /* inbox: what came, and was not handed out */
        bool overflow;
        bool over; /* libcurl is done with it: result is set */
        CURLcode result;
        char reason[CURL_ERROR_SIZE];
        /* on the loop */
        struct https_handlers handlers;
        struct dns_query *query; /* the transfer waits for it */
        size_t asked;            /* names that were looked up */
        bool opened, paused;
        bool dead; /* cancelled, or on_done was called */
        /* https_request.keeps: the call is a connection, too, and takes the next request when this one is over */
        bool keeps, connected;
        char origin[320]; /* https://HOST:PORT of the URL */
        curl_socket_t fd; /* of the connection */
        struct loop_io *io;
        struct loop_timer *timer; /* of the request; waiting: when nobody has wanted it for long */
        uint64_t deadline;        /* of the request; 0: none */
        struct buffer out, head;  /* the request's bytes; the answer's head */
        size_t sent, max_body;
        struct https_answer answer; /* once it is whole: status is not 0 */
};
TAILQ_HEAD(https_calls, https_call);

struct https_loop {
        struct loop *loop;
        struct dns *dns;
        struct loop_timer *timer;
        TAILQ_HEAD(, https_watch) watches;
        struct https_calls calls;
        struct https_calls waiting; /* connections without a request, the one last used first */
        unsigned n_waiting, keep;
        unsigned busy; /* callbacks running */
        bool reap;     /* some call died under one */
};

/* A call that libcurl knows how to make, not begun. write: takes the answer's bytes. */
int https_call_new(struct https_call **ret_call, struct https *https, const struct https_request *request,
                   const struct https_handlers *handlers, curl_write_callback write, struct error *err);
struct https_call *https_call_free(struct https_call *call);
/* Notes what is over. */
void https_collect(struct https *https);
long https_status(const struct https_call *call);

/* ---- https-start.c ---- */
/* libcurl is done with the call, or it never came to libcurl: tells who asked. */
void https_over(struct https_call *call, CURLcode result);

/* ---- https-kept.c: requests on connections that are kept ---- */
/* A connection that waits and goes where the URL says; NULL: there is none that lives. */
struct https_call *https_kept_find(struct https *https, const char *url);
/* Notes the request: what is sent once there is a connection. 0; -EINVAL, -ENOMEM with err. */
int https_kept_note(struct https_call *call, const struct https_request *request, struct error *err);
/* Sends what was noted. The connection is there. */
void https_kept_send(struct https_call *call);
/* The call is over: its connection waits for the next one. False: it can't. */
bool https_kept_wait(struct https_call *call);
void https_kept_clear(struct https_call *call);

/* ---- https-why.c ---- */
/* Why a call failed, by host and cause, with a remedy; a code of https_do's. */
int https_why(const struct https_call *call, struct error *err);
/* Whether the proxy refused it, and then why, in words that end in a remedy. */
bool https_proxy_refused(const struct https_call *call, char *out, size_t cap);
