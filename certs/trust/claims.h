/*
 * Internal to certs: claims that the roster and the statements have in common.
 */
#pragma once

#include "certs/jose/jose-internal.h"

struct claim_times {
        int64_t iat, exp;
        int64_t life_max; /* exp <= iat + life_max */
        int64_t skew;
};

/* Reads iat and exp: exp behind iat, at most life_max. -EBADMSG. */
int claims_times(const json_t *object, const char *what, struct claim_times *times, struct error *err);
/* -ETIME when exp has passed or iat lies ahead, by more than the skew. */
int claims_current(const struct claim_times *times, const char *what, int64_t now, struct error *err);
/* The member "kid" is this key's thumbprint. */
int claims_kid_matches(const json_t *object, const char *what, const struct key *key, struct error *err);
