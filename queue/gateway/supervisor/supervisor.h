/*
 * The gateway's supervisor: starts doors, sealer and link, keeps them running, reloads, drains and stops them. It reads
 * local files and signals, and nothing remote. Internal to its room.
 */
#pragma once

#include <sys/types.h>

#include "base/ipc/ipc.h"
#include "base/ipc/loop.h"
#include "base/process/child.h"
#include "base/process/process.h"
#include "base/scribe/scribe.h"
#include "queue/gateway/config.h"
#include "queue/gateway/frames.h"
#include "queue/gateway/service.h"

enum gateway_state { GATEWAY_RUNNING = 0, GATEWAY_DRAINING, GATEWAY_STOPPING };

/* A socket that listens. It outlives reloads and doors, so that nobody is refused meanwhile. */
struct gateway_socket {
        struct gateway_listen listen;
        int fd;
        bool shared;     /* of next_sockets: it is one of sockets as well; of those: it goes on in next_sockets */
        unsigned port;   /* that it has, where the configuration leaves it open */
        char shown[128]; /* as it is in ready_file */
};

struct gateway {
        struct loop *loop;
        const char *config_path;
        struct gateway_config *config, *next_config;
        struct buffer text, next_text;        /* merged, for the children */
        struct child children[GATEWAY_PARTS]; /* by part; the supervisor's own is not used */
        struct gateway_socket sockets[GATEWAY_LISTEN_MAX], next_sockets[GATEWAY_LISTEN_MAX];
        size_t n_sockets, n_next; /* next: those of next_config, which listen already */
        enum gateway_state state;
        bool told_ready, reloading; /* reloading: from the drain on, until all are ready */
        int exit_code;
        struct loop_timer *drain_timer, *watchdog;
        struct loop_signal *signals[4];
        struct child_boot boot;
        int lock_fd;       /* of state_dir */
        bool check;        /* its processes are on trial */
        pid_t check_pid;   /* the check of a reload, under way; 0: none */
        int check_fd;      /* what it says */
        bool reload_again; /* asked for while one was under way */
        uint64_t reloads;  /* that were answered */
        struct loop_timer *check_timer;
        struct scribes *scribes; /* where records leave the host; the doors write */
};

/* The user that a process becomes. */
const char *gateway_user(const struct gateway_config *config, enum gateway_part part);

/* ---- files.c ---- */
/* Opens each file of this process and hands it on. sockets: those of the doors, or NULL: for a check, without. */
int gateway_files(const struct gateway_config *config, const struct gateway *sockets, enum gateway_part part,
                  hand_fn *fn, void *arg, struct error *err);
/* Judges users and files of all processes: a line on stderr for each fault. ret_found: how many of each process's;
 * their sum is returned. */
size_t gateway_files_check(const struct gateway_config *config, size_t ret_found[GATEWAY_PARTS]);
/* Locks state_dir until the end. */
int gateway_lock(struct gateway *g, const struct gateway_config *config, struct error *err);
/* Whether a gateway runs that has this state_dir. */
bool gateway_runs(const struct gateway_config *config);
/* For `postern-gateway --reload`: how one ended; why and lost: as of reloading_tell. */
void gateway_reload_tell(struct gateway *g, const char *why, bool lost);
/* `postern-gateway --reload`: its exit code. */
int gateway_reload(const struct gateway_config *config);

/* ---- check.c ---- */
/* Tells all that a start would fail for, a line each on stderr: users, files, addresses, and what the processes make of
 * them. How many. */
size_t gateway_check(const struct gateway_config *config, const struct buffer *text);

/* ---- listen.c ---- */
/* Makes what config listens on, into next_sockets: what listens already at an address goes on there, if for another
 * door. On failure all is as before. */
int gateway_listen(struct gateway *g, const struct gateway_config *config, struct error *err);
/* next_sockets take the place of sockets; what is in both stays, and the others of those listen no more. */
void gateway_listen_take(struct gateway *g);
/* Or they are given up. */
void gateway_listen_drop(struct gateway *g);
/* Tells what cannot be listened on, a line each on stderr; how many. Nothing is made. */
size_t gateway_listen_check(const struct gateway_config *config);
void gateway_listen_close(struct gateway *g);
/* Writes ready_file, where there is one. */
int gateway_listen_tell(const struct gateway *g, struct error *err);

/* ---- supervisor.c ---- */
/* Starts the process and hands on its files. */
int gateway_start(struct child *c, struct error *err);

/* ---- status.c ---- */
/* Prints how the gateway of this configuration is that runs, for people or as JSON. The exit code: 0 where it is ready.
 */
int gateway_status(const struct gateway_config *config, bool json);

/* Runs until the end; returns the exit code. Takes over config and text. */
int gateway_run(struct gateway *g, const char *config_path, struct gateway_config *config, struct buffer *text);
