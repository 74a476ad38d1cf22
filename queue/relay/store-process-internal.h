/*
 * Internal to the store process: its state, and what its two files do for each other.
 */
#pragma once

#include <sys/queue.h>

#include "base/core/buffer.h"
#include "base/process/process.h"
#include "queue/relay/store-cluster.h"
#include "queue/relay/store-frames.h"

#define WAITERS_MAX 16

struct changed {
        STAILQ_ENTRY(changed) entry;
        char tenant[TENANT_MAX + 1];
};

/* Who waits for the relay to go by what was written. */
struct waiter {
        int fd;
        uint64_t sync; /* 0: not all has been sent yet */
};

struct server {
        struct process process;
        struct store *store;
        int64_t seen, version; /* of the database: the last change that was sent, or is in changes */
        STAILQ_HEAD(changed_list, changed) changes;
        struct loop_timer *push, *look, *retry;
        uint64_t syncs;
        bool all_sent; /* the first SYNC was */
        bool waiting;  /* somebody without a SYNC */
        struct buffer parts;
        struct store_row *rows;
        size_t n_rows, cap_rows;
        uint64_t dropped;
        struct store_settings settings;
        struct cluster_files files;    /* that came since the last start or reload */
        struct store_cluster *cluster; /* NULL: the store is not on NATS */
        int listening;
        struct loop_io *listener;
        struct waiter waiters[WAITERS_MAX];
        size_t n_waiters;
};

/* To the relay; where it does not read the process ends. */
void store_process_send(struct server *s, const struct msg_out *m);
/* Takes up what was written since the last time, by whoever, and sends the tenants. */
void store_process_look(struct server *s);
/* Metadata of sign-ins: as many as the database takes now; the rest is tried again. arg: the server. */
void store_process_write_rows(void *arg);
int store_process_take_rows(struct server *s, const struct msg_in *m);
/* store-calls.c: one CALL, and its END. */
void store_process_call(struct server *s, const struct msg_in *m);
