/*
 * Making a roster: adding, removing and signing, on the tenant admin's machine.
 *
 * Invariant: what roster_sign signs, roster_verify accepts; a removed key never comes back. An edit drops the
 * text that the roster was read from, so that nobody passes on a signature that no longer covers it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/claims.h"
#include "certs/trust/roster-internal.h"
#include "base/core/text.h"

#define WHAT "roster"

int roster_new(struct roster **ret_roster, const char *tenant, struct key *tenant_key)
{
        _cleanup_(roster_freep) struct roster *roster = NULL;

        if (!tenant_valid(tenant))
                return -EINVAL;
        roster = calloc(1, sizeof(*roster));
        if (!roster || text_set(&roster->tenant, tenant) < 0)
                return -ENOMEM;
        roster->form = ROSTER_FORM_WITHOUT_PEOPLE;
        roster->tenant_key = key_ref(tenant_key);
        *ret_roster = steal(roster);
        return 0;
}

static void edited(struct roster *roster)
{
        free(roster->text);
        roster->text = NULL;
}

/* -EEXIST when a member under another id (or in another list) has the id, the key or the name. */
static int check_free(const struct roster_member *members, size_t n, bool same_list, const struct roster_member *fresh,
                      struct error *err)
{
        for (size_t i = 0; i < n; i++) {
                const struct roster_member *m = &members[i];
                const bool same_id = strcmp(m->id, fresh->id) == 0;

                if (same_id && same_list)
                        continue;
                if (same_id)
                        return error_fail(err, -EEXIST, WHAT ": id %s is in another list", m->id);
                if (strcmp(m->name, fresh->name) == 0)
                        return error_fail(err, -EEXIST, WHAT ": the name %s belongs to id %s", m->name, m->id);
                if (strcmp(key_kid(m->key), key_kid(fresh->key)) == 0)
                        return error_fail(err, -EEXIST, WHAT ": key %s belongs to %s (id %s)", key_kid(m->key), m->name,
                                          m->id);
        }
        return 0;
}

static int check_addable(struct roster *roster, enum roster_list which, const struct roster_member *fresh,
                         struct error *err)
{
        size_t *n;
        int r = 0;

        if (!id_valid(fresh->id, strlen(fresh->id)))
                return error_fail(err, -EINVAL, WHAT ": an id has 16 to 64 letters, digits and hyphens");
        if (!roster_name_valid(fresh->name))
                return error_fail(err, -EINVAL, WHAT ": a name has 1 to %d bytes of UTF-8 without control characters",
                                  NAME_MAX_LEN);
        for (size_t i = 0; i < roster->n_removed; i++)
                if (strcmp(roster->removed[i], key_kid(fresh->key)) == 0)
                        return error_fail(err, -EKEYREJECTED, WHAT ": key %s was removed; a new one is needed",
                                          key_kid(fresh->key));
        if (strcmp(key_kid(fresh->key), key_kid(roster->tenant_key)) == 0)
                return error_fail(err, -EEXIST, WHAT ": the tenant key is nobody's identity");
        for (enum roster_list list = ROSTER_CONNECTORS; r == 0 && list < ROSTER_LISTS; list++) {
                const struct roster_member *members = *roster_members(roster, list, &n);

                r = check_free(members, *n, list == which, fresh, err);
        }
        return r;
}

static struct roster_member *with_id(struct roster_member *members, size_t n, const char *id)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(members[i].id, id) == 0)
                        return &members[i];
        return NULL;
}

/* Room for one more at the end. */
static struct roster_member *new_slot(struct roster_member **list, size_t *n)
{
        struct roster_member *longer = reallocarray(*list, *n + 1, sizeof(**list));

        if (!longer)
                return NULL;
        *list = longer;
        longer[*n] = (struct roster_member){0};
        return &longer[(*n)++];
}

