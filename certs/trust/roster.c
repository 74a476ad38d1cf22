/*
 * Reading a roster: the signed list of a tenant's domains, connectors and services.
 *
 * Invariant: a struct roster from roster_verify carries the signature of the pinned tenant key over every
 * byte of it, and no id, name or key is repeated in it, in any of its lists; a connector's domains are the
 * roster's. Nothing of the payload but its key is looked at before the signature was checked. Editing and signing are
 * roster-edit.c's; who may act is the callers'.
 */
#include "certs/trust/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/claims.h"
#include "certs/codec/crypto.h"
#include "certs/trust/roster-internal.h"
#include "base/core/secret.h"
#include "base/core/text.h"

#define WHAT "roster"

bool tenant_valid(const char *tenant)
{
        const size_t n = tenant ? strlen(tenant) : 0;

        return n >= 1 && n <= TENANT_MAX && strspn(tenant, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

bool roster_name_valid(const char *name)
{
        const size_t n = strlen(name);

        if (n < 1 || n > NAME_MAX_LEN || !utf8_valid(name, n))
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
                        return false;
        return true;
}

bool roster_role_valid(const char *role)
{
        const size_t n = strlen(role);

        return n >= 1 && n <= ROSTER_ROLE_MAX && strspn(role, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

void roster_member_clear(struct roster_member *member)
{
        free(member->id);
        free(member->name);
        free(member->role);
        roster_names_free(member->domains, member->n_domains);
        key_free(member->key);
        *member = (struct roster_member){0};
}

struct roster_member **roster_members(struct roster *roster, enum roster_list list, size_t **ret_n)
{
        if (list == ROSTER_PEOPLE) {
                *ret_n = &roster->n_people;
                return &roster->people;
        }
        *ret_n = list == ROSTER_SERVICES ? &roster->n_services : &roster->n_connectors;
        return list == ROSTER_SERVICES ? &roster->services : &roster->connectors;
}

struct roster *roster_ref(struct roster *roster)
{
        roster->others++;
        return roster;
}

struct roster *roster_free(struct roster *roster)
{
        if (!roster || roster->others-- > 0)
                return NULL;
        for (enum roster_list list = ROSTER_CONNECTORS; list < ROSTER_LISTS; list++) {
                size_t *n;
                struct roster_member **members = roster_members(roster, list, &n);

                for (size_t i = 0; i < *n; i++)
                        roster_member_clear(&(*members)[i]);
                free(*members);
        }
        for (size_t i = 0; i < roster->n_domains; i++)
                roster_domain_clear(&roster->domains[i]);
        free(roster->domains);
        free(roster->removed);
        free(roster->tenant);
        free(roster->text);
        key_free(roster->tenant_key);
        free(roster);
        return NULL;
}

/* Remembers a text that must not come twice; kind keeps ids, names and kids apart. */
static void once(struct json_reader *r, json_t *seen, char kind, const char *text)
{
        const char *name = kind == 'i' ? "id" : kind == 'n' ? "name" : "kid";
        char mark[NAME_MAX_LEN + 2] = {kind};

        if (json_read_result(r) < 0)
                return;
        memcpy(mark + 1, text, strlen(text) + 1);
        if (json_object_get(seen, mark))
                json_read_fail(r, r->list ? NULL : name, "is in the roster twice");
        else if (json_object_set_new(seen, mark, json_true()) < 0)
                json_read_no_memory(r);
}

/* Domains of a connector, role of a service, neither in form 1; both of a person, and the end. */
static void read_further(struct json_reader *r, const struct roster *roster, enum roster_list which,
                         struct roster_member *member)
{
        if (roster->form == 1 && which == ROSTER_SERVICES && text_set(&member->role, ROSTER_SIGN_IN) < 0)
                json_read_no_memory(r);
        if (roster->form == 1)
                return;
        if (which != ROSTER_SERVICES)
                roster_member_domains_read(member, roster, r);
        if (which == ROSTER_CONNECTORS)
                return;
        json_read_text(r, "role", JSON_REQUIRED, ROSTER_ROLE_MAX, &member->role);
        if (member->role && !roster_role_valid(member->role))
                json_read_fail(r, "role", "is not of a-z, 0-9 and -");
        if (which == ROSTER_SERVICES)
                return;
        member->exp = json_read_int(r, "exp", 1, JOSE_INT_MAX);
        if (member->exp > roster->iat + ROSTER_PERSON_LIFE_MAX)
                json_read_fail(r, "exp", "is more than 90 days after the roster's iat");
}

static void read_member(struct json_reader *r, const struct roster *roster, enum roster_list which,
                        struct roster_member *member, json_t *seen)
{
        char id[ID_MAX + 1], name[NAME_MAX_LEN + 1];
        struct json_reader jwk;

        claims_id(r, "id", id);
        json_read_str(r, "name", JSON_REQUIRED, name, sizeof(name));
        if (!roster_name_valid(name))
                json_read_fail(r, "name", "holds control characters");
        json_read_object(&jwk, r, "jwk", JSON_REQUIRED);
        member->key = key_read_jwk(&jwk);
        json_read_end(&jwk, true);
        claims_kid(r, member->key);
        read_further(r, roster, which, member);
        json_read_end(r, true);
        once(r, seen, 'i', id);
        once(r, seen, 'n', name);
        once(r, seen, 'k', member->key ? key_kid(member->key) : "");
        if (text_set(&member->id, id) < 0 || text_set(&member->name, name) < 0)
                json_read_no_memory(r);
}

static void read_members(struct json_reader *payload, struct roster *roster, enum roster_list which, json_t *seen)
{
        static const char *const names[] = {"connectors", "services", "people"};
        size_t *ret_n, max = which == ROSTER_PEOPLE ? ROSTER_PEOPLE_MAX : ROSTER_MEMBERS_MAX;
        struct roster_member **ret_members = roster_members(roster, which, &ret_n);
        struct json_reader list, object;

        if (!json_read_list(&list, payload, names[which], JSON_REQUIRED, 0, max))
                return;
        *ret_members = calloc(list.n + 1, sizeof(**ret_members)); /* zeroed members are fit to be freed */
        if (!*ret_members) {
                json_read_no_memory(payload);
                return;
        }
        while (json_read_next(&list)) {
                struct roster_member *member = &(*ret_members)[(*ret_n)++];

                if (json_read_object(&object, &list, NULL, JSON_REQUIRED))
                        read_member(&object, roster, which, member, seen);
        }
}

static int read_lists(struct roster *roster, struct json_reader *payload, struct error *err)
{
        _cleanup_(json_freep) json_t *seen = json_object();
        struct json_reader list;
        int r;

        if (!seen)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        once(payload, seen, 'k', key_kid(roster->tenant_key)); /* it is nobody's identity */
        if (roster->form > 1 && (r = roster_domains_read(roster, payload, err)) < 0)
                return r;
        for (enum roster_list which = ROSTER_CONNECTORS; which < ROSTER_LISTS; which++)
                if (which != ROSTER_PEOPLE || roster->form > ROSTER_FORM_WITHOUT_PEOPLE)
                        read_members(payload, roster, which, seen);
        if (!json_read_list(&list, payload, "removed", JSON_REQUIRED, 0, ROSTER_MEMBERS_MAX))
                return json_read_result(payload);
        roster->removed = calloc(list.n + 1, sizeof(*roster->removed));
        if (!roster->removed)
                json_read_no_memory(payload);
        while (roster->removed && json_read_next(&list)) {
                char *kid = roster->removed[roster->n_removed++];

                json_read_b64u_text(&list, NULL, kid, SHA256_LEN);
                once(&list, seen, 'k', kid);
        }
        return json_read_result(payload);
}

/* What the caller expects of a roster. */
struct expected {
        bool sandbox;
        const char *tenant;
        int64_t now;
        uint64_t min_seq;
};

/* The form, and that each member of it is there and no other. */
static int read_form(struct roster *roster, struct json_reader *payload, struct error *err)
{
        static const char *const first[] = {"v",   "tenant",     "key",      "seq",     "iat",
                                            "exp", "connectors", "services", "removed", NULL};
        static const char *const members[] = {"v",   "tenant",     "key",      "seq",     "iat", "domains",
                                              "exp", "connectors", "services", "removed", NULL};
        static const char *const newest[] = {"v",   "tenant",     "key",      "seq",    "iat",     "domains",
                                             "exp", "connectors", "services", "people", "removed", NULL};
        static const char *const optional[] = {"kind", NULL};
        const int64_t form = json_read_int(payload, "v", 1, JOSE_INT_MAX);

        if (form > ROSTER_FORM)
                return error_fail(err, -EBADMSG, WHAT ": is of form %lld, and this version reads up to %d: upgrade it",
                                  (long long)form, ROSTER_FORM);
        roster->form = (unsigned)form;
        json_read_members(payload,
                          form == 1                            ? first
                          : form == ROSTER_FORM_WITHOUT_PEOPLE ? members
                                                               : newest,
                          form == 1 ? NULL : optional);
        roster->sandbox = json_read_has(payload, "kind");
        if (roster->sandbox)
                json_read_is(payload, "kind", "sandbox");
        return json_read_result(payload);
}

/* Form, tenant, times and sequence number, in this order. */
static int read_claims(struct roster *roster, struct json_reader *payload, const struct expected *expected,
                       struct error *err)
{
        struct claim_times times = {.life_max = ROSTER_LIFE_MAX, .skew = ROSTER_SKEW};
        char tenant[TENANT_MAX + 1];
        int r = read_form(roster, payload, err);

        if (r < 0)
                return r;
        claims_tenant(payload, "tenant", tenant);
        roster->seq = (uint64_t)json_read_int(payload, "seq", 0, JOSE_INT_MAX);
        claims_times(payload, &times);
        if ((r = json_read_result(payload)) < 0)
                return r;
        if (strcmp(tenant, expected->tenant) != 0)
                return error_fail(err, -EXDEV, WHAT ": is of tenant %s, not %s", tenant, expected->tenant);
        if (roster->sandbox != expected->sandbox)
                return error_fail(err, -EPERM,
                                  expected->sandbox ? WHAT
                                          ": is not a sandbox's, and this program is set to speak to a "
                                          "sandbox only"
                                                    : WHAT ": is a sandbox's (postern-sandbox), whose answers prove no "
                                                           "password: only what is set to try things out takes it");
        if (expected->now != ROSTER_ANY_TIME && (r = claims_current(&times, WHAT, expected->now, err)) < 0)
                return r;
        if (roster->seq < expected->min_seq)
                return error_fail(err, -ESTALE, WHAT ": seq %llu is older than %llu, which was seen before",
                                  (unsigned long long)roster->seq, (unsigned long long)expected->min_seq);
        roster->iat = times.iat;
        roster->exp = times.exp;
        return text_set(&roster->tenant, tenant) < 0 ? error_fail(err, -ENOMEM, WHAT ": out of memory") : 0;
}

/* Takes the text apart and checks the signature by the key of the payload, which is all of it that is looked at: only
 * if it is the pinned one. */
static int check_signature(struct roster *roster, struct jws *jws, struct json_reader *payload, const char *text,
                           size_t n, const char *pin, struct error *err)
{
        struct json_reader jwk;
        struct key *key;
        int r;

        if (n > ROSTER_TEXT_MAX)
                return error_fail(err, -EBADMSG, WHAT ": is longer than %d bytes", ROSTER_TEXT_MAX);
        if ((r = jws_parse(jws, text, n, JOSE_TYP_ROSTER, false, err)) < 0)
                return r;
        json_read_begin(payload, jws->payload.data, jws->payload.len, JSON_PLAIN, WHAT, err);
        json_read_object(&jwk, payload, "key", JSON_REQUIRED);
        key = roster->tenant_key = key_read_jwk(&jwk);
        if (json_read_end(&jwk, true) < 0)
                return json_read_result(payload);
        if (strlen(pin) != KID_LEN || !equal_const_time(pin, key_pin(key), KID_LEN))
                return error_fail(err, -EKEYREJECTED, WHAT ": is signed by tenant key %s, but the pinned one is %.64s",
                                  key_pin(key), pin);
        r = jws_verify(jws, key, err);
        return r < 0 ? error_prefix(err, r, WHAT) : 0;
}

int roster_verify(struct roster **ret_roster, const char *text, size_t n, const char *pin, const char *tenant,
                  int64_t now, uint64_t min_seq, struct error *err)
{
        return roster_verify_kind(ret_roster, false, text, n, pin, tenant, now, min_seq, err);
}

int roster_verify_kind(struct roster **ret_roster, bool sandbox, const char *text, size_t n, const char *pin,
                       const char *tenant, int64_t now, uint64_t min_seq, struct error *err)
{
        const struct expected expected = {sandbox, tenant, now, min_seq};
        _cleanup_(roster_freep) struct roster *roster = calloc(1, sizeof(*roster));
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
        struct json_reader payload;
        int r;

        if (!roster)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if ((r = check_signature(roster, &jws, &payload, text, n, pin, err)) < 0 ||
            (r = read_claims(roster, &payload, &expected, err)) < 0 || (r = read_lists(roster, &payload, err)) < 0)
                return r;
        roster->text = strndup(text, n);
        if (!roster->text)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        *ret_roster = steal(roster);
        return 0;
}

void roster_text_hash(const char *text, size_t n, char ret_hash[KID_LEN + 1])
{
        uint8_t hash[SHA256_LEN];

        if (crypto_sha256(hash, text, n) == 0)
                b64u_encode_to(ret_hash, hash, sizeof(hash));
        else
                ret_hash[0] = '\0';
}

int roster_same_as_seen(const struct roster *roster, uint64_t seen_seq, const char *seen_hash, struct error *err)
{
        char hash[KID_LEN + 1];

        if (roster->seq != seen_seq || !seen_hash[0])
                return 0;
        roster_text_hash(roster->text, strlen(roster->text), hash);
        if (strcmp(hash, seen_hash) == 0)
                return 0;
        return error_fail(
                err, -EBADE,
                WHAT ": another text of number %llu than the one seen before, which stays in force: one of the two "
                     "was signed from an older base (postern tenant roster fetch)",
                (unsigned long long)seen_seq);
}

static const struct roster_member *find_kid(const struct roster_member *members, size_t n, const char *kid)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(key_kid(members[i].key), kid) == 0)
                        return &members[i];
        return NULL;
}

const struct roster_member *roster_connector(const struct roster *roster, const char *kid)
{
        return find_kid(roster->connectors, roster->n_connectors, kid);
}

const struct roster_member *roster_service(const struct roster *roster, const char *kid)
{
        return find_kid(roster->services, roster->n_services, kid);
}

const struct roster_member *roster_sign_in_service(const struct roster *roster, const char *kid)
{
        const struct roster_member *service = roster_service(roster, kid);

        return service && strcmp(service->role, ROSTER_SIGN_IN) == 0 ? service : NULL;
}

const struct roster_member *roster_person(const struct roster *roster, const char *kid)
{
        return find_kid(roster->people, roster->n_people, kid);
}
