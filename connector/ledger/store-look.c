/*
 * What a helpdesk asks of many records at once: how long sign-ins took and where, beside a day before; and what may be
 * an attack. Facts as JSON; what they mean is told by connector/findings/looks.c.
 *
 * {"now":T,"before":T,"dcs":[{"dc","method","now":H,"before":H}],"records":[the slowest]}
 * T: {"since","until","n","opened":H,"dc":H,"rest":H,"total":H}; H: {"n","p50","p95"}, ms.
 *
 * {"many_names":[{"ip","names","n","first","last","app"?}],
 *  "after_failures":[{"id","wall","user","ip","app"?,"failures"}]}
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector/ledger/store-internal.h"

#define LOOK_MS 2000
#define DAY_S 86400
#define ROWS_MAX 20000 /* of a stretch: the newest */
#define DCS_MAX 64
#define NAMES_MANY 10   /* names that one address fails with */
#define FAILURES_MANY 3 /* of a name, within an hour before it succeeds */

enum hop { HOP_OPENED, HOP_DC, HOP_REST, HOP_TOTAL, HOPS };

struct row {
        uint32_t ms[HOPS];
        uint8_t dc; /* index, DCS_MAX: none */
};

struct stretch {
        struct row *rows;
        size_t n;
};

struct look {
        char dcs[DCS_MAX][256 + 8]; /* "method dc" */
        size_t n_dcs;
        struct stretch stretches[2]; /* now, before */
};

static uint8_t index_of(struct look *k, const char *dc, const char *method)
{
        char name[sizeof(k->dcs[0])];
        size_t i = 0;

        if (!dc || !dc[0])
                return DCS_MAX;
        (void)snprintf(name, sizeof(name), "%.7s %.255s", method && method[0] ? method : "-", dc);
        while (i < k->n_dcs && strcmp(k->dcs[i], name) != 0)
                i++;
        if (i == k->n_dcs && i < DCS_MAX)
                memcpy(k->dcs[k->n_dcs++], name, sizeof(name));
        return (uint8_t)i;
}

static uint32_t ms_of(struct sqlite3_stmt *stmt, int column)
{
        const int64_t ms = db_int(stmt, column);

        return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static int read_stretch(struct store *store, struct look *k, struct stretch *s, int64_t since, int64_t until)
{
        struct sqlite3_stmt *stmt = db_query(store->db, Q_TIMES, "iii", since, until, (int64_t)ROWS_MAX);
        int r;

        while ((r = db_step(stmt)) == 1 && s->n < ROWS_MAX) {
                struct row *row = &s->rows[s->n++];
                const uint32_t opened = ms_of(stmt, 2), dc = ms_of(stmt, 3), total = ms_of(stmt, 4);

                *row = (struct row){.ms = {opened, dc, total > opened + dc ? total - opened - dc : 0, total},
                                    .dc = index_of(k, db_str(stmt, 0, NULL), db_str(stmt, 1, NULL))};
        }
        if (r > 0)
                db_reset(stmt);
        return r > 0 ? 0 : r;
}

static int by_ms(const void *a, const void *b)
{
        const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? -1 : x > y;
}

/* dc: DCS_MAX and above: of all rows. */
static json_t *spread(const struct stretch *s, enum hop hop, size_t dc)
{
        uint32_t *ms = calloc(s->n + 1, sizeof(*ms));
        size_t n = 0;

        for (size_t i = 0; ms && i < s->n; i++)
                if (dc >= DCS_MAX || s->rows[i].dc == dc)
                        ms[n++] = s->rows[i].ms[hop];
        if (n)
                qsort(ms, n, sizeof(*ms), by_ms);
        json_t *o = ms ? json_pack("{s:I, s:I, s:I}", "n", (json_int_t)n, "p50", (json_int_t)(n ? ms[n / 2] : 0), "p95",
                                   (json_int_t)(n ? ms[n - 1 - n / 20] : 0))
                       : NULL;
        free(ms);
        return o;
}

static json_t *stretch_json(const struct stretch *s, int64_t since, int64_t until)
{
        return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "since", (json_int_t)since, "until", (json_int_t)until,
                         "n", (json_int_t)s->n, "opened", spread(s, HOP_OPENED, DCS_MAX), "dc",
                         spread(s, HOP_DC, DCS_MAX), "rest", spread(s, HOP_REST, DCS_MAX), "total",
                         spread(s, HOP_TOTAL, DCS_MAX));
}

