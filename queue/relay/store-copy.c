/*
 * A store on NATS: the bucket decides, and the database is this node's copy of it.
 *
 * Owns revisions, the outbox and the notes of the database. Invariants: an older revision of a key never takes the
 * place of a newer one; what makes this node stricter (a revocation, a quarantine) is in the copy at once and in the
 * outbox until the bucket has it; what makes it laxer, or decides between two, is stored in the bucket first, or not
 * at all. A bucket that was made anew, or put back from an old copy, is told what this node knows better.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/relay/bucket.h"
#include "queue/relay/store-internal.h"

#define TRIES_MAX 16
#define BATCH_MAX 256
#define FLUSH_MAX 64
#define DRAIN_TRIES 3
#define COMING_MS 2000         /* for what is stored already */
#define NOTE_SEEN "seen"       /* the last revision that was taken from the watch */
#define NOTE_CREATED "created" /* which stream that was */
#define NOTE_BEAT "beat"       /* this node's last beat among them */
#define NOTE_WHOLE "whole"     /* 1: this copy has had all that there was once */
#define NOTE_EPOCH "epoch"     /* the bucket's, of which the copy is */
#define NOTE_OWED "owed"       /* 1: what is not in the bucket is to be written into it */
#define NOTE_PASSED "passed"   /* 1: something of a later version was passed over */

#define RUN(store, ...) db_run((store)->db, db_query((store)->db, __VA_ARGS__))

static int64_t note(struct store *store, const char *name)
{
        return db_number(db_query(store->db, Q_NOTE, "t", name));
}

static int set_note(struct store *store, const char *name, int64_t value)
{
        const int r = RUN(store, Q_NOTE_PUT, "ti", name, value);

        return r < 0 ? r : 0;
}

/* ---- documents that came ---- */

static int remember(struct store *store, const char *key, uint64_t revision)
{
        const int r = RUN(store, Q_REVISION_PUT, "ti", key, (int64_t)revision);

        return r < 0 ? r : 0;
}

/* The tenant as the leader has it, for a document that came before its tenant's. Within a transaction. */
static int fetch_tenant(struct store *store, const char *tenant)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        struct entity e = {.kind = ENTITY_TENANT};
        char key[ENTITY_KEY_MAX];
        uint64_t revision;

        memcpy(e.tenant, tenant, strnlen(tenant, TENANT_MAX));
        entity_key(&e, key);
        int r = store->bucket ? bucket_get(store->bucket, key, &text, &revision) : -ENOENT;
        if (r < 0)
                return r;
        r = store_doc_apply(store, &e, text.data, text.len, false);
        if (r == 1)
                r = RUN(store, Q_OUTBOX_ADD, "t", key);
        return r < 0 ? r : remember(store, key, revision);
}

/* What came before its tenant's document, once that is there. -ESRCH: it is of a generation that is gone. */
static int apply_after_tenant(struct store *store, struct entity *e, const char *text, size_t n, bool waits)
{
        const int gone = store_removed_has(store, e->tenant, REMOVED_GENERATIONS, e->gen);
        const int tenant = gone < 0 ? gone : gone ? -ESRCH : fetch_tenant(store, e->tenant);

        return tenant >= 0 ? store_doc_apply(store, e, text, n, waits) : tenant == -ENOENT ? -ESRCH : tenant;
}

/* Within a transaction, which a failure ends; what cannot be read is passed over, and told. -EPROTONOSUPPORT: it is of
 * a later version of the relay, and not remembered, so that this node takes it once it can. */
