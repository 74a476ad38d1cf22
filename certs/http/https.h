/*
 * One blocking HTTPS request by libcurl, for the command line and the sign-in service's client. Verifies the
 * peer (system CAs or ca_file), follows no redirects, honours the system's proxy variables, bounds
 * everything.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/keys/key.h"
#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"

struct https;

struct https_config {
        const char *ca_file;   /* NULL: the system's */
        const char *cert_file; /* client certificate and key (PEM files), or NULL */
        const char *key_file;
        struct key *key;   /* instead of key_file, where the key is in hardware (referenced) */
        const char *proxy; /* NULL: https_proxy/no_proxy of the environment */
};

struct https_request {
        const char *method;       /* "GET" "POST" "PUT" */
        const char *url;          /* https:// only; -EINVAL otherwise */
        const char *user;         /* Basic, or NULL */
        const char *password;     /* Basic */
        const char *bearer;       /* or NULL */
        const char *content_type; /* of the body */
        const void *body;
        size_t body_len;
        const char *const *headers; /* further "Name: value" lines, NULL-terminated, or NULL */
        uint32_t timeout_ms;        /* whole request; 0: 15000 */
        uint32_t max_body;          /* of the answer; 0: 1 MiB */
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
struct https *https_free(struct https *https);
DEFINE_FREEP(struct https, https_free)
/* 0 with any HTTP status; -ETIMEDOUT, -ECONNREFUSED (nothing was sent), -EIO, -EMSGSIZE, -EPROTO (TLS) with
 * err naming host and cause. */
int https_do(struct https *https, const struct https_request *request, struct https_response *ret_response,
             struct error *err);
void https_response_clear(struct https_response *response);
