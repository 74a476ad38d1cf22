/*
 * Documents: how a tenant, a connector, a roster, a token and an event stand in the bucket, and how they come from the
 * tables and go into them.
 *
 * Pure but for the tables. Invariants: a document is whole, so that one key is one decision; what it says never makes
 * this node forget that a token was used, a certificate revoked, or a roster of a higher number stored.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "certs/codec/json.h"
#include "queue/relay/store-internal.h"

/* One of a higher number can't be read. Raised where a node that goes by the former would do wrong; members may be
 * added without. */
#define DOCUMENT_VERSION 1
#define CERTIFICATES_MAX 256
#define JWK_MAX 512
#define PROOF_MAX 4096
#define ANSWER_MAX 16385 /* of an enrolment, with NUL */

/* ---- keys ---- */

void entity_key(const struct entity *e, char out[ENTITY_KEY_MAX])
{
        char hash[B64U_LEN(STORE_HASH_LEN) + 1];
        const char kind = (char)e->kind;

        switch (e->kind) {
        case ENTITY_TENANT:
                (void)snprintf(out, ENTITY_KEY_MAX, "%c.%s", kind, e->tenant);
                break;
        case ENTITY_ROSTER:
                (void)snprintf(out, ENTITY_KEY_MAX, "%c.%s.%s", kind, e->tenant, e->gen);
                break;
        case ENTITY_CONNECTOR:
        case ENTITY_EVENT:
                (void)snprintf(out, ENTITY_KEY_MAX, "%c.%s.%s.%s", kind, e->tenant, e->gen, e->id);
                break;
        case ENTITY_TOKEN:
                b64u_encode_to(hash, e->hash, sizeof(e->hash));
                (void)snprintf(out, ENTITY_KEY_MAX, "%c.%s", kind, hash);
                break;
        }
}

/* The next word of a key into out, of cap bytes; NULL: it is empty or too long. */
static const char *take_word(const char *key, char *out, size_t cap)
{
        const size_t n = strcspn(key, ".");

        if (n == 0 || n >= cap)
                return NULL;
        memcpy(out, key, n);
        out[n] = '\0';
        return key + n + (key[n] == '.');
}

bool entity_parse(struct entity *ret_e, const char *key)
{
        struct entity e = {.kind = ENTITY_TENANT};
        const char *rest = key[0] && key[1] == '.' ? key + 2 : NULL;

        if (!rest || !strchr("tcrke", key[0]))
                return false;
        e.kind = (enum entity_kind)key[0];
        if (e.kind == ENTITY_TOKEN) {
                if (b64u_decode_exact(e.hash, sizeof(e.hash), rest, strlen(rest)) < 0)
                        return false;
        } else {
                rest = take_word(rest, e.tenant, sizeof(e.tenant));
                if (rest && e.kind != ENTITY_TENANT)
                        rest = take_word(rest, e.gen, sizeof(e.gen));
                if (rest && (e.kind == ENTITY_CONNECTOR || e.kind == ENTITY_EVENT))
                        rest = take_word(rest, e.id, sizeof(e.id));
                if (!rest || *rest || !tenant_valid(e.tenant))
                        return false;
        }
        *ret_e = e;
        return true;
}

int store_gen(struct store *store, const char *tenant, char out[STORE_GEN_LEN + 1])
{
        struct sqlite3_stmt *st = db_query(store->db, Q_GEN, "t", tenant);
        const int r = db_step(st);

        out[0] = '\0';
        if (r == 1)
                db_text(st, 0, out, STORE_GEN_LEN + 1);
        if (st)
                db_reset(st);
        return r < 0 ? r : 0;
}

/* ---- from the tables ---- */

static void write_hash(struct json_writer *w, const char *key, const uint8_t *hash)
{
        char text[B64U_LEN(STORE_HASH_LEN) + 1];

        if (!hash)
                return;
        b64u_encode_to(text, hash, STORE_HASH_LEN);
        json_write_str(w, key, text);
}

/* A tenant that is not in the tables was removed. */
static int encode_removed(struct store *store, const struct entity *e, struct json_writer *w)
{
        char gen[REMOVED_WORD_MAX + 1];
        const int r = e->gen[0] ? 0 : store_removed_last(store, e->tenant, REMOVED_GENERATIONS, gen);

        if (r < 0) /* -ENOENT: there never was one */
                return r;
        json_write_str(w, "gen", e->gen[0] ? e->gen : gen);
        json_write_bool(w, "removed", true);
        return 0;
}

