/*
 * The relay's database: schema, statements, tenants, secrets and tokens. Connectors, rosters and sign-ins:
 * store-state.c.
 *
 * Owns the SQLite handle (WAL, so that the command line can write while the relay runs). Invariants: no
 * secret, token, name of a person, verdict or body is ever bound to a statement; a token is used up by a
 * single UPDATE, so two takers can't both have it.
 */
#include "queue/relay/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "queue/relay/bucket.h"
#include "queue/relay/store-internal.h"

#define BUSY_MS 2000
/* Its user_version. 0: made before there were versions, or new. Raise it with any change of what stands below. */
#define SCHEMA_VERSION 5

static const char schema[] =
        /* gen: another for each time that a tenant of the name is made */
        "CREATE TABLE IF NOT EXISTS tenant(name TEXT PRIMARY KEY, pin TEXT NOT NULL, since INTEGER NOT NULL, "
        "gen TEXT NOT NULL DEFAULT '', changes INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS secret(tenant TEXT NOT NULL, kind INTEGER NOT NULL, hash BLOB NOT NULL, "
        "since INTEGER NOT NULL,"
        " PRIMARY KEY(tenant, hash)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS token(hash BLOB PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, "
        "expires INTEGER NOT NULL,"
        " used INTEGER NOT NULL DEFAULT 0, csr BLOB, at INTEGER, certificate TEXT) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS connector(tenant TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, "
        "enrolled INTEGER NOT NULL,"
        " kid TEXT, jwk TEXT, proof TEXT, since INTEGER, revocations INTEGER NOT NULL DEFAULT 0, "
        "quarantines INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(tenant, id)) WITHOUT ROWID;"
        /* what an older copy of the bucket must not bring back (store-removed.c) */
        "CREATE TABLE IF NOT EXISTS removed(tenant TEXT NOT NULL, kind TEXT NOT NULL, word TEXT NOT NULL, at INTEGER "
        "NOT NULL, PRIMARY KEY(tenant, kind, word)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS certificate(serial TEXT PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT "
        "NULL, not_after INTEGER NOT NULL)"
        " WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS roster(tenant TEXT PRIMARY KEY, seq INTEGER NOT NULL, jws TEXT NOT NULL, "
        "since INTEGER NOT NULL)"
        " WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS sign_in(tenant TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, "
        "connector TEXT, state TEXT NOT NULL,"
        " problem TEXT, handed INTEGER, received INTEGER, answered INTEGER, reasons TEXT, PRIMARY KEY(tenant, id)) "
        "WITHOUT ROWID;"
        "CREATE INDEX IF NOT EXISTS sign_in_at ON sign_in(at);"
        "CREATE TABLE IF NOT EXISTS revoked(serial TEXT PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL, "
        "not_after INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS barred(tenant TEXT NOT NULL, id TEXT NOT NULL, since INTEGER NOT NULL, "
        "PRIMARY KEY(tenant, id)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS quarantine(tenant TEXT NOT NULL, id TEXT NOT NULL, since INTEGER NOT NULL, "
        "why TEXT NOT NULL, PRIMARY KEY(tenant, id)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS event(n INTEGER PRIMARY KEY, tenant TEXT NOT NULL, at INTEGER NOT NULL, "
        "name TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, ref TEXT NOT NULL DEFAULT '');"
        "DROP INDEX IF EXISTS event_of; CREATE INDEX IF NOT EXISTS event_kind ON event(tenant, name, n);"
        "CREATE TABLE IF NOT EXISTS changed(n INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL);"
        "CREATE INDEX IF NOT EXISTS changed_of ON changed(tenant);"
        "CREATE INDEX IF NOT EXISTS revoked_of ON revoked(tenant);"
        /* of a store on NATS (store-copy.c): which revision of each key is in the tables; what waits for the bucket;
         * what is to leave it */
        "CREATE TABLE IF NOT EXISTS revision(key TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS outbox(n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);"
        "CREATE TABLE IF NOT EXISTS erase(key TEXT PRIMARY KEY) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS note(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;";

/* What tables of earlier versions lack: the column by which that is known, and what adds it. */
static const struct {
        const char *table, *column, *sql;
} additions[] = {
        {"sign_in", "reasons", "ALTER TABLE sign_in ADD COLUMN reasons TEXT"},
        {"tenant", "gen",
         "ALTER TABLE tenant ADD COLUMN gen TEXT NOT NULL DEFAULT '';"
         "ALTER TABLE token ADD COLUMN csr BLOB; ALTER TABLE token ADD COLUMN at INTEGER;"
         "ALTER TABLE token ADD COLUMN certificate TEXT;"
         "ALTER TABLE connector ADD COLUMN revocations INTEGER NOT NULL DEFAULT 0;"
         "ALTER TABLE event ADD COLUMN ref TEXT NOT NULL DEFAULT '';"
         "UPDATE tenant SET gen=lower(hex(randomblob(8)));"
         "UPDATE event SET ref=lower(hex(randomblob(8)));"},
        {"tenant", "changes", "ALTER TABLE tenant ADD COLUMN changes INTEGER NOT NULL DEFAULT 0"},
        {"connector", "quarantines", "ALTER TABLE connector ADD COLUMN quarantines INTEGER NOT NULL DEFAULT 0"},
};

