/*
 * Makes JOSE objects with any header, right or wrong, and always with the same bytes: signatures by RFC 6979,
 * and keys, content keys and IVs that are hashes of their names. For test vectors alone; production code
 * draws all of them at random.
 *
 * Texts come from one pool and live until pool_free. Whatever cannot be made ends the program with a word on
 * stderr: a generator that half works would write vectors that nobody checks.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "certs/keys/key.h"

/* ---- texts ---- */
char *pool_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *pool_bytes(const char *bytes, size_t n); /* copies, with a NUL behind */
void pool_free(void);                          /* the keys of fixed_key too */
/* text with its only occurrence of from replaced. */
char *text_replaced(const char *text, const char *from, const char *to);
char *text_b64u(const void *bytes, size_t n);
_Noreturn void maker_stop(const char *what);

/* ---- fixed inputs ---- */
/* SHA-256 of "postern test vector: <name>", cut to n <= 32 bytes. */
void fixed_bytes(const char *name, uint8_t *out, size_t n);
/* The private key whose scalar is that hash. Made once, borrowed. */
struct key *fixed_key(const char *name);
char *fixed_scalar(const char *name); /* the "d" of its JWK */
char *key_x(const struct key *key);
char *key_y(const struct key *key);

/* ---- objects ---- */
char *make_jws(const struct key *key, const char *header, const char *payload);
/* The ES256 signature alone: b64u of r || s. */
char *make_signature(const struct key *key, const char *signing_input);
char *make_padded(const char *text, size_t padded);

struct make_recipient {
        const char *to;   /* name of the key that the content key is wrapped for */
        const char *epk;  /* name of its ephemeral key */
        const char *line; /* instead of all that; without its line end */
};
struct make_sealed {
        const char *protected; /* JSON text */
        const char *salt;      /* names content key and IV */
        const char *plain;
        size_t plain_len;
        size_t n;
        struct make_recipient to[9];
};
/* A recipient's line, without its end. */
char *make_line(const char *to, const char *epk, const char *salt);
char *make_sealed(const struct make_sealed *in);
/* Compact with alg dir under key rk. */
char *make_jwe_dir(const uint8_t rk[32], const char *header, const char *salt, const char *plain, size_t n);
