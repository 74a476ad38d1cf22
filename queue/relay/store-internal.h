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
        Q_TOKEN_FACTS,
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
        Q_BACKUP,
        Q_HAS_COLUMN,
        Q_TOKEN_CERTIFICATE,
        Q_TOKEN_ANSWER,
        Q_TOKENS_OF,
        Q_COUNT_REVOCATION,
        Q_COUNT_QUARANTINE,
        Q_CERTIFICATE_COUNT,
        Q_GEN,
        Q_TENANT_PUT,
        Q_SECRETS_CLEAR,
        Q_SECRETS_DEAD,
        Q_SECRET_PUT,
        Q_TENANT_CHANGED,
        Q_TENANT_CHANGES,
        Q_TENANT_CHANGES_PUT,
        Q_SECRET_GONE,
        Q_REMOVED_ADD,
        Q_REMOVED_TRIM,
        Q_REMOVED_HAS,
        Q_REMOVED_SINCE,
        Q_REMOVED_OF,
        Q_REMOVED_COUNT,
        Q_REMOVED_FLOOR,
        Q_ALL_REMOVED,
        Q_ERASE_REMOVED,
        Q_ERASE_ADD,
        Q_ERASE_NEXT,
        Q_ERASE_DROP,
        Q_TENANT_TOKENS,
        Q_CONNECTOR_DOC,
        Q_CONNECTOR_PUT,
        Q_REVOCATIONS,
        Q_QUARANTINES,
        Q_CERTIFICATES_DOC,
        Q_CERTIFICATE_PUT,
        Q_REVOKED_PUT,
        Q_SERIAL_REVOKED,
        Q_ROSTER_DOC,
        Q_ROSTER_SEQ,
        Q_TOKEN_DOC,
        Q_TOKEN_STANDING,
        Q_TOKEN_PUT,
        Q_TOKENS_OLD,
        Q_EVENT_DOC,
        Q_EVENT_DROP,
        Q_EVENTS_EXTRA,
        Q_EVENTS_OLD,
        Q_REVISION,
        Q_REVISION_LAST,
        Q_REVISION_PUT,
        Q_REVISION_DROP,
        Q_REVISIONS_CLEAR,
        Q_OUTBOX_ADD,
        Q_OUTBOX_HAS,
        Q_OUTBOX_NEXT,
        Q_OUTBOX_DROP,
        Q_OUTBOX_COUNT,
        Q_NOTE,
        Q_NOTE_PUT,
        Q_ALL_CONNECTORS,
        Q_ALL_ROSTERS,
        Q_ALL_EVENTS,
        Q_ALL_TOKENS,
        Q_USED_TOKENS,
        Q_CHANGED,
        Q_CHANGED_LAST,
        Q_CHANGED_PURGE,
        Q_MEMBERS,
        Q_REVOKED_OF,
        Q_FORGET, /* one for each table that has rows of a tenant */
        Q_FORGET_LAST = Q_FORGET + 9,
        Q_COUNT_
};

#define STORE_GEN_LEN 16 /* hex digits */
#define STORE_REF_LEN 99

struct bucket;
struct store {
        struct db *db;
        char path[4096], name[4096 + 16];
        struct error why;
        struct bucket *bucket; /* NULL: the database is the store */
        const char *detached;  /* not NULL: there is a bucket, which cannot be had, for this reason */
        bool unreachable;      /* the last failure was the bucket's */
        bool later;            /* it was a document of a later version of the relay, which must not be written over */
        uint64_t taken;        /* the last revision that this process took from its watch */
        bool passed;           /* it passed something over since it began to catch up */
};

/* ---- entities: what has a key in the bucket (store-doc.c, store-copy.c) ---- */
enum entity_kind {
        ENTITY_TENANT = 't',
        ENTITY_CONNECTOR = 'c',
        ENTITY_ROSTER = 'r',
        ENTITY_TOKEN = 'k',
        ENTITY_EVENT = 'e'
};
struct entity {
        enum entity_kind kind;
        char tenant[TENANT_MAX + 1], gen[STORE_GEN_LEN + 1];
        char id[STORE_REF_LEN + 1]; /* of a connector; an event's ref */
        uint8_t hash[STORE_HASH_LEN];
};
#define ENTITY_KEY_MAX 200
void entity_key(const struct entity *e, char out[ENTITY_KEY_MAX]);
/* False: the key is of no entity. Of a token the tenant stands in its document. */
bool entity_parse(struct entity *ret_e, const char *key);
/* Appends the entity's document as the tables have it. -ENOENT: they have none; of a tenant that is a document, too. */
int store_doc_encode(struct store *store, const struct entity *e, struct buffer *out);
/*
 * Puts a document into the tables: all of it but what would undo something that this node knows to be stricter: a used
 * token, a revocation, a roster of a higher number. waits: of the entity something is not in the bucket yet, which
 * stays. 0; 1: the tables are stricter than the document, which should be written anew; -EBADMSG: no document; -ESRCH:
 * its tenant is not this node's (another generation); -EPROTONOSUPPORT: it is of a later version of the relay; -EIO.
 */