static int apply(struct store *store, const char *key, const char *text, size_t n, uint64_t revision)
{
        const int64_t known = db_number(db_query(store->db, Q_REVISION, "t", key));
        const int64_t waits = db_number(db_query(store->db, Q_OUTBOX_HAS, "t", key));
        struct entity e;
        int r;

        if (known < 0 || waits < 0)
                return -EIO;
        if ((uint64_t)known >= revision || !entity_parse(&e, key) || !text)
                return 0;
        r = store_doc_apply(store, &e, text, n, waits > 0);
        if (r == -ESRCH) /* -EHOSTUNREACH: whether it is this tenant's is not known, and it comes again */
                r = apply_after_tenant(store, &e, text, n, waits > 0);
        if (r == 1) /* this node is stricter */
                r = RUN(store, Q_OUTBOX_ADD, "t", key);
        if (r == -EBADMSG)
                log_error("store_document_unusable", KV_S("key", key), KV_U("revision", revision));
        if (r == -ESRCH && store_removed_has(store, e.tenant, REMOVED_GENERATIONS, e.gen) > 0 &&
            RUN(store, Q_ERASE_ADD, "t", key) < 0)
                return -EIO;
        return r < 0 && r != -EBADMSG && r != -ESRCH ? r : remember(store, key, revision);
}

/* ---- one write ---- */

struct write store_write_of(enum entity_kind kind, const char *tenant, const char *id)
{
        struct write w = {.entity.kind = kind};

        if (tenant)
                memcpy(w.entity.tenant, tenant, strnlen(tenant, TENANT_MAX));
        if (id)
                memcpy(w.entity.id, id, strnlen(id, STORE_REF_LEN));
        return w;
}

/* The entity as the leader has it now, into the tables. */
static int refresh(struct store *store, struct write *w, char key[ENTITY_KEY_MAX])
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        struct entity *e = &w->entity;
        int r = 0;

        if (e->kind != ENTITY_TOKEN && e->kind != ENTITY_TENANT && !e->gen[0]) {
                r = store_gen(store, e->tenant, e->gen);
                if (r == 0 && !e->gen[0])
                        return -ENOENT;
        }
        if (r < 0)
                return r;
        entity_key(e, key);
        r = bucket_get(store->bucket, key, &text, &w->revision);
        if (r == 0)
                r = db_begin(store->db);
        if (r == 0)
                r = db_end(store->db, apply(store, key, text.data, text.len, w->revision));
        if (r < 0 && r != -ENOENT)
                return r;
        return e->kind == ENTITY_TENANT ? store_gen(store, e->tenant, e->gen) : 0;
}

/* Notes for store_why what kept a call from the bucket. What is of a later version is as if it could not be reached. */
static int told(struct store *store, int r)
{
        store->later = r == -EPROTONOSUPPORT;
        store->unreachable = r == -EHOSTUNREACH;
        return store->later ? -EHOSTUNREACH : r;
}

int store_refresh(struct store *store, enum entity_kind kind, const char *tenant, const uint8_t *hash)
{
        struct write w = store_write_of(kind, tenant, NULL);
        char key[ENTITY_KEY_MAX];

        store->unreachable = !store->bucket && store->detached;
        if (!store->bucket)
                return store->unreachable ? -EHOSTUNREACH : 0;
        if (hash)
                memcpy(w.entity.hash, hash, sizeof(w.entity.hash));
        return told(store, refresh(store, &w, key));
}

bool store_write_begin(struct store *store, struct write *w, int *ret_code)
{
        char key[ENTITY_KEY_MAX];
        int r = 0;

        if (w->done)
                return false;
        if (store->bucket)
                r = refresh(store, w, key);
        else if (store->detached)
                r = -EHOSTUNREACH;
        if (r == 0)
                r = db_begin(store->db);
        r = told(store, r);
        if (r < 0)
                *ret_code = r;
        return r == 0;
}

/* Stores the entity as the tables have it now. */
static int put(struct store *store, struct write *w)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        char key[ENTITY_KEY_MAX];
        uint64_t revision;
        int r = store_doc_encode(store, &w->entity, &text);

        entity_key(&w->entity, key);
        if (r == 0)
                r = bucket_put(store->bucket, key, text.data, text.len, w->revision, &revision);
        if (r == 0)
                r = remember(store, key, revision);
        if (r == 0)
                r = RUN(store, Q_OUTBOX_DROP, "t", key);
        return r < 0 ? r : 0;
}

