/*
 * The supervisor: starts link, validator and ledger, keeps them running, reloads, drains and stops them.
 *
 * It reads local files (configuration, enrolment) and signals, and nothing remote. Internal to supervisor*.c
 * and posternd.c.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>
#include <time.h>

#include "certs/trust/roster.h"
#include "base/ipc/ipc.h"
#include "base/ipc/loop.h"
#include "connector/conf/config.h"
#include "connector/frames/frames.h"
#include "base/process/child.h"
#include "base/process/hand.h"
#include "base/process/process.h"
#include "base/scribe/scribe.h"

struct supervisor;
struct watch;

#define CHECK_CONFIG_FD 3 /* `posternd --check-config --config-fd`: the text to check */
#define FILE_LOCK "lock"  /* of state_dir: held while posternd runs, with its pid in it */
#define FILE_LAST_RUN                                                                                                  \
        "last-run.json"      /* the same: {"started", "ended", "why"}, walls; ended 0: it runs, or was killed */
#define FILE_RELOAD "reload" /* the same: how the latest reload ended */

/* How a check says what it finds. */
struct files_check {
        void (*tell)(void *arg, const char *text); /* a fault */
        void (*note)(void *arg, const char *text); /* worth knowing, and no fault */
        void *arg;
        bool enrolled; /* set by prepare_check; else what an enrolment brings is not looked for */
};

/* supervisor/reload.c */
struct reload {
        bool again; /* asked for while one ran */
        bool open;  /* it is taken up, and not every process is ready with it yet */
        bool back;  /* the configuration before is coming back */
        pid_t pid;  /* of the check, or 0 */
        int fd;     /* what the check says, or -1 */
        struct loop_io *io;
        struct loop_timer *timer; /* the check's time */
        struct buffer said;
        uint64_t n;                    /* answers */
        char why[ERROR_TEXT_MAX + 64]; /* why the latest was refused, or "" */
        int64_t at;                    /* wall clock then */
};

enum supervisor_state {
        SUPERVISOR_RUNNING = 0,
        SUPERVISOR_DRAINING_LINK,
        SUPERVISOR_DRAINING_VALIDATOR,
        SUPERVISOR_STOPPING, /* channels are closed; waiting for the children's ends */
};

/* HOLDER_NEXT: the next transport key's, until it takes the place of the one before; then that one's, until it ends. */
enum holder_id { HOLDER_IDENTITY = 0, HOLDER_TRANSPORT, HOLDER_NEXT, HOLDER_N };

/* A key in hardware. */
struct holder {
        pid_t pid; /* of its postern-keyholder, or 0 */
        uid_t uid; /* that it becomes */
        bool pin_refused;
        ino_t pin_ino; /* the PIN file that was offered last */
        struct timespec pin_changed;
};

/* supervisor/renewal.c */
struct renewals {
        uint64_t stored_at;  /* when the link last had a certificate stored */
        uint64_t asked_at;   /* and wanted a key made */
        uint64_t made_until; /* the allowance of keys in hardware: KEY_EACH_MS further for each */
        unsigned tries;      /* names that were taken */
        struct loop_io *io;  /* of fd */
        int fd;              /* the owner's end of the holder that makes the next key; -1: none */
        struct buffer asked; /* the name that it makes */
        struct buffer made;  /* the name of a key that was made and is in no file yet; empty: none */
};

struct supervisor {
        struct loop *loop;
        const char *config_path;
        struct config *config;
        struct buffer text; /* the merged configuration, for the children */
        struct config *next_config;
        struct buffer next_text; /* of a reload, taken over when all children have ended; then the one before, until it
                                    succeeded */
        struct child children[PART_N]; /* by part; the supervisor's own is not used */
        enum supervisor_state state;
        bool reload; /* draining and stopping in order to start again */
        struct reload reloading;
        const struct files_check
                *check; /* or NULL. This one only checks: its children say whether they could start, and end */
        bool told_ready;
        int exit_code;
        char end_why[ERROR_TEXT_MAX + 64]; /* what the run ends with, or "" */
        uint64_t drain_until;
        struct loop_timer *drain_timer, *watchdog;
        struct watch *watch;
        struct kept *kept;
        struct scribes *scribes; /* where records leave the host; the ledger writes */
        struct loop_signal *signals[4];
        int lock_fd, control_fd, metrics_fd; /* control_fd, metrics_fd: listening UNIX sockets */
        struct holder *holders;              /* HOLDER_N */
        struct renewals renewals;
        struct child_boot boot;
        char connector_id[ID_MAX + 1], connector_name[NAME_MAX_LEN + 1];
};

/* The user that a process becomes. */
const char *supervisor_user(const struct config *config, enum part part);

/* supervisor.c */
/* Starts the process, which is down, and hands on its files; the caller connects peers and calls child_begin. -errno
 * with err. */
int supervisor_start(struct child *child, struct error *err);

/* supervisor/watchdog.c: looks for children that make no progress, tells systemd, and comes again; a loop_timer_fn */
void watchdog_turn(void *supervisor);

/* supervisor/kept.c: the files of the domains that are in use; name as in FRAME_FILE */
/* NULL without memory. */
struct kept *kept_new(void);
struct kept *kept_free(struct kept *kept);
/* Nothing is in use any more, so that the disk is read again. */
void kept_clear(struct kept *kept);
/* A sealed memfd, which stays the caller's, was handed on. */
void kept_offer(struct kept *kept, const char *name, int fd);
/* What was handed on under the name (NULL: all of it) is in use from now on, or is no good. */
void kept_settle(struct kept *kept, const char *name, bool good);
/* The one in use, at its beginning, stays kept's; -ENOENT. */
int kept_get(const struct kept *kept, const char *name);

