/*
 * The roster: which identity keys are connectors and which keys are sign-in services of a tenant, signed by
 * the tenant key that both ends pin (PROTOCOL.md "Roster").
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/jose.h"

#define ROSTER_LIFE_MAX (30 * 86400)
#define ROSTER_SKEW 120 /* tolerated clock difference, s */
/* As now of roster_verify: the times are not checked. For the admin, who signs anew, and for the floor of
 * seq. */
#define ROSTER_ANY_TIME INT64_MIN
#define ROSTER_MEMBERS_MAX 512
#define ROSTER_TEXT_MAX (256 * 1024)
#define TENANT_MAX 64 /* [a-z0-9-]{1,64} */
#define NAME_MAX_LEN 64

struct roster_member {
        char *id;   /* id of the connector or service, [A-Za-z0-9-]{16,64} */
        char *name; /* for humans */
        struct key *key;
};

struct roster {
        char *tenant;
        struct key *tenant_key; /* public */
        uint64_t seq;
        int64_t iat, exp;
        size_t n_connectors, n_services, n_removed;
        struct roster_member *connectors, *services;
        char (*removed)[KID_LEN + 1];
        char *text; /* the compact JWS it was parsed from; NULL for one being built */
};

/* Checks in PROTOCOL.md's order: SPKI hash of payload.key = pin, signature, tenant, exp (against now, s), seq
 * >= min_seq. -EBADMSG malformed, -EKEYREJECTED wrong pin or signature, -EXDEV other tenant, -ETIME expired,
 * -ESTALE older than min_seq. */
int roster_verify(struct roster **ret_roster, const char *text, size_t n, const char *pin, const char *tenant,
                  int64_t now, uint64_t min_seq, struct error *err);
/* An empty roster (seq 0) to be filled and signed. */
int roster_new(struct roster **ret_roster, const char *tenant, struct key *tenant_key);
/* Adds or replaces by id. -EEXIST if the key or the name stands under another id, -EKEYREJECTED if the kid
 * was removed. */
int roster_add(struct roster *roster, bool service, const char *id, const char *name, struct key *key,
               struct error *err);
/* Removes by id, name or kid and notes the kid in removed. -ENOENT. */
int roster_remove(struct roster *roster, const char *which, struct error *err);
/* Signs as seq+1 with iat now and exp now + life (<= ROSTER_LIFE_MAX); updates roster->seq, iat, exp, text.
 */
int roster_sign(struct roster *roster, const struct key *tenant_key, int64_t now, int64_t life,
                struct error *err);

const struct roster_member *roster_connector(const struct roster *roster, const char *kid);
const struct roster_member *roster_service(const struct roster *roster, const char *kid);
struct roster *roster_free(struct roster *roster);
DEFINE_FREEP(struct roster, roster_free)
bool tenant_valid(const char *tenant);
