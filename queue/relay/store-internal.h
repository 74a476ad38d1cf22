/*
 * Internal to the store: its queries.
 */
#pragma once

#include "base/sqlite/db.h"
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
        Q_SIGN_INS_FIND,
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
        Q_HAS_REASONS,
        Q_CHANGED,
        Q_CHANGED_LAST,
        Q_CHANGED_PURGE,
        Q_MEMBERS,
        Q_REVOKED_OF,
        Q_FORGET, /* one for each table that has rows of a tenant */
        Q_FORGET_LAST = Q_FORGET + 8,
        Q_COUNT_
};

struct store {
        struct db *db;
        char path[4096], name[4096 + 16];
        struct error why;
};
_Static_assert(STORE_HASH_LEN == DB_BLOB_LEN, "a hash is the blob that the database binds");
