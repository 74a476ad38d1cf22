/*
 * The one HTTPS client, by libcurl: verifies the peer, follows no redirects, bounds everything, and decides in one
 * place which proxy a request goes by (http-way.h) and by which certificates either end is known.
 *
 * https_do blocks, for the command line and for a sign-in service's client. https_start runs on the loop, for the link:
 * its callbacks come from the loop, outside of libcurl, never from within https_start, and may call any function below,
 * https_free included.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/keys/key.h"
#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"

struct https;
struct https_call;
struct loop;
struct dns;

struct https_config {
        const char *ca_file;            /* NULL: the system's CAs, which libcurl reads itself */
        const struct buffer *cas;       /* instead, as text: no file is opened; borrowed */
        const struct buffer *proxy_cas; /* with cas: for a proxy that is asked by TLS; borrowed */
        const char *cert_file;          /* client certificate and key (PEM files), or NULL */
        const char *key_file;
        const char *cert_pem, *key_pem; /* instead, as text; copied */
        struct key *key;                /* instead of a text of the key, where it is in hardware (referenced) */
        const char *proxy;              /* NULL: https_proxy/no_proxy of the environment */
        const char *agent;              /* User-Agent, literal; NULL: postern */
        unsigned keep;                  /* connections that wait for the next request, at most; 0: 4 */
};

struct https_request {
        const char *method;       /* "GET" "POST" "PUT" */
        const char *url;          /* https:// only; -EINVAL otherwise */
        const char *user;         /* Basic, or NULL */
        const char *password;     /* Basic */
        const char *bearer;       /* or NULL */
        const char *content_type; /* of the body */
        const char *accept;       /* or NULL */
        const void *body;
        size_t body_len;
        const char *const *headers; /* further "Name: value" lines, NULL-terminated, or NULL */
        uint32_t timeout_ms;        /* whole request; 0: 15000 for https_do, none for https_start */
        uint32_t max_body;          /* of the answer; 0: 1 MiB */
        uint32_t connect_ms;        /* at most, for the connection; 0: a default */
        bool once;                  /* for https_start: the body is given out once, as https_do does */
        bool keeps; /* for https_start, with once and without on_data: by a connection that is kept for such requests,
                       which costs a third of what others do */
};

struct https_response {
        long status;
        char content_type[128];
        char etag[128];
        char connector[65];   /* Postern-Connector */
        uint32_t retry_after; /* s, 0 where absent */
        struct buffer body;
};

/* A handle keeps its connections for the next request. One per thread. */
int https_new(struct https **ret_https, const struct https_config *config, struct error *err);
/* Drops all calls without calling back. */
struct https *https_free(struct https *https);
DEFINE_FREEP(struct https, https_free)

/* 0 with any HTTP status; -ETIMEDOUT, -ECONNREFUSED (nothing was sent), -EIO, -EMSGSIZE, -EPROTO (TLS) with
 * err naming host and cause. A body is given out once: nothing is sent a second time. */
int https_do(struct https *https, const struct https_request *request, struct https_response *ret_response,
             struct error *err);
void https_response_clear(struct https_response *response);

/* ---- on the loop ---- */

struct https_handlers {
        /* Streams: called with the type once the head is in (200 only), then with bytes as they come. */
        void (*on_open)(void *arg, const char *content_type);
        void (*on_data)(void *arg, const char *bytes, size_t n);
        /* Called once: the call is over and freed behind it. status 0: no answer, and why says which hop failed. Of a
         * stream answer has what came with another status than 200. */
        void (*on_done)(void *arg, long status, const struct buffer *answer, const char *why);
        void *arg;
};

/* From now on calls run on the loop, and https_do must not be used. dns knows all names: libcurl would make a thread
 * for them. Both are borrowed. */
int https_on_loop(struct https *https, struct loop *loop, struct dns *dns, struct error *err);
/* What request points to is copied. With on_data, nothing bounds the answer. */
int https_start(struct https *https, struct https_call **ret_call, const struct https_request *request,
                const struct https_handlers *handlers, struct error *err);
/* From within on_done: the answer's Date (RFC 9110, 6.6.1), s since the epoch; 0 without one. */
int64_t https_date(const struct https_call *call);
/* From within on_done, of status 0: -ECONNREFUSED where not a byte of the body was given out (all failures of a GET),
 * -ETIMEDOUT, -EIO. */
int https_failure(const struct https_call *call);
/* From within on_done: one header, "" where it is absent or has cap bytes or more. */
void https_header(const struct https_call *call, const char *name, char *out, size_t cap);
/* Ends it without on_done. NULL-safe; returns NULL. */
struct https_call *https_cancel(struct https_call *call);

/* ---- for those who read what the client needs before they close the files to themselves ---- */

/* libcurl's file of the system's CAs, appended. -ENOENT: there is none. */
int https_system_cas(struct buffer *out, struct error *err);
/* The CAs that the certificate of an https:// proxy may be of: the system's, and ca_pem (or NULL). -ENOENT, -EMSGSIZE.
 */
int https_proxy_cas(struct buffer *out, const char *ca_pem, struct error *err);
/* The host (without brackets) and the port of an https URL. -EINVAL. */
int https_split_url(const char *url, char out[256], uint16_t *ret_port);
