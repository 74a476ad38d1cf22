/*
 * The JOSE subset of PROTOCOL.md: JWS compact with ES256, JWE compact with dir / A256GCM. Small and strict over
 * OpenSSL EVP: every header member is expected or the object is refused; there is no algorithm to negotiate
 * (RFC 8725). Requests, ECDH-ES+A256KW / A256GCM to several, are sealed.h's.
 *
 * Takes bytes and returns bytes: no descriptors, no clock. Plaintexts and content keys stay in secret
 * buffers. Every refusal is -EBADMSG with a sentence in err that names the member; a MAC or signature that
 * does not verify is -EKEYREJECTED.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "certs/codec/jose-json.h"
#include "certs/keys/key.h"

#define JOSE_TYP_ROSTER "postern-roster+jwt"
#define JOSE_TYP_KEYS "postern-keys+jwt"
#define JOSE_TYP_REQUEST "postern-request+jwt"
#define JOSE_TYP_REQUEST_JWE "postern-request+jwe"
#define JOSE_TYP_VERDICT "postern-verdict+jwt"
#define JOSE_TYP_VERDICT_JWE "postern-verdict+jwe"
#define JOSE_TYP_IDENTITY "postern-identity+jwt"
#define JOSE_TYP_QUESTION "postern-question+jwt"
#define JOSE_TYP_ANSWER "postern-answer+jwt"
#define JOSE_TYP_ANSWER_JWE "postern-answer+jwe"

#define JWS_MAX (256 * 1024)
#define JWE_MAX (8 * 1024)         /* a sealed verdict */
#define ANSWER_JWE_MAX (88 * 1024) /* a sealed answer to a person's question */
/* The two classes of padding: length of a padded JWS, bytes */
#define PADDED_SMALL 2048
#define PADDED_LARGE 4096
/* An answer's: the smallest of 4096, 8192 ... ANSWER_PADDED_MAX that holds it. */
#define ANSWER_PADDED_MAX 65536
/* The longest payload whose JWS still fits: 127 characters of header, two dots, 86 of signature are around it. */
#define PADDED_CLAIMS_MAX(padded) (((padded)-215) * 3 / 4)

/* ---- JWS compact, header exactly {alg:"ES256",typ,kid} ---- */
/* Signs the payload text with key (private); appends the compact form to out. */
int jws_sign(const struct key *key, const char *typ, const char *payload, size_t n, struct buffer *out,
             struct error *err);

struct jws {
        char kid[KID_LEN + 1];
        struct buffer payload; /* decoded; secret if the caller asked for it */
        const char *text;      /* the compact form that was parsed (borrowed) */
        size_t text_len;
        size_t signing_len; /* length of header.payload within text */
        uint8_t signature[64];
};
/* Takes a compact JWS apart and checks its header; proves nothing yet. secret: the payload holds a
 * credential. */
int jws_parse(struct jws *ret_jws, const char *text, size_t n, const char *typ, bool secret, struct error *err);
/* Checks the signature (and that kid is the key's). -EKEYREJECTED. */
int jws_verify(const struct jws *jws, const struct key *key, struct error *err);
void jws_clear(struct jws *jws); /* also for _cleanup_ */

/* ---- padding: a compact JWS, right-padded with 0x20 to exactly PADDED_SMALL or PADDED_LARGE ---- */
bool padded_len_valid(size_t n);
/* Appends text, padded to `padded` bytes; -EMSGSIZE when it is longer. */
int jose_pad(struct buffer *out, const char *text, size_t n, size_t padded);
/* Length without the padding; -EBADMSG unless n is one of the two lengths, the padding is all 0x20 and the rest is
 * not empty. */
int jose_unpadded(const char *bytes, size_t n, size_t *ret_len);

/* The same of an answer: to the smallest of its classes; one of them. */
int jose_answer_pad(struct buffer *out, const char *text, size_t n);
int jose_answer_unpadded(const char *bytes, size_t n, size_t *ret_len);

/* ---- JWE compact: a verdict under the 32-byte rk of its request, or an answer under that of its question ---- */
enum jwe_kind { JWE_VERDICT, JWE_ANSWER };
/* Appends the sealed text, which has JWE_MAX or ANSWER_JWE_MAX bytes at most. */
int jwe_seal(enum jwe_kind which, const uint8_t key[32], const void *plain, size_t plain_len, struct buffer *out,
             struct error *err);
/* Appends to plain, which for a verdict is a secret buffer. -EBADMSG malformed, -EKEYREJECTED another key's, -EINVAL.
 */
int jwe_open(enum jwe_kind which, const uint8_t key[32], const char *text, size_t n, struct buffer *plain,
             struct error *err);
