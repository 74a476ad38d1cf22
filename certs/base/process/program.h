/*
 * Where the programs are that this one starts, and starting one.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/core/error.h"

/* The path of postern-PART: beside this program in the build tree or a tree that was moved as a whole, else
 * where it was installed. -ENOENT. */
int program_path(const char *part, char *out, size_t cap, struct error *err);
/* The path of posternd, found the same way. */
int program_daemon(char *out, size_t cap, struct error *err);

/*
 * Starts argv[0] (a path; argv ends with NULL) with this environment and these descriptors as its standard input,
 * output and error; -1: this program's own. 0 with *ret_pid, which the caller waits for; -errno.
 */
int program_spawn(pid_t *ret_pid, const char *const *argv, const int fds[3]);