int store_write_end(struct store *store, struct write *w, int code)
{
        int r = code >= 0 && store->bucket ? put(store, w) : 0;

        w->done = r != -EAGAIN || ++w->tries == TRIES_MAX;
        if (r == -EAGAIN && w->done)
                r = -EHOSTUNREACH;
        store->unreachable = r == -EHOSTUNREACH;
        return db_end(store->db, r < 0 ? r : code);
}

int store_later(struct store *store, struct entity *e)
{
        char key[ENTITY_KEY_MAX];
        int r = 0;

        if (!store->bucket && !store->detached)
                return 0;
        if (e->kind != ENTITY_TOKEN)
                r = store_gen(store, e->tenant, e->gen);
        if (r < 0 || (e->kind != ENTITY_TOKEN && e->kind != ENTITY_TENANT && !e->gen[0]))
                return r;
        entity_key(e, key);
        r = RUN(store, Q_OUTBOX_ADD, "t", key);
        return r < 0 ? r : 0;
}

int store_each_token(struct store *store, struct sqlite3_stmt *hashes, int (*fn)(struct store *store, struct entity *e))
{
        struct entity e = {.kind = ENTITY_TOKEN};
        int r;

        while ((r = db_step(hashes)) == 1) {
                const uint8_t *hash = db_blob(hashes, 0);

                if (!hash)
                        continue;
                memcpy(e.hash, hash, sizeof(e.hash));
                if ((r = fn(store, &e)) < 0)
                        break;
        }
        return r;
}

/* ---- what waits ---- */

int64_t store_waiting(struct store *store)
{
        return store->bucket || store->detached ? db_number(db_query(store->db, Q_OUTBOX_COUNT, "")) : 0;
}

/*
 * A number by which every node that was away sees that an older copy was put back: it reads all anew. Written by who
 * finds that out, unless somebody else has meanwhile.
 */
static int put_epoch(struct store *store)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        const int64_t known = note(store, NOTE_EPOCH);
        char value[24];
        uint64_t revision, random;
        int r = bucket_get(store->bucket, BUCKET_EPOCH_KEY, &text, &revision);

        if (r < 0 && r != -ENOENT)
                return r;
        if (r == 0 && bucket_epoch_of(text.data, text.len) != known)
                return RUN(store, Q_OUTBOX_DROP, "t", BUCKET_EPOCH_KEY);
        if (RAND_bytes((uint8_t *)&random, sizeof(random)) != 1)
                return -EIO;
        const int n = snprintf(value, sizeof(value), "%lld", (long long)((random >> 2) + 1));
        r = bucket_put(store->bucket, BUCKET_EPOCH_KEY, value, (size_t)n, revision, &revision);
        if (r == 0)
                r = set_note(store, NOTE_EPOCH, bucket_epoch_of(value, (size_t)n));
        if (r < 0 && r != -EAGAIN)
                return r;
        return RUN(store, Q_OUTBOX_DROP, "t", BUCKET_EPOCH_KEY);
}

/* 0, also where the tables have nothing of it any more. */
static int flush_one(struct store *store, const char *key)
{
        struct write w = {.done = false};
        int r = 0;

        if (strcmp(key, BUCKET_EPOCH_KEY) == 0)
                return put_epoch(store);
        if (!entity_parse(&w.entity, key))
                return RUN(store, Q_OUTBOX_DROP, "t", key);
        while (store_write_begin(store, &w, &r))
                r = store_write_end(store, &w, 0);
        if (r == -ENOENT || r == -ESRCH)
                r = RUN(store, Q_OUTBOX_DROP, "t", key);
        return r < 0 ? r : 0;
}

int store_flush(struct store *store)
{
        char key[ENTITY_KEY_MAX];
        int64_t after = 0;
        int r = 0, code = 0;

        /* what cannot be stored, for it is of a later version, keeps nothing else from it, and none of its room */
        for (unsigned done = 0; store->bucket && done < FLUSH_MAX && bucket_writable(store->bucket); done += r >= 0) {
                struct sqlite3_stmt *st = db_query(store->db, Q_OUTBOX_NEXT, "i", after);

                r = db_step(st);
                if (r != 1)
                        break;
                db_text(st, 0, key, sizeof(key));
                after = db_int(st, 1);
                db_reset(st);
                r = flush_one(store, key);
                code = r < 0 ? r : code;
        }
        return r < 0 ? r : code;
}

