/*
 * The supervisor's decisions: start, start again, reload, drain, stop.
 *
 * A dead process is started again, later and later, and the others get a new channel to it. A reload is a drain of the
 * doors, an end of all and a start with the new configuration, once that was found free of errors; the sockets stay
 * open meanwhile. The end waits until every process is gone.
 */
#include "queue/gateway/supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/text.h"
#include "base/process/caps.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 10000
#define SOUND_MS 10000 /* a process that lived this long begins again with the first delay */
#define WATCH_MS 1000
#define SILENT_TURNS 30

#define EACH_PART(part) (enum gateway_part part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)

static const char *name_of(const struct gateway_child *c)
{
        return gateway_frames.parts[c->part];
}

static bool all_are(const struct gateway *g, enum child_state state, bool ready)
{
        for
                EACH_PART(part)
        if (g->children[part].state != state || g->children[part].ready != ready)
                return false;
        return true;
}

void gateway_child_ready(struct gateway_child *c)
{
        struct gateway *g = c->gateway;
        struct error err = {""};

        if (!all_are(g, CHILD_RUNNING, true))
                return;
        if (gateway_listen_tell(g, &err) < 0)
                log_error("ready_file", KV_S("why", err.text));
        (void)sd_notify(0, "READY=1\nSTATUS=all processes are at work");
        log_info("ready", KV_U("sockets", g->n_sockets));
        g->told_ready = true;
}

/* ---- starting ---- */

static void start_again_later(struct gateway_child *c)
{
        const uint64_t now = loop_now(c->gateway->loop);

        if ((c->started_at && now - c->started_at >= SOUND_MS) || c->backoff_ms == 0)
                c->backoff_ms = BACKOFF_FIRST_MS;
        else
                c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
        loop_timer_in(c->timer, c->backoff_ms);
        log_warning("process.ended", KV_S("process", name_of(c)), KV_S("how", c->last_end),
                    KV_U("again_in_ms", c->backoff_ms));
}

/* Starts one process and joins it to those that run: the sealer to both others, which do not know each other. */
static void start_child(struct gateway_child *c)
{
        struct gateway *g = c->gateway;
        struct error err = {"the channel broke"};
        int r = gateway_child_spawn(c, &err);

        for
                EACH_PART(part)
                {
                        struct gateway_child *other = &g->children[part];

                        if (r == 0 && other != c && other->state == CHILD_RUNNING &&
                            (c->part == GATEWAY_SEALER || part == GATEWAY_SEALER))
                                r = gateway_child_connect(c, other);
                }
        if (r == 0 && gateway_child_begin(c) == 0)
                return;
        log_error("process.not_started", KV_S("process", name_of(c)), KV_S("why", err.text));
        if (c->state == CHILD_RUNNING) {
                gateway_child_end(c);
                return;
        }
        (void)snprintf(c->last_end, sizeof(c->last_end), "not started");
        start_again_later(c);
}

static void on_child_timer(void *arg)
{
        struct gateway_child *c = arg;

        if (c->state == CHILD_ENDING)
                caps_kill(c->pid, c->uid);
        else if (c->state == CHILD_DOWN && c->gateway->state == GATEWAY_RUNNING)
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
        struct error err = {""};

        if (!g->next_config) {
                loop_stop(g->loop, g->exit_code);
                return;
        }
        if (gateway_listen(g, g->next_config, &err) < 0) {
                log_error("reload.refused", KV_S("why", err.text));
                g->next_config = gateway_config_free(g->next_config);
                buffer_free(&g->next_text);
        } else {
                gateway_config_free(g->config);
                buffer_free(&g->text);
                g->config = steal(g->next_config);
                g->text = g->next_text;
                g->next_text = BUFFER(CONF_TEXT_MAX);
                log_open("postern-gateway", g->config->log_level, NULL);
        }
        start_all(g);
}

static void stop_children(struct gateway *g)
{
        g->state = GATEWAY_STOPPING;
        loop_timer_stop(g->drain_timer);
        for
                EACH_PART(part)
                {
                        if (g->children[part].state == CHILD_DOWN)
                                loop_timer_stop(g->children[part].timer);
                        gateway_child_end(&g->children[part]);
                }
        if (all_are(g, CHILD_DOWN, false))
                all_ended(g);
}

static void begin_drain(struct gateway *g)
{
        struct gateway_child *doors = &g->children[GATEWAY_DOORS];

        g->state = GATEWAY_DRAINING;
        loop_timer_in(g->drain_timer, g->config->drain_ms);
        if (doors->state == CHILD_RUNNING)
                gateway_child_drain(doors, g->config->drain_ms);
        else
                stop_children(g);
}

/* The doors are the only ones that take work: with them all has drained. */
void gateway_child_drained(struct gateway_child *c)
{
        if (c->gateway->state == GATEWAY_DRAINING && c->part == GATEWAY_DOORS)
                stop_children(c->gateway);
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
        if (g->state == GATEWAY_RUNNING) {
                log_info("stopping", KV_U("drain_ms", g->config->drain_ms));
                begin_drain(g);
        } else if (!reloading) {
                stop_children(g);
        }
}

