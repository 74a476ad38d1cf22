/*
 * The shape of the database, shared by store.c (writing) and store-search.c (reading).
 */
#pragma once

#include <sqlite3.h>

#include "connector/ledger/store.h"

enum column_kind { COLUMN_TEXT = 0, COLUMN_NUMBER, COLUMN_BOOL };

/* A column of `records` and the tag of FRAME_RECORD that fills it. */
struct column {
        const char *name;
        uint8_t tag;
        enum column_kind kind;
        bool hidden; /* not part of an answer */
};
extern const struct column record_columns[];
extern const size_t record_columns_n;

struct store {
        sqlite3 *db;
        sqlite3_stmt *insert_record, *insert_event, *insert_delivery;
        int64_t search_until; /* CLOCK_MONOTONIC ms */
};

/* Maps SQLite's last error to -errno and a sentence with a remedy. */
int store_fail(struct store *store, const char *what, struct error *err);
/* Runs a statement without rows. */
int store_exec(struct store *store, const char *sql, struct error *err);
