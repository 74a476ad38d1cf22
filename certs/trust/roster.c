/*
 * Reading a roster: the signed list of a tenant's domains, connectors and services.
 *
 * Invariant: a struct roster from roster_verify carries the signature of the pinned tenant key over every
 * byte of it, and no id, name or key stands twice in it, in either list; a connector's domains are the
 * roster's. Nothing of the payload but its key
 * is looked at before the signature was checked. Editing and signing are roster-edit.c's; who may act is the
 * callers'.
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

struct roster *roster_free(struct roster *roster)
{
        if (!roster)
                return NULL;
        for (size_t i = 0; i < roster->n_connectors; i++)
                roster_member_clear(&roster->connectors[i]);
        for (size_t i = 0; i < roster->n_services; i++)
                roster_member_clear(&roster->services[i]);
        for (size_t i = 0; i < roster->n_domains; i++)
                roster_domain_clear(&roster->domains[i]);
        free(roster->domains);
        free(roster->connectors);
        free(roster->services);
        free(roster->removed);
        free(roster->tenant);
        free(roster->text);
        key_free(roster->tenant_key);
        free(roster);
        return NULL;
}

/* The key that signs: from the payload, and only if it is the pinned one. */
static int pinned_key(const json_t *payload, const char *pin, struct key **ret_key, struct error *err)
{
        struct key *key = NULL;
        int r = key_from_jwk(&key, json_object_get(payload, "key"), NULL, err);

        if (r < 0)
                return error_prefix(err, r, WHAT ": member \"key\"");
        if (strlen(pin) != KID_LEN || !equal_const_time(pin, key_pin(key), KID_LEN)) {
                error_fail(err, -EKEYREJECTED, WHAT ": is signed by tenant key %s, but the pinned one is %.64s",
                           key_pin(key), pin);
                key_free(key);
                return -EKEYREJECTED;
        }
        *ret_key = key;
        return 0;
}

/* Remembers a text that must not come twice; kind keeps ids, names and kids apart. */
static int once(json_t *seen, char kind, const char *text, const char *what, struct error *err)
{
        char mark[NAME_MAX_LEN + 2] = {kind};

        memcpy(mark + 1, text, strlen(text) + 1);
        if (json_object_get(seen, mark))
                return error_fail(err, -EBADMSG, "%s: its %s stands in the roster twice", what,
                                  kind == 'i'   ? "id"
                                  : kind == 'n' ? "name"
                                                : "key");
        return json_object_set_new(seen, mark, json_true()) < 0 ? error_fail(err, -ENOMEM, "%s: out of memory", what)
                                                                : 0;
}

/* What a list's members have beside id, kid, jwk and name; NULL: nothing, as in form 1. */
static const char *further_member(const struct roster *roster, bool service)
{
        return roster->form == 1 ? NULL : service ? "role" : "domains";
}

static int parse_role(struct roster_member *member, const json_t *object, const char *what, struct error *err)
{
        const char *role;
        int r = jose_json_str(object, what, "role", 1, ROSTER_ROLE_MAX, &role, err);

        if (r < 0)
                return r;
        if (!roster_role_valid(role))
                return error_fail(err, -EBADMSG, "%s: member \"role\" is not of a-z, 0-9 and -", what);
        return text_set(&member->role, role) < 0 ? error_fail(err, -ENOMEM, "%s: out of memory", what) : 0;
}

/* Domains of a connector, role of a service. */
static int parse_further(const struct roster *roster, bool service, struct roster_member *member, const json_t *object,
                         const char *what, struct error *err)
{
        if (roster->form == 1)
                return service && text_set(&member->role, ROSTER_SIGN_IN) < 0
                               ? error_fail(err, -ENOMEM, "%s: out of memory", what)
                               : 0;
        return service ? parse_role(member, object, what, err)
                       : roster_member_domains_parse(member, roster, object, what, err);
}

