/*
 * Finds the programs that posternd and postern start.
 *
 * Invariant: an installed program starts installed ones only; looking beside itself is for the build tree and
 * for a tree that was moved as a whole. No environment variable and no search path is asked.
 */
#include "connector/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int program_path(const char *part, char *out, size_t cap, struct error *err)
{
        char self[PATH_MAX] = "";
        const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash = n > 0 ? strrchr(self, '/') : NULL;

        if (!slash)
                return error_fail(err, -ENOENT, "cannot tell where this program is");
        *slash = '\0';
        if (strcmp(self, POSTERN_SBINDIR) != 0 && strcmp(self, POSTERN_BINDIR) != 0) {
                if (snprintf(out, cap, "%s/%s/postern-%s", self, part, part) < (int)cap &&
                    access(out, X_OK) == 0)
                        return 0;
                if (snprintf(out, cap, "%s/../%s/postern-%s", self, part, part) < (int)cap &&
                    access(out, X_OK) == 0)
                        return 0;
                if (snprintf(out, cap, "%s/../libexec/postern/postern-%s", self, part) < (int)cap &&
                    access(out, X_OK) == 0)
                        return 0;
        }
        if (snprintf(out, cap, "%s/postern-%s", POSTERN_LIBEXECDIR, part) >= (int)cap ||
            access(out, X_OK) < 0)
                return error_fail(err, -ENOENT, "the program postern-%s is not in %s", part,
                                  POSTERN_LIBEXECDIR);
        return 0;
}
