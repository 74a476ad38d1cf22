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

bool roster_word_valid(const char *word, size_t max)
{
        const size_t n = word ? strlen(word) : 0;

        if (n < 1 || n > max || !utf8_valid(word, n))
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)word[i] <= 0x20 || strchr("\x7f\"/\\:*?<>|@,", word[i]))
                        return false;
        return true;
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
                return error_fail(err, -EEXIST, WHAT ": %s %s of domain %s is in it twice (also of domain %s)",
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
                                  WHAT ": %.64s is not a domain's name: that is a DNS name with a dot, in lower case",
                                  d->name ? d->name : "");
        if (d->n_suffixes > ROSTER_NAMES_MAX || d->n_netbios > ROSTER_NAMES_MAX)
                return error_fail(err, -EINVAL, WHAT ": domain %s has more than %d suffixes or NetBIOS names", d->name,
                                  ROSTER_NAMES_MAX);
        for (size_t i = 0; i < d->n_suffixes; i++)
                if (!roster_word_valid(d->suffixes[i], SUFFIX_MAX) ||
                    strpbrk(d->suffixes[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
                        return error_fail(err, -EINVAL, WHAT ": domain %s: %.64s is not a suffix in lower case",
                                          d->name, d->suffixes[i]);
        for (size_t i = 0; i < d->n_netbios; i++)
                if (!roster_word_valid(d->netbios[i], NETBIOS_MAX))
                        return error_fail(err, -EINVAL, WHAT ": domain %s: %.64s is not a NetBIOS name", d->name,
                                          d->netbios[i]);
        if (d->sid[0] && !sid_is_domain(d->sid))
                return error_fail(err, -EINVAL,
                                  WHAT ": domain %s: %s is not a domain's SID, which has the form " SID_DOMAIN_PREFIX
                                       "A-B-C",
                                  d->name, d->sid);
        return 0;
}

int roster_domains_check(const struct roster_domain *domains, size_t n, struct error *err)
{
        _cleanup_(json_freep) json_t *seen = json_object();
        const char *by_default = NULL;
        int r = seen ? 0 : error_fail(err, -ENOMEM, WHAT ": out of memory");

        if (r == 0 && n > ROSTER_DOMAINS_MAX)
                r = error_fail(err, -EINVAL, WHAT ": has more than %d domains", ROSTER_DOMAINS_MAX);
        for (size_t k = 0; r == 0 && k < n; k++) {
                const struct roster_domain *d = &domains[k];

                r = check_form(d, err);
                if (r == 0)
                        r = once(seen, 'u', d->name, d->name, err);
                for (size_t i = 0; r == 0 && i < d->n_suffixes; i++)
                        r = once(seen, 'u', d->suffixes[i], d->name, err);
                for (size_t i = 0; r == 0 && i < d->n_netbios; i++)
                        r = once(seen, 'n', d->netbios[i], d->name, err);
                if (r == 0 && d->sid[0])
                        r = once(seen, 's', d->sid, d->name, err);
                if (r == 0 && d->is_default && by_default)
                        r = error_fail(err, -EEXIST, WHAT ": bare names go to %s and to %s", by_default, d->name);
                if (d->is_default)
                        by_default = d->name;
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

void roster_domains_write(struct json_writer *w, const struct roster_domain *domains, size_t n)
{
        json_write_open(w, "domains", '[');
        for (size_t i = 0; i < n; i++) {
                const struct roster_domain *d = &domains[i];

                json_write_open(w, NULL, '{');
                json_write_str(w, "name", d->name);
                json_write_strings(w, "suffixes", d->suffixes, d->n_suffixes);
                json_write_strings(w, "netbios", d->netbios, d->n_netbios);
                json_write_opt(w, "sid", d->sid);
                if (d->is_default)
                        json_write_bool(w, "default", true);
                json_write_close(w, '}');
        }
        json_write_close(w, ']');
}

void roster_names_read(struct json_reader *r, const char *member, size_t max, size_t len, bool words, char ***ret_names,
                       size_t *ret_n)
{
        struct json_reader list;

        if (!json_read_list(&list, r, member, JSON_REQUIRED, 0, max))
                return;
        *ret_n = 0;
        *ret_names = calloc(list.n + 1, sizeof(**ret_names));
        if (!*ret_names) {
                json_read_no_memory(r);
                return;
        }
        while (json_read_next(&list)) {
                char *name = NULL;

                json_read_text(&list, NULL, JSON_REQUIRED, len, &name);
                if (!name)
                        return;
                (*ret_names)[(*ret_n)++] = name;
                if (words && !roster_word_valid(name, len))
                        json_read_fail(&list, NULL, "is not a name");
        }
}

int roster_domains_read(struct roster *roster, struct json_reader *payload, struct error *err)
{
        struct json_reader list, object;
        int r;

        if (!json_read_list(&list, payload, "domains", JSON_REQUIRED, 0, ROSTER_DOMAINS_MAX))
                return json_read_result(payload);
        roster->n_domains = 0;
        roster->domains = calloc(list.n + 1, sizeof(*roster->domains));
        if (!roster->domains) {
                json_read_no_memory(payload);
                return json_read_result(payload);
        }
        while (json_read_next(&list)) {
                struct roster_domain *d = &roster->domains[roster->n_domains++];
                struct json_reader *o = &object;

                if (!json_read_object(o, &list, NULL, JSON_REQUIRED))
                        continue;
                json_read_text(o, "name", JSON_REQUIRED, DNS_MAX, &d->name);
                roster_names_read(o, "suffixes", ROSTER_NAMES_MAX, ROSTER_TEXT_MAX, false, &d->suffixes,
                                  &d->n_suffixes);
                roster_names_read(o, "netbios", ROSTER_NAMES_MAX, ROSTER_TEXT_MAX, false, &d->netbios, &d->n_netbios);
                json_read_str(o, "sid", json_read_has(o, "sid") ? JSON_REQUIRED : JSON_OPTIONAL, d->sid,
                              sizeof(d->sid));
                d->is_default = json_read_has(o, "default");
                if (d->is_default && !json_read_bool(o, "default"))
                        json_read_fail(o, "default", "is true or absent");
                json_read_end(o, true);
        }
        if ((r = json_read_result(payload)) == 0)
                r = roster_domains_check(roster->domains, roster->n_domains, err);
        return r == -EINVAL || r == -EEXIST ? -EBADMSG : r;
}

void roster_member_domains_read(struct roster_member *member, const struct roster *roster, struct json_reader *object)
{
        char why[160];

        roster_names_read(object, "domains", ROSTER_DOMAINS_MAX, ROSTER_TEXT_MAX, false, &member->domains,
                          &member->n_domains);
        for (size_t i = 0; json_read_result(object) == 0 && i < member->n_domains; i++) {
                const struct roster_domain *d = roster_domain(roster, member->domains[i]);
                bool twice = false;

                for (size_t k = 0; k < i; k++)
                        twice |= strcmp(member->domains[k], member->domains[i]) == 0;
                if (d && strcmp(d->name, member->domains[i]) == 0 && !twice)
                        continue;
                (void)snprintf(why, sizeof(why), "names the domain %.64s, which %s", member->domains[i],
                               twice ? "is there twice" : "is not in the roster");
                json_read_fail(object, "domains", why);
        }
}

/* ---- whose is it? ---- */

const struct roster_domain *roster_domain(const struct roster *roster, const char *name)
{
        for (size_t i = 0; roster && i < roster->n_domains; i++)
                if (strcasecmp(roster->domains[i].name, name) == 0)
                        return &roster->domains[i];
        return NULL;
}

static bool is_among(char *const *names, size_t n, const char *name)
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
                if (is_among(roster->domains[i].suffixes, roster->domains[i].n_suffixes, suffix))
                        found = &roster->domains[i];
        return found;
}

const struct roster_domain *roster_domain_of_netbios(const struct roster *roster, const char *netbios)
{
        for (size_t i = 0; roster && i < roster->n_domains; i++)
                if (is_among(roster->domains[i].netbios, roster->domains[i].n_netbios, netbios))
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
        return connector && is_among(connector->domains, connector->n_domains, domain);
}
