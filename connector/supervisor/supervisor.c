/*
 * The supervisor's decisions: start, start again, reload, drain, stop.
 *
 * One state writer (enter) traces each transition. A dead child is started again, later and later; the
 * survivors get a new channel to it. A reload is a drain and a stop of all children, then a start with the
 * new configuration, and it only begins once that was found free of errors. The end waits until every child
 * is gone.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/text.h"

const char *supervisor_user(const struct config *config, enum part part)
{
        return part == PART_LINK        ? config->user_link
               : part == PART_VALIDATOR ? config->user_validator
                                        : config->user_ledger;
}

static const char *state_text(enum supervisor_state state)
{
        switch (state) {
        case SUPERVISOR_RUNNING:
                return "running";
        case SUPERVISOR_DRAINING_LINK:
                return "draining the link";
        case SUPERVISOR_DRAINING_VALIDATOR:
                return "draining the validator";
        case SUPERVISOR_STOPPING:
                return "stopping";
        }
        return "?";
}

static void enter(struct supervisor *s, enum supervisor_state state)
{
        log_debug("supervisor.state", KV_S("from", state_text(s->state)), KV_S("to", state_text(state)));
        s->state = state;
        if (state != SUPERVISOR_RUNNING)
                (void)sd_notifyf(0, "STATUS=%s", state_text(state));
}

/* ---- what others see ---- */

static void tell_systemd(struct supervisor *s)
{
        unsigned ready = 0;

        for (size_t i = PART_LINK; i < PART_N; i++)
                ready += s->children[i].ready;
        if (ready == PART_N - 1) {
                (void)sd_notifyf(0, "READY=1\nSTATUS=connector %s serves %zu domain(s)", s->connector_name,
                                 s->config->validate.n_domains);
                log_info("ready", KV_S("connector", s->connector_name), KV_S("id", s->connector_id));
                s->told_ready = true;
                reload_ready(s);
        } else if (s->told_ready) {
                (void)sd_notifyf(0, "STATUS=%u of %d processes are ready", ready, PART_N - 1);
        }
}

/* ---- starting ---- */

int supervisor_start(struct child *child, struct error *err)
{
        struct supervisor *s = child->arg;
        const enum part part = child->part;
        int r = child_start(child,
                            &(struct spawn){.part = child_name(child),
                                            .role = child_name(child),
                                            .user = supervisor_user(s->config, part),
                                            .proxies = part == PART_LINK, /* the proxy is the link's */
                                            .silent = s->check},
                            &s->text, err);

        return r < 0 ? r : files_each(s, part, child_hand, child, err);
}

/* Starts one child, where that is wanted still, and joins it to those that run. One that fails is tried again. */
static void try_start(struct child *child)
{
        struct supervisor *s = child->arg;
        struct error err = {"the channel broke"};

        if (s->state != SUPERVISOR_RUNNING)
                return;
        int r = supervisor_start(child, &err);
        for (size_t i = PART_LINK; r == 0 && i < PART_N; i++)
                if (&s->children[i] != child && s->children[i].state == CHILD_RUNNING)
                        r = child_connect(child, &s->children[i]);
        if (r == 0)
                r = child_begin(child, &s->boot, s->connector_id, false);
        if (r < 0)
                child_start_failed(child, &err);
        if (r == 0 && child->part == PART_LEDGER)
                share_all(s);
        else
                share_child(child);
}

/* The ledger first, so that nothing the others report is lost. */
static void start_all(struct supervisor *s)
{
        static const enum part order[] = {PART_LEDGER, PART_VALIDATOR, PART_LINK};

        watch_begin(s->watch);
        for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
                try_start(&s->children[order[i]]);
}

/* ---- draining, stopping, reloading ---- */

/* The ledger goes last, so that it keeps what the others said at their end. */
static void stop_next(struct supervisor *s)
{
        child_end(&s->children[PART_LINK]);
        child_end(&s->children[PART_VALIDATOR]);
        if (s->children[PART_LINK].state == CHILD_DOWN && s->children[PART_VALIDATOR].state == CHILD_DOWN)
                child_end(&s->children[PART_LEDGER]);
        for (size_t i = PART_LINK; i < PART_N; i++)
                if (s->children[i].state != CHILD_DOWN)
                        return;
        if (s->reload) {
                s->reload = false;
                enter(s, SUPERVISOR_RUNNING);
                reload_take(s);
                start_all(s);
                return;
        }
        scribes_finish(s->scribes);
        loop_stop(s->loop, s->exit_code);
}

static void stop_children(struct supervisor *s)
{
        if (s->state == SUPERVISOR_STOPPING)
                return;
        enter(s, SUPERVISOR_STOPPING);
        loop_timer_stop(s->drain_timer);
        for (size_t i = PART_LINK; i < PART_N; i++)
                if (s->children[i].state == CHILD_DOWN)
                        loop_timer_stop(s->children[i].timer);
        stop_next(s);
}

