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

static int sign(const struct announcement *a, const struct key *identity, int64_t now, int64_t life, bool with_domains,
                struct buffer *text, struct error *err)
{
        _cleanup_(buffer_free) struct buffer claims = BUFFER(ANNOUNCE_TEXT_MAX), jws = BUFFER(ANNOUNCE_TEXT_MAX);
        struct json_writer w;
        int r;

        json_write_begin(&w, &claims);
        json_write_open(&w, NULL, '{');
        json_write_str(&w, "tenant", a->tenant);
        json_write_str(&w, "id", a->id);
        json_write_int(&w, "iat", now);
        json_write_int(&w, "exp", now + life);
        json_write_int(&w, "roster", ROSTER_FORM);
        if (with_domains)
                roster_domains_write(&w, a->domains, a->n_domains);
        json_write_close(&w, '}');
        r = json_write_end(&w);
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
        if (a->n_domains && sign(a, identity, now, life, true, text, NULL) == 0)
                return 0;
        r = sign(a, identity, now, life, false, text, err);
        return r < 0 && err && !err->text[0] ? error_fail(err, r, WHAT ": out of memory") : r;
}

/* ---- verifying ---- */

static int read_claims(struct announcement *a, struct json_reader *r, int64_t now, struct error *err)
{
        static const char *const members[] = {"tenant", "id", "iat", "exp", NULL};
        static const char *const optional[] = {"roster", "domains", NULL};
        struct claim_times times = {.life_max = ANNOUNCE_LIFE_MAX, .skew = ROSTER_SKEW};
        char tenant[TENANT_MAX + 1], id[ID_MAX + 1];
        struct roster domains = {.n_domains = 0};
        int code;

        json_read_members(r, members, optional);
        claims_tenant(r, "tenant", tenant);
        claims_id(r, "id", id);
        /* who says nothing reads rosters of the first form */
        a->roster_form = json_read_has(r, "roster") ? (unsigned)json_read_int(r, "roster", 1, 255) : 1;
        code = json_read_has(r, "domains") ? roster_domains_read(&domains, r, err) : json_read_result(r);
        a->domains = domains.domains; /* also what there is of a list that was refused: it is freed */
        a->n_domains = domains.n_domains;
        if (code < 0)
                return code;
        claims_times(r, &times);
        a->iat = times.iat;
        a->exp = times.exp;
        if (text_set(&a->tenant, tenant) < 0 || text_set(&a->id, id) < 0)
                json_read_no_memory(r);
        if (json_read_result(r) < 0)
                return json_read_result(r);
        return now != ANNOUNCE_ANY_TIME ? claims_current(&times, WHAT, now, err) : 0;
}

int announcement_verify(struct announcement **ret_a, const char *text, size_t n, const struct key *key, int64_t now,
                        struct error *err)
{
        _cleanup_(announcement_freep) struct announcement *a = calloc(1, sizeof(*a));
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)};
        struct json_reader claims;
        int r;

        if (!a)
                return error_fail(err, -ENOMEM, WHAT ": out of memory");
        if (n > ANNOUNCE_TEXT_MAX)
                return error_fail(err, -EBADMSG, WHAT ": is longer than %d bytes", ANNOUNCE_TEXT_MAX);
        if ((r = jws_parse(&jws, text, n, JOSE_TYP_IDENTITY, false, err)) < 0)
                return r;
        if ((r = jws_verify(&jws, key, err)) < 0)
                return error_prefix(err, r, WHAT);
        json_read_begin(&claims, jws.payload.data, jws.payload.len, JSON_PLAIN, WHAT, err);
        if ((r = read_claims(a, &claims, now, err)) < 0)
                return r;
        *ret_a = steal(a);
        return 0;
}
