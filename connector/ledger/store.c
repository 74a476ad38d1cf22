/*
 * One SQLite database of the ledger: opening, writing, trimming, copying.
 *
 * Statements are made of the column table and of bound values, never of what a peer sent. A failure leaves
 * the transaction to the caller (store_end); nothing here tries again.
 */
#include "connector/ledger/store-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/secret.h"
#include "connector/frames/messages.h"

#define SCHEMA_VERSION 4
#define BUSY_MS 200
#define TRIM_ROWS "5000"
#define PSEUDONYM "user-"

const struct column ledger_columns[] = {
        {"id", TAG_ID, COLUMN_TEXT, false},
        {"wall", R_WALL, COLUMN_NUMBER, false},
        {"user", R_USER, COLUMN_TEXT, false},
        {"user_masked", R_USER_MASKED, COLUMN_TEXT, false},
        {"user_hash", R_USER_HASH, COLUMN_TEXT, true},
        {"service", R_SERVICE, COLUMN_TEXT, false},
        {"client_ip", R_CLIENT_IP, COLUMN_TEXT, false},
        {"client_app", R_CLIENT_APP, COLUMN_TEXT, false},
        {"verdict", R_VERDICT, COLUMN_TEXT, false},
        {"class", R_CLASS, COLUMN_TEXT, false},
        {"reason", R_REASON, COLUMN_TEXT, false},
        {"password_proved", R_PROVED, COLUMN_BOOL, false},
        {"may_have_counted", R_COUNTED, COLUMN_TEXT, false},
        {"user_id", R_USER_ID, COLUMN_TEXT, false},
        {"upn", R_UPN, COLUMN_TEXT, false},
        {"sam", R_SAM, COLUMN_TEXT, false},
        {"domain", R_DOMAIN, COLUMN_TEXT, false},
        {"dc", R_DC, COLUMN_TEXT, false},
        {"method", R_METHOD, COLUMN_TEXT, false},
        {"raw", R_RAW, COLUMN_TEXT, false},
        {"context", R_CONTEXT, COLUMN_TEXT, false},
        {"ms_opened", R_MS_OPENED, COLUMN_NUMBER, false},
        {"ms_dc", R_MS_DC, COLUMN_NUMBER, false},
        {"ms_total", R_MS_TOTAL, COLUMN_NUMBER, false},
        {"declined", R_DECLINED, COLUMN_TEXT, false},
        {"client_agent", R_CLIENT_AGENT, COLUMN_TEXT, false}, /* since version 2 */
        {"account", 0, COLUMN_TEXT, true},                    /* keyed hash of user_id; since version 3 */
        {"realm", R_REALM, COLUMN_TEXT, true},                /* the domain that the name belongs to; since version 4 */
};
const size_t ledger_columns_n = sizeof(ledger_columns) / sizeof(ledger_columns[0]);

