/*
 * Key statements: what a connector announces about its short-lived encryption keys and realms.
 *
 * Invariant: a struct statement from statement_verify was signed by the identity key that the caller took
 * from the roster, for the connector and tenant he named; every key in it is a checked point under its own
 * thumbprint. Does not know rosters, nor which boot or seq came before: callers compare those.
 */
#include "certs/trust/statement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/claims.h"
#include "certs/trust/roster.h"
#include "base/core/text.h"

#define USE_ENC "enc"
#define ALG_ENC "ECDH-ES+A256KW"
#define USE_SIG "sig"
#define ALG_SIG "ES256"
#define WHAT "statement"
#define VERSIONS_MAX 8
#define REALM_MAX 255

static void names_free(char **names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
}

struct statement *statement_free(struct statement *s)
{
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_keys; i++)
                key_free(s->keys[i].key);
        for (size_t i = 0; i < s->n_sign; i++)
                key_free(s->sign[i].key);
        names_free(s->realms, s->n_realms);
        names_free(s->suffixes, s->n_suffixes);
        names_free(s->netbios, s->n_netbios);
        free(s->iss);
        free(s->tenant);
        free(s->text);
        free(s);
        return NULL;
}

/* A realm, suffix or NetBIOS name: UTF-8, nothing that separates or quotes names. */
static bool name_valid(const char *name)
{
        const size_t n = name ? strlen(name) : 0;

        if (n < 1 || n > REALM_MAX || !utf8_valid(name, n))
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)name[i] <= 0x20 || strchr("\x7f\"/\\:*?<>|@,", name[i]))
                        return false;
        return true;
}

static bool boot_valid(const char *boot)
{
        uint8_t bytes[16];

        return b64u_decode_exact(bytes, sizeof(bytes), boot, strlen(boot)) == 0;
}

/* ---- signing ---- */

static json_t *key_json(const struct statement_key *k, const char *use, const char *alg)
{
        json_t *jwk = NULL;

        if (key_to_jwk(k->key, &jwk) < 0)
                return NULL;
        json_t *more = json_pack("{sssssssIsI}", "kid", key_kid(k->key), "use", use, "alg", alg, "nbf",
                                 (json_int_t)k->nbf, "exp", (json_int_t)k->exp);
        if (!more || json_object_update(jwk, more) < 0) {
                json_decref(jwk);
                jwk = NULL;
        }
        json_decref(more);
        return jwk;
}

static json_t *keys_json(const struct statement_key *keys, size_t n, const char *use, const char *alg)
{
        _cleanup_(json_freep) json_t *list = json_array();

        for (size_t i = 0; list && i < n; i++)
                if (json_array_append_new(list, key_json(&keys[i], use, alg)) < 0)
                        return NULL;
        return steal(list);
}

static json_t *names_json(char *const *names, size_t n)
{
        _cleanup_(json_freep) json_t *list = json_array();

        for (size_t i = 0; list && i < n; i++)
                if (json_array_append_new(list, json_string(names[i])) < 0)
                        return NULL;
        return steal(list);
}

static bool names_valid(char *const *names, size_t n)
{
        if (n > STATEMENT_NAMES_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!name_valid(names[i]))
                        return false;
        return true;
}

static int check_signable(const struct statement *s, int64_t now, int64_t life, struct error *err)
{
        if (!s->iss || !id_valid(s->iss, strlen(s->iss)) || !tenant_valid(s->tenant) || !boot_valid(s->boot))
                return error_fail(err, -EINVAL, WHAT ": needs an id, a tenant and a boot id");
        if (!names_valid(s->realms, s->n_realms) || !names_valid(s->suffixes, s->n_suffixes) ||
            !names_valid(s->netbios, s->n_netbios))
                return error_fail(err, -EINVAL,
                                  WHAT ": a realm, suffix or NetBIOS name is no name, or there are over %d",
                                  STATEMENT_NAMES_MAX);
        if (s->n_sign > STATEMENT_SIGN_MAX)
                return error_fail(err, -EINVAL, WHAT ": has at most %d signing keys", STATEMENT_SIGN_MAX);
        if (s->n_keys < 1 || s->n_keys > STATEMENT_KEYS_MAX)
                return error_fail(err, -EINVAL, WHAT ": has 1 to %d keys", STATEMENT_KEYS_MAX);
        if (life < 1 || life > STATEMENT_LIFE_MAX || now < 0)
                return error_fail(err, -EINVAL, WHAT ": lives 1 to %d s", STATEMENT_LIFE_MAX);
        return 0;
}

