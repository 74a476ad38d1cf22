/*
 * Defaults, and what keys demand of each other.
 *
 * Runs after all files were read, so that it doesn't matter in which order keys stand. A relation is judged
 * only where its keys were themselves sound: one mistake makes one line.
 */
#include "connector/conf/parse.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/core/text.h"

static const struct config_place *place_of(const struct config_section_notes *notes, const char *name,
                                           enum config_section section)
{
        const struct config_key *key = config_key_find(section, name);
        const struct config_place *set = key ? &notes->set[key - config_keys] : NULL;

        return set && set->line ? set : NULL;
}

/* Whether the key is without a value, and not because its value was refused. */
static bool lacking(const struct config_section_notes *notes, const char *name, bool has_value)
{
        const struct config_place *set = place_of(notes, name, SECTION_DOMAIN);

        return !has_value && !(set && set->refused);
}

/* An error at the place of the key, or of the section's first line where the key is absent. */
static void __attribute__((format(printf, 4, 5)))
domain_fault(struct config_parser *p, const struct config_section_notes *notes, const char *name, const char *fmt, ...)
{
        const struct config_place *place = place_of(notes, name, SECTION_DOMAIN);
        char text[ERROR_TEXT_MAX];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        parse_error(p, place ? place : &notes->opened, name, text);
}

static void connector_fault(struct config_parser *p, const char *name, const struct config_place *whole,
                            const char *why)
{
        const struct config_place *place = place_of(&p->connector_notes, name, SECTION_CONNECTOR);

        parse_error(p, place ? place : whole, name, why);
}

