/*
 * One child process: started, spoken to, ended.
 *
 * Invariant: pid > 0 exactly while state is not DOWN, and control is open exactly while it is RUNNING. What
 * happens next (again, drain, stop) is decided in supervisor.c.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "connector/frames/frames.h"
#include "base/process/process.h"
#include "base/process/launch.h"

#define END_PATIENCE_MS 3000

static int exec_child(struct child *child, int control, struct error *err)
{
        const char *user = child_user(child->supervisor->config, child->id);

        child->uid = files_uid_of(user);
        /* the proxy is the link's */
        return process_spawn(&child->pid,
                             &(struct spawn){.part = child_name(child->id),
                                             .role = child_name(child->id),
                                             .user = user,
                                             .control = control,
                                             .proxies = child->id == CHILD_LINK,
                                             .silent = child->supervisor->check},
                             err);
}

/* ---- the control channel ---- */

static enum part part_of(enum child_id id)
{
        static const enum part parts[CHILD_N] = {PART_LINK, PART_VALIDATOR, PART_LEDGER};

        return parts[id];
}

static void take_ready(struct child *child, const struct msg_in *m)
{
        child->ready = true;
        child->seccomp = msg_get_u64(m, TAG_SECCOMP, 0) != 0;
        if (msg_get_str(m, TAG_LANDLOCK, child->landlock, sizeof(child->landlock)) < 0)
                child->landlock[0] = '\0';
        child->why[0] = '\0';
        supervisor_child_ready(child);
}

static void take_taken(struct child *child, const struct msg_in *m)
{
        char name[300], why[ERROR_TEXT_MAX];
        const bool refused = msg_get_str(m, TAG_WHY, why, sizeof(why)) == 0;

        if (msg_get_str(m, TAG_NAME, name, sizeof(name)) == 0)
                watch_taken(child->supervisor->watch, name, refused ? why : NULL);
}

static void on_frame(void *arg, const struct msg_in *m, int received)
{
        _cleanup_(closep) int fd = received;
        struct child *child = arg;

        child->silent_turns = 0;
        if (child->supervisor->check && m->type != FRAME_READY && m->type != FRAME_FAILED)
                return;
        if (m->type == FRAME_READY && !child->ready) {
                take_ready(child, m);
        } else if (m->type == FRAME_FAILED) {
                if (msg_get_str(m, TAG_WHY, child->why, sizeof(child->why)) < 0)
                        child->why[0] = '\0';
        } else if (m->type == FRAME_TAKEN) {
                take_taken(child, m);
        } else if (m->type == FRAME_DRAINED && !child->drained) {
                child->drained = true;
                supervisor_child_drained(child);
        } else if (m->type == FRAME_CERTIFICATE && fd >= 0) {
                renewals_store(child, fd);
        } else if (m->type == FRAME_MAKE_KEY) {
                renewals_make_key(child);
        }
}

/* A process that closes its channel is about to end or broke the rules; either way it goes. */
static void on_closed(void *arg, const char *why)
{
        struct child *child = arg;

        log_debug("channel.closed", KV_S("process", child_name(child->id)), KV_S("why", why));
        child_end(child);
}

static int send_named_fd(struct child *child, uint8_t type, const char *name, int fd)
{
        struct msg_out m;

        msg_begin(&m, type);
        msg_str(&m, TAG_NAME, name);
        return ipc_send_fd(child->control, &m, fd);
}

int child_hand_file(struct child *child, const char *name, int fd, struct error *err)
{
        int r = child->control ? send_named_fd(child, FRAME_FILE, name, fd) : -EPIPE;

        return r < 0 ? error_fail(err, r, "cannot hand on %s: %s", name, strerror(-r)) : 0;
}

static int hand_file(void *arg, const char *name, int fd, struct error *err)
{
        return child_hand_file(arg, name, fd, err);
}

void child_stored(struct child *child, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_STORED);
        msg_str(&m, TAG_WHY, why);
        if (child->control && ipc_send(child->control, &m) < 0)
                child_end(child);
}

