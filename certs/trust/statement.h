/*
 * Key statements: a connector's signed announcement of its short-lived encryption keys and of the realms it
 * serves (PROTOCOL.md "Statement").
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/jose/jose.h"

#define STATEMENT_LIFE_MAX 7200
#define STATEMENT_KEYS_MAX 4
#define STATEMENT_SIGN_MAX 2
#define STATEMENT_NAMES_MAX 64
#define STATEMENT_TEXT_MAX 12288 /* fits a frame between processes */
#define BOOT_LEN 22              /* b64u of 16 bytes */

struct statement_key {
        struct key *key;
        int64_t nbf, exp;
};

struct statement {
        char *iss; /* connector id */
        char *tenant;
        char boot[BOOT_LEN + 1];
        char kid[KID_LEN + 1]; /* the identity key that signed it */
        uint64_t seq;
        unsigned roster_form; /* the newest form of rosters that the connector reads; statement_sign sets it */
        int64_t iat, exp;
        size_t n_keys, n_realms, n_suffixes, n_netbios;
        struct statement_key keys[STATEMENT_KEYS_MAX];
        size_t n_sign;
        struct statement_key
                sign[STATEMENT_SIGN_MAX]; /* keys that sign verdicts in the identity's place; usually none */
        char **realms, **suffixes, **netbios;
        int64_t pad;     /* class of padding that requests to it take: PADDED_SMALL (0 is the same) or PADDED_LARGE */
        bool guard;      /* its lockout guard stops names that fail too often */
        char *text;      /* the compact JWS */
        unsigned others; /* owners beside the first: statement_ref */
};

/* Signs s (text, kid, iat, exp are filled in). life <= STATEMENT_LIFE_MAX. */
int statement_sign(struct statement *s, const struct key *identity, int64_t now, int64_t life, struct error *err);
/* Parses and verifies with the identity key of the roster's connector; checks tenant, times and limits.
 * -EBADMSG malformed, -EKEYREJECTED signature, -EXDEV of another tenant or connector, -ETIME expired or from
 * the future (by more than ROSTER_SKEW). */
int statement_verify(struct statement **ret_s, const char *text, size_t n, const struct key *identity, const char *id,
                     const char *tenant, int64_t now, struct error *err);
/* The kid in the header, without any check: to find the roster member. */
int statement_peek_kid(const char *text, size_t n, char ret_kid[KID_LEN + 1], struct error *err);
/* The newest key with nbf <= now < exp, or NULL. No skew: a connector sets nbf ROSTER_SKEW before it made the
 * key, and still opens with it as long after exp. */
const struct statement_key *statement_key_at(const struct statement *s, int64_t now);
/* One more owner, each of whom frees it; nobody changes it from then on. */
struct statement *statement_ref(struct statement *s);
struct statement *statement_free(struct statement *s);
DEFINE_FREEP(struct statement, statement_free)
