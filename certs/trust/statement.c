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
#include "certs/trust/roster-internal.h"
#include "base/core/text.h"

#define GUARD_WORD "on"
#define USE_ENC "enc"
#define ALG_ENC "ECDH-ES+A256KW"
#define USE_SIG "sig"
#define ALG_SIG "ES256"
#define WHAT "statement"
#define VERSIONS_MAX 8
#define REALM_MAX 255

struct statement *statement_ref(struct statement *s)
{
        s->others++;
        return s;
}

struct statement *statement_free(struct statement *s)
{
        if (!s || s->others-- > 0)
                return NULL;
        for (size_t i = 0; i < s->n_keys; i++)
                key_free(s->keys[i].key);
        for (size_t i = 0; i < s->n_sign; i++)
                key_free(s->sign[i].key);
        roster_names_free(s->realms, s->n_realms);
        roster_names_free(s->suffixes, s->n_suffixes);
        roster_names_free(s->netbios, s->n_netbios);
        free(s->iss);
        free(s->tenant);
        free(s->text);
        free(s);
        return NULL;
}

/* ---- signing ---- */

static void write_keys(struct json_writer *w, const char *name, const struct statement_key *keys, size_t n,
                       const char *use, const char *alg)
{
        json_write_open(w, name, '[');
        for (size_t i = 0; i < n; i++) {
                json_write_open(w, NULL, '{');
                key_write_jwk(w, keys[i].key);
                json_write_str(w, "kid", key_kid(keys[i].key));
                json_write_str(w, "use", use);
                json_write_str(w, "alg", alg);
                json_write_int(w, "nbf", keys[i].nbf);
                json_write_int(w, "exp", keys[i].exp);
                json_write_close(w, '}');
        }
        json_write_close(w, ']');
}

static bool names_valid(char *const *names, size_t n)
{
        if (n > STATEMENT_NAMES_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!roster_word_valid(names[i], REALM_MAX))
                        return false;
        return true;
}

static int check_signable(const struct statement *s, int64_t now, int64_t life, struct error *err)
{
        uint8_t boot[16];

        if (!s->iss || !id_valid(s->iss, strlen(s->iss)) || !tenant_valid(s->tenant) ||
            b64u_decode_exact(boot, sizeof(boot), s->boot, strlen(s->boot)) < 0)
                return error_fail(err, -EINVAL, WHAT ": needs an id, a tenant and a boot id");
        if (!names_valid(s->realms, s->n_realms) || !names_valid(s->suffixes, s->n_suffixes) ||
            !names_valid(s->netbios, s->n_netbios))
                return error_fail(err, -EINVAL,
                                  WHAT ": a realm, suffix or NetBIOS name is malformed, or there are more than %d",
                                  STATEMENT_NAMES_MAX);
        if (s->n_sign > STATEMENT_SIGN_MAX)
                return error_fail(err, -EINVAL, WHAT ": has at most %d signing keys", STATEMENT_SIGN_MAX);
        if (s->n_keys < 1 || s->n_keys > STATEMENT_KEYS_MAX)
                return error_fail(err, -EINVAL, WHAT ": has 1 to %d keys", STATEMENT_KEYS_MAX);
        if (life < 1 || life > STATEMENT_LIFE_MAX || now < 0)
                return error_fail(err, -EINVAL, WHAT ": lives 1 to %d s", STATEMENT_LIFE_MAX);
        return 0;
}

