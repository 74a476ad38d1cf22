/*
 * A tenant for the tests of the client: a tenant key, connectors with statements, a service, and the relay's
 * answer made of them.
 */
#pragma once

#include "tests/queue/check.h"

#include "queue/seal/exchange.h"

/* The time of everything in it; world_new takes it as it is then. */
extern int64_t world_time;
#define NOW world_time
#define TENANT "acme"
#define SERVICE_ID "service-0001-bbbbbb"
#define CONNECTORS 6

struct world_connector {
        char id[32], name[16];
        struct key *identity, *enc;
        struct statement *statement; /* being edited; publish signs it */
};

struct world {
        struct key *tenant, *service;
        struct roster *roster;
        struct world_connector connectors[CONNECTORS];
};

/* Connectors 0 to 4 are in the roster, 5 is the relay's own. All serve corp.example, suffix corp.com, NetBIOS
 * CORP. */
struct world *world_new(void);
struct world *world_free(struct world *w);
/* Gives a statement one realm (the only change most tests need). */
/* Puts a domain into the roster, signed anew; says for which one a connector speaks (NULL: none). At first all speak
 * for corp.example, the default one. */
void world_put_domain(struct world *w, const char *name, const char *suffix, const char *netbios, const char *sid);
void world_speak(struct world *w, size_t i, const char *domain);
void world_set_realm(struct world *w, size_t i, const char *realm, const char *suffix, const char *netbios);
/* Signs connector i's statement and returns its text; owned by the world. */
const char *world_publish(struct world *w, size_t i, int64_t now, int64_t life);
/* The answer of GET /keys: statements and ready list as given ("" for none). free() it. */
char *world_keys(struct world *w, const char *statements, const char *ready);
/* All of 0..n-1 published and ready in this order. free() it. */
char *world_all_keys(struct world *w, size_t n);
struct directory *world_open(struct world *w, const char *json);
/* Makes the connector's verdict on these claims, whose plaintext had padded bytes, and seals it. */
void world_seal_verdict(const struct world_connector *c, struct verdict_claims *v, const struct request_claims *claims,
                        size_t padded, struct buffer *out);