int store_drain(struct store *store, unsigned wait_ms)
{
        int r = 0;

        for (unsigned tries = 0; tries < DRAIN_TRIES && store_waiting(store) > 0; tries = r < 0 ? tries + 1 : 0) {
                if (!store->bucket || !bucket_settle(store->bucket, wait_ms))
                        return -EHOSTUNREACH;
                r = store_flush(store);
        }
        return r;
}

/* ---- what others wrote ---- */

struct taking {
        struct store *store;
        int r;
        uint64_t last, beat;
        bool begun, passed;
};

/* Of a bucket that had none: it has one now. Of another: this node has missed something. */
static int take_epoch(struct store *store, int64_t epoch)
{
        const int64_t known = note(store, NOTE_EPOCH);

        return known < 0 ? -EIO : known == 0 ? set_note(store, NOTE_EPOCH, epoch) : known == epoch ? 0 : -EPIPE;
}

static void take_entry(void *arg, const char *key, const char *value, size_t n, uint64_t revision)
{
        struct taking *t = arg;

        if (!t->begun) {
                t->r = db_begin(t->store->db);
                t->begun = t->r == 0;
        }
        if (t->r == 0)
                t->r = apply(t->store, key, value, n, revision);
        if (t->r == -EPROTONOSUPPORT) {
                log_error("store_document_later", KV_S("key", key), KV_U("revision", revision));
                t->passed = true;
                t->r = 0;
        }
        if (t->r == 0 && value && strcmp(key, BUCKET_EPOCH_KEY) == 0)
                t->r = take_epoch(t->store, bucket_epoch_of(value, n));
        if (t->r == 0)
                t->last = revision;
        if (t->r == 0 && strcmp(key, bucket_beat_key(t->store->bucket)) == 0)
                t->beat = revision;
}

int store_take(struct store *store, unsigned wait_ms)
{
        struct taking t = {.store = store};
        const int n = bucket_take(store->bucket, wait_ms, BATCH_MAX, take_entry, &t);

        if (t.begun && t.r == 0)
                t.r = set_note(store, NOTE_SEEN, (int64_t)t.last);
        if (t.begun && t.r == 0 && t.passed)
                t.r = set_note(store, NOTE_PASSED, 1);
        if (t.begun && t.r == 0 && t.beat)
                t.r = set_note(store, NOTE_BEAT, (int64_t)t.beat);
        if (t.begun)
                t.r = db_end(store->db, t.r);
        if (t.begun && t.r >= 0) {
                store->taken = t.last;
                store->passed |= t.passed;
        }
        return t.r < 0 ? t.r : n;
}

/* ---- the way from a database to a bucket ---- */

/* missing: only what the bucket has no document of. Within a transaction. */
static int push_all(struct store *store, enum query query, enum entity_kind kind, bool missing)
{
        struct sqlite3_stmt *st = db_query(store->db, query, "");
        struct entity e = {.kind = kind};
        char key[ENTITY_KEY_MAX];
        int r;

        while ((r = db_step(st)) == 1) {
                const uint8_t *hash = kind == ENTITY_TOKEN ? db_blob(st, 0) : NULL;

                if (hash)
                        memcpy(e.hash, hash, sizeof(e.hash));
                else
                        db_text(st, 0, e.tenant, sizeof(e.tenant));
                if (kind == ENTITY_CONNECTOR || kind == ENTITY_EVENT)
                        db_text(st, 1, e.id, sizeof(e.id));
                r = kind == ENTITY_TOKEN ? 0 : store_gen(store, e.tenant, e.gen);
                entity_key(&e, key);
                if (r == 0 && (!missing || db_number(db_query(store->db, Q_REVISION, "t", key)) == 0))
                        r = store_later(store, &e);
                if (r < 0)
                        break;
        }
        return r;
}

