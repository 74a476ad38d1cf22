/*
 * Taking a request in: opening it and checking everything that PROTOCOL.md asks of a connector before a DC
 * may be asked.
 */
#pragma once

#include "certs/trust/roster.h"
#include "connector/validator/enckeys.h"
#include "connector/validator/replay.h"
#include "queue/wire/wire.h"
#include "validate/types/outcome.h"

struct intake_context {
        const struct enckeys *keys;
        const struct roster *roster; /* NULL: none that is valid */
        struct replay *replay;
        const char *tenant;
        const char *id; /* the id that the relay gave the request */
        int64_t now;
};

/* A request is taken while iat - WIRE_SKEW <= now <= iat + REQUEST_AGE_MAX: a verdict of it is then made in time to be
 * believed (PROTOCOL.md 7.6). It is remembered for REPLAY_EXTRA s more, so that a clock may be set back a little. */
#define REQUEST_AGE_MAX 105
#define REPLAY_EXTRA 60

/* What came of it. */
enum intake_result {
        INTAKE_OPEN = 0, /* claims and req are there: validate */
        INTAKE_DECLINE,  /* decline says why (PROTOCOL.md's list); nothing to answer with */
        INTAKE_ANSWER,   /* claims and req are there, but reason says what is wrong: answer with it, ask no DC
                          */
};

struct intake {
        enum intake_result result;
        const char *decline; /* literal */
        enum reason reason;
        struct request_claims *claims; /* secure heap */
        char req[KID_LEN + 1];
        size_t padded;                       /* the request's class of padding; its verdict has the same */
        char service_name[NAME_MAX_LEN + 1]; /* of the roster, "" where unknown */
        char trace[56];                      /* the traceparent that came beside it, or "" */
        struct error detail;                 /* for the log */
};

/* Opens the one recipient's share that this connector holds the key of, into plain (secret): a padded JWS of
 * *ret_padded bytes. 0, or a decline's word with detail. */
const char *intake_unseal(const struct enckeys *keys, int64_t now, const char *text, size_t n, struct buffer *plain,
                          size_t *ret_padded, struct error *detail);
/* Fills *ret_in, whatever the bytes are; -ENOMEM alone is a failure. */
int intake_open(struct intake *ret_in, const struct intake_context *ctx, const char *sealed, size_t n);
void intake_clear(struct intake *in);
/* Whether a service of the roster signed the claims. */
bool intake_authentic(const struct intake *in);
/* Whether it is authentic and was not taken before: then its iat says what time it is at the service. */
bool intake_tells_time(const struct intake *in);
