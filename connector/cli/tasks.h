/*
 * The tests of `postern check` that block, each in a child process of its own: what a start would find, the way to the
 * relay, what the daemon says.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/core/buffer.h"

#include "connector/cli/cli.h"
#include "connector/conf/config.h"

#define TASKS_MS 13000 /* from its start on; then it is ended */

struct task {
        pid_t pid;      /* or 0 */
        int fd;         /* where its lines come */
        uint64_t until; /* CLOCK_MONOTONIC, ms */
};

/* Tests, and appends lines (connector/findings/hop.h) to the array. */
typedef void task_fn(const struct cli *cli, const struct config *config, json_t *lines);

task_fn tasks_startup; /* posternd's own check */
task_fn tasks_relay;   /* as enrolled; reads the enrolment, as root */
task_fn tasks_readers; /* the accounts that `postern account` reads with */
task_fn tasks_daemon;

/* 0, or -errno. */
int tasks_begin(struct task *ret_task, task_fn *fn, const struct cli *cli, const struct config *config);
/* What the program, found by PATH, prints on its standard output, within TASKS_MS; argv ends with NULL. 0 or -errno. */
int tasks_output(struct buffer *out, const char *const *argv);
/* Its lines, when it has ended or its time is over, of which a line with this step then tells. Never NULL but without
 * memory; owned by the caller. */
json_t *tasks_end(struct task *task, const char *step);
