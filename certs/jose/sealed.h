/*
 * Sealed requests (PROTOCOL.md, section 7.4): one text of fixed alphabet and fixed lengths.
 *
 *   protected.iv.ciphertext.tag\n            the shared line
 *   kid.epk_x.epk_y.encrypted_key\n          a line for each of 1 to 8 recipients
 *
 * Every part is base64url in its one spelling, so whoever passes the text on compares, cuts and splices it, and parses
 * nothing. Only sealed_open makes numbers of it. Refusals are -EBADMSG with a sentence in err.
 */
#pragma once

#include "certs/jose/jose.h"
#include "base/core/text.h"

#define SEALED_TYPE "application/postern-request" /* media type */
#define SEALED_RECIPIENTS_MAX 8
/* b64u({"cty":"JWT","enc":"A256GCM","typ":"postern-request+jwe"}): the only protected header there is */
#define SEALED_PROTECTED "eyJjdHkiOiJKV1QiLCJlbmMiOiJBMjU2R0NNIiwidHlwIjoicG9zdGVybi1yZXF1ZXN0K2p3ZSJ9"
#define SEALED_SHARED_LEN(padded) (76 + 1 + 16 + 1 + B64U_LEN(padded) + 1 + 22) /* without its line end */
#define SEALED_LINE_LEN (43 + 1 + 43 + 1 + 43 + 1 + 54)
#define SEALED_LEN(padded, n) (SEALED_SHARED_LEN(padded) + 1 + (n) * (SEALED_LINE_LEN + 1))
#define SEALED_MAX SEALED_LEN(PADDED_LARGE, SEALED_RECIPIENTS_MAX)
#define SEALED_SHARE_MAX SEALED_LEN(PADDED_LARGE, 1)

/* A text of the right form. Borrows it. */
struct sealed {
        const char *text;
        size_t padded; /* length of the plaintext: PADDED_SMALL or PADDED_LARGE */
        size_t n;      /* recipients */
};
/* Checks alphabet, lengths, the protected header, and that no kid is repeated. Opens nothing. */
int sealed_read(struct sealed *ret_s, const char *text, size_t n, struct error *err);
/* The line of recipient i, SEALED_LINE_LEN characters; it begins with the kid. */
const char *sealed_line(const struct sealed *s, size_t i);
void sealed_kid(const struct sealed *s, size_t i, char ret_kid[KID_LEN + 1]);
/* What the relay forwards: the shared line and that of recipient i. Appends SEALED_LEN(padded, 1) characters. */
int sealed_share(const struct sealed *s, size_t i, struct buffer *out);

/*
 * Seals plain, of PADDED_SMALL or PADDED_LARGE bytes, to each of the n keys: appends the text to out, which may be a
 * plain buffer. -EINVAL, -EMSGSIZE.
 */
int sealed_seal(struct key *const *to, size_t n, const struct buffer *plain, struct buffer *out, struct error *err);
/* Opens recipient i with the private key whose kid it names; plain is a BUFFER_SECRET. -EKEYREJECTED: not with this
 * key; one text for every way in which it can be the wrong one. */
int sealed_open(const struct sealed *s, size_t i, const struct key *key, struct buffer *plain, struct error *err);
