/*
 * One end of a SOCK_SEQPACKET channel on the loop.
 *
 * Owns the descriptor, the queue of frames that the kernel has not taken yet, and the descriptors that travel
 * with them. Invariants: frames leave in the order of ipc_send; no callback runs inside ipc_send; after
 * on_closed nothing is called again; at most IPC_BURST frames are read per turn, so that one channel cannot
 * starve the loop. It does not interpret frames (msg.c) and does not reconnect.
 */
#include "base/ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/secret.h"
#include "base/ipc/frames.h"

#define IPC_BURST 64
#define REFUSED_EVERY 1000
#define IPC_FDS_SEEN 8 /* descriptors taken from one frame so that the surplus can be closed */
#define IPC_SNDBUF (16 * IPC_FRAME_MAX)

struct frame {
        TAILQ_ENTRY(frame) link;
        int fd;
        size_t len;
        uint8_t data[];
};

struct ipc {
        struct loop *loop;
        int fd;
        struct loop_io *io;
        struct loop_timer *broken_timer; /* armed once sending failed: reports it from the loop */
        ipc_frame_fn *on_frame;
        ipc_closed_fn *on_closed;
        void *arg;
        TAILQ_HEAD(, frame) queue;
        size_t n_queued;
        bool broken;                     /* sending failed; frames that came before are still read */
        bool closed;                     /* on_closed was called */
        bool freed;                      /* ipc_free was called inside a callback */
        unsigned busy;                   /* callbacks running */
        const struct frame_table *table; /* or NULL: any frame */
        unsigned self, peer;
        ipc_refused_fn *refused;
        uint64_t n_refused;
        char why[96];
        uint8_t rx[IPC_FRAME_MAX];
};

enum read_result { READ_MORE, READ_EMPTY, READ_ENDED };

static struct frame *frame_free(struct frame *f)
{
        if (f->fd >= 0)
                (void)close(f->fd);
        wipe(f->data, f->len); /* a password may be in it */
        free(f);
        return NULL;
}

static void drop_queue(struct ipc *ipc)
{
        struct frame *f;

        while ((f = TAILQ_FIRST(&ipc->queue))) {
                TAILQ_REMOVE(&ipc->queue, f, link);
                (void)frame_free(f);
        }
        ipc->n_queued = 0;
}

/* Stops all traffic and tells the owner, who may free the channel meanwhile. Runs only from the loop. */
static void report_closed(struct ipc *ipc, const char *why)
{
        if (ipc->closed || ipc->freed)
                return;
        ipc->closed = true;
        ipc->io = loop_io_free(ipc->io);
        loop_timer_stop(ipc->broken_timer);
        drop_queue(ipc);
        ipc->on_closed(ipc->arg, why);
}

static void release(struct ipc *ipc)
{
        if (ipc->freed && ipc->busy == 0)
                free(ipc);
}

/* Keeps the first descriptor that came along and closes the others. */
static int take_fd(struct msghdr *h)
{
        int first = -1;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;
                        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                        if (first < 0)
                                first = fd;
                        else
                                (void)close(fd);
                }
        }
        return first;
}

static enum read_result deliver(struct ipc *ipc, size_t n, int flags, int fd_in)
{
        _cleanup_(closep) int fd = fd_in;
        struct msg_in m;
        struct error err;

        if (n == 0 || flags & MSG_TRUNC || msg_parse(&m, ipc->rx, n) < 0) {
                report_closed(ipc, n == 0              ? "the peer closed the channel"
                                   : flags & MSG_TRUNC ? "the peer sent a frame that is too long"
                                                       : "the peer sent a malformed frame");
                return READ_ENDED;
        }
        if (!ipc->table || frame_check(ipc->table, &m, fd >= 0, ipc->peer, ipc->self, &err) == 0) {
                ipc->on_frame(ipc->arg, &m, steal_fd(&fd));
                return READ_MORE;
        }
        if (ipc->n_refused++ % REFUSED_EVERY == 0) /* a peer that floods is not logged once for each frame */
                log_warning("frame.refused", KV_S("from", ipc->table->parts[ipc->peer]), KV_U("type", m.type),
                            KV_S("why", err.text), KV_U("refused", ipc->n_refused));
        if (ipc->n_refused == 1 && ipc->refused)
                ipc->refused(ipc->arg, m.type, err.text);
        return READ_MORE;
}

