/*
 * One call of the gateway over its UNIX socket: connect, write, read, close.
 *
 * It is not the product's HTTP client: that one is libcurl, which this module would load, with its threads and its
 * global set-up, into sshd and sudo. Invariant: the call ends at its deadline; a question is written once.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "queue/gateway/pam/pam.h"

static int64_t now_ms(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 0: ready; -ETIMEDOUT. */
static int wait_for(int fd, short events, int64_t deadline)
{
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left;
        int n;

        do {
                left = deadline - now_ms();
                n = left > 0 ? poll(&p, 1, (int)left) : 0;
        } while (n < 0 && errno == EINTR);
        return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static const char *not_there(int code)
{
        if (code == ENOENT || code == ECONNREFUSED)
                return ": is postern-gateway running, with this socket in its `listen`?";
        return code == EACCES ? ": `socket_group` of postern-gateway says who may use it" : "";
}

/* A socket that somebody else put there would be told passwords. Who listens is the gateway's own user, which says
 * nothing: what counts is who made the socket, and who could have put another in its place. path fits a socket's. */
static int check_owner(const char *path, struct error *err)
{
        char folder[sizeof((struct sockaddr_un *)0)->sun_path];
        struct stat at, in;

        memcpy(folder, path, strlen(path) + 1);
        if (lstat(path, &at) < 0 || stat(dirname(folder), &in) < 0)
                return error_fail(err, -errno, "%s: %s%s", path, strerror(errno), not_there(errno));
        if ((at.st_uid != 0 && at.st_uid != geteuid()) || !S_ISSOCK(at.st_mode))
                return error_fail(
                        err, -EPERM,
                        "%s: is uid %u's, and passwords go to the socket of a postern-gateway that root started", path,
                        (unsigned)at.st_uid);
        if ((in.st_uid != 0 && in.st_uid != geteuid()) || (in.st_mode & 022))
                return error_fail(err, -EPERM, "%s: others may write to its folder, and could put another socket there",
                                  path);
        return 0;
}

static int open_socket(const char *path, struct error *err)
{
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        int r;

        if (strlen(path) >= sizeof at.sun_path)
                return error_fail(err, -EINVAL, "socket=%s: the path is too long", path);
        memcpy(at.sun_path, path, strlen(path) + 1);
        r = check_owner(path, err);
        if (r < 0)
                return r;
        if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
                return error_fail(err, -errno, "%s: %s%s", path, strerror(errno), not_there(errno));
        return steal_fd(&fd);
}

static int write_all(int fd, const struct buffer *request, int64_t deadline)
{
        size_t done = 0;

        while (done < request->len) {
                const ssize_t n = send(fd, request->data + done, request->len - done, MSG_NOSIGNAL);
                int r = 0;

                if (n > 0)
                        done += (size_t)n;
                else if (n < 0 && errno == EAGAIN)
                        r = wait_for(fd, POLLOUT, deadline);
                else if (n < 0 && errno != EINTR)
                        r = -errno;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* 0 or as of pam_answer_read, but for 1; -ETIMEDOUT, -ECONNRESET. */
static int read_answer(int fd, int64_t deadline, struct pam_answer *ret_answer, struct error *err)
{
        _cleanup_(buffer_free) struct buffer bytes = BUFFER(PAM_ANSWER_MAX);
        int r = 1;

        while (r == 1) {
                if ((r = wait_for(fd, POLLIN, deadline)) < 0 || (r = buffer_reserve(&bytes, 4096)) < 0)
                        return error_fail(err, r, "the gateway's answer did not come: %s", strerror(-r));
                const ssize_t n = recv(fd, bytes.data + bytes.len, 4096, 0);
                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                        return error_fail(err, -ECONNRESET, "the gateway hung up before its answer");
                bytes.len += n > 0 ? (size_t)n : 0;
                r = pam_answer_read(ret_answer, bytes.data, bytes.len, err);
        }
        return r;
}

int pam_ask(const struct pam_question *q, struct pam_answer *ret_answer, struct error *err)
{
        _cleanup_(buffer_free) struct buffer request = BUFFER_SECRET(32768);
        const int64_t deadline = now_ms() + q->timeout_ms;
        _cleanup_(closep) int fd = -1;
        int r = pam_question_write(q, &request);

        if (r < 0)
                return error_fail(err, r, "the name or a password is too long, or no UTF-8");
        fd = open_socket(q->socket, err);
        if (fd < 0)
                return fd;
        r = write_all(fd, &request, deadline);
        if (r < 0)
                return error_fail(err, r, "%s: %s", q->socket, strerror(-r));
        return read_answer(fd, deadline, ret_answer, err);
}