static int set_initials(enum config_section section, void *base, const struct config_section_notes *notes)
{
        for (size_t i = 0; i < config_keys_n; i++) {
                const struct config_key *key = &config_keys[i];
                if (key->section != section || !key->initial || notes->set[i].line)
                        continue;
                int r = config_key_set(key, base, key->initial, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_host_name(struct config *c)
{
        char host[HOST_NAME_MAX + 1] = "";

        (void)gethostname(host, sizeof(host) - 1);
        return text_set(&c->name, check_label(host, NULL) == 0 && strlen(host) <= 64 ? host : "connector");
}

static int set_realm(struct config_domain *d)
{
        int r = text_set(&d->realm, d->name);

        for (char *s = r == 0 ? d->realm : NULL; s && *s; s++)
                *s = (char)toupper((unsigned char)*s);
        return r;
}

static void set_methods(struct config_domain *d)
{
        if (d->keytab)
                d->methods[d->n_methods++] = METHOD_KRB5;
        d->methods[d->n_methods++] = METHOD_LDAP;
}

static bool has_method(const struct config_domain *d, enum method m)
{
        return (d->n_methods > 0 && d->methods[0] == m) || (d->n_methods > 1 && d->methods[1] == m);
}

/* The KDCs of the service's realm are those of the domain that has it. */
static void relate_service_realm(struct config_parser *p, const struct config_domain *d,
                                 const struct config_section_notes *notes)
{
        const char *at = d->service_principal ? strchr(d->service_principal, '@') : NULL;

        if (!at)
                return;
        for (size_t i = 0; i < p->config->n_domains; i++) {
                const struct config_domain *other = &p->config->domains[i];

                if (other->realm ? strcmp(other->realm, at + 1) == 0 : strcasecmp(other->name, at + 1) == 0)
                        return;
        }
        domain_fault(p, notes, "service_principal",
                     "no [domain] section has the realm %s: its domain controllers must be known, too", at + 1);
}

static void relate_kerberos(struct config_parser *p, const struct config_domain *d,
                            const struct config_section_notes *notes)
{
        if (d->n_methods == 2 && d->methods[0] == d->methods[1])
                domain_fault(p, notes, "methods", "a method is named twice, allowed: krb5, ldap or both");
        if (has_method(d, METHOD_KRB5) && lacking(notes, "keytab", d->keytab))
                domain_fault(p, notes, "methods",
                             "krb5 needs a keytab: without one an answer of the KDC proves nothing; set "
                             "keytab and "
                             "service_principal, or methods = ldap");
        if (d->keytab && lacking(notes, "service_principal", d->service_principal))
                domain_fault(p, notes, "service_principal",
                             "it must be given where keytab is, allowed: SERVICE/HOST or SERVICE/HOST@REALM");
        if (d->service_principal && lacking(notes, "keytab", d->keytab))
                domain_fault(p, notes, "service_principal", "it has no use without keytab");
        if (d->armor_principal && lacking(notes, "keytab", d->keytab))
                domain_fault(p, notes, "armor_principal", "it has no use without keytab, which must hold its key");
        if (d->armor_principal && d->keytab && d->n_methods > 0 && d->methods[0] != METHOD_KRB5)
                domain_fault(p, notes, "armor_principal", "it has no use where krb5 is not the first of methods");
        relate_service_realm(p, d, notes);
}

static void relate_tls(struct config_parser *p, const struct config_domain *d, const struct config_section_notes *notes)
{
        if (d->dc_identity == DC_IDENTITY_PIN && lacking(notes, "pins", d->n_pins))
                domain_fault(p, notes, "dc_identity", "pin needs pins");
        if (d->dc_identity != DC_IDENTITY_PIN && d->n_pins)
                domain_fault(p, notes, "pins", "they have no use without dc_identity = pin");
        if (d->directory != DIRECTORY_GENERIC && d->bind_template)
                domain_fault(p, notes, "bind_template", "it has no use without directory = generic");
}

static void relate_alternate(struct config_parser *p, const struct config_domain *d,
                             const struct config_section_notes *notes)
{
        if (d->alternate_id && lacking(notes, "alternate_id_suffixes", d->n_alternate_id_suffixes))
                domain_fault(p, notes, "alternate_id", "it needs alternate_id_suffixes: which names are searched for");
        if (d->n_alternate_id_suffixes && lacking(notes, "alternate_id", d->alternate_id))
                domain_fault(p, notes, "alternate_id_suffixes", "they have no use without alternate_id");
        if (d->alternate_id && lacking(notes, "service_account", d->service_account))
                domain_fault(p, notes, "alternate_id", "it needs service_account: somebody must search");
        if (d->service_account && lacking(notes, "service_password_file", d->service_password_file))
                domain_fault(p, notes, "service_account", "it needs service_password_file");
        if (d->service_password_file && lacking(notes, "service_account", d->service_account))
                domain_fault(p, notes, "service_password_file", "it has no use without service_account");
}

static void relate_attributes(struct config_parser *p, const struct config_domain *d,
                              const struct config_section_notes *notes)
{
        bool krb5 = d->n_methods > 0 && d->methods[0] == METHOD_KRB5;

        if (d->n_attributes && krb5 && lacking(notes, "service_account", d->service_account))
                domain_fault(p, notes, "attributes",
                             "with krb5 they need service_account and service_password_file: somebody must read them");
        if (d->n_attributes && krb5 && d->directory != DIRECTORY_AD)
                domain_fault(p, notes, "attributes",
                             "with krb5 they need directory = ad: nothing else is searched by SID");
        if (d->attributes_required && lacking(notes, "attributes", d->n_attributes))
                domain_fault(p, notes, "attributes_required", "it has no use without attributes");
        if (d->groups_base && lacking(notes, "attributes", d->n_attributes))
                domain_fault(p, notes, "groups_base", "it has no use without memberOf among attributes");
}

static void relate_fast_bind(struct config_parser *p, const struct config_domain *d,
                             const struct config_section_notes *notes)
{
        if (!d->fast_bind)
                return;
        if (lacking(notes, "service_account", d->service_account))
                domain_fault(p, notes, "fast_bind", "it needs service_account: a fast bind does not tell whose it was");
        if (lacking(notes, "netbios", d->netbios))
                domain_fault(p, notes, "fast_bind",
                             "it needs netbios, under which the account that was found signs in");
        if (d->directory != DIRECTORY_AD)
                domain_fault(p, notes, "fast_bind", "it has no use with directory = generic");
        if (d->n_methods > 0 && d->methods[0] != METHOD_LDAP)
                domain_fault(p, notes, "fast_bind", "it has no use where ldap is not the first of methods");
}

/* Which other domain answers to this name already; 0 when none does. */
static bool name_taken(const struct config *c, size_t until, const char *name)
{
        for (size_t i = 0; i < until; i++) {
                if (strcasecmp(c->domains[i].name, name) == 0)
                        return true;
                for (size_t k = 0; k < c->domains[i].n_suffixes; k++)
                        if (strcasecmp(c->domains[i].suffixes[k], name) == 0)
                                return true;
                for (size_t k = 0; k < c->domains[i].n_alternate_id_suffixes; k++)
                        if (strcasecmp(c->domains[i].alternate_id_suffixes[k], name) == 0)
                                return true;
        }
        return false;
}

static void relate_names(struct config_parser *p, size_t i)
{
        const struct config_domain *d = &p->config->domains[i];
        const struct config_section_notes *notes = &p->domain_notes[i];

        for (size_t k = 0; k < d->n_suffixes; k++) {
                if (strcmp(d->suffixes[k], d->name) == 0)
                        domain_fault(p, notes, "suffixes", "'%s' is the domain's own name; name only further ones",
                                     d->suffixes[k]);
                else if (name_taken(p->config, i, d->suffixes[k]))
                        domain_fault(p, notes, "suffixes", "'%s' belongs to another domain already", d->suffixes[k]);
        }
        for (size_t k = 0; k < d->n_alternate_id_suffixes; k++)
                if (name_taken(p->config, i, d->alternate_id_suffixes[k]))
                        domain_fault(p, notes, "alternate_id_suffixes", "'%s' belongs to another domain already",
                                     d->alternate_id_suffixes[k]);
        if (name_taken(p->config, i, d->name))
                parse_error(p, &notes->opened, d->name, "the name is a suffix of another domain already");
        for (size_t k = 0; d->netbios && k < i; k++)
                if (p->config->domains[k].netbios && strcasecmp(p->config->domains[k].netbios, d->netbios) == 0)
                        domain_fault(p, notes, "netbios", "'%s' belongs to another domain already", d->netbios);
}

static void relate_sid(struct config_parser *p, size_t i)
{
        const struct config_domain *d = &p->config->domains[i];
        const struct config_section_notes *notes = &p->domain_notes[i];

        if (d->domain_sid && d->directory != DIRECTORY_AD)
                domain_fault(p, notes, "domain_sid", "it has no use with directory = generic");
        for (size_t k = 0; d->domain_sid && k < i; k++)
                if (p->config->domains[k].domain_sid && strcmp(p->config->domains[k].domain_sid, d->domain_sid) == 0)
                        domain_fault(p, notes, "domain_sid",
                                     "'%s' is that of domain %s already; no two domains share one", d->domain_sid,
                                     p->config->domains[k].name);
}

static void relate_dcs(struct config_parser *p, struct config_domain *d, const struct config_section_notes *notes)
{
        bool none = lacking(notes, "dcs", d->n_dcs);

        if (d->discover == DISCOVER_AUTO)
                d->discover = none ? DISCOVER_YES : DISCOVER_NO;
        if (none && d->discover == DISCOVER_NO)
                domain_fault(p, notes, "dcs",
                             "it is missing in [domain %s]; name at least one domain controller, or let them be "
                             "discovered",
                             d->name);
        if (none && d->dc_identity == DC_IDENTITY_LIST)
                domain_fault(p, notes, "dc_identity", "list needs dcs: a host that DNS names is on no list");
        if (d->site && d->discover != DISCOVER_YES)
                domain_fault(p, notes, "site", "it has no use without discover = yes");
        for (size_t i = 0; i < d->n_dcs; i++)
                for (size_t k = 0; k < i; k++)
                        if (strcmp(d->dcs[i].host, d->dcs[k].host) == 0)
                                domain_fault(p, notes, "dcs", "'%s' is named twice", d->dcs[i].host);
}

static int relate_domain(struct config_parser *p, size_t i)
{
        struct config_domain *d = &p->config->domains[i];
        const struct config_section_notes *notes = &p->domain_notes[i];
        int r = set_initials(SECTION_DOMAIN, d, notes);

        if (r == 0 && !d->realm)
                r = set_realm(d);
        if (r < 0)
                return r;
        if (d->n_methods == 0)
                set_methods(d);
        relate_kerberos(p, d, notes);
        relate_tls(p, d, notes);
        relate_dcs(p, d, notes);
        relate_alternate(p, d, notes);
        relate_attributes(p, d, notes);
        relate_fast_bind(p, d, notes);
        relate_names(p, i);
        relate_sid(p, i);
        return 0;
}

static void relate_users(struct config_parser *p, const struct config_place *whole)
{
        const struct config *c = p->config;
        const char *why = "the three users must be different, or one process could reach into another";

        if (!c->user_link || !c->user_validator || !c->user_ledger)
                return;
        if (strcmp(c->user_link, c->user_validator) == 0)
                connector_fault(p, "user_validator", whole, why);
        else if (strcmp(c->user_link, c->user_ledger) == 0 || strcmp(c->user_validator, c->user_ledger) == 0)
                connector_fault(p, "user_ledger", whole, why);
}

static void relate_default_domain(struct config_parser *p, const struct config_place *whole)
{
        struct config *c = p->config;

        for (size_t i = 0; c->default_domain && i < c->n_domains; i++)
                if (strcasecmp(c->domains[i].name, c->default_domain) == 0) {
                        for (char *s = c->default_domain; *s; s++)
                                *s = (char)tolower((unsigned char)*s);
                        return;
                }
        if (c->default_domain)
                connector_fault(p, "default_domain", whole, "there is no such [domain NAME] section");
}

int config_relate(struct config_parser *p, const struct config_place *whole)
{
        struct config *c = p->config;
        int r = set_initials(SECTION_CONNECTOR, c, &p->connector_notes);

        if (r == 0 && !c->name)
                r = set_host_name(c);
        for (size_t i = 0; r == 0 && i < c->n_domains; i++)
                r = relate_domain(p, i);
        if (r < 0)
                return r;
        relate_users(p, whole);
        relate_default_domain(p, whole);
        if (c->n_domains == 0 && p->n_faults == 0)
                parse_error(p, whole, NULL, "there is no [domain NAME] section; name at least one domain");
        return 0;
}