static int encode_tenant(struct store *store, const struct entity *e, struct json_writer *w)
{
        struct store_secret secrets[STORE_SECRETS_MAX];
        char gen[STORE_GEN_LEN + 1];
        struct store_tenant tenant;
        size_t n = 0;
        int r = store_removed_write(store, e->tenant, REMOVED_GENERATIONS, w);

        if (r == 0)
                r = store_tenant_get(store, e->tenant, &tenant);
        if (r == -ENOENT)
                return encode_removed(store, e, w);
        if (r == 0)
                r = store_gen(store, e->tenant, gen);
        if (r == 0)
                r = store_secrets(store, e->tenant, secrets, &n);
        if (r != 0) /* never above 0 */
                return r;
        json_write_str(w, "gen", gen);
        json_write_str(w, "pin", tenant.pin);
        json_write_int(w, "since", tenant.since);
        json_write_int(w, "changes", db_number(db_query(store->db, Q_TENANT_CHANGES, "t", e->tenant)));
        json_write_open(w, "secrets", '[');
        for (size_t i = 0; i < n; i++) {
                json_write_open(w, NULL, '{');
                json_write_int(w, "kind", (int64_t)secrets[i].kind);
                write_hash(w, "hash", secrets[i].hash);
                json_write_int(w, "since", secrets[i].since);
                json_write_close(w, '}');
        }
        json_write_close(w, ']');
        return store_removed_write(store, e->tenant, REMOVED_SECRETS, w);
}

static int encode_certificates(struct store *store, const struct entity *e, struct json_writer *w)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_CERTIFICATES_DOC, "tt", e->tenant, e->id);
        int r;

        json_write_open(w, "certificates", '[');
        while ((r = db_step(st)) == 1) {
                json_write_open(w, NULL, '{');
                json_write_str(w, "serial", db_str(st, 0, NULL));
                json_write_int(w, "not_after", db_int(st, 1));
                json_write_bool(w, "revoked", db_int(st, 2) != 0);
                json_write_close(w, '}');
        }
        json_write_close(w, ']');
        return r;
}

static int encode_connector(struct store *store, const struct entity *e, struct json_writer *w)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_CONNECTOR_DOC, "tt", e->tenant, e->id);
        const int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        json_write_str(w, "name", db_str(st, 0, NULL));
        json_write_int(w, "enrolled", db_int(st, 1));
        json_write_opt(w, "kid", db_str(st, 2, NULL));
        json_write_opt(w, "jwk", db_str(st, 3, NULL));
        json_write_opt(w, "proof", db_str(st, 4, NULL));
        json_write_int(w, "since", db_int(st, 5));
        json_write_int(w, "revocations", db_int(st, 6));
        if (!db_is_null(st, 7))
                json_write_int(w, "barred", db_int(st, 7));
        if (!db_is_null(st, 8)) {
                json_write_int(w, "quarantined", db_int(st, 8));
                json_write_str(w, "why", db_str(st, 9, NULL));
        }
        json_write_int(w, "quarantines", db_int(st, 10));
        db_reset(st);
        return encode_certificates(store, e, w);
}

static int encode_roster(struct store *store, const struct entity *e, struct json_writer *w)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_ROSTER_DOC, "t", e->tenant);
        const int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        json_write_int(w, "seq", db_int(st, 0));
        json_write_str(w, "jws", db_str(st, 1, NULL));
        json_write_int(w, "since", db_int(st, 2));
        db_reset(st);
        return 0;
}

static int encode_token(struct store *store, const struct entity *e, struct json_writer *w)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_TOKEN_DOC, "b", e->hash);
        const int r = db_step(st);
        char tenant[TENANT_MAX + 1], gen[STORE_GEN_LEN + 1];

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        db_text(st, 0, tenant, sizeof(tenant));
        json_write_str(w, "tenant", tenant);
        json_write_str(w, "name", db_str(st, 1, NULL));
        json_write_int(w, "expires", db_int(st, 2));
        json_write_bool(w, "used", db_int(st, 3) != 0);
        write_hash(w, "csr", db_blob(st, 4));
        json_write_int(w, "at", db_int(st, 5));
        json_write_opt(w, "certificate", db_str(st, 6, NULL));
        db_reset(st);
        const int code = store_gen(store, tenant, gen);
        json_write_str(w, "gen", gen);
        return code < 0 ? code : gen[0] ? 0 : -ENOENT; /* its tenant was removed meanwhile */
}

