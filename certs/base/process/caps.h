/*
 * The capabilities of a supervisor that starts each of its processes as a user of its own.
 */
#pragma once

#include <sys/types.h>

#include "base/core/error.h"

#define CAPS_NONE (-1)
/* As root, keeps the capabilities that starting and ending children needs, and also this one (CAP_*; CAPS_NONE), and no
 * others. */
int caps_reduce(int also, struct error *err);
/* Back to the supervisor's own user and group, after a change of the effective ones; an abort where that fails. The
 * caller's wish that it end with it, which such a change drops, is renewed: as caps_note_parent found it. */
void caps_back(void);
void caps_note_parent(void);
/* SIGKILL to a process that has become uid, or not yet: root without CAP_KILL may signal its own kind alone. */
void caps_kill(pid_t pid, uid_t uid);
