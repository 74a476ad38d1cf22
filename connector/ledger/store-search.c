/*
 * Searching a database of the ledger: bounded in rows and in time, answers as JSON.
 *
 * A user is searched by every form under which a row may hold them: as typed, the names and id that the DC
 * told, and the keyed hash where the name itself was not kept.
 */
#include <errno.h>
#include <string.h>

#include "base/core/buffer.h"
#include "connector/ledger/store-internal.h"

#define SEARCH_MS 2000

/* Answered, and by a request that a service had signed. */
#define AUTHENTIC(row) row ".verdict IS NOT NULL AND " row ".reason NOT IN ('service_unknown', 'request_signature')"

/* A relay can offer a request again, or send junk under its id: what was said to that hides no sign-in that
 * was answered. Numbered parameters: ?1 user, ?2 hashes, ?3 id, ?4 since, ?5 until, ?6 verdict, ?7 limit, ?8
 * names. */
static const char record_filter[] =
        " WHERE (?3 IS NULL OR r.id = ?3)"
        " AND (?1 IS NULL OR r.user_hash IN (SELECT value FROM json_each(?2))"
        " OR r.user COLLATE NOCASE IN (SELECT value FROM json_each(?8))"
        " OR r.upn COLLATE NOCASE IN (SELECT value FROM json_each(?8))"
        " OR r.sam = ?1 COLLATE NOCASE OR r.user_id = ?1)"
        " AND (?4 = 0 OR r.wall >= ?4) AND (?5 = 0 OR r.wall <= ?5)"
        " AND (?6 IS NULL OR r.verdict = ?6 OR (?6 = 'declined' AND r.declined IS NOT NULL))"
        " AND (?6 IS NOT NULL OR " AUTHENTIC("r") " OR NOT EXISTS (SELECT 1 FROM records o WHERE o.id = r.id "
                                                  "AND " AUTHENTIC("o") "))"
                                                                        " ORDER BY r.wall DESC, r.rowid DESC LIMIT ?7";

static void bind_or_null(struct sqlite3_stmt *stmt, int at, const char *text)
{
        if (text && text[0])
                (void)db_bind_text(stmt, at, text);
}

/* Values that a query doesn't have are passed over. */
static void bind_search(struct sqlite3_stmt *stmt, const struct store_search *s, size_t have)
{
        size_t limit = s->request->limit > have ? s->request->limit - have : 0;

        bind_or_null(stmt, 1, s->user);
        bind_or_null(stmt, 2, s->hashes);
        bind_or_null(stmt, 3, s->id);
        (void)db_bind_int(stmt, 4, s->request->since);
        (void)db_bind_int(stmt, 5, s->request->until);
        bind_or_null(stmt, 6, s->request->verdict);
        (void)db_bind_int(stmt, 7, (int64_t)limit);
        bind_or_null(stmt, 8, s->names);
}

static json_t *cell(struct sqlite3_stmt *stmt, int at, enum column_kind kind)
{
        if (db_is_null(stmt, at))
                return NULL;
        switch (kind) {
        case COLUMN_NUMBER:
                return json_integer(db_int(stmt, at));
        case COLUMN_BOOL:
                return json_boolean(db_int(stmt, at) != 0);
        case COLUMN_TEXT:
                return json_string(db_str(stmt, at, NULL));
        }
        return NULL;
}

static void set_cell(json_t *row, const char *name, json_t *value)
{
        if (value)
                (void)json_object_set_new_nocheck(row, name, value);
}

static json_t *record_row(struct sqlite3_stmt *stmt)
{
        json_t *row = json_object();
        int n = (int)ledger_columns_n;

        for (int i = 0; i < n; i++)
                if (!ledger_columns[i].hidden)
                        set_cell(row, ledger_columns[i].name, cell(stmt, i, ledger_columns[i].kind));
        set_cell(row, "delivery", cell(stmt, n, COLUMN_TEXT));
        set_cell(row, "delivery_wall", cell(stmt, n + 1, COLUMN_NUMBER));
        return row;
}

static json_t *event_row(struct sqlite3_stmt *stmt)
{
        json_t *row = json_object();

        set_cell(row, "wall", cell(stmt, 0, COLUMN_NUMBER));
        set_cell(row, "event", cell(stmt, 1, COLUMN_TEXT));
        set_cell(row, "detail", cell(stmt, 2, COLUMN_TEXT));
        set_cell(row, "id", cell(stmt, 3, COLUMN_TEXT));
        return row;
}

static int collect(struct store *store, enum query query, const struct store_search *s,
                   json_t *(*make)(struct sqlite3_stmt *), json_t *list, struct error *err)
{
        struct sqlite3_stmt *stmt = db_query(store->db, query, "");
        int r;

        if (stmt)
                bind_search(stmt, s, json_array_size(list));
        db_deadline(store->db, SEARCH_MS);
        while ((r = db_step(stmt)) == 1 && json_array_append_new(list, make(stmt)) == 0)
                ;
        if (r < 0)
                r = db_fail(store->db, err);
        if (r == -ETIME)
                (void)error_fail(err, r, "ledger: the search took too long; narrow it by user or time");
        if (r > 0) {
                db_reset(stmt);
                r = error_fail(err, -ENOMEM, "ledger: out of memory");
        }
        db_deadline(store->db, 0);
        return r;
}

int ledger_store_search_text(struct buffer *sql)
{
        int r = buffer_append_str(sql, "SELECT ");

        for (size_t i = 0; r == 0 && i < ledger_columns_n; i++)
                r = buffer_printf(sql, "r.%s,", ledger_columns[i].name);
        return r < 0 ? r
                     : buffer_printf(sql, "d.state, d.wall FROM records r LEFT JOIN deliveries d ON d.id = r.id%s",
                                     record_filter);
}

int ledger_store_records(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        return collect(store, Q_RECORDS, search, record_row, list, err);
}

int ledger_store_events(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        return collect(store, Q_EVENTS, search, event_row, list, err);
}

int ledger_store_ids(struct store *store, const char *beginning, size_t limit, json_t *list, struct error *err)
{
        struct sqlite3_stmt *stmt = db_query(store->db, Q_IDS, "ti", beginning, (int64_t)limit);
        int r;

        db_deadline(store->db, SEARCH_MS);
        while ((r = db_step(stmt)) == 1)
                (void)json_array_append_new(list, json_string(db_str(stmt, 0, NULL)));
        if (r < 0)
                r = db_fail(store->db, err);
        db_deadline(store->db, 0);
        return r;
}

int64_t ledger_store_oldest(struct store *store)
{
        int64_t wall = db_number(db_query(store->db, Q_OLDEST, ""));

        return wall > 0 ? wall : 0;
}

uint64_t ledger_store_count(struct store *store)
{
        int64_t n = db_number(db_query(store->db, Q_COUNT, ""));

        return n > 0 ? (uint64_t)n : 0;
}