#define FORGET(n, table) [Q_FORGET + (n)] = "DELETE FROM " table " WHERE tenant=?"

static const char *const texts[Q_COUNT_] = {
        [Q_TENANT_ADD] = "INSERT OR IGNORE INTO tenant(name, pin, since, gen) VALUES(?,?,?,lower(hex(randomblob(8))))",
        [Q_TENANT_GET] = "SELECT name, pin, since FROM tenant WHERE name=?",
        [Q_TENANT_REMOVE] = "DELETE FROM tenant WHERE name=?",
        [Q_TENANTS] = "SELECT name, pin, since FROM tenant ORDER BY name",
        [Q_SECRET_ADD] = "INSERT INTO secret(tenant, kind, hash, since) VALUES(?,?,?,?)",
        [Q_SECRET_COUNT] = "SELECT COUNT(*) FROM secret WHERE tenant=?",
        [Q_SECRETS] = "SELECT kind, hash, since FROM secret WHERE tenant=? ORDER BY since, hash",
        [Q_SECRET_REMOVE] = "DELETE FROM secret WHERE tenant=? AND hash=?",
        [Q_TENANT_REVOKE] =
                "INSERT OR IGNORE INTO revoked SELECT serial, tenant, id, not_after FROM certificate WHERE tenant=?",
        [Q_TOKEN_ADD] = "INSERT INTO token(hash, tenant, name, expires) VALUES(?,?,?,?)",
        /* 1: it can be taken, 2: it was, by this very request and not long ago */
        [Q_TOKEN_CHECK] = "SELECT COALESCE((SELECT CASE WHEN used=0 THEN 1 ELSE 2 END FROM token WHERE hash=?1 AND "
                          "tenant=?2 AND name=?3 AND ((used=0 AND expires>?5) OR (csr=?4 AND at>?6))), 0)",
        [Q_TOKEN_FACTS] = "SELECT tenant, name, used FROM token WHERE hash=?",
        [Q_TOKEN_TAKE] =
                "UPDATE token SET used=1, csr=?4, at=?5 WHERE hash=?1 AND tenant=?2 AND name=?3 AND used=0 AND "
                "expires>?5",
        [Q_TOKEN_CERTIFICATE] =
                "UPDATE token SET certificate=?4 WHERE hash=?1 AND tenant=?2 AND csr=?3 AND certificate IS NULL",
        [Q_TOKEN_ANSWER] =
                "SELECT certificate FROM token WHERE hash=? AND tenant=? AND csr=? AND certificate IS NOT NULL",
        [Q_ENROL] = "INSERT INTO connector(tenant, id, name, enrolled) VALUES(?,?,?,?)"
                    " ON CONFLICT DO UPDATE SET enrolled=excluded.enrolled WHERE name=excluded.name",
        [Q_CERTIFICATE] = "INSERT INTO certificate(serial, tenant, id, not_after) VALUES(?,?,?,?)",
        [Q_CONNECTOR] = "SELECT id, name, kid, enrolled, since FROM connector WHERE tenant=? AND id=?",
        [Q_IDENTITY_COUNT] = "SELECT COUNT(*) FROM connector WHERE tenant=? AND kid IS NOT NULL AND id<>?",
        [Q_IDENTITY_PUT] = "UPDATE connector SET kid=?, jwk=?, proof=?, since=CASE WHEN kid IS ?1 THEN since ELSE ? END"
                           " WHERE tenant=? AND id=?",
        [Q_IDENTITIES] = "SELECT id, name, kid, enrolled, since, jwk, proof FROM connector WHERE tenant=? "
                         "AND kid IS NOT NULL ORDER BY since",
        [Q_ROSTER_PUT] = "INSERT INTO roster(tenant, seq, jws, since) VALUES(?,?,?,?)"
                         " ON CONFLICT DO UPDATE SET seq=excluded.seq, jws=excluded.jws, "
                         "since=excluded.since WHERE seq<excluded.seq",
        [Q_ROSTER_GET] = "SELECT jws FROM roster WHERE tenant=?",
        [Q_ROSTER_COUNT] = "SELECT COUNT(*) FROM roster WHERE tenant=?",
        /* an id that is stored keeps its first row, but for one of the door, which says least (refused.c) */
        [Q_SIGN_IN_PUT] =
                "INSERT INTO sign_in SELECT ?1,?2,?3,NULLIF(?4,''),?5,NULLIF(?6,''),?7,?8,?9,NULLIF(?10,'') "
                "WHERE EXISTS (SELECT 1 FROM tenant WHERE name=?1) ON CONFLICT DO UPDATE SET at=excluded.at, "
                "connector=excluded.connector, state=excluded.state, problem=excluded.problem, "
                "handed=excluded.handed, received=excluded.received, answered=excluded.answered, "
                "reasons=excluded.reasons WHERE sign_in.state IN ('keys','refused') AND excluded.state<>'keys'",
        [Q_SIGN_IN_GET] = "SELECT at, connector, state, problem, handed, received, answered, reasons FROM sign_in "
                          "WHERE tenant=? AND id=?",
        /* '~' is behind every character of ids */
        [Q_SIGN_INS_FIND] =
                "SELECT at, connector, state, problem, handed, received, answered, reasons, id FROM sign_in "
                "WHERE tenant=?1 AND id>=?2 AND id<?2||'~' ORDER BY id LIMIT ?3",
        [Q_PURGE_SIGN_INS] = "DELETE FROM sign_in WHERE at<?",
        [Q_PURGE_TOKENS] = "DELETE FROM token WHERE expires<?",
        [Q_PURGE_IDENTITIES] = "UPDATE connector SET kid=NULL, jwk=NULL, proof=NULL WHERE since<? AND kid IS NOT NULL",
        [Q_PURGE_CERTIFICATES] = "DELETE FROM certificate WHERE not_after<?",
        [Q_PURGE_REVOKED] = "DELETE FROM revoked WHERE not_after<?",
        [Q_PURGE_EVENTS] = "DELETE FROM event WHERE at<?",
        [Q_CONNECTORS] = "SELECT c.id, c.name, c.kid, c.enrolled, c.since, (SELECT COUNT(*) FROM certificate s WHERE "
                         "s.tenant=c.tenant AND s.id=c.id AND s.serial NOT IN (SELECT serial FROM revoked)), (SELECT "
                         "MAX(not_after) FROM certificate s WHERE s.tenant=c.tenant AND s.id=c.id AND s.serial NOT IN "
                         "(SELECT serial FROM revoked)), (SELECT why FROM quarantine q WHERE q.tenant=c.tenant AND "
                         "q.id=c.id), EXISTS(SELECT 1 FROM barred b WHERE b.tenant=c.tenant AND b.id=c.id) FROM "
                         "connector c WHERE c.tenant=? ORDER BY c.name, c.enrolled",
        [Q_REVOKE] =
                "INSERT OR IGNORE INTO revoked SELECT serial, tenant, id, not_after FROM certificate WHERE tenant=? "
                "AND id=?",
        [Q_REVOKE_BARRED] =
                "INSERT OR IGNORE INTO revoked SELECT serial, tenant, id, not_after FROM certificate WHERE tenant=?1 "
                "AND id=?2 AND EXISTS(SELECT 1 FROM barred WHERE tenant=?1 AND id=?2)",
        [Q_REVOKED] = "SELECT EXISTS(SELECT 1 FROM revoked WHERE serial=?) OR EXISTS(SELECT 1 FROM barred WHERE "
                      "tenant=? AND id=?)",
        [Q_BAR] = "INSERT OR IGNORE INTO barred VALUES(?,?,?)",
        [Q_UNBAR] = "DELETE FROM barred WHERE tenant=? AND id=?",
        [Q_TOKENS_OF] = "SELECT hash FROM token WHERE tenant=?1 AND (used=0 OR csr IS NOT NULL) AND name=(SELECT name "
                        "FROM connector WHERE tenant=?1 AND id=?2)",
        [Q_TOKEN_SPOIL] = "UPDATE token SET used=1, csr=NULL, certificate=NULL WHERE tenant=?1 AND (used=0 OR csr IS "
                          "NOT NULL) AND name=(SELECT name FROM connector WHERE tenant=?1 AND id=?2)",
        [Q_COUNT_REVOCATION] = "UPDATE connector SET revocations=revocations+1 WHERE tenant=? AND id=?",
        [Q_QUARANTINE] = "INSERT OR IGNORE INTO quarantine VALUES(?,?,?,?)",
        [Q_QUARANTINED] = "SELECT COUNT(*) FROM quarantine WHERE tenant=? AND id=?",
        [Q_RELEASE] = "DELETE FROM quarantine WHERE tenant=? AND id=?",
        [Q_EVENT_ADD] = "INSERT INTO event(tenant, at, name, id, text, ref) SELECT ?1,?2,?3,?4,?5,?6 WHERE EXISTS "
                        "(SELECT 1 FROM tenant WHERE tenant.name=?1)",
        [Q_EVENT_REPLACE] = "DELETE FROM event WHERE tenant=? AND name=? AND id=?",
        [Q_EVENT_TRIM] =
                "DELETE FROM event WHERE tenant=?1 AND name=?2 AND n<=(SELECT n FROM event WHERE tenant=?1 AND "
                "name=?2 ORDER BY n DESC LIMIT 1 OFFSET 200)",
        [Q_EVENTS] =
                "SELECT at, name, id, text FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY name ORDER BY n DESC) AS "
                "place FROM event WHERE tenant=?) WHERE place<=100 ORDER BY n DESC LIMIT 400",
        [Q_BACKUP] = "VACUUM INTO ?",
        [Q_VERSION] = "PRAGMA data_version",
        [Q_CHANGED] = "SELECT tenant, n FROM changed WHERE n>? ORDER BY n",
        [Q_CHANGED_LAST] = "SELECT COALESCE(MAX(n), 0) FROM changed",
        [Q_CHANGED_PURGE] =
                "DELETE FROM changed WHERE tenant NOT IN (SELECT name FROM tenant) AND n<(SELECT MAX(n) FROM "
                "changed)",
        [Q_MEMBERS] = "SELECT c.id, c.name, c.kid, c.enrolled, c.since, EXISTS(SELECT 1 FROM barred b WHERE "
                      "b.tenant=c.tenant AND b.id=c.id), EXISTS(SELECT 1 FROM quarantine q WHERE q.tenant=c.tenant "
                      "AND q.id=c.id) FROM connector c WHERE c.tenant=?",
        [Q_REVOKED_OF] = "SELECT serial FROM revoked WHERE tenant=?",
        [Q_HAS_COLUMN] = "SELECT COUNT(*) FROM pragma_table_info(?) WHERE name=?",
        /* ---- what stands in the bucket, and what this node has of it ---- */
        [Q_GEN] = "SELECT gen FROM tenant WHERE name=?",
        [Q_TENANT_PUT] = "INSERT INTO tenant(name, pin, since, gen) VALUES(?,?,?,?) ON CONFLICT DO NOTHING",
        [Q_TENANT_CHANGED] = "UPDATE tenant SET changes=changes+1 WHERE name=?",
        [Q_TENANT_CHANGES] = "SELECT COALESCE((SELECT changes FROM tenant WHERE name=?), 0)",
        [Q_TENANT_CHANGES_PUT] = "UPDATE tenant SET changes=?2 WHERE name=?1 AND changes<?2",
        [Q_SECRETS_CLEAR] = "DELETE FROM secret WHERE tenant=?",
        [Q_SECRETS_DEAD] = "DELETE FROM secret WHERE tenant=?1 AND lower(hex(hash)) IN (SELECT word FROM removed WHERE "
                           "tenant=?1 AND kind='" REMOVED_SECRETS "')",
        [Q_SECRET_PUT] = "INSERT OR IGNORE INTO secret(tenant, kind, hash, since) VALUES(?,?,?,?)",
        [Q_SECRET_GONE] = "INSERT OR IGNORE INTO removed SELECT tenant, '" REMOVED_SECRETS
                          "', lower(hex(hash)), ?3 FROM secret WHERE tenant=?1 AND hash=?2",
        [Q_REMOVED_ADD] = "INSERT INTO removed VALUES(?,?,?,?) ON CONFLICT DO UPDATE SET at=MAX(at, excluded.at)",
        [Q_REMOVED_TRIM] = "DELETE FROM removed WHERE tenant=?1 AND kind=?2 AND word NOT IN (SELECT word FROM removed "
                           "WHERE tenant=?1 AND kind=?2 ORDER BY at DESC, word LIMIT ?3)",
        [Q_REMOVED_HAS] = "SELECT COUNT(*) FROM removed WHERE tenant=? AND kind=? AND word=?",
        [Q_REMOVED_SINCE] = "SELECT COUNT(*) FROM removed WHERE tenant=? AND kind=? AND word=? AND at<=?",
        [Q_REMOVED_OF] = "SELECT word, at FROM removed WHERE tenant=? AND kind=? ORDER BY at DESC, word",
        [Q_REMOVED_COUNT] = "SELECT COUNT(*) FROM removed WHERE tenant=? AND kind=?",
        [Q_REMOVED_FLOOR] = "SELECT CASE WHEN COUNT(*)<?3 THEN 0 ELSE MIN(at) END FROM removed WHERE tenant=?1 AND "
                            "kind=?2",
        [Q_ALL_REMOVED] = "SELECT DISTINCT tenant FROM removed WHERE kind='" REMOVED_GENERATIONS
                          "' AND tenant NOT IN (SELECT name FROM tenant)",
        /* '/' is the character behind '.' */
        [Q_ERASE_REMOVED] = "INSERT OR IGNORE INTO erase SELECT r.key FROM removed d, (SELECT 'c' AS k UNION SELECT "
                            "'r' UNION SELECT 'e') JOIN revision r ON "
                            "r.key>=k||'.'||d.tenant||'.'||d.word AND r.key<k||'.'||d.tenant||'.'||d.word||'/' WHERE "
                            "d.kind='" REMOVED_GENERATIONS "'",
        [Q_ERASE_ADD] = "INSERT OR IGNORE INTO erase VALUES(?)",
        [Q_ERASE_NEXT] = "SELECT key FROM erase WHERE key>? ORDER BY key LIMIT 1",
        [Q_ERASE_DROP] = "DELETE FROM erase WHERE key=?",
        [Q_TENANT_TOKENS] = "SELECT hash FROM token WHERE tenant=?",
        [Q_CONNECTOR_DOC] =
                "SELECT name, enrolled, kid, jwk, proof, since, revocations, (SELECT since FROM barred b WHERE "
                "b.tenant=c.tenant AND b.id=c.id), (SELECT since FROM quarantine q WHERE q.tenant=c.tenant AND "
                "q.id=c.id), (SELECT why FROM quarantine q WHERE q.tenant=c.tenant AND q.id=c.id), quarantines FROM "
                "connector c WHERE tenant=? AND id=?",
        [Q_CONNECTOR_PUT] =
                "INSERT INTO connector(tenant, id, name, enrolled, kid, jwk, proof, since, revocations, quarantines) "
                "VALUES(?,?,?,?,NULLIF(?,''),NULLIF(?,''),NULLIF(?,''),?,?,?) ON CONFLICT DO UPDATE SET "
                "name=excluded.name, "
                "enrolled=excluded.enrolled, kid=excluded.kid, jwk=excluded.jwk, proof=excluded.proof, "
                "since=excluded.since, revocations=MAX(revocations, excluded.revocations), "
                "quarantines=MAX(quarantines, "
                "excluded.quarantines)",
        [Q_REVOCATIONS] = "SELECT COALESCE((SELECT revocations FROM connector WHERE tenant=? AND id=?), 0)",
        [Q_QUARANTINES] = "SELECT COALESCE((SELECT quarantines FROM connector WHERE tenant=? AND id=?), 0)",
        [Q_COUNT_QUARANTINE] = "UPDATE connector SET quarantines=quarantines+1 WHERE tenant=? AND id=?",
        [Q_CERTIFICATE_COUNT] = "SELECT MIN(COUNT(*), 200) FROM certificate WHERE tenant=? AND id=?",
        [Q_CERTIFICATES_DOC] = "SELECT serial, not_after, serial IN (SELECT serial FROM revoked) FROM certificate "
                               "WHERE tenant=? AND id=? ORDER BY not_after DESC, serial LIMIT 200",
        [Q_CERTIFICATE_PUT] = "INSERT OR IGNORE INTO certificate(serial, tenant, id, not_after) VALUES(?,?,?,?)",
        [Q_REVOKED_PUT] = "INSERT OR IGNORE INTO revoked(serial, tenant, id, not_after) VALUES(?,?,?,?)",
        [Q_SERIAL_REVOKED] = "SELECT COUNT(*) FROM revoked WHERE serial=?",
        [Q_ROSTER_DOC] = "SELECT seq, jws, since FROM roster WHERE tenant=?",
        [Q_ROSTER_SEQ] = "SELECT COALESCE((SELECT seq FROM roster WHERE tenant=?), 0)",
        [Q_TOKEN_DOC] = "SELECT tenant, name, expires, used, csr, at, certificate FROM token WHERE hash=?",
        /* as apply_token ranks a document */
        [Q_TOKEN_STANDING] = "SELECT COALESCE((SELECT CASE WHEN used=0 THEN 0 WHEN csr IS NULL THEN 3 WHEN certificate "
                             "IS NULL THEN 1 ELSE 2 END FROM token WHERE hash=?), 0)",
        [Q_TOKEN_PUT] = "INSERT INTO token(hash, tenant, name, expires, used, csr, at, certificate) VALUES"
                        "(?,?,?,?,?,?,?,NULLIF(?,'')) ON CONFLICT DO UPDATE SET used=excluded.used, csr=excluded.csr, "
                        "at=excluded.at, certificate=excluded.certificate",
        [Q_TOKENS_OLD] = "SELECT hash FROM token WHERE expires<?",
        [Q_EVENT_DOC] = "SELECT at, name, id, text FROM event WHERE tenant=? AND ref=?",
        [Q_EVENT_DROP] = "DELETE FROM event WHERE tenant=? AND ref=?",
        [Q_EVENTS_EXTRA] = "SELECT ref FROM event WHERE tenant=?1 AND name=?2 AND n<=(SELECT n FROM event WHERE "
                           "tenant=?1 AND name=?2 ORDER BY n DESC LIMIT 1 OFFSET 200)",
        [Q_EVENTS_OLD] = "SELECT tenant, ref FROM event WHERE at<?",
        [Q_REVISION] = "SELECT COALESCE((SELECT n FROM revision WHERE key=?), 0)",
        [Q_REVISION_LAST] = "SELECT key, n FROM revision WHERE key GLOB '[tcr].*' ORDER BY n DESC LIMIT 1",
        [Q_REVISION_PUT] = "INSERT INTO revision VALUES(?,?) ON CONFLICT DO UPDATE SET n=excluded.n",
        [Q_REVISION_DROP] = "DELETE FROM revision WHERE key=?",
        [Q_REVISIONS_CLEAR] = "DELETE FROM revision",
        [Q_OUTBOX_ADD] = "INSERT OR IGNORE INTO outbox(key) VALUES(?)",
        [Q_OUTBOX_HAS] = "SELECT COUNT(*) FROM outbox WHERE key=?",
        [Q_OUTBOX_NEXT] = "SELECT key, n FROM outbox WHERE n>? ORDER BY n LIMIT 1",
        [Q_OUTBOX_DROP] = "DELETE FROM outbox WHERE key=?",
        [Q_OUTBOX_COUNT] = "SELECT COUNT(*) FROM outbox",
        [Q_NOTE] = "SELECT COALESCE((SELECT value FROM note WHERE name=?), 0)",
        [Q_NOTE_PUT] = "INSERT INTO note VALUES(?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
        [Q_ALL_CONNECTORS] = "SELECT tenant, id FROM connector",
        [Q_ALL_ROSTERS] = "SELECT tenant, '' FROM roster",
        [Q_ALL_EVENTS] = "SELECT tenant, ref FROM event",
        [Q_ALL_TOKENS] = "SELECT hash FROM token",
        [Q_USED_TOKENS] = "SELECT hash FROM token WHERE used=1",
        FORGET(0, "secret"),
        FORGET(1, "token"),
        FORGET(2, "connector"),
        FORGET(3, "certificate"),
        FORGET(4, "roster"),
        FORGET(5, "sign_in"),
        FORGET(6, "barred"),
        FORGET(7, "quarantine"),
        FORGET(8, "event"),
        [Q_FORGET_LAST] = "DELETE FROM removed WHERE tenant=? AND kind='" REMOVED_SECRETS "'",
};

