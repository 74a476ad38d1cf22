/*
 * A person's side of one question to one connector: made, signed and sealed, and its answer opened and checked
 * (PROTOCOL.md, section 21). No network and no clock.
 */
#pragma once

#include "queue/seal/directory.h"
#include "queue/wire/question.h"

/* A question under way: what is needed to check its answer. It holds rk: wipe it (asked_clear does). */
struct asked {
        char id[ID_MAX + 1]; /* jti */
        char req[KID_LEN + 1];
        uint8_t rk[32];
        char person_id[ID_MAX + 1], tenant[65], connector_id[ID_MAX + 1];
        struct key *identity;
        size_t n_sign;
        struct statement_key sign[STATEMENT_SIGN_MAX]; /* that may sign in its place */
        struct buffer body;                            /* the sealed text to POST */
};

/* what: op, what, verdict, since, until and limit of the claims; the rest is filled in. -ENOENT: the connector has no
 * live encryption key; -EMSGSIZE. */
int asked_make(struct asked *ret_a, const struct directory_entry *to, const char *person_id, struct key *person_key,
               const struct question_claims *what, int64_t now, struct error *err);
/* Opens and checks an answer: any failure is -EBADMSG or -EKEYREJECTED, and means that there is none. ret: owned. */
int asked_check(const struct asked *a, const char *jwe, size_t n, int64_t now, struct answer_claims *ret,
                struct error *err);
void asked_clear(struct asked *a);
