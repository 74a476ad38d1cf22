/*
 * A reload: first the check, by `posternd --check-config` as a process of its own; only then the drain. What was
 * refused stays told, in `postern status` and in state_dir/reload, until a reload succeeds.
 *
 * Invariant: the configuration before is kept until every process is ready with the new one; where one does not
 * take it after all, the one before comes back. So no reload ends what runs.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/process/reloading.h"

#define CHECK_MS 120000
#define SAID_MAX 16384

/* For `posternd --reload`, which waits for it. A reload that was asked for meanwhile tells for both: whoever asked for
 * it would take this answer for its own. */
static void answer(struct supervisor *s)
{
        struct reload *reload = &s->reloading;
        char path[4096];
        struct error err;

        if (reload->again)
                return;
        int r = files_in_folder(path, s->config->state_dir, FILE_RELOAD, &err);

        r = r < 0 ? r : reloading_tell(path, s->boot.id, ++reload->n, reload->why, false, &err);
        if (r < 0)
                log_warning("reload.untold", KV_S("why", err.text));
}

static void end_check(struct reload *reload)
{
        reload->io = loop_io_free(reload->io);
        closep(&reload->fd);
        loop_timer_stop(reload->timer);
        reload->pid = 0;
}

static void begin_again(struct supervisor *s)
{
        if (!s->reloading.again || s->state != SUPERVISOR_RUNNING)
                return;
        s->reloading.again = false;
        reload_ask(s);
}

/* lines: what is wrong, each with its newline; n of them. */
static void refuse(struct supervisor *s, const char *lines, size_t n)
{
        struct reload *reload = &s->reloading;
        const size_t first = strcspn(lines, "\n");
        char more[48] = "";

        if (n > 1)
                (void)snprintf(more, sizeof(more), " (and %zu more, see the log)", n - 1);
        for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                char text[LOG_VALUE_MAX + 1];
                const size_t whole = strcspn(line, "\n"), len = whole < LOG_VALUE_MAX ? whole : LOG_VALUE_MAX;

                memcpy(text, line, len);
                text[len] = '\0';
                log_error("config.error", KV_S("at", text));
        }
        log_error("reload.refused", KV_U("errors", n), KV_S("kept", "the configuration that runs"));
        (void)snprintf(reload->why, sizeof(reload->why), "%.*s%s",
                       (int)(first < ERROR_TEXT_MAX ? first : ERROR_TEXT_MAX), lines, more);
        reload->at = loop_wall(s->loop);
        s->next_config = config_free(s->next_config);
        (void)sd_notifyf(0, "STATUS=a reload was refused: %s", reload->why);
        share_supervisor(s);
        answer(s);
        begin_again(s);
}

/* ---- the check ---- */

static void on_said(void *arg, int fd, int events)
{
        struct reload *reload = arg;
        char bytes[1024];
        ssize_t n;

        (void)events;
        while ((n = read(fd, bytes, sizeof(bytes))) > 0)
                (void)buffer_append(&reload->said, bytes, (size_t)n); /* what does not fit is left out */
        if (n == 0)
                reload->io = loop_io_free(reload->io);
}

static void on_check_silent(void *arg)
{
        struct supervisor *s = arg;

        (void)buffer_append_str(&s->reloading.said, "the check of the configuration does not end\n");
        (void)kill(s->reloading.pid, SIGKILL);
}

static int spawn_check(struct supervisor *s, int config_fd, int out)
{
        char program[] = "/proc/self/exe", config[] = "--config", check[] = "--check-config", fd[] = "--config-fd",
             *path = strdup(s->config_path);
        char *argv[] = {program, config, path, check, fd, NULL};
        posix_spawn_file_actions_t actions;
        int r = path ? posix_spawn_file_actions_init(&actions) : ENOMEM;

        if (r != 0)
                return free(path), -r;
        r = posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, config_fd, CHECK_CONFIG_FD);
        if (r == 0)
                r = posix_spawn(&s->reloading.pid, program, &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        free(path);
        return -r;
}

/* A copy of fd under a number that the child uses for nothing else. */
static int lift(int fd)
{
        return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, CHECK_CONFIG_FD + 1);
}

