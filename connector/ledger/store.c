/*
 * One SQLite database of the ledger: opening, writing, trimming, copying.
 *
 * Statements are made of the column table and of bound values, never of what a peer sent. A failure leaves
 * the transaction to the caller (store_rollback); nothing here tries again.
 */
#include "connector/ledger/store-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "connector/frames/messages.h"

#define SCHEMA_VERSION 1
#define TRIM_ROWS "5000"

const struct column record_columns[] = {
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
};
const size_t record_columns_n = sizeof(record_columns) / sizeof(record_columns[0]);

static const char *const tables[] = {"records", "events", "deliveries"};

int store_fail(struct store *store, const char *what, struct error *err)
{
        const char *why = store->db ? sqlite3_errmsg(store->db) : "out of memory";

        switch (store->db ? sqlite3_errcode(store->db) & 0xff : SQLITE_NOMEM) {
        case SQLITE_FULL:
                return error_fail(err, -ENOSPC, "%s: the disk is full: make room in state_dir/ledger", what);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return error_fail(err, -EUCLEAN,
                                  "%s: the database is damaged (%s): move ledger.db* in state_dir/ledger "
                                  "away, a new one "
                                  "is made by itself",
                                  what, why);
        case SQLITE_NOMEM:
                return error_fail(err, -ENOMEM, "%s: out of memory", what);
        case SQLITE_INTERRUPT:
                return error_fail(err, -ETIME, "%s: the search took too long; narrow it by user or time", what);
        default:
                return error_fail(err, -EIO,
                                  "%s: %s: see that state_dir/ledger is there, can be written by the ledger's "
                                  "user and has room",
                                  what, why);
        }
}

int store_exec(struct store *store, const char *sql, struct error *err)
{
        return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_fail(store, "ledger", err);
}

/* ---- opening ---- */

static int make_schema(struct store *store, struct error *err)
{
        struct buffer sql = BUFFER(8192);
        int r = buffer_append_str(&sql, "BEGIN IMMEDIATE; CREATE TABLE records(");

        for (size_t i = 0; r == 0 && i < record_columns_n; i++)
                r = buffer_printf(&sql, "%s%s %s", i ? ", " : "", record_columns[i].name,
                                  record_columns[i].kind == COLUMN_TEXT ? "TEXT" : "INTEGER");
        if (r == 0)
                r = buffer_printf(&sql,
                                  "); CREATE INDEX records_id ON records(id); CREATE INDEX records_wall ON "
                                  "records(wall);"
                                  "CREATE INDEX records_hash ON records(user_hash, wall);"
                                  "CREATE TABLE events(wall INTEGER, name TEXT, detail TEXT, id TEXT);"
                                  "CREATE INDEX events_id ON events(id); CREATE INDEX events_wall ON events(wall);"
                                  "CREATE TABLE deliveries(id TEXT PRIMARY KEY, state TEXT, wall INTEGER) WITHOUT "
                                  "ROWID;"
                                  "CREATE INDEX deliveries_wall ON deliveries(wall);"
                                  "PRAGMA user_version = %d; COMMIT",
                                  SCHEMA_VERSION);
        r = r < 0 ? r : store_exec(store, sql.data, err);
        buffer_free(&sql);
        return r;
}

static int check_schema(struct store *store, struct error *err)
{
        sqlite3_stmt *stmt = NULL;
        int version = -1;

        if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &stmt, NULL) == SQLITE_OK &&
            sqlite3_step(stmt) == SQLITE_ROW)
                version = sqlite3_column_int(stmt, 0);
        (void)sqlite3_finalize(stmt);
        if (version < 0)
                return store_fail(store, "ledger", err);
        if (version == 0)
                return make_schema(store, err);
        if (version != SCHEMA_VERSION)
                return error_fail(err, -EPROTO,
                                  "ledger: the database is of version %d, this program writes %d: move ledger.db* in "
                                  "state_dir/ledger away",
                                  version, SCHEMA_VERSION);
        return 0;
}

static int prepare_record_insert(struct store *store)
{
        struct buffer sql = BUFFER(4096);
        int r = buffer_append_str(&sql, "INSERT INTO records VALUES(");

        for (size_t i = 0; r == 0 && i < record_columns_n; i++)
                r = buffer_append_str(&sql, i ? ",?" : "?");
        if (r == 0)
                r = buffer_append_str(&sql, ")");
        if (r == 0)
                r = sqlite3_prepare_v3(store->db, sql.data, -1, SQLITE_PREPARE_PERSISTENT, &store->insert_record, NULL);
        buffer_free(&sql);
        return r;
}

static int prepare(struct store *store, struct error *err)
{
        if (prepare_record_insert(store) != SQLITE_OK ||
            sqlite3_prepare_v3(store->db, "INSERT INTO events VALUES(?,?,?,?)", -1, SQLITE_PREPARE_PERSISTENT,
                               &store->insert_event, NULL) != SQLITE_OK ||
            sqlite3_prepare_v3(store->db, "INSERT OR REPLACE INTO deliveries VALUES(?,?,?)", -1,
                               SQLITE_PREPARE_PERSISTENT, &store->insert_delivery, NULL) != SQLITE_OK)
                return store_fail(store, "ledger", err);
        return 0;
}

