/*
 * Reading a connector's configuration: the engine with this program's table, defaults that follow from other keys, and
 * what keys demand of each other.
 *
 * The relations are judged after all files were read, so that it doesn't matter in which order keys stand, and only
 * where their keys were themselves sound.
 */
#include "connector/conf/table.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* ---- domains ---- */

static int set_domain_defaults(struct conf_reader *r, struct conf *conf, struct domain_config *d)
{
        const bool none = conf_lacks(r, d, "dcs");
        char *realm = d->realm ? NULL : conf_text(conf, d->name);

        if (!d->realm && !realm)
                return -ENOMEM;
        for (char *s = realm; s && *s; s++)
                *s = (char)toupper((unsigned char)*s);
        d->realm = realm ? realm : d->realm;
        if (d->methods[0] == METHOD_NONE) {
                d->methods[0] = d->keytab_file ? METHOD_KRB5 : METHOD_LDAP;
                d->methods[1] = d->keytab_file ? METHOD_LDAP : METHOD_NONE;
        }
        if (d->discover == DISCOVER_AUTO)
                d->discover = none ? DISCOVER_YES : DISCOVER_NO;
        return 0;
}

static void relate_kerberos(struct conf_reader *r, const struct config *c, const struct domain_config *d)
{
        const char *at = d->service_principal ? strchr(d->service_principal, '@') : NULL;
        bool known = !at; /* the KDCs of the service's realm are those of the domain that has it */

        for (size_t i = 0; !known && i < c->validate.n_domains; i++)
                known = strcmp(c->domains[i].realm, at + 1) == 0;
        if (!known)
                conf_fault(r, d, "service_principal",
                           "no [domain] section has the realm %s: its domain controllers must be known, too", at + 1);
        if (d->methods[0] == d->methods[1])
                conf_fault(r, d, "methods", "a method is named twice, allowed: krb5, ldap or both");
        if ((d->methods[0] == METHOD_KRB5 || d->methods[1] == METHOD_KRB5) && conf_lacks(r, d, "keytab"))
                conf_fault(r, d, "methods",
                           "krb5 needs a keytab: without one an answer of the KDC proves nothing; set keytab and "
                           "service_principal, or methods = ldap");
        if (d->armor_principal && d->keytab_file && d->methods[0] != METHOD_KRB5)
                conf_fault(r, d, "armor_principal", "it does nothing where krb5 is not the first of methods");
}

static void relate_tls(struct conf_reader *r, const struct domain_config *d)
{
        if (d->dc_identity == DC_IDENTITY_PIN && conf_lacks(r, d, "pins"))
                conf_fault(r, d, "dc_identity", "pin needs pins");
        if (d->dc_identity != DC_IDENTITY_PIN && d->pins[0])
                conf_fault(r, d, "pins", "they do nothing without dc_identity = pin");
        if (d->directory != DIRECTORY_GENERIC && d->bind_template)
                conf_fault(r, d, "bind_template", "it does nothing without directory = generic");
}

/* What is read of the directory beside the bind, and by whom. */
static void relate_reading(struct conf_reader *r, const struct domain_config *d)
{
        const bool krb5 = d->attributes[0] && d->methods[0] == METHOD_KRB5;
        const bool keytab = d->reader_keytab, password = d->reader_password_file;

        if (krb5 && conf_lacks(r, d, "service_account"))
                conf_fault(r, d, "attributes",
                           "with krb5 they need service_account and service_password_file: somebody must read them");
        if (krb5 && d->directory != DIRECTORY_AD)
                conf_fault(r, d, "attributes", "with krb5 they need directory = ad: nothing else is searched by SID");
        if (d->fast_bind && d->directory != DIRECTORY_AD)
                conf_fault(r, d, "fast_bind", "it does nothing with directory = generic");
        if (d->fast_bind && d->methods[0] != METHOD_LDAP)
                conf_fault(r, d, "fast_bind", "it does nothing where ldap is not the first of methods");
        if (d->reader && keytab == password)
                conf_fault(r, d, "reader", "it needs %s reader_keytab and reader_password_file",
                           keytab ? "one, not both, of" : "one of");
        if (d->reader && d->directory != DIRECTORY_AD)
                conf_fault(r, d, "reader", "it does nothing with directory = generic");
}

