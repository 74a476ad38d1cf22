/*
 * A child process on trial: started as for work, with its files, as its own user, as far as to where its work would
 * begin, and ended (process.h, `check`). So what a process makes of its files is judged by that process alone.
 */
#pragma once

#include "base/process/child.h"

/* What a child that goes on trial is made with (child_new). */
extern const struct child_ops child_trial_ops;

/*
 * Tries child, which is CHILD_DOWN; start starts it (child_start) and hands on its files. The child's loop runs until
 * the process is gone, so nothing else may depend on it. 0; -errno, and err has what the process said.
 */
int child_try(struct child *child, int (*start)(struct child *child, struct error *err), const struct child_boot *boot,
              const char *instance, struct error *err);
