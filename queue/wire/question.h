/*
 * What a person of the helpdesk asks of a connector, and the answer, as C values and as JSON text (PROTOCOL.md, section
 * 21). No keys, no network, no clock.
 */
#pragma once

#include "queue/wire/wire.h"

#define QUESTION_WHAT_MAX 512
#define QUESTION_ROWS_MAX 50
#define QUESTION_LIFE_MAX 60   /* exp - iat, s */
#define QUESTION_TIME_MAX 3600 /* log without a name: until - since, s */
#define QUESTIONS_PER_MINUTE 30

enum question_op { QUESTION_EXPLAIN = 1, QUESTION_LOG, QUESTION_STATUS };
/* "explain", "log", "status" */
const char *question_op_text(enum question_op op);

struct question_claims {
        char iss[ID_MAX + 1]; /* the person's id */
        char aud[65];         /* tenant */
        char jti[ID_MAX + 1];
        int64_t iat, exp;
        char to[KID_LEN + 1]; /* identity of the one connector that it is for */
        uint8_t rk[32];       /* seals the answer */
        enum question_op op;
        char what[QUESTION_WHAT_MAX + 1]; /* explain: an id or a name; log: a name, or "": all of a short time */
        char verdict[16];                 /* log: "accepted" "refused" "unavailable" "declined"; "": all */
        int64_t since, until;             /* log, s since the epoch; 0: open */
        uint32_t limit;                   /* log, rows: 1 to QUESTION_ROWS_MAX; 0: as many as that */
};
int question_claims_encode(const struct question_claims *c, struct buffer *out, struct error *err);
/* Whether a log may ask for these times without a name: both are given, QUESTION_TIME_MAX apart at most. */
bool question_claims_short_time(int64_t since, int64_t until);
/* Strict; proves nothing about signature, audience or time. -EBADMSG. */
int question_claims_decode(struct question_claims *ret_c, const char *json, size_t n, struct error *err);

/* state of an answer; anything but ANSWER_OK comes without a body. */
enum answer_state {
        ANSWER_UNAVAILABLE = 0, /* the connector's records could not be read now */
        ANSWER_OK,
        ANSWER_PERSON_UNKNOWN, /* the key is nobody's in people, or iss is not its id, or the signature is not its */
        ANSWER_ROLE,           /* the person has another role than helpdesk */
        ANSWER_ENDED,          /* the person's end is over */
        ANSWER_WRONG_AUDIENCE, /* of another tenant, or for another connector */
        ANSWER_NO_DOMAIN,      /* the connector serves none of the person's domains */
        ANSWER_RATE,           /* over QUESTIONS_PER_MINUTE */
        ANSWER_STATES
};
const char *answer_state_text(enum answer_state state);

/* The longest body, once it is escaped, that surely fits. */
#define ANSWER_BODY_MAX 48000

struct answer_claims {
        char iss[ID_MAX + 1]; /* the connector's id */
        char aud[ID_MAX + 1]; /* the person's */
        char tenant[65];
        char jti[ID_MAX + 1];  /* the question's */
        char req[KID_LEN + 1]; /* request_hash of the question's JWS */
        int64_t iat, exp;
        enum answer_state state;
        char *body; /* JSON text of an object, with ANSWER_OK; owned by whoever decoded it */
};
int answer_claims_encode(const struct answer_claims *c, struct buffer *out, struct error *err);
/* Strict, but for the body, which is any text. -EBADMSG, -ENOMEM. */
int answer_claims_decode(struct answer_claims *ret_c, const char *json, size_t n, struct error *err);
void answer_claims_clear(struct answer_claims *c);

/* Signs the claims with key, pads and seals them with rk: appends the JWE. -EMSGSIZE: body too long. */
int answer_seal(const struct answer_claims *c, const struct key *key, const uint8_t rk[32], struct buffer *out,
                struct error *err);

/* Why a connector does not answer a question: {"declined":WORD}, a word of declines. */
int question_declined_decode(char ret_why[32], const char *json, size_t n, struct error *err);
