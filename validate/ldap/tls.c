/*
 * Who is a DC of this domain, by its certificate.
 *
 * Invariant: a handshake ends well only if the chain leads to a configured CA *and* the certificate proves
 * what dc_identity asks for (or, with pins, its key is one of them); there is no fallback. DNS proves nothing
 * here, and no session is resumed, so every connection is checked. It opens no connection.
 */
#include "validate/ldap/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/core/ca-bundle.h"
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "base/dns/dns.h"
#include "validate/types/detail.h"

#define OID_KP_KDC "1.3.6.1.5.2.3.5"

struct ldap_tls {
        SSL_CTX *ctx;
        char *domain;
        char *hosts[DCS_MAX]; /* that the configuration lists */
        size_t n_hosts;
        enum dc_identity identity;
        size_t n_pins;
        uint8_t pins[PINS_MAX][SHA256_DIGEST_LENGTH];
};

/* Where a session keeps its struct ldap_tls_result. */
static int result_index(void)
{
        static int index = -1;

        if (index < 0)
                index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
        return index;
}

static int refuse(struct ldap_tls_result *result, const char *why)
{
        result->refused = true;
        snprintf(result->why, sizeof result->why, "%s", why);
        return 0;
}

static bool pin_matches(const struct ldap_tls *tls, X509 *cert)
{
        uint8_t hash[SHA256_DIGEST_LENGTH], *der = NULL;
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        bool found = false;

        if (n <= 0)
                return false;
        SHA256(der, (size_t)n, hash);
        OPENSSL_free(der);
        for (size_t i = 0; i < tls->n_pins; i++)
                found = found || memcmp(hash, tls->pins[i], sizeof hash) == 0;
        return found;
}

static bool names_host(X509 *cert, const char *name)
{
        unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;
        struct dns_address ignored;

        if (dns_numeric(&ignored, name) == 0)
                return X509_check_ip_asc(cert, name, 0) == 1;
        return X509_check_host(cert, name, strlen(name), flags, NULL) == 1;
}

/* Extended key usage id-pkinit-KPKdc (RFC 4556): the CA gave it to a KDC. */
static bool is_kdc(X509 *cert)
{
        EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
        bool found = false;
        char oid[64];

        for (int i = 0; i < sk_ASN1_OBJECT_num(usages); i++) {
                OBJ_obj2txt(oid, sizeof oid, sk_ASN1_OBJECT_value(usages, i), 1);
                found = found || strcmp(oid, OID_KP_KDC) == 0;
        }
        sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
        return found;
}

/* The length of a host's name without the dot at its end. */
static size_t host_len(const char *host)
{
        size_t n = strlen(host);

        return n > 0 && host[n - 1] == '.' ? n - 1 : n;
}

static bool is_listed(const struct ldap_tls *tls, const char *host)
{
        size_t n = host_len(host);

        for (size_t i = 0; i < tls->n_hosts; i++)
                if (host_len(tls->hosts[i]) == n && strncasecmp(tls->hosts[i], host, n) == 0)
                        return true;
        return false;
}

/* One label before the domain's name, as the DCs of a domain are called. */
static bool is_in_domain(const struct ldap_tls *tls, const char *host)
{
        size_t n = host_len(host), label = strcspn(host, ".");

        return label > 0 && label < n && n - label - 1 == strlen(tls->domain) &&
               strncasecmp(host + label + 1, tls->domain, n - label - 1) == 0;
}

static void add_name(struct ldap_tls_result *result, const char *begin, const char *name)
{
        const size_t at = strlen(result->why);

        snprintf(result->why + at, sizeof result->why - at, "%s%s%s", begin, name,
                 strncmp(name, "*.", 2) == 0 ? " (a wildcard, which never counts)" : "");
}

/* Says what the certificate does name, too, for whoever has to find out whose it is: that is shorter than guessing. */
static int refuse_names(struct ldap_tls_result *result, X509 *cert, const char *why)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        const char *begin = "; it names ";
        char text[160];

        refuse(result, why);
        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
                const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

                if (name->type != GEN_DNS)
                        continue;
                snprintf(text, sizeof text, "%.*s", ASN1_STRING_length(name->d.dNSName),
                         (const char *)ASN1_STRING_get0_data(name->d.dNSName));
                for (char *p = text; *p; p++) /* it may be anybody's */
                        *p = *p > ' ' && *p < 0x7f ? *p : '?';
                add_name(result, begin, text);
                begin = ", ";
        }
        if (begin[0] == ';')
                add_name(result, "; ", "it names no host at all");
        GENERAL_NAMES_free(names);
        return 0;
}