static const char *const texts[Q_N] = {
        [Q_INSERT_EVENT] = "INSERT INTO events VALUES(?,?,?,?)",
        [Q_INSERT_DELIVERY] = "INSERT OR REPLACE INTO deliveries VALUES(?,?,?)",
        [Q_INSERT_NAME] = "INSERT INTO names VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET account = "
                          "coalesce(excluded.account, account), last = max(last, excluded.last)",
        [Q_INSERT_QUESTION] = "INSERT INTO questions VALUES(?,?,?,?,?,?,?,?)",
        [Q_INSERT_UNANSWERED] = "INSERT INTO records(id, wall, declined) SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 "
                                "FROM records WHERE id = ?1)",
        [Q_ALL_RECORDS] = "SELECT * FROM records",
        [Q_ALL_EVENTS] = "SELECT * FROM events",
        [Q_ALL_DELIVERIES] = "SELECT * FROM deliveries",
        [Q_ALL_NAMES] = "SELECT * FROM names",
        [Q_ALL_QUESTIONS] = "SELECT * FROM questions",
        [Q_TRIM_RECORDS] = "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE wall < ? "
                           "LIMIT " TRIM_ROWS ")",
        [Q_TRIM_EVENTS] = "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE wall < ? "
                          "LIMIT " TRIM_ROWS ")",
        [Q_TRIM_DELIVERIES] = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE wall < ? "
                              "LIMIT " TRIM_ROWS ")",
        [Q_TRIM_QUESTIONS] = "DELETE FROM questions WHERE rowid IN (SELECT rowid FROM questions WHERE wall < ? "
                             "LIMIT " TRIM_ROWS ")",
        [Q_CUT_QUESTIONS] = "DELETE FROM questions WHERE rowid IN (SELECT rowid FROM questions WHERE rowid <= (SELECT "
                            "max(rowid) FROM questions) - ? LIMIT " TRIM_ROWS ")",
        [Q_CUT_RECORDS] = "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE rowid <= (SELECT "
                          "max(rowid) FROM records) - ? LIMIT " TRIM_ROWS ")",
        [Q_CUT_EVENTS] = "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE rowid <= (SELECT "
                         "max(rowid) FROM events) - ? LIMIT " TRIM_ROWS ")",
        [Q_CUT_DELIVERIES] = "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries ORDER BY wall LIMIT "
                             "min(" TRIM_ROWS ", max(0, (SELECT count(*) FROM deliveries) - ?)))",
        [Q_TRIM_NAMES] = "DELETE FROM names WHERE last < ?",
        [Q_PSEUDONYMS] =
                "UPDATE records SET user_masked = '" PSEUDONYM "' || substr(coalesce(user_hash, account), 1, 12), "
                "user = NULL, upn = NULL, sam = NULL, user_id = NULL, client_agent = NULL WHERE rowid IN (SELECT "
                "rowid FROM records WHERE wall >= ?1 AND wall < ?2 AND coalesce(user_hash, account) IS NOT NULL "
                "AND (user_masked IS NULL OR user_masked NOT LIKE '" PSEUDONYM "%') LIMIT " TRIM_ROWS ")",
        [Q_QUESTION_PSEUDONYMS] =
                "UPDATE questions SET what = '" PSEUDONYM "' || substr(hash, 1, 12) WHERE wall < ?1 AND hash IS NOT "
                "NULL AND what NOT LIKE '" PSEUDONYM "%'",
        [Q_ERASE_QUESTIONS] = "UPDATE questions SET what = NULL, hash = NULL WHERE hash IN (SELECT value FROM "
                              "json_each(?1))",
        /* the rows of a user are gathered first (store-search.c's numbers), then all that hangs on them goes */
        [Q_ERASE_DELIVERIES] =
                "DELETE FROM deliveries WHERE id IN (SELECT id FROM records WHERE rowid IN (SELECT n FROM "
                "temp.erased))",
        [Q_ERASE_NAMES] =
                "DELETE FROM names WHERE name IN (SELECT value FROM json_each(?2)) OR account IN (SELECT value "
                "FROM json_each(?1)) OR account IN (SELECT account FROM records WHERE rowid IN (SELECT n FROM "
                "temp.erased) AND account IS NOT NULL)",
        [Q_ERASE_RECORDS] = "DELETE FROM records WHERE rowid IN (SELECT n FROM temp.erased)",
        [Q_TIMES] = "SELECT dc, method, ms_opened, ms_dc, ms_total FROM records WHERE wall >= ?1 AND wall < ?2 AND "
                    "ms_total IS NOT NULL AND verdict IS NOT NULL ORDER BY wall DESC LIMIT ?3",
        [Q_MANY_NAMES] = "SELECT client_ip, count(DISTINCT user_hash) n, count(*), min(wall), max(wall), "
                         "max(client_app) FROM records WHERE wall >= ?1 AND wall <= ?2 AND class = 'credentials' AND "
                         "client_ip IS NOT NULL GROUP BY client_ip HAVING n >= ?3 ORDER BY n DESC LIMIT 20",
        /* who failed several times; the first success from each address; those that were new and followed on failures
         */
        [Q_AFTER_FAILURES] =
                "WITH bad AS (SELECT user_hash FROM records WHERE wall >= ?1 - 3600 AND wall <= ?2 AND verdict = "
                "'refused' AND class = 'credentials' AND user_hash IS NOT NULL GROUP BY user_hash HAVING count(*) >= "
                "?3), firsts AS (SELECT a.user_hash h, a.client_ip ip, min(a.wall) w, a.id id, coalesce(a.upn, a.user, "
                "a.user_masked) u, a.client_app app FROM bad CROSS JOIN records a ON a.user_hash = bad.user_hash AND "
                "a.wall >= ?1 AND a.wall <= ?2 WHERE a.verdict = 'accepted' AND a.client_ip IS NOT NULL GROUP BY 1, 2) "
                "SELECT id, w, u, ip, app, (SELECT count(*) FROM records f WHERE f.user_hash = h AND f.wall >= w - "
                "3600 "
                "AND f.wall <= w AND f.class = 'credentials') n FROM firsts WHERE n >= ?3 AND NOT EXISTS (SELECT 1 "
                "FROM "
                "records b WHERE b.user_hash = h AND b.wall < w AND b.verdict = 'accepted' AND b.client_ip = ip) ORDER "
                "BY "
                "w DESC LIMIT 20",
        [Q_NAMES] = "SELECT name, letters, account, last FROM names WHERE last >= ?",
        /* numbered as those of store-search.c */
        [Q_EVENTS] = "SELECT wall, name, detail, id FROM events WHERE wall >= ?4 AND wall <= ?5 "
                     "ORDER BY wall DESC, rowid DESC LIMIT ?7",
        [Q_EVENTS_OF_ID] = "SELECT wall, name, detail, id FROM events WHERE id = ?3 ORDER BY wall DESC, rowid DESC "
                           "LIMIT ?7",
        [Q_QUESTIONS] =
                "SELECT wall, id, person, kid, op, what, refused FROM questions WHERE wall >= ?4 AND wall <= ?5 "
                "ORDER BY wall DESC, rowid DESC LIMIT ?7",
        [Q_COUNT] = "SELECT (SELECT max(rowid) FROM records) - (SELECT min(rowid) FROM records) + 1",
        [Q_OLDEST] = "SELECT min(wall) FROM records",
        /* '~' is behind every character of ids */
        [Q_IDS] = "SELECT DISTINCT id FROM records WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id LIMIT ?2",
};

