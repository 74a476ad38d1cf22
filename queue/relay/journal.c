/*
 * Metadata of finished sign-ins on their way into the database: who had it, when, what state; no name, no
 * outcome.
 *
 * Owns at most BATCH rows. Invariant: the database never holds up or fails a sign-in; rows that it refuses
 * are dropped and counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/relay/relay.h"

#define BATCH 128
#define FLUSH_MS 200

struct journal {
        struct relay *relay;
        struct loop_timer *timer;
        size_t n;
        uint64_t dropped;
        struct store_sign_in rows[BATCH];
        char tenants[BATCH][TENANT_MAX + 1];
};

static void flush(struct journal *j)
{
        const char *tenants[BATCH];

        loop_timer_stop(j->timer);
        for (size_t i = 0; i < j->n; i++)
                tenants[i] = j->tenants[i];
        if (j->n && store_sign_ins_put(j->relay->store, tenants, j->rows, j->n) < 0) {
                j->dropped += j->n;
                log_warning("metadata_dropped", KV_U("rows", j->n), KV_U("total", j->dropped),
                            KV_S("why", store_why(j->relay->store)));
        }
        j->n = 0;
}

static void on_timer(void *arg)
{
        flush(arg);
}

int journal_new(struct journal **ret_journal, struct relay *relay)
{
        struct journal *j = calloc(1, sizeof(*j));

        if (!j || loop_timer_new(&j->timer, relay->loop, NULL, on_timer, j) < 0) {
                free(j);
                return -ENOMEM;
        }
        j->relay = relay;
        *ret_journal = j;
        return 0;
}

struct journal *journal_free(struct journal *journal)
{
        if (!journal)
                return NULL;
        flush(journal);
        loop_timer_free(journal->timer);
        free(journal);
        return NULL;
}

void journal_add(struct journal *journal, const char *tenant, const struct store_sign_in *row)
{
        journal->rows[journal->n] = *row;
        memcpy(journal->tenants[journal->n], tenant, strnlen(tenant, TENANT_MAX));
        journal->tenants[journal->n][strnlen(tenant, TENANT_MAX)] = '\0';
        if (++journal->n == BATCH)
                flush(journal);
        else if (!loop_timer_armed(journal->timer))
                loop_timer_in(journal->timer, FLUSH_MS);
}

/* A person asks: rare, so that what waits is written first. */
int journal_get(struct journal *journal, const char *tenant, const char *id, struct store_sign_in *ret_row)
{
        flush(journal);
        return store_sign_in_get(journal->relay->store, tenant, id, ret_row);
}

int journal_find(struct journal *journal, const char *tenant, const char *beginning,
                 struct store_sign_in ret_rows[STORE_FOUND_MAX])
{
        flush(journal);
        return store_sign_ins_find(journal->relay->store, tenant, beginning, ret_rows);
}