static int parse_member(struct roster_member *member, const char *further, const json_t *object, json_t *seen,
                        const char *what, struct error *err)
{
        const char *const members[] = {"id", "kid", "jwk", "name", further, NULL};
        const char *id, *name;
        int r;

        if ((r = jose_json_members(object, what, members, NULL, err)) < 0 ||
            (r = jose_json_str(object, what, "id", 16, 64, &id, err)) < 0 ||
            (r = jose_json_str(object, what, "name", 1, NAME_MAX_LEN, &name, err)) < 0)
                return r;
        if (!id_valid(id, strlen(id)))
                return error_fail(err, -EBADMSG, "%s: member \"id\" is not letters, digits and hyphens", what);
        if (!roster_name_valid(name))
                return error_fail(err, -EBADMSG, "%s: member \"name\" holds control characters", what);
        if ((r = key_from_jwk(&member->key, json_object_get(object, "jwk"), NULL, err)) < 0)
                return error_prefix(err, r, "%s", what);
        if ((r = claims_kid_matches(object, what, member->key, err)) < 0 || (r = once(seen, 'i', id, what, err)) < 0 ||
            (r = once(seen, 'n', name, what, err)) < 0 || (r = once(seen, 'k', key_kid(member->key), what, err)) < 0)
                return r;
        if (text_set(&member->id, id) < 0 || text_set(&member->name, name) < 0)
                return error_fail(err, -ENOMEM, "%s: out of memory", what);
        return 0;
}

/* An array member of at most ROSTER_MEMBERS_MAX elements. */
static int list_of(const json_t *payload, const char *name, const json_t **ret_list, struct error *err)
{
        const json_t *list = json_object_get(payload, name);

        if (!json_is_array(list) || json_array_size(list) > ROSTER_MEMBERS_MAX)
                return error_fail(err, -EBADMSG, WHAT ": member \"%s\" is not an array of at most %d", name,
                                  ROSTER_MEMBERS_MAX);
        *ret_list = list;
        return 0;
}

static int parse_members(struct roster *roster, bool service, const json_t *payload, json_t *seen, struct error *err)
{
        struct roster_member **ret_members = service ? &roster->services : &roster->connectors;
        size_t *ret_n = service ? &roster->n_services : &roster->n_connectors;
        const char *name = service ? "services" : "connectors", *further = further_member(roster, service);
        const json_t *list = NULL;
        int r = list_of(payload, name, &list, err);

        if (r < 0)
                return r;
        const size_t n = json_array_size(list);
        *ret_members = calloc(n ? n : 1, sizeof(**ret_members));
        if (!*ret_members)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        *ret_n = n; /* zeroed members are fit to be freed */
        for (size_t i = 0; i < n; i++) {
                char what[64];

                snprintf(what, sizeof(what), WHAT " %s[%zu]", name, i);
                if ((r = parse_member(&(*ret_members)[i], further, json_array_get(list, i), seen, what, err)) < 0 ||
                    (r = parse_further(roster, service, &(*ret_members)[i], json_array_get(list, i), what, err)) < 0)
                        return r;
        }
        return 0;
}

static int parse_removed(struct roster *roster, const json_t *payload, json_t *seen, struct error *err)
{
        const json_t *list = NULL;
        int r = list_of(payload, "removed", &list, err);

        if (r < 0)
                return r;
        const size_t n = json_array_size(list);
        roster->removed = calloc(n ? n : 1, sizeof(*roster->removed));
        if (!roster->removed)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        for (size_t i = 0; i < n; i++) {
                const char *kid = json_string_value(json_array_get(list, i));
                uint8_t digest[SHA256_LEN];

                if (!kid || b64u_decode_exact(digest, sizeof(digest), kid, strlen(kid)) < 0)
                        return error_fail(err, -EBADMSG, WHAT " removed[%zu]: is not a kid", i);
                if ((r = once(seen, 'k', kid, WHAT " removed", err)) < 0)
                        return r;
                memcpy(roster->removed[i], kid, KID_LEN + 1);
        }
        roster->n_removed = n;
        return 0;
}

static int parse_lists(struct roster *roster, const json_t *payload, struct error *err)
{
        _cleanup_(json_freep) json_t *seen = json_object();
        int r;

        if (!seen)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        /* The tenant key is nobody's identity. */
        if ((r = once(seen, 'k', key_kid(roster->tenant_key), WHAT, err)) < 0 ||
            (roster->form > 1 && (r = roster_domains_parse(roster, payload, err)) < 0) ||
            (r = parse_members(roster, false, payload, seen, err)) < 0 ||
            (r = parse_members(roster, true, payload, seen, err)) < 0)
                return r;
        return parse_removed(roster, payload, seen, err);
}

/* What the caller expects of a roster. */
struct expected {
        const char *tenant;
        int64_t now;
        uint64_t min_seq;
};

