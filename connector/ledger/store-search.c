/*
 * Searching a database of the ledger: bounded in rows and in time, answers as JSON.
 *
 * A user is searched by keyed hashes: of every form of the name as typed, of the account's id, and of all other names
 * of the account that its rows showed. So rows are found whose name was never kept, or is not kept any more.
 */
#include <errno.h>
#include <string.h>

#include "base/core/buffer.h"
#include "connector/ledger/store-internal.h"

#define SEARCH_MS 2000

/* Answered, and by a request that a service had signed. */
#define AUTHENTIC(row) row ".verdict IS NOT NULL AND " row ".reason NOT IN ('service_unknown', 'request_signature')"

/*
 * A relay can offer a request again, or send junk under its id: what was said to that hides no sign-in that was
 * answered. Numbered parameters: ?1 hashes, ?2 names, ?3 id, ?4 since, ?5 until, ?6 verdict, ?7 limit, ?8 domains.
 */
#define WITHIN(row) row "wall >= ?4 AND " row "wall <= ?5"
#define FILTER                                                                                                         \
        " AND " WITHIN(                                                                                                \
                "r.") " AND (?6 IS NULL OR r.verdict = ?6 OR (?6 = 'declined' AND r.declined IS NOT NULL)) AND (?6 "   \
                      "IS NOT NULL OR " AUTHENTIC(                                                                     \
                              "r") " OR NOT EXISTS (SELECT 1 FROM records o WHERE o.id = r.id "                        \
                                   "AND " AUTHENTIC(                                                                   \
                                           "o") ")) AND (?8 IS NULL OR ifnull(r.realm, '') COLLATE NOCASE IN "         \
                                                "(SELECT value FROM json_each(?8))) ORDER BY "                         \
                                                "r.wall DESC, r.rowid DESC LIMIT ?7"

/* The newest of one index each; more only where a verdict is still to be picked out. */
#define NEWEST_OF(column, of)                                                                                          \
        "SELECT * FROM (SELECT rowid FROM records WHERE " column " IN (SELECT h FROM " of                              \
        ") AND " WITHIN("") " ORDER BY wall DESC LIMIT iif(?6 IS NULL, 2000, -1))"

/* Whose the name is, all the names of that account, and every row of either. */
static const char of_user[] =
        "WITH accounts(h) AS (SELECT value FROM json_each(?1) UNION SELECT account FROM names WHERE name IN (SELECT "
        "value FROM json_each(?2)) AND account IS NOT NULL), hashes(h) AS (SELECT h FROM accounts UNION SELECT hash "
        "FROM names WHERE account IN (SELECT h FROM accounts) AND hash IS NOT NULL), found(n) AS (" NEWEST_OF(
                "user_hash", "hashes") " UNION " NEWEST_OF("account", "accounts") ") ";

static const struct {
        enum query query;
        const char *before, *from, *where;
} searches[] = {
        {Q_RECORDS, "", "records r", "1" FILTER},
        {Q_RECORDS_OF_ID, "", "records r", "r.id = ?3" FILTER},
        {Q_RECORDS_OF_USER, of_user, "found CROSS JOIN records r ON r.rowid = found.n", "1" FILTER},
        {Q_SLOWEST, "", "records r",
         "r.verdict IS NOT NULL AND " WITHIN("r.") " ORDER BY r.ms_total DESC, r.wall DESC LIMIT ?7"},
};

static void bind_or_null(struct sqlite3_stmt *stmt, int at, const char *text)
{
        if (text && text[0])
                (void)db_bind_text(stmt, at, text);
}

/* Values that a query doesn't have are passed over. */
static void bind_search(struct sqlite3_stmt *stmt, const struct store_search *s, size_t have)
{
        size_t limit = s->request->limit > have ? s->request->limit - have : 0;

        bind_or_null(stmt, 1, s->hashes);
        bind_or_null(stmt, 2, s->names);
        bind_or_null(stmt, 3, s->id);
        (void)db_bind_int(stmt, 4, s->request->since);
        (void)db_bind_int(stmt, 5, s->request->until ? s->request->until : INT64_MAX);
        bind_or_null(stmt, 6, s->request->verdict);
        (void)db_bind_int(stmt, 7, (int64_t)limit);
        bind_or_null(stmt, 8, s->domains);
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

json_t *ledger_store_row(struct sqlite3_stmt *stmt)
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

int ledger_store_search_text(struct buffer *sql, enum query query)
{
        size_t k = 0;
        int r;

        while (searches[k].query != query)
                k++;
        r = buffer_printf(sql, "%sSELECT ", searches[k].before);
        for (size_t i = 0; r == 0 && i < ledger_columns_n; i++)
                r = buffer_printf(sql, "r.%s,", ledger_columns[i].name);
        return r < 0 ? r
                     : buffer_printf(sql, "d.state, d.wall FROM %s LEFT JOIN deliveries d ON d.id = r.id WHERE %s",
                                     searches[k].from, searches[k].where);
}

int ledger_store_records(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        const enum query query = search->id ? Q_RECORDS_OF_ID : search->hashes ? Q_RECORDS_OF_USER : Q_RECORDS;

        return collect(store, query, search, ledger_store_row, list, err);
}

/* Every row of a user, without a limit, into the list of what is erased. */
int ledger_store_mark_text(struct buffer *sql)
{
        return buffer_printf(
                sql,
                "%sINSERT INTO temp.erased SELECT rowid FROM records WHERE user_hash IN (SELECT h FROM hashes) "
                "UNION SELECT rowid FROM records WHERE account IN (SELECT h FROM accounts)",
                of_user);
}

int ledger_store_erase(struct store *store, const struct store_search *s, struct error *err)
{
        static const enum query steps[] = {Q_MARK, Q_ERASE_DELIVERIES, Q_ERASE_QUESTIONS, Q_ERASE_NAMES,
                                           Q_ERASE_RECORDS};
        int n = db_begin(store->db);

        for (size_t i = 0; n >= 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
                struct sqlite3_stmt *stmt = db_query(store->db, steps[i], "");

                if (stmt)
                        bind_search(stmt, s, 0);
                n = db_run(store->db, stmt);
        }
        const int erased = n;
        if (n >= 0)
                n = db_exec(store->db, "DELETE FROM temp.erased", err);
        n = db_end(store->db, n);
        memset(store->recent, 0, sizeof(store->recent));
        return n < 0 ? db_fail(store->db, err) : erased;
}

int ledger_store_slowest(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        return collect(store, Q_SLOWEST, search, ledger_store_row, list, err);
}

int ledger_store_events(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        return collect(store, search->id ? Q_EVENTS_OF_ID : Q_EVENTS, search, event_row, list, err);
}

static json_t *question_row(struct sqlite3_stmt *stmt)
{
        static const char *const names[] = {"wall", "id", "person", "key", "op", "what", "refused"};
        json_t *row = json_object();

        for (int i = 0; i < 7; i++)
                set_cell(row, names[i], cell(stmt, i, i == 0 ? COLUMN_NUMBER : COLUMN_TEXT));
        return row;
}

int ledger_store_questions(struct store *store, const struct store_search *search, json_t *list, struct error *err)
{
        return collect(store, Q_QUESTIONS, search, question_row, list, err);
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
