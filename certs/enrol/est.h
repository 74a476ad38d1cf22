/*
 * EST client (RFC 7030 subset, RFC 8951 encoding): the connector's transport certificate from the relay's own
 * CA.
 */
#pragma once

#include "certs/enrol/csr.h"
#include "certs/http/https.h"

struct est_answer {
        struct buffer chain;  /* PEM: the certificate, then what came with it */
        uint32_t retry_after; /* s, with the outcome EST_PENDING */
};

#define EST_REQUEST_MAX 8192

/* The identity that asks, and the key that shall be certified. */
struct est_asker {
        const char *tenant, *id;
        struct key *key;
};
/* The two halves of a renewal for who does HTTP by other means: URL and body (application/pkcs10) of a POST of the
 * operation; and the chain in a 200's body, checked to be for the asker. -EBADMSG, -EINVAL. Append; owned. */
int est_make_request(const struct est_asker *asker, const char *base, const char *operation, struct buffer *url,
                     struct buffer *body, struct error *err);
int est_read_chain(const struct est_asker *asker, const char *answer, size_t n, struct buffer *ret_chain,
                   struct error *err);

enum { EST_ISSUED = 0, EST_PENDING = 1 };

/* base: "https://relay:port". All: 0 or an EST_* outcome; -EACCES (401: token unknown, used or expired),
 * -EINVAL (400, with the server's reason), -EBADMSG (answer malformed or for another key), or https_do's. */
int est_enroll(struct https *https, const char *base, const char *tenant, const char *id, const char *name,
               const char *token, struct key *key, struct est_answer *ret_answer, struct error *err);
/* https carries the certificate being renewed; key is the new one. */
int est_reenroll(struct https *https, const char *base, const char *tenant, const char *id, struct key *key,
                 struct est_answer *ret_answer, struct error *err);
void est_answer_clear(struct est_answer *answer);
