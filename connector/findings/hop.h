/*
 * `postern check` as data: lines of what was tested, in order, each ok, warning, failed or skipped, with a code and a
 * remedy.
 *
 * A line is {"step","about"?,"result","code"?,"text","remedy"?}; text and remedy are sentences without their full stop,
 * code is of the table of findings, of reasons or of details. Who shows lines counts none of their words.
 */
#pragma once

#include <jansson.h>

#include "base/core/buffer.h"
#include "validate/types/domain.h"

enum hop_result { HOP_OK = 0, HOP_SKIPPED, HOP_WARNING, HOP_FAILED, HOP_RESULTS };

struct hop {
        const char *step; /* literal: "relay", "dc" ... */
        enum hop_result result;
        const char *about, *code, *remedy; /* or NULL */
};

/* Appends the line, its text as printf makes it; it stays the array's. NULL without memory. */
json_t *hop_add(json_t *lines, struct hop hop, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "ok", "skipped", "warning", "failed": literal. */
const char *hop_result_text(enum hop_result result);
/* The worst of the lines; HOP_OK of none. */
enum hop_result hop_worst(const json_t *lines);

/* The findings of a posternd that was asked, a line each; or one that a sign-in would succeed. */
void hop_daemon(json_t *lines, const json_t *status);

/* A DC's clock against this host's. */
struct hop_clock {
        bool known;
        long long ahead;    /* s; negative: behind */
        const char *remedy; /* where it is off and that is told better than the table does, or NULL */
};
/* One DC by what its probe came to: which of name, connection, TLS and answer held, which did not, and its clock. by:
 * the method. */
void hop_dc(json_t *lines, const struct validate_dc *dc, const char *by, const struct hop_clock *clock);

/* The way to the relay. */
struct hop_relay {
        const char *url;                /* https://HOST[:PORT] */
        const char *proxy;              /* as in the configuration, or NULL */
        const struct buffer *cas;       /* PEM, or NULL: the system's */
        const char *cert_pem, *key_pem; /* of the transport, or NULL: then */
        const char *no_identity;        /* says why they are not shown to the relay */
};
/* Name, proxy, connection, TLS, answer, identity, each a line; blocks for HOP_RELAY_MS at most. */
void hop_relay(json_t *lines, const struct hop_relay *relay);
#define HOP_RELAY_MS 11000
