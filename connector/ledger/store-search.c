/*
 * Searching a database of the ledger: bounded in rows and in time, answers as JSON.
 *
 * A user is searched by every form under which a row may hold them: as typed, the names and id that the DC
 * told, and the keyed hash where the name itself was not kept.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/core/buffer.h"
#include "connector/ledger/store-internal.h"

#define SEARCH_MS 2000
#define PROGRESS_STEPS 5000

static int64_t now_ms(void)
{
        struct timespec t = {0, 0};

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Non-zero ends the search with SQLITE_INTERRUPT. */
static int out_of_time(void *arg)
{
        const struct store *store = arg;

        return now_ms() > store->search_until;
}

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

static int bind_or_null(sqlite3_stmt *stmt, int at, const char *text)
{
        return text && text[0] ? sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(stmt, at);
}

/* Parameters that a statement doesn't have are passed over: SQLITE_RANGE is no failure here. */
static void bind_search(sqlite3_stmt *stmt, const struct store_search *s, size_t have)
{
        size_t limit = s->request->limit > have ? s->request->limit - have : 0;

        (void)bind_or_null(stmt, 1, s->user);
        (void)bind_or_null(stmt, 2, s->hashes);
        (void)bind_or_null(stmt, 3, s->id);
        (void)sqlite3_bind_int64(stmt, 4, s->request->since);
        (void)sqlite3_bind_int64(stmt, 5, s->request->until);
        (void)bind_or_null(stmt, 6, s->request->verdict);
        (void)sqlite3_bind_int64(stmt, 7, (sqlite3_int64)limit);
        (void)bind_or_null(stmt, 8, s->names);
}

static json_t *cell(sqlite3_stmt *stmt, int at, enum column_kind kind)
{
        const char *text;

        if (sqlite3_column_type(stmt, at) == SQLITE_NULL)
                return NULL;
        switch (kind) {
        case COLUMN_NUMBER:
                return json_integer(sqlite3_column_int64(stmt, at));
        case COLUMN_BOOL:
                return json_boolean(sqlite3_column_int64(stmt, at) != 0);
        case COLUMN_TEXT:
                text = (const char *)sqlite3_column_text(stmt, at);
                return text ? json_string(text) : NULL;
        }
        return NULL;
}

static void set_cell(json_t *row, const char *name, json_t *value)
{
        if (value)
                (void)json_object_set_new_nocheck(row, name, value);
}

static json_t *record_row(sqlite3_stmt *stmt)
{
        json_t *row = json_object();
        int n = (int)record_columns_n;

        for (int i = 0; i < n; i++)
                if (!record_columns[i].hidden)
                        set_cell(row, record_columns[i].name, cell(stmt, i, record_columns[i].kind));
        set_cell(row, "delivery", cell(stmt, n, COLUMN_TEXT));
        set_cell(row, "delivery_wall", cell(stmt, n + 1, COLUMN_NUMBER));
        return row;
}

static json_t *event_row(sqlite3_stmt *stmt)
{
        json_t *row = json_object();

        set_cell(row, "wall", cell(stmt, 0, COLUMN_NUMBER));
        set_cell(row, "event", cell(stmt, 1, COLUMN_TEXT));
        set_cell(row, "detail", cell(stmt, 2, COLUMN_TEXT));
        set_cell(row, "id", cell(stmt, 3, COLUMN_TEXT));
        return row;
}

static int collect(struct store *store, const char *sql, const struct store_search *s, json_t *(*make)(sqlite3_stmt *),
                   json_t *list, struct error *err)
{
        sqlite3_stmt *stmt = NULL;
        int step = SQLITE_ERROR, r = 0;

        store->search_until = now_ms() + SEARCH_MS;
        sqlite3_progress_handler(store->db, PROGRESS_STEPS, out_of_time, store);
        if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) == SQLITE_OK) {
                bind_search(stmt, s, json_array_size(list));
                while (r == 0 && (step = sqlite3_step(stmt)) == SQLITE_ROW)
                        r = json_array_append_new(list, make(stmt)) == 0 ? 0 : -ENOMEM;
        }
        if (r == 0 && step != SQLITE_DONE)
                r = store_fail(store, "ledger", err);
        else if (r < 0)
                (void)error_fail(err, r, "ledger: out of memory");
        (void)sqlite3_finalize(stmt);
        sqlite3_progress_handler(store->db, 0, NULL, NULL);
        return r;
}

int store_records(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        struct buffer sql = BUFFER(8192);
        int r = buffer_append_str(&sql, "SELECT ");

        for (size_t i = 0; r == 0 && i < record_columns_n; i++)
                r = buffer_printf(&sql, "r.%s,", record_columns[i].name);
        if (r == 0)
                r = buffer_printf(&sql, "d.state, d.wall FROM records r LEFT JOIN deliveries d ON d.id = r.id%s",
                                  record_filter);
        if (r < 0)
                (void)error_fail(err, r, "ledger: out of memory");
        else
                r = collect(store, sql.data, search, record_row, list, err);
        buffer_free(&sql);
        return r;
}

int store_events(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        return collect(store,
                       "SELECT wall, name, detail, id FROM events WHERE (?3 IS NULL OR id = ?3)"
                       " AND (?4 = 0 OR wall >= ?4) AND (?5 = 0 OR wall <= ?5) AND ?1 IS NULL AND ?2 IS NULL"
                       " AND ?6 IS NULL ORDER BY wall DESC, rowid DESC LIMIT ?7",
                       search, event_row, list, err);
}

uint64_t store_count(struct store *store)
{
        sqlite3_stmt *stmt = NULL;
        int64_t n = 0;

        if (sqlite3_prepare_v2(store->db, "SELECT max(rowid) - min(rowid) + 1 FROM records", -1, &stmt, NULL) ==
                    SQLITE_OK &&
            sqlite3_step(stmt) == SQLITE_ROW)
                n = sqlite3_column_int64(stmt, 0);
        (void)sqlite3_finalize(stmt);
        return n > 0 ? (uint64_t)n : 0;
}