/* The certificate's own proof, besides its chain. */
static int check_identity(const struct ldap_tls *tls, struct ldap_tls_result *result, X509 *cert)
{
        const char *host = result->host;

        switch (tls->identity) {
        case DC_IDENTITY_DOMAIN_SAN:
                /* It names the domain, which the CA lets DCs alone do; or it is a KDC's and names the host, and the
                 * host is one of this domain by its name or by the configuration: the CA gives such certificates to
                 * the KDCs of all its domains, and which host it is may be what forged DNS said. */
                if (names_host(cert, tls->domain) ||
                    (is_kdc(cert) && names_host(cert, host) && (is_listed(tls, host) || is_in_domain(tls, host))))
                        return 1;
                return refuse_names(result, cert,
                                    "certificate does not name the domain, and is no KDC's that names a host of the "
                                    "domain or of dcs");
        case DC_IDENTITY_LIST:
                if (!is_listed(tls, host))
                        return refuse(result, "the host is not one of dcs, which dc_identity = list asks for");
                return names_host(cert, host) ? 1 : refuse_names(result, cert, "certificate does not name the host");
        case DC_IDENTITY_PIN:
                return pin_matches(tls, cert) ? 1 : refuse(result, "certificate's key is not pinned");
        }
        return refuse(result, "no way to check the certificate is configured");
}

/* Shows what was presented, good or not; by handshake, not by sign-in. */
static void trace_certificate(const struct ldap_tls *tls, const struct ldap_tls_result *result, X509 *cert)
{
        static const char *const identities[] = {
                [DC_IDENTITY_DOMAIN_SAN] = "domain-san", [DC_IDENTITY_LIST] = "list", [DC_IDENTITY_PIN] = "pin"};
        char subject[256] = "", issuer[256] = "", ends[32] = "?";
        struct tm tm;

        X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof subject);
        X509_NAME_oneline(X509_get_issuer_name(cert), issuer, sizeof issuer);
        if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
                strftime(ends, sizeof ends, "%Y-%m-%dT%H:%M:%SZ", &tm);
        log_debug("dc_certificate", KV_S("dc", result->host), KV_S("subject", subject), KV_S("issuer", issuer),
                  KV_S("ends", ends), KV_S("identity", identities[tls->identity]),
                  KV_S("result", result->refused ? result->why : "ok"));
}

static enum detail detail_of(int error)
{
        switch (error) {
        case X509_V_ERR_CERT_HAS_EXPIRED:
                return DETAIL_CERTIFICATE_EXPIRED;
        case X509_V_ERR_CERT_NOT_YET_VALID:
                return DETAIL_CERTIFICATE_NOT_YET;
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
                return DETAIL_CERTIFICATE_SELF_SIGNED;
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* a CA of the same name with another key */
                return DETAIL_CERTIFICATE_UNKNOWN_CA;
        case X509_V_ERR_EE_KEY_TOO_SMALL:
        case X509_V_ERR_CA_KEY_TOO_SMALL:
        case X509_V_ERR_CA_MD_TOO_WEAK:
                return DETAIL_CERTIFICATE_WEAK;
        case X509_V_ERR_INVALID_PURPOSE:
                return DETAIL_CERTIFICATE_PURPOSE;
        default:
                return DETAIL_NONE;
        }
}

/* " (2026-11-30)" of whichever certificate of the chain is meant; "" where it has no such date. */
static void add_date(struct ldap_tls_result *result, const char *words, const ASN1_TIME *time)
{
        const size_t at = strlen(result->why);
        char text[32];
        struct tm tm;

        if (time && ASN1_TIME_to_tm(time, &tm) == 1 && strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm) > 0)
                snprintf(result->why + at, sizeof result->why - at, " (%s %s UTC)", words, text);
}

static void add_issuer(struct ldap_tls_result *result, const X509 *cert)
{
        const size_t at = strlen(result->why);
        char issuer[128] = "";

        X509_NAME_oneline(X509_get_issuer_name(cert), issuer, sizeof issuer);
        for (char *p = issuer; *p; p++) /* it may be anybody's */
                *p = *p >= ' ' && *p < 0x7f ? *p : '?';
        snprintf(result->why + at, sizeof result->why - at, ": its issuer is %s", issuer);
}

/* What is wrong with the chain, with what finds it: the date, or the issuer that is missing. */
static int refuse_chain(struct ldap_tls_result *result, X509_STORE_CTX *store, X509 *cert)
{
        const int error = X509_STORE_CTX_get_error(store);
        X509 *which = X509_STORE_CTX_get_current_cert(store);
        const enum detail detail = detail_of(error);

        which = which ? which : cert;
        refuse(result, detail ? detail_phrase(detail) : X509_verify_cert_error_string(error));
        if (detail == DETAIL_CERTIFICATE_EXPIRED)
                add_date(result, "since", X509_get0_notAfter(which));
        else if (detail == DETAIL_CERTIFICATE_NOT_YET)
                add_date(result, "from", X509_get0_notBefore(which));
        else if (detail == DETAIL_CERTIFICATE_UNKNOWN_CA)
                add_issuer(result, which);
        return 0;
}

