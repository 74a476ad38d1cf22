/*
 * Files that a supervisor hands to its processes: judged before they are opened for anybody, and texts as sealed
 * memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/core/error.h"

/* Public: nobody but its owner and its group could have written it. Private: nobody else may read it, either. State:
 * the same, made where it is missing, and open for writing. */
enum hand_kind { HAND_PUBLIC = 0, HAND_PRIVATE, HAND_STATE };

/* Takes a file under the name that its process knows it by; fd stays the caller's. 0, or -errno with err. */
typedef int hand_fn(void *arg, const char *name, int fd, struct error *err);

/* An own open file, at offset 0, judged. -ENOENT where it doesn't exist; else -EPERM, -EINVAL or -errno, with the
 * remedy in err. */
int hand_open(const char *path, enum hand_kind kind, struct error *err);
/* Locks the file, made where it is missing, for as long as *ret_fd is open, and writes this process's pid into it, if
 * it can: without that the lock holds all the same. -EBUSY: another process has it. -errno with err. */
int hand_lock(const char *path, int *ret_fd, struct error *err);
/* Whether some process has it locked so. Takes no lock to find out, so that who looks stands in nobody's way. */
bool hand_locked(const char *path);
/* A sealed memfd with these bytes, at offset 0. -errno with err. */
int hand_memfd(const char *name, const void *bytes, size_t n, struct error *err);
/* The same with what is left of fd, at most max bytes, which move inside the kernel. For files that a library of the
 * child's opens by name, as /proc/self/fd/N. */
int hand_copy(const char *name, int fd, size_t max, struct error *err);
