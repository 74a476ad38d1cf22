/*
 * The file of acts that wait for the ledger.
 *
 * Invariant: a line is there whole or not at all, and goes once it was taken over, each by itself: both ends lock the
 * file. It has a bound: what does not fit any more is said by the command that did it.
 */
#include "connector/frames/acts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "certs/codec/json.h"

#define FILE_ACTS "acts"
#define ACTS_MAX (256 * 1024)
#define LINE_MAX_BYTES 4096
#define TAKEN '#' /* in the place of the brace with which a line begins, until all are taken over */

static int open_acts(const char *state_dir, int flags)
{
        char path[PATH_MAX];
        struct stat st;

        if (snprintf(path, sizeof(path), "%s/%s", state_dir, FILE_ACTS) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        _cleanup_(closep) int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
            (st.st_mode & S_IWOTH))
                return -EPERM;
        return steal_fd(&fd);
}

int64_t acts_login_uid(void)
{
        _cleanup_(closep) int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
        char text[24] = "";
        uint64_t uid;

        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || text_parse_u64(text, 0, UINT32_MAX - 1, &uid) < 0)
                return -1;
        return (int64_t)uid;
}

static int render(struct buffer *line, const char *name, const char *detail)
{
        const int64_t login = acts_login_uid();
        struct json_writer w;

        json_write_begin(&w, line);
        json_write_open(&w, NULL, '{');
        json_write_int(&w, "at", (int64_t)time(NULL));
        json_write_str(&w, "act", name);
        json_write_str(&w, "detail", detail);
        json_write_int(&w, "uid", (int64_t)getuid());
        if (login >= 0)
                json_write_int(&w, "login_uid", login);
        json_write_close(&w, '}');
        const int r = json_write_end(&w);
        return r < 0 ? r : buffer_append_str(line, "\n");
}

int acts_note(const char *state_dir, const char *name, const char *detail, struct error *err)
{
        _cleanup_(buffer_free) struct buffer line = BUFFER(LINE_MAX_BYTES);
        _cleanup_(closep) int fd = open_acts(state_dir, O_WRONLY | O_APPEND | O_CREAT);
        int r = fd < 0 ? fd : render(&line, name, detail);
        struct stat st = {0};

        if (r >= 0 && (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0))
                r = -errno;
        if (r >= 0 && (size_t)st.st_size + line.len > ACTS_MAX)
                r = -ENOSPC;
        if (r >= 0 && write(fd, line.data, line.len) != (ssize_t)line.len) {
                r = -EIO;
                if (ftruncate(fd, st.st_size) < 0)
                        r = -errno;
        }
        return r < 0 ? error_fail(err, r, "%s is not noted for `postern log --events`: %s/%s: %s", name, state_dir,
                                  FILE_ACTS, strerror(-r))
                     : 0;
}

int acts_each(const char *state_dir, acts_fn *fn, void *arg)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(ACTS_MAX + 1);
        _cleanup_(closep) int fd = open_acts(state_dir, O_RDWR);
        struct error err;
        char *save = NULL;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) /* somebody writes: the next look takes it */
                return 0;
        int r = fd_read_all(&text, fd, &err);
        if (r < 0 || text.len == 0)
                return r;
        for (char *line = text.data; r == 0 && line && *line; line = save) {
                save = strchr(line, '\n');
                if (save)
                        *save++ = '\0';
                r = *line == TAKEN ? 0 : fn(arg, line);
                if (r == 0 && pwrite(fd, (const char[]){TAKEN}, 1, line - text.data) != 1)
                        r = -errno;
        }
        return r < 0 ? r : ftruncate(fd, 0) < 0 ? -errno : 0;
}