static int encode_event(struct store *store, const struct entity *e, struct json_writer *w)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_EVENT_DOC, "tt", e->tenant, e->id);
        const int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        json_write_int(w, "at", db_int(st, 0));
        json_write_str(w, "name", db_str(st, 1, NULL));
        json_write_opt(w, "id", db_str(st, 2, NULL));
        json_write_str(w, "text", db_str(st, 3, NULL));
        db_reset(st);
        return 0;
}

int store_doc_encode(struct store *store, const struct entity *e, struct buffer *out)
{
        struct json_writer w;
        int r = -EINVAL;

        json_write_begin(&w, out);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "v", DOCUMENT_VERSION);
        switch (e->kind) {
        case ENTITY_TENANT:
                r = encode_tenant(store, e, &w);
                break;
        case ENTITY_CONNECTOR:
                r = encode_connector(store, e, &w);
                break;
        case ENTITY_ROSTER:
                r = encode_roster(store, e, &w);
                break;
        case ENTITY_TOKEN:
                r = encode_token(store, e, &w);
                break;
        case ENTITY_EVENT:
                r = encode_event(store, e, &w);
                break;
        }
        json_write_close(&w, '}');
        const int code = json_write_end(&w);
        return r < 0 ? r : code;
}

/* ---- into the tables ---- */

#define RUN(store, ...) db_run((store)->db, db_query((store)->db, __VA_ARGS__))

/* Any moment that a clock may show. */
static int64_t read_time(struct json_reader *r, const char *key)
{
        return json_read_has(r, key) ? json_read_int(r, key, 0, INT64_C(1) << 40) : 0;
}

/*
 * What was removed stays so, whoever says it. Else those count that whoever changed the tenant later knows, and where
 * that is this node (of a document from before the last changes) the document's that were made after *ret_floor as
 * well. 1: the document lacks something.
 */
static int merge_secrets(struct store *store, const struct entity *e, struct json_reader *r, int64_t *ret_floor)
{
        const int64_t here = db_number(db_query(store->db, Q_TENANT_CHANGES, "t", e->tenant)),
                      there = json_read_has(r, "changes") ? json_read_int(r, "changes", 0, INT32_MAX) : here;
        int more = here < 0 ? -EIO : store_removed_read(store, e->tenant, REMOVED_SECRETS, r);
        int code = more < 0 ? more : RUN(store, Q_TENANT_CHANGES_PUT, "ti", e->tenant, there);

        if (code >= 0 && there >= here)
                code = RUN(store, Q_SECRETS_CLEAR, "t", e->tenant);
        else if (code >= 0 && (*ret_floor = store_removed_floor(store, e->tenant, REMOVED_SECRETS)) < 0)
                code = -EIO;
        return code < 0 ? code : more || there < here;
}

/* The whole list, before anything of it counts. */
static int read_secrets(struct json_reader *r, struct store_secret secrets[STORE_SECRETS_MAX], int64_t *kinds,
                        size_t *ret_n)
{
        struct json_reader list, secret;
        size_t n = 0;

        if (json_read_list(&list, r, "secrets", JSON_REQUIRED, 0, STORE_SECRETS_MAX))
                for (; json_read_next(&list) && json_read_object(&secret, &list, NULL, JSON_REQUIRED); n++) {
                        kinds[n] = json_read_int(&secret, "kind", 1, INT32_MAX); /* as store_secret_kind */
                        json_read_b64u(&secret, "hash", secrets[n].hash, STORE_HASH_LEN);
                        secrets[n].since = read_time(&secret, "since");
                }
        *ret_n = n;
        return json_read_result(r) < 0 ? -EBADMSG : 0;
}

static int apply_secrets(struct store *store, const struct entity *e, struct json_reader *r)
{
        struct store_secret secrets[STORE_SECRETS_MAX];
        int64_t kinds[STORE_SECRETS_MAX], floor = 0;
        size_t n;
        int code = read_secrets(r, secrets, kinds, &n);
        const int more = code < 0 ? code : merge_secrets(store, e, r, &floor);

        code = more;
        for (size_t i = 0; code >= 0 && i < n; i++)
                if (secrets[i].since > floor)
                        code = RUN(store, Q_SECRET_PUT, "tibi", e->tenant, kinds[i], secrets[i].hash, secrets[i].since);
        if (code >= 0)
                code = RUN(store, Q_SECRETS_DEAD, "t", e->tenant);
        return code < 0 ? code : more || code;
}

