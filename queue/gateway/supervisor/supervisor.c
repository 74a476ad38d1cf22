/*
 * The supervisor's decisions: start, start again, reload, drain, stop.
 *
 * A dead process is started again, later and later, and the others get a new channel to it. A reload is a drain of the
 * doors, an end of all and a start with the new configuration, once that was found free of errors; the sockets stay
 * open meanwhile. The end waits until every process is gone.
 */
#include "queue/gateway/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/caps.h"

#define WATCH_MS 1000
#define PATIENCE_MS 30000
#define CHECK_MS 120000 /* of a reload */

static struct gateway *gateway_of(const struct child *c)
{
        return c->arg;
}

const char *gateway_user(const struct gateway_config *config, enum gateway_part part)
{
        return part == GATEWAY_DOORS    ? config->user_doors
               : part == GATEWAY_SEALER ? config->user_sealer
                                        : config->user_link;
}

static bool all_are(const struct gateway *g, enum child_state state, bool ready)
{
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)
                if (g->children[part].state != state || g->children[part].ready != ready)
                        return false;
        return true;
}

static void on_reload(void *arg);

/* Tells who waits for the reload how it ended. One that was asked for meanwhile tells for both: whoever asked for it
 * would take this answer for its own. why: "", or why the new configuration does not get ready. */
static void conclude_reload(struct gateway *g, const char *why)
{
        if (g->reloading && !g->reload_again && !g->check_pid)
                gateway_reload_tell(g, why, *why != '\0');
        g->reloading = false;
        if (g->reload_again)
                on_reload(g);
}

/* A process of the new configuration ended before all were ready, or was not started. */
static void reload_failed(struct gateway *g, const struct child *c)
{
        char why[2 * ERROR_TEXT_MAX];

        if (!g->reloading)
                return;
        (void)snprintf(why, sizeof(why),
                       "the process %s does not get ready with the new configuration, and is started again: %s",
                       child_name(c), c->why[0] ? c->why : c->last_end);
        log_error("reload.unready", KV_S("process", child_name(c)), KV_S("why", c->why[0] ? c->why : c->last_end));
        conclude_reload(g, why);
}

static void tell_ready(struct gateway *g)
{
        struct error err = {""};

        if (gateway_listen_tell(g, &err) < 0)
                log_error("ready_file", KV_S("why", err.text));
        (void)sd_notify(0, "READY=1\nSTATUS=all processes are at work");
        log_info("ready", KV_U("sockets", g->n_sockets));
        g->told_ready = true;
        conclude_reload(g, "");
}

/* ---- starting ---- */

int gateway_start(struct child *c, struct error *err)
{
        const struct gateway *g = gateway_of(c);
        char program[32];

        (void)snprintf(program, sizeof(program), "gateway-%s", child_name(c));
        int r = child_start(c,
                            &(struct spawn){.part = program,
                                            .role = child_name(c),
                                            .user = gateway_user(g->config, (enum gateway_part)c->part),
                                            .proxies = c->part == GATEWAY_LINK,
                                            .silent = g->check},
                            &g->text, err);
        return r < 0 ? r
                     : gateway_files(g->config, g->check ? NULL : g, (enum gateway_part)c->part, child_hand, c, err);
}

/* Starts one process and joins it to those that run: the sealer to both others, which do not know each other. */
static void start_child(struct child *c)
{
        struct gateway *g = gateway_of(c);
        struct error err = {"the channel broke"};
        int r = gateway_start(c, &err);

        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++) {
                struct child *other = &g->children[part];

                if (r == 0 && other != c && other->state == CHILD_RUNNING &&
                    (c->part == GATEWAY_SEALER || part == GATEWAY_SEALER))
                        r = child_connect(c, other);
        }
        if (r == 0)
                r = child_begin(c, &g->boot, "gateway", false);
        if (r < 0) {
                child_start_failed(c, &err);
                reload_failed(g, c);
        }
}

