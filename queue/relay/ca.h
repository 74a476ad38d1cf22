/*
 * The transport CA: the relay's own, made at its first start, or an intermediate of this node under a root that is
 * kept elsewhere. It only lets connectors hold a link; nothing end to end rests on it.
 */
#pragma once

#include <openssl/x509.h>
#include <stdint.h>

#include "certs/keys/key.h"
#include "certs/trust/roster.h"
#include "base/ipc/loop.h"

#define CA_LIFE_DAYS 3650
#define CA_NODE_DAYS 1825 /* of a node's certificate under a root */
#define CA_ISSUE_DAYS_MAX 30
#define CA_CHAIN_MAX 4 /* certificates of a node, its own included */
#define CA_ROOTS_MAX 16
#define CA_BACKDATE 3600 /* s, a tenth of the life at most: clocks differ */
#define CA_SERIAL_MAX 41 /* hex text with NUL */

struct ca;

/*
 * Reads in dir transport-ca.key and transport-ca.pem (the certificate that issues, then those that lead to a root) and
 * transport-roots.pem (what connectors' certificates must lead to; without that file the certificate that issues,
 * which then must be its own root). Where neither key nor certificate is there both are made (key 0600). An
 * installation (ca-node.h) that was cut off is finished. -errno with the file in err.
 */
int ca_open(struct ca **ret_ca, const char *dir, const char *node, int64_t now, struct error *err);
struct ca *ca_free(struct ca *ca);
DEFINE_FREEP(struct ca, ca_free)
X509 *ca_cert(const struct ca *ca); /* which issues; borrowed */
/* Borrowed: what a client certificate must lead to, roots and other nodes' certificates under them. */
const STACK_OF(X509) * ca_roots(const struct ca *ca);
/* Appends what goes with an issued certificate: the certificates between it and its root. */
size_t ca_chain(const struct ca *ca, X509 *certs[CA_CHAIN_MAX]);

/* A CA certificate for a P-256 key (of a node, pathlen 0, or of a root, 1) with this CN, issued by issuer, or by
 * itself where that is NULL. */
struct ca_subject {
        EVP_PKEY *key;
        const char *cn;
        bool root;
        int days;
};
int ca_make_cert(X509 **ret_cert, const struct ca_subject *subject, X509 *issuer, EVP_PKEY *issuer_key, int64_t now);

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
/* Whether it is on the one curve that is used. */
bool ca_is_p256(EVP_PKEY *key);
/* The SHA-256 of a public key's bytes; of two keys on P-256 the same only where they are one. -EBADMSG. */
#define CA_KEY_HASH_LEN 32
int ca_key_hash(const X509_PUBKEY *key, uint8_t ret_hash[CA_KEY_HASH_LEN]);
/* Whether the request is for the key of this hash. */
bool ca_request_same_key(const struct ca_request *request, const uint8_t hash[CA_KEY_HASH_LEN]);

/* A client certificate for the request; life: s, at most CA_ISSUE_DAYS_MAX days, the backdating included, and the CA's
 * own. -EKEYEXPIRED: that has ended. */
int ca_issue(const struct ca *ca, const struct ca_request *request, const char *tenant, int64_t life, int64_t now,
             X509 **ret_cert);
/* Serial as lower-case hex, notBefore and notAfter as seconds. -EBADMSG. */
int ca_cert_facts(X509 *cert, char serial[CA_SERIAL_MAX], int64_t *ret_not_before, int64_t *ret_not_after);
/* Appends the base64 of a certs-only PKCS#7 (RFC 8951). */
int ca_certs_only(X509 *const *certs, size_t n, struct buffer *out);
/* CN and tenant of a client certificate that verified: its SAN must be urn:postern:<tenant>:<CN>. -EBADMSG.
 */
int ca_peer_identity(X509 *cert, char tenant[TENANT_MAX + 1], char id[ID_MAX + 1]);