/* ---- opening ---- */

/* Whatever a running relay goes by: each write of it has a number that rises, and the name of its tenant. */
static int watch_tables(struct db *db, struct error *err)
{
        static const char *const tables[][2] = {{"tenant", "name"},      {"secret", "tenant"},  {"connector", "tenant"},
                                                {"roster", "tenant"},    {"revoked", "tenant"}, {"barred", "tenant"},
                                                {"quarantine", "tenant"}};
        static const char *const writes[][2] = {{"INSERT", "NEW"}, {"UPDATE", "NEW"}, {"DELETE", "OLD"}};
        _cleanup_(buffer_free) struct buffer sql = BUFFER(16384);
        int r = 0;

        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                for (size_t j = 0; j < sizeof(writes) / sizeof(writes[0]) && r == 0; j++) {
                        const char *table = tables[i][0], *column = tables[i][1], *write = writes[j][0],
                                   *row = writes[j][1];

                        r = buffer_printf(&sql,
                                          "CREATE TRIGGER IF NOT EXISTS %s_%s AFTER %s ON %s BEGIN INSERT INTO "
                                          "changed(tenant) VALUES(%s.%s); DELETE FROM changed WHERE tenant=%s.%s AND "
                                          "n<(SELECT MAX(n) FROM changed); END;",
                                          table, write, write, table, row, column, row, column);
                }
        return r < 0 ? error_fail(err, -ENOMEM, "no memory") : db_exec(db, sql.data, err);
}

