/*
 * Listening sockets of the relay's HTTP server.
 *
 * TCP_NODELAY is set on the listening socket, from where accepted ones inherit it: without it each small
 * answer waits 40 ms for an acknowledgement. Addresses are numeric; nothing here looks a name up.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "queue/http/internal.h"

#define BACKLOG 512

static int resolve(const char *host, uint16_t port, struct addrinfo **ret_ai, struct error *err)
{
        const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                       .ai_socktype = SOCK_STREAM};
        char service[8];

        snprintf(service, sizeof(service), "%u", port);
        if (getaddrinfo(host, service, &hints, ret_ai) != 0)
                return error_fail(err, -EINVAL, "%s is not a numeric address", host);
        return 0;
}

static int open_socket(const struct addrinfo *ai)
{
        int on = 1;
        _cleanup_(closep) int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0)
                return -errno;
        if (ai->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
                return -errno;
        if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        int r = fd;
        fd = -1;
        return r;
}

static uint16_t bound_port(int fd)
{
        struct sockaddr_storage ss = {0};
        socklen_t n = sizeof(ss);

        if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
                return 0;
        if (ss.ss_family == AF_INET6)
                return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
        return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

int http_listen(struct http *http, const char *host, uint16_t port, uint16_t *ret_port, struct error *err)
{
        struct addrinfo *ai = NULL;

        if (http->n_bound == HTTP_LISTENERS_MAX)
                return error_fail(err, -E2BIG, "at most %d listening addresses", HTTP_LISTENERS_MAX);
        int r = resolve(host, port, &ai, err);
        if (r < 0)
                return r;
        int fd = open_socket(ai);
        freeaddrinfo(ai);
        if (fd < 0)
                return error_fail(err, fd, "cannot listen on %s port %u: %s", host, port, strerror(-fd));
        struct evconnlistener *listener = evconnlistener_new(loop_base(http->config.loop), NULL, NULL,
                                                             LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
        if (!listener) {
                close(fd);
                return error_fail(err, -ENOMEM, "no memory to listen");
        }
        http->bound[http->n_bound] = evhttp_bind_listener(http->ev, listener);
        if (!http->bound[http->n_bound]) {
                evconnlistener_free(listener);
                return error_fail(err, -ENOMEM, "no memory to listen");
        }
        http->n_bound++;
        *ret_port = bound_port(fd);
        return 0;
}

void http_stop_listening(struct http *http)
{
        while (http->n_bound)
                evhttp_del_accept_socket(http->ev, http->bound[--http->n_bound]);
}
