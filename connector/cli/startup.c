/*
 * Runs `posternd --check-config` and reads what it says. It judges nothing itself, so that the command line and the
 * daemon cannot differ.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "connector/cli/startup.h"
#include "base/process/program.h"

static void read_lines(FILE *in, const char *path, startup_line_fn *fn, void *arg)
{
        _cleanup_(freep) char *line = NULL;
        const size_t prefix = strlen(path);
        size_t cap = 0;

        while (getline(&line, &cap, in) > 0) {
                const char *text = line;
                line[strcspn(line, "\n")] = '\0';
                if (strncmp(text, path, prefix) == 0 && strncmp(text + prefix, ": ", 2) == 0)
                        text += prefix + 2;
                fn(arg, text);
        }
}

int startup_check(const char *path, startup_line_fn *fn, void *arg, bool *ret_fit, struct error *err)
{
        char program[PATH_MAX];
        const char *const argv[] = {program, "--config", path, "--check-config", NULL};
        int fds[2], status = 0;
        pid_t pid = -1;
        int r = program_daemon(program, sizeof(program), err);

        if (r < 0)
                return r;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_fail(err, -errno, "cannot run %s: %s", program, strerror(errno));
        r = program_spawn(&pid, argv, (const int[3]){-1, fds[1], fds[1]});
        (void)close(fds[1]);
        FILE *in = r == 0 ? fdopen(fds[0], "r") : NULL;
        if (in) {
                read_lines(in, path, fn, arg);
                (void)fclose(in);
        } else {
                (void)close(fds[0]);
        }
        if (r < 0)
                return error_fail(err, r, "cannot run %s: %s", program, strerror(-r));
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        *ret_fit = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        return 0;
}