/* The tables, and what a database lacks that was made before there were versions. */
static int upgrade(struct db *db, int version, struct error *err)
{
        int r = db_exec(db, schema, err);

        (void)version;
        if (r == 0)
                r = watch_tables(db, err);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < sizeof(additions) / sizeof(additions[0]); i++) {
                const int64_t has =
                        db_number(db_query(db, Q_HAS_COLUMN, "tt", additions[i].table, additions[i].column));

                if (has < 0)
                        return db_fail(db, err);
                r = has ? 0 : db_exec(db, additions[i].sql, err);
        }
        return r;
}

int store_check_dir(const char *dir, struct error *err)
{
        if (access(dir, R_OK | W_OK | X_OK) == 0)
                return 0;
        return error_fail(
                err, -errno,
                "state_dir %s: %s; it must exist and belong to the relay's user: install -d -m 700 -o USER %s", dir,
                strerror(errno), dir);
}

int store_open(struct store **ret_store, const char *dir, struct error *err)
{
        struct store *s = calloc(1, sizeof(*s));
        int r = s ? store_check_dir(dir, err) : error_fail(err, -ENOMEM, "no memory");

        if (r == 0 && (size_t)snprintf(s->path, sizeof(s->path), "%s/relay.db", dir) >= sizeof(s->path))
                r = error_fail(err, -ENAMETOOLONG, "state directory %s: the name is too long", dir);
        if (r < 0) {
                free(s);
                return r;
        }
        (void)snprintf(s->name, sizeof(s->name), "database %s", s->path);
        const struct db_options options = {
                .name = s->name,
                .path = s->path,
                .pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;",
                .busy_ms = BUSY_MS,
                .queries = texts,
                .n_queries = Q_COUNT_,
                .version = SCHEMA_VERSION,
                .upgrade = upgrade,
                .folder = "state_dir",
                .damaged = "put back a copy of it",
                .newer = "it was written by a newer postern-relay; use that one"};
        const mode_t mask = umask(077);
        r = db_open(&s->db, &options, err);
        umask(mask);
        if (r < 0)
                free(s);
        else
                *ret_store = s;
        return r;
}

