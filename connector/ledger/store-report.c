/*
 * What `postern report` adds up: counts of a stretch of time in one database of the ledger, as JSON rows.
 *
 * A stretch is a day at most (request.c), so that one question holds the ledger up for milliseconds; whoever asks puts
 * the days together. The bounds of durations are those of base/metrics.
 */
#include "connector/ledger/store-internal.h"

#define REPORT_MS 2000
#define WITHIN " FROM records WHERE wall >= ?1 AND wall < ?2"
#define LATER(ms) "(ms_dc > " #ms ")"
/* The index into metrics_bounds_ms. */
#define BUCKET                                                                                                         \
        LATER(5)                                                                                                       \
        "+" LATER(10) "+" LATER(25) "+" LATER(50) "+" LATER(100) "+" LATER(250) "+" LATER(500) "+" LATER(              \
                1000) "+" LATER(2500) "+" LATER(5000) "+" LATER(10000) "+" LATER(15000)

const char *const ledger_report_texts[] = {
        "SELECT coalesce(verdict, 'declined'), coalesce(class, ''), coalesce(reason, declined, ''), "
        "coalesce(service, ''), count(*)" WITHIN " GROUP BY 1, 2, 3, 4",
        "SELECT dc, coalesce(method, ''), " BUCKET
        ", count(*), sum(ms_dc), max(ms_dc), sum(verdict = 'unavailable')" WITHIN
        " AND dc IS NOT NULL AND dc <> '' AND ms_dc IS NOT NULL GROUP BY 1, 2, 3",
        "SELECT count(DISTINCT user_hash)" WITHIN,
        "SELECT max(coalesce(upn, user, user_masked, '')), sum(reason = 'locked_out'), sum(reason = 'wrong_password'), "
        "count(*)" WITHIN " AND verdict = 'refused' AND user_hash IS NOT NULL GROUP BY user_hash "
        "ORDER BY 2 DESC, 3 DESC LIMIT 200",
        "SELECT wall / ?3 * ?3, coalesce(verdict, 'declined'), count(*)" WITHIN " GROUP BY 1, 2",
};

/* Appends {"a":...,"b":...} for each row; names ends with NULL and tells texts ("s:...") from numbers ("i:..."). */
static int add_rows(struct store *store, enum query query, const struct store_search *s, const char *const *names,
                    json_t *list, struct error *err)
{
        struct sqlite3_stmt *stmt =
                db_query(store->db, query, "ii", (int64_t)s->request->since, (int64_t)s->request->until);
        int r;

        if (query == Q_REPORT_SERIES)
                (void)db_bind_int(stmt, 3, s->request->step);
        db_deadline(store->db, REPORT_MS);
        while ((r = db_step(stmt)) == 1) {
                json_t *row = json_object();
                for (int i = 0; names[i]; i++)
                        (void)json_object_set_new(row, names[i] + 2,
                                                  names[i][0] == 's' ? json_string(db_str(stmt, i, NULL))
                                                                     : json_integer(db_int(stmt, i)));
                (void)json_array_append_new(list, row);
        }
        if (r < 0)
                r = db_fail(store->db, err);
        db_deadline(store->db, 0);
        return r;
}

int ledger_store_report(struct store *store, const struct store_search *s, json_t *report, struct error *err)
{
        static const struct {
                enum query query;
                const char *key, *names[8]; /* ends with NULL */
        } parts[] = {
                {Q_REPORT_ENDS, "ends", {"s:verdict", "s:class", "s:reason", "s:service", "i:n", NULL}},
                {Q_REPORT_DCS, "dcs", {"s:dc", "s:method", "i:bucket", "i:n", "i:ms", "i:ms_max", "i:failed", NULL}},
                {Q_REPORT_NAMES, "names", {"i:n", NULL}},
                {Q_REPORT_USERS, "users", {"s:user", "i:locked", "i:wrong", "i:n", NULL}},
                {Q_REPORT_SERIES, "series", {"i:at", "s:verdict", "i:n", NULL}},
        };
        int r = 0;

        for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
                if ((parts[i].query == Q_REPORT_USERS && !s->request->users) ||
                    (parts[i].query == Q_REPORT_SERIES && !s->request->step))
                        continue;
                if (!json_object_get(report, parts[i].key))
                        (void)json_object_set_new(report, parts[i].key, json_array());
                r = add_rows(store, parts[i].query, s, parts[i].names, json_object_get(report, parts[i].key), err);
        }
        return r;
}
