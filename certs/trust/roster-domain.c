/*
 * The domains of a roster: their forms, their JSON, and which domain a name belongs to.
 *
 * Invariant: in a list that roster_domains_check took, every name, suffix, NetBIOS name and SID leads to one
 * domain, and bare names to one at most. So "whose is this name?" has one answer, which the tenant's admin
 * gave: what a connector says of itself can only narrow it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/trust/claims.h"
#include "certs/trust/roster-internal.h"
#include "base/core/sid.h"
#include "base/core/text.h"

#define WHAT "roster"
#define DNS_MAX 253
#define LABEL_MAX 63
#define SUFFIX_MAX 255
#define NETBIOS_MAX 255

/* ---- forms ---- */

/* Labels of a-z, 0-9, - and _, a dot among them at least: what posternd makes of [domain NAME]. */
static bool dns_name_valid(const char *name)
{
        const size_t n = strlen(name);
        size_t label = 0;

        if (n > DNS_MAX || !strchr(name, '.') || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != n)
                return false;
        for (size_t i = 0; i <= n; i++) {
                if (name[i] != '.' && name[i] != '\0') {
                        if (++label > LABEL_MAX || (label == 1 && name[i] == '-'))
                                return false;
                        continue;
                }
                if (label == 0 || name[i - 1] == '-')
                        return false;
                label = 0;
        }
        return true;
}

/* UTF-8 without what separates or quotes names. */
static bool word_valid(const char *word, size_t max)
{
        const size_t n = strlen(word);

        if (n < 1 || n > max || !utf8_valid(word, n))
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)word[i] <= 0x20 || strchr("\x7f\"/\\:*?<>|@,", word[i]))
                        return false;
        return true;
}

static bool suffix_valid(const char *suffix)
{
        for (const char *p = suffix; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        return false;
        return word_valid(suffix, SUFFIX_MAX);
}

bool domain_sid_valid(const char *sid)
{
        return sid_is_domain(sid);
}

bool sid_of_domain(const char *sid, const char *domain_sid)
{
        return sid_is_of(sid, domain_sid);
}

/* ---- the list as a whole ---- */

/* Notes a text that leads to one domain alone; kind keeps suffixes, NetBIOS names and SIDs apart. */
static int once(json_t *seen, char kind, const char *text, const char *domain, struct error *err)
{
        char mark[SUFFIX_MAX + 2] = {kind};
        const char *other;

        for (size_t i = 0; i + 2 < sizeof(mark) && text[i]; i++)
                mark[i + 1] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        other = json_string_value(json_object_get(seen, mark));
        if (other)
                return error_fail(err, -EEXIST, WHAT ": %s %s of domain %s stands in it twice (also of domain %s)",
                                  kind == 's'   ? "the SID"
                                  : kind == 'n' ? "the NetBIOS name"
                                                : "the name or suffix",
                                  text, domain, other);
        return json_object_set_new(seen, mark, json_string(domain)) < 0
                       ? error_fail(err, -ENOMEM, WHAT ": out of memory")
                       : 0;
}

static int check_form(const struct roster_domain *d, struct error *err)
{
        if (!d->name || !dns_name_valid(d->name))
                return error_fail(err, -EINVAL,
                                  WHAT ": %.64s is no domain's name, which is a DNS name with a dot in small letters",
                                  d->name ? d->name : "");
        if (d->n_suffixes > ROSTER_NAMES_MAX || d->n_netbios > ROSTER_NAMES_MAX)
                return error_fail(err, -EINVAL, WHAT ": domain %s has more than %d suffixes or NetBIOS names", d->name,
                                  ROSTER_NAMES_MAX);
        for (size_t i = 0; i < d->n_suffixes; i++)
                if (!suffix_valid(d->suffixes[i]))
                        return error_fail(err, -EINVAL, WHAT ": domain %s: %.64s is no suffix in small letters",
                                          d->name, d->suffixes[i]);
        for (size_t i = 0; i < d->n_netbios; i++)
                if (!word_valid(d->netbios[i], NETBIOS_MAX))
                        return error_fail(err, -EINVAL, WHAT ": domain %s: %.64s is no NetBIOS name", d->name,
                                          d->netbios[i]);
        if (d->sid[0] && !domain_sid_valid(d->sid))
                return error_fail(err, -EINVAL,
                                  WHAT ": domain %s: %s is no domain's SID, which is " SID_DOMAIN_PREFIX "A-B-C",
                                  d->name, d->sid);
        return 0;
}

static int check_one(const struct roster_domain *d, json_t *seen, struct error *err)
{
        int r = check_form(d, err);

        if (r == 0)
                r = once(seen, 'u', d->name, d->name, err);
        for (size_t i = 0; r == 0 && i < d->n_suffixes; i++)
                r = once(seen, 'u', d->suffixes[i], d->name, err);
        for (size_t i = 0; r == 0 && i < d->n_netbios; i++)
                r = once(seen, 'n', d->netbios[i], d->name, err);
        return r == 0 && d->sid[0] ? once(seen, 's', d->sid, d->name, err) : r;
}

int roster_domains_check(const struct roster_domain *domains, size_t n, struct error *err)
{
        _cleanup_(json_freep) json_t *seen = json_object();
        const char *by_default = NULL;
        int r = seen ? 0 : error_fail(err, -ENOMEM, WHAT ": out of memory");

        if (r == 0 && n > ROSTER_DOMAINS_MAX)
                r = error_fail(err, -EINVAL, WHAT ": has more than %d domains", ROSTER_DOMAINS_MAX);
        for (size_t i = 0; r == 0 && i < n; i++) {
                r = check_one(&domains[i], seen, err);
                if (r == 0 && domains[i].is_default && by_default)
                        r = error_fail(err, -EEXIST, WHAT ": bare names go to %s and to %s", by_default,
                                       domains[i].name);
                if (domains[i].is_default)
                        by_default = domains[i].name;
        }
        return r;
}

/* ---- memory ---- */

void roster_names_free(char **names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
}

int roster_names_copy(char ***to, size_t *ret_n, char *const *names, size_t n, bool lower)
{
        char **list = calloc(n + 1, sizeof(*list));

        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (text_set(&list[i], names[i]) < 0) {
                        roster_names_free(list, i);
                        return -ENOMEM;
                }
                for (char *p = list[i]; lower && *p; p++)
                        if (*p >= 'A' && *p <= 'Z')
                                *p = (char)(*p - 'A' + 'a');
        }
        *to = list;
        *ret_n = n;
        return 0;
}