/* ---- opening ---- */

/* What version 3 brought: names of accounts, to find them by what somebody types. */
static const char names_schema[] =
        "CREATE TABLE names(name TEXT PRIMARY KEY, letters TEXT, account TEXT, hash TEXT, last INTEGER) WITHOUT ROWID;"
        "CREATE INDEX names_account ON names(account); CREATE INDEX records_account ON records(account, wall);";

/* What version 4 brought: who of the helpdesk asked what from afar, which those who ask so cannot read. */
static const char questions_schema[] = "CREATE TABLE questions(wall INTEGER, id TEXT, person TEXT, kid TEXT, op TEXT, "
                                       "what TEXT, hash TEXT, refused TEXT);"
                                       "CREATE INDEX questions_wall ON questions(wall);";

/* Rows of older versions are found by the names as they were typed. */
static int upgrade_schema(struct db *db, int version, struct error *err)
{
        int r = version < 2 ? db_exec(db, "ALTER TABLE records ADD COLUMN client_agent TEXT", err) : 0;

        if (r == 0 && version < 3)
                r = db_exec(db, "ALTER TABLE records ADD COLUMN account TEXT", err);
        if (r == 0 && version < 3)
                r = db_exec(db, names_schema, err);
        if (r == 0)
                r = db_exec(db, "ALTER TABLE records ADD COLUMN realm TEXT", err);
        return r < 0 ? r : db_exec(db, questions_schema, err);
}

static int make_schema(struct db *db, int version, struct error *err)
{
        struct buffer sql = BUFFER(8192);
        int r;

        if (version > 0)
                return upgrade_schema(db, version, err);
        r = buffer_append_str(&sql, "CREATE TABLE records(");
        for (size_t i = 0; r == 0 && i < ledger_columns_n; i++)
                r = buffer_printf(&sql, "%s%s %s", i ? ", " : "", ledger_columns[i].name,
                                  ledger_columns[i].kind == COLUMN_TEXT ? "TEXT" : "INTEGER");
        if (r == 0)
                r = buffer_append_str(&sql,
                                      "); CREATE INDEX records_id ON records(id); CREATE INDEX records_wall ON "
                                      "records(wall);"
                                      "CREATE INDEX records_hash ON records(user_hash, wall);"
                                      "CREATE TABLE events(wall INTEGER, name TEXT, detail TEXT, id TEXT);"
                                      "CREATE INDEX events_id ON events(id); CREATE INDEX events_wall ON events(wall);"
                                      "CREATE TABLE deliveries(id TEXT PRIMARY KEY, state TEXT, wall INTEGER) WITHOUT "
                                      "ROWID; CREATE INDEX deliveries_wall ON deliveries(wall);");
        if (r == 0)
                r = buffer_append_str(&sql, names_schema);
        if (r == 0)
                r = buffer_append_str(&sql, questions_schema);
        r = r < 0 ? r : db_exec(db, sql.data, err);
        buffer_free(&sql);
        return r;
}