/* Whether the document's generation was removed, by what this node knows, or so long ago that it may have forgotten. */
static int is_dead(struct store *store, const struct entity *e, int64_t since)
{
        char here[STORE_GEN_LEN + 1];
        const int known = store_removed_has(store, e->tenant, REMOVED_GENERATIONS, e->gen),
                  code = store_gen(store, e->tenant, here);
        const int64_t floor = store_removed_floor(store, e->tenant, REMOVED_GENERATIONS);

        if (known < 0 || code < 0 || floor < 0)
                return -EIO;
        return known || (floor && since <= floor && strcmp(here, e->gen) != 0);
}

/* Whether that generation of the tenant was removed, and what follows for the one in the tables. dead: the document's.
 */
static int end_generation(struct store *store, const struct entity *e, const int dead)
{
        char here[STORE_GEN_LEN + 1];
        const int code = store_gen(store, e->tenant, here);
        const int here_dead = code < 0 ? code : store_removed_has(store, e->tenant, REMOVED_GENERATIONS, here);

        if (here_dead < 0 || !here[0] || !(here_dead || (!dead && strcmp(here, e->gen) != 0)))
                return here_dead < 0 ? here_dead : 0;
        return store_tenant_forget(store, e->tenant);
}

static int apply_tenant(struct store *store, struct entity *e, struct json_reader *r)
{
        char pin[KID_LEN + 1], here[STORE_GEN_LEN + 1];
        const bool removed = json_read_has(r, "removed") && json_read_bool(r, "removed");
        const int64_t since = read_time(r, "since");

        json_read_str(r, "gen", JSON_REQUIRED, e->gen, sizeof(e->gen));
        if (json_read_result(r) < 0)
                return -EBADMSG;
        const int more = store_removed_read(store, e->tenant, REMOVED_GENERATIONS, r);
        int code = more;
        if (code >= 0 && removed)
                code = store_removed_add(store, e->tenant, REMOVED_GENERATIONS, e->gen, 0);
        const int dead = code < 0 ? code : removed ? 1 : is_dead(store, e, since);
        code = dead < 0 ? dead : end_generation(store, e, dead);
        if (code >= 0)
                code = store_gen(store, e->tenant, here);
        if (code < 0 || dead) /* here: made again since, of which the document does not know */
                return code < 0 ? code : more || !removed || here[0];
        json_read_str(r, "pin", JSON_REQUIRED, pin, sizeof(pin));
        if (json_read_result(r) < 0)
                return -EBADMSG;
        code = RUN(store, Q_TENANT_PUT, "ttit", e->tenant, pin, since, e->gen);
        if (code >= 0)
                code = apply_secrets(store, e, r);
        return code < 0 ? code : more || code;
}

/* 1: one of them is revoked here and not in the document, or it lacks one: what is on no record can't be revoked. */
static int apply_certificates(struct store *store, const struct entity *e, struct json_reader *r)
{
        struct json_reader list;
        int64_t listed = 0;
        int stricter = 0, code = 0;

        if (!json_read_list(&list, r, "certificates", JSON_REQUIRED, 0, CERTIFICATES_MAX))
                return json_read_result(r);
        while (code >= 0 && json_read_next(&list)) {
                char serial[sizeof(((struct store_serial *)NULL)->text)];
                struct json_reader cert;

                if (!json_read_object(&cert, &list, NULL, JSON_REQUIRED))
                        break;
                json_read_str(&cert, "serial", JSON_REQUIRED, serial, sizeof(serial));
                const int64_t not_after = read_time(&cert, "not_after");
                const bool revoked = json_read_bool(&cert, "revoked");
                if (json_read_result(r) < 0)
                        break;
                listed++;
                code = RUN(store, Q_CERTIFICATE_PUT, "ttti", serial, e->tenant, e->id, not_after);
                if (code >= 0 && revoked)
                        code = RUN(store, Q_REVOKED_PUT, "ttti", serial, e->tenant, e->id, not_after);
                else if (code >= 0)
                        stricter |= db_number(db_query(store->db, Q_SERIAL_REVOKED, "t", serial)) > 0;
        }
        const int64_t here = db_number(db_query(store->db, Q_CERTIFICATE_COUNT, "tt", e->tenant, e->id));
        return code < 0 ? code : here < 0 ? -EIO : json_read_result(r) < 0 ? -EBADMSG : stricter || here > listed;
}