struct store *store_free(struct store *store)
{
        if (store)
                db_free(store->db);
        free(store);
        return NULL;
}

int store_backup(struct store *store, const char *path)
{
        const mode_t mask = umask(077);
        const int r = db_run(store->db, db_query(store->db, Q_BACKUP, "t", path));

        umask(mask);
        return r < 0 ? r : 0;
}

int64_t store_version(struct store *store)
{
        return db_number(db_query(store->db, Q_VERSION, ""));
}

int store_changes(struct store *store, int64_t after, store_change_fn *fn, void *arg, int64_t *ret_last)
{
        char tenant[TENANT_MAX + 1];
        int64_t last = after;
        int r = 0;

        if (after < 0) {
                last = db_number(db_query(store->db, Q_CHANGED_LAST, ""));
        } else {
                struct sqlite3_stmt *st = db_query(store->db, Q_CHANGED, "i", after);

                while ((r = db_step(st)) == 1) {
                        db_text(st, 0, tenant, sizeof(tenant));
                        last = db_int(st, 1);
                        fn(arg, tenant);
                }
        }
        if (r < 0 || last < 0)
                return -EIO;
        *ret_last = last;
        return 0;
}

const char *store_why(struct store *store)
{
        if (store->later)
                return "what it is about was written by a later version of postern-relay at another node: upgrade this "
                       "one";
        if (store->unreachable)
                return store->bucket ? bucket_why(store->bucket) : store->detached;
        (void)db_fail(store->db, &store->why);
        return store->why.text;
}

