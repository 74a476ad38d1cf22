/*
 * The relay's error answers: RFC 9457 problems with the two members that tell a caller what it may do next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/core/buffer.h"

enum problem_type {
        PROBLEM_MALFORMED = 1,
        PROBLEM_BAD_CREDENTIALS,
        PROBLEM_NOT_PERMITTED,
        PROBLEM_NO_SUCH_TENANT,
        PROBLEM_NOT_FOUND,
        PROBLEM_NO_SUCH_METHOD,
        PROBLEM_DUPLICATE_ID,
        PROBLEM_SEQ_NOT_NEWER,
        PROBLEM_WRONG_TENANT_KEY,
        PROBLEM_NO_SUCH_SESSION,
        PROBLEM_LENGTH_REQUIRED,
        PROBLEM_TOO_LARGE,
        PROBLEM_UNSUPPORTED_TYPE,
        PROBLEM_STALE_KEYS,
        PROBLEM_RATE_LIMITED,
        PROBLEM_INTERNAL,
        PROBLEM_CONNECTOR_LOST,
        PROBLEM_NO_CONNECTOR,
        PROBLEM_NOT_READY,
        PROBLEM_BUSY,
        PROBLEM_DRAINING,
        PROBLEM_DEADLINE,
        PROBLEM_UNKNOWN_APPLICATION, /* a gateway's */
        PROBLEM_NO_QUORUM,
        PROBLEM_TYPES_
};

struct problem {
        enum problem_type type;
        const char *detail;   /* one sentence, or NULL */
        const char *instance; /* id of the sign-in, or NULL */
        bool started_unknown; /* the request may have reached a connector */
        const char *reasons;  /* a line each, or NULL; borrowed */
        uint32_t retry_after; /* s; 0: no header */
};

int problem_status(enum problem_type type);
/* The word behind urn:postern:, and which problem's it is; other: nobody's. */
const char *problem_word(enum problem_type type);
enum problem_type problem_of_word(const char *word, enum problem_type other);
/* What it means and what to do, for people; literals. retry: what a caller may do, PROTOCOL.md. */
struct problem_text {
        const char *title, *retry, *meaning, *remedy;
};
struct problem_text problem_text(enum problem_type type);
/* Appends the JSON text. */
int problem_encode(const struct problem *p, struct buffer *out);
