/*
 * From an outcome to the signed, sealed verdict of PROTOCOL.md.
 */
#pragma once

#include "queue/wire/wire.h"
#include "validate/types/outcome.h"

/* What ties a verdict to its request; all borrowed. */
struct verdict_frame {
        const struct key *signer; /* private: enckeys_signer */
        const char *connector_id, *service_id, *tenant, *jti;
        const char *req;   /* request_hash of the request JWS */
        const uint8_t *rk; /* 32 bytes */
        size_t padded;     /* PADDED_SMALL or PADDED_LARGE: the request's */
        int64_t now;
        uint32_t t_opened, t_dc, t_total;
};

/* Appends the compact JWE to out. What is optional and does not fit is left out: attributes first, and said so. */
int verdict_seal(const struct verdict_frame *f, const struct outcome *o, struct buffer *out, struct error *err);
/* "ldap=49 data=52e" for the helpdesk; "" where nothing raw was seen. */
void verdict_raw_text(const struct outcome *o, char *out, size_t cap);