/* Puts name and key of fresh into the slot, whose domains and role stay. */
static void settle(struct roster_member *slot, struct roster_member *fresh)
{
        struct roster_member old = *slot;

        slot->id = steal(fresh->id);
        slot->name = steal(fresh->name);
        slot->key = steal(fresh->key);
        if (!slot->role)
                slot->role = steal(fresh->role);
        free(old.id);
        free(old.name);
        key_free(old.key);
}

static int draft(struct roster_member *fresh, bool service, const char *id, const char *name, struct error *err)
{
        if (text_set(&fresh->id, id) < 0 || text_set(&fresh->name, name) < 0 ||
            (service && text_set(&fresh->role, ROSTER_SIGN_IN) < 0))
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        return 0;
}

int roster_add(struct roster *roster, bool service, const char *id, const char *name, struct key *key,
               struct error *err)
{
        struct roster_member **list = service ? &roster->services : &roster->connectors;
        size_t *n = service ? &roster->n_services : &roster->n_connectors;
        _cleanup_(roster_member_clear) struct roster_member fresh = {.key = key_ref(key)};
        struct roster_member *slot = with_id(*list, *n, id);
        int r = draft(&fresh, service, id, name, err);

        /* the id is what the newcomer says: it must not push out another */
        if (r == 0 && slot && strcmp(key_kid(slot->key), key_kid(key)) != 0)
                return error_fail(err, -EEXIST, WHAT ": %s has the id %s already, with another key (%s)", slot->name,
                                  id, key_kid(slot->key));
        if (r == 0)
                r = check_addable(roster, service ? ROSTER_SERVICES : ROSTER_CONNECTORS, &fresh, err);
        if (r < 0)
                return r;
        if (!slot && *n >= ROSTER_MEMBERS_MAX)
                return error_fail(err, -ENOSPC, WHAT ": holds %d of them already; remove one", ROSTER_MEMBERS_MAX);
        if (!slot && !(slot = new_slot(list, n)))
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        settle(slot, &fresh);
        edited(roster);
        return 0;
}

/* Notes a kid; when the list is full the oldest goes, since removing must never fail. */
static int note_removed(struct roster *roster, const char *kid)
{
        if (roster->n_removed >= ROSTER_MEMBERS_MAX) {
                memmove(roster->removed, roster->removed + 1, (roster->n_removed - 1) * sizeof(*roster->removed));
                roster->n_removed--;
        }
        char(*longer)[KID_LEN + 1] = reallocarray(roster->removed, roster->n_removed + 1, sizeof(*longer));
        if (!longer)
                return -ENOMEM;
        roster->removed = longer;
        memcpy(longer[roster->n_removed++], kid, KID_LEN + 1);
        return 0;
}

int roster_replace(struct roster *roster, bool service, const char *id, const char *name, struct key *key,
                   struct error *err)
{
        struct roster_member *slot = service ? with_id(roster->services, roster->n_services, id)
                                             : with_id(roster->connectors, roster->n_connectors, id);
        _cleanup_(roster_member_clear) struct roster_member fresh = {.key = key_ref(key)};
        int r = draft(&fresh, service, id, name, err);

        if (r < 0)
                return r;
        if (!slot)
                return error_fail(err, -ENOENT, WHAT ": nobody in it has the id %.64s", id);
        if ((r = check_addable(roster, service ? ROSTER_SERVICES : ROSTER_CONNECTORS, &fresh, err)) < 0)
                return r;
        if (strcmp(key_kid(slot->key), key_kid(key)) != 0 && note_removed(roster, key_kid(slot->key)) < 0)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        settle(slot, &fresh);
        edited(roster);
        return 0;
}

static bool is_named(const struct roster_member *member, const char *which)
{
        return strcmp(member->id, which) == 0 || strcmp(member->name, which) == 0 ||
               strcmp(key_kid(member->key), which) == 0;
}

