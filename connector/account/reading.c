/*
 * One domain controller by libldap: a connection of our own making (a deadline, an address of our own look-up), TLS
 * that shows which domain controller it is, the reader's bind.
 *
 * Invariant: the reader's password leaves only after the certificate proved right: its chain and host by libldap, and
 * the domain, where the host is none of `dcs`. A bind that may have counted has an error of its own. libldap blocks,
 * which the process's alarm bounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openldap.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/account/account.h"

#define CONNECT_MS 3000
#define ANSWER_S 8

struct reading {
        LDAP *ld;
        char host[DNS_HOST_MAX + 1];
};

/* ---- the connection ---- */

static int connect_in_time(const struct dc_place *place, uint16_t port, struct error *err)
{
        struct sockaddr_storage address = place->address.storage;
        const struct timeval patience = {.tv_sec = ANSWER_S};
        _cleanup_(closep) int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int code = 0;
        socklen_t n = sizeof(code);

        address_set_port(&address, port);
        if (fd < 0)
                return error_fail(err, -errno, "%s: %s", place->host, strerror(errno));
        if (connect(fd, (const struct sockaddr *)&address, place->address.len) < 0 && errno != EINPROGRESS)
                code = errno;
        else if (poll(&p, 1, CONNECT_MS) <= 0)
                code = ETIMEDOUT;
        else
                (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n);
        if (code)
                return error_fail(err, -code, "%s, port %u: %s", place->host, port, strerror(code));
        (void)fcntl(fd, F_SETFL, 0); /* libldap waits in its calls */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        return steal_fd(&fd);
}

static int fail(const struct reading *d, int code, const char *what, struct error *err)
{
        _cleanup_(freep) char *why = NULL;
        int errnum = code == LDAP_TIMEOUT || code == LDAP_SERVER_DOWN ? -ETIMEDOUT : -EIO;

        (void)ldap_get_option(d->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &why);
        return error_fail(err, errnum, "%s: %s: %s%s%.300s", d->host, what, ldap_err2string(code),
                          why && why[0] ? ": " : "", why ? why : "");
}

/* A bind's: the domain controller refused the credential, or whatever it thought of it is not known. */
static int fail_bind(const struct reading *d, int code, const char *what, struct error *err)
{
        const int r = fail(d, code, what, err);

        return code == LDAP_INVALID_CREDENTIALS ? -EKEYREJECTED : r == -ETIMEDOUT ? -EINPROGRESS : r;
}

/* ---- who it is ---- */

static bool is_pinned(X509 *cert, const struct domain_config *domain)
{
        uint8_t hash[SHA256_DIGEST_LENGTH];
        char text[B64U_LEN(SHA256_DIGEST_LENGTH) + 1];
        unsigned char *der = NULL;
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

        if (n <= 0)
                return false;
        SHA256(der, (size_t)n, hash);
        OPENSSL_free(der);
        b64u_encode_to(text, hash, sizeof(hash));
        for (size_t i = 0; i < PINS_MAX && domain->pins[i]; i++)
                if (strcmp(domain->pins[i], text) == 0)
                        return true;
        return false;
}

/* Chain and host were libldap's to check; this is what dc_identity adds. A host that only DNS names must show the
 * domain, or any workstation of it could ask for the reader's password. */
static int check_identity(const struct reading *d, const struct reader *reader, const struct dc_place *place,
                          struct error *err)
{
        const struct domain_config *domain = reader->domain;
        struct berval der = {0, NULL};
        const unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;

        if (ldap_get_option(d->ld, LDAP_OPT_X_TLS_PEERCERT, &der) != LDAP_OPT_SUCCESS || !der.bv_val)
                return error_fail(err, -EACCES, "%s shows no certificate", place->host);
        const unsigned char *bytes = (const unsigned char *)der.bv_val;
        X509 *cert = d2i_X509(NULL, &bytes, (long)der.bv_len);
        const bool pin = domain->dc_identity == DC_IDENTITY_PIN;
        const bool good =
                cert && (pin             ? is_pinned(cert, domain)
                         : place->listed ? true
                                         : X509_check_host(cert, domain->name, strlen(domain->name), flags, NULL) == 1);
        X509_free(cert);
        ldap_memfree(der.bv_val);
        return good ? 0
                    : error_fail(err, -EACCES,
                                 pin ? "%s: the key of its certificate is none of pins"
                                     : "%s is not in dcs, and its certificate does not name the domain",
                                 place->host);
}

