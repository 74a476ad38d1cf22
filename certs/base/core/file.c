/*
 * Whole files: bounded reads, atomic writes.
 *
 * Invariants: a failed read leaves the buffer as it was; a failed write leaves the old file as it was and no
 * temporary file behind. Bytes go straight between the descriptor and the caller's buffer, so a secret buffer
 * stays secret.
 */
#include "base/core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/secret.h"

#define READ_CHUNK 16384

int fd_read_all(struct buffer *out, int fd, struct error *err)
{
        const size_t old = out->len;
        ssize_t n = 1;
        int r = 0;

        while (r == 0 && n > 0) {
                const size_t room = out->max - out->len, chunk = room < READ_CHUNK ? room : READ_CHUNK;
                char extra; /* a full buffer must meet the end of the file */

                r = chunk ? buffer_reserve(out, chunk) : 0;
                if (r < 0)
                        break;
                do
                        n = read(fd, chunk ? out->data + out->len : &extra, chunk ? chunk : 1);
                while (n < 0 && errno == EINTR);
                r = n < 0 ? -errno : n > 0 && chunk == 0 ? -EMSGSIZE : 0;
                out->len += r == 0 ? (size_t)n : 0;
                wipe(&extra, 1);
        }
        if (r == 0)
                return 0;
        if ((out->secret || out->wiped) && out->data)
                wipe(out->data + old, out->cap - old);
        out->len = old;
        if (out->data)
                out->data[old] = '\0';
        if (r == -EMSGSIZE)
                return error_fail(err, r, "holds more than the allowed %zu bytes", out->max - old);
        return error_fail(err, r, "cannot be read: %s", strerror(-r));
}

/* What to do about it, for the commonest reasons. */
static const char *remedy(int code)
{
        switch (code) {
        case -ENOENT:
                return "; create it or correct the path";
        case -EACCES:
        case -EPERM:
                return "; check its owner and mode, and those of the folders above it";
        case -ENOSPC:
        case -EDQUOT:
                return "; make room on that disk";
        case -EROFS:
                return "; that file system is mounted read-only";
        default:
                return "";
        }
}

const char *file_hidden_by_unit(const char *path)
{
        static const struct {
                const char *folder, *text;
        } hidden[] = {
#define HOME_TEXT "the unit's ProtectHome=yes hides /root, /home and /run/user: put the file elsewhere, best below /etc"
#define TMP_TEXT "the unit's PrivateTmp=yes gives it a /tmp of its own: put the file elsewhere, best below /etc"
                {"/root/", HOME_TEXT}, {"/home/", HOME_TEXT},   {"/run/user/", HOME_TEXT},
                {"/tmp/", TMP_TEXT},   {"/var/tmp/", TMP_TEXT},
        };

        for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
                if (strncmp(path, hidden[i].folder, strlen(hidden[i].folder)) == 0)
                        return hidden[i].text;
        return NULL;
}

const char *file_hint(const char *path)
{
        const char *text = getenv("INVOCATION_ID") ? file_hidden_by_unit(path) : NULL; /* systemd sets it */

        return text ? text : "";
}

int file_read(struct buffer *out, const char *path, struct error *err)
{
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0) {
                int code = -errno;
                return error_fail(err, code, "%s: cannot be opened: %s%s%s%s", path, strerror(-code), remedy(code),
                                  *file_hint(path) ? "; " : "", file_hint(path));
        }
        int r = fd_read_all(out, fd, err);
        return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

int fd_write_all(int fd, const void *bytes, size_t n)
{
        const char *p = bytes;

        while (n > 0) {
                ssize_t w = write(fd, p, n);
                if (w < 0 && errno == EINTR)
                        continue;
                if (w <= 0)
                        return w < 0 ? -errno : -EIO;
                p += w;
                n -= (size_t)w;
        }
        return 0;
}

/* Writes the temporary file and puts it in the place of path; removes it again on failure. */
static int replace_file(const char *path, const void *bytes, size_t n, unsigned mode)
{
        char tmp[PATH_MAX];

        if (snprintf(tmp, sizeof tmp, "%s.XXXXXX", path) >= (int)sizeof tmp)
                return -ENAMETOOLONG;
        _cleanup_(closep) int fd = mkostemp(tmp, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = fd_write_all(fd, bytes, n);
        if (r == 0 && (fchmod(fd, (mode_t)mode) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0))
                r = -errno;
        if (r < 0)
                (void)unlink(tmp);
        return r;
}

int file_write_atomic(const char *path, const void *bytes, size_t n, unsigned mode, struct error *err)
{
        const char *slash = strrchr(path, '/');
        _cleanup_(closep) int fd = -1;
        char folder[PATH_MAX];
        int r = replace_file(path, bytes, n, mode);

        (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
        if (r == 0) { /* makes the rename itself durable */
                fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
        }
        if (r < 0)
                return error_fail(err, r, "%s: cannot be written: %s%s", path, strerror(-r), remedy(r));
        return 0;
}