static int begin_check(struct supervisor *s, struct error *err)
{
        struct reload *reload = &s->reloading;
        const struct buffer *text = &s->next_text;
        _cleanup_(closep) int memory = hand_memfd("configuration", text->len ? text->data : "", text->len, err);
        _cleanup_(closep) int config_fd = lift(memory);
        int pipe_fds[2];

        if (memory < 0 || config_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
                return error_fail(err, -EMFILE, "the check cannot be started: %s", strerror(errno));
        _cleanup_(closep) int out = lift(pipe_fds[1]);
        (void)close(pipe_fds[1]);
        reload->fd = pipe_fds[0];
        int r = out < 0 ? -EMFILE : spawn_check(s, config_fd, out);
        if (r == 0 && fcntl(reload->fd, F_SETFL, O_NONBLOCK) < 0)
                r = -errno;
        if (r == 0)
                r = loop_io_new(&reload->io, s->loop, NULL, reload->fd, LOOP_READ, on_said, reload);
        if (r < 0)
                return error_fail(err, r, "the check cannot be started: %s", strerror(-r));
        loop_timer_in(reload->timer, CHECK_MS);
        return 0;
}

void reload_ask(void *arg)
{
        struct supervisor *s = arg;
        _cleanup_(conf_errors_clear) struct conf_errors errors = CONF_ERRORS;
        struct reload *reload = &s->reloading;
        struct error err;

        if (s->state != SUPERVISOR_RUNNING || reload->pid > 0 || reload->open) {
                reload->again = true;
                return;
        }
        buffer_clear(&s->next_text);
        buffer_clear(&reload->said);
        if (config_load(&s->next_config, s->config_path, &s->next_text, &errors) < 0) {
                refuse(s, errors.lines.len ? errors.lines.data : "out of memory\n", errors.n ? errors.n : 1);
        } else if (strcmp(s->next_config->state_dir, s->config->state_dir) != 0) {
                refuse(s, "another state_dir needs a restart\n", 1);
        } else if (begin_check(s, &err) < 0) {
                end_check(reload);
                refuse(s, err.text, 1);
        } else {
                log_debug("reload.checking");
        }
}

void reload_reap(struct supervisor *s)
{
        struct reload *reload = &s->reloading;
        size_t n = 0;
        int status;

        if (reload->pid <= 0 || waitpid(reload->pid, &status, WNOHANG) != reload->pid)
                return;
        on_said(reload, reload->fd, LOOP_READ);
        end_check(reload);
        if (s->state != SUPERVISOR_RUNNING) {
                s->next_config = config_free(s->next_config);
                return;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
                log_info("reloading");
                reload->open = true;
                reload->back = false;
                supervisor_drain(s, true);
                return;
        }
        if (!reload->said.len)
                (void)buffer_append_str(&reload->said, "the check of the configuration ended without a word\n");
        for (const char *at = reload->said.data; *at; at++)
                n += *at == '\n';
        refuse(s, reload->said.data, n);
}

/* ---- after it ---- */

static void swap(struct supervisor *s)
{
        struct config *config = s->config;
        const struct buffer text = s->text;

        s->config = s->next_config;
        s->text = s->next_text;
        s->next_config = config;
        s->next_text = text;
        log_open("posternd", s->config->log_level, NULL);
}

void reload_take(struct supervisor *s)
{
        struct error err;

        swap(s);
        kept_clear(s->kept);
        if (files_prepare(s, &err) == 0)
                return;
        log_error("reload.failed", KV_S("why", err.text), KV_S("kept", "the configuration before"));
        swap(s);
        s->reloading.open = false;
        if (files_prepare(s, &err) < 0) /* it worked until a moment ago: go on with what is there */
                log_error("reload.failed", KV_S("why", err.text));
        refuse(s, err.text, 1);
}

bool reload_back(struct supervisor *s, const struct child *child)
{
        struct reload *reload = &s->reloading;

        if (!reload->open || reload->back)
                return false;
        log_error("reload.failed", KV_S("process", child_name(child)), KV_S("kept", "the configuration before"));
        (void)snprintf(reload->why, sizeof(reload->why), "the process %s did not take it: %s", child_name(child),
                       child->why[0] ? child->why : child->last_end);
        reload->back = true;
        supervisor_drain(s, true);
        return true;
}

void reload_ready(struct supervisor *s)
{
        struct reload *reload = &s->reloading;
        char why[sizeof(reload->why)];

        if (!reload->open) {
                begin_again(s); /* asked for while one drained that could not be taken after all */
                return;
        }
        reload->open = false;
        if (reload->back) {
                (void)snprintf(why, sizeof(why), "%s", reload->why);
                refuse(s, why, 1);
                return;
        }
        s->next_config = config_free(s->next_config);
        buffer_free(&s->next_text);
        reload->why[0] = '\0';
        log_info("reloaded");
        share_supervisor(s);
        answer(s);
        begin_again(s);
}

int reload_new(struct supervisor *s)
{
        s->reloading.fd = -1;
        s->reloading.said = BUFFER(SAID_MAX);
        return loop_timer_new(&s->reloading.timer, s->loop, NULL, on_check_silent, s);
}

void reload_free(struct supervisor *s)
{
        struct reload *reload = &s->reloading;

        if (reload->pid > 0) {
                (void)kill(reload->pid, SIGKILL);
                (void)waitpid(reload->pid, NULL, 0);
        }
        if (s->loop)
                end_check(reload);
        reload->timer = loop_timer_free(reload->timer);
        buffer_free(&reload->said);
}