int roster_remove(struct roster *roster, const char *which, struct error *err)
{
        int r = -ENOENT;
        size_t *n;

        for (enum roster_list list = ROSTER_CONNECTORS; r == -ENOENT && list < ROSTER_LISTS; list++) {
                struct roster_member *members = *roster_members(roster, list, &n);
                size_t i = 0;

                while (i < *n && !is_named(&members[i], which))
                        i++;
                if (i == *n)
                        continue;
                r = note_removed(roster, key_kid(members[i].key));
                if (r < 0)
                        break;
                roster_member_clear(&members[i]);
                memmove(&members[i], &members[i + 1], (*n - i - 1) * sizeof(*members));
                (*n)--;
                edited(roster);
        }
        if (r == -ENOENT)
                return error_fail(err, r, WHAT ": nobody in it has the id, name or kid %.64s", which);
        return r < 0 ? error_fail(err, r, WHAT ": out of memory") : 0;
}

/* ---- domains ---- */

static int copy_domain(struct roster_domain *to, const struct roster_domain *from)
{
        char *const name[] = {from->name};
        char **copy = NULL;
        size_t n;

        *to = (struct roster_domain){.is_default = from->is_default};
        memcpy(to->sid, from->sid, sizeof(to->sid));
        if (roster_names_copy(&copy, &n, name, 1, true) < 0)
                return -ENOMEM;
        to->name = copy[0];
        free(copy);
        if (roster_names_copy(&to->suffixes, &to->n_suffixes, from->suffixes, from->n_suffixes, true) < 0 ||
            roster_names_copy(&to->netbios, &to->n_netbios, from->netbios, from->n_netbios, false) < 0)
                return -ENOMEM;
        return 0;
}

/* The list with fresh in it: in the place of the one of its name, or behind the others. Shallow. */
static size_t list_with(struct roster_domain *list, const struct roster *roster, const struct roster_domain *fresh)
{
        size_t n = roster->n_domains, at = n;

        for (size_t i = 0; i < n; i++) {
                list[i] = roster->domains[i];
                list[i].is_default = list[i].is_default && !fresh->is_default;
                if (strcmp(list[i].name, fresh->name) == 0)
                        at = i;
        }
        list[at] = *fresh;
        return at == n ? n + 1 : n;
}

int roster_domain_put(struct roster *roster, const struct roster_domain *domain, struct error *err)
{
        _cleanup_(roster_domain_clear) struct roster_domain fresh = {0}, old = {0};
        struct roster_domain *list;
        size_t n;
        int r;

        if (!domain->name)
                return error_fail(err, -EINVAL, WHAT ": a domain without a name");
        if (roster->n_domains >= ROSTER_DOMAINS_MAX && !roster_domain(roster, domain->name))
                return error_fail(err, -ENOSPC, WHAT ": holds %d domains already; remove one", ROSTER_DOMAINS_MAX);
        list = calloc(roster->n_domains + 1, sizeof(*list));
        if (!list || copy_domain(&fresh, domain) < 0) {
                free(list);
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        }
        n = list_with(list, roster, &fresh);
        r = roster_domains_check(list, n, err);
        if (r < 0) {
                free(list);
                return r;
        }
        for (size_t i = 0; i < roster->n_domains; i++)
                if (strcmp(roster->domains[i].name, fresh.name) == 0)
                        old = roster->domains[i];
        fresh = (struct roster_domain){0}; /* the list has it */
        free(roster->domains);
        roster->domains = list;
        roster->n_domains = n;
        edited(roster);
        return 0;
}

int roster_domain_remove(struct roster *roster, const char *name, struct error *err)
{
        const struct roster_domain *found = roster_domain(roster, name);

        if (!found)
                return error_fail(err, -ENOENT, WHAT ": has no domain %.64s", name);
        for (size_t i = 0; i < roster->n_connectors; i++)
                if (roster_speaks_for(&roster->connectors[i], name))
                        return error_fail(err, -EBUSY, WHAT ": connector %s speaks for domain %s",
                                          roster->connectors[i].name, found->name);
        for (size_t i = 0; i < roster->n_people; i++)
                if (roster_speaks_for(&roster->people[i], name))
                        return error_fail(err, -EBUSY, WHAT ": %s may see the sign-ins of domain %s",
                                          roster->people[i].name, found->name);
        const size_t at = (size_t)(found - roster->domains);
        roster_domain_clear(&roster->domains[at]);
        memmove(&roster->domains[at], &roster->domains[at + 1],
                (roster->n_domains - at - 1) * sizeof(*roster->domains));
        roster->n_domains--;
        edited(roster);
        return 0;
}

