/*
 * Files that a supervisor hands to its processes: opened and judged here, read by whom they belong to.
 *
 * A private file that others may read, or that somebody else could have written, is refused with the remedy.
 */
#include "base/process/hand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/text.h"

int hand_open(const char *path, enum hand_kind kind, struct error *err)
{
        int flags = kind == HAND_STATE ? O_RDWR | O_CREAT | O_NOFOLLOW : O_RDONLY;
        _cleanup_(closep) int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        struct stat st;

        if (fd < 0) {
                const int code = errno;
                return error_fail(err, -code, "%s: %s%s%s", path, strerror(code), *file_hint(path) ? "; " : "",
                                  file_hint(path));
        }
        if (fstat(fd, &st) < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return error_fail(err, -EINVAL, "%s is not a regular file", path);
        if (kind == HAND_PUBLIC && (st.st_mode & S_IWOTH))
                return error_fail(err, -EPERM, "%s can be written by others; fix it with: chmod o-w %s", path, path);
        if (kind == HAND_PUBLIC)
                return steal_fd(&fd);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return error_fail(err, -EPERM, "%s belongs to another user (uid %u); fix it with: chown root %s", path,
                                  (unsigned)st.st_uid, path);
        if (st.st_mode & (S_IRWXO | S_IWGRP))
                return error_fail(err, -EPERM, "%s can be read or written by others; fix it with: chmod 600 %s", path,
                                  path);
        return steal_fd(&fd);
}

int hand_lock(const char *path, int *ret_fd, struct error *err)
{
        const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                return error_fail(err, -errno, "%s: %s", path, strerror(errno));
        if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
                return error_fail(err, errno == EAGAIN ? -EBUSY : -errno, "%s: %s", path,
                                  errno == EAGAIN ? "another process has it locked" : strerror(errno));
        if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) /* a full disk keeps nobody from a start */
                log_warning("lock.no_pid", KV_S("path", path), KV_S("why", strerror(errno)));
        *ret_fd = steal_fd(&fd);
        return 0;
}

bool hand_locked(const char *path)
{
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

int hand_memfd(const char *name, const void *bytes, size_t n, struct error *err)
{
        _cleanup_(closep) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

        int r = fd < 0 ? -errno : fd_write_all(fd, bytes, n);

        if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        if (r < 0)
                return error_fail(err, r, "cannot hand on %s: %s", name, strerror(-r));
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return error_fail(err, -errno, "cannot seal %s: %s", name, strerror(errno));
        return steal_fd(&fd);
}

int hand_copy(const char *name, int from, size_t max, struct error *err)
{
        _cleanup_(closep) int fd = memfd_create("file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ssize_t n = 1;

        while (fd >= 0 && (n = sendfile(fd, from, NULL, max + 1)) > 0)
                if (lseek(fd, 0, SEEK_CUR) > (off_t)max)
                        return error_fail(err, -EFBIG, "%s is longer than %zu bytes", name, max);
        if (fd < 0 || n < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return error_fail(err, -errno, "%s: cannot be handed on: %s", name, strerror(errno));
        return steal_fd(&fd);
}
