/*
 * A relay that is alone hands its callers over to its next start.
 *
 * Its listening sockets stay open in the hands of systemd (sd_pid_notify_with_fds(3)), or of whoever started it with
 * them (sd_listen_fds(3)): who connects while no relay runs waits in the kernel's queue instead of being refused, and
 * is served by the next start. That one knows no connector yet; it keeps callers of a tenant until the first of its
 * links is back, or for HOLD_MS.
 *
 * Where the relay has other nodes nothing of that happens: a caller who is refused goes to one of them at once.
 * SO_REUSEPORT would not do: whoever waits in the queue of a socket that is closed is cut off.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/relay/relay.h"

#define HOLD_MS 5000
#define HELD_MAX 1024
#define LOOK_MS 50
#define SETTLED_MS 150 /* after the first link is back: others come at the same time */
#define SOCKET_NAME_MAX 80

/* A caller who waits for the tenant's links. */
struct held {
        TAILQ_ENTRY(held) entry;
        struct handover *handover;
        struct http_req *r;
        http_handler_fn *again;
        char tenant[TENANT_MAX + 1];
        uint64_t since, until;
};

struct handover {
        struct relay *relay;
        int given[RELAY_LISTEN_MAX]; /* sockets that came with the start and nobody has taken */
        size_t n_given;
        bool kept; /* somebody keeps what this relay listens on */
        uint64_t hold_until;
        TAILQ_HEAD(, held) held;
        size_t n_held;
        uint64_t waited; /* of the caller whose handler is being called again */
        struct loop_timer *look;
};

/* ---- sockets ---- */

