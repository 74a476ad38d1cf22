/*
 * Metadata of finished sign-ins on their way into the database: who had it, when, what state; no name, no
 * outcome.
 *
 * Owns the rows of one frame. Invariant: the database never holds up or fails a sign-in; rows that the store process
 * cannot take are dropped and counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/relay/relay.h"

#define FLUSH_MS 200

struct journal {
        struct relay *relay;
        struct loop_timer *timer;
        size_t n;
        uint64_t dropped;
        struct store_row rows[STORE_ROWS_A_FRAME];
};

void journal_flush(struct journal *j)
{
        loop_timer_stop(j->timer);
        if (j->n == 0)
                return;
        if (store_client_busy(j->relay->store)) {
                j->dropped += j->n;
                log_warning("metadata_dropped", KV_U("rows", j->n), KV_U("total", j->dropped),
                            KV_S("why", "the store process does not keep up, or is being started again"));
        } else {
                (void)store_client_call(j->relay->store,
                                        &(struct store_request){.op = STORE_SIGN_INS,
                                                                .bytes = j->rows,
                                                                .n_bytes = j->n * sizeof(j->rows[0])},
                                        NULL, NULL, NULL);
        }
        j->n = 0;
}

static void on_timer(void *arg)
{
        journal_flush(arg);
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
        journal_flush(journal);
        loop_timer_free(journal->timer);
        free(journal);
        return NULL;
}

void journal_add(struct journal *journal, const char *tenant, const struct store_sign_in *row)
{
        struct store_row *to = &journal->rows[journal->n];

        to->sign_in = *row;
        memset(to->tenant, 0, sizeof(to->tenant));
        memcpy(to->tenant, tenant, strnlen(tenant, TENANT_MAX));
        if (++journal->n == STORE_ROWS_A_FRAME)
                journal_flush(journal);
        else if (!loop_timer_armed(journal->timer))
                loop_timer_in(journal->timer, FLUSH_MS);
}
