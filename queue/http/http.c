/*
 * The HTTP server as a whole: its limits, its listening sockets, its end.
 *
 * TCP_NODELAY is set on the listening socket, from where accepted ones inherit it: without it each small
 * answer waits 40 ms for an acknowledgement. Addresses are numeric; nothing here looks a name up. Where
 * descriptors run out, connections without work make room; where there is none, accepting pauses instead of spinning,
 * and the log hears of it once a minute.
 */
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/http/internal.h"

#define BACKLOG 512
#define ACCEPTS_A_TURN 16
#define PAUSE_MS 100
#define PAUSE_TOLD_MS 60000

/* ---- the server ---- */

static void on_pause_end(void *arg)
{
        http_listen_or_pause(arg);
}

int http_new(struct http **ret_http, const struct http_config *config, struct error *err)
{
        struct http *http = calloc(1, sizeof(*http));

        if (!http || loop_timer_new(&http->pause, config->loop, NULL, on_pause_end, http) < 0 ||
            loop_timer_new(&http->shake, config->loop, NULL, http_admit_shake_some, http) < 0) {
                if (http)
                        loop_timer_free(http->pause);
                free(http);
                return error_fail(err, -ENOMEM, "no memory for the HTTP server");
        }
        http->config = *config;
        http->accepting = true;
        http_crowd_init(&http->crowd);
        TAILQ_INIT(&http->shaking);
        *ret_http = http;
        return 0;
}

struct http *http_free(struct http *http)
{
        if (!http)
                return NULL;
        http_stop_listening(http);
        for (int i = 0; i < RANKS_; i++)
                while (!TAILQ_EMPTY(&http->crowd.ranks[i]))
                        http_conn_free(TAILQ_FIRST(&http->crowd.ranks[i]));
        table_clear(&http->clients);
        loop_timer_free(http->pause);
        loop_timer_free(http->shake);
        SSL_CTX_free(http->tls);
        free(http);
        return NULL;
}

void http_drain(struct http *http)
{
        http->draining = true;
}

struct http_view http_view(const struct http *http)
{
        return (struct http_view){.connections = http_crowd_size(&http->crowd),
                                  .unanswered = http->crowd.n[RANK_BUSY] - http->n_streams,
                                  .unserved = http->crowd.n[RANK_UNSERVED],
                                  .problems = http->problems};
}

/* ---- listening ---- */

void http_listen_or_pause(struct http *http)
{
        const bool accept = !loop_timer_armed(http->pause) && http->n_shaking < HTTP_SHAKING_MAX;

        for (unsigned i = 0; accept != http->accepting && i < http->n_listeners; i++)
                loop_io_set(http->listeners[i].io, accept ? LOOP_READ : 0);
        http->accepting = accept;
}

/* accept failed for want of descriptors or memory. Whether it may be tried again at once. */
static bool find_room(struct http *http, int code)
{
        const uint64_t now = loop_now(http->config.loop);

        if (!http->paused_told || now - http->paused_told >= PAUSE_TOLD_MS) {
                http->paused_told = now;
                log_warning("accept_failed", KV_S("why", strerror(code)),
                            KV_U("connections", http_view(http).connections),
                            KV_S("then", "connections without work make room, or new ones wait; told once a minute"));
        }
        if (http_crowd_shed(&http->crowd))
                return true;
        loop_timer_in(http->pause, PAUSE_MS);
        http_listen_or_pause(http);
        return false;
}

static void on_accept(void *arg, int listening, int events)
{
        struct http_listener *l = arg;
        struct http *http = l->http;

        (void)events;
        for (int i = 0; i < ACCEPTS_A_TURN; i++) {
                struct sockaddr_storage ss = {.ss_family = AF_UNIX};
                socklen_t n = sizeof(ss);
                int fd = accept4(listening, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
                        if (find_room(http, errno))
                                continue;
                        return;
                }
                if (fd < 0)
                        return;
                (void)http_conn_new(http, fd, (struct sockaddr *)&ss, l->transport);
        }
}

