/*
 * The journal: frames in, batches to the disk, memory while the disk refuses.
 *
 * Invariant: a frame that was taken is in exactly one place: pending, memory or disk; what falls out for want
 * of room is counted. Degradation is a state that is left by itself as soon as the disk works; it never
 * reaches a sign-in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "connector/ledger/store.h"

#define BATCH 100
#define FLUSH_MS 100
#define RETRY_MS 5000
#define TRIM_FIRST_MS 1000
#define TRIM_MS 600000
#define TRIM_MORE_MS 200

struct pending {
        TAILQ_ENTRY(pending) link;
        int64_t wall;
        size_t len;
        uint8_t bytes[];
};

struct journal {
        struct journal_config config;
        struct store *disk; /* NULL while degraded */
        struct store *memory;
        struct loop_timer *flush_timer, *retry_timer, *trim_timer;
        TAILQ_HEAD(, pending) pending;
        size_t n_pending, n_memory; /* n_memory: rows put there since it was empty */
        uint64_t n_dropped;
        int64_t degraded_since;
        struct error why;
};

static void drop_first(struct journal *j)
{
        struct pending *p = TAILQ_FIRST(&j->pending);

        TAILQ_REMOVE(&j->pending, p, link);
        free(p);
        j->n_pending--;
}

static void degrade(struct journal *j)
{
        j->disk = ledger_store_free(j->disk);
        if (!j->degraded_since) {
                j->degraded_since = loop_wall(j->config.loop);
                log_warning("ledger.degraded", KV_S("why", j->why.text));
        }
        loop_timer_in(j->retry_timer, j->config.retry_ms);
}

/* Writes all that is pending into one store, in one transaction. */
static int write_batch(struct journal *j, struct store *store, struct error *err)
{
        struct pending *p;
        struct msg_in m;
        int r = ledger_store_begin(store, err);

        if (r < 0)
                return r;
        TAILQ_FOREACH (p, &j->pending, link) {
                if (r < 0)
                        break;
                if (msg_parse(&m, p->bytes, p->len) < 0)
                        continue;
                r = ledger_store_insert(store, &m, p->wall, err);
                if (r == -EBADMSG) {
                        log_debug("row.refused", KV_S("why", err->text));
                        r = 0;
                }
        }
        return ledger_store_end(store, r, err);
}

static void write_to_memory(struct journal *j)
{
        struct error err;
        bool more;

        if (!j->memory && ledger_store_open(&j->memory, -1, j->config.key, &err) < 0) {
                log_warning("ledger.memory", KV_S("why", err.text));
                return;
        }
        if (write_batch(j, j->memory, &err) < 0) {
                log_warning("ledger.memory", KV_S("why", err.text));
                return;
        }
        j->n_memory += j->n_pending;
        while (j->n_pending)
                drop_first(j);
        if (j->n_memory > JOURNAL_MEMORY_ROWS &&
            ledger_store_trim(j->memory, 0, JOURNAL_MEMORY_ROWS, &more, &err) == 0) {
                j->n_dropped += j->n_memory - JOURNAL_MEMORY_ROWS;
                j->n_memory = JOURNAL_MEMORY_ROWS;
        }
}

void ledger_journal_flush(struct journal *j)
{
        loop_timer_stop(j->flush_timer);
        if (j->n_pending == 0)
                return;
        if (j->disk && write_batch(j, j->disk, &j->why) == 0) {
                while (j->n_pending)
                        drop_first(j);
                return;
        }
        if (j->disk)
                degrade(j);
        write_to_memory(j);
}

static void on_flush(void *arg)
{
        ledger_journal_flush(arg);
}

/* Opens the disk again and gives it what memory holds. */
static void try_disk(void *arg)
{
        struct journal *j = arg;
        int r = ledger_store_open(&j->disk, j->config.dir_fd, j->config.key, &j->why);

        if (r == 0 && j->memory)
                r = ledger_store_copy(j->disk, j->memory, &j->why);
        if (r < 0) {
                degrade(j);
                return;
        }
        j->memory = ledger_store_free(j->memory);
        j->n_memory = 0;
        if (j->degraded_since)
                log_info("ledger.recovered", KV_I("degraded_s", loop_wall(j->config.loop) - j->degraded_since));
        j->degraded_since = 0;
}

static void on_trim(void *arg)
{
        struct journal *j = arg;
        const int64_t now = loop_wall(j->config.loop);
        bool more = false, more_names = false;

        if (j->disk && j->config.names_days &&
            ledger_store_pseudonyms(j->disk, now - (int64_t)j->config.names_days * 86400, &more_names, &j->why) < 0)
                degrade(j);
        if (j->disk &&
            ledger_store_trim(j->disk, now - (int64_t)j->config.days * 86400, j->config.rows, &more, &j->why) < 0)
                degrade(j);
        loop_timer_in(j->trim_timer, more || more_names ? TRIM_MORE_MS : TRIM_MS);
}