/* The form, and that each member of it is there and no other. */
static int parse_form(struct roster *roster, const json_t *payload, struct error *err)
{
        static const char *const first[] = {"v",   "tenant",     "key",      "seq",     "iat",
                                            "exp", "connectors", "services", "removed", NULL};
        static const char *const members[] = {"v",   "tenant",     "key",      "seq",     "iat", "domains",
                                              "exp", "connectors", "services", "removed", NULL};
        static const char *const optional[] = {"kind", NULL};
        int64_t form;
        int r = jose_json_int(payload, WHAT, "v", 1, JOSE_INT_MAX, &form, err);

        if (r < 0)
                return r;
        if (form > ROSTER_FORM)
                return error_fail(err, -EBADMSG, WHAT ": is of form %lld, and this version reads up to %d: upgrade it",
                                  (long long)form, ROSTER_FORM);
        roster->form = (unsigned)form;
        r = form == 1 ? jose_json_members(payload, WHAT, first, NULL, err)
                      : jose_json_members(payload, WHAT, members, optional, err);
        if (r == 0 && json_object_get(payload, "kind")) {
                r = jose_json_is(payload, WHAT, "kind", "sandbox", err);
                roster->sandbox = true;
        }
        return r;
}

/* Form, tenant, times and sequence number, in this order. */
static int parse_claims(struct roster *roster, const json_t *payload, const struct expected *expected,
                        struct error *err)
{
        struct claim_times times = {.life_max = ROSTER_LIFE_MAX, .skew = ROSTER_SKEW};
        const char *tenant;
        int64_t seq;
        int r;

        if ((r = parse_form(roster, payload, err)) < 0 ||
            (r = jose_json_str(payload, WHAT, "tenant", 1, TENANT_MAX, &tenant, err)) < 0 ||
            (r = jose_json_int(payload, WHAT, "seq", 0, JOSE_INT_MAX, &seq, err)) < 0 ||
            (r = claims_times(payload, WHAT, &times, err)) < 0)
                return r;
        if (!tenant_valid(tenant))
                return error_fail(err, -EBADMSG, WHAT ": member \"tenant\" is not a tenant's name");
        if (strcmp(tenant, expected->tenant) != 0)
                return error_fail(err, -EXDEV, WHAT ": is of tenant %s, not %s", tenant, expected->tenant);
        if (expected->now != ROSTER_ANY_TIME && (r = claims_current(&times, WHAT, expected->now, err)) < 0)
                return r;
        if ((uint64_t)seq < expected->min_seq)
                return error_fail(err, -ESTALE, WHAT ": seq %lld is older than %llu, which was seen before",
                                  (long long)seq, (unsigned long long)expected->min_seq);
        roster->seq = (uint64_t)seq;
        roster->iat = times.iat;
        roster->exp = times.exp;
        return text_set(&roster->tenant, tenant) < 0 ? error_fail(err, -ENOMEM, WHAT ": out of memory") : 0;
}

/* The payload of a roster whose signature by the pinned key was checked. */
static int signed_payload(const char *text, size_t n, const char *pin, struct key **ret_key, json_t **ret_payload,
                          struct error *err)
{
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
        _cleanup_(json_freep) json_t *payload = NULL;
        struct key *key = NULL;
        int r;

        if (n > ROSTER_TEXT_MAX)
                return error_fail(err, -EBADMSG, WHAT ": is longer than %d bytes", ROSTER_TEXT_MAX);
        if ((r = jws_parse(&jws, text, n, JOSE_TYP_ROSTER, false, err)) < 0 ||
            (r = jose_json_object(&payload, jws.payload.data, jws.payload.len, WHAT, err)) < 0 ||
            (r = pinned_key(payload, pin, &key, err)) < 0)
                return r;
        if ((r = jws_verify(&jws, key, err)) < 0) {
                key_free(key);
                return error_prefix(err, r, WHAT);
        }
        *ret_key = key;
        *ret_payload = steal(payload);
        return 0;
}

int roster_verify(struct roster **ret_roster, const char *text, size_t n, const char *pin, const char *tenant,
                  int64_t now, uint64_t min_seq, struct error *err)
{
        const struct expected expected = {tenant, now, min_seq};
        _cleanup_(roster_freep) struct roster *roster = calloc(1, sizeof(*roster));
        _cleanup_(json_freep) json_t *payload = NULL;
        int r;

        if (!roster)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if ((r = signed_payload(text, n, pin, &roster->tenant_key, &payload, err)) < 0 ||
            (r = parse_claims(roster, payload, &expected, err)) < 0 || (r = parse_lists(roster, payload, err)) < 0)
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
