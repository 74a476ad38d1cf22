/*
 * What was removed and must not come back with an older copy of the bucket: secrets, and generations of tenants.
 *
 * Owns the table `removed`. Invariants: a row is never taken back; lists are joined, and of each kind of a tenant the
 * newest REMOVED_MAX are kept, by an order that is the same at every node, so that all nodes come to hold the same. Of
 * what was forgotten so the time is known: it was removed before the oldest of those that are kept, and made before.
 */
#include <errno.h>
#include <string.h>

#include "certs/codec/json.h"
#include "queue/relay/store-internal.h"

#define RUN(store, ...) db_run((store)->db, db_query((store)->db, __VA_ARGS__))

static int trim(struct store *store, const char *tenant, const char *kind)
{
        const int r = RUN(store, Q_REMOVED_TRIM, "tti", tenant, kind, (int64_t)REMOVED_MAX);

        return r < 0 ? r : 0;
}

int store_removed_add(struct store *store, const char *tenant, const char *kind, const char *word, int64_t at)
{
        const int r = word[0] ? RUN(store, Q_REMOVED_ADD, "ttti", tenant, kind, word, at) : 0;

        return r < 0 ? r : trim(store, tenant, kind);
}

int store_removed_has(struct store *store, const char *tenant, const char *kind, const char *word)
{
        return (int)db_number(db_query(store->db, Q_REMOVED_HAS, "ttt", tenant, kind, word));
}

int store_removed_last(struct store *store, const char *tenant, const char *kind, char out[REMOVED_WORD_MAX + 1])
{
        struct sqlite3_stmt *st = db_query(store->db, Q_REMOVED_OF, "tt", tenant, kind);
        const int r = db_step(st);

        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        db_text(st, 0, out, REMOVED_WORD_MAX + 1);
        db_reset(st);
        return 0;
}

int64_t store_removed_floor(struct store *store, const char *tenant, const char *kind)
{
        return db_number(db_query(store->db, Q_REMOVED_FLOOR, "tti", tenant, kind, (int64_t)REMOVED_MAX));
}

int store_removed_write(struct store *store, const char *tenant, const char *kind, struct json_writer *w)
{
        struct sqlite3_stmt *st = db_query(store->db, Q_REMOVED_OF, "tt", tenant, kind);
        int r;

        json_write_open(w, kind, '[');
        while ((r = db_step(st)) == 1) {
                json_write_open(w, NULL, '{');
                json_write_str(w, "word", db_str(st, 0, NULL));
                json_write_int(w, "at", db_int(st, 1));
                json_write_close(w, '}');
        }
        json_write_close(w, ']');
        return r;
}

int store_removed_read(struct store *store, const char *tenant, const char *kind, struct json_reader *r)
{
        const int64_t here = db_number(db_query(store->db, Q_REMOVED_COUNT, "tt", tenant, kind));
        struct json_reader list, row;
        char word[REMOVED_WORD_MAX + 1];
        int64_t known = 0;
        int code = here < 0 ? -EIO : 0;

        /* a node of an earlier version writes no list */
        const bool any = code == 0 && json_read_list(&list, r, kind, JSON_OPTIONAL, 0, REMOVED_MAX);
        while (any && code >= 0 && json_read_next(&list)) {
                if (!json_read_object(&row, &list, NULL, JSON_REQUIRED))
                        break;
                json_read_str(&row, "word", JSON_REQUIRED, word, sizeof(word));
                const int64_t at = json_read_int(&row, "at", 0, INT64_C(1) << 40);

                if (json_read_result(r) < 0)
                        break;
                known += db_number(db_query(store->db, Q_REMOVED_SINCE, "ttti", tenant, kind, word, at));
                code = RUN(store, Q_REMOVED_ADD, "ttti", tenant, kind, word, at);
        }
        if (code >= 0)
                code = json_read_result(r) < 0 ? -EBADMSG : trim(store, tenant, kind);
        return code < 0 ? code : here > known;
}