void roster_domain_clear(struct roster_domain *domain)
{
        free(domain->name);
        roster_names_free(domain->suffixes, domain->n_suffixes);
        roster_names_free(domain->netbios, domain->n_netbios);
        *domain = (struct roster_domain){0};
}

/* ---- JSON ---- */

json_t *roster_names_json(char *const *names, size_t n)
{
        _cleanup_(json_freep) json_t *list = json_array();

        for (size_t i = 0; list && i < n; i++)
                if (json_array_append_new(list, json_string(names[i])) < 0)
                        return NULL;
        return steal(list);
}

json_t *roster_domains_json(const struct roster *roster)
{
        _cleanup_(json_freep) json_t *list = json_array();

        for (size_t i = 0; list && i < roster->n_domains; i++) {
                const struct roster_domain *d = &roster->domains[i];

                if (json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:s*, s:o*}", "name", d->name, "suffixes",
                                                          roster_names_json(d->suffixes, d->n_suffixes), "netbios",
                                                          roster_names_json(d->netbios, d->n_netbios), "sid",
                                                          d->sid[0] ? d->sid : NULL, "default",
                                                          d->is_default ? json_true() : NULL)) < 0)
                        return NULL;
        }
        return steal(list);
}

/* Strings; their forms are roster_domains_check's. */
static int parse_names(const json_t *object, const char *what, const char *member, size_t max, char ***ret_names,
                       size_t *ret_n, struct error *err)
{
        const json_t *list = json_object_get(object, member);
        const size_t n = json_array_size(list);

        if (!json_is_array(list) || n > max)
                return error_fail(err, -EBADMSG, "%s: member \"%s\" is not an array of at most %zu", what, member, max);
        *ret_names = calloc(n + 1, sizeof(**ret_names));
        if (!*ret_names)
                return error_fail(err, -ENOMEM, "%s: out of memory", what);
        for (size_t i = 0; i < n; i++) {
                const char *name = json_string_value(json_array_get(list, i));

                if (!name || !name[0])
                        return error_fail(err, -EBADMSG, "%s: %s[%zu] is not a name", what, member, i);
                if (text_set(&(*ret_names)[i], name) < 0)
                        return error_fail(err, -ENOMEM, "%s: out of memory", what);
                *ret_n = i + 1;
        }
        return 0;
}