static int secure(struct reading *d, const struct reader *reader, const struct dc_place *place, struct error *err)
{
        const int demand =
                          reader->domain->dc_identity == DC_IDENTITY_PIN ? LDAP_OPT_X_TLS_ALLOW : LDAP_OPT_X_TLS_DEMAND,
                  new_context = 0, version = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;
        int r;

        if (reader->ca_file[0])
                (void)ldap_set_option(d->ld, LDAP_OPT_X_TLS_CACERTFILE, reader->ca_file);
        (void)ldap_set_option(d->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
        (void)ldap_set_option(d->ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &version);
        if (ldap_set_option(d->ld, LDAP_OPT_X_TLS_NEWCTX, &new_context) != LDAP_OPT_SUCCESS)
                return error_fail(err, -EINVAL, "ca_file cannot be used for TLS");
        r = reader->domain->starttls ? ldap_start_tls_s(d->ld, NULL, NULL) : ldap_install_tls(d->ld);
        return r == LDAP_SUCCESS ? check_identity(d, reader, place, err) : fail(d, r, "TLS", err);
}

/* ---- the bind ---- */

/* GSSAPI asks for nothing that the ticket does not hold. */
static int no_interaction(LDAP *ld, unsigned flags, void *defaults, void *in)
{
        (void)ld;
        (void)flags;
        (void)defaults;
        (void)in;
        return LDAP_SUCCESS;
}

static int bind_reader(struct reading *d, const struct reader *reader, struct error *err)
{
        struct berval password = {secret_len(reader->password), (char *)(uintptr_t)secret_text(reader->password)};
        int r = ldap_sasl_bind_s(d->ld, reader->domain->reader, LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);

        return r == LDAP_SUCCESS ? 0 : fail_bind(d, r, "the reader's bind", err);
}

/* Signed and sealed by the ticket's key, which only the domain controller of that name has: Samba takes no GSSAPI
 * inside TLS, and Active Directory none that seals in there. */
static int bind_by_ticket(struct reading *d, const struct reader *reader, const struct dc_place *place,
                          struct error *err)
{
        char sealed[] = "minssf=112,noplain,noanonymous";
        /* a KDC that is not there counts nothing: what libkrb5 says of it reads as if it had not answered */
        int r = connect_in_time(place, reader->domain->kdc_port ? reader->domain->kdc_port : 88, err);

        if (r >= 0) {
                (void)close(r);
                r = ticket_get(reader, place, err);
        }
        if (r < 0)
                return r;
        (void)ldap_set_option(d->ld, LDAP_OPT_X_SASL_NOCANON, LDAP_OPT_ON);
        (void)ldap_set_option(d->ld, LDAP_OPT_X_SASL_SECPROPS, sealed);
        r = ldap_sasl_interactive_bind_s(d->ld, NULL, "GSSAPI", NULL, NULL, LDAP_SASL_QUIET, no_interaction, NULL);
        return r == LDAP_SUCCESS ? 0 : fail_bind(d, r, "the reader's bind by GSSAPI", err);
}

int reading_open(struct reading **ret_d, const struct reader *reader, const struct dc_place *place, struct error *err)
{
        const struct domain_config *domain = reader->domain;
        const bool ticket = reader->keytab[0];
        const uint16_t port = ticket || domain->starttls ? (domain->ldap_port ? domain->ldap_port : 389)
                                                         : (domain->ldaps_port ? domain->ldaps_port : 636);
        const int version = LDAP_VERSION3;
        const struct timeval patience = {.tv_sec = ANSWER_S};
        char url[DNS_HOST_MAX + 32];
        struct reading *d = calloc(1, sizeof(*d));

        if (!d)
                return error_fail(err, -ENOMEM, "out of memory");
        memcpy(d->host, place->host, sizeof(d->host));
        int fd = connect_in_time(place, port, err);
        if (fd < 0) {
                free(d);
                return fd;
        }
        (void)snprintf(url, sizeof(url), "ldap://%s:%u", place->host, port);
        if (ldap_init_fd(fd, LDAP_PROTO_TCP, url, &d->ld) != LDAP_SUCCESS) {
                (void)close(fd);
                free(d);
                return error_fail(err, -ENOMEM, "%s: libldap takes no connection", place->host);
        }
        (void)ldap_set_option(d->ld, LDAP_OPT_PROTOCOL_VERSION, &version);
        (void)ldap_set_option(d->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
        (void)ldap_set_option(d->ld, LDAP_OPT_TIMEOUT, &patience);
        int r = ticket ? bind_by_ticket(d, reader, place, err) : secure(d, reader, place, err);
        if (r == 0 && !ticket)
                r = bind_reader(d, reader, err);
        if (r < 0)
                reading_free(d);
        else
                *ret_d = d;
        return r;
}

struct reading *reading_free(struct reading *d)
{
        if (d) {
                (void)ldap_unbind_ext_s(d->ld, NULL, NULL);
                free(d);
        }
        return NULL;
}

/* ---- reading ---- */

LDAP *reading_ldap(const struct reading *d)
{
        return d->ld;
}

int reading_search(struct reading *d, const char *base, int scope, const char *filter, const char *const *attributes,
                   int max, LDAPMessage **ret_result, struct error *err)
{
        struct timeval patience = {.tv_sec = ANSWER_S};
        LDAPMessage *result = NULL;
        int r = ldap_search_ext_s(d->ld, base, scope, filter, (char **)(uintptr_t)attributes, 0, NULL, NULL, &patience,
                                  max, &result);

        if (r != LDAP_SUCCESS && r != LDAP_SIZELIMIT_EXCEEDED) {
                ldap_msgfree(result);
                return r == LDAP_NO_SUCH_OBJECT ? error_fail(err, -ENOENT, "%s: there is no %s", d->host, base)
                                                : fail(d, r, "a search", err);
        }
        *ret_result = result;
        return 0;
}

char *reading_text(const struct reading *d, LDAPMessage *entry, const char *attribute)
{
        struct berval **values = ldap_get_values_len(d->ld, entry, attribute);
        char *text =
                values && values[0] && values[0]->bv_len < 65536 && utf8_valid(values[0]->bv_val, values[0]->bv_len)
                        ? strndup(values[0]->bv_val, values[0]->bv_len)
                        : NULL;

        ldap_value_free_len(values);
        return text;
}

long long reading_number(const struct reading *d, LDAPMessage *entry, const char *attribute, long long fallback)
{
        _cleanup_(freep) char *text = reading_text(d, entry, attribute);
        char *end = NULL;
        long long n = text ? strtoll(text, &end, 10) : 0;

        return text && end != text && !*end ? n : fallback;
}
