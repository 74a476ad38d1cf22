/*
 * Making a request: which connectors, which claims, signed, padded and sealed.
 *
 * Only entries of a verified directory are ever sealed to. The password goes from its slot into claims in the
 * secure heap, from there into secret buffers, and out only as ciphertext.
 */
#include "queue/seal/sign-in.h"

#include <errno.h>
#include <math.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/jose/sealed.h"
#include "base/core/text.h"
#include "base/core/typed-name.h"

/* ---- choosing ---- */

/* Whose the name is, as the roster has it, and by which part of it. */
struct route {
        const struct roster_domain *domain; /* NULL: nobody's */
        enum { ROUTE_BARE = 0, ROUTE_SUFFIX, ROUTE_NETBIOS } by;
        char text[WIRE_USERNAME_MAX + 1];
};

/* Takes name@suffix and DOMAIN\name apart; a backslash decides before an @, as domain controllers have it. */
static void route_of(struct route *ret_route, const struct roster *roster, const char *name, size_t n)
{
        const char *backslash, *at;

        *ret_route = (struct route){0};
        if (n > WIRE_USERNAME_MAX)
                n = 0;
        typed_trim(&name, &n);
        backslash = n ? memchr(name, '\\', n) : NULL;
        at = n ? memrchr(name, '@', n) : NULL;
        if (backslash) {
                ret_route->by = ROUTE_NETBIOS;
                memcpy(ret_route->text, name, (size_t)(backslash - name));
                ret_route->domain = roster_domain_of_netbios(roster, ret_route->text);
        } else if (at) {
                ret_route->by = ROUTE_SUFFIX;
                memcpy(ret_route->text, at + 1, n - (size_t)(at - name) - 1);
                ret_route->domain = roster_domain_of_suffix(roster, ret_route->text);
        } else {
                ret_route->domain = roster_default_domain(roster);
        }
}

static bool listed(char *const *list, size_t n, const char *text)
{
        for (size_t i = 0; i < n; i++)
                if (typed_same(list[i], strlen(list[i]), text, strlen(text)))
                        return true;
        return false;
}

/* The roster lets the connector speak for the name's domain, and its statement says that it takes the name. That
 * narrows what the roster allows, and no more. */
static bool serves(const struct directory_entry *e, const struct route *route)
{
        const struct statement *s = e->statement;

        if (!route->domain || !roster_speaks_for(e->connector, route->domain->name) ||
            !listed(s->realms, s->n_realms, route->domain->name))
                return false;
        switch (route->by) {
        case ROUTE_BARE:
                return true;
        case ROUTE_SUFFIX:
                return listed(s->realms, s->n_realms, route->text) || listed(s->suffixes, s->n_suffixes, route->text);
        case ROUTE_NETBIOS:
                return listed(s->netbios, s->n_netbios, route->text);
        }
        return false;
}

/* The relay calls it ready in the name's domain; where that is nobody's, in any. */
static bool ready_for(const struct directory_entry *e, const struct route *route)
{
        return e->rank >= 0 && (route->domain ? listed(e->ready, e->n_ready, route->domain->name) : e->n_ready > 0);
}

/* The connector is asked for, or nobody is, and its statement is live at the moment of sealing: a cached directory
 * outlives what it was verified at. */
static bool wanted(const struct directory_entry *e, const struct sign_in_params *p)
{
        if (p->only_connector && strcmp(e->connector->id, p->only_connector) != 0 &&
            (!e->connector->name || strcmp(e->connector->name, p->only_connector) != 0))
                return false;
        return e->statement->exp > p->now && statement_key_at(e->statement, p->now);
}

static bool distrusted(const struct directory_entry *e, const struct sign_in_params *p)
{
        for (size_t i = 0; i < p->n_distrusted; i++)
                if (strcmp(key_kid(e->connector->key), p->distrusted[i]) == 0)
                        return true;
        return false;
}

static bool tried(const struct directory_entry *e, const struct sign_in_params *p)
{
        const struct statement_key *key = statement_key_at(e->statement, p->now);

        for (size_t i = 0; i < p->n_tried; i++)
                if (key && strcmp(key_kid(key->key), p->tried[i]) == 0)
                        return true;
        return false;
}

#define ORDER_CLASS_BITS 56
#define ORDER_SCALE 1e12
#define ORDER_OTHERS (UINT64_C(1) << 60) /* behind everybody without it */

/*
 * Smaller is better: the ready ones, of them those first that this sign-in was not sealed to before; then the others.
 * Within each at random: the relay's best first for everybody would leave all work to a few. Who has twice the weight
 * is drawn twice as often (each draws from an exponential distribution of that rate, and the smallest come first).
 */
