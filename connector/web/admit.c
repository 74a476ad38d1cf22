/*
 * Giving out links for one use.
 *
 * The code stands behind the # of the link: browsers keep that part to themselves, so it comes into no log, no proxy
 * and no Referer; the page posts it. A client that sends no line within a second is dropped; there is one at a time.
 */
#include "connector/web/admit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/secret.h"

#define CLIENT_MS 1000

struct web_admit {
        struct web *web;
        int fd, client; /* client: -1 */
        struct loop_io *listening, *io;
        struct loop_timer *timer;
};

int web_admit_socket(const char *path, unsigned mode, struct error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct stat st;

        if (strlen(path) >= sizeof(address.sun_path))
                return error_fail(err, -ENAMETOOLONG, "%s: the path is too long for a socket", path);
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
                return error_fail(err, -EEXIST, "%s is there and is no socket; remove it", path);
        (void)unlink(path);
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const mode_t before = umask(0777 & ~mode);
        const int r = fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0
                              ? -errno
                              : 0;
        (void)umask(before);
        if (r < 0)
                return error_fail(err, r,
                                  "cannot listen at %s: %s; its folder must exist and belong to this process' user",
                                  path, strerror(-r));
        return steal_fd(&fd);
}

static void drop_client(void *arg)
{
        struct web_admit *a = arg;

        a->io = loop_io_free(a->io);
        loop_timer_stop(a->timer);
        closep(&a->client);
        a->client = -1;
        loop_io_set(a->listening, LOOP_READ);
}

static void answer(struct web_admit *a)
{
        char code[WEB_SECRET_LEN + 1] = "", line[256];
        struct ucred peer = {0, (uid_t)-1, (gid_t)-1};
        socklen_t n = sizeof(peer);

        (void)getsockopt(a->client, SOL_SOCKET, SO_PEERCRED, &peer, &n);
        if (!a->web->direct.http)
                (void)snprintf(line, sizeof(line),
                               "{\"ok\":false,\"error\":\"`listen` is not set in web.conf, so there are no links\"}\n");
        else if (web_access_admit(a->web->access, peer.uid, code) < 0)
                (void)snprintf(line, sizeof(line),
                               "{\"ok\":false,\"error\":\"%d links are open already; wait a minute\"}\n",
                               WEB_CODES_MAX);
        else
                (void)snprintf(line, sizeof(line), "{\"ok\":true,\"url\":\"%s/enter#%s\"}\n", a->web->direct.origin[0],
                               code);
        log_info("web.link", KV_U("uid", peer.uid), KV_S("given", code[0] ? "yes" : "no"));
        (void)send(a->client, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
        wipe(code, sizeof(code));
        wipe(line, sizeof(line));
}

static void on_line(void *arg, int fd, int events)
{
        struct web_admit *a = arg;
        char bytes[512];
        const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

        (void)events;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0 && memchr(bytes, '\n', (size_t)n))
                answer(a);
        drop_client(a);
}

static void on_client(void *arg, int fd, int events)
{
        struct web_admit *a = arg;

        (void)events;
        a->client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (a->client < 0)
                return;
        loop_io_set(a->listening, 0);
        loop_timer_in(a->timer, CLIENT_MS);
        if (loop_io_new(&a->io, a->web->loop, NULL, a->client, LOOP_READ, on_line, a) < 0)
                drop_client(a);
}

int web_admit_new(struct web_admit **ret_admit, struct web *web, const char *path, struct error *err)
{
        struct web_admit *a = calloc(1, sizeof(*a));

        if (!a)
                return error_fail(err, -ENOMEM, "no memory");
        a->web = web;
        a->client = -1;
        a->fd = web_admit_socket(path, 0660, err);
        if (a->fd < 0) {
                int r = a->fd;
                free(a);
                return r;
        }
        if (loop_timer_new(&a->timer, web->loop, NULL, drop_client, a) < 0 ||
            loop_io_new(&a->listening, web->loop, NULL, a->fd, LOOP_READ, on_client, a) < 0) {
                web_admit_free(a);
                return error_fail(err, -ENOMEM, "no memory");
        }
        *ret_admit = a;
        return 0;
}

struct web_admit *web_admit_free(struct web_admit *a)
{
        if (!a)
                return NULL;
        loop_io_free(a->io);
        loop_io_free(a->listening);
        loop_timer_free(a->timer);
        closep(&a->client);
        closep(&a->fd);
        free(a);
        return NULL;
}