static void relate_dcs(struct conf_reader *r, const struct domain_config *d)
{
        const bool none = conf_lacks(r, d, "dcs");

        if (none && d->discover == DISCOVER_NO)
                conf_fault(r, d, "dcs",
                           "it is missing in [domain %s]; name at least one domain controller, or let them be "
                           "discovered",
                           d->name);
        if (none && d->dc_identity == DC_IDENTITY_LIST)
                conf_fault(r, d, "dc_identity", "list needs dcs: a host that DNS names is on no list");
        if (d->site && d->discover != DISCOVER_YES)
                conf_fault(r, d, "site", "it does nothing without discover = yes");
        for (size_t i = 0; i < d->n_dcs; i++)
                for (size_t k = 0; k < i; k++)
                        if (strcmp(d->dcs[i].host, d->dcs[k].host) == 0)
                                conf_fault(r, d, "dcs", "'%s' is named twice", d->dcs[i].host);
}

/* ---- what domains must not share ---- */

static bool in_list(const char *const *list, const char *name)
{
        for (size_t i = 0; i < SUFFIXES_MAX && list[i]; i++)
                if (strcasecmp(list[i], name) == 0)
                        return true;
        return false;
}

/* Whether one of the first domains answers to this name already. */
static bool name_taken(const struct config *c, size_t until, const char *name)
{
        for (size_t i = 0; i < until; i++)
                if (strcasecmp(c->domains[i].name, name) == 0 || in_list(c->domains[i].suffixes, name) ||
                    in_list(c->domains[i].alternate_id_suffixes, name))
                        return true;
        return false;
}

static void relate_names(struct conf_reader *r, const struct config *c, size_t i)
{
        const struct domain_config *d = &c->domains[i];

        for (size_t k = 0; k < SUFFIXES_MAX && d->suffixes[k]; k++) {
                if (strcmp(d->suffixes[k], d->name) == 0)
                        conf_fault(r, d, "suffixes", "'%s' is the domain's own name; name only further ones",
                                   d->suffixes[k]);
                else if (name_taken(c, i, d->suffixes[k]))
                        conf_fault(r, d, "suffixes", "'%s' belongs to another domain already", d->suffixes[k]);
        }
        for (size_t k = 0; k < SUFFIXES_MAX && d->alternate_id_suffixes[k]; k++)
                if (name_taken(c, i, d->alternate_id_suffixes[k]))
                        conf_fault(r, d, "alternate_id_suffixes", "'%s' belongs to another domain already",
                                   d->alternate_id_suffixes[k]);
        if (name_taken(c, i, d->name))
                conf_fault(r, d, NULL, "%s: the name is a suffix of another domain already", d->name);
}

static void relate_identity(struct conf_reader *r, const struct config *c, size_t i)
{
        const struct domain_config *d = &c->domains[i];

        if (d->sid && d->directory != DIRECTORY_AD)
                conf_fault(r, d, "domain_sid", "it does nothing with directory = generic");
        for (size_t k = 0; k < i; k++) {
                const struct domain_config *other = &c->domains[k];

                if (d->netbios && other->netbios && strcasecmp(other->netbios, d->netbios) == 0)
                        conf_fault(r, d, "netbios", "'%s' belongs to another domain already", d->netbios);
                if (d->sid && other->sid && strcmp(other->sid, d->sid) == 0)
                        conf_fault(r, d, "domain_sid", "'%s' is that of domain %s already; no two domains share one",
                                   d->sid, other->name);
        }
}

/* ---- [connector] ---- */

