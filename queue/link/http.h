/*
 * Internal to the link: HTTPS requests by libcurl's multi interface on our loop.
 *
 * All callbacks run from the loop, outside of libcurl, never from within http_start. Inside of them any
 * function below may be called, http_free included.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/keys/key.h"
#include "base/core/buffer.h"
#include "base/core/error.h"
#include "base/ipc/loop.h"
#include "queue/link/host.h"

struct http;
struct http_call;

struct http_config {
        struct loop *loop;
        const char *cert_pem, *key_pem; /* client certificate (chain) and its key; copied */
        struct key *key;                /* the key, where there is no text of it (referenced), else NULL */
        const char *proxy;              /* NULL: the environment's https_proxy and no_proxy */
        struct link_host *host;         /* addresses and CAs; must outlive this */
};

/* Opens no file. */
int http_new(struct http **ret_http, const struct http_config *config, struct error *err);
/* Drops all calls without calling back. */
struct http *http_free(struct http *http);

struct http_params {
        const char *method; /* "GET" "POST" "PUT" */
        const char *url;
        const char *content_type; /* of the body, or NULL */
        const char *accept;
        struct buffer *body; /* taken over (left empty), or NULL */
        uint32_t timeout_ms; /* whole call; 0: none, for streams */
        uint32_t max_answer; /* bytes gathered for on_done; streams: ignored */
        /* Streams: called with the status once the head is in (200 only), then with bytes as they come. */
        void (*on_open)(void *arg, const char *content_type);
        void (*on_data)(void *arg, const char *bytes, size_t n);
        /* Called once: the call is over and freed behind it. status 0: no answer, and why says which hop
         * failed. */
        void (*on_done)(void *arg, long status, const struct buffer *answer, const char *why);
        void *arg;
};

int http_start(struct http *http, struct http_call **ret_call, const struct http_params *params, struct error *err);
/* From within on_done: the answer's Date (RFC 9110, 6.6.1), s since the epoch; 0 without one. */
int64_t http_date(const struct http_call *call);
/* Ends it without on_done. NULL-safe; returns NULL. */
struct http_call *http_cancel(struct http_call *call);