/* The roster's spelling of each name, once. */
static int gather_domains(const struct roster *roster, const char *const *domains, size_t n, struct roster_member *to,
                          struct error *err)
{
        for (size_t i = 0; i < n; i++) {
                const struct roster_domain *d = roster_domain(roster, domains[i]);

                if (!d)
                        return error_fail(err, -ENOENT, WHAT ": has no domain %.64s", domains[i]);
                if (roster_speaks_for(to, d->name))
                        continue;
                if (text_set(&to->domains[to->n_domains], d->name) < 0)
                        return error_fail(err, -ENOMEM, WHAT ": out of memory");
                to->n_domains++;
        }
        return 0;
}

int roster_speak(struct roster *roster, const char *which, const char *const *domains, size_t n, struct error *err)
{
        _cleanup_(roster_member_clear) struct roster_member fresh = {.domains = calloc(n + 1, sizeof(char *))};
        struct roster_member *m = NULL;
        int r;

        for (size_t i = 0; !m && i < roster->n_connectors; i++)
                m = is_named(&roster->connectors[i], which) ? &roster->connectors[i] : NULL;
        if (!m)
                return error_fail(err, -ENOENT, WHAT ": no connector has the id, name or kid %.64s", which);
        if (!fresh.domains)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if ((r = gather_domains(roster, domains, n, &fresh, err)) < 0)
                return r;
        roster_names_free(m->domains, m->n_domains);
        m->domains = steal(fresh.domains);
        m->n_domains = fresh.n_domains;
        fresh.n_domains = 0;
        edited(roster);
        return 0;
}

/* ---- people ---- */

int roster_person_put(struct roster *roster, const struct roster_grant *grant, struct error *err)
{
        _cleanup_(roster_member_clear) struct roster_member fresh = {
                .key = key_ref(grant->key), .exp = grant->exp, .domains = calloc(grant->n_domains + 1, sizeof(char *))};
        struct roster_member *slot = with_id(roster->people, roster->n_people, grant->id), old;
        int r;

        if (!fresh.domains || text_set(&fresh.id, grant->id) < 0 || text_set(&fresh.name, grant->name) < 0 ||
            text_set(&fresh.role, grant->role) < 0)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if (grant->exp < 1)
                return error_fail(err, -EINVAL, WHAT ": a person's powers have an end");
        if (!roster_role_valid(grant->role))
                return error_fail(err, -EINVAL, WHAT ": a role has 1 to %d of a-z, 0-9 and -", ROSTER_ROLE_MAX);
        if (slot && strcmp(key_kid(slot->key), key_kid(grant->key)) != 0)
                return error_fail(err, -EEXIST,
                                  WHAT ": %s has the id %s already, with another key (%s): remove it first", slot->name,
                                  grant->id, key_kid(slot->key));
        if ((r = check_addable(roster, ROSTER_PEOPLE, &fresh, err)) < 0 ||
            (r = gather_domains(roster, grant->domains, grant->n_domains, &fresh, err)) < 0)
                return r;
        if (!slot && roster->n_people >= ROSTER_PEOPLE_MAX)
                return error_fail(err, -ENOSPC, WHAT ": holds %d people already; remove one", ROSTER_PEOPLE_MAX);
        if (!slot && !(slot = new_slot(&roster->people, &roster->n_people)))
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        old = *slot;
        *slot = fresh;
        fresh = old;
        edited(roster);
        return 0;
}

/* ---- signing ---- */

