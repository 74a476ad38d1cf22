/*
 * Writing lines into a file or to a socket.
 *
 * Invariants: a file gets whole lines. One that stopped in the middle of a line (its disk is full) gets the rest before
 * anything else; where another file has come to its path, that one gets the line from its beginning. A datagram is
 * sent once.
 */
#include "base/scribe/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"

#define SOCKET_BYTES (1024 * 1024)
#define PATIENCE_S 1 /* that a receiver is waited for in one turn */

void sink_init(struct sink *sink, const char *path, bool socket)
{
        sink->path = path;
        sink->socket = socket;
        sink->fd = -1;
}

void sink_close(struct sink *s)
{
        closep(&s->fd);
        s->fd = -1;
        s->begun = 0;
}

/* ---- opening ---- */

static int open_file(struct sink *s)
{
        const mode_t before = umask(027);
        _cleanup_(closep) int fd =
                open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
        const int code = errno;
        struct stat st;

        (void)umask(before);
        if (fd < 0) {
                (void)snprintf(s->why, sizeof(s->why), "%s%s", strerror(code),
                               code == ENOENT   ? "; make its folder"
                               : code == EROFS  ? "; the unit lets it write in its folder below /var/log alone: use "
                                                  "that, or add ReadWritePaths= to the unit"
                               : code == EACCES ? "; the folder must be its user's"
                                                : "");
                return -code;
        }
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
                (void)snprintf(s->why, sizeof(s->why),
                               "it is not a regular file, or it has a second name (a hard link)");
                return -EINVAL;
        }
        s->dev = st.st_dev;
        s->ino = st.st_ino;
        return steal_fd(&fd);
}

static int open_socket(struct sink *s)
{
        const struct timeval patience = {.tv_sec = PATIENCE_S};
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const int bytes = SOCKET_BYTES;
        struct stat st;

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", s->path); /* the configuration looked */
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || stat(s->path, &st) < 0) {
                const int code = errno;
                (void)snprintf(s->why, sizeof(s->why), "%s",
                               code == EPROTOTYPE ? "it is a stream socket; a datagram socket is needed"
                               : code == ECONNREFUSED || code == ENOENT ? "nobody receives there; is rsyslog up?"
                                                                        : strerror(code));
                return -code;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)); /* as much of it as the host allows */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        s->dev = st.st_dev;
        s->ino = st.st_ino;
        return steal_fd(&fd);
}

void sink_look(struct sink *s)
{
        struct stat st;

        if (s->fd >= 0 && stat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
                return;
        sink_close(s);
        s->fd = s->socket ? open_socket(s) : open_file(s);
        if (s->fd >= 0)
                s->why[0] = '\0';
        else
                s->fd = -1;
}

/* ---- what is to be written ---- */

char *sink_room(struct sink *s)
{
        const bool room = s->n_lines < SINK_LINES_MAX && s->n_bytes + EVENTS_LINE_MAX + 1 <= sizeof(s->bytes);

        return room ? s->bytes + s->n_bytes : NULL;
}

void sink_add(struct sink *s, size_t n)
{
        s->lens[s->n_lines++] = n;
        s->n_bytes += n;
}

static void next_line(struct sink *s)
{
        s->at += s->lens[s->line++];
        s->begun = 0;
}

/* 0, or an errno. */
static int write_file(struct sink *s, struct events_word *word)
{
        while (s->line < s->n_lines) {
                const size_t from = s->at + s->begun, want = s->n_bytes - from;
                const ssize_t n = write(s->fd, s->bytes + from, want);

                if (n < 0 && errno != EINTR)
                        return errno;
                for (size_t written = n < 0 ? 0 : (size_t)n; written > 0;) {
                        const size_t rest = s->lens[s->line] - s->begun;

                        if (written < rest) {
                                s->begun += written;
                                break;
                        }
                        written -= rest;
                        word->done++;
                        next_line(s);
                }
                if (n >= 0 && (size_t)n < want)
                        return ENOSPC;
        }
        return 0;
}

static int write_socket(struct sink *s, struct events_word *word)
{
        while (s->line < s->n_lines) {
                const ssize_t n = send(s->fd, s->bytes + s->at, s->lens[s->line], MSG_NOSIGNAL);

                if (n < 0 && errno == EMSGSIZE) /* the receiver will never take it */
                        word->refused++;
                else if (n < 0 && errno != EINTR)
                        return errno;
                else if (n >= 0)
                        word->done++;
                if (n >= 0 || errno == EMSGSIZE)
                        next_line(s);
        }
        return 0;
}

void sink_write(struct sink *s, struct events_word *word)
{
        if (s->fd >= 0) {
                const int code = (s->socket ? write_socket : write_file)(s, word);
                const bool slow = code == EAGAIN || code == EWOULDBLOCK;

                (void)snprintf(s->why, sizeof(s->why), "%s",
                               code == 0 ? ""
                               : slow    ? "whoever receives them reads too slowly"
                               : s->socket && (code == ECONNREFUSED || code == ENOTCONN || code == ECONNRESET)
                                       ? "nobody receives there; is rsyslog up?"
                                       : strerror(code));
                if (code && s->socket && !slow)
                        sink_close(s);
        }
        if (s->line == s->n_lines)
                s->line = s->n_lines = s->n_bytes = s->at = s->begun = 0;
        (void)snprintf(word->why, sizeof(word->why), "%s", s->why);
}
