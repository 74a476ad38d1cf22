/*
 * Makes the tenant that world.h describes. Keys are fresh in each run; times are fixed.
 */
#include "tests/queue/world.h"

#include "base/core/text.h"

int64_t world_time = 1800000000;

static void *not_null(void *p)
{
        assert_non_null(p);
        return p;
}

static char **one_name(const char *name, size_t *ret_n)
{
        char **list = not_null(calloc(2, sizeof(*list)));

        *ret_n = 0;
        if (name)
                list[(*ret_n)++] = not_null(strdup(name));
        return list;
}

static void drop_names(char **list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(list[i]);
        free(list);
}

void world_set_realm(struct world *w, size_t i, const char *realm, const char *suffix, const char *netbios)
{
        struct statement *s = w->connectors[i].statement;

        drop_names(s->realms, s->n_realms);
        drop_names(s->suffixes, s->n_suffixes);
        drop_names(s->netbios, s->n_netbios);
        s->realms = one_name(realm, &s->n_realms);
        s->suffixes = one_name(suffix, &s->n_suffixes);
        s->netbios = one_name(netbios, &s->n_netbios);
}

void world_put_domain(struct world *w, const char *name, const char *suffix, const char *netbios, const char *sid)
{
        const struct roster_domain *have = roster_domain(w->roster, name);
        struct roster_domain d = {.is_default = have ? have->is_default : w->roster->n_domains == 0};
        size_t n;
        struct error err = {""};
        char **names = one_name(name, &n);

        d.name = names[0];
        d.suffixes = one_name(suffix, &d.n_suffixes);
        d.netbios = one_name(netbios, &d.n_netbios);
        if (sid)
                memcpy(d.sid, sid, strlen(sid) + 1);
        assert_int_equal(roster_domain_put(w->roster, &d, &err), 0);
        free(names);
        roster_domain_clear(&d);
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW - 1000, 86400, &err), 0);
}

void world_speak(struct world *w, size_t i, const char *domain)
{
        struct error err = {""};

        assert_int_equal(roster_speak(w->roster, w->connectors[i].id, &domain, domain ? 1 : 0, &err), 0);
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW - 1000, 86400, &err), 0);
}

static void make_connector(struct world *w, size_t i)
{
        struct world_connector *c = &w->connectors[i];
        struct error err = {""};
        uint8_t boot[16];

        (void)snprintf(c->id, sizeof(c->id), "connector-000%zu-aaaa", i);
        (void)snprintf(c->name, sizeof(c->name), "dc-%zu", i);
        assert_int_equal(key_generate(&c->identity, &err), 0);
        assert_int_equal(key_generate(&c->enc, &err), 0);
        c->statement = not_null(calloc(1, sizeof(*c->statement)));
        assert_int_equal(text_set(&c->statement->iss, c->id), 0);
        assert_int_equal(text_set(&c->statement->tenant, TENANT), 0);
        memset(boot, (int)i, sizeof(boot));
        b64u_encode_to(c->statement->boot, boot, sizeof(boot));
        c->statement->seq = 1;
        c->statement->n_keys = 1;
        c->statement->keys[0] = (struct statement_key){key_ref(c->enc), NOW - 100, NOW + 86300};
        world_set_realm(w, i, "corp.example", "corp.com", "CORP");
        if (i < CONNECTORS - 1)
                assert_int_equal(roster_add(w->roster, false, c->id, c->name, c->identity, &err), 0);
}

struct world *world_new(void)
{
        struct world *w = not_null(calloc(1, sizeof(*w)));
        struct error err = {""};

        assert_int_equal(key_generate(&w->tenant, &err), 0);
        assert_int_equal(key_generate(&w->service, &err), 0);
        assert_int_equal(roster_new(&w->roster, TENANT, w->tenant), 0);
        assert_int_equal(roster_add(w->roster, true, SERVICE_ID, "portal", w->service, &err), 0);
        for (size_t i = 0; i < CONNECTORS; i++)
                make_connector(w, i);
        world_put_domain(w, "corp.example", "corp.com", "CORP", NULL);
        for (size_t i = 0; i + 1 < CONNECTORS; i++)
                world_speak(w, i, "corp.example");
        w->roster->seq = 0;
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW - 1000, 86400, &err), 0);
        return w;
}

struct world *world_free(struct world *w)
{
        for (size_t i = 0; i < CONNECTORS; i++) {
                key_free(w->connectors[i].identity);
                key_free(w->connectors[i].enc);
                statement_free(w->connectors[i].statement);
        }
        roster_free(w->roster);
        key_free(w->tenant);
        key_free(w->service);
        free(w);
        return NULL;
}

const char *world_publish(struct world *w, size_t i, int64_t now, int64_t life)
{
        struct world_connector *c = &w->connectors[i];
        struct error err = {""};

        assert_int_equal(statement_sign(c->statement, c->identity, now, life, &err), 0);
        return c->statement->text;
}

char *world_keys(struct world *w, const char *statements, const char *ready)
{
        size_t cap = strlen(w->roster->text) + strlen(statements) + strlen(ready) + 64;
        char *json = not_null(malloc(cap));

        (void)snprintf(json, cap, "{\"roster\":\"%s\",\"statements\":[%s],\"ready\":[%s]}", w->roster->text, statements,
                       ready);
        return json;
}

char *world_all_keys(struct world *w, size_t n)
{
        _cleanup_(buffer_free) struct buffer statements = BUFFER(1 << 20), ready = BUFFER(1 << 20);

        for (size_t i = 0; i < n; i++) {
                assert_int_equal(buffer_printf(&statements, "%s\"%s\"", i ? "," : "", world_publish(w, i, NOW, 3600)),
                                 0);
                assert_int_equal(buffer_printf(&ready, "%s{\"kid\":\"%s\",\"realms\":[\"corp.example\"]}", i ? "," : "",
                                               key_kid(w->connectors[i].identity)),
                                 0);
        }
        return world_keys(w, statements.len ? statements.data : "", ready.len ? ready.data : "");
}

struct directory *world_open(struct world *w, const char *json)
{
        struct directory *d = NULL;
        struct error err = {""};

        if (directory_open(&d, json, strlen(json),
                           &(const struct directory_rules){
                                   .pin = key_pin(w->tenant), .tenant = TENANT, .now = NOW, .min_seq = 0},
                           NULL, &err) < 0)
                fail_msg("%s", err.text);
        return d;
}

void world_seal_verdict(const struct world_connector *c, struct verdict_claims *v, const struct request_claims *claims,
                        size_t padded, struct buffer *out)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096), jws = BUFFER(8192), plain = BUFFER(8192);
        struct error err = {""};

        v->exp = v->iat + VERDICT_LIFE;
        memcpy(v->iss, c->id, strlen(c->id) + 1);
        memcpy(v->jti, claims->jti, sizeof(v->jti));
        assert_int_equal(verdict_claims_encode(v, &text, &err), 0);
        assert_int_equal(jws_sign(c->identity, JOSE_TYP_VERDICT, text.data, text.len, &jws, &err), 0);
        assert_int_equal(jose_pad(&plain, jws.data, jws.len, padded), 0);
        assert_int_equal(jwe_seal(JWE_VERDICT, claims->rk, plain.data, plain.len, out, &err), 0);
}