/* How often a connector was revoked or enrolled after that, and came into quarantine or out of it: who knows of more
 * decides, and of as many whoever is stricter. */
struct decisions {
        int64_t revocations, quarantines;
};

static int known_decisions(struct store *store, const struct entity *e, struct decisions *ret_known)
{
        ret_known->revocations = db_number(db_query(store->db, Q_REVOCATIONS, "tt", e->tenant, e->id));
        ret_known->quarantines = db_number(db_query(store->db, Q_QUARANTINES, "tt", e->tenant, e->id));
        return ret_known->revocations < 0 || ret_known->quarantines < 0 ? -EIO : 0;
}

/* It enrolled again: what it had until now and this node alone knows of stays worthless, as in store_connector_enrol.
 */
static int let_back(struct store *store, const struct entity *e)
{
        const int code = RUN(store, Q_REVOKE_BARRED, "tt", e->tenant, e->id);

        return code < 0 ? code : RUN(store, Q_UNBAR, "tt", e->tenant, e->id);
}

/* What was decided about the connector. 1: here something was of which the document does not know. */
static int apply_decisions(struct store *store, const struct entity *e, struct json_reader *r,
                           const struct decisions *known, const struct decisions *told, bool waits)
{
        char why[256];
        const int64_t barred = read_time(r, "barred"), quarantined = read_time(r, "quarantined");
        const bool revocations_count = told->revocations >= known->revocations,
                   quarantines_count = told->quarantines >= known->quarantines;
        int code = 0;

        json_read_cut(r, "why", why, sizeof(why));
        if (json_read_result(r) < 0)
                return -EBADMSG;
        if (revocations_count && barred)
                code = RUN(store, Q_BAR, "tti", e->tenant, e->id, barred);
        else if (revocations_count && !waits)
                code = let_back(store, e);
        if (code >= 0 && quarantines_count && quarantined)
                code = RUN(store, Q_QUARANTINE, "ttit", e->tenant, e->id, quarantined, why);
        else if (code >= 0 && quarantines_count && !waits)
                code = RUN(store, Q_RELEASE, "tt", e->tenant, e->id);
        return code < 0 ? code : !revocations_count || !quarantines_count;
}

static int apply_connector(struct store *store, const struct entity *e, struct json_reader *r, bool waits)
{
        char name[NAME_MAX_LEN + 1], kid[KID_LEN + 1], jwk[JWK_MAX], proof[PROOF_MAX];
        struct decisions known;
        int code = known_decisions(store, e, &known);
        const int64_t enrolled = read_time(r, "enrolled"), since = read_time(r, "since");
        const struct decisions told = {.revocations = json_read_int(r, "revocations", 0, INT32_MAX),
                                       .quarantines = json_read_has(r, "quarantines")
                                                              ? json_read_int(r, "quarantines", 0, INT32_MAX)
                                                              : known.quarantines};

        json_read_str(r, "name", JSON_REQUIRED, name, sizeof(name));
        json_read_str(r, "kid", JSON_OPTIONAL, kid, sizeof(kid));
        json_read_str(r, "jwk", JSON_OPTIONAL, jwk, sizeof(jwk));
        json_read_str(r, "proof", JSON_OPTIONAL, proof, sizeof(proof));
        if (code < 0 || json_read_result(r) < 0)
                return code < 0 ? code : -EBADMSG;
        code = RUN(store, Q_CONNECTOR_PUT, "tttitttiii", e->tenant, e->id, name, enrolled, kid, jwk, proof, since,
                   told.revocations, told.quarantines);
        const int more = code < 0 ? code : apply_decisions(store, e, r, &known, &told, waits);
        if (more < 0)
                return more;
        code = apply_certificates(store, e, r);
        return code < 0 ? code : code || more;
}

