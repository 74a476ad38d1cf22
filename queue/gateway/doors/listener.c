/*
 * Accepting connections for a door. What becomes of them is the door's.
 */
#include "queue/gateway/doors/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"

#define ACCEPTS_A_TURN 16
#define PAUSE_MS 100

struct listener {
        struct doors *doors;
        int fd;
        struct loop_io *io;
        struct loop_timer *pause; /* accepting again, after descriptors ran out */
        listener_fn *fn;
        void *arg;
};

static void accept_some(void *arg, int fd, int events)
{
        struct listener *l = arg;

        (void)events;
        for (int i = 0; i < ACCEPTS_A_TURN && l->io; i++) {
                struct sockaddr_storage address = {.ss_family = AF_UNIX};
                socklen_t n = sizeof(address);
                const int peer = accept4(fd, (struct sockaddr *)&address, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (peer < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
                        log_warning("accept_failed", KV_S("why", strerror(errno)));
                        loop_io_set(l->io, 0);
                        loop_timer_in(l->pause, PAUSE_MS);
                        return;
                }
                if (peer < 0)
                        return;
                l->fn(l->arg, peer, (const struct sockaddr *)&address);
        }
}

static void accept_again(void *arg)
{
        struct listener *l = arg;

        if (l->io)
                loop_io_set(l->io, LOOP_READ);
}

int listener_new(struct listener **ret_listener, struct doors *doors, int fd, listener_fn *fn, void *arg)
{
        struct listener *l = calloc(1, sizeof(*l));

        if (!l) {
                (void)close(fd);
                return -ENOMEM;
        }
        *l = (struct listener){.doors = doors, .fd = fd, .fn = fn, .arg = arg};
        *ret_listener = l;
        return 0;
}

int listener_start(struct listener *l)
{
        struct loop *loop = doors_loop(l->doors);

        return loop_timer_new(&l->pause, loop, NULL, accept_again, l) < 0 ||
                               loop_io_new(&l->io, loop, NULL, l->fd, LOOP_READ, accept_some, l) < 0
                       ? -ENOMEM
                       : 0;
}

void listener_stop(struct listener *l)
{
        l->io = loop_io_free(l->io);
}

struct listener *listener_free(struct listener *l)
{
        if (!l)
                return NULL;
        listener_stop(l);
        loop_timer_free(l->pause);
        closep(&l->fd);
        free(l);
        return NULL;
}

void listener_peer(char out[64], const struct sockaddr *address)
{
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;

        if ((address->sa_family != AF_INET && address->sa_family != AF_INET6) ||
            !inet_ntop(address->sa_family,
                       address->sa_family == AF_INET ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr, out,
                       64))
                (void)snprintf(out, 64, "unix");
}