/* ---- tenants ---- */

int store_tenant_add(struct store *store, const char *name, const char *pin, int64_t now)
{
        struct write w = store_write_of(ENTITY_TENANT, name, NULL);
        int r;

        while (store_write_begin(store, &w, &r)) {
                const int n = db_run(store->db, db_query(store->db, Q_TENANT_ADD, "tti", name, pin, now));
                r = store_write_end(store, &w, n < 0 ? n : n == 0 ? -EEXIST : 0);
        }
        return r;
}

static void read_tenant(struct sqlite3_stmt *st, struct store_tenant *t)
{
        db_text(st, 0, t->name, sizeof(t->name));
        db_text(st, 1, t->pin, sizeof(t->pin));
        t->since = db_int(st, 2);
}

int store_tenant_get(struct store *store, const char *name, struct store_tenant *ret_tenant)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_TENANT_GET, "t", name);
        int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        read_tenant(st, ret_tenant);
        db_reset(st);
        return 0;
}

/* Everything of the tenant but its revoked certificates. */
static int forget_tenant(struct store *store, const char *name)
{
        int r = 0;

        for (size_t q = Q_FORGET; q <= Q_FORGET_LAST && r >= 0; q++)
                r = db_run(store->db, db_query(store->db, q, "t", name));
        return r < 0 ? r : 0;
}