unsigned roster_form_needed(const struct roster *roster)
{
        return roster->n_people ? ROSTER_FORM : ROSTER_FORM_WITHOUT_PEOPLE;
}

static void write_members(struct json_writer *w, const char *name, const struct roster_member *members, size_t n)
{
        json_write_open(w, name, '[');
        for (size_t i = 0; i < n; i++) {
                const struct roster_member *m = &members[i];

                json_write_open(w, NULL, '{');
                json_write_str(w, "id", m->id);
                json_write_str(w, "kid", key_kid(m->key));
                json_write_open(w, "jwk", '{');
                key_write_jwk(w, m->key);
                json_write_close(w, '}');
                json_write_str(w, "name", m->name);
                json_write_opt(w, "role", m->role ? m->role : "");
                if (m->domains || !m->role)
                        json_write_strings(w, "domains", m->domains, m->n_domains);
                if (m->exp)
                        json_write_int(w, "exp", m->exp);
                json_write_close(w, '}');
        }
        json_write_close(w, ']');
}

static int write_payload(const struct roster *roster, const struct claim_times *times, uint64_t seq, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "v", roster_form_needed(roster));
        json_write_str(&w, "tenant", roster->tenant);
        json_write_open(&w, "key", '{');
        key_write_jwk(&w, roster->tenant_key);
        json_write_close(&w, '}');
        json_write_int(&w, "seq", (int64_t)seq);
        json_write_int(&w, "iat", times->iat);
        json_write_int(&w, "exp", times->exp);
        if (roster->sandbox)
                json_write_str(&w, "kind", "sandbox");
        roster_domains_write(&w, roster->domains, roster->n_domains);
        write_members(&w, "connectors", roster->connectors, roster->n_connectors);
        write_members(&w, "services", roster->services, roster->n_services);
        if (roster->n_people)
                write_members(&w, "people", roster->people, roster->n_people);
        json_write_open(&w, "removed", '[');
        for (size_t i = 0; i < roster->n_removed; i++)
                json_write_str(&w, NULL, roster->removed[i]);
        json_write_close(&w, ']');
        json_write_close(&w, '}');
        return json_write_end(&w);
}

int roster_sign(struct roster *roster, const struct key *tenant_key, int64_t now, int64_t life, struct error *err)
{
        const struct claim_times times = {.iat = now, .exp = now + life};
        _cleanup_(buffer_free) struct buffer payload = BUFFER(ROSTER_TEXT_MAX), text = BUFFER(ROSTER_TEXT_MAX);
        int r;

        if (strcmp(key_kid(tenant_key), key_kid(roster->tenant_key)) != 0)
                return error_fail(err, -EINVAL, WHAT ": the signing key is not its tenant key");
        if (life < 1 || life > ROSTER_LIFE_MAX || now < 0)
                return error_fail(err, -EINVAL, WHAT ": lives 1 s to %d days", ROSTER_LIFE_MAX / 86400);
        for (size_t i = 0; i < roster->n_people; i++)
                if (roster->people[i].exp > now + ROSTER_PERSON_LIFE_MAX)
                        return error_fail(err, -EINVAL, WHAT ": the powers of %s last %d days at most",
                                          roster->people[i].name, ROSTER_PERSON_LIFE_MAX / 86400);
        r = write_payload(roster, &times, roster->seq + 1, &payload);
        if (r == -EMSGSIZE)
                return error_fail(err, r, WHAT ": would be longer than %d bytes", ROSTER_TEXT_MAX);
        if (r < 0)
                return error_fail(err, r, WHAT ": cannot be written: %s", strerror(-r));
        if ((r = jws_sign(tenant_key, JOSE_TYP_ROSTER, payload.data, payload.len, &text, err)) < 0)
                return r;
        edited(roster);
        roster->text = buffer_steal(&text);
        roster->seq++;
        roster->form = roster_form_needed(roster);
        roster->iat = times.iat;
        roster->exp = times.exp;
        return 0;
}