static int write_payload(const struct statement *s, int64_t now, int64_t life, struct buffer *out)
{
        struct json_writer w;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_open(&w, "v", '[');
        json_write_int(&w, NULL, 1);
        json_write_close(&w, ']');
        json_write_str(&w, "iss", s->iss);
        json_write_str(&w, "tenant", s->tenant);
        json_write_str(&w, "boot", s->boot);
        json_write_int(&w, "seq", (int64_t)s->seq);
        json_write_int(&w, "iat", now);
        json_write_int(&w, "exp", now + life);
        json_write_int(&w, "roster", ROSTER_FORM);
        json_write_strings(&w, "realms", s->realms, s->n_realms);
        json_write_strings(&w, "suffixes", s->suffixes, s->n_suffixes);
        json_write_strings(&w, "netbios", s->netbios, s->n_netbios);
        write_keys(&w, "keys", s->keys, s->n_keys, USE_ENC, ALG_ENC);
        if (s->n_sign)
                write_keys(&w, "sign", s->sign, s->n_sign, USE_SIG, ALG_SIG);
        if (s->pad == PADDED_LARGE)
                json_write_int(&w, "pad", s->pad);
        if (s->guard)
                json_write_str(&w, "guard", GUARD_WORD);
        json_write_close(&w, '}');
        return json_write_end(&w);
}

