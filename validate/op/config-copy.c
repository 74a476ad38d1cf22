/*
 * Owns every string of the copied configuration in one list.
 *
 * Invariant: each pointer of the copy is NULL or points into that list, so freeing the list frees the copy.
 * It reads no file and knows no meaning beyond what config_check_domain asks for.
 */
#include "validate/op/config-copy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct text {
        SLIST_ENTRY(text) link;
        char bytes[];
};

struct config_copy {
        struct validate_config config;
        struct domain_config *domains;
        SLIST_HEAD(text_list, text) texts;
};

/* Replaces *s by an owned copy. False when out of memory. */
static bool own(struct config_copy *copy, const char **s)
{
        size_t n;
        struct text *text;

        if (!*s)
                return true;
        n = strlen(*s);
        text = malloc(sizeof *text + n + 1);
        if (!text)
                return false;
        memcpy(text->bytes, *s, n + 1);
        SLIST_INSERT_HEAD(&copy->texts, text, link);
        *s = text->bytes;
        return true;
}

static bool own_list(struct config_copy *copy, const char **list, size_t max)
{
        for (size_t i = 0; i < max && list[i]; i++)
                if (!own(copy, &list[i]))
                        return false;
        return true;
}

/* "corp.example" -> "DC=corp,DC=example" where no other base is given. */
static bool own_base(struct config_copy *copy, struct domain_config *d)
{
        char base[4 * USERNAME_MAX] = "";
        size_t n = 0;

        if (d->search_base)
                return own(copy, &d->search_base);
        for (const char *s = d->name; s && *s;) {
                size_t label = strcspn(s, ".");

                if (n + label + 5 > sizeof base)
                        return false;
                n += (size_t)snprintf(base + n, sizeof base - n, "%sDC=%.*s", n > 0 ? "," : "", (int)label, s);
                s += label + (s[label] == '.');
        }
        d->search_base = base;
        return own(copy, &d->search_base);
}

static bool own_domain(struct config_copy *copy, struct domain_config *d)
{
        for (size_t i = 0; i < d->n_dcs; i++)
                if (!own(copy, &d->dcs[i].host) || !own(copy, &d->dcs[i].address))
                        return false;
        return own(copy, &d->name) && own(copy, &d->site) && own(copy, &d->alternate_id) &&
               own(copy, &d->service_account) && own_list(copy, d->alternate_id_suffixes, SUFFIXES_MAX) &&
               own_base(copy, d) && own(copy, &d->realm) && own(copy, &d->netbios) && own(copy, &d->sid) &&
               own(copy, &d->ca_pem) && own(copy, &d->bind_template) && own(copy, &d->keytab) &&
               own(copy, &d->service_principal) && own(copy, &d->armor_principal) &&
               own_list(copy, d->suffixes, SUFFIXES_MAX) && own_list(copy, d->attributes, ATTRIBUTES_MAX) &&
               own(copy, &d->groups_base) && own_list(copy, d->pins, sizeof d->pins / sizeof *d->pins);
}

int config_copy_new(struct config_copy **ret_copy, const struct validate_config *config)
{
        struct config_copy *copy = calloc(1, sizeof *copy);
        bool ok;

        if (!copy)
                return -ENOMEM;
        SLIST_INIT(&copy->texts);
        copy->config = *config;
        copy->domains = calloc(config->n_domains ? config->n_domains : 1, sizeof *copy->domains);
        copy->config.domains = copy->domains;
        ok = copy->domains && own(copy, &copy->config.default_domain) && own(copy, &copy->config.dns_servers);
        for (size_t i = 0; ok && i < config->n_domains; i++) {
                copy->domains[i] = config->domains[i];
                ok = copy->domains[i].n_dcs <= DCS_MAX && own_domain(copy, &copy->domains[i]);
        }
        if (!ok) {
                config_copy_free(copy);
                return -ENOMEM;
        }
        *ret_copy = copy;
        return 0;
}

struct config_copy *config_copy_free(struct config_copy *copy)
{
        struct text *text;

        if (!copy)
                return NULL;
        while ((text = SLIST_FIRST(&copy->texts))) {
                SLIST_REMOVE_HEAD(&copy->texts, link);
                free(text);
        }
        free(copy->domains);
        free(copy);
        return NULL;
}

const struct validate_config *config_copy_get(const struct config_copy *copy)
{
        return &copy->config;
}

int config_check_domain(const struct domain_config *domain, struct error *err)
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