static int send_config(struct child *child, struct error *err)
{
        const struct buffer *text = &child->supervisor->text;
        _cleanup_(closep) int fd = hand_memfd("configuration", text->len ? text->data : "", text->len, err);

        if (fd < 0)
                return fd;
        int r = send_named_fd(child, FRAME_CONFIG, NULL, fd);
        return r < 0 ? error_fail(err, r, "cannot hand on the configuration: %s", strerror(-r)) : 0;
}

static void running(struct child *child)
{
        child->state = CHILD_RUNNING;
        child->ready = child->drained = child->hung = false;
        child->silent_turns = 0;
        child->started_at = loop_now(child->supervisor->loop);
        child->since = loop_wall(child->supervisor->loop);
        loop_timer_stop(child->timer);
        log_info("process.started", KV_S("process", child_name(child->id)), KV_I("pid", child->pid));
}

int child_spawn(struct child *child, struct error *err)
{
        _cleanup_(closep) int theirs = -1;
        int pair[2];
        int r = ipc_pair(pair);

        if (r < 0)
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        theirs = pair[1];
        r = ipc_new(&child->control, child->supervisor->loop, pair[0], on_frame, on_closed, child);
        if (r < 0) {
                (void)close(pair[0]);
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        }
        ipc_set_rules(child->control, &posternd_frames, PART_SUPERVISOR, part_of(child->id), NULL);
        r = exec_child(child, theirs, err);
        if (r < 0) {
                child->control = ipc_free(child->control);
                return r;
        }
        running(child);
        r = send_config(child, err);
        return r < 0 ? r : files_each(child->supervisor, child->id, hand_file, child, err);
}

int child_hand_keytab(struct child *child, const struct domain_config *domain, struct error *err)
{
        return files_keytab(child->supervisor, domain, hand_file, child, err);
}

int child_connect(struct child *a, struct child *b)
{
        _cleanup_(closep) int end_a = -1;
        _cleanup_(closep) int end_b = -1;
        int pair[2];
        int r = ipc_pair(pair);

        if (r < 0)
                return r;
        end_a = pair[0];
        end_b = pair[1];
        r = send_named_fd(a, FRAME_PEER, child_name(b->id), end_a);
        return r < 0 ? r : send_named_fd(b, FRAME_PEER, child_name(a->id), end_b);
}

int child_begin(struct child *child)
{
        struct msg_out m;

        msg_begin(&m, FRAME_START);
        msg_str(&m, TAG_BOOT, child->supervisor->boot);
        /* where the clock was when the boot began, and what has passed since by one that nobody sets */
        msg_u64(&m, TAG_SEQ,
                (uint64_t)child->supervisor->boot_wall * 1000 +
                        (loop_now(child->supervisor->loop) - child->supervisor->boot_at));
        msg_str(&m, TAG_INSTANCE, child->supervisor->connector_id);
        if (child->supervisor->check)
                msg_u64(&m, TAG_CHECK, 1);
        return ipc_send(child->control, &m);
}

void child_drain(struct child *child, uint64_t budget_ms)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DRAIN);
        msg_u64(&m, TAG_BUDGET, budget_ms);
        if (ipc_send(child->control, &m) < 0)
                child_end(child);
}

void child_end(struct child *child)
{
        if (child->state != CHILD_RUNNING)
                return;
        child->state = CHILD_ENDING;
        child->control = ipc_free(child->control);
        loop_timer_in(child->timer, END_PATIENCE_MS);
}

static void note_end(struct child *child, int status)
{
        child->last_code = process_end_text(status, child->last_end, sizeof(child->last_end));
        if (child->hung)
                (void)snprintf(child->last_end, sizeof(child->last_end), "ended here: it made no progress any more");
}

bool child_reap(struct child *child)
{
        int status;

        if (child->state == CHILD_DOWN || waitpid(child->pid, &status, WNOHANG) != child->pid)
                return false;
        if (child->control) /* it may have said why */
                ipc_read_rest(child->control);
        note_end(child, status);
        child->state = CHILD_DOWN;
        child->pid = 0;
        child->ready = false;
        child->control = ipc_free(child->control);
        child->since = loop_wall(child->supervisor->loop);
        loop_timer_stop(child->timer);
        return true;
}