int statement_sign(struct statement *s, const struct key *identity, int64_t now, int64_t life, struct error *err)
{
        _cleanup_(buffer_free) struct buffer payload = BUFFER(STATEMENT_TEXT_MAX), text = BUFFER(STATEMENT_TEXT_MAX);
        int r = check_signable(s, now, life, err);

        if (r < 0)
                return r;
        r = write_payload(s, now, life, &payload);
        if (r == -EMSGSIZE)
                return error_fail(err, r, WHAT ": would be longer than %d bytes", STATEMENT_TEXT_MAX);
        if (r < 0)
                return error_fail(err, r, WHAT ": cannot be written: %s", strerror(-r));
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
static void read_versions(struct json_reader *r)
{
        struct json_reader list;
        bool speaks_1 = false;

        json_read_list(&list, r, "v", JSON_REQUIRED, 1, VERSIONS_MAX);
        while (json_read_next(&list))
                speaks_1 |= json_read_int(&list, NULL, 1, INT64_MAX) == 1;
        if (!speaks_1)
                json_read_fail(r, "v", "has no version 1, which the connector must speak");
}

/* The identity key only signs statements, and no key has two uses. */
static void check_use(struct json_reader *r, const struct statement *s, const struct statement_key *k)
{
        const char *kid = k->key ? key_kid(k->key) : "";

        if (strcmp(kid, s->kid) == 0)
                json_read_fail(r, "kid", "is the identity key's, which only signs");
        for (size_t j = 0; k->key && j < s->n_keys; j++)
                if (&s->keys[j] != k && s->keys[j].key && strcmp(kid, key_kid(s->keys[j].key)) == 0)
                        json_read_fail(r, "kid", "is in the statement twice");
        for (size_t j = 0; k->key && j < s->n_sign; j++)
                if (&s->sign[j] != k && s->sign[j].key && strcmp(kid, key_kid(s->sign[j].key)) == 0)
                        json_read_fail(r, "kid", "is in the statement twice");
}

/* The keys for encryption, or those that sign verdicts, which may be absent. A signing key ends with its statement at
 * the latest: what certifies it is never older than two hours. */
static void read_keys(struct statement *s, struct json_reader *r, bool sign)
{
        struct json_reader list, object;

        if (!json_read_list(&list, r, sign ? "sign" : "keys", sign ? JSON_OPTIONAL : JSON_REQUIRED, 1,
                            sign ? STATEMENT_SIGN_MAX : STATEMENT_KEYS_MAX))
                return;
        while (json_read_next(&list)) {
                struct statement_key *k = sign ? &s->sign[s->n_sign++] : &s->keys[s->n_keys++];

                json_read_object(&object, &list, NULL, JSON_REQUIRED);
                k->key = key_read_jwk(&object);
                claims_kid(&object, k->key);
                json_read_is(&object, "use", sign ? USE_SIG : USE_ENC);
                json_read_is(&object, "alg", sign ? ALG_SIG : ALG_ENC);
                k->nbf = json_read_int(&object, "nbf", 0, JOSE_INT_MAX);
                k->exp = json_read_int(&object, "exp", 0, JOSE_INT_MAX);
                json_read_end(&object, true);
                if (k->exp <= k->nbf)
                        json_read_fail(&object, "exp", "is not after nbf");
                check_use(&object, s, k);
                if (sign && (k->exp > s->exp || k->exp - k->nbf > STATEMENT_LIFE_MAX))
                        json_read_fail(&object, "exp", "is after the statement's, or more than two hours after nbf");
        }
}

/* Names, keys, and what may be left out. */
static int read_rest(struct statement *s, struct json_reader *r)
{
        roster_names_read(r, "realms", STATEMENT_NAMES_MAX, REALM_MAX, true, &s->realms, &s->n_realms);
        roster_names_read(r, "suffixes", STATEMENT_NAMES_MAX, REALM_MAX, true, &s->suffixes, &s->n_suffixes);
        roster_names_read(r, "netbios", STATEMENT_NAMES_MAX, REALM_MAX, true, &s->netbios, &s->n_netbios);
        read_keys(s, r, false);
        read_keys(s, r, true);
        /* what a connector adds to its verdicts needs the room of the larger one */
        s->pad = json_read_has(r, "pad") ? json_read_int(r, "pad", 0, JOSE_INT_MAX) : PADDED_SMALL;
        if (!padded_len_valid((size_t)s->pad))
                json_read_fail(r, "pad", "is not 2048 or 4096");
        s->guard = json_read_has(r, "guard");
        if (s->guard)
                json_read_is(r, "guard", GUARD_WORD);
        return json_read_result(r);
}

struct expected {
        const char *id;
        const char *tenant;
        int64_t now;
};

/* Whose it is, from when until when. */
static int read_claims(struct statement *s, struct json_reader *r, const struct expected *expected, struct error *err)
{
        static const char *const members[] = {"v",   "iss",    "tenant",   "boot",    "seq",  "iat",
                                              "exp", "realms", "suffixes", "netbios", "keys", NULL};
        static const char *const optional[] = {"sign", "pad", "guard", "roster", NULL};
        struct claim_times times = {.life_max = STATEMENT_LIFE_MAX, .skew = ROSTER_SKEW};
        char iss[ID_MAX + 1], tenant[TENANT_MAX + 1];

        read_versions(r);
        json_read_members(r, members, optional);
        json_read_b64u_text(r, "boot", s->boot, 16);
        s->seq = (uint64_t)json_read_int(r, "seq", 0, JOSE_INT_MAX);
        /* who says nothing reads rosters of the first form */
        s->roster_form = json_read_has(r, "roster") ? (unsigned)json_read_int(r, "roster", 1, 255) : 1;
        claims_times(r, &times);
        claims_id(r, "iss", iss);
        claims_tenant(r, "tenant", tenant);
        if (json_read_result(r) < 0)
                return json_read_result(r);
        if (strcmp(tenant, expected->tenant) != 0)
                return error_fail(err, -EXDEV, WHAT ": is of tenant %s, not %s", tenant, expected->tenant);
        if (strcmp(iss, expected->id) != 0)
                return error_fail(err, -EXDEV, WHAT ": is of connector %s, but its key belongs to %s", iss,
                                  expected->id);
        if (text_set(&s->iss, iss) < 0 || text_set(&s->tenant, tenant) < 0)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        s->iat = times.iat;
        s->exp = times.exp;
        return claims_current(&times, WHAT, expected->now, err);
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
        struct json_reader payload;
        int r;

        if (!s)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if ((r = parse_jws(&jws, text, n, err)) < 0)
                return r;
        if ((r = jws_verify(&jws, identity, err)) < 0)
                return error_prefix(err, r, WHAT);
        memcpy(s->kid, jws.kid, sizeof(s->kid));
        json_read_begin(&payload, jws.payload.data, jws.payload.len, JSON_PLAIN, WHAT, err);
        if ((r = read_claims(s, &payload, &expected, err)) < 0 || (r = read_rest(s, &payload)) < 0)
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