/* Goes on to the validator, or to the stop, when the one before has drained or is not there. */
static void drain_on(struct supervisor *s)
{
        struct child *link = &s->children[PART_LINK], *validator = &s->children[PART_VALIDATOR];
        const uint64_t now = loop_now(s->loop);

        if (s->state == SUPERVISOR_DRAINING_LINK && (link->drained || link->state != CHILD_RUNNING)) {
                enter(s, SUPERVISOR_DRAINING_VALIDATOR);
                if (validator->state == CHILD_RUNNING)
                        child_drain(validator, s->drain_until > now ? s->drain_until - now : 0);
        }
        if (s->state == SUPERVISOR_DRAINING_VALIDATOR && (validator->drained || validator->state != CHILD_RUNNING))
                stop_children(s);
}

static void on_drain_end(void *arg)
{
        struct supervisor *s = arg;

        log_warning("drain.incomplete", KV_S("state", state_text(s->state)));
        stop_children(s);
}

void supervisor_drain(struct supervisor *s, bool reload)
{
        struct child *link = &s->children[PART_LINK];

        s->reload = reload;
        s->drain_until = loop_now(s->loop) + s->config->drain_ms;
        loop_timer_at(s->drain_timer, s->drain_until);
        enter(s, SUPERVISOR_DRAINING_LINK);
        if (link->state == CHILD_RUNNING)
                child_drain(link, s->config->drain_ms);
        drain_on(s);
}

/* SIGTERM and SIGINT: drain, then stop; a second one stops at once. One that comes during a reload ends
 * there. */
static void on_terminate(void *arg)
{
        struct supervisor *s = arg;

        (void)sd_notify(0, "STOPPING=1");
        (void)snprintf(s->end_why, sizeof(s->end_why), "it was stopped (SIGTERM or SIGINT)");
        if (s->state == SUPERVISOR_RUNNING) {
                log_info("stopping", KV_U("drain_ms", s->config->drain_ms));
                supervisor_drain(s, false);
                return;
        }
        if (s->reload) {
                s->reload = false; /* the drain goes on, and a stop follows */
                return;
        }
        stop_children(s);
}

static void child_ended(struct supervisor *s, struct child *child)
{
        if (child->part == PART_LEDGER)
                scribes_pause(s->scribes);
        if (child->last_code == EXIT_CONFIGURATION && s->state == SUPERVISOR_RUNNING && !s->told_ready) {
                /* nothing has worked yet, and starting it again does not mend this fault: the end of all */
                log_error("start.failed", KV_S("process", child_name(child)),
                          KV_S("why", "it found the fault that the line before tells"));
                (void)snprintf(s->end_why, sizeof(s->end_why), "the process %s could not start: %s", child_name(child),
                               child->why[0] ? child->why : child->last_end);
                s->exit_code = EXIT_CONFIGURATION;
                stop_children(s);
        } else if (s->state == SUPERVISOR_RUNNING && child->last_code == EXIT_CONFIGURATION && reload_back(s, child)) {
                log_info("process.ended", KV_S("process", child_name(child)), KV_S("how", child->last_end));
        } else if (s->state != SUPERVISOR_STOPPING) {
                child_again_later(child);
                share_child(child);
        } else {
                log_info("process.ended", KV_S("process", child_name(child)), KV_S("how", child->last_end));
        }
}

static void on_child_ended(void *arg)
{
        struct supervisor *s = arg;

        keys_reap(s);
        scribes_reap(s->scribes);
        reload_reap(s);
        bool any = false;
        for (size_t i = PART_LINK; i < PART_N; i++) {
                struct child *child = &s->children[i];
                if (child_reap(child)) {
                        child_ended(s, child);
                        any = true;
                }
        }
        if (!any) /* a holder, or a check */
                return;
        if (s->state == SUPERVISOR_RUNNING)
                tell_systemd(s);
        else if (s->state != SUPERVISOR_STOPPING)
                drain_on(s);
        else
                stop_next(s);
}

/* A frame of a child. What READY and FAILED say of the child itself, child.c has noted before. */
static void take_frame(struct child *child, const struct msg_in *m, int fd)
{
        struct supervisor *s = child->arg;
        char name[300], why[ERROR_TEXT_MAX];

        if (m->type == FRAME_READY) {
                if (child->part == PART_VALIDATOR) {
                        kept_settle(s->kept, NULL, true);
                        watch_again(s->watch);
                } else if (child->part == PART_LEDGER) {
                        const struct scribes_wanted wanted = {
                                .confinement = s->config->confinement,
                                .paths = {s->config->events_file, s->config->events_socket, s->config->traces_file}};
                        scribes_begin(s->scribes, &wanted);
                }
                share_child(child);
                tell_systemd(s);
        } else if (m->type == FRAME_TAKEN && child->part == PART_VALIDATOR &&
                   msg_get_str(m, TAG_NAME, name, sizeof(name)) == 0) { /* no other has a say on keytabs */
                const bool refused = msg_get_str(m, TAG_WHY, why, sizeof(why)) == 0;
                watch_taken(s->watch, name, refused ? why : NULL);
        } else if (m->type == FRAME_DRAINED) {
                drain_on(s);
        } else if (m->type == FRAME_CERTIFICATE && fd >= 0) {
                renewals_store(child, fd);
        } else if (m->type == FRAME_MAKE_KEY) {
                renewals_make_key(child);
        }
}