static void start_again(struct child *c)
{
        if (gateway_of(c)->state == GATEWAY_RUNNING)
                start_child(c);
}

static void start_all(struct gateway *g)
{
        g->state = GATEWAY_RUNNING;
        for (int part = GATEWAY_PARTS - 1; part >= GATEWAY_DOORS; part--)
                start_child(&g->children[part]);
}

/* ---- draining, stopping, reloading ---- */

static void all_ended(struct gateway *g)
{
        if (!g->next_config) {
                scribes_finish(g->scribes);
                loop_stop(g->loop, g->exit_code);
                return;
        }
        gateway_listen_take(g);
        gateway_config_free(g->config);
        buffer_free(&g->text);
        g->config = steal(g->next_config);
        g->text = g->next_text;
        g->next_text = BUFFER(CONF_TEXT_MAX);
        log_open("postern-gateway", g->config->log_level, NULL);
        start_all(g);
}

static void stop_children(struct gateway *g)
{
        g->state = GATEWAY_STOPPING;
        loop_timer_stop(g->drain_timer);
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++) {
                if (g->children[part].state == CHILD_DOWN)
                        loop_timer_stop(g->children[part].timer);
                child_end(&g->children[part]);
        }
        if (all_are(g, CHILD_DOWN, false))
                all_ended(g);
}

static void begin_drain(struct gateway *g)
{
        struct child *doors = &g->children[GATEWAY_DOORS];

        g->state = GATEWAY_DRAINING;
        loop_timer_in(g->drain_timer, g->config->drain_ms);
        if (doors->state == CHILD_RUNNING)
                child_drain(doors, g->config->drain_ms);
        else
                stop_children(g);
}

static void take_frame(struct child *c, const struct msg_in *m, int fd)
{
        struct gateway *g = gateway_of(c);

        const struct scribes_wanted wanted = {
                .confinement = g->config->confinement,
                .paths = {g->config->events_file, g->config->events_socket, g->config->traces_file}};

        (void)fd;
        if (m->type == FRAME_READY && c->part == GATEWAY_DOORS)
                scribes_begin(g->scribes, &wanted);
        if (m->type == FRAME_READY && g->state == GATEWAY_RUNNING && all_are(g, CHILD_RUNNING, true))
                tell_ready(g);
        /* the doors are the only ones that take work: with them all has drained */
        else if (m->type == FRAME_DRAINED && g->state == GATEWAY_DRAINING && c->part == GATEWAY_DOORS)
                stop_children(g);
}

static void on_drain_end(void *arg)
{
        log_warning("drain.incomplete", KV_S("why", "drain_ms is over"));
        stop_children(arg);
}

/* SIGTERM and SIGINT: drain, then stop; a second one stops at once. */
static void on_terminate(void *arg)
{
        struct gateway *g = arg;
        const bool reloading = g->next_config != NULL;

        (void)sd_notify(0, "STOPPING=1");
        g->next_config = gateway_config_free(g->next_config);
        buffer_free(&g->next_text);
        gateway_listen_drop(g);
        if (g->state == GATEWAY_RUNNING) {
                log_info("stopping", KV_U("drain_ms", g->config->drain_ms));
                begin_drain(g);
        } else if (!reloading) {
                stop_children(g);
        }
}

/* ---- reloading: first the check, by --check-config as a program of its own; what is unfit ends nothing that runs ----
 */

/* said: what is wrong, a line each. */
static void refuse_reload(struct gateway *g, const char *said)
{
        const char *why = *said ? said : "the check of the configuration ended without a word";

        for (const char *line = said; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                const size_t n = strcspn(line, "\n"), taken = n < LOG_VALUE_MAX ? n : LOG_VALUE_MAX;
                char text[LOG_VALUE_MAX + 1];

                memcpy(text, line, taken);
                text[taken] = '\0';
                log_error("config.error", KV_S("at", text));
        }
        log_error("reload.refused", KV_S("why", why), KV_S("kept", "the configuration that runs"));
        gateway_reload_tell(g, why, false);
        g->reloading = false; /* where an earlier one was not ready yet, its waiter is told this as well */
        g->next_config = gateway_config_free(g->next_config);
        buffer_free(&g->next_text);
}