static int parse_domain(struct roster_domain *d, const json_t *object, const char *what, struct error *err)
{
        static const char *const members[] = {"name", "suffixes", "netbios", NULL};
        static const char *const optional[] = {"sid", "default", NULL};
        const json_t *by_default = json_object_get(object, "default");
        const char *name, *sid = "";
        int r;

        if ((r = jose_json_members(object, what, members, optional, err)) < 0 ||
            (r = jose_json_str(object, what, "name", 1, DNS_MAX, &name, err)) < 0 ||
            (json_object_get(object, "sid") &&
             (r = jose_json_str(object, what, "sid", 1, ROSTER_SID_MAX, &sid, err)) < 0))
                return r;
        if (by_default && !json_is_true(by_default))
                return error_fail(err, -EBADMSG, "%s: member \"default\" is true or absent", what);
        d->is_default = by_default != NULL;
        memcpy(d->sid, sid, strlen(sid) + 1);
        if (text_set(&d->name, name) < 0)
                return error_fail(err, -ENOMEM, "%s: out of memory", what);
        r = parse_names(object, what, "suffixes", ROSTER_NAMES_MAX, &d->suffixes, &d->n_suffixes, err);
        return r < 0 ? r : parse_names(object, what, "netbios", ROSTER_NAMES_MAX, &d->netbios, &d->n_netbios, err);
}

int roster_domains_parse(struct roster *roster, const json_t *payload, struct error *err)
{
        const json_t *list = json_object_get(payload, "domains");
        const size_t n = json_array_size(list);
        int r = 0;

        if (!json_is_array(list) || n > ROSTER_DOMAINS_MAX)
                return error_fail(err, -EBADMSG, WHAT ": member \"domains\" is not an array of at most %d",
                                  ROSTER_DOMAINS_MAX);
        roster->domains = calloc(n + 1, sizeof(*roster->domains));
        if (!roster->domains)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        roster->n_domains = n; /* zeroed ones are fit to be freed */
        for (size_t i = 0; r == 0 && i < n; i++) {
                char what[64];

                snprintf(what, sizeof(what), WHAT " domains[%zu]", i);
                r = parse_domain(&roster->domains[i], json_array_get(list, i), what, err);
        }
        if (r == 0)
                r = roster_domains_check(roster->domains, n, err);
        return r == -EINVAL || r == -EEXIST ? -EBADMSG : r;
}

int roster_member_domains_parse(struct roster_member *member, const struct roster *roster, const json_t *object,
                                const char *what, struct error *err)
{
        int r = parse_names(object, what, "domains", ROSTER_DOMAINS_MAX, &member->domains, &member->n_domains, err);

        for (size_t i = 0; r == 0 && i < member->n_domains; i++) {
                const struct roster_domain *d = roster_domain(roster, member->domains[i]);

                if (!d || strcmp(d->name, member->domains[i]) != 0)
                        return error_fail(err, -EBADMSG, "%s: domain %.64s is not in the roster", what,
                                          member->domains[i]);
                for (size_t k = 0; k < i; k++)
                        if (strcmp(member->domains[k], member->domains[i]) == 0)
                                return error_fail(err, -EBADMSG, "%s: domain %s stands there twice", what,
                                                  member->domains[i]);
        }
        return r;
}

/* ---- whose is it? ---- */

const struct roster_domain *roster_domain(const struct roster *roster, const char *name)
{
        for (size_t i = 0; roster && i < roster->n_domains; i++)
                if (strcasecmp(roster->domains[i].name, name) == 0)
                        return &roster->domains[i];
        return NULL;
}

static bool has(char *const *names, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcasecmp(names[i], name) == 0)
                        return true;
        return false;
}

const struct roster_domain *roster_domain_of_suffix(const struct roster *roster, const char *suffix)
{
        const struct roster_domain *found = roster_domain(roster, suffix);

        for (size_t i = 0; !found && roster && i < roster->n_domains; i++)
                if (has(roster->domains[i].suffixes, roster->domains[i].n_suffixes, suffix))
                        found = &roster->domains[i];
        return found;
}

const struct roster_domain *roster_domain_of_netbios(const struct roster *roster, const char *netbios)
{
        for (size_t i = 0; roster && i < roster->n_domains; i++)
                if (has(roster->domains[i].netbios, roster->domains[i].n_netbios, netbios))
                        return &roster->domains[i];
        return NULL;
}

const struct roster_domain *roster_default_domain(const struct roster *roster)
{
        for (size_t i = 0; roster && i < roster->n_domains; i++)
                if (roster->domains[i].is_default)
                        return &roster->domains[i];
        return NULL;
}

bool roster_speaks_for(const struct roster_member *connector, const char *domain)
{
        return connector && has(connector->domains, connector->n_domains, domain);
}