static int apply_roster(struct store *store, const struct entity *e, struct json_reader *r)
{
        char *jws = NULL;
        const int64_t seq = json_read_int(r, "seq", 0, INT64_MAX), since = read_time(r, "since"),
                      known = db_number(db_query(store->db, Q_ROSTER_SEQ, "t", e->tenant));

        json_read_text(r, "jws", JSON_REQUIRED, ROSTER_TEXT_MAX, &jws);
        int code = json_read_result(r);
        if (code == 0 && known < 0)
                code = -EIO;
        if (code == 0)
                code = RUN(store, Q_ROSTER_PUT, "titi", e->tenant, seq, jws, since);
        free(jws);
        return code < 0 ? code : known > seq;
}

/* A token's standing rises and never falls: not used, used by a request, that was answered, spoilt by a revocation. */
static int apply_token(struct store *store, struct entity *e, struct json_reader *r)
{
        char name[NAME_MAX_LEN + 1], gen[STORE_GEN_LEN + 1], *certificate = NULL;
        const bool used = json_read_bool(r, "used"), bound = json_read_has(r, "csr");
        const int64_t expires = read_time(r, "expires"), at = read_time(r, "at"),
                      known = db_number(db_query(store->db, Q_TOKEN_STANDING, "b", e->hash));
        uint8_t csr[STORE_HASH_LEN];

        json_read_str(r, "name", JSON_REQUIRED, name, sizeof(name));
        if (bound)
                json_read_b64u(r, "csr", csr, sizeof(csr));
        json_read_text(r, "certificate", JSON_OPTIONAL, ANSWER_MAX, &certificate);
        int code = json_read_result(r);
        if (code == 0 && known < 0)
                code = -EIO;
        if (code == 0)
                code = store_gen(store, e->tenant, gen);
        if (code == 0 && strcmp(gen, e->gen) != 0)
                code = -ESRCH;
        const int64_t told = !used ? 0 : !bound ? 3 : !certificate ? 1 : 2;
        if (code == 0 && told >= known)
                code = RUN(store, Q_TOKEN_PUT, "bttiibit", e->hash, e->tenant, name, expires, (int64_t)used,
                           bound ? csr : NULL, at, certificate ? certificate : "");
        free(certificate);
        return code < 0 ? code : known > told;
}

static int apply_event(struct store *store, const struct entity *e, struct json_reader *r)
{
        struct store_event event = {.at = read_time(r, "at")};

        json_read_str(r, "name", JSON_REQUIRED, event.name, sizeof(event.name));
        json_read_str(r, "id", JSON_OPTIONAL, event.id, sizeof(event.id));
        json_read_cut(r, "text", event.text, sizeof(event.text));
        if (json_read_result(r) < 0)
                return -EBADMSG;
        int code = RUN(store, Q_EVENT_DROP, "tt", e->tenant, e->id);
        if (code >= 0)
                code = RUN(store, Q_EVENT_ADD, "titttt", e->tenant, event.at, event.name, event.id, event.text, e->id);
        return code < 0 ? code : 0;
}

static int apply_kind(struct store *store, struct entity *e, struct json_reader *r, bool waits)
{
        switch (e->kind) {
        case ENTITY_TENANT:
                return apply_tenant(store, e, r);
        case ENTITY_CONNECTOR:
                return apply_connector(store, e, r, waits);
        case ENTITY_ROSTER:
                return apply_roster(store, e, r);
        case ENTITY_TOKEN:
                return apply_token(store, e, r);
        case ENTITY_EVENT:
                return apply_event(store, e, r);
        }
        return -EBADMSG;
}

int store_doc_apply(struct store *store, struct entity *e, const char *text, size_t n, bool waits)
{
        char gen[STORE_GEN_LEN + 1];
        struct json_reader r;
        struct error err;

        json_read_begin(&r, text, n, JSON_PLAIN, "the document", &err);
        if (json_read_int(&r, "v", 1, INT32_MAX) > DOCUMENT_VERSION)
                return -EPROTONOSUPPORT;
        if (json_read_result(&r) < 0)
                return -EBADMSG;
        if (e->kind == ENTITY_TOKEN) {
                json_read_str(&r, "tenant", JSON_REQUIRED, e->tenant, sizeof(e->tenant));
                json_read_str(&r, "gen", JSON_REQUIRED, e->gen, sizeof(e->gen));
        } else if (e->kind != ENTITY_TENANT) {
                const int code = store_gen(store, e->tenant, gen);

                if (code < 0 || strcmp(gen, e->gen) != 0)
                        return code < 0 ? code : -ESRCH;
        }
        return json_read_result(&r) < 0 ? -EBADMSG : apply_kind(store, e, &r, waits);
}
