/*
 * Charts as SVG that the server draws: no script, no colours of their own (the style sheet's classes have them), each
 * with a title for who does not see it.
 */
#pragma once

#include "connector/web/html.h"

#define CHART_LAYERS 3
#define CHART_SLOTS_MAX 300

/* Counts of equal steps of time, one upon the other. */
struct chart {
        const char *title;
        const char *const *layers; /* CHART_LAYERS words: what each layer counts, and its class */
        long long since, step;     /* s */
        size_t n;                  /* slots, at most CHART_SLOTS_MAX */
        unsigned n_slots[CHART_SLOTS_MAX][CHART_LAYERS];
};

/* The chart, its legend with the sums, and the same as a table that can be opened. */
void chart_bars(struct html *h, const struct chart *chart);
/* A bar of part of whole, as wide as its column. */
void chart_share(struct html *h, unsigned long long part, unsigned long long whole);
