/*
 * Claims that several signed objects and messages have in common. Failures are recorded by the reader.
 */
#pragma once

#include "base/core/text.h"
#include "certs/codec/json.h"
#include "certs/keys/key.h"
#include "certs/trust/roster.h"

struct claim_times {
        int64_t iat, exp;
        int64_t life_max; /* exp <= iat + life_max */
        int64_t skew;
};

/* Reads iat and exp: exp after iat, at most life_max. */
void claims_times(struct json_reader *r, struct claim_times *times);
/* -ETIME when exp has passed or iat lies ahead, by more than the skew. */
int claims_current(const struct claim_times *times, const char *what, int64_t now, struct error *err);
/* The member "kid" is this key's thumbprint (NULL: of the right form). */
void claims_kid(struct json_reader *r, const struct key *key);
/* A tenant's name. */
void claims_tenant(struct json_reader *r, const char *name, char ret_tenant[TENANT_MAX + 1]);
/* An id, as id_valid. */
void claims_id(struct json_reader *r, const char *name, char ret_id[ID_MAX + 1]);