static uint64_t order_of(const struct directory_entry *e, const struct route *route, const struct sign_in_params *p)
{
        const uint64_t class = ready_for(e, route) ? tried(e, p) : 2;
        const double weight = class < 2 ? e->weight : 1;
        uint32_t dice = 0;

        (void)RAND_bytes((unsigned char *)&dice, sizeof(dice)); /* without luck in the directory's order */
        return class << ORDER_CLASS_BITS | (uint64_t)(-log((dice + 1.0) / 4294967296.0) / weight * ORDER_SCALE);
}

struct choice {
        const struct roster_domain *domain; /* that the name belongs to; NULL with nobody */
        size_t n;
        bool nobody; /* the name is of no domain: the one there is says so, and gets no password */
        const struct directory_entry *entries[SIGN_IN_TO_MAX];
        uint64_t order[SIGN_IN_TO_MAX];
};

/* Keeps the best SIGN_IN_TO_MAX, in order. */
static void choice_add(struct choice *c, const struct directory_entry *e, uint64_t order)
{
        size_t at = c->n;

        while (at > 0 && c->order[at - 1] > order)
                at--;
        if (at == SIGN_IN_TO_MAX)
                return;
        if (c->n < SIGN_IN_TO_MAX)
                c->n++;
        memmove(&c->entries[at + 1], &c->entries[at], (c->n - at - 1) * sizeof(c->entries[0]));
        memmove(&c->order[at + 1], &c->order[at], (c->n - at - 1) * sizeof(c->order[0]));
        c->entries[at] = e;
        c->order[at] = order;
}

/*
 * The connector that answers and records a name of no domain, so that it ends as any other mistyped name: with an
 * id, a verdict and a line for the helpdesk. A ready one of the default domain before others. There is a live one.
 */
static void choose_clerk(struct choice *c, const struct directory *d, const struct sign_in_params *p)
{
        const struct roster_domain *usual = roster_default_domain(d->roster);
        const struct route any = {0};

        for (size_t i = 0; i < d->n; i++) {
                const struct directory_entry *e = &d->entries[i];
                const bool is_usual = usual && roster_speaks_for(e->connector, usual->name);
                uint64_t order = order_of(e, &any, p) | (is_usual ? 0 : ORDER_OTHERS);

                if (wanted(e, p) && !distrusted(e, p))
                        choice_add(c, e, order);
        }
        c->n = 1;
        c->nobody = true;
}

static int choose(struct choice *ret_c, const struct directory *d, const struct sign_in_params *p, struct error *err)
{
        struct choice c = {0};
        struct route route;
        size_t n_live = 0, n_distrusted = 0;

        if (p->now > d->roster->exp + ROSTER_SKEW)
                return error_fail(err, -ENOENT, "the roster has expired: sign it anew (postern tenant roster sign)");
        route_of(&route, d->roster, p->username, p->username_len);
        for (size_t i = 0; i < d->n; i++) {
                const struct directory_entry *e = &d->entries[i];

                if (!wanted(e, p))
                        continue;
                if (distrusted(e, p)) {
                        n_distrusted++;
                        continue;
                }
                n_live++;
                if (serves(e, &route))
                        choice_add(&c, e, order_of(e, &route, p));
        }
        if (n_live == 0 && n_distrusted)
                return error_fail(err, -ENOENT, "every connector with keys has believed a canary's random password");
        if (n_live == 0 && p->only_connector)
                return error_fail(err, -ENOENT, "connector %s has published no keys", p->only_connector);
        if (n_live == 0)
                return error_fail(err, -ENOENT, "no connector has published keys");
        if (!route.domain)
                choose_clerk(&c, d, p);
        if (c.n == 0)
                return error_fail(err, -ENOENT,
                                  "no connector serves %s of domain %s: its connectors are gone, or may not",
                                  route.text, route.domain->name);
        c.domain = route.domain;
        *ret_c = c;
        return 0;
}

/* Whom `to` names: those that it is sealed to; of a disguised request those that a sign-in would go to, and that one.
 */
static void choose_named(struct choice *named, const struct choice *sealed, const struct directory *d,
                         const struct sign_in_params *p)
{
        struct sign_in_params as_usual = *p;
        struct error err;
        uint8_t at = 0;

        as_usual.only_connector = NULL;
        *named = *sealed;
        if (!p->disguised || sealed->n != 1 || choose(named, d, &as_usual, &err) < 0)
                return;
        for (size_t i = 0; i < named->n; i++)
                if (named->entries[i] == sealed->entries[0])
                        return;
        /* anywhere among them, as in a sign-in: the last place would tell */
        (void)RAND_bytes(&at, 1);
        if (named->n < SIGN_IN_TO_MAX)
                named->entries[named->n++] = sealed->entries[0];
        at = (uint8_t)(at % named->n);
        named->entries[named->n - 1] = named->entries[at];
        named->entries[at] = sealed->entries[0];
}