/* Replaces OpenSSL's verification: 1 good, 0 not. A pinned key needs no chain. */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
        const struct ldap_tls *tls = arg;
        SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct ldap_tls_result *result = SSL_get_ex_data(ssl, result_index());
        X509 *cert = X509_STORE_CTX_get0_cert(store);
        int good;

        if (!result || !cert)
                return 0;
        if (tls->identity != DC_IDENTITY_PIN && X509_verify_cert(store) != 1) {
                good = refuse_chain(result, store, cert);
        } else {
                good = check_identity(tls, result, cert);
                if (!good)
                        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        }
        trace_certificate(tls, result, cert);
        return good;
}

static int fail_openssl(struct error *err, const struct domain_config *domain, const char *what)
{
        unsigned long code = ERR_get_error();
        const char *text = code ? ERR_reason_error_string(code) : NULL;

        ERR_clear_error();
        return error_fail(err, -EINVAL, "domain %s: %s: %s", domain->name, what, text ? text : "failed");
}

/* Every certificate of the PEM text, or none. */
static int load_ca(struct ldap_tls *tls, const struct domain_config *domain, struct error *err)
{
        _cleanup_(buffer_free) struct buffer pem = BUFFER(CA_BUNDLE_MAX);
        int r = buffer_append_str(&pem, domain->ca_pem);

        if (r < 0)
                return error_fail(err, r, "domain %s: the CA text is too long", domain->name);
        r = ca_bundle_take(&pem, NULL, SSL_CTX_get_cert_store(tls->ctx), NULL, err);
        if (r < 0)
                return error_prefix(err, r, "domain %s: CA file", domain->name);
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls->ctx), X509_V_FLAG_PARTIAL_CHAIN);
        return 0;
}

static int load_pins(struct ldap_tls *tls, const struct domain_config *domain, struct error *err)
{
        for (size_t i = 0; i < PINS_MAX && domain->pins[i]; i++) {
                if (b64u_decode_exact(tls->pins[i], sizeof tls->pins[i], domain->pins[i], strlen(domain->pins[i])) < 0)
                        return error_fail(err, -EINVAL, "domain %s: pin %zu is not the base64url of a SHA-256 hash",
                                          domain->name, i + 1);
                tls->n_pins++;
        }
        if (tls->identity == DC_IDENTITY_PIN && tls->n_pins == 0)
                return error_fail(err, -EINVAL, "domain %s: dc_identity is pin, but no pin is configured",
                                  domain->name);
        return 0;
}

static int fill(struct ldap_tls *tls, const struct domain_config *domain, struct error *err)
{
        int r;

        tls->identity = domain->dc_identity;
        for (size_t i = 0; i < domain->n_dcs && i < DCS_MAX; i++) {
                tls->hosts[i] = strdup(domain->dcs[i].host);
                if (!tls->hosts[i])
                        return error_fail(err, -ENOMEM, "domain %s: out of memory", domain->name);
                tls->n_hosts++;
        }
        if (text_set(&tls->domain, domain->name) < 0)
                return error_fail(err, -ENOMEM, "domain %s: out of memory", domain->name);
        tls->ctx = SSL_CTX_new(TLS_client_method());
        if (!tls->ctx || SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) != 1)
                return fail_openssl(err, domain, "TLS");
        /* An end without close_notify is an end: LDAP messages say their length. */
        SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                              SSL_OP_IGNORE_UNEXPECTED_EOF);
        SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(tls->ctx, on_verify, tls);
        r = load_pins(tls, domain, err);
        if (r < 0 || tls->identity == DC_IDENTITY_PIN)
                return r;
        if (domain->ca_pem)
                return load_ca(tls, domain, err);
        if (SSL_CTX_set_default_verify_paths(tls->ctx) != 1)
                return fail_openssl(err, domain, "the system's CA certificates");
        return 0;
}

int ldap_tls_new(struct ldap_tls **ret_tls, const struct domain_config *domain, struct error *err)
{
        struct ldap_tls *tls = calloc(1, sizeof *tls);
        int r;

        if (!tls)
                return error_fail(err, -ENOMEM, "domain %s: out of memory", domain->name);
        r = fill(tls, domain, err);
        if (r < 0) {
                ldap_tls_free(tls);
                return r;
        }
        *ret_tls = tls;
        return 0;
}

struct ldap_tls *ldap_tls_free(struct ldap_tls *tls)
{
        if (!tls)
                return NULL;
        SSL_CTX_free(tls->ctx);
        free(tls->domain);
        for (size_t i = 0; i < tls->n_hosts; i++)
                free(tls->hosts[i]);
        free(tls);
        return NULL;
}

SSL *ldap_tls_session(const struct ldap_tls *tls, const char *host, struct ldap_tls_result *result)
{
        struct dns_address ignored;
        SSL *ssl = SSL_new(tls->ctx);

        if (!ssl)
                return NULL;
        memset(result, 0, sizeof *result);
        snprintf(result->host, sizeof result->host, "%.*s", (int)host_len(host), host);
        if (SSL_set_ex_data(ssl, result_index(), result) != 1 ||
            (dns_numeric(&ignored, host) < 0 && SSL_set_tlsext_host_name(ssl, result->host) != 1)) {
                SSL_free(ssl);
                return NULL;
        }
        return ssl;
}
