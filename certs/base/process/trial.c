/*
 * Trials of child processes, one at a time: a process is ready, ends, or is silent for too long, and goes in any case.
 */
#include "base/process/trial.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/process/control.h"

#define TRIAL_MS 30000

enum trial_end { TRIAL_READY = 0, TRIAL_ENDED, TRIAL_SILENT };

static void take_trial_frame(struct child *child, const struct msg_in *m, int fd)
{
        (void)fd;
        if (m->type == FRAME_READY)
                loop_stop(child->loop, TRIAL_READY);
}

const struct child_ops child_trial_ops = {.frame = take_trial_frame};

static void on_child_ended(void *arg)
{
        struct child *child = arg;

        if (child_reap(child))
                loop_stop(child->loop, TRIAL_ENDED);
}

static void on_patience_end(void *arg)
{
        loop_stop(((struct child *)arg)->loop, TRIAL_SILENT);
}

int child_try(struct child *child, int (*start)(struct child *child, struct error *err), const struct child_boot *boot,
              const char *instance, struct error *err)
{
        struct loop_signal *ended = NULL;
        struct loop_timer *patience = NULL;
        struct error why = {"the channel broke"};
        int end = TRIAL_ENDED;

        if (loop_signal_new(&ended, child->loop, SIGCHLD, on_child_ended, child) < 0 ||
            loop_timer_new(&patience, child->loop, NULL, on_patience_end, child) < 0) {
                loop_signal_free(ended);
                return error_fail(err, -ENOMEM, "out of memory");
        }
        if (start(child, &why) == 0 && child_begin(child, boot, instance, true) == 0) {
                loop_timer_in(patience, TRIAL_MS);
                end = loop_run(child->loop);
                (void)snprintf(why.text, sizeof(why.text), "%s",
                               end == TRIAL_SILENT ? "it does not answer" : child->last_end);
                loop_timer_stop(patience);
        }
        child_end(child);
        while (child->state != CHILD_DOWN)
                (void)loop_run(child->loop);
        loop_signal_free(ended);
        loop_timer_free(patience);
        return end == TRIAL_READY ? 0 : error_fail(err, -EINVAL, "%s", child->why[0] ? child->why : why.text);
}
