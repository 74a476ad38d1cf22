/*
 * One child process, as its supervisor has it.
 */
#include "base/process/child.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "base/process/process.h"

#define END_PATIENCE_MS 3000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 10000
/* A child that lived this long begins again with the first delay: one that serves and dies again and again is missed
 * for no longer than it takes to start. */
#define SOUND_MS 3000

const char *child_name(const struct child *child)
{
        return child->frames->parts[child->part];
}

static void on_child_timer(void *arg)
{
        struct child *child = arg;

        if (child->state == CHILD_ENDING)
                caps_kill(child->pid, child->uid);
        else if (child->state == CHILD_DOWN && child->ops->again)
                child->ops->again(child);
}

int child_new(struct child *child, struct loop *loop, const struct frame_table *frames, unsigned part,
              const struct child_ops *ops, void *arg)
{
        *child = (struct child){.loop = loop, .frames = frames, .part = part, .ops = ops, .arg = arg};
        return loop_timer_new(&child->timer, loop, NULL, on_child_timer, child);
}

void child_free(struct child *child)
{
        child->control = ipc_free(child->control);
        child->timer = loop_timer_free(child->timer);
}

/* ---- the control channel ---- */

static void on_control_frame(void *arg, const struct msg_in *m, int received)
{
        _cleanup_(closep) int fd = received;
        struct child *child = arg;

        child->silent_ms = 0;
        if (m->type == FRAME_READY) {
                if (child->ready)
                        return;
                child->ready = true;
                child->seccomp = msg_get_u64(m, TAG_SECCOMP, 0) != 0;
                if (msg_get_str(m, TAG_LANDLOCK, child->landlock, sizeof(child->landlock)) < 0)
                        child->landlock[0] = '\0';
                child->why[0] = '\0';
        } else if (m->type == FRAME_FAILED) {
                if (msg_get_str(m, TAG_WHY, child->why, sizeof(child->why)) < 0)
                        child->why[0] = '\0';
        } else if (m->type == FRAME_DRAINED) {
                child->drained = true;
        }
        if (child->ops->frame)
                child->ops->frame(child, m, fd);
}

/* A process that closes its channel is about to end or broke the rules; either way it goes. */
static void on_control_closed(void *arg, const char *why)
{
        struct child *child = arg;

        log_debug("channel.closed", KV_S("process", child_name(child)), KV_S("why", why));
        child_end(child);
}

static int send_named(struct child *child, uint8_t type, const char *name, int fd)
{
        struct msg_out m;

        msg_begin(&m, type);
        msg_str(&m, TAG_NAME, name);
        return child->control ? ipc_send_fd(child->control, &m, fd) : -EPIPE;
}

int child_hand(void *arg, const char *name, int fd, struct error *err)
{
        struct child *child = arg;
        int r = send_named(child, FRAME_FILE, name, fd);

        return r < 0 ? error_fail(err, r, "cannot hand on %s: %s", name, strerror(-r)) : 0;
}

int child_connect(struct child *a, struct child *b)
{
        _cleanup_(closep) int end_a = -1, end_b = -1;
        int pair[2];
        int r = ipc_pair(pair);

        if (r < 0)
                return r;
        end_a = pair[0];
        end_b = pair[1];
        r = send_named(a, FRAME_PEER, child_name(b), end_a);
        return r < 0 ? r : send_named(b, FRAME_PEER, child_name(a), end_b);
}

/* ---- starting ---- */

int child_start(struct child *child, const struct spawn *how, const struct buffer *config, struct error *err)
{
        const struct passwd *pw = how->user && geteuid() == 0 ? getpwnam(how->user) : NULL;
        _cleanup_(closep) int theirs = -1, text = -1;
        struct spawn spawn = *how;
        int pair[2];
        int r = ipc_pair(pair);

        if (r < 0)
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        spawn.control = theirs = pair[1];
        r = ipc_new(&child->control, child->loop, pair[0], on_control_frame, on_control_closed, child);
        if (r < 0) {
                (void)close(pair[0]);
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        }
        ipc_set_rules(child->control, child->frames, PROCESS_SUPERVISOR, child->part, NULL);
        child->uid = pw ? pw->pw_uid : geteuid();
        r = process_spawn(&child->pid, &spawn, err);
        if (r < 0) {
                child->control = ipc_free(child->control);
                return r;
        }
        child->state = CHILD_RUNNING;
        child->ready = child->drained = child->hung = false;
        child->why[0] = '\0';
        child->silent_ms = 0;
        child->started_at = loop_now(child->loop);
        child->since = loop_wall(child->loop);
        loop_timer_stop(child->timer);
        log_info("process.started", KV_S("process", child_name(child)), KV_I("pid", child->pid));
        text = hand_memfd("configuration", config->len ? config->data : "", config->len, err);
        if (text < 0)
                return text;
        r = send_named(child, FRAME_CONFIG, NULL, text);
        return r < 0 ? error_fail(err, r, "cannot hand on the configuration: %s", strerror(-r)) : 0;
}

