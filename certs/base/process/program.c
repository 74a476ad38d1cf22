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

static char self[PATH_MAX]; /* the folder of this program, once own_folder has said 0 */

static int own_folder(struct error *err)
{
        const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        self[n > 0 ? n : 0] = '\0';
        char *slash = strrchr(self, '/');
        if (!slash)
                return error_fail(err, -ENOENT, "cannot tell where this program is");
        *slash = '\0';
        return 0;
}

static bool is_installed(const char *folder)
{
        return strcmp(folder, POSTERN_SBINDIR) == 0 || strcmp(folder, POSTERN_BINDIR) == 0;
}

int program_daemon(char *out, size_t cap, struct error *err)
{
        static const char *const ways[] = {"", "/..", "/../sbin"};
        int r = own_folder(err);

        for (size_t i = 0; r == 0 && !is_installed(self) && i < sizeof(ways) / sizeof(ways[0]); i++)
                if (snprintf(out, cap, "%s%s/posternd", self, ways[i]) < (int)cap && access(out, X_OK) == 0)
                        return 0;
        if (r == 0 && (snprintf(out, cap, "%s/posternd", POSTERN_SBINDIR) >= (int)cap || access(out, X_OK) < 0))
                r = error_fail(err, -ENOENT, "the program posternd is not in %s", POSTERN_SBINDIR);
        return r;
}

int program_path(const char *part, char *out, size_t cap, struct error *err)
{
        int r = own_folder(err);

        if (r < 0)
                return r;
        if (!is_installed(self)) {
                if (snprintf(out, cap, "%s/postern-%s", self, part) < (int)cap && access(out, X_OK) == 0)
                        return 0;
                if (snprintf(out, cap, "%s/%s/postern-%s", self, part, part) < (int)cap && access(out, X_OK) == 0)
                        return 0;
                if (snprintf(out, cap, "%s/../%s/postern-%s", self, part, part) < (int)cap && access(out, X_OK) == 0)
                        return 0;
                if (snprintf(out, cap, "%s/../libexec/postern/postern-%s", self, part) < (int)cap &&
                    access(out, X_OK) == 0)
                        return 0;
        }
        if (snprintf(out, cap, "%s/postern-%s", POSTERN_LIBEXECDIR, part) >= (int)cap || access(out, X_OK) < 0)
                return error_fail(err, -ENOENT, "the program postern-%s is not in %s", part, POSTERN_LIBEXECDIR);
        return 0;
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
