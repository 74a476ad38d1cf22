/*
 * The relay's database: revoked certificates, connectors in quarantine, and the events that an admin reads.
 *
 * A revocation stays as long as the certificate would have lived. Nothing is judged here.
 */
#include <errno.h>
#include <string.h>

#include "queue/relay/store-internal.h"

int store_connectors(struct store *store, const char *tenant, store_listed_fn *fn, void *arg)
{
        sqlite3_stmt *st = store_query(store, Q_CONNECTORS, "t", tenant);
        struct store_listed c;
        int r;

        while ((r = store_step(store, st)) == 1) {
                c = (struct store_listed){.certificates = sqlite3_column_int64(st, 5),
                                          .not_after = sqlite3_column_int64(st, 6),
                                          .revoked = sqlite3_column_int64(st, 8) != 0};
                store_text(st, 0, c.connector.id, sizeof(c.connector.id));
                store_text(st, 1, c.connector.name, sizeof(c.connector.name));
                store_text(st, 2, c.connector.kid, sizeof(c.connector.kid));
                c.connector.enrolled = sqlite3_column_int64(st, 3);
                c.connector.since = sqlite3_column_int64(st, 4);
                store_text(st, 7, c.quarantine, sizeof(c.quarantine));
                fn(arg, &c);
        }
        return r;
}

static int revoke(struct store *store, const char *tenant, const char *id, int64_t now)
{
        const int n = store_run(store, store_query(store, Q_REVOKE, "tt", tenant, id));
        int r = n < 0 ? n : store_run(store, store_query(store, Q_BAR, "tti", tenant, id, now));

        return r < 0 ? r : (r = store_run(store, store_query(store, Q_TOKEN_SPOIL, "tt", tenant, id))) < 0 ? r : n;
}

int store_revoke(struct store *store, const char *tenant, const char *id, int64_t now)
{
        int n = store_begin(store);

        n = n < 0 ? n : revoke(store, tenant, id, now);
        return store_end(store, n);
}

int store_is_revoked(struct store *store, const char *tenant, const char *id, const char *serial)
{
        return (int)store_count(store, store_query(store, Q_REVOKED, "ttt", serial, tenant, id));
}

int store_quarantine(struct store *store, const char *tenant, const char *id, const char *why, int64_t now)
{
        return store_run(store, store_query(store, Q_QUARANTINE, "ttit", tenant, id, now, why));
}

int store_is_quarantined(struct store *store, const char *tenant, const char *id)
{
        return (int)store_count(store, store_query(store, Q_QUARANTINED, "tt", tenant, id));
}

int store_release(struct store *store, const char *tenant, const char *id)
{
        return store_run(store, store_query(store, Q_RELEASE, "tt", tenant, id));
}

/* What a connector can cause again and again, by itself, is one event of it, so that it pushes out no other's. */
static bool only_newest_counts(const struct store_event *event)
{
        return strcmp(event->name, "connector_pending") == 0 || strcmp(event->name, "connector_beyond_roster") == 0;
}

int store_event_add(struct store *store, const char *tenant, const struct store_event *event)
{
        int r = only_newest_counts(event)
                        ? store_run(store, store_query(store, Q_EVENT_REPLACE, "ttt", tenant, event->name, event->id))
                        : 0;

        if (r >= 0)
                r = store_run(store, store_query(store, Q_EVENT_ADD, "tittt", tenant, event->at, event->name, event->id,
                                                 event->text));
        if (r >= 0)
                r = store_run(store, store_query(store, Q_EVENT_TRIM, "tt", tenant, event->name));
        return r < 0 ? r : 0;
}

int store_events(struct store *store, const char *tenant, store_event_fn *fn, void *arg)
{
        sqlite3_stmt *st = store_query(store, Q_EVENTS, "t", tenant);
        struct store_event e;
        int r;

        while ((r = store_step(store, st)) == 1) {
                e = (struct store_event){.at = sqlite3_column_int64(st, 0)};
                store_text(st, 1, e.name, sizeof(e.name));
                store_text(st, 2, e.id, sizeof(e.id));
                store_text(st, 3, e.text, sizeof(e.text));
                fn(arg, &e);
        }
        return r;
}