int store_tenant_forget(struct store *store, const char *name)
{
        int r = db_run(store->db, db_query(store->db, Q_TENANT_REVOKE, "t", name));

        if (r >= 0)
                r = store_each_token(store, db_query(store->db, Q_TENANT_TOKENS, "t", name), store_erase);
        if (r >= 0)
                r = forget_tenant(store, name);
        if (r == 0)
                r = db_run(store->db, db_query(store->db, Q_TENANT_REMOVE, "t", name));
        return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

int store_tenant_remove(struct store *store, const char *name, int64_t now)
{
        struct write w = store_write_of(ENTITY_TENANT, name, NULL);
        int r;

        while (store_write_begin(store, &w, &r)) {
                int n = store_gen(store, name, w.entity.gen);
                if (n == 0)
                        n = store_tenant_forget(store, name);
                if (n == 0)
                        n = store_removed_add(store, name, REMOVED_GENERATIONS, w.entity.gen, now);
                if (n == 0)
                        n = store_erase_removed(store);
                r = store_write_end(store, &w, n);
        }
        if (r == 0 && store->bucket) /* where that fails it is done by and by */
                (void)store_erase_some(store);
        return r;
}

int store_tenants(struct store *store, store_tenant_fn *fn, void *arg)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_TENANTS, "");
        struct store_tenant t;
        int r;

        while ((r = db_step(st)) == 1) {
                read_tenant(st, &t);
                fn(arg, &t);
        }
        return r;
}

static int add_secret(struct store *store, const char *tenant, enum store_secret_kind kind,
                      const uint8_t hash[STORE_HASH_LEN], int64_t now)
{
        const int64_t n = db_number(db_query(store->db, Q_SECRET_COUNT, "t", tenant));

        if (n < 0 || n >= STORE_SECRETS_MAX)
                return n < 0 ? (int)n : -ENOSPC;
        const int r = db_run(store->db, db_query(store->db, Q_SECRET_ADD, "tibi", tenant, (int64_t)kind, hash, now));
        return r < 0 ? r : db_run(store->db, db_query(store->db, Q_TENANT_CHANGED, "t", tenant));
}

int store_secret_add(struct store *store, const char *tenant, enum store_secret_kind kind,
                     const uint8_t hash[STORE_HASH_LEN], int64_t now)
{
        struct write w = store_write_of(ENTITY_TENANT, tenant, NULL);
        int r;

        while (store_write_begin(store, &w, &r))
                r = store_write_end(store, &w, add_secret(store, tenant, kind, hash, now));
        return r < 0 ? r : 0;
}

static int remove_secret(struct store *store, const char *tenant, const uint8_t hash[STORE_HASH_LEN], int64_t now)
{
        int r = db_run(store->db, db_query(store->db, Q_SECRET_GONE, "tbi", tenant, hash, now));

        if (r <= 0) /* there is none, or it is removed already */
                return r;
        r = db_run(store->db, db_query(store->db, Q_SECRET_REMOVE, "tb", tenant, hash));
        if (r > 0)
                r = db_run(store->db, db_query(store->db, Q_TENANT_CHANGED, "t", tenant));
        return r < 0 ? r : store_removed_add(store, tenant, REMOVED_SECRETS, "", 0) < 0 ? -EIO : 1;
}