/* The texts of queries that the table of columns makes. */
static int make_queries(struct store *store)
{
        int r = buffer_append_str(&store->insert_sql, "INSERT INTO records VALUES(");

        for (size_t i = 0; r == 0 && i < ledger_columns_n; i++)
                r = buffer_append_str(&store->insert_sql, i ? ",?" : "?");
        if (r == 0)
                r = buffer_append_str(&store->insert_sql, ")");
        memcpy(store->queries, texts, sizeof(texts));
        if (r == 0)
                r = ledger_store_mark_text(&store->mark_sql);
        store->queries[Q_MARK] = store->mark_sql.data;
        for (size_t i = 0; r == 0 && i < sizeof(store->search_sql) / sizeof(store->search_sql[0]); i++) {
                r = ledger_store_search_text(&store->search_sql[i], (enum query)(Q_RECORDS + i));
                store->queries[Q_RECORDS + i] = store->search_sql[i].data;
        }
        memcpy(store->queries + Q_REPORT_ENDS, ledger_report_texts, (Q_N - Q_REPORT_ENDS) * sizeof(char *));
        store->queries[Q_INSERT_RECORD] = store->insert_sql.data;
        return r;
}

int ledger_store_open(struct store **ret_store, int dir_fd, const uint8_t *key, struct error *err)
{
        struct store *store = calloc(1, sizeof(*store));

        if (!store)
                return error_fail(err, -ENOMEM, "ledger: out of memory");
        store->insert_sql = BUFFER(4096);
        store->mark_sql = BUFFER(4096);
        for (size_t i = 0; i < sizeof(store->search_sql) / sizeof(store->search_sql[0]); i++)
                store->search_sql[i] = BUFFER(8192);
        store->has_key = key != NULL;
        if (key)
                memcpy(store->key, key, sizeof(store->key));
        const struct db_options options = {
                .name = "ledger",
                .path = dir_fd < 0 ? NULL : "ledger.db",
                .relative = true,
                .pragmas =
                        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                        "PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF;"
                        "PRAGMA secure_delete = ON;"  /* what is erased is gone from the file, too */
                        "PRAGMA temp_store = MEMORY", /* its files would be in folders that are shut to this process */
                .busy_ms = BUSY_MS,
                .queries = store->queries,
                .n_queries = Q_N,
                .version = SCHEMA_VERSION,
                .upgrade = make_schema,
                .folder = "state_dir/ledger",
                .damaged = "move ledger.db* in state_dir/ledger away, a new one is made by itself",
                .newer = "move ledger.db* in state_dir/ledger away"};
        int r = make_queries(store) < 0 ? error_fail(err, -ENOMEM, "ledger: out of memory") : 0;
        if (r == 0 && dir_fd >= 0 && fchdir(dir_fd) < 0)
                r = error_fail(err, -errno,
                               "ledger: state_dir/ledger cannot be entered: %s; it must be root's, with the group of "
                               "the ledger's user and mode 770",
                               strerror(errno));
        if (r == 0)
                r = db_open(&store->db, &options, err);
        if (r == 0)
                r = db_exec(store->db, "CREATE TEMP TABLE erased(n INTEGER PRIMARY KEY)", err);
        for (size_t q = Q_INSERT_RECORD; r == 0 && q <= Q_INSERT_UNANSWERED; q++) /* a schema that is none of ours */
                r = db_query(store->db, q, "") ? 0 : db_fail(store->db, err);
        if (r < 0)
                ledger_store_free(store);
        else
                *ret_store = store;
        return r;
}

struct store *ledger_store_free(struct store *store)
{
        if (!store)
                return NULL;
        db_free(store->db);
        buffer_free(&store->insert_sql);
        buffer_free(&store->mark_sql);
        for (size_t i = 0; i < sizeof(store->search_sql) / sizeof(store->search_sql[0]); i++)
                buffer_free(&store->search_sql[i]);
        wipe(store->key, sizeof(store->key));
        free(store);
        return NULL;
}

/* ---- writing ---- */

int ledger_store_begin(struct store *store, struct error *err)
{
        return db_begin(store->db) < 0 ? db_fail(store->db, err) : 0;
}

int ledger_store_end(struct store *store, int r, struct error *err)
{
        const bool failed = r < 0;

        r = db_end(store->db, r);
        return r < 0 && !failed ? db_fail(store->db, err) : r;
}

