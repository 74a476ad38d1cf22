/*
 * What every daemon process does to itself before it reads a byte from outside.
 */
#pragma once

#include <sys/types.h>

#include "base/core/error.h"

/*
 * The wish of who started this process that it end with it (PR_SET_PDEATHSIG), which the kernel forgets whenever a
 * process changes its user or group: note it before, renew it after. A parent that ended meanwhile is no longer waited
 * for. harden_become does both by itself.
 */
struct parent_tie {
        int signo; /* 0: there is none */
        pid_t parent;
};
struct parent_tie parent_tie_note(void);
void parent_tie_renew(const struct parent_tie *tie);

/* Lets this process, and those that it starts, have so many descriptors, or as many as it may. */
void harden_files(unsigned long wanted);

/* Undumpable, no core files, no new privileges. Fails rather than going on half-protected. */
int harden_process(struct error *err);
/* HARDEN_OWN_GROUPS: those that /etc/group gives the user, for a device or a token's files. */
enum harden_groups { HARDEN_NO_GROUPS, HARDEN_OWN_GROUPS };
/*
 * When running as root: becomes user (its uid, primary gid, these supplementary groups, no capabilities) for good and
 * checks that there is no way back. NULL or not root: nothing. -ENOENT names the missing user and how to make it.
 */
int harden_become(const char *user, enum harden_groups groups, struct error *err);
/* Gives up every capability, for good, for who stays root: it may then open what is root's and nothing else. */
int harden_powerless(struct error *err);
