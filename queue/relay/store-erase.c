/*
 * What is to leave the bucket of a store on NATS: documents of tenants that were removed, tokens and events that are
 * over.
 *
 * Owns the table `erase` of keys. Invariants: what the tables have stays in the bucket; a key is in the list until the
 * bucket has nothing of it, however often that fails; which revision is erased is asked of the bucket, so that nothing
 * of another history goes.
 */
#include <errno.h>
#include <string.h>

#include "queue/relay/bucket.h"
#include "queue/relay/store-internal.h"

#define ERASED_AT_ONCE 64

#define RUN(store, ...) db_run((store)->db, db_query((store)->db, __VA_ARGS__))

int store_erase(struct store *store, struct entity *e)
{
        char key[ENTITY_KEY_MAX];

        if (!store->bucket && !store->detached)
                return 0;
        entity_key(e, key);
        const int r = RUN(store, Q_ERASE_ADD, "t", key);
        return r < 0 ? r : 0;
}

int store_erase_removed(struct store *store)
{
        const int r = store->bucket || store->detached ? RUN(store, Q_ERASE_REMOVED, "") : 0;

        return r < 0 ? r : 0;
}

/* 1: the tables have it, perhaps again. */
static int is_there(struct store *store, const struct entity *e)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        char gen[STORE_GEN_LEN + 1];
        int r = 0;

        if (e->kind == ENTITY_TENANT)
                return 1;
        if (e->kind != ENTITY_TOKEN && ((r = store_gen(store, e->tenant, gen)) < 0 || strcmp(gen, e->gen) != 0))
                return r;
        r = store_doc_encode(store, e, &text);
        return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

static int erase_one(struct store *store, const char *key)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(BUCKET_VALUE_MAX);
        struct entity e;
        uint64_t revision;
        int r = entity_parse(&e, key) ? is_there(store, &e) : 1;

        if (r == 0) {
                r = bucket_get(store->bucket, key, &text, &revision);
                if (r == 0)
                        r = bucket_erase(store->bucket, revision);
                if (r == 0 || r == -ENOENT)
                        r = RUN(store, Q_REVISION_DROP, "t", key);
        }
        return r < 0 ? r : RUN(store, Q_ERASE_DROP, "t", key);
}

int store_erase_some(struct store *store)
{
        char key[ENTITY_KEY_MAX] = "";
        int r = 0, code = 0;

        for (unsigned n = 0; n < ERASED_AT_ONCE && store->bucket && bucket_readable(store->bucket); n++) {
                struct sqlite3_stmt *st = db_query(store->db, Q_ERASE_NEXT, "t", key);

                if ((r = db_step(st)) != 1)
                        break;
                db_text(st, 0, key, sizeof(key));
                db_reset(st);
                r = erase_one(store, key);
                code = r < 0 ? r : code;
        }
        return r < 0 ? r : code;
}
