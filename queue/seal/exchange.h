/*
 * One sign-in from its parameters to its end, without a network: which request is to be sent, what an answer means, and
 * whether the sign-in is sealed once more. Whoever has the network does what exchange_step says and tells what came:
 *
 *      KEYS  take fresh keys into the sealer, asked for with exchange_result's id as Postern-Id, so that the relay
 * knows of the sign-in whatever comes of it; then exchange_keys, or exchange_keys_failed POST  send exchange_post's
 * request, once, then exchange_answered DONE  exchange_result
 *
 * A request is made a second time only when the relay says that nobody started on the first. Every other doubt is
 * handed to the caller as it is: a second attempt could count as a second wrong password.
 */
#pragma once

#include "queue/seal/sealer.h"

struct exchange;

struct exchange_now {
        uint64_t ms;  /* monotonic */
        int64_t wall; /* s since the epoch */
};

enum exchange_step { EXCHANGE_KEYS = 0, EXCHANGE_POST, EXCHANGE_DONE };

/*
 * sealer, p and all that p points to are borrowed until exchange_free. budget_ms counts from now (0: BUDGET_DEFAULT).
 * 0; negative only for misuse, without memory or random bytes.
 */
int exchange_new(struct exchange **ret_exchange, struct sealer *sealer, const struct sign_in_params *p,
                 uint32_t budget_ms, struct exchange_now now, struct error *err);
/* Wipes it; at any step. */
struct exchange *exchange_free(struct exchange *e);
DEFINE_FREEP(struct exchange, exchange_free)

enum exchange_step exchange_step(const struct exchange *e);
/* ms that are left of the budget. */
uint32_t exchange_left(const struct exchange *e, uint64_t now_ms);

/* The request of EXCHANGE_POST; borrowed until it is answered. */
struct exchange_post {
        const char *id;          /* Postern-Id */
        const char *traceparent; /* or NULL */
        const char *body;
        size_t n;
        uint32_t budget_ms; /* Postern-Budget: a little less than what is left, so that the relay's answer comes in time
                             */
        uint32_t timeout_ms; /* of the call */
};
void exchange_post(const struct exchange *e, uint64_t now_ms, struct exchange_post *ret_post);

/* What came back. */
struct exchange_answer {
        long status;     /* of HTTP; 0: no answer came */
        int code;        /* why none came: as of https_do; -ECONNREFUSED says that not a byte of it was sent */
        const char *why; /* for humans: why none came, or why the keys were refused */
        const char *content_type;
        const char *body;
        size_t n;
        bool elsewhere; /* the next request goes to another node of the relay: what this one lacks, that one may have */
};
/* The sealer has fresh keys. 0; negative as of exchange_new. */
int exchange_keys(struct exchange *e, struct exchange_now now, struct error *err);
/* It has not: no answer, a problem, or (status 200) keys that did not verify. */
void exchange_keys_failed(struct exchange *e, const struct exchange_answer *answer, struct exchange_now now);
void exchange_answered(struct exchange *e, const struct exchange_answer *answer, struct exchange_now now);

/* From the start on; complete at EXCHANGE_DONE. Borrowed. */
const struct sign_in_result *exchange_result(const struct exchange *e);

/* Reads the relay's problem document into the result. What is none says nothing: the request may have been started on.
 */
void exchange_read_problem(struct sign_in_result *ret_r, const struct exchange_answer *answer);
