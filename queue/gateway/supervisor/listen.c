/*
 * The sockets that doors listen on: made by the supervisor, as root perhaps, and kept over reloads.
 *
 * Invariant: those of a new configuration listen before anything of the old one is touched, so that an address that
 * cannot be had refuses the reload; and an address is one socket, whichever door it serves.
 */
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/process/caps.h"
#include "queue/gateway/supervisor/supervisor.h"

#define BACKLOG 512

static int find_group(const struct gateway_config *c, gid_t *ret_gid, struct error *err)
{
        const struct group *gr = c->socket_group ? getgrnam(c->socket_group) : NULL;

        if (c->socket_group && !gr)
                return error_fail(err, -ENOENT,
                                  "socket_group: there is no group %s; make it with: groupadd --system %s",
                                  c->socket_group, c->socket_group);
        *ret_gid = gr ? gr->gr_gid : getgid();
        return 0;
}

/* The socket that goes on listening there becomes the group's. As the owner, with that group as its own, the process
 * needs no CAP_CHOWN. Where the path is gone nobody can open it, whoever's it was. */
static int regroup(const struct gateway_config *c, const char *path, struct error *err)
{
        struct stat st;
        gid_t gid = 0;
        int r = find_group(c, &gid, err);

        if (r < 0 || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_gid == gid)
                return r;
        if (setegid(gid) < 0 || lchown(path, (uid_t)-1, gid) < 0)
                r = error_fail(err, -errno, "socket_group: %s cannot become the group's: %s", path, strerror(errno));
        caps_back();
        return r;
}

/* Whether a socket can be made at this path: its folder is there, and in its place is nothing, or a socket that nobody
 * listens on any more. mine: whoever listens there may. */
static int check_unix(const struct sockaddr_un *address, bool mine, struct error *err)
{
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const char *path = address->sun_path, *slash = strrchr(path, '/');
        char folder[sizeof(address->sun_path)];
        struct stat st;

        (void)snprintf(folder, sizeof(folder), "%.*s", slash > path ? (int)(slash - path) : 1, path);
        if (access(folder, W_OK | X_OK) < 0)
                return error_fail(err, -errno, "listen: unix:%s: its folder %s: %s%s", path, folder, strerror(errno),
                                  errno == ENOENT ? "; make it, or have systemd make it (RuntimeDirectory=)" : "");
        if (lstat(path, &st) < 0)
                return 0;
        if (!S_ISSOCK(st.st_mode))
                return error_fail(
                        err, -EADDRINUSE,
                        "listen: unix:%s: something that is no socket is there: remove it, or listen elsewhere", path);
        /* one whose queue is full, or of another type, is somebody's as well */
        if (!mine && fd >= 0 &&
            (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED))
                return error_fail(
                        err, -EADDRINUSE,
                        "listen: unix:%s: another program listens there: stop it (ss -lxp shows which it is), "
                        "or listen elsewhere",
                        path);
        return 0;
}

/* Bound with mode 0660 as the group's that may use it. What was there is removed where it is a socket of nobody. */
static int bind_unix(int fd, const struct gateway_config *c, const char *path, struct error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        gid_t gid = 0;
        int r = find_group(c, &gid, err);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        r = r < 0 ? r : check_unix(&address, false, err);
        if (r < 0)
                return r;
        (void)unlink(path);
        const mode_t before = umask(0117);
        if (gid != getgid() && setegid(gid) < 0)
                r = -errno;
        if (r == 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                r = -errno;
        caps_back();
        (void)umask(before);
        return r < 0 ? error_fail(err, r, "listen: unix:%s: %s%s", path, strerror(-r),
                                  r == -EROFS ? "; the unit lets the gateway make sockets in /run/postern-gateway only"
                                              : "")
                     : 0;
}

static const char *bind_remedy(int code)
{
        switch (code) {
        case EACCES:
                return "; ports below 1024 need CAP_NET_BIND_SERVICE: systemctl edit postern-gateway, [Service], "
                       "CapabilityBoundingSet=CAP_NET_BIND_SERVICE";
        case EADDRINUSE:
                return "; ss -ltnp shows who listens there";
        case EADDRNOTAVAIL:
                return "; this host has no such address: ip address shows those that it has";
        default:
                return "";
        }
}

static int bind_tcp(int fd, struct gateway_listen *l, struct error *err)
{
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(l->port)};
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(l->port)};
        const bool six = inet_pton(AF_INET6, l->where, &v6.sin6_addr) == 1;
        const int on = 1;
        socklen_t n = six ? sizeof(v6) : sizeof(v4);
        struct sockaddr *address = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;

        if (!six)
                (void)inet_pton(AF_INET, l->where, &v4.sin_addr);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (six)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bind(fd, address, n) < 0 || getsockname(fd, address, &n) < 0)
                return error_fail(err, -errno, "listen: %s port %u: %s%s", l->where, l->port, strerror(errno),
                                  bind_remedy(errno));
        l->port = ntohs(six ? v6.sin6_port : v4.sin_port);
        return 0;
}

