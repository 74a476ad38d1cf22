/*
 * The page as a server: who asks, what for, and the answer.
 */
#pragma once

#include <jansson.h>

#include "connector/web/access.h"
#include "connector/web/config.h"
#include "queue/http/http.h"

#define WEB_STATUS_MS 30000
#define WEB_EVERY_S 5             /* the page of this host's connector renews itself */
#define WEB_EVERY_EVERYWHERE_S 60 /* that of all connectors does */

/* A way in. */
struct web_front {
        struct web *web;
        struct http *http;
        bool proxied;       /* people come signed in, by proxy_uid's process alone */
        char origin[2][80]; /* what a browser calls a page of `listen`; "" for none */
};

struct web {
        const struct web_config *config; /* borrowed */
        struct loop *loop;
        struct web_access *access;
        struct web_front direct, proxy; /* http is NULL where it is not configured */
        uid_t proxy_uid;
        bool is_known;   /* the ledger knows this process' user, and tells it names by number */
        unsigned n_asks; /* that were not answered yet */
        /* With `everywhere`: how all connectors were, for whoever looks within WEB_STATUS_MS. A question takes one of
         * the 30 that the person's key has in a minute. */
        json_t *status; /* or NULL */
        uint64_t status_at;
};

/* Makes web's servers; who listens for them is the caller's business. direct's origin is set once its port is known. */
int web_serve_new(struct web *web, struct error *err);
void web_serve_free(struct web *web);
/* port: where `direct` listens. */
void web_serve_at(struct web *web, const char *host, uint16_t port);
