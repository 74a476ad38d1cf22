/*
 * The one tenant of the test vectors and PROTOCOL.md's example: its keys, its texts, and every right object
 * made from them.
 *
 * Texts are written here as the protocol has them, not by the project's encoders; the test compares the two
 * byte for byte.
 */
#pragma once

#include "certs/jose/jose.h"
#include "tests/vectors/maker.h"

#define TENANT "contoso"
#define WORLD_NOW 1767225600 /* 2026-01-01T00:00:00Z */
#define BERLIN_1 "conn-berlin-1-4QK7ZD2M"
#define BERLIN_2 "conn-berlin-2-8TN3XV5R"
#define SIGNING_KEY "berlin-1-sign"
#define SIGNING_NBF (WORLD_NOW - 660)
#define SIGNING_EXP (WORLD_NOW + 6540)
#define PORTAL "svc-portal-6WJ9BHCF"
#define REQUEST_ID "req-4HX9V2KQ7M3P8T5W"
#define CORP_SID "S-1-5-21-1004336348-1177238915-682003330"
#define PARTNER_SID "S-1-5-21-2052111302-1214440339-725345543"
#define MIN_SEQ 6 /* the highest roster seq seen before */
#define USERNAME "alice@corp.example"
#define PASSWORD "correct horse battery staple"
#define CHANGE_ID "req-9D3F6H1J5L8N2R4T"
#define NEW_PASSWORD "tr0ub4dor &3"

struct world_statement {
        const char *key, *enc, *id; /* names of identity and encryption key; connector id */
        char *header, *payload, *jws;
};

struct world_verdict {
        const char *name, *about;
        char *claims, *jws, *jwe;
};
#define VERDICTS 5

struct world {
        char *roster_header, *roster_payload, *roster_jws;
        struct world_statement statements[2];
        struct world_statement signing; /* of the first connector, with a key that signs its verdicts */
        uint8_t rk[32];
        char *request_header, *request_claims, *request_jws, *req, *padded;
        char *protected, *lines[2], *sealed, *shares[2];
        struct world_change {
                char *claims, *jws, *req, *sealed;
        } change; /* a change of a password, for the first connector alone: the larger class of padding */
        char *verdict_header, *verdict_jwe_header;
        struct world_verdict verdicts[VERDICTS];
        char *signing_header; /* of a verdict by that key */
        struct world_verdict signing_verdict;
        struct world_verdict change_verdict; /* on the change */
        char *identity_header, *identity_payload, *identity_jws, *identity_body;
        char *keys_answer, *keys_change;
};

/* Made once, then the same. */
const struct world *world(void);

char *jws_header(const char *typ, const char *key);
char *jwk_text(const struct key *key);
char *request_hash_of(const char *jws);
/* JWS and JWE around the claims of a verdict. */
char *verdict_jws_of(const char *claims);
char *verdict_jwe_of(const char *jws, const char *salt, size_t padded);
