/*
 * What an administrator did on this host by commands that change files of state_dir, until the ledger has it: lines in
 * a file there, which the command writes, whether posternd runs or not, and the supervisor reads and empties.
 */
#pragma once

#include <stdint.h>

#include "base/core/error.h"

/*
 * Notes an act: its name ("domain.repin") and more about it, by this process's user and by who logged in before sudo
 * and its like. 0; -errno with err: it is not noted, which is no reason to fail.
 */
int acts_note(const char *state_dir, const char *name, const char *detail, struct error *err);

/* A line: {"at","act","detail","uid"} and, where it is known, "login_uid". 0: it is taken over. */
typedef int acts_fn(void *arg, const char *line);
/* Each line that is noted, until fn fails; those that were taken over do not come again. 0; -errno of fn, or of the
 * file. */
int acts_each(const char *state_dir, acts_fn *fn, void *arg);
/* Who logged in, as the kernel keeps it; -1: nobody did. */
int64_t acts_login_uid(void);
