/*
 * Starting a child process. What happens to it later is its supervisor's.
 */
#include "base/process/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/process/process.h"
#include "base/process/program.h"

static const char *const passed_on[] = {
        "https_proxy",  "HTTPS_PROXY",    "no_proxy",     "NO_PROXY", "all_proxy", "ALL_PROXY",
        "TZ",           "JOURNAL_STREAM", "LANG",
#ifdef __SANITIZE_ADDRESS__
        "ASAN_OPTIONS", "UBSAN_OPTIONS",  "LSAN_OPTIONS",
#endif
};
#define PASSED_ON_N (sizeof(passed_on) / sizeof(passed_on[0]))

struct environment {
        char *vars[PASSED_ON_N + 2];
        size_t n;
};

static void environment_clear(struct environment *e)
{
        for (size_t i = 0; i < e->n; i++)
                free(e->vars[i]);
}

/* Only what is named above, so that nothing of the caller's steers libraries in the children. */
static int environment_make(struct environment *e, bool proxies)
{
        e->vars[e->n] = strdup("PATH=/usr/bin:/bin");
        if (!e->vars[e->n++])
                return -ENOMEM;
        for (size_t i = 0; i < PASSED_ON_N; i++) {
                const char *value = getenv(passed_on[i]);
                if (!value || (!proxies && strcasestr(passed_on[i], "proxy")))
                        continue;
                if (asprintf(&e->vars[e->n], "%s=%s", passed_on[i], value) < 0) {
                        e->vars[e->n] = NULL;
                        return -ENOMEM;
                }
                e->n++;
        }
        return 0;
}

/* A group of its own, so that ^C on a terminal reaches the supervisor alone, which then drains. */
static int spawn(pid_t *ret_pid, const struct spawn *s, char *const argv[], char *const envp[])
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none, all;

        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attr);
        if (r == 0) {
                (void)posix_spawnattr_setsigmask(&attr, &none);
                (void)posix_spawnattr_setsigdefault(&attr, &all);
                (void)posix_spawnattr_setpgroup(&attr, 0);
                (void)posix_spawnattr_setflags(&attr,
                                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
                r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
                if (r == 0)
                        r = posix_spawn_file_actions_adddup2(&actions, s->control, PROCESS_CONTROL_FD);
                if (r == 0 && s->silent)
                        r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
                if (r == 0)
                        r = posix_spawn(ret_pid, argv[0], &actions, &attr, argv, envp);
                (void)posix_spawnattr_destroy(&attr);
        }
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

int process_spawn(pid_t *ret_pid, const struct spawn *s, struct error *err)
{
        char program[PATH_MAX] = "/proc/self/exe", role[64], user[64];
        _cleanup_(environment_clear) struct environment env = {.n = 0};
        int r = s->part ? program_path(s->part, program, sizeof(program), err) : 0;

        if (r < 0)
                return r;
        (void)snprintf(role, sizeof(role), "--role=%s", s->role);
        (void)snprintf(user, sizeof(user), "--user=%s", s->user ? s->user : "");
        char *argv[] = {program, role, s->user && geteuid() == 0 ? user : NULL, NULL};
        r = environment_make(&env, s->proxies);
        if (r == 0)
                r = spawn(ret_pid, s, argv, env.vars);
        return r < 0 ? error_fail(err, r, "cannot start %s: %s", program, strerror(-r)) : 0;
}

int process_end_text(int status, char *out, size_t cap)
{
        if (!WIFSIGNALED(status)) {
                (void)snprintf(out, cap, "exit code %d", WEXITSTATUS(status));
                return WEXITSTATUS(status);
        }
        (void)snprintf(out, cap, "signal %d (%s)", WTERMSIG(status),
                       sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
        return -1;
}