int statement_sign(struct statement *s, const struct key *identity, int64_t now, int64_t life, struct error *err)
{
        _cleanup_(buffer_free) struct buffer payload = BUFFER(STATEMENT_TEXT_MAX), text = BUFFER(STATEMENT_TEXT_MAX);
        int r = check_signable(s, now, life, err);

        if (r < 0)
                return r;
        _cleanup_(json_freep) json_t *json =
                json_pack("{s[i]sssssssIsIsIsisosososo}", "v", 1, "iss", s->iss, "tenant", s->tenant, "boot", s->boot,
                          "seq", (json_int_t)s->seq, "iat", (json_int_t)now, "exp", (json_int_t)(now + life), "roster",
                          ROSTER_FORM, "realms", names_json(s->realms, s->n_realms), "suffixes",
                          names_json(s->suffixes, s->n_suffixes), "netbios", names_json(s->netbios, s->n_netbios),
                          "keys", keys_json(s->keys, s->n_keys, USE_ENC, ALG_ENC));
        if (json && s->n_sign &&
            json_object_set_new(json, "sign", keys_json(s->sign, s->n_sign, USE_SIG, ALG_SIG)) < 0) {
                json_decref(json);
                json = NULL;
        }
        if (json && s->pad == PADDED_LARGE && json_object_set_new(json, "pad", json_integer(s->pad)) < 0) {
                json_decref(json);
                json = NULL;
        }
        if (!json)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if (jose_json_text(json, &payload) < 0)
                return error_fail(err, -EMSGSIZE, WHAT ": would be longer than %d bytes", STATEMENT_TEXT_MAX);
        if ((r = jws_sign(identity, JOSE_TYP_KEYS, payload.data, payload.len, &text, err)) < 0)
                return r;
        free(s->text);
        s->text = buffer_steal(&text);
        memcpy(s->kid, key_kid(identity), KID_LEN + 1);
        s->roster_form = ROSTER_FORM;
        s->iat = now;
        s->exp = now + life;
        return 0;
}

/* ---- verifying ---- */

/* v lists the versions that the connector speaks; 1 must be among them. */
static int check_versions(const json_t *payload, struct error *err)
{
        const json_t *list = json_object_get(payload, "v");
        bool speaks_1 = false;

        if (!json_is_array(list) || json_array_size(list) < 1 || json_array_size(list) > VERSIONS_MAX)
                return error_fail(err, -EBADMSG, WHAT ": member \"v\" is not an array of 1 to %d versions",
                                  VERSIONS_MAX);
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *version = json_array_get(list, i);

                if (!json_is_integer(version) || json_integer_value(version) < 1)
                        return error_fail(err, -EBADMSG, WHAT ": member \"v\" holds something else than versions");
                speaks_1 = speaks_1 || json_integer_value(version) == 1;
        }
        return speaks_1 ? 0 : error_fail(err, -EBADMSG, WHAT ": the connector does not speak version 1");
}

static int parse_names(const json_t *payload, const char *member, char ***ret_names, size_t *ret_n, struct error *err)
{
        const json_t *list = json_object_get(payload, member);
        const size_t n = json_array_size(list);

        if (!json_is_array(list) || n > STATEMENT_NAMES_MAX)
                return error_fail(err, -EBADMSG, WHAT ": member \"%s\" is not an array of at most %d names", member,
                                  STATEMENT_NAMES_MAX);
        char **names = calloc(n ? n : 1, sizeof(*names));
        if (!names)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        *ret_names = names;
        *ret_n = n;
        for (size_t i = 0; i < n; i++) {
                const char *name = json_string_value(json_array_get(list, i));

                if (!name_valid(name))
                        return error_fail(err, -EBADMSG, WHAT ": %s[%zu] is not a name", member, i);
                if (text_set(&names[i], name) < 0)
                        return error_fail(err, -ENOMEM, WHAT ": out of memory");
        }
        return 0;
}

static int parse_key(struct statement_key *k, const json_t *object, const char *what, const char *use, const char *alg,
                     struct error *err)
{
        static const char *const members[] = {"kid", "use", "alg", "nbf", "exp", NULL};
        int r;

        if ((r = key_from_jwk(&k->key, object, members, err)) < 0)
                return error_prefix(err, r, "%s", what);
        if ((r = claims_kid_matches(object, what, k->key, err)) < 0 ||
            (r = jose_json_is(object, what, "use", use, err)) < 0 ||
            (r = jose_json_is(object, what, "alg", alg, err)) < 0 ||
            (r = jose_json_int(object, what, "nbf", 0, JOSE_INT_MAX, &k->nbf, err)) < 0 ||
            (r = jose_json_int(object, what, "exp", 0, JOSE_INT_MAX, &k->exp, err)) < 0)
                return r;
        if (k->exp <= k->nbf)
                return error_fail(err, -EBADMSG, "%s: member \"exp\" is not behind \"nbf\"", what);
        return 0;
}

