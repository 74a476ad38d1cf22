/*
 * What a sandbox is made of: keys, a relay's state with one tenant, one connector and one service in it, the roster
 * that says `sandbox`, and the files that a client needs. All of it is new at each start and goes with the sandbox.
 *
 * Keys of the tenant and of the connector are in memory alone. The folder holds what a client must be given (the
 * relay's CA, the service's key and secret), and the relay's database, key and certificate.
 */
#pragma once

#include "base/core/text.h"
#include "certs/keys/key.h"
#include "certs/trust/roster.h"

#define SANDBOX_TENANT "sandbox"
#define SANDBOX_SERVICE "sandbox-service"
#define SANDBOX_CONNECTOR "sandbox-connector"
#define SANDBOX_DIR_MAX 72 /* the folder's path: room for what is in it */
#define SANDBOX_PATH_MAX (SANDBOX_DIR_MAX + 64)
#define SANDBOX_SECRET_LEN B64U_LEN(32)

struct sandbox_site {
        char dir[SANDBOX_DIR_MAX + 1];
        bool made; /* the folder is ours to remove */
        struct key *tenant, *service, *identity, *transport;
        char service_id[ID_MAX + 1], connector_id[ID_MAX + 1];
        char secret[SANDBOX_SECRET_LEN + 1];
        struct buffer chain, ca; /* PEM: the connector's certificate; the CA of the relay's TLS */
        uint16_t port;           /* of the relay; 0 until it listens */
};

#define SANDBOX_URL_MAX 32
/* Of the relay. */
void sandbox_url(const struct sandbox_site *site, char out[SANDBOX_URL_MAX]);
/* DIR/NAME. */
void sandbox_path(const struct sandbox_site *site, const char *name, char out[SANDBOX_PATH_MAX]);
/* Makes the folder (dir NULL: one with a name of its own, where temporary files are), the keys, and the relay's state
 * and configuration, by which it listens on this port of 127.0.0.1. -errno with err. */
int sandbox_site_make(struct sandbox_site *site, const char *dir, uint16_t port, struct error *err);
/* Writes what a client needs, sandbox.json last; site->port is known. */
int sandbox_site_write(const struct sandbox_site *site, struct error *err);
/* Appends sandbox.json's text. */
int sandbox_site_json(const struct sandbox_site *site, struct buffer *out);
/* enrolment.json's text, for the connector's processes. */
int sandbox_site_enrolment(const struct sandbox_site *site, struct buffer *out);
/* Removes the folder, and frees. */
void sandbox_site_clear(struct sandbox_site *site);
