/*
 * One HTTP/1.1 answer, whole or not yet, read strictly. Pure: bytes in, struct out.
 *
 * Answers are of a relay or of a proxy in front of it: a body by Content-Length, chunked, or to the end of the
 * connection (RFC 9112 6.3). Interim answers (1xx) before it are skipped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define HTTPS_ANSWER_HEAD_MAX 16384 /* with the interim ones before it */

struct https_answer {
        int status;
        size_t head;          /* where the head begins, behind interim answers */
        size_t body;          /* where the body begins */
        size_t body_len;      /* of the body; chunked: with the chunks' frames */
        bool chunked, closes; /* closes: the connection takes no further request */
};

/* More bytes are needed. */
#define HTTPS_ANSWER_MORE 1

/*
 * 0, with where the answer ends at body + body_len; HTTPS_ANSWER_MORE; -EBADMSG. ended: nothing follows. What stands
 * behind the answer is not looked at, but closes is set: nobody asked for it.
 */
int https_answer_read(struct https_answer *ret_answer, const char *bytes, size_t n, bool ended);
/* Moves the chunks of a body together; returns its length. bytes: those that were read. */
size_t https_answer_join(const struct https_answer *answer, char *bytes);
/* The first header of this name, in any case; "" where it is absent or has cap bytes or more. */
void https_answer_header(const struct https_answer *answer, const char *bytes, const char *name, char *out, size_t cap);
