/*
 * The ways on which a program's records and spans leave the host: the three keys that every configuration has for them,
 * a queue for each that is set, and who writes.
 */
#pragma once

#include "base/events/events.h"
#include "base/events/spans.h"
#include "base/metrics/metrics.h"

enum { EVENTS_WAY_FILE = 0, EVENTS_WAY_SOCKET, EVENTS_WAY_TRACES, EVENTS_WAYS };
/* events_file, events_socket, traces_file: the keys, and the names under which a scribe's channel comes. */
extern const char *const events_way_keys[EVENTS_WAYS];

struct events_ways;

struct events_ways_config {
        struct loop *loop;
        const char *program;            /* of records; literal */
        const char *service, *instance; /* of spans; borrowed for the call */
        const char *paths[EVENTS_WAYS]; /* by way; NULL: it is not configured; borrowed as long as the ways live */
};

/* None is open yet. 0 or -ENOMEM. */
int events_ways_new(struct events_ways **ret_ways, const struct events_ways_config *config);
/* Brings out what waits, as far as that goes in half a second each. */
struct events_ways *events_ways_free(struct events_ways *ways);
/* Whether the name is a key of a way that is configured; then fd, a channel to a scribe, is taken over. NULL-safe. */
bool events_ways_open(struct events_ways *ways, const char *name, int fd);
/* The same with a copy of fd, as scribes_give_fn of a program that makes its records itself: arg is its ways. 0 or
 * -errno. */
int events_ways_give(void *arg, const char *name, int fd);

/* Whether records, or spans, go anywhere. NULL-safe. */
bool events_ways_want_records(const struct events_ways *ways);
bool events_ways_want_spans(const struct events_ways *ways);
/* A record to file and socket. */
void events_ways_put(struct events_ways *ways, const struct events_record *record);
/* n spans of the context's trace, where they are wanted and the trace is sampled. */
void events_ways_spans(struct events_ways *ways, const struct spans_context *context, const struct spans_span *spans,
                       size_t n);
/* How a way is: its path, or NULL where it is not configured. NULL-safe. */
const char *events_ways_state(const struct events_ways *ways, size_t way, struct events_state *ret_state);
/* The families postern_outlet_*, by way; nothing where none is configured. NULL-safe. */
void events_ways_metrics(const struct events_ways *ways, struct metrics *m);
/* What is wrong with a way for EVENTS_TROUBLE_S already, as a sentence into out; false: nothing. NULL-safe. */
#define EVENTS_TROUBLE_S 10
bool events_ways_trouble(const struct events_ways *ways, char *out, size_t cap);