static json_t *dcs_json(const struct look *k)
{
        json_t *list = json_array();

        for (size_t i = 0; i < k->n_dcs; i++) {
                const char *blank = strchr(k->dcs[i], ' ');
                (void)json_array_append_new(list, json_pack("{s:s, s:s#, s:o, s:o}", "dc", blank + 1, "method",
                                                            k->dcs[i], (int)(blank - k->dcs[i]), "now",
                                                            spread(&k->stretches[0], HOP_DC, i), "before",
                                                            spread(&k->stretches[1], HOP_DC, i)));
        }
        return list;
}

int ledger_store_slow(struct store *store, const struct store_search *search, json_t *ret, struct error *err)
{
        const int64_t since = search->request->since, until = search->request->until;
        struct row *rows = calloc(2 * (size_t)ROWS_MAX, sizeof(*rows));
        struct look k = {.n_dcs = 0};
        json_t *records;
        int r = 0;

        if (!rows)
                return error_fail(err, -ENOMEM, "ledger: out of memory");
        k.stretches[0].rows = rows;
        k.stretches[1].rows = rows + ROWS_MAX;
        db_deadline(store->db, LOOK_MS);
        for (int64_t i = 0; r == 0 && i < 2; i++)
                if (read_stretch(store, &k, &k.stretches[i], since - i * DAY_S, until - i * DAY_S) < 0)
                        r = db_fail(store->db, err);
        db_deadline(store->db, 0);
        records = json_array();
        r = r < 0 ? r : ledger_store_slowest(store, search, records, err);
        if (r == 0) {
                (void)json_object_set_new(ret, "now", stretch_json(&k.stretches[0], since, until));
                (void)json_object_set_new(ret, "before", stretch_json(&k.stretches[1], since - DAY_S, until - DAY_S));
                (void)json_object_set_new(ret, "dcs", dcs_json(&k));
                (void)json_object_set(ret, "records", records);
        }
        json_decref(records);
        free(rows);
        return r;
}

/* ---- what may be an attack ---- */

/* Rows of a query as objects; names ends with NULL and tells texts ("s...") from numbers ("i..."). */
static int add_rows(struct store *store, enum query query, const struct request *q, int64_t many,
                    const char *const *names, json_t *list, struct error *err)
{
        struct sqlite3_stmt *stmt = db_query(store->db, query, "iii", q->since, q->until, many);
        int r;

        while ((r = db_step(stmt)) == 1) {
                json_t *row = json_object();

                for (int i = 0; names[i]; i++)
                        if (!db_is_null(stmt, i))
                                (void)json_object_set_new(row, names[i] + 1,
                                                          names[i][0] == 's' ? json_string(db_str(stmt, i, NULL))
                                                                             : json_integer(db_int(stmt, i)));
                (void)json_array_append_new(list, row);
        }
        return r < 0 ? db_fail(store->db, err) : 0;
}

int ledger_store_unusual(struct store *store, const struct store_search *search, json_t *ret, struct error *err)
{
        static const char *const names[] = {"sip", "inames", "in", "ifirst", "ilast", "sapp", NULL};
        static const char *const after[] = {"sid", "iwall", "suser", "sip", "sapp", "ifailures", NULL};
        json_t *many = json_array(), *success = json_array();

        (void)json_object_set_new(ret, "many_names", many);
        (void)json_object_set_new(ret, "after_failures", success);
        db_deadline(store->db, LOOK_MS);
        int r = add_rows(store, Q_MANY_NAMES, search->request, NAMES_MANY, names, many, err);
        r = r < 0 ? r : add_rows(store, Q_AFTER_FAILURES, search->request, FAILURES_MANY, after, success, err);
        db_deadline(store->db, 0);
        return r;
}
