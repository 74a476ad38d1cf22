/*
 * One process of the gateway: started, spoken to, ended.
 *
 * Invariant: pid > 0 exactly while state is not DOWN, and control is open exactly while it is RUNNING. What happens
 * next (again, drain, stop) is decided in supervisor.c.
 */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/hand.h"
#include "base/process/launch.h"
#include "queue/gateway/supervisor/supervisor.h"

#define END_PATIENCE_MS 3000

const char *gateway_user(const struct gateway_config *config, enum gateway_part part)
{
        return part == GATEWAY_DOORS    ? config->user_doors
               : part == GATEWAY_SEALER ? config->user_sealer
                                        : config->user_link;
}

static void on_frame(void *arg, const struct msg_in *m, int fd)
{
        struct gateway_child *c = arg;

        closep(&fd);
        c->silent_turns = 0;
        if (m->type == FRAME_READY && !c->ready) {
                c->ready = true;
                gateway_child_ready(c);
        } else if (m->type == FRAME_DRAINED) {
                gateway_child_drained(c);
        }
}

/* A process that closes its channel is about to end or broke the rules; either way it goes. */
static void on_closed(void *arg, const char *why)
{
        struct gateway_child *c = arg;

        log_debug("channel.closed", KV_S("process", gateway_frames.parts[c->part]), KV_S("why", why));
        gateway_child_end(c);
}

static int send_named(struct gateway_child *c, uint8_t type, const char *name, int fd)
{
        struct msg_out m;

        msg_begin(&m, type);
        msg_str(&m, TAG_NAME, name);
        return ipc_send_fd(c->control, &m, fd);
}

static int hand(void *arg, const char *name, int fd, struct error *err)
{
        int r = send_named(arg, FRAME_FILE, name, fd);

        return r < 0 ? error_fail(err, r, "cannot hand on %s: %s", name, strerror(-r)) : 0;
}

int gateway_child_spawn(struct gateway_child *c, struct error *err)
{
        const struct gateway *g = c->gateway;
        const char *user = gateway_user(g->config, c->part);
        _cleanup_(closep) int theirs = -1, text = -1;
        char part[32];
        int pair[2], r = ipc_pair(pair);

        if (r < 0)
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        theirs = pair[1];
        r = ipc_new(&c->control, g->loop, pair[0], on_frame, on_closed, c);
        if (r < 0) {
                (void)close(pair[0]);
                return error_fail(err, r, "cannot make a channel: %s", strerror(-r));
        }
        ipc_set_rules(c->control, &gateway_frames, GATEWAY_SUPERVISOR, c->part, NULL);
        (void)snprintf(part, sizeof(part), "gateway-%s", gateway_frames.parts[c->part]);
        const struct passwd *pw = geteuid() == 0 ? getpwnam(user) : NULL;
        c->uid = pw ? pw->pw_uid : geteuid();
        r = process_spawn(&c->pid,
                          &(struct spawn){.part = part,
                                          .role = gateway_frames.parts[c->part],
                                          .user = user,
                                          .control = theirs,
                                          .proxies = c->part == GATEWAY_LINK},
                          err);
        if (r < 0) {
                c->control = ipc_free(c->control);
                return r;
        }
        c->state = CHILD_RUNNING;
        c->ready = false;
        c->silent_turns = 0;
        c->started_at = loop_now(g->loop);
        loop_timer_stop(c->timer);
        log_info("process.started", KV_S("process", gateway_frames.parts[c->part]), KV_I("pid", c->pid));
        text = hand_memfd("configuration", g->text.len ? g->text.data : "", g->text.len, err);
        r = text < 0 ? text : send_named(c, FRAME_CONFIG, NULL, text);
        return r < 0 ? r : gateway_files(g->config, g, c->part, hand, c, err);
}

int gateway_child_connect(struct gateway_child *a, struct gateway_child *b)
{
        _cleanup_(closep) int end_a = -1, end_b = -1;
        int pair[2], r = ipc_pair(pair);

        if (r < 0)
                return r;
        end_a = pair[0];
        end_b = pair[1];
        r = send_named(a, FRAME_PEER, gateway_frames.parts[b->part], end_a);
        return r < 0 ? r : send_named(b, FRAME_PEER, gateway_frames.parts[a->part], end_b);
}

int gateway_child_begin(struct gateway_child *c)
{
        const struct gateway *g = c->gateway;
        struct msg_out m;

        msg_begin(&m, FRAME_START);
        msg_str(&m, TAG_BOOT, g->boot);
        msg_u64(&m, TAG_SEQ, (uint64_t)g->boot_wall * 1000 + (loop_now(g->loop) - g->boot_at));
        msg_str(&m, TAG_INSTANCE, "gateway");
        return ipc_send(c->control, &m);
}

void gateway_child_drain(struct gateway_child *c, uint64_t budget_ms)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DRAIN);
        msg_u64(&m, TAG_BUDGET, budget_ms);
        if (ipc_send(c->control, &m) < 0)
                gateway_child_end(c);
}

void gateway_child_end(struct gateway_child *c)
{
        if (c->state != CHILD_RUNNING)
                return;
        c->state = CHILD_ENDING;
        c->control = ipc_free(c->control);
        loop_timer_in(c->timer, END_PATIENCE_MS);
}

bool gateway_child_reap(struct gateway_child *c)
{
        int status;

        if (c->state == CHILD_DOWN || waitpid(c->pid, &status, WNOHANG) != c->pid)
                return false;
        c->last_code = process_end_text(status, c->last_end, sizeof(c->last_end));
        c->state = CHILD_DOWN;
        c->pid = 0;
        c->ready = false;
        c->control = ipc_free(c->control);
        loop_timer_stop(c->timer);
        return true;
}
