/*
 * One child process, as its supervisor has it: started, spoken to, watched, ended, started again (process.h is the
 * child's own side).
 *
 * Invariant: pid > 0 exactly while state is not CHILD_DOWN, and control is open exactly while it is CHILD_RUNNING. What
 * happens next (start again, drain, stop) its supervisor decides.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/core/buffer.h"
#include "base/core/error.h"
#include "base/ipc/ipc.h"
#include "base/ipc/loop.h"
#include "base/process/caps.h"
#include "base/process/hand.h"
#include "base/process/launch.h"

#define CHILD_ENDS 4

enum child_state {
        CHILD_DOWN = 0, /* no process; its timer may be armed to start it */
        CHILD_RUNNING,
        CHILD_ENDING, /* its channel is closed; waiting for its end */
};

struct child;

struct child_ops {
        /* A frame that the table lets this child send, what child.c makes of it (ready, why) done before; fd is closed
         * afterwards. NULL: nothing more is made of any. */
        void (*frame)(struct child *child, const struct msg_in *m, int fd);
        /* child_again_later's time has come: start it, where that is still wanted. NULL: it is never called. */
        void (*again)(struct child *child);
};

struct child {
        /* child_new */
        struct loop *loop;
        const struct frame_table *frames;
        unsigned part;
        const struct child_ops *ops;
        void *arg;

        enum child_state state;
        pid_t pid;
        uid_t uid; /* that it becomes; of the last one started */
        struct ipc *control;
        struct loop_timer *timer; /* CHILD_DOWN: start again; CHILD_ENDING: kill */
        uint64_t started_at, backoff_ms;
        int64_t since; /* wall clock of the last change of state */
        unsigned restarts;
        int64_t ends[CHILD_ENDS]; /* wall clock of the latest ends that nobody asked for, at restarts % CHILD_ENDS */
        bool ready, drained;
        uint64_t silent_ms;       /* since it last said that its loop turns, by child_watch */
        bool hung;                /* it is ended for its silence */
        bool seccomp;             /* once ready: whether its filter of system calls holds */
        char landlock[16];        /* and confine_landlock_text() of its own */
        char last_end[64];        /* how it ended last, or "" */
        char why[ERROR_TEXT_MAX]; /* what it said of that, or "" */
        int last_code;            /* its exit code then; -1 after a signal */
};

/* The name of a child's part; literal, of the table. */
const char *child_name(const struct child *child);

/* frames, ops: literal; part: the child's in frames, whose supervisor is part PROCESS_SUPERVISOR. 0 or -errno. */
int child_new(struct child *child, struct loop *loop, const struct frame_table *frames, unsigned part,
              const struct child_ops *ops, void *arg);
/* Frees what belongs to it; a process that runs ends by itself, since its channel is closed. */
void child_free(struct child *child);

/*
 * Starts the process that is CHILD_DOWN, as how says (its control is this function's), and sends it config
 * (FRAME_CONFIG). The caller hands on files, connects peers and calls child_begin. -errno with err; the process may run
 * nevertheless.
 */
int child_start(struct child *child, const struct spawn *how, const struct buffer *config, struct error *err);
/* A hand_fn of a struct child: FRAME_FILE. -EPIPE where the process does not run. */
int child_hand(void *child, const char *name, int fd, struct error *err);
/* Makes a pair and gives each of two running children its end (FRAME_PEER). 0 or -errno. */
int child_connect(struct child *a, struct child *b);

/* A supervisor's run, as FRAME_START tells it: the boot, and the clock when it began. */
struct child_boot {
        char id[32]; /* base64url of 16 random bytes */
        int64_t wall;
        uint64_t at;
};
/* 0 or -EIO. */
int child_boot_begin(struct child_boot *boot, const struct loop *loop);
/* FRAME_START; check: it is only on trial. 0 or -errno. */
int child_begin(struct child *child, const struct child_boot *boot, const char *instance, bool check);
/* FRAME_DRAIN. */
void child_drain(struct child *child, uint64_t budget_ms);
/* Closes the channel, which ends the process; kills it where it does not end by itself. */
void child_end(struct child *child);
/* SIGCHLD: whether this process has ended; notes how. */
bool child_reap(struct child *child);
/* A process that has ended is started again by ops->again: after 100 ms, and later and later up to 10 s where it never
 * lives long. Logs how it ended. */
void child_again_later(struct child *child);
/* For a start that failed before there was a process to end: the same, and the process that runs by now is ended. */
void child_start_failed(struct child *child, const struct error *err);

/*
 * Called every turn_ms: ends, with a kill, a process that has not said for patience_ms that its loop turns. False: not
 * even that works (its disk hangs in the kernel, say), and systemd should hear no more. Silence is counted in turns of
 * the supervisor's loop, not by a clock: when the whole machine stood still, nobody was silent.
 */
bool child_watch(struct child *child, uint64_t turn_ms, uint64_t patience_ms);
