/*
 * The supervisor: starts link, validator and ledger, keeps them running, reloads, drains and stops them.
 *
 * It reads local files (configuration, enrolment) and signals, and nothing remote. Internal to supervisor*.c
 * and posternd.c.
 */
#pragma once

#include <sys/types.h>
#include <time.h>

#include "connector/base/ipc.h"
#include "connector/base/loop.h"
#include "connector/config.h"
#include "connector/messages.h"
#include "connector/process.h"

enum child_id { CHILD_LINK = 0, CHILD_VALIDATOR, CHILD_LEDGER, CHILD_N };

enum child_state {
        CHILD_DOWN = 0, /* no process; its timer may be armed to start it */
        CHILD_RUNNING,
        CHILD_ENDING, /* its channel is closed; waiting for its end */
};

struct supervisor;
struct watch;

struct child {
        struct supervisor *supervisor;
        enum child_id id;
        enum child_state state;
        pid_t pid;
        uid_t uid; /* that it becomes; of the last one started */
        struct ipc *control;
        struct loop_timer *timer; /* DOWN: start again; ENDING: kill */
        uint64_t started_at, backoff_ms;
        int64_t since; /* wall clock of the last change of state */
        unsigned restarts;
        bool ready, drained;
        char last_end[64]; /* how it ended last, or "" */
        int last_code;     /* its exit code then; -1 after a signal */
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

/* supervisor-renewal.c */
struct renewals {
        uint64_t stored_at; /* when the link last had a certificate stored */
        uint64_t asked_at;  /* and wanted a key made */
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
        struct buffer next_text; /* of a reload, taken over when all children have ended */
        struct child children[CHILD_N];
        enum supervisor_state state;
        bool reload; /* draining and stopping in order to start again */
        bool told_ready;
        int exit_code;
        uint64_t drain_until;
        struct loop_timer *drain_timer, *watchdog;
        struct watch *watch;
        struct loop_signal *signals[4];
        int lock_fd, control_fd; /* control_fd: the listening UNIX socket */
        struct holder *holders; /* HOLDER_N */
        struct renewals renewals;
        char boot[32];
        int64_t boot_wall; /* s since the epoch, and the loop's time, when boot was drawn */
        uint64_t boot_at;
        char connector_id[ID_MAX + 1];
};

const char *child_name(enum child_id id);
const char *child_user(const struct config *config, enum child_id id);

/* supervisor-child.c: one process */
/* Starts the process and sends it config and files; the caller connects peers and calls child_begin. -errno
 * with err. */
int child_spawn(struct child *child, struct error *err);
/* Makes a pair and gives each of two running children its end. */
int child_connect(struct child *a, struct child *b);
/* FRAME_START. */
int child_begin(struct child *child);
void child_drain(struct child *child, uint64_t budget_ms);
/* Closes the channel, which ends the process; kills it if it doesn't. */
void child_end(struct child *child);
/* Whether the process has ended; notes how. */
bool child_reap(struct child *child);

/* Hands on one more file; fd stays the caller's. -errno with err where the process does not run. */
int child_hand_file(struct child *child, const char *name, int fd, struct error *err);
/* FRAME_STORED; why: NULL, or it failed. */
void child_stored(struct child *child, const char *why);
/* Hands the domain's keytab on anew. -errno with err where it can't be. */
int child_hand_keytab(struct child *child, const struct config_domain *domain, struct error *err);

/* supervisor-watch.c: keytabs that change. 0 or -errno. */
int watch_new(struct watch **ret, struct supervisor *s);
struct watch *watch_free(struct watch *watch);
/* Before the children get s->config's files: what changes from here on is handed on. */
void watch_begin(struct watch *watch);

/* supervisor.c, called by supervisor-child.c */
void supervisor_child_ready(struct child *child);
void supervisor_child_drained(struct child *child);
/* FRAME_SHARE to the ledger: what `postern status` shows of this process. */
void supervisor_share(struct child *child);

/* supervisor-files.c: what is opened, and for whom */
/* Folders, lock, enrolment, hash key, control socket. Fails with -ENOENT where the connector isn't enrolled.
 */
int files_prepare(struct supervisor *s, struct error *err);
/* Binds the control socket of s->config anew. */
int files_bind_control(struct supervisor *s, struct error *err);
typedef int files_hand_fn(void *arg, const char *name, int fd, struct error *err); /* fd stays the caller's */
/* Opens the domain's keytab and hands it on. */
int files_keytab(const struct supervisor *s, const struct config_domain *domain, files_hand_fn *fn, void *arg,
                 struct error *err);
/* Opens each file of this child and hands it on. */
int files_each(const struct supervisor *s, enum child_id id, files_hand_fn *fn, void *arg, struct error *err);
/* As root: whether the user of this child is there, isn't root and isn't another child's; err with the
 * remedy. */
int files_check_user(const struct config *config, enum child_id id, struct error *err);
/* Whether every user is there and every file can be handed on. files_prepare has made what is made at a first
 * start. */
int files_check(const struct supervisor *s, const struct config *config, struct error *err);
/* As root: the user's uid; else, and for one who is not there, the own. */
uid_t files_uid_of(const char *user);
/* A sealed memfd with these bytes. */
int files_memfd(const char *name, const void *bytes, size_t n, struct error *err);
/* Appends what the file of state_dir holds, which nobody else could have written. */
int files_read_state(const struct supervisor *s, const char *name, struct buffer *out, struct error *err);
/* Writes transport.pem, in one step, and removes the key's old file. */
int files_write_transport(const struct supervisor *s, const struct buffer *text, struct error *err);
/* A file that nobody else may read or could have written. An own descriptor, or -errno. */
int files_open_private(const char *path, struct error *err);
/* As root: whether the user of the keyholders is there and is nobody else's. */
int files_check_keys_user(const struct config *config, struct error *err);

/* supervisor-keys.c: keys in hardware. reference_fd: what names the key; stays the caller's. */
/* Starts the holder of this key for its owner, whose end of the socket is returned; -errno with err. */
int keys_start(const struct supervisor *s, const struct config *config, enum holder_id id, int reference_fd,
               struct error *err);
/* The same for the next transport key; make: it is made under that name. */
int keys_start_next(const struct supervisor *s, const struct config *config, bool make, int reference_fd,
                    struct error *err);
/* The next transport key is the one from now on. */
void keys_take_next(struct supervisor *s);
/* What can be told without touching the token. */
int keys_check(const struct config *config, enum holder_id id, int reference_fd, struct error *err);
/* Notes which holders have ended. */
void keys_reap(struct supervisor *s);

/* supervisor-renewal.c: what the link asks for when it renews its certificate */
/* Makes the next transport key in its hardware: FRAME_FILE FILE_TRANSPORT_NEXT to the link, or FRAME_STORED with why. */
void renewals_make_key(struct child *link);
/* Stores the certificate in fd, which stays the caller's; FRAME_STORED tells what came of it. */
void renewals_store(struct child *link, int fd);
void renewals_free(struct supervisor *s);

/* supervisor-caps.c: as root, keeps the capabilities that starting and ending children needs, and no others.
 */
int caps_reduce(struct error *err);
/* SIGKILL to a process that has become uid, or not yet: root without CAP_KILL may signal its own kind alone. */
void caps_kill(pid_t pid, uid_t uid);

/* Runs until the end; returns the exit code. Takes over config and text. */
int supervisor_run(struct supervisor *s, const char *config_path, struct config *config, struct buffer *text);
