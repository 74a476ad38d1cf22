/*
 * Internal to the store: one prepared statement per query, bound by a short format.
 */
#pragma once

#include <sqlite3.h>

#include "queue/relay/store.h"

enum query {
        Q_TENANT_ADD,
        Q_TENANT_GET,
        Q_TENANTS,
        Q_TENANT_REVOKE,
        Q_TENANT_REMOVE,
        Q_SECRET_ADD,
        Q_SECRET_COUNT,
        Q_SECRETS,
        Q_SECRET_REMOVE,
        Q_TOKEN_ADD,
        Q_TOKEN_CHECK,
        Q_TOKEN_TAKE,
        Q_ENROL,
        Q_CERTIFICATE,
        Q_CONNECTOR,
        Q_IDENTITY_COUNT,
        Q_IDENTITY_PUT,
        Q_IDENTITIES,
        Q_ROSTER_PUT,
        Q_ROSTER_GET,
        Q_ROSTER_COUNT,
        Q_SIGN_IN_PUT,
        Q_SIGN_IN_GET,
        Q_PURGE_SIGN_INS,
        Q_PURGE_TOKENS,
        Q_PURGE_IDENTITIES,
        Q_PURGE_CERTIFICATES,
        Q_PURGE_REVOKED,
        Q_PURGE_EVENTS,
        Q_CONNECTORS,
        Q_REVOKE,
        Q_REVOKE_BARRED,
        Q_REVOKED,
        Q_BAR,
        Q_UNBAR,
        Q_TOKEN_SPOIL,
        Q_QUARANTINE,
        Q_QUARANTINED,
        Q_RELEASE,
        Q_EVENT_ADD,
        Q_EVENT_REPLACE,
        Q_EVENT_TRIM,
        Q_EVENTS,
        Q_VERSION,
        Q_COUNT_
};

struct store {
        sqlite3 *db;
        sqlite3_stmt *statements[Q_COUNT_];
};

/*
 * The query, reset and bound: format letters are t (const char *), i (int64_t), b (const uint8_t *,
 * STORE_HASH_LEN bytes). NULL when SQLite fails.
 */
sqlite3_stmt *store_query(struct store *s, enum query q, const char *format, ...);
/* Runs a query that returns no row. Rows changed, or -EIO. */
int store_run(struct store *s, sqlite3_stmt *st);
/* The next row: 1; no more: 0; -EIO. Resets at the end. */
int store_step(struct store *s, sqlite3_stmt *st);
/* Copies a text column into out; "" for NULL, cut at cap. */
void store_text(sqlite3_stmt *st, int column, char *out, size_t cap);
/* One transaction: begin, then end with what came of it (negative: nothing of it happened), which it returns; or -EIO.
 */
int store_begin(struct store *s);
int store_end(struct store *s, int r);
/* A count of one row, or -EIO. */
int64_t store_count(struct store *s, sqlite3_stmt *st);