static int spawn_check(struct gateway *g)
{
        char program[] = "/proc/self/exe", config[] = "--config", check[] = "--check-config";
        char *argv[] = {program, config, (char *)(uintptr_t)g->config_path, check, NULL};
        posix_spawn_file_actions_t actions;
        int r;

        closep(&g->check_fd);
        g->check_fd = memfd_create("check", MFD_CLOEXEC);
        if (g->check_fd < 0)
                return -errno;
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        r = r ? r : posix_spawn_file_actions_adddup2(&actions, g->check_fd, STDERR_FILENO);
        r = r ? r : posix_spawn(&g->check_pid, program, &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static void on_reload(void *arg)
{
        struct gateway *g = arg;
        int r;

        g->reload_again = g->state != GATEWAY_RUNNING || g->check_pid;
        if (g->reload_again)
                return;
        r = spawn_check(g);
        if (r < 0) {
                g->check_pid = 0;
                refuse_reload(g, strerror(-r));
        } else {
                loop_timer_in(g->check_timer, CHECK_MS);
        }
}

static void on_check_silent(void *arg)
{
        (void)kill(((struct gateway *)arg)->check_pid, SIGKILL);
}

static void take_check(struct gateway *g, int status)
{
        struct conf_errors errors = CONF_ERRORS;
        char said[4096];
        struct error err;

        g->check_pid = 0;
        loop_timer_stop(g->check_timer);
        if (g->state != GATEWAY_RUNNING)
                return;
        if (g->reload_again) {
                on_reload(g);
                return;
        }
        const ssize_t n = pread(g->check_fd, said, sizeof(said) - 1, 0);
        said[n > 0 ? n : 0] = '\0';
        buffer_clear(&g->next_text);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 ||
            gateway_config_load(&g->next_config, g->config_path, &g->next_text, &errors) < 0) {
                refuse_reload(g, said);
        } else if (strcmp(g->next_config->state_dir, g->config->state_dir) != 0) {
                refuse_reload(g, "another state_dir needs a restart");
        } else if (gateway_listen(g, g->next_config, &err) < 0) {
                refuse_reload(g, err.text);
        } else {
                log_info("reload");
                (void)sd_notify(0, "RELOADING=1");
                g->reloading = true;
                begin_drain(g);
        }
        conf_errors_clear(&errors);
}

static void on_child_ended(void *arg)
{
        struct gateway *g = arg;
        int status;

        scribes_reap(g->scribes);
        if (g->check_pid && waitpid(g->check_pid, &status, WNOHANG) == g->check_pid)
                take_check(g, status);
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++) {
                struct child *c = &g->children[part];

                if (!child_reap(c))
                        continue;
                if (part == GATEWAY_DOORS)
                        scribes_pause(g->scribes);
                if (c->last_code == EXIT_CONFIGURATION && g->state == GATEWAY_RUNNING && !g->told_ready) {
                        log_error("start.failed", KV_S("process", child_name(c)),
                                  KV_S("why", "it found the fault that the line before tells"));
                        g->exit_code = EXIT_CONFIGURATION;
                        stop_children(g);
                } else if (g->state == GATEWAY_RUNNING) {
                        child_again_later(c);
                        reload_failed(g, c);
                } else if (g->state == GATEWAY_DRAINING && part == GATEWAY_DOORS) {
                        stop_children(g);
                }
        }
        if (g->state == GATEWAY_STOPPING && all_are(g, CHILD_DOWN, false))
                all_ended(g);
}

