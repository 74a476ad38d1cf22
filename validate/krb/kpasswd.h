/*
 * The change-password protocol (RFC 3244) as bytes, and what its answers mean. Internal to the Kerberos
 * method; pure, no socket.
 */
#pragma once

#include "base/core/buffer.h"
#include "base/core/secret.h"
#include "validate/types/outcome.h"

#define KPASSWD_PORT 464
#define KPASSWD_REQUEST_MAX (64 * 1024)

/* Appends a request that holds these two messages. 0, -EMSGSIZE, -ENOMEM. */
int kpasswd_frame(struct buffer *out, const void *ap_req, size_t ap_req_n, const void *priv, size_t priv_n);

struct kpasswd_reply {
        const uint8_t *ap_rep, *priv; /* ap_rep NULL: priv is a KRB-ERROR */
        size_t ap_rep_n, priv_n;
};
/* Takes a reply apart; *ret_reply points into bytes. -EBADMSG. */
int kpasswd_parse(struct kpasswd_reply *ret_reply, const uint8_t *bytes, size_t n);

/* Sets reason, password_proved, counted and context by an answer's content: a code and words for people or,
 * from AD, 30 bytes of the domain's policy. The old password was proved before. */
void kpasswd_outcome(struct outcome *out, const uint8_t *answer, size_t n, const struct secret *new_password);
