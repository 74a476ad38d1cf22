/*
 * The one place that calls SQLite.
 *
 * Owns the handle and the prepared statements. Invariant: a statement that is at no row holds no value and no lock. It
 * knows no table; nothing here tries again.
 */
#include "base/sqlite/db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRESS_STEPS 5000

struct db {
        struct db_options options;
        sqlite3 *handle;
        int64_t until; /* CLOCK_MONOTONIC ms */
        int lost;      /* 0, or the code of a failure whose transaction was rolled back since, ... */
        char why[200]; /* ... and its text */
        sqlite3_stmt *statements[];
};

int db_fail(struct db *db, struct error *err)
{
        const struct db_options *o = &db->options;
        const int code = db->lost ? db->lost : db->handle ? sqlite3_errcode(db->handle) : SQLITE_NOMEM;
        const char *why = db->lost ? db->why : db->handle ? sqlite3_errmsg(db->handle) : "out of memory";

        switch (code & 0xff) {
        case SQLITE_FULL:
                return error_fail(err, -ENOSPC, "%s: the disk is full: make room in %s", o->name, o->folder);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return error_fail(err, -EUCLEAN, "%s: the database is damaged (%s): %s", o->name, why, o->damaged);
        case SQLITE_NOMEM:
                return error_fail(err, -ENOMEM, "%s: out of memory", o->name);
        case SQLITE_INTERRUPT:
                return error_fail(err, -ETIME, "%s: it took too long", o->name);
        default:
                return error_fail(err, -EIO, "%s: %s: see that %s is there, can be written by this user and has room",
                                  o->name, why, o->folder);
        }
}

int db_exec(struct db *db, const char *sql, struct error *err)
{
        db->lost = 0;
        return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(db, err);
}

/* ---- queries ---- */

struct sqlite3_stmt *db_query(struct db *db, size_t query, const char *format, ...)
{
        sqlite3_stmt **st = &db->statements[query];
        int code = SQLITE_OK;
        va_list ap;

