/*
 * The supervisor's decisions: start, start again, reload, drain, stop.
 *
 * One state writer (enter) traces each transition. A dead child is started again, later and later; the
 * survivors get a new channel to it. A reload is a drain and a stop of all children, then a start with the
 * new configuration, and it only begins once that was found free of errors. The end waits until every child
 * is gone.
 */
#include "connector/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "connector/base/cleanup.h"
#include "connector/base/text.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 10000
#define SOUND_MS 10000 /* a child that lived this long begins again with the first delay */

const char *child_name(enum child_id id)
{
        static const char *const names[CHILD_N] = {"link", "validator", "ledger"};

        return id < CHILD_N ? names[id] : "?";
}

const char *child_user(const struct config *config, enum child_id id)
{
        switch (id) {
        case CHILD_LINK:
                return config->user_link;
        case CHILD_VALIDATOR:
                return config->user_validator;
        case CHILD_LEDGER:
                return config->user_ledger;
        case CHILD_N:
                break;
        }
        return "";
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

void supervisor_share(struct child *child)
{
        struct supervisor *s = child->supervisor;
        struct child *ledger = &s->children[CHILD_LEDGER];
        char name[32], text[400];
        struct msg_out m;

        if (ledger->state != CHILD_RUNNING)
                return;
        (void)snprintf(name, sizeof(name), "process:%s", child_name(child->id));
        (void)snprintf(text, sizeof(text),
                       "{\"state\":\"%s\",\"pid\":%d,\"since\":%lld,\"restarts\":%u,\"last_end\":\"%s\"}",
                       child->state == CHILD_DOWN ? "down"
                       : child->ready             ? "running"
                                                  : "starting",
                       (int)child->pid, (long long)child->since, child->restarts, child->last_end);
        msg_begin(&m, FRAME_SHARE);
        msg_str(&m, TAG_NAME, name);
        msg_str(&m, TAG_TEXT, text);
        (void)ipc_send(ledger->control, &m); /* a broken channel is reported from the loop */
}

static void share_supervisor(struct supervisor *s)
{
        struct child *ledger = &s->children[CHILD_LEDGER];
        char text[400];
        struct msg_out m;

        if (ledger->state != CHILD_RUNNING)
                return;
        (void)snprintf(text, sizeof(text),
                       "{\"state\":\"running\",\"pid\":%d,\"version\":\"%s\",\"boot\":\"%s\",\"id\":\"%s\"}",
                       (int)getpid(), POSTERN_VERSION, s->boot, s->connector_id);
        msg_begin(&m, FRAME_SHARE);
        msg_str(&m, TAG_NAME, "process:supervisor");
        msg_str(&m, TAG_TEXT, text);
        (void)ipc_send(ledger->control, &m);
}

static void share_all(struct supervisor *s)
{
        share_supervisor(s);
        for (size_t i = 0; i < CHILD_N; i++)
                supervisor_share(&s->children[i]);
}

static void tell_systemd(struct supervisor *s)
{
        unsigned ready = 0;

        for (size_t i = 0; i < CHILD_N; i++)
                ready += s->children[i].ready;
        if (ready == CHILD_N) {
                (void)sd_notifyf(0, "READY=1\nSTATUS=connector %s serves %zu domain(s)", s->config->name,
                                 s->config->n_domains);
                log_info("ready", KV_S("connector", s->config->name), KV_S("id", s->connector_id));
                s->told_ready = true;
        } else if (s->told_ready) {
                (void)sd_notifyf(0, "STATUS=%u of %d processes are ready", ready, CHILD_N);
        }
}

void supervisor_child_ready(struct child *child)
{
        supervisor_share(child);
        tell_systemd(child->supervisor);
}

/* ---- starting ---- */

static void start_again_later(struct child *child)
{
        struct supervisor *s = child->supervisor;
        bool sound = child->started_at && loop_now(s->loop) - child->started_at >= SOUND_MS;

        if (sound || child->backoff_ms == 0)
                child->backoff_ms = BACKOFF_FIRST_MS;
        else
                child->backoff_ms =
                        child->backoff_ms * 2 < BACKOFF_MAX_MS ? child->backoff_ms * 2 : BACKOFF_MAX_MS;
        child->restarts++;
        loop_timer_in(child->timer, child->backoff_ms);
        log_warning("process.ended", KV_S("process", child_name(child->id)), KV_S("how", child->last_end),
                    KV_U("again_in_ms", child->backoff_ms));
        supervisor_share(child);
}

/* Starts one child and joins it to those that run. */
static int start_child(struct child *child, struct error *err)
{
        struct supervisor *s = child->supervisor;
        int r = child_spawn(child, err);

        for (size_t i = 0; r == 0 && i < CHILD_N; i++)
                if (&s->children[i] != child && s->children[i].state == CHILD_RUNNING)
                        r = child_connect(child, &s->children[i]);
        if (r == 0)
                r = child_begin(child);
        if (r < 0)
                return r;
        if (child->id == CHILD_LEDGER)
                share_all(s);
        else
                supervisor_share(child);
        return 0;
}

/* While running, a start that fails is tried again; the process, where there is one already, is ended first.
 */
static void try_start(struct child *child)
{
        struct error err = {"the channel broke"};

        if (start_child(child, &err) == 0)
                return;
        log_error("process.not_started", KV_S("process", child_name(child->id)), KV_S("why", err.text));
        if (child->state == CHILD_RUNNING) {
                child_end(child);
                return;
        }
        (void)snprintf(child->last_end, sizeof(child->last_end), "not started");
        start_again_later(child);
}

static void on_child_timer(void *arg)
{
        struct child *child = arg;

        if (child->state == CHILD_ENDING)
                caps_kill(child->pid, child->uid);
        else if (child->state == CHILD_DOWN && child->supervisor->state == SUPERVISOR_RUNNING)
                try_start(child);
}

/* The ledger first, so that nothing the others report is lost. */
static void start_all(struct supervisor *s)
{
        static const enum child_id order[CHILD_N] = {CHILD_LEDGER, CHILD_VALIDATOR, CHILD_LINK};

        watch_begin(s->watch);
        for (size_t i = 0; i < CHILD_N; i++)
                try_start(&s->children[order[i]]);
}

/* ---- draining, stopping, reloading ---- */

static bool all_down(const struct supervisor *s)
{
        for (size_t i = 0; i < CHILD_N; i++)
                if (s->children[i].state != CHILD_DOWN)
                        return false;
        return true;
}

static void finish_reload(struct supervisor *s)
{
        struct error err;

        s->reload = false;
        config_free(s->config);
        s->config = steal(s->next_config);
        buffer_free(&s->text);
        s->text = s->next_text;
        s->next_text = BUFFER(CONFIG_TEXT_MAX);
        log_open("posternd", s->config->log_level, NULL);
        enter(s, SUPERVISOR_RUNNING);
        if (files_prepare(s, &err) < 0) {
                log_error("reload.failed", KV_S("why", err.text));
                loop_stop(s->loop, EXIT_CONFIGURATION);
                return;
        }
        start_all(s);
}

static void all_ended(struct supervisor *s)
{
        if (s->reload)
                finish_reload(s);
        else
                loop_stop(s->loop, s->exit_code);
}

/* The ledger goes last, so that it keeps what the others said at their end. */
static void stop_next(struct supervisor *s)
{
        child_end(&s->children[CHILD_LINK]);
        child_end(&s->children[CHILD_VALIDATOR]);
        if (s->children[CHILD_LINK].state == CHILD_DOWN && s->children[CHILD_VALIDATOR].state == CHILD_DOWN)
                child_end(&s->children[CHILD_LEDGER]);
        if (all_down(s))
                all_ended(s);
}

static void stop_children(struct supervisor *s)
{
        if (s->state == SUPERVISOR_STOPPING)
                return;
        enter(s, SUPERVISOR_STOPPING);
        loop_timer_stop(s->drain_timer);
        for (size_t i = 0; i < CHILD_N; i++)
                if (s->children[i].state == CHILD_DOWN)
                        loop_timer_stop(s->children[i].timer);
        stop_next(s);
}

static uint64_t drain_left(const struct supervisor *s)
{
        uint64_t now = loop_now(s->loop);

        return s->drain_until > now ? s->drain_until - now : 0;
}

/* Goes on to the validator, or to the stop, when the one before has drained or is not there. */
static void drain_on(struct supervisor *s)
{
        struct child *link = &s->children[CHILD_LINK], *validator = &s->children[CHILD_VALIDATOR];

        if (s->state == SUPERVISOR_DRAINING_LINK && (link->drained || link->state != CHILD_RUNNING)) {
                enter(s, SUPERVISOR_DRAINING_VALIDATOR);
                if (validator->state == CHILD_RUNNING)
                        child_drain(validator, drain_left(s));
        }
        if (s->state == SUPERVISOR_DRAINING_VALIDATOR &&
            (validator->drained || validator->state != CHILD_RUNNING))
                stop_children(s);
}

void supervisor_child_drained(struct child *child)
{
        drain_on(child->supervisor);
}

static void on_drain_end(void *arg)
{
        struct supervisor *s = arg;

        log_warning("drain.incomplete", KV_S("state", state_text(s->state)));
        stop_children(s);
}

static void begin_drain(struct supervisor *s, bool reload)
{
        struct child *link = &s->children[CHILD_LINK];

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
        if (s->state == SUPERVISOR_RUNNING) {
                log_info("stopping", KV_U("drain_ms", s->config->drain_ms));
                begin_drain(s, false);
                return;
        }
        if (s->reload) {
                s->reload = false; /* the drain goes on, and a stop follows */
                return;
        }
        stop_children(s);
}

static void log_config_errors(const struct config_errors *errors)
{
        const char *line = errors->lines.len ? errors->lines.data : "";

        while (*line) {
                size_t n = strcspn(line, "\n");
                char text[LOG_VALUE_MAX + 1];
                (void)snprintf(text, sizeof(text), "%.*s", (int)n, line);
                log_error("config.error", KV_S("at", text));
                line += n + (line[n] == '\n');
        }
}

static void on_reload(void *arg)
{
        struct supervisor *s = arg;
        _cleanup_(config_errors_clear) struct config_errors errors = CONFIG_ERRORS;
        struct error err;

        if (s->state != SUPERVISOR_RUNNING) {
                log_warning("reload.ignored", KV_S("why", state_text(s->state)));
                return;
        }
        buffer_clear(&s->next_text);
        if (config_load(&s->next_config, s->config_path, &s->next_text, &errors) < 0) {
                log_config_errors(&errors);
                log_error("reload.refused", KV_U("errors", errors.n),
                          KV_S("kept", "the configuration that runs"));
                return;
        }
        if (strcmp(s->next_config->state_dir, s->config->state_dir) != 0) {
                log_error("reload.refused", KV_S("why", "another state_dir needs a restart"));
                s->next_config = config_free(s->next_config);
                return;
        }
        if (files_check(s, s->next_config, &err) < 0) {
                log_error("reload.refused", KV_S("why", err.text));
                s->next_config = config_free(s->next_config);
                return;
        }
        log_info("reloading");
        begin_drain(s, true);
}

/* Whether the end of this child is the end of all: it found a fault that starting again doesn't mend, and
 * nothing has worked yet. Later the rest goes on, and the child is tried again. */
static bool is_fatal(const struct supervisor *s, const struct child *child)
{
        return child->last_code == EXIT_CONFIGURATION && s->state == SUPERVISOR_RUNNING && !s->told_ready;
}

static void child_ended(struct supervisor *s, struct child *child)
{
        if (is_fatal(s, child)) {
                log_error("start.failed", KV_S("process", child_name(child->id)),
                          KV_S("why", "it found the fault that the line before tells"));
                s->exit_code = EXIT_CONFIGURATION;
                stop_children(s);
        } else if (s->state != SUPERVISOR_STOPPING) {
                start_again_later(child);
        } else {
                log_info("process.ended", KV_S("process", child_name(child->id)),
                         KV_S("how", child->last_end));
        }
}

static void on_child_ended(void *arg)
{
        struct supervisor *s = arg;

        keys_reap(s);
        for (size_t i = 0; i < CHILD_N; i++) {
                struct child *child = &s->children[i];
                if (child_reap(child))
                        child_ended(s, child);
        }
        if (s->state == SUPERVISOR_RUNNING)
                tell_systemd(s);
        else if (s->state != SUPERVISOR_STOPPING)
                drain_on(s);
        else
                stop_next(s);
}

static void on_watchdog(void *arg)
{
        struct supervisor *s = arg;
        uint64_t usec = 0;

        (void)sd_notify(0, "WATCHDOG=1");
        if (sd_watchdog_enabled(0, &usec) > 0)
                loop_timer_in(s->watchdog, usec / 2000);
}

/* ---- set-up ---- */

static int make_boot(struct supervisor *s)
{
        uint8_t bytes[16];

        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                return -EIO;
        b64u_encode_to(s->boot, bytes, sizeof(bytes));
        s->boot_wall = loop_wall(s->loop);
        s->boot_at = loop_now(s->loop);
        return 0;
}

static int set_up_signals(struct supervisor *s)
{
        static const struct {
                int signo;
                loop_fn *fn;
        } wanted[4] = {{SIGTERM, on_terminate},
                       {SIGINT, on_terminate},
                       {SIGHUP, on_reload},
                       {SIGCHLD, on_child_ended}};
        int r = 0;

        (void)signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; r == 0 && i < 4; i++)
                r = loop_signal_new(&s->signals[i], s->loop, wanted[i].signo, wanted[i].fn, s);
        return r;
}

