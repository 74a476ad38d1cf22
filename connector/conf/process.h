/*
 * The ritual by which link, validator and ledger start, live and end; the same for each.
 *
 * The supervisor execs `postern-NAME --role=NAME [--user=USER]` with the control channel on descriptor 3, an
 * empty environment but for a few variables, and nothing else open. process_open becomes the user and hardens
 * the process before a byte is read. Frames then arrive in this order: FRAME_CONFIG, each FRAME_FILE, each
 * FRAME_PEER, FRAME_START. Later: FRAME_PEER (a peer was started again), FRAME_CONFIG (reload), FRAME_FILE (a
 * file was replaced), FRAME_DRAIN. When the control channel closes the process ends: none outlives the
 * supervisor.
 *
 *      int main(int argc, char **argv)
 *      {
 *              struct process p;
 *              struct error err;
 *              if (process_open(&p, "link", argc, argv, &ops, &link, &err) < 0)
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

#include "base/process/confine.h"
#include "base/core/error.h"
#include "base/ipc/ipc.h"
#include "base/ipc/loop.h"
#include "connector/conf/config.h"
#include "connector/frames/messages.h"

#define PROCESS_CONTROL_FD 3
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
        /* p->config is the first configuration, or (reload) the new one while old is the one before, freed
         * after the call. old is NULL the first time. */
        int (*config)(void *arg, const struct config *old, struct error *err);
        /* The callee owns fd. name: FILE_* of messages.h; FILE_KEYTAB is followed by the domain's name and so
         * on. Private files come at offset 0 of an own open file; the keytab as a memfd, so that
         * /proc/self/fd/N opens it again. */
        int (*file)(void *arg, const char *name, int fd, struct error *err);
        /* A channel to "link", "validator" or "ledger"; the callee owns fd (ipc_new takes it over) and drops
         * the older channel to that peer. */
        int (*peer)(void *arg, const char *name, int fd, struct error *err);
        /* Once: configuration, files and channels to the peers that run have come; a peer that is down comes
         * later. boot: b64u of 16 random bytes, new at each start of posternd, the same for a process that is
         * started again. connector_id: as enrolled. */
        int (*start)(void *arg, const char *boot, const char *connector_id, struct error *err);
        /* Take no new work; call process_drained as soon as nothing is left, at the latest after budget_ms.
         */
        void (*drain)(void *arg, uint64_t budget_ms);
        /* From the supervisor for `postern status` (the ledger alone gets it). */
        void (*share)(void *arg, const char *key, const char *text);
        /* What process_store sent is on disk; why: NULL, or it is not, or no key could be made. */
        void (*stored)(void *arg, const char *why);
};

struct process {
        const char *name; /* "link" */
        struct loop *loop;
        struct config *config; /* NULL before the first FRAME_CONFIG */
        bool started, ready, draining;
        bool check;   /* on trial: start reads and judges what it was given, asks and changes nothing, calls
                       * process_ready, and that   is all; what only an enrolment, a first start or a token brings may be
                       * missing */
        uint64_t seq; /* from the start on: ms that rise over the processes of one boot, whatever the clock does */

        /* private */
        bool failed; /* process_stop was called with a failure; frames are not looked at any more */
        struct ipc *control;
        struct loop_timer *heartbeat;
        struct confined confined;
        const struct process_ops *ops;
        void *arg;
};

/*
 * Becomes --user, hardens the process, opens the log (stderr), makes the loop and takes over descriptor 3.
 * Blocks SIGPIPE, SIGINT and SIGHUP; SIGTERM ends the process at once. arg is kept for the callbacks, which
 * start with process_run. name is literal.
 */
int process_open(struct process *p, const char *name, int argc, char **argv, const struct process_ops *ops, void *arg,
                 struct error *err);
/* Logs err as the reason of a failed start; returns the exit code 1. */
int process_fail(const char *name, const struct error *err);
/* Serves until the control channel closes or a callback fails. Returns the exit code. */
int process_run(struct process *p);
/* Frees loop, channel and config. Free everything made from the loop before. */
void process_close(struct process *p);

/* Confines the process to its rules as `confinement` says; for op start, with all in hand that needs more. */
int process_confine(struct process *p, const struct confine_rules *rules, struct error *err);
/* Tells the supervisor that the process is at work (once, after start): systemd hears of it when all have
 * said so. */
void process_ready(struct process *p);
/* Hands the supervisor a new transport.pem; op stored tells what came of it. text is secret. 0 or -errno. */
int process_store(struct process *p, const struct buffer *text);
/* Asks for the next transport key in hardware: op file gets it as FILE_TRANSPORT_NEXT, or op stored tells why not. */
void process_make_key(struct process *p);
/* What became of a file that came while the process runs; why: NULL, or it is not in use. */
void process_taken(struct process *p, const char *name, const char *why);
/* Tells the supervisor that a drain is over. */
void process_drained(struct process *p);
/* Ends process_run with the exit code, the text logged: for a peer-independent failure that only a new start
 * can mend. */
void process_stop(struct process *p, int code, const char *why);
