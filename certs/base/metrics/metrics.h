/*
 * Numbers of a running program in the text form of Prometheus (exposition format 0.0.4): what a scrape gets, and what
 * node_exporter's textfile collector reads.
 *
 * Owns the text and nothing else: who counts keeps the counts. A label's value may come from anywhere, for it is
 * escaped; how many values a label can have is the caller's to bound. Names follow Prometheus's rules: base units,
 * counters end in _total, moments are seconds since the epoch.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"

/* The media type of the text. */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metrics_kind { METRICS_GAUGE = 0, METRICS_COUNTER, METRICS_HISTOGRAM };

struct metrics {
        struct buffer text;
        const char *family; /* the last one begun */
        int code;           /* 0, or what failed first: -EMSGSIZE, -ENOMEM; nothing is added after that */
};
#define METRICS(max_bytes) ((struct metrics){.text = BUFFER(max_bytes)})

/* Durations. Zeroed at first; bounds are metrics_bounds_ms. */
#define METRICS_BOUNDS 12
struct metrics_times {
        uint64_t at_most[METRICS_BOUNDS]; /* each alone: metrics_put_times adds them up */
        uint64_t n, sum_ms;
};
extern const uint32_t metrics_bounds_ms[METRICS_BOUNDS];
void metrics_observe(struct metrics_times *t, uint64_t ms);

/* Begins a family; what follows is of it. name (literal) and help without line ends. */
void metrics_begin(struct metrics *m, const char *name, enum metrics_kind kind, const char *help);
/* One sample. The labels are pairs of a name and a value (NULL reads as ""), ended by METRICS_END. */
#define METRICS_END ((const char *)0)
void metrics_put(struct metrics *m, double value, ...) __attribute__((sentinel));
/* The samples of a histogram in seconds: each bound, the sum, the count. */
void metrics_put_times(struct metrics *m, const struct metrics_times *t, ...) __attribute__((sentinel));
/* A family of one sample without labels. */
void metrics_one(struct metrics *m, const char *name, enum metrics_kind kind, const char *help, double value);