static void on_reload(void *arg)
{
        struct gateway *g = arg;
        struct conf_errors errors = CONF_ERRORS;
        struct gateway_config *config = NULL;

        if (g->state != GATEWAY_RUNNING || g->next_config)
                return;
        buffer_clear(&g->next_text);
        if (gateway_config_load(&config, g->config_path, &g->next_text, &errors) < 0 ||
            gateway_files_check(config) > 0) {
                log_error("reload.refused",
                          KV_S("why", errors.lines.len ? errors.lines.data : "the lines before tell it"));
                config = gateway_config_free(config);
                buffer_free(&g->next_text);
        }
        conf_errors_clear(&errors);
        if (!config)
                return;
        log_info("reload");
        g->next_config = config;
        begin_drain(g);
}

static void on_child_ended(void *arg)
{
        struct gateway *g = arg;

        for
                EACH_PART(part)
                {
                        struct gateway_child *c = &g->children[part];

                        if (!gateway_child_reap(c))
                                continue;
                        if (c->last_code == EXIT_CONFIGURATION && g->state == GATEWAY_RUNNING && !g->told_ready) {
                                log_error("start.failed", KV_S("process", name_of(c)),
                                          KV_S("why", "it found the fault that the line before tells"));
                                g->exit_code = EXIT_CONFIGURATION;
                                stop_children(g);
                        } else if (g->state == GATEWAY_RUNNING) {
                                start_again_later(c);
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

        for
                EACH_PART(part)
                {
                        struct gateway_child *c = &g->children[part];

                        if (c->state == CHILD_DOWN)
                                continue;
                        c->silent_turns++;
                        if (c->state == CHILD_RUNNING && c->silent_turns > SILENT_TURNS) {
                                log_error("process.hung", KV_S("process", name_of(c)), KV_I("pid", c->pid));
                                gateway_child_end(c);
                                caps_kill(c->pid, c->uid);
                        }
                        well = well && c->silent_turns <= 2 * SILENT_TURNS;
                }
        if (well)
                (void)sd_notify(0, "WATCHDOG=1");
        loop_timer_in(g->watchdog, WATCH_MS);
}

/* ---- set-up ---- */

static int set_up(struct gateway *g)
{
        static const struct {
                int signo;
                loop_fn *fn;
        } wanted[4] = {{SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGHUP, on_reload}, {SIGCHLD, on_child_ended}};
        uint8_t bytes[16];
        int r = loop_new(&g->loop);

        if (r == 0 && getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                r = -EIO;
        if (r < 0)
                return r;
        b64u_encode_to(g->boot, bytes, sizeof(bytes));
        g->boot_wall = loop_wall(g->loop);
        g->boot_at = loop_now(g->loop);
        (void)signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; r == 0 && i < 4; i++)
                r = loop_signal_new(&g->signals[i], g->loop, wanted[i].signo, wanted[i].fn, g);
        if (r == 0)
                r = loop_timer_new(&g->drain_timer, g->loop, NULL, on_drain_end, g);
        if (r == 0)
                r = loop_timer_new(&g->watchdog, g->loop, NULL, on_watchdog, g);
        for
                EACH_PART(part)
                {
                        g->children[part].gateway = g;
                        g->children[part].part = part;
                        if (r == 0)
                                r = loop_timer_new(&g->children[part].timer, g->loop, NULL, on_child_timer,
                                                   &g->children[part]);
                }
        return r;
}

static void tear_down(struct gateway *g)
{
        for
                EACH_PART(part)
                {
                        g->children[part].control = ipc_free(g->children[part].control);
                        g->children[part].timer = loop_timer_free(g->children[part].timer);
                }
        for (size_t i = 0; i < 4; i++)
                g->signals[i] = loop_signal_free(g->signals[i]);
        g->drain_timer = loop_timer_free(g->drain_timer);
        g->watchdog = loop_timer_free(g->watchdog);
        g->loop = loop_free(g->loop);
        gateway_listen_close(g);
        gateway_config_free(g->config);
        gateway_config_free(g->next_config);
        buffer_free(&g->text);
        buffer_free(&g->next_text);
}

int gateway_run(struct gateway *g, const char *config_path, struct gateway_config *config, struct buffer *text)
{
        struct error err = {"out of memory"};
        int code = EXIT_CONFIGURATION;

        *g = (struct gateway){
                .config_path = config_path, .config = config, .text = *text, .next_text = BUFFER(CONF_TEXT_MAX)};
        *text = BUFFER(CONF_TEXT_MAX);
        caps_note_parent();
        if (set_up(g) < 0) {
                log_error("start.failed", KV_S("why", "no memory"));
                code = 1;
        } else if (gateway_files_check(config) > 0) {
                (void)sd_notify(0, "STATUS=a file or user is unfit: postern-gateway --check-config tells which");
        } else if (gateway_listen(g, config, &err) < 0 || caps_reduce(&err) < 0) {
                log_error("start.failed", KV_S("why", err.text));
                (void)sd_notifyf(0, "STATUS=%s", err.text);
        } else {
                start_all(g);
                on_watchdog(g);
                code = loop_run(g->loop);
        }
        tear_down(g);
        return code;
}
