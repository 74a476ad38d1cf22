/*
 * Making and reading announcements of identities.
 *
 * Invariant: a struct announcement from announcement_verify was signed by the key that the caller gave, and its
 * domains have the form of a roster's: no name, suffix, NetBIOS name or SID leads to two of them.
 */
#include "certs/trust/announce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/claims.h"
#include "certs/trust/roster-internal.h"
#include "base/core/text.h"

#define WHAT "announcement"

struct announcement *announcement_free(struct announcement *a)
{
        if (!a)
                return NULL;
        for (size_t i = 0; i < a->n_domains; i++)
                roster_domain_clear(&a->domains[i]);
        free(a->domains);
        free(a->tenant);
        free(a->id);
        free(a);
        return NULL;
}

/* ---- signing ---- */

static json_t *claims_json(const struct announcement *a, int64_t now, int64_t life, bool with_domains)
{
        const struct roster domains = {.domains = a->domains, .n_domains = a->n_domains};

        return json_pack("{s:s, s:s, s:I, s:I, s:i, s:o*}", "tenant", a->tenant, "id", a->id, "iat", (json_int_t)now,
                         "exp", (json_int_t)(now + life), "roster", ROSTER_FORM, "domains",
                         with_domains ? roster_domains_json(&domains) : NULL);
}

static int sign(const struct key *identity, json_t *json, struct buffer *text, struct error *err)
{
        _cleanup_(buffer_free) struct buffer claims = BUFFER(ANNOUNCE_TEXT_MAX), jws = BUFFER(ANNOUNCE_TEXT_MAX);
        int r = json ? jose_json_text(json, &claims) : -ENOMEM;

        json_decref(json);
        if (r == 0)
                r = jws_sign(identity, JOSE_TYP_IDENTITY, claims.data, claims.len, &jws, err);
        return r < 0 ? r : buffer_append(text, jws.data, jws.len);
}

int announcement_sign(const struct announcement *a, const struct key *identity, int64_t now, int64_t life,
                      struct buffer *text, struct error *err)
{
        int r;

        if (life < 1 || life > ANNOUNCE_LIFE_MAX)
                return error_fail(err, -EINVAL, WHAT ": lives 1 to %d s", ANNOUNCE_LIFE_MAX);
        if (a->n_domains && sign(identity, claims_json(a, now, life, true), text, NULL) == 0)
                return 0;
        r = sign(identity, claims_json(a, now, life, false), text, err);
        return r < 0 && err && !err->text[0] ? error_fail(err, r, WHAT ": out of memory") : r;
}

/* ---- verifying ---- */

static int parse_domains(struct announcement *a, const json_t *claims, struct error *err)
{
        struct roster domains = {.n_domains = 0};
        int r;

        if (!json_object_get(claims, "domains"))
                return 0;
        r = roster_domains_parse(&domains, claims, err);
        a->domains = domains.domains; /* also what there is of a list that was refused: it is freed */
        a->n_domains = domains.n_domains;
        return r < 0 ? error_prefix(err, r, WHAT) : 0;
}

static int parse_times(struct announcement *a, const json_t *claims, int64_t now, struct error *err)
{
        struct claim_times times = {.life_max = ANNOUNCE_LIFE_MAX, .skew = ROSTER_SKEW};
        int r = claims_times(claims, WHAT, &times, err);

        if (r == 0 && now != ANNOUNCE_ANY_TIME)
                r = claims_current(&times, WHAT, now, err);
        a->iat = times.iat;
        a->exp = times.exp;
        return r;
}

static int parse_claims(struct announcement *a, const json_t *claims, int64_t now, struct error *err)
{
        static const char *const members[] = {"tenant", "id", "iat", "exp", NULL};
        static const char *const optional[] = {"roster", "domains", NULL};
        const char *tenant, *id;
        int64_t form = 1; /* who says nothing reads rosters of the first form */
        int r;

        if ((r = jose_json_members(claims, WHAT, members, optional, err)) < 0 ||
            (r = jose_json_str(claims, WHAT, "tenant", 1, TENANT_MAX, &tenant, err)) < 0 ||
            (r = jose_json_str(claims, WHAT, "id", 16, 64, &id, err)) < 0 ||
            (json_object_get(claims, "roster") && (r = jose_json_int(claims, WHAT, "roster", 1, 255, &form, err)) < 0))
                return r;
        if (!id_valid(id, strlen(id)) || !tenant_valid(tenant))
                return error_fail(err, -EBADMSG,
                                  WHAT ": member \"id\" is not an id, or \"tenant\" not a tenant's name");
        a->roster_form = (unsigned)form;
        if (text_set(&a->tenant, tenant) < 0 || text_set(&a->id, id) < 0)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        r = parse_domains(a, claims, err);
        return r < 0 ? r : parse_times(a, claims, now, err);
}

int announcement_verify(struct announcement **ret_a, const char *text, size_t n, const struct key *key, int64_t now,
                        struct error *err)
{
        _cleanup_(announcement_freep) struct announcement *a = calloc(1, sizeof(*a));
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
        _cleanup_(json_freep) json_t *claims = NULL;
        int r;

        if (!a)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if (n > ANNOUNCE_TEXT_MAX)
                return error_fail(err, -EBADMSG, WHAT ": is longer than %d bytes", ANNOUNCE_TEXT_MAX);
        if ((r = jws_parse(&jws, text, n, JOSE_TYP_IDENTITY, false, err)) < 0)
                return r;
        if ((r = jws_verify(&jws, key, err)) < 0)
                return error_prefix(err, r, WHAT);
        if ((r = jose_json_object(&claims, jws.payload.data, jws.payload.len, WHAT, err)) < 0 ||
            (r = parse_claims(a, claims, now, err)) < 0)
                return r;
        *ret_a = steal(a);
        return 0;
}