/* Binds the field as text, or NULL where it is absent. -EBADMSG where it is no text. */
static int bind_text(struct sqlite3_stmt *stmt, int at, const struct msg_in *m, uint8_t tag)
{
        char text[IPC_FRAME_MAX];
        int r = msg_get_str(m, tag, text, sizeof(text));

        if (r < 0 && r != -ENOENT)
                return -EBADMSG;
        return db_bind_text(stmt, at, r == 0 ? text : NULL) ? 0 : -ENOMEM;
}

static int bind_number(struct sqlite3_stmt *stmt, int at, const struct msg_in *m, uint8_t tag)
{
        uint64_t value = msg_get_u64(m, tag, UINT64_MAX);

        return value > INT64_MAX || db_bind_int(stmt, at, (int64_t)value) ? 0 : -ENOMEM; /* what is not bound is NULL */
}

/* The hashes by which a record is found: of the name where its sender made none, and of the account. */
static int bind_hash(const struct store *store, struct sqlite3_stmt *stmt, int at, const struct msg_in *m, uint8_t tag)
{
        char text[REQUEST_TEXT_MAX + 1], hash[NAME_HASH_TEXT];

        if (msg_get_str(m, tag, text, sizeof(text)) < 0 || !ledger_store_hash(store, text, hash))
                return 0; /* what is not bound is NULL */
        return db_bind_text(stmt, at, hash) ? 0 : -ENOMEM;
}

static int bind_record(const struct store *store, struct sqlite3_stmt *stmt, const struct msg_in *m)
{
        int r = msg_has(m, TAG_ID) && msg_has(m, R_WALL) ? 0 : -EBADMSG;

        for (size_t i = 0; r == 0 && i < ledger_columns_n; i++) {
                const struct column *c = &ledger_columns[i];
                if (c->tag == 0)
                        r = bind_hash(store, stmt, (int)i + 1, m, R_USER_ID);
                else if (c->tag == R_USER_HASH && !msg_has(m, R_USER_HASH))
                        r = bind_hash(store, stmt, (int)i + 1, m, R_USER);
                else
                        r = (c->kind == COLUMN_TEXT ? bind_text : bind_number)(stmt, (int)i + 1, m, c->tag);
        }
        return r;
}

/* What one of the smaller rows is made of, in order; tag 0: the time at which the frame came. */
struct bound {
        uint8_t tag;
        bool number, needed;
};
static const struct bound event_row[] = {{.tag = 0}, {TAG_NAME, .needed = true}, {.tag = TAG_TEXT}, {.tag = TAG_ID}};
static const struct bound delivery_row[] = {{TAG_ID, .needed = true}, {TAG_DELIVERY, .needed = true}, {.tag = 0}};
/* a record of it that is there already, or comes later, says more */
static const struct bound unanswered_row[] = {
        {TAG_ID, .needed = true}, {R_WALL, .number = true, .needed = true}, {R_DECLINED, .needed = true}};

static int bind_row(struct sqlite3_stmt *stmt, const struct msg_in *m, int64_t wall, const struct bound *row, size_t n)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                if (row[i].needed && !msg_has(m, row[i].tag))
                        r = -EBADMSG;
                else if (row[i].tag == 0)
                        r = db_bind_int(stmt, (int)i + 1, wall) ? 0 : -ENOMEM;
                else
                        r = (row[i].number ? bind_number : bind_text)(stmt, (int)i + 1, m, row[i].tag);
        }
        return r;
}

/* What was asked about: a name or an id, or of all of a time which. */
static int bind_asked(struct sqlite3_stmt *stmt, int at, const struct msg_in *m)
{
        const time_t from = (time_t)msg_get_u64(m, TAG_SINCE, 0), to = (time_t)msg_get_u64(m, TAG_UNTIL, 0);
        char text[80], begin[24], end[24];
        struct tm a, b;

        if (msg_has(m, TAG_WHAT) || !from || !to || !gmtime_r(&from, &a) || !gmtime_r(&to, &b) ||
            strftime(begin, sizeof(begin), "%Y-%m-%d %H:%M:%S", &a) == 0 ||
            strftime(end, sizeof(end), "%H:%M:%S UTC", &b) == 0)
                return bind_text(stmt, at, m, TAG_WHAT);
        (void)snprintf(text, sizeof(text), "all of %s to %s", begin, end);
        return db_bind_text(stmt, at, text) ? 0 : -ENOMEM;
}