int store_secret_remove(struct store *store, const char *tenant, const uint8_t hash[STORE_HASH_LEN], int64_t now)
{
        struct write w = store_write_of(ENTITY_TENANT, tenant, NULL);
        int r;

        while (store_write_begin(store, &w, &r))
                r = store_write_end(store, &w, remove_secret(store, tenant, hash, now));
        return r;
}

enum store_secret_kind store_secret_kind(int64_t number)
{
        return number == SECRET_ADMIN || number == SECRET_SERVICE ? (enum store_secret_kind)number : SECRET_HELPDESK;
}

int store_secrets(struct store *store, const char *tenant, struct store_secret secrets[STORE_SECRETS_MAX],
                  size_t *ret_n)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_SECRETS, "t", tenant);
        size_t n = 0;
        int r;

        while ((r = db_step(st)) == 1) {
                const uint8_t *hash = db_blob(st, 1);

                if (n == STORE_SECRETS_MAX || !hash)
                        continue;
                secrets[n].since = db_int(st, 2);
                secrets[n].kind = store_secret_kind(db_int(st, 0));
                memcpy(secrets[n++].hash, hash, STORE_HASH_LEN);
        }
        if (r == 0)
                *ret_n = n;
        return r;
}

/* ---- tokens ---- */

static struct write write_of_token(const uint8_t hash[STORE_HASH_LEN])
{
        struct write w = store_write_of(ENTITY_TOKEN, NULL, NULL);

        memcpy(w.entity.hash, hash, sizeof(w.entity.hash));
        return w;
}

int store_token_add(struct store *store, const char *tenant, const char *name, const uint8_t hash[STORE_HASH_LEN],
                    int64_t expires)
{
        struct write w = write_of_token(hash);
        int r;

        while (store_write_begin(store, &w, &r))
                r = store_write_end(
                        store, &w,
                        db_run(store->db, db_query(store->db, Q_TOKEN_ADD, "btti", hash, tenant, name, expires)));
        return r < 0 ? r : 0;
}

/* Which of the things it is that make a token no good. */
static int why_no_good(struct store *store, const struct store_ticket *t)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_TOKEN_FACTS, "b", t->token);
        char tenant[TENANT_MAX + 1], name[NAME_MAX_LEN + 1];
        int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -EACCES;
        db_text(st, 0, tenant, sizeof(tenant));
        db_text(st, 1, name, sizeof(name));
        const bool used = db_int(st, 2) != 0;
        db_reset(st);
        return strcmp(tenant, t->tenant) != 0 || strcmp(name, t->name) != 0 ? -EXDEV
               : used                                                       ? -EKEYREVOKED
                                                                            : -EKEYEXPIRED;
}

static int check_token(struct store *store, const struct store_ticket *t, int64_t now)
{
        const int64_t n = db_number(db_query(store->db, Q_TOKEN_CHECK, "bttbii", t->token, t->tenant, t->name, t->csr,
                                             now, now - STORE_REPEAT_S));

        return n < 0 ? (int)n : n == 0 ? why_no_good(store, t) : (int)n - 1;
}

int store_token_check(struct store *store, const struct store_ticket *t, int64_t now)
{
        const int r = store_refresh(store, ENTITY_TOKEN, NULL, t->token);

        return r < 0 ? r : check_token(store, t, now);
}

int store_token_take(struct store *store, const struct store_ticket *t, int64_t now)
{
        struct write w = write_of_token(t->token);
        int r, n;

        while (store_write_begin(store, &w, &r)) {
                n = check_token(store, t, now);
                if (n == 0 && store->bucket && w.revision == 0)
                        n = -EACCES; /* of a bucket that was lost: another node may know that it was used */
                if (n == 0)
                        n = db_run(store->db, db_query(store->db, Q_TOKEN_TAKE, "bttbi", t->token, t->tenant, t->name,
                                                       t->csr, now)) < 0
                                    ? -EIO
                                    : 0;
                else if (n == 1) /* nothing is written */
                        return db_end(store->db, 1);
                r = store_write_end(store, &w, n);
        }
        return r;
}

int store_token_answered(struct store *store, const struct store_ticket *t, const char *answer)
{
        struct write w = write_of_token(t->token);
        int r;

        while (store_write_begin(store, &w, &r)) {
                const int n = db_run(store->db, db_query(store->db, Q_TOKEN_CERTIFICATE, "btbt", t->token, t->tenant,
                                                         t->csr, answer));
                r = store_write_end(store, &w, n == 0 ? -EEXIST : n);
        }
        return r < 0 ? r : 0;
}

int store_token_answer(struct store *store, const struct store_ticket *t, struct buffer *out)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_TOKEN_ANSWER, "btb", t->token, t->tenant, t->csr);
        int r = db_step(st);
        size_t n;

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        const char *text = db_str(st, 0, &n);
        r = buffer_append(out, text, n);
        db_reset(st);
        return r;
}
