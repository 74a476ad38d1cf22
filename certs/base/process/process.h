/*
 * The ritual by which the child processes of a supervisor start, live and end; the same for each.
 *
 * The supervisor execs `postern-NAME --role=NAME [--user=USER]` with the control channel on descriptor 3, an
 * empty environment but for a few variables, and nothing else open. process_open becomes the user and hardens
 * the process before a byte is read. Frames (control.h) then arrive in this order: FRAME_CONFIG, each FRAME_FILE, each
 * FRAME_PEER, FRAME_START. Later: FRAME_PEER (a peer was started again), FRAME_FILE (a file was replaced), FRAME_DRAIN.
 * When the control channel closes the process ends: none outlives the supervisor, but for the second in which one may
 * finish what it has and say its last words (orphaned). A changed configuration comes to a new process.
 *
 *      int main(int argc, char **argv)
 *      {
 *              struct process p;
 *              struct error err;
 *              if (process_open(&p, &table, PART_LINK, argc, argv, &ops, &link, &err) < 0)
 *                      return process_fail("link", &err);
 *              ...make what needs p.loop...
 *              int code = process_run(&p);
 *              ...free it...
 *              process_close(&p);
 *              return code;
 *      }
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/error.h"
#include "base/ipc/ipc.h"
#include "base/ipc/loop.h"
#include "base/process/confine.h"
#include "base/process/control.h"

#define PROCESS_CONTROL_FD 3
#define PROCESS_SUPERVISOR 0 /* the supervisor's part in every table of frames */
#define PROCESS_LAST_WORDS_MS 900
#define EXIT_CONFIGURATION 78 /* sysexits' EX_CONFIG: starting again mends nothing */

struct process;

/*
 * Each may be NULL (files and peers are then closed). All are called from the loop. Those that return int end
 * the process (the text logged) when they fail. The exit code is 1, after which the supervisor starts it
 * again, later and later; or, before process_ready and with an error that tells of a wrong file or setting
 * (-EINVAL, -EBADMSG, -ENOENT, -EACCES, -EPERM, -EKEYREJECTED), 78, which ends a posternd that isn't ready
 * yet.
 */
struct process_ops {
        /* Once, before all else: the text of the configuration that the supervisor has checked. The callee owns fd. */
        int (*config)(void *arg, int fd, struct error *err);
        /* The callee owns fd. name: a FILE_* of the program. Private files come at offset 0 of an own open file; the
         * keytab as a memfd, so that /proc/self/fd/N opens it again. */
        int (*file)(void *arg, const char *name, int fd, struct error *err);
        /* A channel to the process of that name; the callee owns fd (process_channel takes it over) and drops the older
         * channel to that peer. */
        int (*peer)(void *arg, const char *name, int fd, struct error *err);
        /* Once: configuration, files and channels to the peers that run have come; a peer that is down comes
         * later. boot: b64u of 16 random bytes, new at each start of posternd, the same for a process that is
         * started again. instance: the connector's id, as enrolled. */
        int (*start)(void *arg, const char *boot, const char *instance, struct error *err);
        /* Take no new work; call process_drained as soon as nothing is left, at the latest after budget_ms.
         */
        void (*drain)(void *arg, uint64_t budget_ms);
        /* A part of what `status` shows, from the supervisor; to who has FRAME_SHARE in the table. */
        void (*share)(void *arg, const char *key, const char *text);
        /* A frame of the supervisor's that is the program's own. */
        void (*frame)(void *arg, const struct msg_in *m);
        /* The supervisor is gone. True: there is something to tell others, and process_stop follows; it ends after
         * PROCESS_LAST_WORDS_MS in any case. Not called before process_ready. */
        bool (*orphaned)(void *arg);
};

struct process {
        const char *name; /* "link", as the table has it */
        struct loop *loop;
        bool started, ready, draining;
        bool check;   /* on trial: start reads and judges what it was given, asks and changes nothing, calls
                       * process_ready, and that   is all; what only an enrolment, a first start or a token brings may be
                       * missing */
        uint64_t seq; /* from the start on: ms that rise over the processes of one boot, whatever the clock does */

        /* private */
        bool failed; /* process_stop was called with a failure; frames are not looked at any more */
        bool configured;
        const struct frame_table *table;
        unsigned part;
        struct ipc *control;
        struct loop_timer *heartbeat;
        struct confined confined;
        const struct process_ops *ops;
        void *arg;
};

/*
 * Becomes --user, hardens the process, opens the log (stderr), makes the loop and takes over descriptor 3.
 * Ignores SIGPIPE, SIGINT, SIGHUP and SIGTERM: systemd sends the last one to all of a unit, whose supervisor drains the
 * others, or has just died, and then they have last words to say. The supervisor ends it by closing the channel. table:
 * the program's frames, with the rows of control.h and the supervisor as part 0; literal, as ops is. part: this
 * process. arg is kept for the callbacks, which start with process_run.
 */
int process_open(struct process *p, const struct frame_table *table, unsigned part, int argc, char **argv,
                 const struct process_ops *ops, void *arg, struct error *err);
/* Logs err as the reason of a failed start; returns the exit code 1. */
int process_fail(const char *name, const struct error *err);
/* Serves until the control channel closes or a callback fails. Returns the exit code. */
int process_run(struct process *p);
/* Frees loop and channel. Free everything made from the loop before. */
void process_close(struct process *p);

/* Takes over fd as a channel to another process, held to the table (ipc_set_rules); the callbacks as of ipc_new. 0 or
 * -ENOMEM. */
int process_channel(struct process *p, struct ipc **ret_ipc, unsigned peer, int fd, ipc_frame_fn *on_frame,
                    ipc_closed_fn *on_closed, void *arg);
/* Confines the process to its rules; for op start, with all in hand that needs more. */
int process_confine(struct process *p, const struct confine_rules *rules, enum confine_mode mode, struct error *err);
/* Tells the supervisor that the process is at work (once, after start): systemd hears of it when all have
 * said so. */
void process_ready(struct process *p);
/* Sends the supervisor a frame of the program's own, with a descriptor (duplicated) or -1. 0 or -errno. */
int process_send(struct process *p, const struct msg_out *m, int fd);
/* Frames that wait for the supervisor to read. */
size_t process_queued(const struct process *p);
/* What became of a file that came while the process runs; why: NULL, or it is not in use. */
void process_taken(struct process *p, const char *name, const char *why);
/* Tells the supervisor that a drain is over. */
void process_drained(struct process *p);
/* Ends process_run with the exit code, the text logged: for a peer-independent failure that only a new start
 * can mend. */
void process_stop(struct process *p, int code, const char *why);
