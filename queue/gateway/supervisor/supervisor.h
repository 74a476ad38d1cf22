/*
 * The gateway's supervisor: starts doors, sealer and link, keeps them running, reloads, drains and stops them. It reads
 * local files and signals, and nothing remote. Internal to its room.
 */
#pragma once

#include <sys/types.h>

#include "base/ipc/ipc.h"
#include "base/ipc/loop.h"
#include "base/process/process.h"
#include "queue/gateway/config.h"
#include "queue/gateway/frames.h"
#include "queue/gateway/service.h"

enum child_state {
        CHILD_DOWN = 0, /* no process; its timer may be armed to start it */
        CHILD_RUNNING,
        CHILD_ENDING, /* its channel is closed; waiting for its end */
};

struct gateway;

struct gateway_child {
        struct gateway *gateway;
        enum gateway_part part;
        enum child_state state;
        pid_t pid;
        uid_t uid; /* that it becomes */
        struct ipc *control;
        struct loop_timer *timer; /* DOWN: start again; ENDING: kill */
        uint64_t started_at, backoff_ms;
        bool ready;
        unsigned silent_turns; /* since it last said that its loop turns */
        int last_code;         /* its exit code; -1 after a signal */
        char last_end[64];
};

enum gateway_state { GATEWAY_RUNNING = 0, GATEWAY_DRAINING, GATEWAY_STOPPING };

/* A socket that listens. It outlives reloads and doors, so that nobody is refused meanwhile. */
struct gateway_socket {
        struct gateway_listen listen;
        int fd;
        char shown[128]; /* as it is in ready_file */
};

struct gateway {
        struct loop *loop;
        const char *config_path;
        struct gateway_config *config, *next_config;
        struct buffer text, next_text;                /* merged, for the children */
        struct gateway_child children[GATEWAY_PARTS]; /* by part; the supervisor's own is not used */
        struct gateway_socket sockets[GATEWAY_LISTEN_MAX];
        size_t n_sockets;
        enum gateway_state state;
        bool told_ready;
        int exit_code;
        struct loop_timer *drain_timer, *watchdog;
        struct loop_signal *signals[4];
        char boot[32];
        int64_t boot_wall;
        uint64_t boot_at;
};

/* ---- child.c ---- */
int gateway_child_spawn(struct gateway_child *c, struct error *err);
int gateway_child_connect(struct gateway_child *a, struct gateway_child *b);
int gateway_child_begin(struct gateway_child *c);
void gateway_child_drain(struct gateway_child *c, uint64_t budget_ms);
/* Closes the channel, which ends the process; kills it if it doesn't. */
void gateway_child_end(struct gateway_child *c);
/* Whether the process has ended; notes how. */
bool gateway_child_reap(struct gateway_child *c);
const char *gateway_user(const struct gateway_config *config, enum gateway_part part);
/* supervisor.c, called by child.c */
void gateway_child_ready(struct gateway_child *c);
void gateway_child_drained(struct gateway_child *c);

/* ---- files.c ---- */
typedef int gateway_hand_fn(void *arg, const char *name, int fd, struct error *err); /* fd stays the caller's */
/* Opens each file of this process and hands it on. sockets: those of the doors, or NULL: for a check, without. */
int gateway_files(const struct gateway_config *config, const struct gateway *sockets, enum gateway_part part,
                  gateway_hand_fn *fn, void *arg, struct error *err);
/* Tells all that a start would fail for, a line each on stderr; how many. */
size_t gateway_files_check(const struct gateway_config *config);

/* ---- listen.c ---- */
/* Makes what config listens on; what listens already goes on. On failure all is as before. */
int gateway_listen(struct gateway *g, const struct gateway_config *config, struct error *err);
void gateway_listen_close(struct gateway *g);
/* Writes ready_file, where there is one. */
int gateway_listen_tell(const struct gateway *g, struct error *err);

/* Runs until the end; returns the exit code. Takes over config and text. */
int gateway_run(struct gateway *g, const char *config_path, struct gateway_config *config, struct buffer *text);