static int new_socket(const struct gateway_listen *l, struct error *err)
{
        const int fd = socket(l->kind == LISTEN_UNIX  ? AF_UNIX
                              : strchr(l->where, ':') ? AF_INET6
                                                      : AF_INET,
                              SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? error_fail(err, -errno, "listen: %s: %s", l->where, strerror(errno)) : fd;
}

/* As it is told in ready_file. port: that it has. */
static void name_socket(struct gateway_socket *s, const struct gateway_listen *l, unsigned port)
{
        s->listen = *l;
        s->port = port;
        if (l->kind == LISTEN_UNIX)
                (void)snprintf(s->shown, sizeof(s->shown), "%s%s", gateway_listen_prefix(l), l->where);
        else
                (void)snprintf(s->shown, sizeof(s->shown), strchr(l->where, ':') ? "%s[%s]:%u" : "%s%s:%u",
                               gateway_listen_prefix(l), l->where, port);
}

static int make_socket(struct gateway_socket *ret, const struct gateway_config *c, const struct gateway_listen *l,
                       struct error *err)
{
        struct gateway_listen bound = *l;
        _cleanup_(closep) int fd = new_socket(l, err);
        int r;

        if (fd < 0)
                return fd;
        r = l->kind == LISTEN_UNIX ? bind_unix(fd, c, l->where, err) : bind_tcp(fd, &bound, err);
        if (r == 0 && listen(fd, BACKLOG) < 0)
                r = error_fail(err, -errno, "listen: %s: %s", l->where, strerror(errno));
        if (r < 0)
                return r;
        name_socket(ret, l, bound.port);
        ret->fd = steal_fd(&fd);
        ret->shared = false;
        return 0;
}

static void close_socket(const struct gateway_socket *s)
{
        (void)close(s->fd);
        if (s->listen.kind == LISTEN_UNIX)
                (void)unlink(s->listen.where);
}

/* The socket at that address which nobody has taken over yet, of whichever door; NULL: there is none. */
static struct gateway_socket *find_socket(struct gateway *g, const struct gateway_listen *l)
{
        for (size_t i = 0; i < g->n_sockets; i++) {
                const struct gateway_listen *have = &g->sockets[i].listen;

                if (!g->sockets[i].shared && have->port == l->port &&
                    (have->kind == LISTEN_UNIX) == (l->kind == LISTEN_UNIX) && strcmp(have->where, l->where) == 0)
                        return &g->sockets[i];
        }
        return NULL;
}

static int share_socket(struct gateway_socket *ret, struct gateway_socket *old, const struct gateway_config *c,
                        const struct gateway_listen *l, struct error *err)
{
        int r = l->kind == LISTEN_UNIX ? regroup(c, l->where, err) : 0;

        if (r < 0)
                return r;
        old->shared = true;
        *ret = *old;
        name_socket(ret, l, old->port);
        return 0;
}

int gateway_listen(struct gateway *g, const struct gateway_config *config, struct error *err)
{
        int r = 0;

        for (g->n_next = 0; r == 0 && g->n_next < config->n_listen; g->n_next += r == 0) {
                const struct gateway_listen *l = &config->listen[g->n_next];
                struct gateway_socket *next = &g->next_sockets[g->n_next], *old = find_socket(g, l);

                r = old ? share_socket(next, old, config, l, err) : make_socket(next, config, l, err);
        }
        if (r < 0)
                gateway_listen_drop(g);
        return r;
}

void gateway_listen_drop(struct gateway *g)
{
        for (size_t i = 0; i < g->n_next; i++)
                if (!g->next_sockets[i].shared)
                        close_socket(&g->next_sockets[i]);
                else if (g->next_sockets[i].listen.kind == LISTEN_UNIX)
                        (void)regroup(g->config, g->next_sockets[i].listen.where, &(struct error){""});
        for (size_t i = 0; i < g->n_sockets; i++)
                g->sockets[i].shared = false;
        g->n_next = 0;
}

void gateway_listen_take(struct gateway *g)
{
        for (size_t i = 0; i < g->n_sockets; i++)
                if (!g->sockets[i].shared)
                        close_socket(&g->sockets[i]);
        memcpy(g->sockets, g->next_sockets, g->n_next * sizeof(g->sockets[0]));
        g->n_sockets = g->n_next;
        g->n_next = 0;
        for (size_t i = 0; i < g->n_sockets; i++)
                g->sockets[i].shared = false;
}

/* What a running gateway of this state_dir has is in use by it, as far as can be told from here; a reload finds out. */
static int check_listen(const struct gateway_config *c, const struct gateway_listen *l, bool runs, struct error *err)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct gateway_listen bound = *l;
        gid_t gid = 0;
        int r;

        if (l->kind == LISTEN_UNIX) {
                (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", l->where);
                r = find_group(c, &gid, err);
                return r < 0 ? r : check_unix(&address, runs, err);
        }
        _cleanup_(closep) int fd = new_socket(l, err);
        r = fd < 0 ? fd : bind_tcp(fd, &bound, err);
        return r == -EADDRINUSE && runs ? 0 : r;
}

size_t gateway_listen_check(const struct gateway_config *config)
{
        const bool runs = gateway_runs(config);
        struct error err;
        size_t n = 0;

        for (size_t i = 0; i < config->n_listen; i++)
                if (check_listen(config, &config->listen[i], runs, &err) < 0) {
                        (void)fprintf(stderr, "%s\n", err.text);
                        n++;
                }
        return n;
}

void gateway_listen_close(struct gateway *g)
{
        gateway_listen_drop(g);
        for (size_t i = 0; i < g->n_sockets; i++)
                close_socket(&g->sockets[i]);
        g->n_sockets = 0;
}

int gateway_listen_tell(const struct gateway *g, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096);
        int r = 0;

        for (size_t i = 0; r == 0 && i < g->n_sockets; i++)
                r = buffer_printf(&text, "%s\n", g->sockets[i].shown);
        if (r < 0 || !g->config->ready_file)
                return r;
        return file_write_atomic(g->config->ready_file, text.data, text.len, 0644, err);
}