bool sign_in_names_another(const struct directory *d, const struct sign_in_params *p)
{
        struct choice c = {0};
        struct error err;
        struct route route;

        if (choose(&c, d, p, &err) < 0 || c.n == 0)
                return false;
        route_of(&route, d->roster, p->username, p->username_len);
        return ready_for(c.entries[0], &route) && !tried(c.entries[0], p);
}

/* ---- making ---- */

static void copy_text(char *out, size_t cap, const char *text)
{
        if (text)
                wire_text_cut(out, cap, text, strlen(text));
}

static int fill_claims(struct request_claims *c, const struct sign_in *s, const struct choice *choice,
                       const struct sign_in_params *p, struct error *err)
{
        size_t password_len = p->password ? secret_len(p->password) : 0;
        size_t new_len = p->new_password ? secret_len(p->new_password) : 0;
        bool told = !choice->nobody; /* a password is nobody's business who cannot check it */

        if (p->username_len > WIRE_USERNAME_MAX || password_len > WIRE_PASSWORD_MAX || new_len > WIRE_PASSWORD_MAX)
                return error_fail(err, -EMSGSIZE, "the name is over %d bytes or a password over %d", WIRE_USERNAME_MAX,
                                  WIRE_PASSWORD_MAX);
        memcpy(c->iss, s->service_id, sizeof(c->iss));
        memcpy(c->aud, s->tenant, sizeof(c->aud));
        memcpy(c->jti, s->id, sizeof(c->jti));
        c->iat = p->now;
        c->exp = p->now + REQUEST_LIFE_MAX;
        for (c->n_to = 0; c->n_to < choice->n; c->n_to++)
                memcpy(c->to[c->n_to], key_kid(choice->entries[c->n_to]->connector->key), KID_LEN + 1);
        memcpy(c->username, p->username, p->username_len);
        c->username_len = p->username_len;
        if (p->password && told)
                memcpy(c->password, secret_text(p->password), password_len);
        c->password_len = told ? password_len : 0;
        if (p->change_password)
                memcpy(c->op, OP_CHANGE_PASSWORD, sizeof(OP_CHANGE_PASSWORD));
        if (p->new_password && told)
                memcpy(c->new_password, secret_text(p->new_password), new_len);
        c->new_password_len = told ? new_len : 0;
        memcpy(c->rk, s->rk, sizeof(c->rk));
        copy_text(c->client_ip, sizeof(c->client_ip), p->client_ip);
        copy_text(c->client_agent, sizeof(c->client_agent), p->client_agent);
        copy_text(c->client_app, sizeof(c->client_app), p->client_app);
        return 0;
}

/*
 * The class of padding: by operation and by what the connectors announce, never by what was typed, but where that does
 * not fit the smaller one.
 */
static size_t class_of(const struct choice *choice, const struct request_claims *c, size_t n)
{
        if (strcmp(c->op, OP_CHANGE_PASSWORD) == 0 || n > PADDED_CLAIMS_MAX(PADDED_SMALL))
                return PADDED_LARGE;
        for (size_t i = 0; i < choice->n; i++)
                if (choice->entries[i]->statement->pad == PADDED_LARGE)
                        return PADDED_LARGE;
        return PADDED_SMALL;
}

/* Claims -> JWS (whose hash goes into s->req) -> padded plaintext. */
static int sign_claims(struct sign_in *s, const struct choice *choice, const struct request_claims *c,
                       const struct key *service_key, struct buffer *plain, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(REQUEST_CLAIMS_MAX);
        _cleanup_(buffer_free) struct buffer jws = BUFFER_SECRET(PADDED_LARGE);
        int r;

        r = request_claims_encode(c, &text, err);
        if (r < 0)
                return r;
        r = jws_sign(service_key, JOSE_TYP_REQUEST, text.data, text.len, &jws, err);
        if (r < 0)
                return r;
        request_hash(jws.data, jws.len, s->req);
        s->padded = class_of(choice, c, text.len);
        r = jose_pad(plain, jws.data, jws.len, s->padded);
        return r < 0 ? error_fail(err, r, "the request cannot be padded") : 0;
}

static int seal(struct sign_in *s, const struct choice *choice, const struct buffer *plain, int64_t now,
                struct error *err)
{
        struct key *to[SIGN_IN_TO_MAX];

        for (size_t i = 0; i < choice->n; i++)
                to[i] = statement_key_at(choice->entries[i]->statement, now)->key;
        return sealed_seal(to, choice->n, plain, &s->body, err);
}