/* ---- set-up ---- */

static int give_ledger(void *arg, const char *key, int fd)
{
        struct supervisor *s = arg;
        struct error err;

        return child_hand(&s->children[PART_LEDGER], key, fd, &err);
}

static int set_up(struct supervisor *s)
{
        static const struct child_ops ops = {.frame = take_frame, .again = try_start};
        static const struct {
                int signo;
                loop_fn *fn;
        } wanted[4] = {
                {SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGHUP, reload_ask}, {SIGCHLD, on_child_ended}};
        int r = loop_new(&s->loop);

        if (r == 0)
                r = child_boot_begin(&s->boot, s->loop);
        (void)signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; r == 0 && i < 4; i++)
                r = loop_signal_new(&s->signals[i], s->loop, wanted[i].signo, wanted[i].fn, s);
        if (r == 0)
                r = loop_timer_new(&s->drain_timer, s->loop, NULL, on_drain_end, s);
        if (r == 0)
                r = loop_timer_new(&s->watchdog, s->loop, NULL, watchdog_turn, s);
        if (r == 0)
                r = watch_new(&s->watch, s);
        if (r == 0 && (!(s->kept = kept_new()) || !(s->scribes = scribes_new(s->loop, &s->boot, give_ledger, s))))
                r = -ENOMEM;
        if (r == 0)
                r = reload_new(s);
        for (size_t i = PART_LINK; r == 0 && i < PART_N; i++)
                r = child_new(&s->children[i], s->loop, &posternd_frames, (unsigned)i, &ops, s);
        return r;
}

static void tear_down(struct supervisor *s)
{
        for (size_t i = PART_LINK; i < PART_N; i++)
                child_free(&s->children[i]);
        for (size_t i = 0; i < 4; i++)
                s->signals[i] = loop_signal_free(s->signals[i]);
        s->drain_timer = loop_timer_free(s->drain_timer);
        s->watchdog = loop_timer_free(s->watchdog);
        s->watch = watch_free(s->watch);
        s->scribes = scribes_free(s->scribes);
        s->kept = kept_free(s->kept);
        reload_free(s);
        s->loop = loop_free(s->loop);
        renewals_free(s);
        s->config = config_free(s->config);
        s->next_config = config_free(s->next_config);
        buffer_free(&s->text);
        buffer_free(&s->next_text);
        closep(&s->control_fd);
        closep(&s->metrics_fd);
        closep(&s->lock_fd);
}

static void tell_fault(void *arg, const char *text)
{
        struct supervisor *s = arg;

        if (!s->end_why[0]) /* the first one; the others are in the log */
                (void)snprintf(s->end_why, sizeof(s->end_why), "the start failed: %s", text);
        log_error("start.failed", KV_S("why", text));
        (void)sd_notifyf(0, "STATUS=%s", text); /* what `systemctl status` shows */
}

static void drop_note(void *arg, const char *text)
{
        (void)arg;
        (void)text;
}

/* Users first, for folders are made in their names; the rest with the rights that are left while it runs. */
static int prepare(struct supervisor *s)
{
        struct files_check check = {.tell = tell_fault, .note = drop_note, .arg = s};
        struct error err = {"out of memory"};
        size_t found[PART_N];

        if (check_users(s->config, &check) > 0) {
                (void)prepare_check(s, &check); /* all that is wrong in one go */
                return EXIT_CONFIGURATION;
        }
        if (files_prepare(s, &err) < 0 || caps_reduce(CAPS_NONE, &err) < 0) {
                tell_fault(s, err.text);
                return EXIT_CONFIGURATION;
        }
        return check_all(s, &check, found) > 0 ? EXIT_CONFIGURATION : 0;
}

int supervisor_run(struct supervisor *s, const char *config_path, struct config *config, struct buffer *text)
{
        struct holder holders[HOLDER_N] = {{0}};

        *s = (struct supervisor){.config_path = config_path,
                                 .holders = holders,
                                 .config = config,
                                 .text = *text,
                                 .lock_fd = -1,
                                 .control_fd = -1,
                                 .metrics_fd = -1,
                                 .renewals.fd = -1,
                                 .reloading.fd = -1,
                                 .next_text = BUFFER(CONF_TEXT_MAX)};
        *text = BUFFER(CONF_TEXT_MAX);
        caps_note_parent();
        int code = set_up(s) < 0 ? 1 : prepare(s);
        if (code == 0) {
                last_run_begin(s);
                if (geteuid() != 0)
                        log_info("one_user_for_all", KV_U("uid", geteuid()),
                                 KV_S("why", "not started as root: the processes are apart, but share one user"));
                start_all(s);
                watchdog_turn(s);
                code = loop_run(s->loop);
        }
        last_run_end(s);
        tear_down(s);
        return code;
}