static void relate_users(struct conf_reader *r, const struct config *c)
{
        const char *why = "the three users must be different, or one process could reach into another";

        if (!c->user_link || !c->user_validator || !c->user_ledger)
                return;
        if (strcmp(c->user_link, c->user_validator) == 0)
                conf_fault(r, c, "user_validator", "%s", why);
        else if (strcmp(c->user_link, c->user_ledger) == 0 || strcmp(c->user_validator, c->user_ledger) == 0)
                conf_fault(r, c, "user_ledger", "%s", why);
        if (c->user_account &&
            (strcmp(c->user_account, c->user_link) == 0 || strcmp(c->user_account, c->user_validator) == 0 ||
             strcmp(c->user_account, c->user_ledger) == 0))
                conf_fault(r, c, "user_account",
                           "it must be another than the three, or one could reach into the other");
}

static void relate_connector(struct conf_reader *r, struct config *c)
{
        int i = c->validate.default_domain ? config_domain_find(c, c->validate.default_domain) : -ENOENT;

        relate_users(r, c);
        if (i >= 0)
                c->validate.default_domain = c->domains[i].name;
        else if (c->validate.default_domain)
                conf_fault(r, c, "default_domain", "there is no such [domain NAME] section");
}

static int relate(struct conf_reader *r, struct conf *conf)
{
        struct config *c = (struct config *)(void *)conf;
        int code = 0;

        c->validate.domains = c->domains;
        for (size_t i = 0; i < c->validate.n_domains && code == 0; i++)
                code = set_domain_defaults(r, conf, &c->domains[i]);
        for (size_t i = 0; i < c->validate.n_domains && code == 0; i++) {
                const struct domain_config *d = &c->domains[i];

                relate_kerberos(r, c, d);
                relate_tls(r, d);
                relate_dcs(r, d);
                relate_reading(r, d);
                relate_names(r, c, i);
                relate_identity(r, c, i);
        }
        if (code == 0)
                relate_connector(r, c);
        return code;
}

static const struct conf_schema schema = {
        .size = sizeof(struct config),
        .sections = config_sections,
        .n_sections = CONFIG_SECTIONS,
        .page = "postern.conf(5)",
        .sample = "postern.conf.example",
        .relate = relate,
};

/* ---- the file ---- */

int config_load(struct config **ret_config, const char *path, struct buffer *merged, struct conf_errors *errors)
{
        struct conf *conf = NULL;
        int r = conf_load(&conf, &schema, path, merged, errors);

        if (r == 0)
                *ret_config = (struct config *)(void *)conf;
        return r;
}

int config_from_fd(struct config **ret_config, int fd, struct error *err)
{
        struct conf *conf = NULL;
        int r = conf_from_fd(&conf, &schema, fd, err);

        if (r == 0)
                *ret_config = (struct config *)(void *)conf;
        return r;
}

int config_of_child(struct config **ret_config, const char *name, int received, struct error *err)
{
        _cleanup_(closep) int fd = received;
        int r = config_from_fd(ret_config, fd, err);

        if (r == 0)
                log_open(name, (*ret_config)->log_level, NULL);
        return r;
}

struct config *config_free(struct config *config)
{
        conf_free(config ? &config->conf : NULL);
        return NULL;
}

int config_domain_find(const struct config *config, const char *name)
{
        for (size_t i = 0; i < config->validate.n_domains; i++)
                if (strcasecmp(config->domains[i].name, name) == 0)
                        return (int)i;
        return -ENOENT;
}

void config_write_sample(FILE *out)
{
        static const char *const intro[] = {
                "Sample configuration of posternd(8). Copy it to /etc/postern/postern.conf and change what is yours; "
                "postern.conf(5) explains more. Check it with: postern check-config",
                "Lines that begin with # are comments. The keys that are commented out show their defaults.", NULL};

        conf_write_sample(out, &schema, intro);
}

void config_write_man(FILE *out)
{
        conf_write_man(out, &schema);
}