/* An identity key only signs statements, and no key has two uses. */
static int check_use(const struct statement *s, const struct statement_key *k, const char *what, struct error *err)
{
        const char *kid = key_kid(k->key);

        if (strcmp(kid, s->kid) == 0)
                return error_fail(err, -EBADMSG, "%s: is the identity key, which only signs", what);
        for (size_t j = 0; j < s->n_keys; j++)
                if (&s->keys[j] != k && s->keys[j].key && strcmp(kid, key_kid(s->keys[j].key)) == 0)
                        return error_fail(err, -EBADMSG, "%s: stands in the statement twice", what);
        for (size_t j = 0; j < s->n_sign; j++)
                if (&s->sign[j] != k && s->sign[j].key && strcmp(kid, key_kid(s->sign[j].key)) == 0)
                        return error_fail(err, -EBADMSG, "%s: stands in the statement twice", what);
        return 0;
}

static int parse_keys(struct statement *s, const json_t *payload, struct error *err)
{
        const json_t *list = json_object_get(payload, "keys");
        const size_t n = json_array_size(list);

        if (!json_is_array(list) || n < 1 || n > STATEMENT_KEYS_MAX)
                return error_fail(err, -EBADMSG, WHAT ": member \"keys\" is not an array of 1 to %d",
                                  STATEMENT_KEYS_MAX);
        for (size_t i = 0; i < n; i++) {
                char what[64];
                int r;

                snprintf(what, sizeof(what), WHAT " keys[%zu]", i);
                s->n_keys = i + 1;
                if ((r = parse_key(&s->keys[i], json_array_get(list, i), what, USE_ENC, ALG_ENC, err)) < 0 ||
                    (r = check_use(s, &s->keys[i], what, err)) < 0)
                        return r;
        }
        return 0;
}

/* Optional. A signing key ends with its statement at the latest: what certifies it is never older than two hours. */
static int parse_sign(struct statement *s, const json_t *payload, struct error *err)
{
        const json_t *list = json_object_get(payload, "sign");
        const size_t n = json_array_size(list);

        if (!list)
                return 0;
        if (!json_is_array(list) || n < 1 || n > STATEMENT_SIGN_MAX)
                return error_fail(err, -EBADMSG, WHAT ": member \"sign\" is not an array of 1 to %d",
                                  STATEMENT_SIGN_MAX);
        for (size_t i = 0; i < n; i++) {
                struct statement_key *k = &s->sign[i];
                char what[64];
                int r;

                snprintf(what, sizeof(what), WHAT " sign[%zu]", i);
                s->n_sign = i + 1;
                if ((r = parse_key(k, json_array_get(list, i), what, USE_SIG, ALG_SIG, err)) < 0 ||
                    (r = check_use(s, k, what, err)) < 0)
                        return r;
                if (k->exp > s->exp || k->exp - k->nbf > STATEMENT_LIFE_MAX)
                        return error_fail(err, -EBADMSG, "%s: outlives its statement, or %d s", what,
                                          STATEMENT_LIFE_MAX);
        }
        return 0;
}

/* Optional: what a connector adds to its verdicts needs the room. */
static int parse_pad(struct statement *s, const json_t *payload, struct error *err)
{
        int r;

        s->pad = PADDED_SMALL;
        if (!json_object_get(payload, "pad"))
                return 0;
        r = jose_json_int(payload, WHAT, "pad", 0, JOSE_INT_MAX, &s->pad, err);
        if (r == 0 && !padded_len_valid((size_t)s->pad))
                return error_fail(err, -EBADMSG, WHAT ": member \"pad\" is not %d or %d", PADDED_SMALL, PADDED_LARGE);
        return r;
}

static int parse_lists(struct statement *s, const json_t *payload, struct error *err)
{
        int r;

        if ((r = parse_names(payload, "realms", &s->realms, &s->n_realms, err)) < 0 ||
            (r = parse_names(payload, "suffixes", &s->suffixes, &s->n_suffixes, err)) < 0 ||
            (r = parse_names(payload, "netbios", &s->netbios, &s->n_netbios, err)) < 0)
                return r;
        r = parse_keys(s, payload, err);
        r = r < 0 ? r : parse_sign(s, payload, err);
        return r < 0 ? r : parse_pad(s, payload, err);
}

struct expected {
        const char *id;
        const char *tenant;
        int64_t now;
};

