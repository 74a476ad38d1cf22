/*
 * Finds the programs that posternd and postern start.
 *
 * Invariant: an installed program starts installed ones only; looking beside itself is for the build tree and
 * for a tree that was moved as a whole. No environment variable and no search path is asked.
 */
#include "base/process/program.h"

#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ways: from this program's folder, for one that is not installed, ended by NULL. */
static int find(char *out, size_t cap, const char *name, const char *const *ways, const char *folder, struct error *err)
{
        char self[PATH_MAX];
        const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        self[n > 0 ? n : 0] = '\0';
        char *slash = strrchr(self, '/');
        if (!slash)
                return error_fail(err, -ENOENT, "cannot tell where this program is");
        *slash = '\0';
        const bool installed = strcmp(self, POSTERN_SBINDIR) == 0 || strcmp(self, POSTERN_BINDIR) == 0;
        for (; !installed && *ways; ways++)
                if (snprintf(out, cap, "%s%s/%s", self, *ways, name) < (int)cap && access(out, X_OK) == 0)
                        return 0;
        if (snprintf(out, cap, "%s/%s", folder, name) >= (int)cap || access(out, X_OK) < 0)
                return error_fail(err, -ENOENT, "the program %s is not in %s", name, folder);
        return 0;
}

int program_daemon(char *out, size_t cap, struct error *err)
{
        static const char *const ways[] = {"", "/..", "/../sbin", NULL};

        return find(out, cap, "posternd", ways, POSTERN_SBINDIR, err);
}

int program_path(const char *part, char *out, size_t cap, struct error *err)
{
        char name[NAME_MAX], below[NAME_MAX], beside[NAME_MAX];
        const char *const ways[] = {"", below, beside, "/../libexec/postern", NULL};

        (void)snprintf(name, sizeof(name), "postern-%s", part);
        (void)snprintf(below, sizeof(below), "/%s", part);
        (void)snprintf(beside, sizeof(beside), "/../%s", part);
        return find(out, cap, name, ways, POSTERN_LIBEXECDIR, err);
}

int program_spawn(pid_t *ret_pid, const char *const *argv, const int fds[3])
{
        posix_spawn_file_actions_t actions;
        int r = posix_spawn_file_actions_init(&actions);

        if (r != 0)
                return -r;
        for (int i = 0; r == 0 && i < 3; i++)
                if (fds[i] >= 0)
                        r = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
        if (r == 0) /* it changes none of the texts, whatever its type says */
                r = posix_spawn(ret_pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}