int sign_in_retry_id(char out[ID_MAX + 1], const char *first)
{
        const int n = snprintf(out, ID_MAX + 1, "%s" ID_SECOND, first);

        return n > 0 && n <= ID_MAX && id_valid(out, (size_t)n) ? 0 : -EINVAL;
}

static int begin(struct sign_in *s, const struct directory *d, const struct sign_in_params *p, struct error *err)
{
        int r;

        if (!p->service_key || !key_has_private(p->service_key) || !p->service_id ||
            !id_valid(p->service_id, strlen(p->service_id)) || !p->username)
                return error_fail(err, -EINVAL, "a service id, its private key and a name are needed");
        s->body = BUFFER(SEALED_MAX);
        if (p->id && !id_valid(p->id, strlen(p->id)))
                return error_fail(err, -EINVAL, "the request's id is none");
        if (p->id)
                wire_text_cut(s->id, sizeof(s->id), p->id, strlen(p->id));
        r = p->id ? 0 : id_generate(s->id);
        if (r < 0 || RAND_priv_bytes(s->rk, sizeof(s->rk)) != 1)
                return error_fail(err, r < 0 ? r : -EIO, "no random bytes");
        wire_text_cut(s->service_id, sizeof(s->service_id), p->service_id, strlen(p->service_id));
        wire_text_cut(s->tenant, sizeof(s->tenant), d->roster->tenant, strlen(d->roster->tenant));
        return 0;
}

static void take_signers(struct sign_in_to *to, const struct statement *statement)
{
        for (to->n_sign = 0; to->n_sign < statement->n_sign; to->n_sign++) {
                to->sign[to->n_sign] = statement->sign[to->n_sign];
                to->sign[to->n_sign].key = key_ref(statement->sign[to->n_sign].key);
        }
}

/* What the verdict's user is held against. */
static void take_domain(struct sign_in *s, const struct roster *roster, const struct roster_domain *domain)
{
        (void)snprintf(s->domain, sizeof(s->domain), "%s", domain->name);
        memcpy(s->domain_sid, domain->sid, sizeof(s->domain_sid));
        for (size_t i = 0; i < roster->n_domains; i++)
                if (roster->domains[i].sid[0] && &roster->domains[i] != domain)
                        memcpy(s->other_sids[s->n_other_sids++], roster->domains[i].sid, sizeof(s->other_sids[0]));
}

static int make(struct sign_in *s, const struct directory *d, const struct sign_in_params *p,
                struct request_claims *claims, struct error *err)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 1);
        struct choice choice = {0}, named;
        int r;

        r = begin(s, d, p, err);
        if (r < 0)
                return r;
        r = choose(&choice, d, p, err);
        if (r < 0)
                return r;
        s->nobody = choice.nobody;
        if (choice.domain)
                take_domain(s, d->roster, choice.domain);
        choose_named(&named, &choice, d, p);
        r = fill_claims(claims, s, &named, p, err);
        if (r < 0)
                return r;
        r = sign_claims(s, &named, claims, p->service_key, &plain, err);
        if (r < 0)
                return r;
        for (s->n_to = 0; s->n_to < choice.n; s->n_to++) {
                const struct roster_member *connector = choice.entries[s->n_to]->connector;

                wire_text_cut(s->to[s->n_to].id, sizeof(s->to[0].id), connector->id, strlen(connector->id));
                memcpy(s->to[s->n_to].sealed_to,
                       key_kid(statement_key_at(choice.entries[s->n_to]->statement, p->now)->key), KID_LEN + 1);
                s->to[s->n_to].identity = key_ref(connector->key);
                take_signers(&s->to[s->n_to], choice.entries[s->n_to]->statement);
        }
        return seal(s, &choice, &plain, p->now, err);
}

int sign_in_make(struct sign_in *ret_s, const struct directory *d, const struct sign_in_params *p, struct error *err)
{
        struct request_claims *claims = OPENSSL_secure_zalloc(sizeof(*claims));
        struct sign_in s = {0};
        int r;

        if (!claims)
                return error_fail(err, -ENOMEM, "no room in the secure heap");
        r = make(&s, d, p, claims, err);
        OPENSSL_secure_clear_free(claims, sizeof(*claims));
        if (r < 0)
                sign_in_clear(&s);
        else
                *ret_s = s;
        wipe(s.rk, sizeof(s.rk));
        return r;
}

void sign_in_clear(struct sign_in *s)
{
        for (struct sign_in_to *to = s->to; to < s->to + s->n_to; to++) {
                for (size_t i = 0; i < to->n_sign; i++)
                        key_free(to->sign[i].key);
                key_free(to->identity);
        }
        buffer_free(&s->body);
        wipe(s, sizeof(*s));
}
