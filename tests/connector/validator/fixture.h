/*
 * A tenant in memory: tenant key, one connector, one service, a signed roster, the connector's encryption
 * keys; and requests sealed to it.
 */
#pragma once

#include "certs/trust/roster.h"
#include "connector/validator/enckeys.h"
#include "queue/wire/wire.h"

#define NOW 1800000000
#define TENANT "contoso"
#define CONNECTOR_ID "connector-0000001"
#define SERVICE_ID "service-000000001"
#define REQUEST_ID "request-000000001"

struct fixture {
        struct key *tenant_key, *identity, *service;
        struct roster *roster;
        struct enckeys keys;
};

void fixture_make(struct fixture *f);
void fixture_clear(struct fixture *f);
/* Claims that pass every check. */
struct request_claims fixture_claims(const struct fixture *f);
/* Signs claims with signer and seals them to the connector's current key; the caller frees *out with
 * buffer_free. */
void fixture_seal(const struct fixture *f, const struct request_claims *c, const struct key *signer,
                  struct buffer *out);
