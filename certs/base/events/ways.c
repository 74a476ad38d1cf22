/*
 * The ways out of one program. What goes on them is its owner's.
 */
#include "base/events/ways.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "unknown"
#endif

const char *const events_way_keys[EVENTS_WAYS] = {"events_file", "events_socket", "traces_file"};

struct events_ways {
        struct loop *loop;
        struct events_origin origin;
        char host[256], service[64], instance[128];
        const char *paths[EVENTS_WAYS];
        struct events_outlet *outlets[EVENTS_WAYS]; /* NULL: it is not configured */
};

int events_ways_new(struct events_ways **ret_ways, const struct events_ways_config *config)
{
        struct events_ways *w = calloc(1, sizeof(*w));
        int r = 0;

        if (!w)
                return -ENOMEM;
        w->loop = config->loop;
        if (gethostname(w->host, sizeof(w->host)) < 0)
                w->host[0] = '\0';
        w->host[sizeof(w->host) - 1] = '\0';
        /* characters that need no escape in either form; what comes behind others is left out */
        w->host[strspn(w->host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")] = '\0';
        (void)snprintf(w->service, sizeof(w->service), "%s", config->service);
        (void)snprintf(w->instance, sizeof(w->instance), "%s", config->instance);
        w->origin = (struct events_origin){.host = w->host,
                                           .program = config->program,
                                           .version = POSTERN_VERSION,
                                           .run = loop_wall(config->loop),
                                           .pid = getpid()};
        for (size_t i = 0; r == 0 && i < EVENTS_WAYS; i++) {
                const struct events_outlet_config out = {.loop = config->loop,
                                                         .form = i == EVENTS_WAY_SOCKET ? EVENTS_SYSLOG : EVENTS_JSON,
                                                         .origin = &w->origin,
                                                         .foreign = i == EVENTS_WAY_TRACES};

                w->paths[i] = config->paths[i];
                if (w->paths[i])
                        r = events_outlet_new(&w->outlets[i], &out);
        }
        if (r < 0)
                events_ways_free(w);
        else
                *ret_ways = w;
        return r;
}

struct events_ways *events_ways_free(struct events_ways *w)
{
        for (size_t i = 0; w && i < EVENTS_WAYS; i++)
                w->outlets[i] = events_outlet_free(w->outlets[i]);
        free(w);
        return NULL;
}

bool events_ways_open(struct events_ways *w, const char *name, int fd)
{
        for (size_t i = 0; w && i < EVENTS_WAYS; i++)
                if (w->outlets[i] && strcmp(name, events_way_keys[i]) == 0) {
                        events_outlet_open(w->outlets[i], fd);
                        return true;
                }
        return false;
}

int events_ways_give(void *arg, const char *name, int fd)
{
        _cleanup_(closep) int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        if (own < 0 || !events_ways_open(arg, name, own))
                return own < 0 ? -errno : -ENOENT;
        (void)steal_fd(&own);
        return 0;
}

bool events_ways_want_records(const struct events_ways *w)
{
        return w && (w->outlets[EVENTS_WAY_FILE] || w->outlets[EVENTS_WAY_SOCKET]);
}

bool events_ways_want_spans(const struct events_ways *w)
{
        return w && w->outlets[EVENTS_WAY_TRACES];
}

void events_ways_put(struct events_ways *w, const struct events_record *record)
{
        for (size_t i = EVENTS_WAY_FILE; i <= EVENTS_WAY_SOCKET; i++)
                if (w->outlets[i])
                        events_outlet_put(w->outlets[i], record);
}

void events_ways_spans(struct events_ways *w, const struct spans_context *context, const struct spans_span *spans,
                       size_t n)
{
        char line[EVENTS_LINE_MAX];

        if (!events_ways_want_spans(w) || !context->sampled)
                return;
        n = spans_render(line, &w->origin, w->service, w->instance, context, spans, n);
        if (n > 0)
                events_outlet_line(w->outlets[EVENTS_WAY_TRACES], line, n);
}

const char *events_ways_state(const struct events_ways *w, size_t way, struct events_state *ret_state)
{
        if (!w || !w->outlets[way])
                return NULL;
        events_outlet_state(w->outlets[way], ret_state);
        return w->paths[way];
}

void events_ways_metrics(const struct events_ways *w, struct metrics *m)
{
        static const struct {
                const char *name, *help;
                enum metrics_kind kind;
        } families[] = {
                {"postern_outlet_open", "1: records go out to whoever gathers them.", METRICS_GAUGE},
                {"postern_outlet_waiting", "Records that wait to go out.", METRICS_GAUGE},
                {"postern_outlet_sent_total", "Records that went out.", METRICS_COUNTER},
                {"postern_outlet_lost_total", "Records that were lost on the way out.", METRICS_COUNTER},
        };
        struct events_state s;

        if (!events_ways_want_records(w) && !events_ways_want_spans(w))
                return;
        for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
                metrics_begin(m, families[f].name, families[f].kind, families[f].help);
                for (size_t i = 0; i < EVENTS_WAYS; i++) {
                        if (!events_ways_state(w, i, &s))
                                continue;
                        const double numbers[] = {s.open, (double)s.waiting, (double)s.sent, (double)s.lost};
                        metrics_put(m, numbers[f], "way", events_way_keys[i], METRICS_END);
                }
        }
}

bool events_ways_trouble(const struct events_ways *w, char *out, size_t cap)
{
        struct events_state s;

        for (size_t i = 0; i < EVENTS_WAYS; i++) {
                const char *path = events_ways_state(w, i, &s);

                if (!path || s.open || loop_wall(w->loop) - s.since < EVENTS_TROUBLE_S)
                        continue;
                (void)snprintf(out, cap, "%s %s: %s; %zu records wait, %llu were lost", events_way_keys[i], path, s.why,
                               s.waiting, (unsigned long long)s.lost);
                return true;
        }
        return false;
}
