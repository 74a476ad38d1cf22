/*
 * What a SIEM and a collector of traces get of the relay: each sign-in as it ended here, events, what tenants' admins
 * did by the relay, and spans. postern-events(7) is what they look like.
 *
 * Owns the ways out and the scribes that write there. Invariant: nothing in it is of a user or sealed, for the relay
 * knows nothing of that; and no disk is waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/scribe/scribe.h"
#include "queue/relay/relay.h"

struct relay_events {
        struct relay *relay;
        struct events_ways *ways;
        struct scribes *scribes;
        struct child_boot boot;
        struct loop_signal *ended;
};

/* ---- the ways out ---- */

static void on_ended(void *arg)
{
        struct relay_events *e = arg;

        scribes_reap(e->scribes);
}

int relay_events_new(struct relay_events **ret_events, struct relay *relay)
{
        const struct relay_config *c = relay->config;
        const struct events_ways_config config = {.loop = relay->loop,
                                                  .program = "postern-relay",
                                                  .service = "postern-relay",
                                                  .instance = c->node,
                                                  .paths = {c->events_file, c->events_socket, c->traces_file}};
        const struct scribes_wanted wanted = {.paths = {c->events_file, c->events_socket, c->traces_file}};
        struct relay_events *e = calloc(1, sizeof(*e));
        int r = e ? events_ways_new(&e->ways, &config) : -ENOMEM;

        if (r == 0)
                r = child_boot_begin(&e->boot, relay->loop);
        if (r == 0)
                r = loop_signal_new(&e->ended, relay->loop, SIGCHLD, on_ended, e);
        if (r == 0 && !(e->scribes = scribes_new(relay->loop, &e->boot, events_ways_give, e->ways)))
                r = -ENOMEM;
        if (r < 0) {
                relay_events_free(e);
                return r;
        }
        e->relay = relay;
        scribes_begin(e->scribes, &wanted);
        *ret_events = e;
        return 0;
}

struct relay_events *relay_events_free(struct relay_events *e)
{
        if (!e)
                return NULL;
        e->ways = events_ways_free(e->ways);
        scribes_finish(e->scribes);
        scribes_free(e->scribes);
        loop_signal_free(e->ended);
        free(e);
        return NULL;
}

void relay_events_metrics(const struct relay_events *e, struct metrics *m)
{
        events_ways_metrics(e ? e->ways : NULL, m);
}

void relay_events_look(const struct relay_events *e, struct relay_faults *faults)
{
        char text[400];

        if (e && events_ways_trouble(e->ways, text, sizeof(text)))
                relay_faults_add(faults, "records_not_sent", "%s", text);
}

/* ---- records ---- */

static bool is_wanted(const struct relay_events *e)
{
        return e && events_ways_want_records(e->ways);
}

static void begin(const struct relay_events *e, struct events_record *r, const char *kind, const char *sentence,
                  const char *tenant)
{
        *r = (struct events_record){.wall = loop_wall(e->relay->loop),
                                    .kind = kind,
                                    .sentence = sentence,
                                    .level = LOG_LEVEL_INFO,
                                    .notice = true};
        events_text(r, "node", e->relay->config->node);
        events_text(r, "tenant", tenant);
}

static void put_ms(struct events_record *r, const char *key, int64_t ms)
{
        if (ms >= 0)
                events_number(r, key, ms);
}

void relay_events_sign_in(struct relay_events *e, const char *tenant, const struct store_sign_in *row,
                          const struct relay_trace *trace)
{
        const bool refused = strcmp(row->state, STATE_REFUSED) == 0, answered = !row->problem[0];
        struct events_record r;

        if (!is_wanted(e))
                return;
        begin(e, &r, "sign_in",
              refused    ? "a sign-in was refused by the relay"
              : answered ? "a sign-in ended"
                         : "a sign-in was not answered by a connector",
              tenant);
        r.wall = row->at;
        r.notice = !answered;
        events_text(&r, "id", row->id);
        events_text(&r, "state", row->state);
        events_text(&r, "problem", row->problem);
        events_text(&r, "connector", row->connector);
        events_text(&r, "context", row->reasons);
        put_ms(&r, "ms_handed", row->handed);
        put_ms(&r, "ms_received", row->received);
        put_ms(&r, "ms_answered", row->answered);
        events_text(&r, "trace_id", trace && trace->wanted ? trace->context.trace : NULL);
        events_ways_put(e->ways, &r);
}

void relay_events_event(struct relay_events *e, const char *tenant, const char *name, const char *connector,
                        const char *detail)
{
        struct events_record r;

        if (!is_wanted(e))
                return;
        begin(e, &r, "event", "an event of this relay", tenant);
        events_text(&r, "event", name);
        events_text(&r, "connector", connector);
        events_text(&r, "detail", detail);
        events_ways_put(e->ways, &r);
}

void relay_events_act(struct relay_events *e, const struct relay_act *act)
{
        struct events_record r;

        if (!is_wanted(e))
                return;
        begin(e, &r, "act", "somebody administered this relay", act->tenant);
        events_text(&r, "act", act->act);
        events_text(&r, "about", act->about);
        events_text(&r, "peer", act->peer);
        events_bool(&r, "done", !act->refused);
        events_text(&r, "refused", act->refused);
        events_ways_put(e->ways, &r);
}

/* ---- spans ---- */

void relay_events_trace(const struct relay_events *e, struct relay_trace *trace, const char *traceparent,
                        const char *id)
{
        if (!e || !events_ways_want_spans(e->ways))
                return;
        trace->wanted = true;
        trace->began = loop_now(e->relay->loop);
        spans_context(&trace->context, traceparent, id);
        spans_id(trace->span);
        spans_id(trace->handed);
        spans_traceparent(trace->onward, &trace->context, trace->handed);
}

void relay_events_spans(struct relay_events *e, const char *tenant, const struct store_sign_in *row,
                        const struct relay_trace *trace)
{
        enum { WHOLE, HANDED, SPANS };
        struct spans_span spans[SPANS] = {{.name = "postern relay", .kind = SPANS_SERVER},
                                          {.name = "postern hand-off", .kind = SPANS_CLIENT}};
        struct spans_span *whole = &spans[WHOLE], *handed = &spans[HANDED];

        if (!e || !trace->wanted)
                return;
        const uint64_t ms = loop_now(e->relay->loop) - trace->began;
        memcpy(whole->id, trace->span, sizeof(whole->id));
        memcpy(whole->parent, trace->context.parent, sizeof(whole->parent));
        memcpy(handed->id, trace->handed, sizeof(handed->id));
        memcpy(handed->parent, trace->span, sizeof(handed->parent));
        spans_took(whole, ms);
        spans_took(handed, row->handed >= 0 && (uint64_t)row->handed < ms ? ms - (uint64_t)row->handed : 0);
        whole->failed = row->problem[0] != '\0';
        handed->failed = whole->failed;
        spans_text(whole, "postern.sign_in.id", row->id);
        spans_text(whole, "postern.tenant", tenant);
        spans_text(whole, "postern.state", row->state);
        spans_text(whole, "postern.problem", row->problem);
        spans_text(whole, "postern.node", e->relay->config->node);
        spans_text(handed, "postern.connector", row->connector);
        events_ways_spans(e->ways, &trace->context, spans, row->handed >= 0 ? SPANS : 1);
}
