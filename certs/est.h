/*
 * EST client (RFC 7030 subset, RFC 8951 encoding): the connector's transport certificate from the relay's own
 * CA.
 */
#pragma once

#include "certs/csr.h"
#include "certs/https.h"

struct est_answer {
        struct buffer chain;  /* PEM: the certificate, then what came with it */
        uint32_t retry_after; /* s, with the outcome EST_PENDING */
};

enum { EST_ISSUED = 0, EST_PENDING = 1 };

/* base: "https://relay:port". All: 0 or an EST_* outcome; -EACCES (401: token unknown, used or expired),
 * -EINVAL (400, with the server's reason), -EBADMSG (answer malformed or for another key), or https_do's. */
int est_cacerts(struct https *https, const char *base, const char *tenant, struct buffer *pem,
                struct error *err);
int est_enroll(struct https *https, const char *base, const char *tenant, const char *id, const char *name,
               const char *token, const struct key *key, struct est_answer *ret_answer, struct error *err);
/* https carries the certificate being renewed; key is the new one. */
int est_reenroll(struct https *https, const char *base, const char *tenant, const char *id,
                 const struct key *key, struct est_answer *ret_answer, struct error *err);
void est_answer_clear(struct est_answer *answer);