/* How systemd knows it: by its address, so that one that is configured no more can be told from the others. */
static void name_of(int fd, char name[SOCKET_NAME_MAX])
{
        struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
        socklen_t n = sizeof(at);
        char host[64] = "", port[8] = "";

        (void)getsockname(fd, (struct sockaddr *)&at, &n);
        (void)getnameinfo((struct sockaddr *)&at, n, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
        (void)snprintf(name, SOCKET_NAME_MAX, "%s_%s", host, port);
        for (char *c = name; *c; c++)
                *c = *c == ':' ? '_' : *c;
}

static bool is_bound_to(int fd, const struct addrinfo *ai)
{
        struct sockaddr_in6 at = {.sin6_port = 0};
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&at,
                                 *want4 = (const struct sockaddr_in *)ai->ai_addr;
        const struct sockaddr_in6 *want6 = (const struct sockaddr_in6 *)ai->ai_addr;
        socklen_t n = sizeof(at);

        if (getsockname(fd, (struct sockaddr *)&at, &n) < 0 || at.sin6_family != ai->ai_family ||
            at.sin6_port != want4->sin_port) /* the port is at the same place in both families */
                return false;
        return ai->ai_family == AF_INET ? v4->sin_addr.s_addr == want4->sin_addr.s_addr
                                        : memcmp(&at.sin6_addr, &want6->sin6_addr, sizeof(at.sin6_addr)) == 0;
}

/* The socket of that address which was handed over, made ready for the server; -1: there is none. */
static int take_given(struct handover *h, const struct addrinfo *ai)
{
        const int on = 1;

        for (size_t i = 0; i < h->n_given; i++) {
                const int fd = h->given[i];

                if (!is_bound_to(fd, ai))
                        continue;
                h->given[i] = h->given[--h->n_given];
                (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
                return fd;
        }
        return -1;
}

int handover_listen(struct handover *h, const char *host, uint16_t port, uint16_t *ret_port, struct error *err)
{
        const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
        struct addrinfo *ai = NULL;
        int fd = -1;

        if (getaddrinfo(host, NULL, &hints, &ai) == 0) {
                ((struct sockaddr_in *)ai->ai_addr)->sin_port = htons(port);
                fd = take_given(h, ai);
                freeaddrinfo(ai);
        }
        if (fd < 0)
                return http_listen(h->relay->http, host, port, HTTP_TLS, ret_port, err);
        log_info("socket_taken_over", KV_S("host", host), KV_U("port", port));
        h->kept = true;
        *ret_port = port;
        return http_listen_fd(h->relay->http, fd, HTTP_TLS, err);
}

static bool is_alone(const struct handover *h)
{
        return h->relay->config->n_nodes <= 1 && h->relay->config->dispatch == RELAY_ALONE;
}

void handover_keep(struct handover *h)
{
        const char *room = getenv("FDSTORE");
        char name[SOCKET_NAME_MAX], text[SOCKET_NAME_MAX + 32];
        int fd;

        while (h->n_given) { /* of an address that is configured no more */
                name_of(h->given[--h->n_given], name);
                (void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
                close(h->given[h->n_given]);
        }
        const bool stored = is_alone(h) && room && strcmp(room, "0") != 0;
        for (unsigned i = 0; (fd = http_listening(h->relay->http, i)) >= 0; i++) {
                name_of(fd, name);
                (void)snprintf(text, sizeof(text), "%s=1\nFDNAME=%s", stored ? "FDSTORE" : "FDSTOREREMOVE", name);
                if (sd_pid_notify_with_fds(0, 0, text, &fd, stored) > 0 && stored)
                        h->kept = true;
        }
        h->kept &= is_alone(h);
        if (h->kept)
                h->hold_until = loop_now(h->relay->loop) + HOLD_MS;
}

bool handover_is_kept(const struct handover *h)
{
        return h->kept;
}

/* ---- callers ---- */

/* Some link of the tenant serves, and has done so for a moment. */
static bool is_served(const struct relay *relay, const struct tenant *t)
{
        const struct session *s;

        TAILQ_FOREACH (s, &t->sessions, entry)
                if (s->n_realms && tenant_announced(t, s->connector) && loop_now(relay->loop) - s->began >= SETTLED_MS)
                        return true;
        return false;
}

static void held_free(void *arg)
{
        struct held *held = arg;

        TAILQ_REMOVE(&held->handover->held, held, entry);
        held->handover->n_held--;
        free(held);
}

bool handover_hold(struct handover *h, struct http_req *r, const struct tenant *t, http_handler_fn *again,
                   uint64_t most_ms)
{
        const struct relay *relay = h->relay;
        const uint64_t now = loop_now(relay->loop), since = now - h->waited;
        struct held *held;

        if (now >= h->hold_until || now >= since + most_ms || relay->draining || !t->roster ||
            t->roster->n_connectors == 0 || h->n_held >= HELD_MAX || is_served(relay, t))
                return false;
        held = calloc(1, sizeof(*held));
        if (!held)
                return false;
        *held = (struct held){.handover = h,
                              .r = r,
                              .again = again,
                              .since = since,
                              .until = since + most_ms < h->hold_until ? since + most_ms : h->hold_until};
        memcpy(held->tenant, t->name, sizeof(held->tenant));
        TAILQ_INSERT_TAIL(&h->held, held, entry);
        http_on_close(r, held_free, held);
        if (h->n_held++ == 0)
                loop_timer_in(h->look, LOOK_MS);
        return true;
}

uint64_t handover_waited(const struct handover *h)
{
        return h->waited;
}

/* Those whose time has come are taken as if they came now. One that is held again is behind the others. */
static void on_look(void *arg)
{
        struct handover *h = arg;
        struct relay *relay = h->relay;
        const uint64_t now = loop_now(relay->loop);
        struct held *held, *next;
        size_t left = h->n_held;

        for (held = TAILQ_FIRST(&h->held); held && left > 0; held = next, left--) {
                http_handler_fn *again = held->again;
                struct tenant *t = NULL;

                next = TAILQ_NEXT(held, entry);
                if (now < held->until && !relay->draining && tenant_get(relay, held->tenant, &t) == 0 &&
                    !is_served(relay, t))
                        continue;
                h->waited = now - held->since;
                struct http_req *r = held->r;

                held_free(held);
                http_on_close(r, NULL, NULL);
                again(relay, r);
                h->waited = 0;
        }
        if (h->n_held)
                loop_timer_in(h->look, LOOK_MS);
}

/* ---- life ---- */

int handover_new(struct handover **ret_h, struct relay *relay, struct error *err)
{
        struct handover *h = calloc(1, sizeof(*h));

        if (!h || loop_timer_new(&h->look, relay->loop, NULL, on_look, h) < 0) {
                free(h);
                return error_fail(err, -ENOMEM, "no memory");
        }
        h->relay = relay;
        TAILQ_INIT(&h->held);
        const int n = sd_listen_fds(1);
        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
                if (h->n_given < RELAY_LISTEN_MAX && sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0)
                        h->given[h->n_given++] = fd;
                else
                        close(fd);
        }
        *ret_h = h;
        return 0;
}

struct handover *handover_free(struct handover *h)
{
        if (!h)
                return NULL;
        while (h->n_given)
                close(h->given[--h->n_given]);
        loop_timer_free(h->look);
        free(h);
        return NULL;
}
