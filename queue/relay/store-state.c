/*
 * The relay's database: connectors with their identities and certificates, rosters, metadata of sign-ins.
 *
 * Invariants: a stored roster is replaced only by one of a higher sequence number; a sign-in's row tells who
 * had it and when, never what came of it. Whoever calls has verified rosters and proofs; nothing is judged
 * here.
 */
#include <errno.h>
#include <string.h>

#include "queue/relay/store-internal.h"

/* ---- connectors ---- */

/* What a barred connector was given until now, a renewal in the moment of the revocation too, stays worthless. */
static int let_back(struct store *store, const char *tenant, const char *id)
{
        int r = db_run(store->db, db_query(store->db, Q_REVOKE_BARRED, "tt", tenant, id));

        if (r >= 0)
                r = db_run(store->db, db_query(store->db, Q_UNBAR, "tt", tenant, id));
        return r > 0 ? db_run(store->db, db_query(store->db, Q_COUNT_REVOCATION, "tt", tenant, id)) : r;
}

int store_connector_enrol(struct store *store, const char *tenant, const char *id, const char *name, int64_t now)
{
        struct write w = store_write_of(ENTITY_CONNECTOR, tenant, id);
        int r;

        while (store_write_begin(store, &w, &r)) {
                r = db_run(store->db, db_query(store->db, Q_ENROL, "ttti", tenant, id, name, now));
                r = store_write_end(store, &w, r > 0 ? let_back(store, tenant, id) : r == 0 ? -EEXIST : r);
        }
        return r < 0 ? r : 0;
}

int store_certificate_add(struct store *store, const char *tenant, const char *id, const char *serial,
                          int64_t not_after)
{
        struct write w = store_write_of(ENTITY_CONNECTOR, tenant, id);
        int r;

        while (store_write_begin(store, &w, &r)) {
                r = db_run(store->db, db_query(store->db, Q_CERTIFICATE, "ttti", serial, tenant, id, not_after));
                r = store_write_end(store, &w, r);
        }
        return r < 0 ? r : 0;
}

static void read_connector(struct sqlite3_stmt *st, struct store_connector *c)
{
        *c = (struct store_connector){.id = ""};
        db_text(st, 0, c->id, sizeof(c->id));
        db_text(st, 1, c->name, sizeof(c->name));
        db_text(st, 2, c->kid, sizeof(c->kid));
        c->enrolled = db_int(st, 3);
        c->since = db_int(st, 4);
}

int store_connector_get(struct store *store, const char *tenant, const char *id, struct store_connector *ret_connector)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_CONNECTOR, "tt", tenant, id);
        int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        read_connector(st, ret_connector);
        db_reset(st);
        return 0;
}

static int put_identity(struct store *store, const char *tenant, const struct store_connector *c)
{
        int64_t n = db_number(db_query(store->db, Q_IDENTITY_COUNT, "tt", tenant, c->id));

        if (n < 0)
                return (int)n;
        if (n >= STORE_PENDING_MAX + ROSTER_MEMBERS_MAX)
                return -ENOSPC;
        int r = db_run(store->db, db_query(store->db, Q_IDENTITY_PUT, "tttitt", c->kid, c->jwk, c->proof, c->since,
                                           tenant, c->id));
        return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_identity_put(struct store *store, const char *tenant, const struct store_connector *c)
{
        struct write w = store_write_of(ENTITY_CONNECTOR, tenant, c->id);
        int r;

        while (store_write_begin(store, &w, &r))
                r = store_write_end(store, &w, put_identity(store, tenant, c));
        return r;
}

int store_identities(struct store *store, const char *tenant, store_connector_fn *fn, void *arg)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_IDENTITIES, "t", tenant);
        struct store_connector c;
        char jwk[512], proof[4096];
        int r;

        while ((r = db_step(st)) == 1) {
                read_connector(st, &c);
                db_text(st, 5, jwk, sizeof(jwk));
                db_text(st, 6, proof, sizeof(proof));
                c.jwk = jwk;
                c.proof = proof;
                fn(arg, &c);
        }
        return r;
}

/* ---- rosters ---- */

int store_roster_put(struct store *store, const char *tenant, uint64_t seq, const char *jws, int64_t now)
{
        struct write w = store_write_of(ENTITY_ROSTER, tenant, NULL);
        int r;

        while (store_write_begin(store, &w, &r)) {
                const int n =
                        db_run(store->db, db_query(store->db, Q_ROSTER_PUT, "titi", tenant, (int64_t)seq, jws, now));
                r = store_write_end(store, &w, n < 0 ? n : n == 0 ? -ESTALE : 0);
        }
        return r;
}