static enum read_result read_one(struct ipc *ipc)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(IPC_FDS_SEEN * sizeof(int))];
        } control;
        struct iovec iov = {ipc->rx, sizeof ipc->rx};
        struct msghdr h = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
        ssize_t n = recvmsg(ipc->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n >= 0)
                return deliver(ipc, (size_t)n, h.msg_flags, take_fd(&h));
        if (errno == EAGAIN)
                return READ_EMPTY;
        if (errno == EINTR || errno == ECONNRESET) /* after a reset, frames that had arrived can still be read */
                return READ_MORE;
        (void)snprintf(ipc->why, sizeof ipc->why, "receiving failed: %s", strerror(errno));
        report_closed(ipc, ipc->why);
        return READ_ENDED;
}

static enum read_result read_burst(struct ipc *ipc)
{
        enum read_result r = READ_MORE;

        for (unsigned i = 0; i < IPC_BURST && r == READ_MORE && !ipc->freed && !ipc->closed; i++)
                r = read_one(ipc);
        return ipc->freed || ipc->closed ? READ_ENDED : r;
}

/* From here on nothing is sent; the loop reads what is left and reports. */
static int break_channel(struct ipc *ipc, int code)
{
        if (!ipc->broken) {
                ipc->broken = true;
                (void)snprintf(ipc->why, sizeof ipc->why, "sending failed: %s", strerror(-code));
                drop_queue(ipc);
                loop_io_set(ipc->io, LOOP_READ);
                loop_timer_in(ipc->broken_timer, 0);
        }
        return code;
}

static void on_channel_broken(void *arg)
{
        struct ipc *ipc = arg;

        ipc->busy++;
        enum read_result r = read_burst(ipc);
        if (r == READ_MORE)
                loop_timer_in(ipc->broken_timer, 0);
        else if (r == READ_EMPTY)
                report_closed(ipc, ipc->why);
        ipc->busy--;
        release(ipc);
}

/* 0, -EAGAIN, or what the kernel says. Without a descriptor by send(): not every process may call sendmsg()
 * (CONFINE_DATAGRAM). */
static int send_now(struct ipc *ipc, const uint8_t *data, size_t len, int fd)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = {(void *)(uintptr_t)data, len};
        struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n;

        if (fd >= 0) {
                memset(&control, 0, sizeof control);
                h.msg_control = control.bytes;
                h.msg_controllen = sizeof control.bytes;
                struct cmsghdr *c = CMSG_FIRSTHDR(&h);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof fd);
                memcpy(CMSG_DATA(c), &fd, sizeof fd);
        }
        do
                n = fd >= 0 ? sendmsg(ipc->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL)
                            : send(ipc->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

static void flush_queue(struct ipc *ipc)
{
        struct frame *f;

        while ((f = TAILQ_FIRST(&ipc->queue))) {
                int r = send_now(ipc, f->data, f->len, f->fd);
                if (r == -EAGAIN)
                        return;
                if (r < 0) {
                        (void)break_channel(ipc, r);
                        return;
                }
                TAILQ_REMOVE(&ipc->queue, f, link);
                ipc->n_queued--;
                (void)frame_free(f);
        }
        loop_io_set(ipc->io, LOOP_READ);
}

static void on_channel_ready(void *arg, int fd, int events)
{
        struct ipc *ipc = arg;

        (void)fd;
        ipc->busy++;
        if (events & LOOP_WRITE)
                flush_queue(ipc);
        if (events & LOOP_READ)
                (void)read_burst(ipc);
        ipc->busy--;
        release(ipc);
}

void ipc_read_rest(struct ipc *ipc)
{
        ipc->busy++;
        while (read_burst(ipc) == READ_MORE)
                ;
        ipc->busy--;
        release(ipc);
}

int ipc_new(struct ipc **ret_ipc, struct loop *loop, int fd, ipc_frame_fn *on_frame, ipc_closed_fn *on_closed,
            void *arg)
{
        struct ipc *ipc = calloc(1, sizeof *ipc);

        if (!ipc)
                return -ENOMEM;
        TAILQ_INIT(&ipc->queue);
        ipc->loop = loop;
        ipc->fd = -1;
        ipc->on_frame = on_frame;
        ipc->on_closed = on_closed;
        ipc->arg = arg;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
            loop_timer_new(&ipc->broken_timer, loop, NULL, on_channel_broken, ipc) < 0 ||
            loop_io_new(&ipc->io, loop, NULL, fd, LOOP_READ, on_channel_ready, ipc) < 0) {
                (void)ipc_free(ipc);
                return -ENOMEM;
        }
        ipc->fd = fd;
        *ret_ipc = ipc;
        return 0;
}

