/*
 * TLS to the DCs of one domain: chain and identity of their certificates. Internal to the LDAP method.
 */
#pragma once

#include <openssl/ssl.h>

#include "validate/types/domain.h"

struct ldap_tls;

/* What the check of a certificate found; lives as long as its session. */
struct ldap_tls_result {
        char host[257];
        bool refused;  /* the certificate was seen and is not good */
        char why[320]; /* then: what is wrong with it, and which names it has */
};

/* Copies what it needs. err says what is wrong with the CA or a pin. */
int ldap_tls_new(struct ldap_tls **ret_tls, const struct domain_config *domain, struct error *err);
struct ldap_tls *ldap_tls_free(struct ldap_tls *tls);
/* A session for a connection to host, which sends its name (SNI) and writes result while the handshake runs.
 * NULL: no memory. */
SSL *ldap_tls_session(const struct ldap_tls *tls, const char *host, struct ldap_tls_result *result);