int store_doc_apply(struct store *store, struct entity *e, const char *text, size_t n, bool waits);

/* ---- what was removed (store-removed.c) ---- */
#define REMOVED_MAX 256     /* of a kind and tenant: the newest */
#define REMOVED_WORD_MAX 64 /* hex digits: a secret's hash; a generation */
/* Kinds, and the names of their lists in the tenant's document. */
#define REMOVED_SECRETS "secrets_removed"
#define REMOVED_GENERATIONS "generations_removed"
struct json_writer;
struct json_reader;
/* Each within a transaction. 0, -EIO; has: 1 or 0; last: the newest one, or -ENOENT. word "": nothing is added. */
int store_removed_add(struct store *store, const char *tenant, const char *kind, const char *word, int64_t at);
int store_removed_has(struct store *store, const char *tenant, const char *kind, const char *word);
int store_removed_last(struct store *store, const char *tenant, const char *kind, char out[REMOVED_WORD_MAX + 1]);
/* Until when such removals may have been forgotten, since the list is full; 0: none was. What is older than that, and
 * comes with an older copy of the bucket only, is taken for removed. */
int64_t store_removed_floor(struct store *store, const char *tenant, const char *kind);
/* The list as a member of the document. */
int store_removed_write(struct store *store, const char *tenant, const char *kind, struct json_writer *w);
/* Adds what the document lists. 1: the tables have one that it does not list, or lists as older; -EBADMSG. */
int store_removed_read(struct store *store, const char *tenant, const char *kind, struct json_reader *r);

/*
 * One write: of one entity, by whatever the body does to the tables.
 *
 *      struct write w = store_write_of(ENTITY_ROSTER, tenant, NULL);
 *      int r;
 *      while (store_write_begin(store, &w, &r))
 *              r = store_write_end(store, &w, ...the body's code...);
 *      return r;
 *
 * Where there is a bucket the tables are brought up to date from its leader first, and the entity is stored by compare
 * and set before the tables are; when another node was first that is done again. Without one this is a transaction.
 */
struct write {
        struct entity entity;
        uint64_t revision;
        unsigned tries;
        bool done;
};
struct write store_write_of(enum entity_kind kind, const char *tenant, const char *id);
bool store_write_begin(struct store *store, struct write *w, int *ret_code);
int store_write_end(struct store *store, struct write *w, int code);
/* Brings one entity up to date from the leader; 0, also without a bucket; -EHOSTUNREACH. hash: of a token. */
int store_refresh(struct store *store, enum entity_kind kind, const char *tenant, const uint8_t *hash);
/* In a transaction: the entity is written to the bucket when that can be done (store_flush). */
int store_later(struct store *store, struct entity *e);
/* Calls fn, store_later or store_erase, for each token whose hash a row of the statement has. In a transaction. 0, or
 * what failed. */
struct sqlite3_stmt;
int store_each_token(struct store *store, struct sqlite3_stmt *hashes,
                     int (*fn)(struct store *store, struct entity *e));
/* The generation of the tenant in the tables; "" : there is none. */
int store_gen(struct store *store, const char *tenant, char out[STORE_GEN_LEN + 1]);
/* What store_tenant_remove does to the tables. -ENOENT. */
int store_tenant_forget(struct store *store, const char *name);
/* ---- what is to leave the bucket, which has an end (store-erase.c); each 0 or -EIO ---- */
/* The entity leaves the tables now: a purge, a trim. */
int store_erase(struct store *store, struct entity *e);
/* All that is known of tenants that were removed. */
int store_erase_removed(struct store *store);
_Static_assert(STORE_HASH_LEN == DB_BLOB_LEN, "a hash is the blob that the database binds");
