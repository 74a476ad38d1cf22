/*
 * The life of a child process: becoming its user, the control channel, and the callbacks in their order.
 *
 * Nothing outside is read before the process has become its user and is hardened. The control channel's end
 * is the process's end. It does not know what the processes do.
 */
#include "base/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/harden.h"

#define HEARTBEAT_MS 1000

int process_fail(const char *name, const struct error *err)
{
        log_error("process.failed", KV_S("process", name), KV_S("why", err->text));
        return 1;
}

void process_stop(struct process *p, int code, const char *why)
{
        p->failed = p->failed || code != 0;
        if (code) {
                struct msg_out m;

                log_error("process.failed", KV_S("process", p->name), KV_S("why", why));
                msg_begin(&m, FRAME_FAILED); /* so that the supervisor's log and status say why, too */
                msg_str(&m, TAG_WHY, why);
                if (p->control)
                        (void)ipc_send(p->control, &m); /* it ends in any case */
        } else {
                log_debug("process.ends", KV_S("process", p->name), KV_S("why", why));
        }
        loop_stop(p->loop, code);
}

static void send_up(struct process *p, const struct msg_out *m)
{
        if (p->control && ipc_send(p->control, m) < 0)
                process_stop(p, 1, "cannot speak to the supervisor");
}

static void tell(struct process *p, enum control_type type)
{
        struct msg_out m;

        msg_begin(&m, (uint8_t)type);
        send_up(p, &m);
}

/* ---- frames from the supervisor ---- */

/* The callee of hand owns fd. */
static int take_file(struct process *p, const struct msg_in *m, int *fd, struct error *err)
{
        char name[CONTROL_NAME_MAX];
        int (*hand)(void *, const char *, int, struct error *) = m->type == FRAME_PEER ? p->ops->peer : p->ops->file;
        int r = msg_get_str(m, TAG_NAME, name, sizeof(name));

        return r < 0 || !hand ? r : hand(p->arg, name, steal_fd(fd), err);
}

static int take_start(struct process *p, const struct msg_in *m, struct error *err)
{
        char boot[CONTROL_BOOT_MAX], id[ID_MAX + 1];

        if (p->started || !p->configured || msg_get_str(m, TAG_BOOT, boot, sizeof(boot)) < 0 ||
            msg_get_str(m, TAG_INSTANCE, id, sizeof(id)) < 0)
                return error_fail(err, -EBADMSG, "the supervisor sent a start that is out of order");
        p->started = true;
        p->check = msg_get_u64(m, TAG_CHECK, 0) != 0;
        p->seq = msg_get_u64(m, TAG_SEQ, 0);
        return p->ops->start ? p->ops->start(p->arg, boot, id, err) : 0;
}

static void take_drain(struct process *p, const struct msg_in *m)
{
        if (p->draining)
                return;
        p->draining = true;
        if (p->ops->drain)
                p->ops->drain(p->arg, msg_get_u64(m, TAG_BUDGET, 0));
        else
                process_drained(p);
}

static void take_share(struct process *p, const struct msg_in *m)
{
        char key[CONTROL_NAME_MAX], text[IPC_FRAME_MAX];

        if (p->ops->share && msg_get_str(m, TAG_NAME, key, sizeof(key)) == 0 &&
            msg_get_str(m, TAG_TEXT, text, sizeof(text)) == 0)
                p->ops->share(p->arg, key, text);
}

/* Before it has worked at all, what a person must mend is told apart from what may pass. */
static int exit_code_of(const struct process *p, int r)
{
        static const int lasting[] = {EINVAL, EBADMSG, ENOENT, EACCES, EPERM, EKEYREJECTED};

        for (size_t i = 0; !p->ready && i < sizeof(lasting) / sizeof(lasting[0]); i++)
                if (r == -lasting[i])
                        return EXIT_CONFIGURATION;
        return 1;
}

static void take_frame(void *arg, const struct msg_in *m, int received_fd)
{
        struct process *p = arg;
        _cleanup_(closep) int fd = received_fd;
        struct error err = {""};
        int r = 0;

        if (p->failed) /* the rest of a burst: what it would build on is not there */
                return;
        if (m->type == FRAME_CONFIG && p->configured) {
                r = error_fail(&err, -EBADMSG, "the supervisor sent a second configuration");
        } else if (m->type == FRAME_CONFIG) {
                p->configured = true;
                r = p->ops->config(p->arg, steal_fd(&fd), &err);
        } else if (m->type == FRAME_FILE || m->type == FRAME_PEER) {
                r = take_file(p, m, &fd, &err);
        } else if (m->type == FRAME_START) {
                r = take_start(p, m, &err);
        } else if (m->type == FRAME_DRAIN) {
                take_drain(p, m);
        } else if (m->type == FRAME_SHARE) {
                take_share(p, m);
        } else if (p->ops->frame) {
                p->ops->frame(p->arg, m);
        }
        if (r < 0)
                process_stop(p, exit_code_of(p, r), err.text[0] ? err.text : strerror(-r));
}

static void lose_supervisor(void *arg, const char *why)
{
        struct process *p = arg;

        p->control = ipc_free(p->control);
        if (p->ready && !p->check && p->ops->orphaned && p->ops->orphaned(p->arg))
                loop_timer_in(p->heartbeat, PROCESS_LAST_WORDS_MS);
        else
                process_stop(p, 0, why);
}