static int set_up(struct supervisor *s)
{
        int r = loop_new(&s->loop);

        if (r == 0)
                r = make_boot(s);
        if (r == 0)
                r = set_up_signals(s);
        if (r == 0)
                r = loop_timer_new(&s->drain_timer, s->loop, NULL, on_drain_end, s);
        if (r == 0)
                r = loop_timer_new(&s->watchdog, s->loop, NULL, on_watchdog, s);
        if (r == 0)
                r = watch_new(&s->watch, s);
        for (size_t i = 0; r == 0 && i < CHILD_N; i++) {
                s->children[i].supervisor = s;
                s->children[i].id = (enum child_id)i;
                r = loop_timer_new(&s->children[i].timer, s->loop, NULL, on_child_timer, &s->children[i]);
        }
        return r;
}

static void tear_down(struct supervisor *s)
{
        for (size_t i = 0; i < CHILD_N; i++) {
                s->children[i].control = ipc_free(s->children[i].control);
                s->children[i].timer = loop_timer_free(s->children[i].timer);
        }
        for (size_t i = 0; i < 4; i++)
                s->signals[i] = loop_signal_free(s->signals[i]);
        s->drain_timer = loop_timer_free(s->drain_timer);
        s->watchdog = loop_timer_free(s->watchdog);
        s->watch = watch_free(s->watch);
        s->loop = loop_free(s->loop);
        renewals_free(s);
        s->config = config_free(s->config);
        s->next_config = config_free(s->next_config);
        buffer_free(&s->text);
        buffer_free(&s->next_text);
        closep(&s->control_fd);
        closep(&s->lock_fd);
}

int supervisor_run(struct supervisor *s, const char *config_path, struct config *config, struct buffer *text)
{
        struct holder holders[HOLDER_N] = {{0}};
        struct error err = {"out of memory"};

        *s = (struct supervisor){.config_path = config_path,
                                 .holders = holders,
                                 .config = config,
                                 .text = *text,
                                 .lock_fd = -1,
                                 .control_fd = -1,
                                 .renewals.fd = -1,
                                 .next_text = BUFFER(CONFIG_TEXT_MAX)};
        *text = BUFFER(CONFIG_TEXT_MAX);
        int r = set_up(s), code = 1;
        if (r == 0)
                r = files_prepare(s, &err);
        if (r == 0)
                r = files_check(s, s->config, &err);
        if (r == 0)
                r = caps_reduce(&err);
        if (r < 0) {
                log_error("start.failed", KV_S("why", err.text));
                code = EXIT_CONFIGURATION;
        } else {
                if (geteuid() != 0)
                        log_info("one_user_for_all", KV_U("uid", geteuid()),
                                 KV_S("why",
                                      "not started as root: the processes are apart, but share one user"));
                start_all(s);
                on_watchdog(s);
                code = loop_run(s->loop);
        }
        tear_down(s);
        return code;
}
