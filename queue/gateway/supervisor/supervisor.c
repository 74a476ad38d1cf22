/*
 * The supervisor's decisions: start, start again, reload, drain, stop.
 *
 * A dead process is started again, later and later, and the others get a new channel to it. A reload is a drain of the
 * doors, an end of all and a start with the new configuration, once that was found free of errors; the sockets stay
 * open meanwhile. The end waits until every process is gone.
 */
#include "queue/gateway/supervisor/supervisor.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/caps.h"

#define WATCH_MS 1000
#define PATIENCE_MS 30000

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

static void tell_ready(struct gateway *g)
{
        struct error err = {""};

        if (gateway_listen_tell(g, &err) < 0)
                log_error("ready_file", KV_S("why", err.text));
        (void)sd_notify(0, "READY=1\nSTATUS=all processes are at work");
        log_info("ready", KV_U("sockets", g->n_sockets));
        g->told_ready = true;
}

/* ---- starting ---- */

/* Starts one process and joins it to those that run: the sealer to both others, which do not know each other. */
static void start_child(struct child *c)
{
        struct gateway *g = gateway_of(c);
        struct error err = {"the channel broke"};
        char program[32];

        (void)snprintf(program, sizeof(program), "gateway-%s", child_name(c));
        int r = child_start(c,
                            &(struct spawn){.part = program,
                                            .role = child_name(c),
                                            .user = gateway_user(g->config, (enum gateway_part)c->part),
                                            .proxies = c->part == GATEWAY_LINK},
                            &g->text, &err);
        if (r == 0)
                r = gateway_files(g->config, g, (enum gateway_part)c->part, child_hand, c, &err);
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++) {
                struct child *other = &g->children[part];

                if (r == 0 && other != c && other->state == CHILD_RUNNING &&
                    (c->part == GATEWAY_SEALER || part == GATEWAY_SEALER))
                        r = child_connect(c, other);
        }
        if (r == 0)
                r = child_begin(c, &g->boot, "gateway", false);
        if (r < 0)
                child_start_failed(c, &err);
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

        (void)fd;
        if (m->type == FRAME_READY && all_are(g, CHILD_RUNNING, true))
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

        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++) {
                struct child *c = &g->children[part];

                if (!child_reap(c))
                        continue;
                if (c->last_code == EXIT_CONFIGURATION && g->state == GATEWAY_RUNNING && !g->told_ready) {
                        log_error("start.failed", KV_S("process", child_name(c)),
                                  KV_S("why", "it found the fault that the line before tells"));
                        g->exit_code = EXIT_CONFIGURATION;
                        stop_children(g);
                } else if (g->state == GATEWAY_RUNNING) {
                        child_again_later(c);
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
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)
                if (r == 0)
                        r = child_new(&g->children[part], g->loop, &gateway_frames, part, &ops, g);
        return r;
}

static void tear_down(struct gateway *g)
{
        for (unsigned part = GATEWAY_DOORS; part < GATEWAY_PARTS; part++)
                child_free(&g->children[part]);
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
        } else if (gateway_listen(g, config, &err) < 0 || caps_reduce(CAP_NET_BIND_SERVICE, &err) < 0) {
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
