/*
 * The reader's ticket by its keytab: a profile of its own (nothing of /etc/krb5.conf), a cache in memory.
 */
#include <errno.h>
#include <krb5.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "connector/account/account.h"

#define CACHE "MEMORY:postern-account"

/* libkrb5 and, through it, the GSSAPI mechanism read this and no other. The descriptor stays open. */
static int make_profile(const struct reader *reader, const struct dc_place *place, struct error *err)
{
        const struct domain_config *d = reader->domain;
        char text[2048], address[128], path[64];
        int fd = memfd_create("krb5.conf", 0);

        if (fd < 0 || getnameinfo((const struct sockaddr *)&place->address.storage, place->address.len, address,
                                  sizeof(address), NULL, 0, NI_NUMERICHOST) != 0)
                return error_fail(err, -EIO, "no profile for Kerberos can be made");
        const bool v6 = strchr(address, ':') != NULL;
        int n = snprintf(text, sizeof(text),
                         "[libdefaults]\n default_realm = %s\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
                         " rdns = false\n dns_canonicalize_hostname = false\n udp_preference_limit = 1\n"
                         " kdc_timesync = 0\n[realms]\n %s = {\n  kdc = %s%s%s:%u\n }\n[domain_realm]\n .%s = %s\n"
                         " %s = %s\n",
                         d->realm, d->realm, v6 ? "[" : "", address, v6 ? "]" : "",
                         (unsigned)(d->kdc_port ? d->kdc_port : 88), d->name, d->realm, place->host, d->realm);
        if (n <= 0 || n >= (int)sizeof(text) || write(fd, text, (size_t)n) != n)
                return error_fail(err, -EIO, "no profile for Kerberos can be made");
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        (void)setenv("KRB5_CONFIG", path, 1);
        (void)setenv("KRB5CCNAME", CACHE, 1);
        (void)setenv("KRB5RCACHENAME", "none:", 1);
        return 0;
}

/* NAME of NAME@SUFFIX or NETBIOS\NAME, in the domain's realm. */
static int principal_of(krb5_context context, const struct domain_config *d, krb5_principal *ret)
{
        const char *name = d->reader, *slash = strchr(name, '\\'), *at = strrchr(name, '@');
        char text[600];

        name = slash ? slash + 1 : name;
        (void)snprintf(text, sizeof(text), "%.*s@%s", at && !slash ? (int)(at - name) : (int)strlen(name), name,
                       d->realm);
        return krb5_parse_name(context, text, ret);
}

int ticket_get(const struct reader *reader, const struct dc_place *place, struct error *err)
{
        krb5_context context = NULL;
        krb5_principal who = NULL;
        krb5_keytab keytab = NULL;
        krb5_ccache cache = NULL;
        krb5_creds creds = {.magic = 0};
        int r = make_profile(reader, place, err);

        if (r < 0)
                return r;
        krb5_error_code code = krb5_init_context(&context);
        if (code == 0)
                code = principal_of(context, reader->domain, &who);
        if (code == 0)
                code = krb5_kt_resolve(context, reader->keytab, &keytab);
        if (code == 0)
                code = krb5_get_init_creds_keytab(context, &creds, who, keytab, 0, NULL, NULL);
        if (code == 0)
                code = krb5_cc_resolve(context, CACHE, &cache);
        if (code == 0)
                code = krb5_cc_initialize(context, cache, who);
        if (code == 0)
                code = krb5_cc_store_cred(context, cache, &creds);
        if (code != 0) {
                const char *why = context ? krb5_get_error_message(context, code) : "no context";
                r = error_fail(err,
                               code == KRB5KDC_ERR_PREAUTH_FAILED || code == KRB5KDC_ERR_CLIENT_REVOKED ? -EKEYREJECTED
                               : code == KRB5_KDC_UNREACH                                               ? -EINPROGRESS
                                                                                                        : -EACCES,
                               "%s gives the reader %s no ticket by reader_keytab: %s", place->host,
                               reader->domain->reader, why);
                if (context)
                        krb5_free_error_message(context, why);
        }
        if (context) { /* the cache stays in memory, for GSSAPI */
                krb5_free_cred_contents(context, &creds);
                krb5_free_principal(context, who);
                if (keytab)
                        (void)krb5_kt_close(context, keytab);
                if (cache)
                        (void)krb5_cc_close(context, cache);
        }
        return r;
}
