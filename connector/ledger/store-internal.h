/*
 * The shape of the database, shared by store.c (writing) and store-search.c (reading).
 */
#pragma once

#include "base/sqlite/db.h"
#include "connector/ledger/store.h"

enum column_kind { COLUMN_TEXT = 0, COLUMN_NUMBER, COLUMN_BOOL };

/* A column of `records` and the tag of FRAME_RECORD that fills it. */
struct column {
        const char *name;
        uint8_t tag;
        enum column_kind kind;
        bool hidden; /* not part of an answer */
};
extern const struct column ledger_columns[];
extern const size_t ledger_columns_n;

enum query {
        Q_INSERT_RECORD,
        Q_INSERT_EVENT,
        Q_INSERT_DELIVERY,
        Q_INSERT_UNANSWERED,
        Q_ALL_RECORDS,
        Q_ALL_EVENTS,
        Q_ALL_DELIVERIES,
        Q_TRIM_RECORDS, /* by age */
        Q_TRIM_EVENTS,
        Q_TRIM_DELIVERIES,
        Q_CUT_RECORDS, /* by number */
        Q_CUT_EVENTS,
        Q_CUT_DELIVERIES,
        Q_RECORDS,
        Q_EVENTS,
        Q_COUNT,
        Q_OLDEST,
        Q_IDS,
        Q_REPORT_ENDS, /* ledger_report_texts, in its order */
        Q_REPORT_DCS,
        Q_REPORT_NAMES,
        Q_REPORT_USERS,
        Q_REPORT_SERIES,
        Q_N
};

struct store {
        struct db *db;
        struct buffer insert_sql, search_sql;
        const char *queries[Q_N];
};

extern const char *const ledger_report_texts[];

/* The text of Q_RECORDS. 0 or -errno. */
int ledger_store_search_text(struct buffer *sql);
