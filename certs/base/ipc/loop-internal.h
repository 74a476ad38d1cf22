/*
 * What loop.c and loop-timer.c share. Nobody else includes this.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/ipc/loop.h"

/* The part that timers, io and signals have in common. Freed inside a callback, it waits on loop->dead. */
struct loop_node {
        struct loop *loop;
        void *arg;
        bool dead;
        TAILQ_ENTRY(loop_node) link;
        char id[ID_MAX + 1];
};

TAILQ_HEAD(loop_nodes, loop_node);

struct loop {
        struct event_base *base;
        bool fake;
        uint64_t fake_now;
        int64_t fake_wall_moved; /* s */
        bool stopped;
        int code;
        unsigned depth; /* callbacks that are running, one inside the other */
        struct loop_nodes dead;
        /* Timers: a heap ordered by (at, seq). It has room for every timer that exists, so arming cannot
         * fail. */
        struct loop_timer **heap;
        size_t n_heap;
        size_t cap_heap;
        size_t n_timers;
        uint64_t seq;
        struct event *tick; /* real mode: fires for the heap's first timer */
};

void loop_node_init(struct loop_node *node, struct loop *loop, const char *id, void *arg);
/* Frees the node (the first member of its object), now or when the running callbacks have returned. */
void loop_node_free(struct loop_node *node);
/* Brackets a callback: sets the log id, counts depth. loop_leave gives the id back and reaps. */
void loop_enter(struct loop_node *node, char *saved_id);
void loop_leave(struct loop *loop, const char *saved_id);

int loop_timers_init(struct loop *loop);
void loop_timers_free(struct loop *loop);
/* Runs the timers that are due and were armed before this call. */
void loop_timers_run(struct loop *loop);
/* When the first timer is due; false when none is armed. */
bool loop_timers_next(const struct loop *loop, uint64_t *ret_at);