int http_adopt(struct http *http, int fd, enum http_transport transport)
{
        struct sockaddr_storage ss = {.ss_family = AF_UNIX};
        socklen_t n = sizeof(ss);

        (void)getpeername(fd, (struct sockaddr *)&ss, &n);
        return http_conn_new(http, fd, (struct sockaddr *)&ss, transport);
}

int http_listen_fd(struct http *http, int fd, enum http_transport transport, struct error *err)
{
        struct http_listener *l = &http->listeners[http->n_listeners];
        _cleanup_(closep) int owned = fd;

        if (http->n_listeners == HTTP_LISTENERS_MAX)
                return error_fail(err, -E2BIG, "at most %d listening addresses", HTTP_LISTENERS_MAX);
        if (listen(fd, BACKLOG) < 0)
                return error_fail(err, -errno, "cannot listen: %s", strerror(errno));
        *l = (struct http_listener){.http = http, .fd = fd, .transport = transport};
        if (loop_io_new(&l->io, http->config.loop, NULL, fd, LOOP_READ, on_accept, l) < 0)
                return error_fail(err, -ENOMEM, "no memory to listen");
        http->n_listeners++;
        owned = -1;
        return 0;
}

static int open_socket(const struct addrinfo *ai)
{
        int on = 1;
        _cleanup_(closep) int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
            (ai->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
            bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) /* both tell that it is in use */
                return -errno;
        int r = fd;
        fd = -1;
        return r;
}

int http_listen(struct http *http, const char *host, uint16_t port, enum http_transport transport, uint16_t *ret_port,
                struct error *err)
{
        const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
        struct sockaddr_in6 bound = {.sin6_port = 0}; /* the port is at the same place in both families */
        socklen_t n = sizeof(bound);
        struct addrinfo *ai = NULL;

        if (getaddrinfo(host, NULL, &hints, &ai) != 0)
                return error_fail(err, -EINVAL, "%s is not a numeric address", host);
        ((struct sockaddr_in *)ai->ai_addr)->sin_port = htons(port);
        int fd = open_socket(ai);
        freeaddrinfo(ai);
        if (fd < 0)
                return error_fail(err, fd, "cannot listen on %s port %u: %s%s", host, port, strerror(-fd),
                                  fd == -EADDRINUSE ? "; ss -ltnp shows who listens there" : "");
        (void)getsockname(fd, (struct sockaddr *)&bound, &n);
        int r = http_listen_fd(http, fd, transport, err);
        if (r == 0)
                *ret_port = ntohs(bound.sin6_port);
        return r;
}

int http_listen_unix(struct http *http, const char *path, const char *group, struct error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const struct group *gr = group ? getgrnam(group) : NULL;
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const size_t n = strlen(path);
        struct stat st;

        if (n >= sizeof(address.sun_path))
                return error_fail(err, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
                                  sizeof(address.sun_path) - 1);
        if (group && !gr)
                return error_fail(err, -ENOENT, "there is no group %s; make it with: groupadd --system %s", group,
                                  group);
        memcpy(address.sun_path, path, n + 1);
        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
                (void)unlink(path);
        const mode_t before = umask(0117);
        int r = fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(before);
        if (r == 0 && gr && chown(path, (uid_t)-1, gr->gr_gid) < 0)
                r = -errno;
        if (r < 0)
                return error_fail(err, r, "cannot listen on %s: %s", path, strerror(-r));
        return http_listen_fd(http, steal_fd(&fd), HTTP_PLAIN, err);
}

int http_listening(const struct http *http, unsigned i)
{
        return i < http->n_listeners ? http->listeners[i].fd : -1;
}

void http_stop_listening(struct http *http)
{
        loop_timer_stop(http->pause);
        while (http->n_listeners) {
                struct http_listener *l = &http->listeners[--http->n_listeners];
                l->io = loop_io_free(l->io);
                close(l->fd);
        }
}
