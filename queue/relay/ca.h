/*
 * The transport CA: the relay's own, made at its first start. It only lets connectors hold a link; nothing
 * end to end rests on it.
 */
#pragma once

#include <openssl/x509.h>
#include <stdint.h>

#include "certs/keys/key.h"
#include "certs/trust/roster.h"
#include "base/ipc/loop.h"

#define CA_LIFE_DAYS 3650
#define CA_ISSUE_DAYS_MAX 30
#define CA_BACKDATE 3600 /* s, a tenth of the life at most: clocks differ */
#define CA_SERIAL_MAX 41 /* hex text with NUL */

struct ca;

/* Reads transport-ca.key and transport-ca.pem in dir, or makes them (key 0600). */
int ca_open(struct ca **ret_ca, const char *dir, const char *node, int64_t now, struct error *err);
struct ca *ca_free(struct ca *ca);
DEFINE_FREEP(struct ca, ca_free)
X509 *ca_cert(const struct ca *ca); /* borrowed */

/* A PKCS#10 request that was checked. */
struct ca_request {
        X509_REQ *req;
        char id[ID_MAX + 1];
};
/*
 * From base64 text (white space anywhere): P-256, self-signed by its key, subject exactly CN=<id>, SAN
 * exactly the URI urn:postern:<tenant>:<id>. -EBADMSG with a sentence for the client.
 */
int ca_request_parse(struct ca_request *ret_request, const char *base64, size_t n, const char *tenant,
                     struct error *err);
void ca_request_clear(struct ca_request *request);
/* Whether both hold the same public key. */
bool ca_request_same_key(const struct ca_request *request, X509 *cert);

/* A client certificate for the request; life: s, at most CA_ISSUE_DAYS_MAX days, the backdating included. */
int ca_issue(const struct ca *ca, const struct ca_request *request, const char *tenant, int64_t life, int64_t now,
             X509 **ret_cert);
/* Serial as lower-case hex, notBefore and notAfter as seconds. -EBADMSG. */
int ca_cert_facts(X509 *cert, char serial[CA_SERIAL_MAX], int64_t *ret_not_before, int64_t *ret_not_after);
/* Appends the base64 of a certs-only PKCS#7 (RFC 8951). */
int ca_certs_only(X509 *const *certs, size_t n, struct buffer *out);
/* CN and tenant of a client certificate that verified: its SAN must be urn:postern:<tenant>:<CN>. -EBADMSG.
 */
int ca_peer_identity(X509 *cert, char tenant[TENANT_MAX + 1], char id[ID_MAX + 1]);