/* SQLite asks for the whole path and looks at each part of it, which the ledger's user may not be allowed to.
 */
static int keep_name(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
        (void)vfs;
        return snprintf(out, (size_t)cap, "%s", name) < cap ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* The system's VFS, but for names: those are relative to the working folder, which is the ledger's own. */
static const char *relative_vfs(void)
{
        static sqlite3_vfs vfs;
        const sqlite3_vfs *unix_vfs = sqlite3_vfs_find(NULL);

        if (!vfs.zName && unix_vfs) {
                vfs = *unix_vfs;
                vfs.zName = "postern";
                vfs.xFullPathname = keep_name;
                if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
                        vfs.zName = NULL;
        }
        return vfs.zName;
}

static int open_database(struct store *store, int dir_fd, struct error *err)
{
        const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

        if (dir_fd >= 0 && fchdir(dir_fd) < 0)
                return error_fail(err, -errno,
                                  "ledger: state_dir/ledger cannot be entered: %s; it must be root's, with the "
                                  "group of the ledger's user and mode 770",
                                  strerror(errno));
        if (sqlite3_open_v2(dir_fd < 0 ? ":memory:" : "ledger.db", &store->db, flags,
                            dir_fd < 0 ? NULL : relative_vfs()) != SQLITE_OK)
                return store_fail(store, "ledger", err);
        (void)sqlite3_busy_timeout(store->db, 200);
        return store_exec(
                store,
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF;"
                "PRAGMA temp_store = MEMORY", /* its files would be in folders that are shut to this process */
                err);
}

int store_open(struct store **ret_store, int dir_fd, struct error *err)
{
        struct store *store = calloc(1, sizeof(*store));

        if (!store)
                return error_fail(err, -ENOMEM, "ledger: out of memory");
        int r = open_database(store, dir_fd, err);
        if (r == 0)
                r = check_schema(store, err);
        if (r == 0)
                r = prepare(store, err);
        if (r < 0)
                store_free(store);
        else
                *ret_store = store;
        return r;
}

struct store *store_free(struct store *store)
{
        if (!store)
                return NULL;
        (void)sqlite3_finalize(store->insert_record);
        (void)sqlite3_finalize(store->insert_event);
        (void)sqlite3_finalize(store->insert_delivery);
        (void)sqlite3_close(store->db);
        free(store);
        return NULL;
}

/* ---- writing ---- */

int store_begin(struct store *store, struct error *err)
{
        return store_exec(store, "BEGIN IMMEDIATE", err);
}

int store_commit(struct store *store, struct error *err)
{
        return store_exec(store, "COMMIT", err);
}

void store_rollback(struct store *store)
{
        if (!sqlite3_get_autocommit(store->db))
                (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Binds the field as text, or NULL where it is absent. -EBADMSG where it is no text. */
static int bind_text(sqlite3_stmt *stmt, int at, const struct msg_in *m, uint8_t tag)
{
        char text[IPC_FRAME_MAX];
        int r = msg_get_str(m, tag, text, sizeof(text));

        if (r == -ENOENT)
                r = sqlite3_bind_null(stmt, at);
        else if (r == 0)
                r = sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
        else
                return -EBADMSG;
        return r == SQLITE_OK ? 0 : -ENOMEM;
}

static int bind_number(sqlite3_stmt *stmt, int at, const struct msg_in *m, uint8_t tag)
{
        uint64_t value = msg_get_u64(m, tag, UINT64_MAX);

        if (value > INT64_MAX)
                return sqlite3_bind_null(stmt, at) == SQLITE_OK ? 0 : -ENOMEM;
        return sqlite3_bind_int64(stmt, at, (int64_t)value) == SQLITE_OK ? 0 : -ENOMEM;
}

static int bind_record(sqlite3_stmt *stmt, const struct msg_in *m)
{
        int r = msg_has(m, TAG_ID) && msg_has(m, R_WALL) ? 0 : -EBADMSG;

        for (size_t i = 0; r == 0 && i < record_columns_n; i++) {
                const struct column *c = &record_columns[i];
                r = (c->kind == COLUMN_TEXT ? bind_text : bind_number)(stmt, (int)i + 1, m, c->tag);
        }
        return r;
}

static int bind_event(sqlite3_stmt *stmt, const struct msg_in *m, int64_t wall)
{
        int r = msg_has(m, TAG_NAME) ? 0 : -EBADMSG;

        if (r == 0)
                r = sqlite3_bind_int64(stmt, 1, wall) == SQLITE_OK ? 0 : -ENOMEM;
        if (r == 0)
                r = bind_text(stmt, 2, m, TAG_NAME);
        if (r == 0)
                r = bind_text(stmt, 3, m, TAG_TEXT);
        return r < 0 ? r : bind_text(stmt, 4, m, TAG_ID);
}

static int bind_delivery(sqlite3_stmt *stmt, const struct msg_in *m, int64_t wall)
{
        int r = msg_has(m, TAG_ID) && msg_has(m, TAG_DELIVERY) ? 0 : -EBADMSG;

        if (r == 0)
                r = bind_text(stmt, 1, m, TAG_ID);
        if (r == 0)
                r = bind_text(stmt, 2, m, TAG_DELIVERY);
        if (r == 0)
                r = sqlite3_bind_int64(stmt, 3, wall) == SQLITE_OK ? 0 : -ENOMEM;
        return r;
}

int store_insert(struct store *store, const struct msg_in *m, int64_t wall, struct error *err)
{
        sqlite3_stmt *stmt;
        int r;

        if (m->type == FRAME_RECORD)
                r = bind_record(stmt = store->insert_record, m);
        else if (m->type == FRAME_EVENT)
                r = bind_event(stmt = store->insert_event, m, wall);
        else if (m->type == FRAME_DELIVERY)
                r = bind_delivery(stmt = store->insert_delivery, m, wall);
        else
                return error_fail(err, -EBADMSG, "a frame of type %u is no row", m->type);
        if (r == 0 && sqlite3_step(stmt) != SQLITE_DONE)
                r = store_fail(store, "ledger", err);
        else if (r < 0)
                (void)error_fail(err, r, "a frame of type %u lacks what a row needs", m->type);
        (void)sqlite3_reset(stmt);
        (void)sqlite3_clear_bindings(stmt);
        return r;
}

/* ---- trimming and copying ---- */

static int run_with_number(struct store *store, const char *sql, int64_t number, int *ret_changes, struct error *err)
{
        sqlite3_stmt *stmt = NULL;
        int r = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);

        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(stmt, 1, number);
        if (r == SQLITE_OK)
                r = sqlite3_step(stmt);
        r = r == SQLITE_DONE ? 0 : store_fail(store, "ledger", err);
        (void)sqlite3_finalize(stmt);
        if (r == 0)
                *ret_changes += sqlite3_changes(store->db);
        return r;
}

int store_trim(struct store *store, int64_t before, uint64_t rows, bool *ret_more, struct error *err)
{
        static const struct {
                const char *sql;
                bool by_rows;
        } steps[] = {
                {"DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE wall < ? "
                 "LIMIT " TRIM_ROWS ")",
                 false},
                {"DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE wall < ? LIMIT " TRIM_ROWS ")",
                 false},
                {"DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE wall < ? "
                 "LIMIT " TRIM_ROWS ")",
                 false},
                {"DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE rowid <= (SELECT "
                 "max(rowid) FROM "
                 "records) - ? LIMIT " TRIM_ROWS ")",
                 true},
                {"DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE rowid <= (SELECT "
                 "max(rowid) FROM "
                 "events) - ? LIMIT " TRIM_ROWS ")",
                 true},
                {"DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries ORDER BY wall LIMIT "
                 "min(" TRIM_ROWS ", max(0, (SELECT count(*) FROM deliveries) - ?)))",
                 true},
        };
        int changes = 0, r = 0;

        for (size_t i = 0; r == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
                r = run_with_number(store, steps[i].sql, steps[i].by_rows ? (int64_t)rows : before, &changes, err);
        if (r == 0)
                *ret_more = changes > 0;
        return r;
}

static int copy_rows(struct store *to, sqlite3_stmt *insert, struct store *from, const char *table, struct error *err)
{
        sqlite3_stmt *select = NULL;
        char sql[64];
        int r = 0, step = SQLITE_DONE;

        (void)snprintf(sql, sizeof(sql), "SELECT * FROM %s", table);
        if (sqlite3_prepare_v2(from->db, sql, -1, &select, NULL) != SQLITE_OK)
                return store_fail(from, "ledger in memory", err);
        while (r == 0 && (step = sqlite3_step(select)) == SQLITE_ROW) {
                for (int i = 0; i < sqlite3_column_count(select); i++)
                        (void)sqlite3_bind_value(insert, i + 1, sqlite3_column_value(select, i));
                if (sqlite3_step(insert) != SQLITE_DONE)
                        r = store_fail(to, "ledger", err);
                (void)sqlite3_reset(insert);
        }
        if (r == 0 && step != SQLITE_DONE)
                r = store_fail(from, "ledger in memory", err);
        (void)sqlite3_clear_bindings(insert);
        (void)sqlite3_finalize(select);
        return r;
}

int store_copy(struct store *to, struct store *from, struct error *err)
{
        sqlite3_stmt *const inserts[] = {to->insert_record, to->insert_event, to->insert_delivery};
        int r = store_begin(to, err);

        for (size_t i = 0; r == 0 && i < 3; i++)
                r = copy_rows(to, inserts[i], from, tables[i], err);
        if (r == 0)
                r = store_commit(to, err);
        if (r < 0)
                store_rollback(to);
        return r;
}
