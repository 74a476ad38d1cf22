/*
 * A reload that somebody waits for: a daemon tells in a file how it ended, and `PROGRAM --reload` asks for it and waits
 * for that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/core/error.h"

/* Writes how the n-th reload of this start (boot) ended; why: "", it is done; else what it was refused for, or,
 * with lost, why it fails though it was taken, so that what ran before is gone. -errno with err. */
int reloading_tell(const char *path, const char *boot, uint64_t n, const char *why, bool lost, struct error *err);

struct reloading {
        const char *program;       /* for what is printed */
        const char *state_dir;     /* the same */
        const char *lock, *answer; /* the daemon's, as of hand_lock and reloading_tell */
};
/* Makes the daemon that holds the lock (or is $MAINPID, as systemd sets it) read its configuration anew, and waits for
 * what it tells. Prints that; the exit code: 0, or 1 where it was refused, or nobody runs, or nothing came for minutes.
 */
int reloading_wait(const struct reloading *asked);