int child_boot_begin(struct child_boot *boot, const struct loop *loop)
{
        uint8_t bytes[16];

        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                return -EIO;
        b64u_encode_to(boot->id, bytes, sizeof(bytes));
        boot->wall = loop_wall(loop);
        boot->at = loop_now(loop);
        return 0;
}

int child_begin(struct child *child, const struct child_boot *boot, const char *instance, bool check)
{
        struct msg_out m;

        msg_begin(&m, FRAME_START);
        msg_str(&m, TAG_BOOT, boot->id);
        /* where the clock was when the boot began, and what has passed since by one that nobody sets */
        msg_u64(&m, TAG_SEQ, (uint64_t)boot->wall * 1000 + (loop_now(child->loop) - boot->at));
        msg_str(&m, TAG_INSTANCE, instance);
        if (check)
                msg_u64(&m, TAG_CHECK, 1);
        return child->control ? ipc_send(child->control, &m) : -EPIPE;
}

void child_again_later(struct child *child)
{
        const bool sound = child->started_at && loop_now(child->loop) - child->started_at >= SOUND_MS;

        if (sound || child->backoff_ms == 0)
                child->backoff_ms = BACKOFF_FIRST_MS;
        else
                child->backoff_ms = child->backoff_ms * 2 < BACKOFF_MAX_MS ? child->backoff_ms * 2 : BACKOFF_MAX_MS;
        child->ends[child->restarts++ % CHILD_ENDS] = loop_wall(child->loop);
        loop_timer_in(child->timer, child->backoff_ms);
        log_warning("process.ended", KV_S("process", child_name(child)), KV_S("how", child->last_end),
                    KV_U("again_in_ms", child->backoff_ms));
}

void child_start_failed(struct child *child, const struct error *err)
{
        log_error("process.not_started", KV_S("process", child_name(child)), KV_S("why", err->text));
        (void)snprintf(child->last_end, sizeof(child->last_end), "not started");
        (void)snprintf(child->why, sizeof(child->why), "%s", err->text);
        if (child->state == CHILD_RUNNING) {
                child_end(child);
                return;
        }
        child_again_later(child);
}

/* ---- the end ---- */

void child_drain(struct child *child, uint64_t budget_ms)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DRAIN);
        msg_u64(&m, TAG_BUDGET, budget_ms);
        if (child->control && ipc_send(child->control, &m) < 0)
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

bool child_reap(struct child *child)
{
        int status;

        if (child->state == CHILD_DOWN || waitpid(child->pid, &status, WNOHANG) != child->pid)
                return false;
        if (child->control) /* it may have said why */
                ipc_read_rest(child->control);
        child->last_code = process_end_text(status, child->last_end, sizeof(child->last_end));
        if (child->hung)
                (void)snprintf(child->last_end, sizeof(child->last_end), "ended here: it made no progress any more");
        child->state = CHILD_DOWN;
        child->pid = 0;
        child->ready = false;
        child->control = ipc_free(child->control);
        child->since = loop_wall(child->loop);
        loop_timer_stop(child->timer);
        return true;
}

bool child_watch(struct child *child, uint64_t turn_ms, uint64_t patience_ms)
{
        child->silent_ms += turn_ms;
        if (child->state == CHILD_DOWN)
                return true;
        if (child->state == CHILD_RUNNING && child->silent_ms > patience_ms) {
                log_error("process.hung", KV_S("process", child_name(child)), KV_I("pid", child->pid),
                          KV_U("silent_ms", patience_ms));
                child->hung = true;
                child_end(child);
                caps_kill(child->pid, child->uid);
        }
        return child->silent_ms <= 2 * patience_ms;
}