/* Who asks, what, and why there was no answer where there was none. */
static int bind_question(const struct store *store, struct sqlite3_stmt *stmt, const struct msg_in *m, int64_t wall)
{
        static const uint8_t tags[] = {TAG_ID, TAG_PERSON, TAG_KID, TAG_OP};
        int r = db_bind_int(stmt, 1, wall) ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < sizeof(tags); i++)
                r = bind_text(stmt, (int)i + 2, m, tags[i]);
        if (r == 0)
                r = bind_asked(stmt, 6, m);
        if (r == 0)
                r = bind_hash(store, stmt, 7, m, TAG_WHAT);
        return r < 0 ? r : bind_text(stmt, 8, m, TAG_REFUSED);
}

int ledger_store_insert(struct store *store, const struct msg_in *m, int64_t wall, struct error *err)
{
        struct sqlite3_stmt *stmt;
        int r;

        if (m->type == FRAME_RECORD)
                r = bind_record(store, stmt = db_query(store->db, Q_INSERT_RECORD, ""), m);
        else if (m->type == FRAME_EVENT)
                r = bind_row(stmt = db_query(store->db, Q_INSERT_EVENT, ""), m, wall, event_row, 4);
        else if (m->type == FRAME_DELIVERY)
                r = bind_row(stmt = db_query(store->db, Q_INSERT_DELIVERY, ""), m, wall, delivery_row, 3);
        else if (m->type == FRAME_UNANSWERED)
                r = bind_row(stmt = db_query(store->db, Q_INSERT_UNANSWERED, ""), m, wall, unanswered_row, 3);
        else if (m->type == FRAME_QUERY)
                r = bind_question(store, stmt = db_query(store->db, Q_INSERT_QUESTION, ""), m, wall);
        else
                return error_fail(err, -EBADMSG, "a frame of type %u is no row", m->type);
        if (!stmt)
                return db_fail(store->db, err);
        if (r < 0) {
                db_reset(stmt);
                return error_fail(err, r, "a frame of type %u lacks what a row needs", m->type);
        }
        if (db_step(stmt) < 0 || (m->type == FRAME_RECORD && ledger_store_note_names(store, m) < 0))
                return db_fail(store->db, err);
        return 0;
}

/* ---- trimming and copying ---- */

int ledger_store_trim(struct store *store, int64_t before, uint64_t rows, bool *ret_more, struct error *err)
{
        int changes = 0;

        for (size_t q = Q_TRIM_RECORDS; q <= Q_CUT_DELIVERIES; q++) {
                int n = db_run(store->db, db_query(store->db, q, "i", q >= Q_CUT_RECORDS ? (int64_t)rows : before));

                if (n < 0)
                        return db_fail(store->db, err);
                changes += n;
        }
        *ret_more = changes > 0;
        return 0;
}

int ledger_store_pseudonyms(struct store *store, int64_t before, bool *ret_more, struct error *err)
{
        int n = db_run(store->db, db_query(store->db, Q_PSEUDONYMS, "ii", store->named_from, before));

        if (n >= 0 && (db_run(store->db, db_query(store->db, Q_TRIM_NAMES, "i", before)) < 0 ||
                       db_run(store->db, db_query(store->db, Q_QUESTION_PSEUDONYMS, "i", before)) < 0))
                n = -EIO;
        if (n < 0)
                return db_fail(store->db, err);
        if (n == 0)
                store->named_from = before - 1;
        *ret_more = n > 0;
        return 0;
}

static int copy_rows(struct store *to, struct store *from, size_t table, struct error *err)
{
        struct sqlite3_stmt *row = db_query(from->db, Q_ALL_RECORDS + table, ""), *insert;
        int r;

        while ((r = db_step(row)) == 1) {
                insert = db_query(to->db, Q_INSERT_RECORD + table, "");
                db_bind_row(insert, row);
                if (db_step(insert) < 0) {
                        db_reset(row);
                        return db_fail(to->db, err);
                }
        }
        return r < 0 ? db_fail(from->db, err) : 0;
}

int ledger_store_copy(struct store *to, struct store *from, struct error *err)
{
        int r = ledger_store_begin(to, err);

        if (r < 0)
                return r;
        for (size_t table = 0; r == 0 && table < 5; table++)
                r = copy_rows(to, from, table, err);
        return ledger_store_end(to, r, err);
}