/* A process whose loop stands still is ended, and so started again. systemd is told as long as that works. */
static void on_watchdog(void *arg)
{
        struct gateway *g = arg;
        bool well = true;

        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)
                well = child_watch(&g->children[part], WATCH_MS, PATIENCE_MS) && well;
        if (well)
                (void)sd_notify(0, "WATCHDOG=1");
        loop_timer_in(g->watchdog, WATCH_MS);
}

/* ---- set-up ---- */

static int give_doors(void *arg, const char *key, int fd)
{
        struct gateway *g = arg;
        struct error err;

        return child_hand(&g->children[GATEWAY_DOORS], key, fd, &err);
}

static int set_up(struct gateway *g)
{
        static const struct {
                int signo;
                loop_fn *fn;
        } wanted[4] = {{SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGHUP, on_reload}, {SIGCHLD, on_child_ended}};
        static const struct child_ops ops = {.frame = take_frame, .again = start_again};
        int r = loop_new(&g->loop);

        if (r == 0)
                r = child_boot_begin(&g->boot, g->loop);
        (void)signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; r == 0 && i < 4; i++)
                r = loop_signal_new(&g->signals[i], g->loop, wanted[i].signo, wanted[i].fn, g);
        if (r == 0)
                r = loop_timer_new(&g->drain_timer, g->loop, NULL, on_drain_end, g);
        if (r == 0)
                r = loop_timer_new(&g->watchdog, g->loop, NULL, on_watchdog, g);
        if (r == 0)
                r = loop_timer_new(&g->check_timer, g->loop, NULL, on_check_silent, g);
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)
                if (r == 0)
                        r = child_new(&g->children[part], g->loop, &gateway_frames, part, &ops, g);
        if (r == 0 && !(g->scribes = scribes_new(g->loop, &g->boot, give_doors, g)))
                r = -ENOMEM;
        return r;
}

static void tear_down(struct gateway *g)
{
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)
                child_free(&g->children[part]);
        g->scribes = scribes_free(g->scribes);
        for (size_t i = 0; i < 4; i++)
                g->signals[i] = loop_signal_free(g->signals[i]);
        g->drain_timer = loop_timer_free(g->drain_timer);
        g->watchdog = loop_timer_free(g->watchdog);
        g->check_timer = loop_timer_free(g->check_timer);
        g->loop = loop_free(g->loop);
        gateway_listen_close(g);
        closep(&g->lock_fd);
        closep(&g->check_fd);
        gateway_config_free(g->config);
        gateway_config_free(g->next_config);
        buffer_free(&g->text);
        buffer_free(&g->next_text);
}

int gateway_run(struct gateway *g, const char *config_path, struct gateway_config *config, struct buffer *text)
{
        struct error err = {"out of memory"};
        int code = EXIT_CONFIGURATION;
        size_t found[GATEWAY_PARTS];

        *g = (struct gateway){.config_path = config_path,
                              .config = config,
                              .text = *text,
                              .next_text = BUFFER(CONF_TEXT_MAX),
                              .lock_fd = -1,
                              .check_fd = -1};
        *text = BUFFER(CONF_TEXT_MAX);
        caps_note_parent();
        if (set_up(g) < 0) {
                log_error("start.failed", KV_S("why", "no memory"));
                code = 1;
        } else if (gateway_files_check(config, found) > 0) {
                (void)sd_notify(0, "STATUS=a file or user is unfit: postern-gateway --check-config tells which");
        } else if (gateway_lock(g, config, &err) < 0 || gateway_listen(g, config, &err) < 0 ||
                   caps_reduce(CAP_NET_BIND_SERVICE, &err) < 0) {
                log_error("start.failed", KV_S("why", err.text));
                (void)sd_notifyf(0, "STATUS=%s", err.text);
        } else {
                gateway_listen_take(g);
                start_all(g);
                on_watchdog(g);
                code = loop_run(g->loop);
        }
        tear_down(g);
        return code;
}
