/*
 * A node's CA under a root that is kept elsewhere: the root's own side, for a machine without a network, and the node's
 * files. What runs takes them up at its next reload.
 */
#pragma once

#include "queue/relay/ca.h"

#define CA_PATH_CAP 4096
#define CA_CN "Postern transport CA, "
#define CA_KEY_FILE "transport-ca.key"
#define CA_CERT_FILE "transport-ca.pem"
#define CA_ROOTS_FILE "transport-roots.pem"
#define CA_NEXT_KEY_FILE "transport-ca.next.key"  /* of a request that was not answered yet */
#define CA_NEXT_CERT_FILE "transport-ca.next.pem" /* while an installation goes on */
#define CA_FINGERPRINT_LEN 64                     /* of a certificate: its SHA-256 as lower-case hex */

int ca_path(char out[CA_PATH_CAP], const char *dir, const char *file, struct error *err);
/* Appends PEM. */
int ca_pem(const STACK_OF(X509) * certs, struct buffer *out);
/* All certificates of a file, at least one; freed with sk_X509_pop_free. -ENOENT, -EBADMSG with err. */
int ca_read_certs(STACK_OF(X509) * *ret_certs, const char *path, int most, struct error *err);
int ca_fingerprint(const X509 *cert, char out[CA_FINGERPRINT_LEN + 1]);

/* Makes root.key and root.pem in folder, which must not be there. */
int ca_make_root(const char *folder, int64_t now, struct error *err);
/* Appends the PEM of a certificate for a node's request (a file of ca_request's text), made by the root in folder. */
int ca_sign(const char *folder, const char *request, int64_t now, struct buffer *out, struct error *err);

/* Appends a PKCS#10 request in PEM for this node's next key, which is made where there is none yet. */
int ca_request(const char *dir, const char *node, struct buffer *out, struct error *err);
/*
 * Takes the certificate of the last request, with those that lead to a root of transport-roots.pem, into use, in the
 * place of what issued until now, which stays trusted. -EBADMSG: it is for another key, or leads to no root that is
 * trusted.
 */
int ca_install(const char *dir, const char *path, int64_t now, struct error *err);
/* Adds each CA certificate of a file to transport-roots.pem; how many are new. */
int ca_trust(const char *dir, const char *path, struct error *err);
/* Takes the one with this fingerprint (or an unambiguous beginning of 8 and more) out of transport-roots.pem. -ENOENT;
 * -EBUSY: what issues now leads to it. */
int ca_forget(const char *dir, const char *fingerprint, struct error *err);