int store_has_roster(struct store *store, const char *tenant)
{
        return (int)db_number(db_query(store->db, Q_ROSTER_COUNT, "t", tenant));
}

int store_roster_get(struct store *store, const char *tenant, struct buffer *jws)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_ROSTER_GET, "t", tenant);
        int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        size_t n;
        const char *text = db_str(st, 0, &n);
        r = buffer_append(jws, text, n);
        db_reset(st);
        return r;
}

/* ---- sign-ins ---- */

static int put_row(struct store *store, const char *tenant, const struct store_sign_in *row)
{
        struct sqlite3_stmt *st =
                db_query(store->db, Q_SIGN_IN_PUT, "ttitttiiit", tenant, row->id, row->at, row->connector, row->state,
                         row->problem, row->handed, row->received, row->answered, row->reasons);
        int r = db_run(store->db, st);

        return r < 0 ? r : 0;
}

int store_sign_ins_put(struct store *store, const char *const *tenants, const struct store_sign_in *rows, size_t n)
{
        int r = db_begin(store->db);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n && r == 0; i++)
                r = put_row(store, tenants[i], &rows[i]);
        return db_end(store->db, r);
}

/* Everything but the id. */
static void read_sign_in(struct sqlite3_stmt *st, struct store_sign_in *row)
{
        *row = (struct store_sign_in){.at = db_int(st, 0)};
        db_text(st, 1, row->connector, sizeof(row->connector));
        db_text(st, 2, row->state, sizeof(row->state));
        db_text(st, 3, row->problem, sizeof(row->problem));
        row->handed = db_int(st, 4);
        row->received = db_int(st, 5);
        row->answered = db_int(st, 6);
        db_text(st, 7, row->reasons, sizeof(row->reasons));
}

int store_sign_in_get(struct store *store, const char *tenant, const char *id, struct store_sign_in *ret_row)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_SIGN_IN_GET, "tt", tenant, id);
        int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        read_sign_in(st, ret_row);
        memcpy(ret_row->id, id, strnlen(id, ID_MAX));
        db_reset(st);
        return 0;
}

int store_sign_ins_find(struct store *store, const char *tenant, const char *beginning,
                        struct store_sign_in ret_rows[STORE_FOUND_MAX])
{
        struct sqlite3_stmt *st =
                db_query(store->db, Q_SIGN_INS_FIND, "tti", tenant, beginning, (int64_t)STORE_FOUND_MAX);
        int r, n = 0;

        while ((r = db_step(st)) == 1 && n < STORE_FOUND_MAX) {
                read_sign_in(st, &ret_rows[n]);
                db_text(st, 8, ret_rows[n].id, sizeof(ret_rows[n].id));
                n++;
        }
        return r < 0 ? r : n;
}

/* What is purged from the tables is erased from the bucket, too. Within the purge's transaction. */
static int erase_old(struct store *store, int64_t before)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_EVENTS_OLD, "i", before);
        struct entity e = {.kind = ENTITY_EVENT};
        int r = store_erase_removed(store), code;

        while (r == 0 && (code = db_step(st)) != 0) {
                db_text(st, 0, e.tenant, sizeof(e.tenant));
                db_text(st, 1, e.id, sizeof(e.id));
                r = code < 0 ? code : store_gen(store, e.tenant, e.gen);
                if (r == 0 && e.gen[0])
                        r = store_erase(store, &e);
        }
        return r < 0 ? r : store_each_token(store, db_query(store->db, Q_TOKENS_OLD, "i", before), store_erase);
}

int store_purge(struct store *store, int64_t now)
{
        const struct {
                enum query query;
                int64_t before;
        } terms[] = {{Q_PURGE_SIGN_INS, now - STORE_SIGN_IN_LIFE},
                     {Q_PURGE_TOKENS, now - STORE_SIGN_IN_LIFE},
                     {Q_PURGE_IDENTITIES, now - STORE_PENDING_LIFE},
                     {Q_PURGE_CERTIFICATES, now},
                     {Q_PURGE_REVOKED, now},
                     {Q_PURGE_EVENTS, now - STORE_SIGN_IN_LIFE}};
        int r = db_begin(store->db);

        if (r < 0)
                return r;
        r = erase_old(store, now - STORE_SIGN_IN_LIFE);
        for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]) && r >= 0; i++)
                r = db_run(store->db, db_query(store->db, terms[i].query, "i", terms[i].before));
        if (r >= 0)
                r = db_run(store->db, db_query(store->db, Q_CHANGED_PURGE, ""));
        return db_end(store->db, r < 0 ? r : 0);
}