/* ---- start and end ---- */

/* Whatever the loop does meanwhile. */
static void end_soon(int signo)
{
        (void)signo;
        (void)alarm(1);
}

/*
 * The supervisor may have died before this; then nobody would end this process. One that has last words is ended a
 * second later.
 */
static int die_with_parent(const struct process *p, pid_t parent, struct error *err)
{
        const struct sigaction soon = {.sa_handler = end_soon, .sa_flags = SA_RESTART};

        if (p->ops->orphaned && sigaction(SIGUSR1, &soon, NULL) < 0)
                return error_fail(err, -errno, "cannot set up a signal: %s", strerror(errno));
        if (prctl(PR_SET_PDEATHSIG, p->ops->orphaned ? SIGUSR1 : SIGKILL, 0, 0, 0) < 0)
                return error_fail(err, -errno, "cannot tie the process to its parent: %s", strerror(errno));
        if (getppid() != parent)
                return error_fail(err, -ESRCH, "the supervisor is gone");
        return 0;
}

/* Nothing is sent while the supervisor does not read: a supervisor that hangs is systemd's to find. */
static void say_alive(void *arg)
{
        struct process *p = arg;

        if (!p->control) {
                process_stop(p, 0, "the supervisor is gone");
                return;
        }
        if (ipc_queued(p->control) == 0)
                tell(p, FRAME_ALIVE);
        loop_timer_in(p->heartbeat, HEARTBEAT_MS);
}

static int set_up_loop(struct process *p)
{
        int r = loop_new(&p->loop);

        if (r == 0)
                r = process_channel(p, &p->control, PROCESS_SUPERVISOR, PROCESS_CONTROL_FD, take_frame, lose_supervisor,
                                    p);
        if (r == 0)
                r = loop_timer_new(&p->heartbeat, p->loop, NULL, say_alive, p);
        if (r == 0)
                loop_timer_in(p->heartbeat, HEARTBEAT_MS);
        return r;
}

int process_open(struct process *p, const struct frame_table *table, unsigned part, int argc, char **argv,
                 const struct process_ops *ops, void *arg, struct error *err)
{
        static const int ignored[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP};
        const char *user = NULL;
        pid_t parent = getppid();
        int type = 0, r = 0;
        socklen_t n = sizeof(type);

        for (int i = 1; i < argc; i++)
                if (strncmp(argv[i], "--user=", 7) == 0)
                        user = argv[i] + 7;
        *p = (struct process){.name = table->parts[part], .table = table, .part = part, .ops = ops, .arg = arg};
        log_open(p->name, LOG_LEVEL_INFO, NULL);
        if (getsockopt(PROCESS_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET)
                r = error_fail(err, -EBADF, "this program is started by its supervisor (posternd), not by hand");
        if (r == 0 && close_range(PROCESS_CONTROL_FD + 1, ~0U, 0) < 0)
                r = error_fail(err, -errno, "cannot close what the caller left open: %s", strerror(errno));
        if (r == 0)
                r = harden_process(err);
        if (r == 0)
                r = harden_become(user, HARDEN_NO_GROUPS, err);
        if (r == 0)
                r = die_with_parent(p, parent, err); /* changing the user clears it, so not earlier */
        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
                (void)signal(ignored[i], SIG_IGN);
        (void)fcntl(PROCESS_CONTROL_FD, F_SETFD, FD_CLOEXEC);
        r = set_up_loop(p);
        if (r < 0) {
                process_close(p);
                return error_fail(err, r, "cannot set up the loop: %s", strerror(-r));
        }
        return 0;
}

int process_run(struct process *p)
{
        return loop_run(p->loop);
}

void process_close(struct process *p)
{
        p->control = ipc_free(p->control);
        p->heartbeat = loop_timer_free(p->heartbeat);
        p->loop = loop_free(p->loop);
}

int process_channel(struct process *p, struct ipc **ret_ipc, unsigned peer, int fd, ipc_frame_fn *on_frame,
                    ipc_closed_fn *on_closed, void *arg)
{
        int r = ipc_new(ret_ipc, p->loop, fd, on_frame, on_closed, arg);

        if (r == 0)
                ipc_set_rules(*ret_ipc, p->table, p->part, peer, NULL);
        return r;
}

int process_confine(struct process *p, const struct confine_rules *rules, enum confine_mode mode, struct error *err)
{
        return confine(rules, mode, &p->confined, err);
}

void process_ready(struct process *p)
{
        struct msg_out m;

        p->ready = true;
        msg_begin(&m, FRAME_READY);
        msg_u64(&m, TAG_SECCOMP, p->confined.seccomp);
        msg_str(&m, TAG_LANDLOCK, confine_landlock_text(p->confined.landlock));
        send_up(p, &m);
}

void process_taken(struct process *p, const char *name, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_TAKEN);
        msg_str(&m, TAG_NAME, name);
        msg_str(&m, TAG_WHY, why);
        send_up(p, &m);
}

void process_drained(struct process *p)
{
        tell(p, FRAME_DRAINED);
}

size_t process_queued(const struct process *p)
{
        return p->control ? ipc_queued(p->control) : 0;
}

int process_send(struct process *p, const struct msg_out *m, int fd)
{
        return p->control ? ipc_send_fd(p->control, m, fd) : -EPIPE;
}
