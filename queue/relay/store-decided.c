/*
 * The relay's database: revoked certificates, connectors in quarantine, and the events that an admin reads.
 *
 * A revocation stays as long as the certificate would have lived. Nothing is judged here.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/core/text.h"
#include "queue/relay/store-internal.h"

int store_connectors(struct store *store, const char *tenant, store_listed_fn *fn, void *arg)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_CONNECTORS, "t", tenant);
        struct store_listed c;
        int r;

        while ((r = db_step(st)) == 1) {
                c = (struct store_listed){
                        .certificates = db_int(st, 5), .not_after = db_int(st, 6), .revoked = db_int(st, 8) != 0};
                db_text(st, 0, c.connector.id, sizeof(c.connector.id));
                db_text(st, 1, c.connector.name, sizeof(c.connector.name));
                db_text(st, 2, c.connector.kid, sizeof(c.connector.kid));
                c.connector.enrolled = db_int(st, 3);
                c.connector.since = db_int(st, 4);
                db_text(st, 7, c.quarantine, sizeof(c.quarantine));
                fn(arg, &c);
        }
        return r;
}

int store_members(struct store *store, const char *tenant, store_member_fn *fn, void *arg)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_MEMBERS, "t", tenant);
        int r;

        while ((r = db_step(st)) == 1) {
                struct store_member m;

                memset(&m, 0, sizeof(m)); /* all of it is sent, what lies between the members, too */
                db_text(st, 0, m.connector.id, sizeof(m.connector.id));
                db_text(st, 1, m.connector.name, sizeof(m.connector.name));
                db_text(st, 2, m.connector.kid, sizeof(m.connector.kid));
                m.connector.enrolled = db_int(st, 3);
                m.connector.since = db_int(st, 4);
                m.barred = db_int(st, 5) != 0;
                m.quarantined = db_int(st, 6) != 0;
                fn(arg, &m);
        }
        return r;
}

int store_revoked(struct store *store, const char *tenant, store_serial_fn *fn, void *arg)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_REVOKED_OF, "t", tenant);
        int r;

        while ((r = db_step(st)) == 1) {
                struct store_serial serial;

                memset(&serial, 0, sizeof(serial));
                db_text(st, 0, serial.text, sizeof(serial.text));
                fn(arg, &serial);
        }
        return r;
}

int store_revoke(struct store *store, const char *tenant, const char *id, int64_t now)
{
        struct write w = store_write_of(ENTITY_CONNECTOR, tenant, id);
        int n = db_begin(store->db), r = n;

        if (n < 0)
                return n;
        n = db_run(store->db, db_query(store->db, Q_REVOKE, "tt", tenant, id));
        if (n >= 0)
                r = db_run(store->db, db_query(store->db, Q_BAR, "tti", tenant, id, now));
        if (n >= 0 && r >= 0)
                r = db_run(store->db, db_query(store->db, Q_COUNT_REVOCATION, "tt", tenant, id));
        if (n >= 0 && r >= 0) /* each token that the revocation spoils is to be spoilt in the bucket */
                r = store_each_token(store, db_query(store->db, Q_TOKENS_OF, "tt", tenant, id), store_later);
        if (n >= 0 && r >= 0)
                r = db_run(store->db, db_query(store->db, Q_TOKEN_SPOIL, "tt", tenant, id));
        if (n >= 0 && r >= 0)
                r = store_later(store, &w.entity);
        n = db_end(store->db, r < 0 ? r : n);
        if (n >= 0)
                (void)store_flush(store);
        return n;
}

int store_is_revoked(struct store *store, const char *tenant, const char *id, const char *serial)
{
        return (int)db_number(db_query(store->db, Q_REVOKED, "ttt", serial, tenant, id));
}

int store_quarantine(struct store *store, const char *tenant, const char *id, const char *why, int64_t now)
{
        struct write w = store_write_of(ENTITY_CONNECTOR, tenant, id);
        int n = db_begin(store->db), r = 0;

        if (n < 0)
                return n;
        n = db_run(store->db, db_query(store->db, Q_QUARANTINE, "ttit", tenant, id, now, why));
        if (n > 0)
                r = db_run(store->db, db_query(store->db, Q_COUNT_QUARANTINE, "tt", tenant, id));
        if (n > 0 && r >= 0)
                r = store_later(store, &w.entity);
        return db_end(store->db, r < 0 ? r : n);
}

int store_is_quarantined(struct store *store, const char *tenant, const char *id)
{
        return (int)db_number(db_query(store->db, Q_QUARANTINED, "tt", tenant, id));
}

int store_release(struct store *store, const char *tenant, const char *id)
{
        struct write w = store_write_of(ENTITY_CONNECTOR, tenant, id);
        int r;

        while (store_write_begin(store, &w, &r)) {
                int n = db_run(store->db, db_query(store->db, Q_RELEASE, "tt", tenant, id));
                if (n > 0 && db_run(store->db, db_query(store->db, Q_COUNT_QUARANTINE, "tt", tenant, id)) < 0)
                        n = -EIO;
                r = store_write_end(store, &w, n);
        }
        return r;
}

/* What a connector can cause again and again, by itself, is one event of it, so that it pushes out no other's. */
static bool only_newest_counts(const struct store_event *event)
{
        return strcmp(event->name, "connector_pending") == 0 || strcmp(event->name, "connector_beyond_roster") == 0;
}

/* Those of the name that are too many go, here and in the bucket. */
static int trim(struct store *store, const char *tenant, const char *name)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_EVENTS_EXTRA, "tt", tenant, name);
        struct write w = store_write_of(ENTITY_EVENT, tenant, NULL);
        int r = store_gen(store, tenant, w.entity.gen), code;

        while (r == 0 && (code = db_step(st)) != 0) {
                db_text(st, 0, w.entity.id, sizeof(w.entity.id));
                r = code < 0 ? code : store_erase(store, &w.entity);
        }
        return r < 0 ? r : db_run(store->db, db_query(store->db, Q_EVENT_TRIM, "tt", tenant, name));
}

int store_event_add(struct store *store, const char *tenant, const struct store_event *event)
{
        struct write w = store_write_of(ENTITY_EVENT, tenant, NULL);
        uint8_t random[8];
        int r;

        if (only_newest_counts(event))
                (void)snprintf(w.entity.id, sizeof(w.entity.id), "%s-%s", event->name, event->id);
        else if (RAND_bytes(random, sizeof(random)) == 1)
                hex_encode_to(w.entity.id, random, sizeof(random));
        r = db_begin(store->db);
        if (r < 0)
                return r;
        if (only_newest_counts(event))
                r = db_run(store->db, db_query(store->db, Q_EVENT_REPLACE, "ttt", tenant, event->name, event->id));
        if (r >= 0)
                r = db_run(store->db, db_query(store->db, Q_EVENT_ADD, "titttt", tenant, event->at, event->name,
                                               event->id, event->text, w.entity.id));
        if (r > 0)
                r = store_later(store, &w.entity);
        if (r >= 0)
                r = trim(store, tenant, event->name);
        r = db_end(store->db, r);
        return r < 0 ? r : 0;
}

int store_events(struct store *store, const char *tenant, store_event_fn *fn, void *arg)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_EVENTS, "t", tenant);
        struct store_event e;
        int r;

        while ((r = db_step(st)) == 1) {
                e = (struct store_event){.at = db_int(st, 0)};
                db_text(st, 1, e.name, sizeof(e.name));
                db_text(st, 2, e.id, sizeof(e.id));
                db_text(st, 3, e.text, sizeof(e.text));
                fn(arg, &e);
        }
        return r;
}