int ledger_journal_new(struct journal **ret_journal, const struct journal_config *config, struct error *err)
{
        struct journal *j = calloc(1, sizeof(*j));

        if (!j)
                return error_fail(err, -ENOMEM, "out of memory");
        j->config = *config;
        j->config.retry_ms = config->retry_ms ? config->retry_ms : RETRY_MS;
        j->config.flush_ms = config->flush_ms ? config->flush_ms : FLUSH_MS;
        TAILQ_INIT(&j->pending);
        int r = loop_timer_new(&j->flush_timer, config->loop, NULL, on_flush, j);
        if (r == 0)
                r = loop_timer_new(&j->retry_timer, config->loop, NULL, try_disk, j);
        if (r == 0)
                r = loop_timer_new(&j->trim_timer, config->loop, NULL, on_trim, j);
        if (r < 0) {
                j->config.dir_fd = -1; /* still the caller's */
                ledger_journal_free(j);
                return error_fail(err, r, "out of memory");
        }
        try_disk(j);
        loop_timer_in(j->trim_timer, TRIM_FIRST_MS);
        *ret_journal = j;
        return 0;
}

struct journal *ledger_journal_free(struct journal *j)
{
        if (!j)
                return NULL;
        if (j->flush_timer)
                ledger_journal_flush(j);
        while (j->n_pending)
                drop_first(j);
        j->flush_timer = loop_timer_free(j->flush_timer);
        j->retry_timer = loop_timer_free(j->retry_timer);
        j->trim_timer = loop_timer_free(j->trim_timer);
        j->disk = ledger_store_free(j->disk);
        j->memory = ledger_store_free(j->memory);
        closep(&j->config.dir_fd);
        free(j);
        return NULL;
}

void ledger_journal_add(struct journal *j, const struct msg_in *m)
{
        struct msg_out copy;

        msg_begin(&copy, m->type);
        for (size_t i = 0; i < m->n; i++)
                msg_bytes(&copy, m->fields[i].tag, m->fields[i].bytes, m->fields[i].len);
        struct pending *p = copy.overflow ? NULL : malloc(sizeof(*p) + copy.len);
        if (!p) {
                j->n_dropped++;
                return;
        }
        p->wall = loop_wall(j->config.loop);
        p->len = copy.len;
        memcpy(p->bytes, copy.data, copy.len);
        TAILQ_INSERT_TAIL(&j->pending, p, link);
        if (++j->n_pending > JOURNAL_PENDING_MAX) {
                drop_first(j);
                j->n_dropped++;
        }
        if (j->n_pending >= BATCH)
                loop_timer_in(j->flush_timer, 0);
        else if (!loop_timer_armed(j->flush_timer))
                loop_timer_in(j->flush_timer, j->config.flush_ms);
}

/* Memory holds the newer rows. A disk that fails is left; the answer then lacks its rows, which the journal's
 * state shows. */
int ledger_journal_search(struct journal *j, store_search_fn *fn, const struct store_search *s, json_t *list,
                          struct error *err)
{
        ledger_journal_flush(j);
        int r = j->memory ? fn(j->memory, s, list, err) : 0;
        if (r == 0 && j->disk && (!json_is_array(list) || json_array_size(list) < s->request->limit)) {
                r = fn(j->disk, s, list, err);
                if (r < 0 && r != -ETIME) {
                        j->why = *err;
                        degrade(j);
                        r = 0;
                }
        }
        return r;
}

/* The disk's store where there is one, else memory's, which holds what came since the disk refused. */
static struct store *main_store(struct journal *j)
{
        ledger_journal_flush(j);
        return j->disk ? j->disk : j->memory;
}

int ledger_journal_look(struct journal *j, store_search_fn *fn, const struct store_search *s, json_t *ret,
                        struct error *err)
{
        struct store *store = main_store(j);

        return store ? fn(store, s, ret, err) : 0;
}

int ledger_journal_erase(struct journal *j, const struct store_search *s, struct error *err)
{
        int n, in_memory;

        ledger_journal_flush(j);
        in_memory = j->memory ? ledger_store_erase(j->memory, s, err) : 0;
        n = j->disk && in_memory >= 0 ? ledger_store_erase(j->disk, s, err) : 0;
        return in_memory < 0 ? in_memory : n < 0 ? n : n + in_memory;
}

int ledger_journal_near(struct journal *j, const char *letters, int64_t since, size_t limit, json_t *list,
                        struct error *err)
{
        struct store *store = main_store(j);

        return store ? ledger_store_near(store, letters, since, limit, list, err) : 0;
}

int ledger_journal_ids(struct journal *j, const char *beginning, size_t limit, json_t *list, struct error *err)
{
        int r;

        ledger_journal_flush(j);
        r = j->memory ? ledger_store_ids(j->memory, beginning, limit, list, err) : 0;
        return r == 0 && j->disk ? ledger_store_ids(j->disk, beginning, limit, list, err) : r;
}

int64_t ledger_journal_oldest(struct journal *j)
{
        const int64_t on_disk = j->disk ? ledger_store_oldest(j->disk) : 0;

        ledger_journal_flush(j);
        return on_disk ? on_disk : j->memory ? ledger_store_oldest(j->memory) : 0;
}

json_t *ledger_journal_status(struct journal *j)
{
        json_t *o = json_object();

        (void)json_object_set_new(o, "state", json_string(j->disk ? "ok" : "degraded"));
        if (!j->disk) {
                (void)json_object_set_new(o, "why", json_string(j->why.text));
                (void)json_object_set_new(o, "since", json_integer(j->degraded_since));
        }
        (void)json_object_set_new(o, "rows", json_integer(j->disk ? (json_int_t)ledger_store_count(j->disk) : 0));
        (void)json_object_set_new(o, "in_memory", json_integer((json_int_t)(j->n_memory + j->n_pending)));
        (void)json_object_set_new(o, "dropped", json_integer((json_int_t)j->n_dropped));
        return o;
}