static int parse_issuer(struct statement *s, const json_t *payload, const struct expected *expected, struct error *err)
{
        const char *iss, *tenant;
        int r;

        if ((r = jose_json_str(payload, WHAT, "iss", 16, 64, &iss, err)) < 0 ||
            (r = jose_json_str(payload, WHAT, "tenant", 1, TENANT_MAX, &tenant, err)) < 0)
                return r;
        if (!id_valid(iss, strlen(iss)) || !tenant_valid(tenant))
                return error_fail(err, -EBADMSG,
                                  WHAT ": member \"iss\" is not an id, or \"tenant\" not a tenant's name");
        if (strcmp(tenant, expected->tenant) != 0)
                return error_fail(err, -EXDEV, WHAT ": is of tenant %s, not %s", tenant, expected->tenant);
        if (strcmp(iss, expected->id) != 0)
                return error_fail(err, -EXDEV, WHAT ": is of connector %s, but its key belongs to %s", iss,
                                  expected->id);
        if (text_set(&s->iss, iss) < 0 || text_set(&s->tenant, tenant) < 0)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        return 0;
}

static int parse_claims(struct statement *s, const json_t *payload, const struct expected *expected, struct error *err)
{
        static const char *const members[] = {"v",   "iss",    "tenant",   "boot",    "seq",  "iat",
                                              "exp", "realms", "suffixes", "netbios", "keys", NULL};
        static const char *const optional[] = {"sign", "pad", "roster", NULL};
        struct claim_times times = {.life_max = STATEMENT_LIFE_MAX, .skew = ROSTER_SKEW};
        const char *boot;
        int64_t seq, form = 1; /* who says nothing reads rosters of the first form */
        int r;

        if ((r = check_versions(payload, err)) < 0 ||
            (r = jose_json_members(payload, WHAT, members, optional, err)) < 0 ||
            (r = jose_json_str(payload, WHAT, "boot", BOOT_LEN, BOOT_LEN, &boot, err)) < 0 ||
            (r = jose_json_int(payload, WHAT, "seq", 0, JOSE_INT_MAX, &seq, err)) < 0 ||
            (json_object_get(payload, "roster") &&
             (r = jose_json_int(payload, WHAT, "roster", 1, 255, &form, err)) < 0) ||
            (r = claims_times(payload, WHAT, &times, err)) < 0)
                return r;
        if (!boot_valid(boot))
                return error_fail(err, -EBADMSG, WHAT ": member \"boot\" is not the base64url form of 16 bytes");
        if ((r = parse_issuer(s, payload, expected, err)) < 0 ||
            (r = claims_current(&times, WHAT, expected->now, err)) < 0)
                return r;
        memcpy(s->boot, boot, BOOT_LEN + 1);
        s->seq = (uint64_t)seq;
        s->roster_form = (unsigned)form;
        s->iat = times.iat;
        s->exp = times.exp;
        return 0;
}

static int parse_jws(struct jws *ret_jws, const char *text, size_t n, struct error *err)
{
        if (n > STATEMENT_TEXT_MAX)
                return error_fail(err, -EBADMSG, WHAT ": is longer than %d bytes", STATEMENT_TEXT_MAX);
        return jws_parse(ret_jws, text, n, JOSE_TYP_KEYS, false, err);
}

int statement_verify(struct statement **ret_s, const char *text, size_t n, const struct key *identity, const char *id,
                     const char *tenant, int64_t now, struct error *err)
{
        const struct expected expected = {id, tenant, now};
        _cleanup_(statement_freep) struct statement *s = calloc(1, sizeof(*s));
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
        _cleanup_(json_freep) json_t *payload = NULL;
        int r;

        if (!s)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if ((r = parse_jws(&jws, text, n, err)) < 0)
                return r;
        if ((r = jws_verify(&jws, identity, err)) < 0)
                return error_prefix(err, r, WHAT);
        memcpy(s->kid, jws.kid, sizeof(s->kid));
        if ((r = jose_json_object(&payload, jws.payload.data, jws.payload.len, WHAT, err)) < 0 ||
            (r = parse_claims(s, payload, &expected, err)) < 0 || (r = parse_lists(s, payload, err)) < 0)
                return r;
        s->text = strndup(text, n);
        if (!s->text)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        *ret_s = steal(s);
        return 0;
}

int statement_peek_kid(const char *text, size_t n, char ret_kid[KID_LEN + 1], struct error *err)
{
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
        int r = parse_jws(&jws, text, n, err);

        if (r == 0)
                memcpy(ret_kid, jws.kid, sizeof(jws.kid));
        return r;
}

const struct statement_key *statement_key_at(const struct statement *s, int64_t now)
{
        const struct statement_key *best = NULL;

        for (size_t i = 0; i < s->n_keys; i++) {
                const struct statement_key *k = &s->keys[i];

                if (now >= k->nbf && now < k->exp && (!best || k->nbf > best->nbf))
                        best = k;
        }
        return best;
}
