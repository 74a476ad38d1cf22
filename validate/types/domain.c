/*
 * What can be said of a domain from its configuration alone: whether it is complete, and where it keeps its accounts.
 *
 * It opens no file and asks nobody. Whether a domain controller answers is for dc/.
 */
#include "validate/types/domain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *domain_search_base(char *out, const struct domain_config *domain)
{
        size_t n = 0;

        if (domain->search_base)
                return domain->search_base;
        for (const char *s = domain->name; *s;) {
                size_t label = strcspn(s, ".");

                n += (size_t)snprintf(out + n, DOMAIN_BASE_MAX - n, "%sDC=%.*s", n > 0 ? "," : "", (int)label, s);
                s += label + (s[label] == '.');
        }
        return out;
}

int domain_check(const struct domain_config *domain, struct error *err)
{
        if (!domain->name || !domain->name[0] || strlen(domain->name) > USERNAME_MAX)
                return error_fail(err, -EINVAL, "a domain without a usable name is configured");
        if ((domain->n_dcs == 0 && !domain->discover) || domain->n_dcs > DCS_MAX)
                return error_fail(err, -EINVAL, "domain %s: %zu domain controllers are configured, 1 to %d are needed",
                                  domain->name, domain->n_dcs, DCS_MAX);
        for (size_t i = 0; i < domain->n_dcs; i++)
                if (!domain->dcs[i].host || strlen(domain->dcs[i].host) > 256)
                        return error_fail(err, -EINVAL, "domain %s: domain controller %zu has no usable host name",
                                          domain->name, i + 1);
        if (domain->password_change && !domain->realm)
                return error_fail(err, -EINVAL, "domain %s: changing passwords needs the realm", domain->name);
        if (domain->alternate_id && (!domain->service_account || !domain->service_password))
                return error_fail(err, -EINVAL,
                                  "domain %s: alternate_id needs a service account and its password: somebody must "
                                  "search for the account",
                                  domain->name);
        if (domain->fast_bind && (domain->directory != DIRECTORY_AD || !domain->netbios || !domain->service_account ||
                                  !domain->service_password))
                return error_fail(err, -EINVAL,
                                  "domain %s: fast_bind needs directory = ad, netbios, and a service account and its "
                                  "password: a fast bind does not tell whose it was",
                                  domain->name);
        if (domain->attributes[0] && domain->methods[0] == METHOD_KRB5 &&
            (domain->directory != DIRECTORY_AD || !domain->service_account || !domain->service_password))
                return error_fail(err, -EINVAL,
                                  "domain %s: attributes with krb5 need directory = ad and a service account and its "
                                  "password: somebody must read them",
                                  domain->name);
        switch (domain->methods[0]) {
        case METHOD_LDAP:
                return 0;
        case METHOD_KRB5:
                if (!domain->realm || !domain->keytab || !domain->service_principal)
                        return error_fail(err, -EINVAL,
                                          "domain %s: Kerberos needs a realm, a keytab and a service principal in it",
                                          domain->name);
                return 0;
        case METHOD_NONE:
                break;
        }
        return error_fail(err, -EINVAL, "domain %s: no method (krb5 or ldap) is configured", domain->name);
}