struct ipc *ipc_free(struct ipc *ipc)
{
        if (!ipc || ipc->freed)
                return NULL;
        ipc->freed = true;
        ipc->io = loop_io_free(ipc->io);
        ipc->broken_timer = loop_timer_free(ipc->broken_timer);
        drop_queue(ipc);
        if (ipc->fd >= 0)
                (void)close(ipc->fd);
        ipc->fd = -1;
        release(ipc);
        return NULL;
}

void ipc_set_rules(struct ipc *ipc, const struct frame_table *table, unsigned self, unsigned peer,
                   ipc_refused_fn *refused)
{
        ipc->table = table;
        ipc->self = self;
        ipc->peer = peer;
        ipc->refused = refused;
}

static int enqueue(struct ipc *ipc, const struct msg_out *m, int fd)
{
        if (ipc->n_queued >= IPC_QUEUE_MAX)
                return -ENOBUFS;
        struct frame *f = malloc(sizeof *f + m->len);
        if (!f)
                return -ENOMEM;
        f->len = m->len;
        f->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
        memcpy(f->data, m->data, m->len);
        if (fd >= 0 && f->fd < 0) {
                int code = -errno;
                (void)frame_free(f);
                return code;
        }
        TAILQ_INSERT_TAIL(&ipc->queue, f, link);
        ipc->n_queued++;
        loop_io_set(ipc->io, LOOP_READ | LOOP_WRITE);
        return 0;
}

int ipc_send_fd(struct ipc *ipc, const struct msg_out *m, int fd)
{
        struct error err = {"it is malformed"};
        struct msg_in in;
        if (m->overflow)
                return -EMSGSIZE;
        if (m->len == 0 || m->len > sizeof m->data)
                return -EINVAL;
        if (ipc->closed || ipc->freed || ipc->broken)
                return -EPIPE;
        if (ipc->table && (msg_parse(&in, m->data, m->len) != 0 ||
                           frame_check(ipc->table, &in, fd >= 0, ipc->self, ipc->peer, &err) != 0)) {
                /* a frame that this side may not send is a mistake of this program */
                log_error("frame.not_sent", KV_S("to", ipc->table->parts[ipc->peer]), KV_U("type", m->data[0]),
                          KV_S("why", err.text));
                return -EPROTO;
        }
        if (ipc->n_queued > 0)
                return enqueue(ipc, m, fd);
        int r = send_now(ipc, m->data, m->len, fd);
        if (r == -EAGAIN)
                return enqueue(ipc, m, fd);
        if (r == -ECONNRESET || r == -ECONNREFUSED || r == -ENOTCONN || r == -EPIPE)
                (void)break_channel(ipc, -EPIPE);
        return r < 0 && ipc->broken ? -EPIPE : r;
}

int ipc_send(struct ipc *ipc, const struct msg_out *m)
{
        return ipc_send_fd(ipc, m, -1);
}

size_t ipc_queued(const struct ipc *ipc)
{
        return ipc->n_queued;
}

int ipc_pair(int ret_fds[2])
{
        int fds[2];
        int size = IPC_SNDBUF;
        int got = 0;
        socklen_t len = sizeof got;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        for (int i = 0; i < 2; i++)
                if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0 ||
                    getsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &got, &len) < 0 || got < 4 * IPC_FRAME_MAX) {
                        int code = got > 0 ? -ENOBUFS : -errno;
                        (void)close(fds[0]);
                        (void)close(fds[1]);
                        return code;
                }
        ret_fds[0] = fds[0];
        ret_fds[1] = fds[1];
        return 0;
}