/* supervisor/watch.c: keytabs that change. 0 or -errno. */
int watch_new(struct watch **ret, struct supervisor *s);
struct watch *watch_free(struct watch *watch);
/* What the validator made of a file, by its name in FRAME_FILE; why: NULL, or it is not in use. */
void watch_taken(struct watch *watch, const char *name, const char *why);
/* Why the keytab of domain i, as it is on the disk, is not the one in use; "": it is. */
const char *watch_trouble(const struct watch *watch, size_t i);
/* A validator is ready again: keytabs that the one before did not answer for are handed on anew. */
void watch_again(struct watch *watch);
/* Called before the children get the files of s->config: whatever changes from here on is handed on. */
void watch_begin(struct watch *watch);

/* supervisor/share.c: FRAME_SHARE to the ledger, for `postern status` */
void share_child(struct child *child);
void share_supervisor(struct supervisor *s);
void share_all(struct supervisor *s);
/* What an administrator did by commands on this host since the last time (connector/frames/acts.h). */
void share_acts(struct supervisor *s);

/* Drains and stops all. reload: then reload_take and a start; else the end. */
void supervisor_drain(struct supervisor *s, bool reload);

/* supervisor/reload.c */
int reload_new(struct supervisor *s);
void reload_free(struct supervisor *s);
/* A loop_fn: checks the configuration as it is now, then drains and takes it; or refuses it. Another one that is asked
 * for meanwhile is done after it. */
void reload_ask(void *supervisor);
/* SIGCHLD: perhaps the check has ended. */
void reload_reap(struct supervisor *s);
/* All processes have ended: puts the next configuration in the place of the one before. */
void reload_take(struct supervisor *s);
/* Every process is ready. */
void reload_ready(struct supervisor *s);
/* A process ended for a fault in the new configuration: whether the one before comes back. */
bool reload_back(struct supervisor *s, const struct child *child);

/* supervisor/check.c: how many faults were told */
/* As root, that the users are there and fit. */
size_t check_users(const struct config *config, const struct files_check *check);
/* What a start can tell without its processes, which then find the rest. found: how many for each process's files. */
size_t check_all(struct supervisor *s, struct files_check *check, size_t found[PART_N]);
/* Everything, the processes' own part included. Borrows config and its text. */
size_t supervisor_check(struct config *config, const struct buffer *text, struct files_check *check);

/* supervisor/prepare.c: what stands before any process starts */
/* Folders, lock, enrolment, hash key, control socket. Fails with -ENOENT where the connector isn't enrolled.
 */
int files_prepare(struct supervisor *s, struct error *err);
/* The same, only looked at; sets check->enrolled. */
size_t prepare_check(struct supervisor *s, struct files_check *check);

/* supervisor/files.c: what is opened, and for whom */
/* FOLDER/NAME into out, PATH_MAX bytes. */
int files_in_folder(char *out, const char *folder, const char *name, struct error *err);
/* Opens the domain's keytab and hands it on. */
int files_keytab(const struct supervisor *s, const struct domain_config *domain, hand_fn *fn, void *arg,
                 struct error *err);
/* Opens each file of this child and hands it on. */
int files_each(const struct supervisor *s, enum part id, hand_fn *fn, void *arg, struct error *err);
/* As root: whether the user of this child is there, isn't root and isn't another child's; err with the
 * remedy. */
int files_check_user(const struct config *config, enum part id, struct error *err);
/* Tells each file of this child that cannot be handed on; how many. What a first start makes may be missing. */
size_t files_check(const struct supervisor *s, enum part id, const struct files_check *check);
/* As root the uid of the user; this process's own uid for others, and where there is no such user. */
uid_t files_uid_of(const char *user);
/* Appends what the file of state_dir holds, which nobody else could have written. */
int files_read_state(const struct supervisor *s, const char *name, struct buffer *out, struct error *err);
/* Writes transport.pem, in one step, and removes the key's old file. */
int files_write_transport(const struct supervisor *s, const struct buffer *text, struct error *err);
/* As root: whether the user of the keyholders is there and is nobody else's. */
int files_check_keys_user(const struct config *config, struct error *err);

/* supervisor/keys.c: keys in hardware. reference_fd: what names the key; stays the caller's. */
/* Starts the holder of this key for its owner, whose end of the socket is returned; -errno with err. make: the key is
 * made under that name. */
int keys_start(const struct supervisor *s, const struct config *config, enum holder_id id, bool make, int reference_fd,
               struct error *err);
/* The next transport key is the one from now on. */
void keys_take_next(struct supervisor *s);
/* What can be told without touching the token. */
int keys_check(const struct config *config, enum holder_id id, int reference_fd, struct error *err);
/* Notes which holders have ended. */
void keys_reap(struct supervisor *s);

/* supervisor/renewal.c: what the link asks for when it renews its certificate */
/* Makes the next transport key in its hardware: FRAME_FILE FILE_TRANSPORT_NEXT to the link, or FRAME_STORED with why.
 */
void renewals_make_key(struct child *link);
/* Stores the certificate in fd, which stays the caller's; FRAME_STORED tells what came of it. */
void renewals_store(struct child *link, int fd);
void renewals_free(struct supervisor *s);

/* supervisor/last-run.c: what `postern status` tells where no posternd runs */
/* The run begins: from now on an end without last_run_end is one without a word. */
void last_run_begin(const struct supervisor *s);
/* The run, or the start that failed, ends for s->end_why. Where another posternd runs nothing is written. */
void last_run_end(const struct supervisor *s);

/* Runs until the end; returns the exit code. Takes over config and text. */
int supervisor_run(struct supervisor *s, const char *config_path, struct config *config, struct buffer *text);