static int push(struct store *store, bool missing)
{
        int r = db_begin(store->db);

        if (r < 0)
                return r;
        r = push_all(store, Q_TENANTS, ENTITY_TENANT, missing);
        r = r < 0 ? r : push_all(store, Q_ALL_REMOVED, ENTITY_TENANT, missing);
        r = r < 0 ? r : push_all(store, Q_ALL_ROSTERS, ENTITY_ROSTER, missing);
        r = r < 0 ? r : push_all(store, Q_ALL_CONNECTORS, ENTITY_CONNECTOR, missing);
        r = r < 0 ? r : push_all(store, missing ? Q_USED_TOKENS : Q_ALL_TOKENS, ENTITY_TOKEN, missing);
        r = r < 0 || missing ? r : push_all(store, Q_ALL_EVENTS, ENTITY_EVENT, missing);
        return db_end(store->db, r < 0 ? r : missing ? set_note(store, NOTE_OWED, 0) : r);
}

int store_push(struct store *store)
{
        return push(store, false);
}

/* ---- which bucket it is ---- */

/* The copy is of none that there is: all is read, and each document counts, whatever its revision. known: it was of
 * one. */
static int begin_anew(struct store *store, const struct bucket_facts *facts, bool known, bool mark)
{
        int r = db_begin(store->db);

        if (r < 0)
                return r;
        r = RUN(store, Q_REVISIONS_CLEAR, "");
        if (r >= 0)
                r = set_note(store, NOTE_SEEN, 0);
        if (r == 0)
                r = set_note(store, NOTE_BEAT, 0);
        if (r == 0)
                r = set_note(store, NOTE_CREATED, facts->created);
        if (r == 0)
                r = set_note(store, NOTE_EPOCH, facts->epoch);
        if (r == 0 && known)
                r = set_note(store, NOTE_OWED, 1);
        if (r == 0 && mark)
                r = RUN(store, Q_OUTBOX_ADD, "t", BUCKET_EPOCH_KEY);
        return db_end(store->db, r < 0 ? r : 0);
}

/* Whether a document that is not there went with its tenant, of which this node has not heard yet. */
static bool went_with_tenant(struct store *store, const struct entity *e, uint64_t known)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        struct entity tenant = {.kind = ENTITY_TENANT};
        char key[ENTITY_KEY_MAX];
        uint64_t revision;

        memcpy(tenant.tenant, e->tenant, sizeof(tenant.tenant));
        entity_key(&tenant, key);
        return e->kind != ENTITY_TENANT && bucket_get(store->bucket, key, &text, &revision) == 0 && revision > known;
}

/* 1: the bucket lacks what this node wrote or took last, of what is never erased. Only this node may have seen that. */
static int has_lost(struct store *store)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        struct sqlite3_stmt *st = db_query(store->db, Q_REVISION_LAST, "");
        char key[ENTITY_KEY_MAX];
        struct entity e;
        uint64_t revision;
        int r = db_step(st);

        if (r <= 0)
                return r;
        db_text(st, 0, key, sizeof(key));
        const uint64_t known = (uint64_t)db_int(st, 1);
        db_reset(st);
        if (!entity_parse(&e, key) || store_removed_has(store, e.tenant, REMOVED_GENERATIONS, e.gen))
                return 0;
        r = bucket_get(store->bucket, key, &text, &revision);
        return r == 0 ? revision < known : r == -ENOENT && !went_with_tenant(store, &e, known);
}

/* What the copy says of the bucket that it is of. */
struct notes {
        int64_t created, seen, beat, epoch;
};

static int read_notes(struct store *store, struct notes *ret_notes)
{
        *ret_notes = (struct notes){.created = note(store, NOTE_CREATED),
                                    .seen = note(store, NOTE_SEEN),
                                    .beat = note(store, NOTE_BEAT),
                                    .epoch = note(store, NOTE_EPOCH)};
        return ret_notes->created < 0 || ret_notes->seen < 0 || ret_notes->beat < 0 || ret_notes->epoch < 0 ? -EIO : 0;
}

