/*
 * How a supervisor starts a child process (process.h is the child's side): control channel on PROCESS_CONTROL_FD, a
 * short list of environment variables, nothing else inherited, a process group of its own.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/core/error.h"

struct spawn {
        const char *part; /* postern-PART is started (program.h); NULL: this program itself */
        const char *role; /* --role=ROLE, for who looks at the list of processes */
        const char *user; /* --user=USER where this process is root; NULL: none */
        int control;      /* the child's end of the pair (ipc_pair); stays the caller's */
        bool proxies;     /* it may see https_proxy, no_proxy and their like */
        bool silent;      /* its standard error goes nowhere: a check tells by its channel */
};
/* 0; -ENOENT, -ENOMEM or posix_spawn's, with err. */
int process_spawn(pid_t *ret_pid, const struct spawn *s, struct error *err);

/* How a process ended, for humans: "exit code 1", "signal 9 (KILL)". Returns its exit code, -1 after a signal. */
int process_end_text(int status, char *out, size_t cap);
