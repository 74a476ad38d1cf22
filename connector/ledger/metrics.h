/*
 * What Prometheus is told of a connector: metrics.c.
 */
#pragma once

#include "base/metrics/metrics.h"
#include "connector/ledger/ledger.h"

/* Serves GET /metrics on the listening UNIX socket fd (owned from now on, also on failure; -1: only counts). Before the
 * process is confined, which then may not listen any more. */
int ledger_metrics_new(struct ledger_metrics **ret_metrics, struct ledger *l, int fd, struct error *err);
struct ledger_metrics *ledger_metrics_free(struct ledger_metrics *lm);
/* A FRAME_RECORD has come. */
void ledger_metrics_count(struct ledger_metrics *lm, const struct msg_in *m);
/* All of it as text, owned by the caller. -EMSGSIZE, -ENOMEM. */
int ledger_metrics_text(struct ledger_metrics *lm, struct buffer *ret_text);
