/*
 * One SQLite database: opening it with the version of its schema, queries by number, transactions, and a sentence for
 * whatever fails. No text that a peer sent is ever part of a statement: values are bound.
 *
 * What follows a db_query is read or ended before that query's next use; a query that was stepped to its end, or
 * failed, is reset by itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"

#define DB_BLOB_LEN 32 /* the one length of blobs: a SHA-256 */

struct db;
struct sqlite3_stmt; /* a query with its values, and the row that it is at */

struct db_options {
        const char *name;           /* for humans; each error begins with it */
        const char *path;           /* NULL: in memory */
        bool relative;              /* path is one of the working folder, and no folder above it is looked at */
        const char *pragmas;        /* run first */
        int busy_ms;                /* a writer waits so long for another */
        const char *const *queries; /* their texts by number, borrowed; each is prepared at its first use */
        size_t n_queries;
        int version; /* of the schema that this program knows, from 1 on; the database's is its user_version */
        /* Makes the tables of a new database (version 0), or brings older ones up to date, in a transaction that sets
         * the version, too. 0 or -errno with err. */
        int (*upgrade)(struct db *db, int version, struct error *err);
        const char *folder;          /* for humans: what must have room and be writable */
        const char *damaged, *newer; /* for humans: what to do with a database that is damaged, or of a newer program */
};

/* 0; -EPROTO: it is of a newer program; else as db_fail, with err. Texts of options are borrowed until db_free. */
int db_open(struct db **ret_db, const struct db_options *options, struct error *err);
struct db *db_free(struct db *db);

/* The query, reset and bound: format letters are t (const char *, or NULL), i (int64_t), b (const uint8_t *,
 * DB_BLOB_LEN bytes). NULL when SQLite fails, which the functions below take. */
struct sqlite3_stmt *db_query(struct db *db, size_t query, const char *format, ...);
/* The same for one value, from 1 on; text may be NULL. False: out of memory, or the query has no such value. */
bool db_bind_text(struct sqlite3_stmt *st, int at, const char *text);
bool db_bind_int(struct sqlite3_stmt *st, int at, int64_t value);
/* Binds each column of the row that another query is at. */
void db_bind_row(struct sqlite3_stmt *st, struct sqlite3_stmt *row);

/* The next row: 1; no more: 0; -EIO. */
int db_step(struct sqlite3_stmt *st);
/* Runs a query without rows. Rows changed, or -EIO. */
int db_run(struct db *db, struct sqlite3_stmt *st);
/* The number that is the first column of the first row, and the end of the query. -EIO, also where there is no row. */
int64_t db_number(struct sqlite3_stmt *st);
/* Ends a query before its last row. */
void db_reset(struct sqlite3_stmt *st);

/* Columns of the row, from 0 on. Text is valid until the next step, NULL for NULL. */
bool db_is_null(struct sqlite3_stmt *st, int column);
int64_t db_int(struct sqlite3_stmt *st, int column);
const char *db_str(struct sqlite3_stmt *st, int column, size_t *ret_len);
/* Copies a text into out; "" for NULL, cut at cap. */
void db_text(struct sqlite3_stmt *st, int column, char *out, size_t cap);
/* NULL unless the blob has DB_BLOB_LEN bytes. */
const uint8_t *db_blob(struct sqlite3_stmt *st, int column);

/* Statements of the program's own text. 0, or as db_fail. */
int db_exec(struct db *db, const char *sql, struct error *err);
/* One transaction: begin, then end with what came of it (negative: nothing of it happened, and statements that were
 * left at a row are reset), which it returns; or -EIO. */
int db_begin(struct db *db);
int db_end(struct db *db, int r);

/* From now on a step fails after ms milliseconds; 0: never. */
void db_deadline(struct db *db, int64_t ms);
/* What failed last, with the remedy: -ENOSPC (the disk is full), -EUCLEAN (damaged), -ENOMEM, -ETIME (db_deadline),
 * -EIO. */
int db_fail(struct db *db, struct error *err);