/*
 * Whether the copy is of this bucket: 0, or 1, all is to be read. One that was put back from an older copy may have
 * grown past what this node saw by now, but it has none of the beats that only this node stores: an older one is there,
 * or none; and whoever was there when it was put back has changed its epoch. facts are from before this connection
 * stored one, and notes from before those: a command and the running relay have one database, and the other goes on
 * taking.
 */
static int compare(struct store *store, const struct notes *had, const struct bucket_facts *facts)
{
        const bool older = bucket_rewound(store->bucket) || (uint64_t)had->seen > facts->last ||
                           (uint64_t)had->beat > facts->beat || has_lost(store) > 0;
        int r;

        if (had->created == facts->created && !older && had->epoch == facts->epoch && had->epoch)
                return 0;
        if (had->created && (had->created != facts->created || older || had->epoch))
                log_warning("store_bucket_is_another",
                            KV_S("why", had->created != facts->created ? "it was made anew"
                                        : older                        ? "it was put back from an older copy"
                                                : "another node found that it was put back from an older copy"),
                            KV_I("seen", had->seen), KV_U("last", facts->last));
        r = begin_anew(store, facts, had->created != 0, older || !facts->epoch);
        if (r == 0)
                bucket_rewound_known(store->bucket);
        return r < 0 ? r : 1;
}

/* -EPIPE: it became another one meanwhile. */
static int catch_up(struct store *store, unsigned replicas, unsigned wait_ms, unsigned settle_ms, struct error *err)
{
        struct bucket_facts facts;
        struct notes had;
        int r = read_notes(store, &had);

        if (r < 0)
                return error_fail(err, r, "%s", store_why(store));
        r = bucket_look(store->bucket, replicas, wait_ms, &facts, err);
        if (r < 0)
                return r;
        (void)bucket_settle(store->bucket, settle_ms); /* what comes before its tenant asks for that */
        r = compare(store, &had, &facts);
        /* what was passed over is looked at again by every start: this program may be one that can read it */
        const int64_t passed = note(store, NOTE_PASSED), seen = r == 1 || passed == 1 ? 0 : note(store, NOTE_SEEN);
        if (r >= 0 && (passed < 0 || seen < 0))
                r = -EIO;
        if (r >= 0 && bucket_watch(store->bucket, (uint64_t)seen) < 0)
                return error_fail(err, -EHOSTUNREACH, "%s", bucket_why(store->bucket));
        /* by what this process took: a command and the running relay share the database, and its note of what was seen
         */
        store->taken = (uint64_t)seen;
        store->passed = false;
        while (r >= 0 && store->taken < facts.last)
                if ((r = store_take(store, COMING_MS)) == 0)
                        return error_fail(err, -EHOSTUNREACH, "the NATS servers do not send what is stored");
        if (r >= 0 && passed == 1 && !store->passed)
                r = set_note(store, NOTE_PASSED, 0);
        /* not tokens that were not used, by what this node knows: another may know better, until it has said so */
        if (r >= 0 && note(store, NOTE_OWED) == 1)
                r = push(store, true);
        if (r >= 0)
                r = set_note(store, NOTE_WHOLE, 1);
        return r < 0 ? error_fail(err, r, "%s",
                                  r == -EPIPE || r == -EHOSTUNREACH ? bucket_why(store->bucket) : store_why(store))
                     : 0;
}

int store_catch_up(struct store *store, unsigned replicas, unsigned wait_ms, unsigned settle_ms, struct error *err)
{
        const int r = catch_up(store, replicas, wait_ms, settle_ms, err);

        return r == -EPIPE ? catch_up(store, replicas, wait_ms, settle_ms, err) : r;
}

bool store_is_whole(struct store *store)
{
        return note(store, NOTE_WHOLE) == 1;
}

void store_set_bucket(struct store *store, struct bucket *bucket)
{
        store->bucket = bucket;
        store->detached = NULL;
}

void store_detach(struct store *store, const char *why)
{
        store->bucket = NULL;
        store->detached = why;
}