        db->lost = 0;
        if (!*st)
                code = sqlite3_prepare_v3(db->handle, db->options.queries[query], -1, SQLITE_PREPARE_PERSISTENT, st,
                                          NULL);
        db_reset(*st);
        va_start(ap, format);
        for (int i = 1; *format && code == SQLITE_OK; format++, i++) {
                if (*format == 't')
                        code = sqlite3_bind_text(*st, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
                else if (*format == 'i')
                        code = sqlite3_bind_int64(*st, i, va_arg(ap, int64_t));
                else
                        code = sqlite3_bind_blob(*st, i, va_arg(ap, const uint8_t *), DB_BLOB_LEN, SQLITE_TRANSIENT);
        }
        va_end(ap);
        return code == SQLITE_OK ? *st : NULL;
}

bool db_bind_text(struct sqlite3_stmt *st, int at, const char *text)
{
        return sqlite3_bind_text(st, at, text, -1, SQLITE_TRANSIENT) == SQLITE_OK;
}

bool db_bind_int(struct sqlite3_stmt *st, int at, int64_t value)
{
        return sqlite3_bind_int64(st, at, value) == SQLITE_OK;
}

void db_bind_row(struct sqlite3_stmt *st, struct sqlite3_stmt *row)
{
        for (int i = 0; i < sqlite3_column_count(row); i++)
                (void)sqlite3_bind_value(st, i + 1, sqlite3_column_value(row, i));
}

void db_reset(struct sqlite3_stmt *st)
{
        (void)sqlite3_reset(st);
        if (st)
                (void)sqlite3_clear_bindings(st);
}

int db_step(struct sqlite3_stmt *st)
{
        int code = st ? sqlite3_step(st) : SQLITE_ERROR;

        if (code == SQLITE_ROW)
                return 1;
        db_reset(st);
        return code == SQLITE_DONE ? 0 : -EIO;
}

int db_run(struct db *db, struct sqlite3_stmt *st)
{
        int r = db_step(st);

        return r < 0 ? r : sqlite3_changes(db->handle);
}

int64_t db_number(struct sqlite3_stmt *st)
{
        if (db_step(st) != 1)
                return -EIO;
        int64_t n = sqlite3_column_int64(st, 0);
        db_reset(st);
        return n;
}

bool db_is_null(struct sqlite3_stmt *st, int column)
{
        return sqlite3_column_type(st, column) == SQLITE_NULL;
}

int64_t db_int(struct sqlite3_stmt *st, int column)
{
        return sqlite3_column_int64(st, column);
}

const char *db_str(struct sqlite3_stmt *st, int column, size_t *ret_len)
{
        const char *text = (const char *)sqlite3_column_text(st, column);

        if (ret_len)
                *ret_len = (size_t)sqlite3_column_bytes(st, column);
        return text;
}

void db_text(struct sqlite3_stmt *st, int column, char *out, size_t cap)
{
        const char *text = db_str(st, column, NULL);

        (void)snprintf(out, cap, "%s", text ? text : "");
}

const uint8_t *db_blob(struct sqlite3_stmt *st, int column)
{
        return sqlite3_column_bytes(st, column) == DB_BLOB_LEN ? sqlite3_column_blob(st, column) : NULL;
}

int db_begin(struct db *db)
{
        db->lost = 0;
        return sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

int db_end(struct db *db, int r)
{
        if (r >= 0 && sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
                return r;
        db->lost = sqlite3_errcode(db->handle);
        (void)snprintf(db->why, sizeof(db->why), "%s", sqlite3_errmsg(db->handle));
        /* a SELECT that was left at a row would keep what is read from now on at this moment, and all writes away */
        for (sqlite3_stmt *st = sqlite3_next_stmt(db->handle, NULL); st; st = sqlite3_next_stmt(db->handle, st))
                if (sqlite3_stmt_busy(st))
                        (void)sqlite3_reset(st);
        if (!sqlite3_get_autocommit(db->handle))
                (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
        return r < 0 ? r : -EIO;
}

/* ---- deadlines ---- */

static int64_t now_ms(void)
{
        struct timespec t = {0, 0};

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Non-zero ends the step with SQLITE_INTERRUPT. */
static int out_of_time(void *arg)
{
        const struct db *db = arg;

        return now_ms() > db->until;
}

void db_deadline(struct db *db, int64_t ms)
{
        db->until = now_ms() + ms;
        sqlite3_progress_handler(db->handle, ms ? PROGRESS_STEPS : 0, ms ? out_of_time : NULL, db);
}

/* ---- opening ---- */

/* SQLite asks for the whole path and looks at each part of it, which the process's user may not be allowed to. */
static int keep_name(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
        (void)vfs;
        return snprintf(out, (size_t)cap, "%s", name) < cap ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* The system's VFS, but for names: those are relative to the working folder. */
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

/* The schema's version, or as db_fail. */
static int read_version(struct db *db, struct error *err)
{
        sqlite3_stmt *st = NULL;
        int version = -1;

        if (sqlite3_prepare_v2(db->handle, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
            sqlite3_step(st) == SQLITE_ROW)
                version = sqlite3_column_int(st, 0);
        int r = version < 0 ? db_fail(db, err) : version;
        (void)sqlite3_finalize(st);
        return r;
}

/* Looks again inside of the transaction: another process may have been first. */
static int upgrade(struct db *db, struct error *err)
{
        const struct db_options *o = &db->options;
        char text[48];

        if (db_begin(db) < 0)
                return db_fail(db, err);
        int version = read_version(db, err), r = version < 0 ? version : 0;
        if (r == 0 && version < o->version) {
                (void)snprintf(text, sizeof(text), "PRAGMA user_version=%d", o->version);
                r = o->upgrade(db, version, err);
                r = r < 0 ? r : db_exec(db, text, err);
        }
        if (r == 0 && db_exec(db, "COMMIT", err) == 0)
                return 0;
        (void)db_end(db, -EIO);
        return r < 0 ? r : -EIO;
}

static int open_handle(struct db *db, struct error *err)
{
        const struct db_options *o = &db->options;
        const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

        if (sqlite3_open_v2(o->path ? o->path : ":memory:", &db->handle, flags,
                            o->path && o->relative ? relative_vfs() : NULL) != SQLITE_OK)
                return db_fail(db, err);
        (void)sqlite3_busy_timeout(db->handle, o->busy_ms);
        int r = db_exec(db, o->pragmas, err);
        int version = r < 0 ? r : read_version(db, err);
        if (version > o->version)
                return error_fail(err, -EPROTO, "%s: the database is of version %d, this program knows up to %d: %s",
                                  o->name, version, o->version, o->newer);
        if (version < 0 || version == o->version)
                return version < 0 ? version : 0;
        return upgrade(db, err);
}

int db_open(struct db **ret_db, const struct db_options *options, struct error *err)
{
        struct db *db = calloc(1, sizeof(*db) + options->n_queries * sizeof(db->statements[0]));

        if (!db)
                return error_fail(err, -ENOMEM, "%s: out of memory", options->name);
        db->options = *options;
        int r = open_handle(db, err);
        if (r < 0)
                db_free(db);
        else
                *ret_db = db;
        return r;
}

struct db *db_free(struct db *db)
{
        if (!db)
                return NULL;
        for (size_t i = 0; i < db->options.n_queries; i++)
                (void)sqlite3_finalize(db->statements[i]);
        (void)sqlite3_close(db->handle);
        free(db);
        return NULL;
}
