/*
 * One request and its reply over one TCP connection to a KDC, non-blocking, on the loop.
 *
 * Invariant: a request is handed to at most one socket, and fn is called at most once. Timeouts are the
 * owner's: it frees the wire. It does not look into messages.
 */
#include "validate/krb/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/core/bytes.h"

#define READ_CHUNK 4096

struct krb_wire {
        struct loop *loop;
        struct loop_io *io;
        char id[ID_MAX + 1];
        krb_wire_fn *fn;
        void *arg;
        int fd;
        uint64_t started, connected_at; /* connected_at 0: not yet */
        struct buffer out;
        size_t sent;
        struct buffer in;
};

int krb_frame_parse(const struct buffer *in, const uint8_t **ret_reply, size_t *ret_n)
{
        const uint8_t *p = (const uint8_t *)in->data;
        uint32_t n;

        if (in->len < 4)
                return 1;
        n = bytes_be32(p);
        if (n == 0 || n > KRB_REPLY_MAX)
                return -EBADMSG;
        if (in->len - 4 < n)
                return 1;
        *ret_reply = p + 4;
        *ret_n = n;
        return 0;
}

int krb_wire_new(struct krb_wire **ret, struct loop *loop, const char *id, krb_wire_fn *fn, void *arg)
{
        struct krb_wire *wire = calloc(1, sizeof *wire);

        if (!wire)
                return -ENOMEM;
        wire->loop = loop;
        wire->fn = fn;
        wire->arg = arg;
        wire->fd = -1;
        wire->out = BUFFER_WIPED(KRB_REPLY_MAX);
        wire->in = BUFFER_WIPED(KRB_REPLY_MAX + 4 + READ_CHUNK);
        snprintf(wire->id, sizeof wire->id, "%s", id ? id : "");
        *ret = wire;
        return 0;
}

struct krb_wire *krb_wire_free(struct krb_wire *wire)
{
        if (!wire)
                return NULL;
        wire->io = loop_io_free(wire->io);
        if (wire->fd >= 0)
                close(wire->fd);
        buffer_free(&wire->out);
        buffer_free(&wire->in);
        free(wire);
        return NULL;
}

bool krb_wire_connected(const struct krb_wire *wire)
{
        return wire->connected_at != 0;
}

bool krb_wire_left(const struct krb_wire *wire)
{
        return wire->sent > 0;
}

uint32_t krb_wire_connect_ms(const struct krb_wire *wire)
{
        return (uint32_t)((wire->connected_at ? wire->connected_at : loop_now(wire->loop)) - wire->started);
}

/* Tells the owner, who frees the wire: nothing of it may be touched afterwards. */
static void finish(struct krb_wire *wire, int error, const uint8_t *reply, size_t n)
{
        wire->io = loop_io_free(wire->io);
        wire->fn(wire->arg, error, reply, n);
}

/* Reads what is there and ends with a whole reply or a failure. */
static void on_readable(struct krb_wire *wire)
{
        const uint8_t *reply;
        uint8_t chunk[READ_CHUNK];
        size_t n;
        ssize_t got;
        int r;

        got = recv(wire->fd, chunk, sizeof chunk, 0);
        if (got < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        finish(wire, -errno, NULL, 0);
                return;
        }
        if (got == 0) {
                finish(wire, wire->in.len > 0 ? -EBADMSG : -ECONNRESET, NULL, 0);
                return;
        }
        r = buffer_append(&wire->in, chunk, (size_t)got);
        if (r == 0)
                r = krb_frame_parse(&wire->in, &reply, &n);
        if (r == 0)
                finish(wire, 0, reply, n);
        else if (r < 0)
                finish(wire, r, NULL, 0);
}

/* Hands the rest of the request to the socket, then waits for the reply. */
static void on_writable(struct krb_wire *wire)
{
        ssize_t put = send(wire->fd, wire->out.data + wire->sent, wire->out.len - wire->sent, MSG_NOSIGNAL);

        if (put < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        finish(wire, -errno, NULL, 0);
                return;
        }
        wire->sent += (size_t)put;
        if (wire->sent == wire->out.len)
                loop_io_set(wire->io, LOOP_READ);
}

static void on_kdc_socket(void *arg, int fd, int events)
{
        struct krb_wire *wire = arg;

        (void)events;
        if (!wire->connected_at) {
                int error = 0;
                socklen_t len = sizeof error;

                if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
                        error = errno;
                if (error) {
                        finish(wire, -error, NULL, 0);
                        return;
                }
                wire->connected_at = loop_now(wire->loop);
        }
        if (wire->sent < wire->out.len)
                on_writable(wire);
        else
                on_readable(wire);
}

int krb_wire_send(struct krb_wire *wire, const struct sockaddr_storage *address, socklen_t len, const void *request,
                  size_t n)
{
        static const int on = 1;
        const uint8_t prefix[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        int r = buffer_append(&wire->out, prefix, sizeof prefix);

        if (r == 0)
                r = buffer_append(&wire->out, request, n);
        if (r < 0)
                return r;
        wire->started = loop_now(wire->loop);
        wire->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (wire->fd < 0)
                return -errno;
        (void)setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(wire->fd, (const struct sockaddr *)address, len) < 0 && errno != EINPROGRESS)
                return -errno;
        return loop_io_new(&wire->io, wire->loop, wire->id[0] ? wire->id : NULL, wire->fd, LOOP_WRITE, on_kdc_socket,
                           wire);
}
