/*
 * The shape of the database, shared by store.c (writing) and store-search.c (reading).
 */
#pragma once

#include "base/sqlite/db.h"
#include "connector/frames/name-hash.h"
#include "connector/ledger/store.h"

enum column_kind { COLUMN_TEXT = 0, COLUMN_NUMBER, COLUMN_BOOL };

/* A column of `records` and the tag of FRAME_RECORD that fills it; 0: the store makes it. */
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
        Q_INSERT_NAME,
        Q_INSERT_QUESTION,
        Q_INSERT_UNANSWERED,
        Q_ALL_RECORDS, /* in the order of Q_INSERT_RECORD and the next */
        Q_ALL_EVENTS,
        Q_ALL_DELIVERIES,
        Q_ALL_NAMES,
        Q_ALL_QUESTIONS,
        Q_TRIM_RECORDS, /* by age */
        Q_TRIM_EVENTS,
        Q_TRIM_DELIVERIES,
        Q_TRIM_QUESTIONS,
        Q_CUT_RECORDS, /* by number */
        Q_CUT_EVENTS,
        Q_CUT_QUESTIONS,
        Q_CUT_DELIVERIES,
        Q_PSEUDONYMS,
        Q_QUESTION_PSEUDONYMS,
        Q_TRIM_NAMES,
        Q_MARK,
        Q_ERASE_DELIVERIES,
        Q_ERASE_QUESTIONS,
        Q_ERASE_NAMES,
        Q_ERASE_RECORDS,
        Q_RECORDS,
        Q_RECORDS_OF_ID,
        Q_RECORDS_OF_USER,
        Q_SLOWEST,
        Q_TIMES,
        Q_MANY_NAMES,
        Q_AFTER_FAILURES,
        Q_NAMES,
        Q_EVENTS,
        Q_EVENTS_OF_ID,
        Q_QUESTIONS,
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

#define RECENT_NAMES 1024 /* a power of two */

struct store {
        struct db *db;
        struct buffer insert_sql, mark_sql, search_sql[4]; /* Q_RECORDS and the next three */
        const char *queries[Q_N];
        bool has_key;
        uint8_t key[NAME_HASH_KEY_LEN];
        int64_t named_from;            /* older rows have pseudonyms already; 0: not known */
        uint64_t recent[RECENT_NAMES]; /* names that were written within the hour need not be again */
};

extern const char *const ledger_report_texts[];

/* store-search.c: the text of Q_RECORDS or one of the next three. 0 or -errno. */
int ledger_store_search_text(struct buffer *sql, enum query query);
/* The row that a query of those is at, as JSON. */
json_t *ledger_store_row(struct sqlite3_stmt *stmt);
/* The text of Q_MARK. */
int ledger_store_mark_text(struct buffer *sql);
/* The request's slowest, the slowest first. */
int ledger_store_slowest(struct store *store, const struct store_search *search, json_t *list, struct error *err);

/* store-names.c: keyed hash of an account's id or a name; false: no key, or no text. */
bool ledger_store_hash(const struct store *store, const char *text, char ret_hash[NAME_HASH_TEXT]);
/* Notes the names under which this record's account is known. */
int ledger_store_note_names(struct store *store, const struct msg_in *m);
