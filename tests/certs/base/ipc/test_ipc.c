/*
 * Channels over real socket pairs: order under pressure, bounds, descriptors, and every way a peer can
 * misbehave.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/core/cleanup.h"
#include "base/ipc/ipc.h"

struct end {
        struct ipc *ipc;
        unsigned frames;
        uint64_t expect; /* next number, when frames are numbered */
        int fd;
        unsigned fds;
        unsigned closed;
        char why[128];
        unsigned free_after; /* frees the channel inside the callback of this frame */
        bool keep;           /* does not free in on_closed */
};

struct world {
        struct loop *loop;
        struct end a;
        int raw; /* the other end, without an ipc */
};

static struct msg_out out;

static void on_frame(void *arg, const struct msg_in *m, int fd)
{
        struct end *e = arg;

        assert_int_equal(e->closed, 0);
        e->frames++;
        if (m->type == 2)
                assert_int_equal(msg_get_u64(m, 1, UINT64_MAX), e->expect++);
        if (fd >= 0) {
                e->fds++;
                closep(&e->fd);
                e->fd = fd;
        }
        if (e->frames == e->free_after) {
                e->ipc = ipc_free(e->ipc);
                /* The frame stays readable until the callback returns. */
                assert_int_equal(m->type, 2);
                assert_true(msg_has(m, 1));
        }
}

static void on_closed(void *arg, const char *why)
{
        struct end *e = arg;

        e->closed++;
        (void)snprintf(e->why, sizeof e->why, "%s", why);
        if (!e->keep)
                e->ipc = ipc_free(e->ipc);
}

static void open_end(struct loop *loop, struct end *e, int fd)
{
        *e = (struct end){.fd = -1};
        assert_int_equal(ipc_new(&e->ipc, loop, fd, on_frame, on_closed, e), 0);
}

static int setup(void **state)
{
        static struct world w;
        int fds[2];

        if (loop_new(&w.loop) < 0 || ipc_pair(fds) < 0)
                return -1;
        open_end(w.loop, &w.a, fds[0]);
        w.raw = fds[1];
        *state = &w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;

        w->a.ipc = ipc_free(w->a.ipc);
        closep(&w->a.fd);
        closep(&w->raw);
        w->loop = loop_free(w->loop);
        return 0;
}

static void turns(struct loop *loop, unsigned n)
{
        while (n-- > 0)
                loop_run_once(loop);
}

static void number(uint64_t n, size_t size)
{
        static const uint8_t padding[IPC_FRAME_MAX];

        msg_begin(&out, 2);
        msg_u64(&out, 1, n);
        if (size > 15)
                msg_bytes(&out, 2, padding, size - 15);
}

static unsigned count_fds(void)
{
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void test_pair(void **state)
{
        int fds[2], type = 0;
        socklen_t len = sizeof type;

        (void)state;
        assert_int_equal(ipc_pair(fds), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
                assert_int_equal(getsockopt(fds[i], SOL_SOCKET, SO_TYPE, &type, &len), 0);
                assert_int_equal(type, SOCK_SEQPACKET);
                static const char full[IPC_FRAME_MAX];
                assert_int_equal(send(fds[i], full, sizeof full, MSG_DONTWAIT), sizeof full);
        }
        closep(&fds[0]);
        closep(&fds[1]);
}

static void test_both_ways(void **state)
{
        struct world *w = *state;
        struct end b;

        open_end(w->loop, &b, w->raw);
        w->raw = -1;
        for (uint64_t i = 0; i < 100; i++) {
                number(i, i * 100);
                assert_int_equal(ipc_send(w->a.ipc, &out), 0);
                assert_int_equal(ipc_send(b.ipc, &out), 0);
                turns(w->loop, 2);
        }
        assert_int_equal(w->a.expect, 100);
        assert_int_equal(b.expect, 100);
        assert_int_equal(b.closed, 0);
        b.ipc = ipc_free(b.ipc);
        turns(w->loop, 2);
        assert_int_equal(w->a.closed, 1);
        assert_string_equal(w->a.why, "the peer closed the channel");
}

/* More than the kernel holds, up to the bound; then everything arrives, in order, with its descriptors. */
static void test_queue_is_bounded_and_ordered(void **state)
{
        struct world *w = *state;
        struct end b;
        uint64_t n = 0;
        int r;

        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        for (;; n++) {
                number(n, n % 64 == 0 ? 16000 : 20);
                r = n % 512 == 100 ? ipc_send_fd(w->a.ipc, &out, null) : ipc_send(w->a.ipc, &out);
                if (r < 0)
                        break;
        }
        assert_int_equal(r, -ENOBUFS);
        assert_int_equal(ipc_queued(w->a.ipc), IPC_QUEUE_MAX);
        assert_true(n > IPC_QUEUE_MAX);
        (void)close(null);
        open_end(w->loop, &b, w->raw);
        w->raw = -1;
        for (unsigned i = 0; i < 100000 && b.expect < n; i++)
                loop_run_once(w->loop);
        assert_int_equal(b.expect, n);
        assert_int_equal(b.fds, (n + 411) / 512);
        assert_int_equal(ipc_queued(w->a.ipc), 0);
        number(n, 20);
        assert_int_equal(ipc_send(w->a.ipc, &out), 0);
        turns(w->loop, 2);
        assert_int_equal(b.expect, n + 1);
        b.ipc = ipc_free(b.ipc);
        closep(&b.fd);
}

/* The kernel has room again, but frames wait: the next one must not overtake them. */
static void test_no_frame_overtakes_the_queue(void **state)
{
        static uint8_t frame[IPC_FRAME_MAX];
        struct world *w = *state;
        struct msg_in m;
        uint64_t sent = 0, got = 0;

        for (; ipc_queued(w->a.ipc) < 3; sent++) {
                number(sent, 16000);
                assert_int_equal(ipc_send(w->a.ipc, &out), 0);
        }
        for (; got < 5; got++)
                assert_int_equal(recv(w->raw, frame, sizeof frame, MSG_DONTWAIT), 16000);
        number(sent++, 20);
        assert_int_equal(ipc_send(w->a.ipc, &out), 0);
        for (unsigned i = 0; i < 100 && got < sent; i++) {
                ssize_t n;
                loop_run_once(w->loop);
                while ((n = recv(w->raw, frame, sizeof frame, MSG_DONTWAIT)) > 0) {
                        assert_int_equal(msg_parse(&m, frame, (size_t)n), 0);
                        assert_int_equal(msg_get_u64(&m, 1, UINT64_MAX), got++);
                }
        }
        assert_int_equal(got, sent);
}

static void test_a_burst_is_bounded(void **state)
{
        struct world *w = *state;
        unsigned sent = 0;

        for (; sent < 400; sent++) {
                number(sent, 20);
                if (send(w->raw, out.data, out.len, MSG_DONTWAIT) < 0)
                        break;
        }
        assert_true(sent > 100);
        loop_run_once(w->loop);
        assert_in_range(w->a.frames, 1, 64);
        turns(w->loop, 20);
        assert_int_equal(w->a.frames, sent);
}

static void send_fds(int sock, const int *fds, size_t n)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(32 * sizeof(int))];
        } control;
        uint8_t type = 1;
        struct iovec iov = {&type, 1};
        struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};

        memset(&control, 0, sizeof control);
        h.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
        assert_int_equal(sendmsg(sock, &h, 0), 1);
}

static void test_descriptor_arrives(void **state)
{
        struct world *w = *state;
        struct end b;
        int fds[2];

        open_end(w->loop, &b, w->raw);
        w->raw = -1;
        assert_int_equal(pipe2(fds, 0), 0);
        msg_begin(&out, 1);
        assert_int_equal(ipc_send_fd(w->a.ipc, &out, fds[1]), 0);
        closep(&fds[1]);
        turns(w->loop, 2);
        assert_int_equal(b.fds, 1);
        assert_int_equal(fcntl(b.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(write(b.fd, "x", 1), 1);
        char c = 0;
        assert_int_equal(read(fds[0], &c, 1), 1);
        assert_int_equal(c, 'x');
        closep(&fds[0]);
        b.ipc = ipc_free(b.ipc);
        closep(&b.fd);
}

static void test_surplus_descriptors_are_closed(void **state)
{
        struct world *w = *state;
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        int many[32];

        for (size_t i = 0; i < 32; i++)
                many[i] = null;
        unsigned before = count_fds();
        send_fds(w->raw, many, 3);
        send_fds(w->raw, many, 32);
        turns(w->loop, 2);
        assert_int_equal(w->a.frames, 2);
        assert_int_equal(w->a.fds, 2);
        closep(&w->a.fd);
        w->a.fd = -1;
        assert_int_equal(count_fds(), before);
        (void)close(null);
}

static void test_descriptor_of_a_bad_frame_is_closed(void **state)
{
        struct world *w = *state;
        unsigned before = count_fds();
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {.bytes = {0}};
        struct iovec iov = {(char[]){1, 2}, 2};
        struct msghdr h = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof null)};
        memcpy(CMSG_DATA(c), &null, sizeof null);
        assert_int_equal(sendmsg(w->raw, &h, 0), 2);
        (void)close(null);
        turns(w->loop, 2);
        assert_string_equal(w->a.why, "the peer sent a malformed frame");
        assert_int_equal(w->a.frames, 0);
        assert_int_equal(count_fds(), before - 1); /* the channel itself */
}

static void expect_end(struct world *w, const void *bytes, size_t n, const char *why)
{
        number(0, 20);
        assert_int_equal(send(w->raw, out.data, out.len, 0), out.len);
        assert_int_equal(send(w->raw, bytes, n, 0), n);
        number(1, 20);
        (void)send(w->raw, out.data, out.len, 0);
        turns(w->loop, 3);
        assert_int_equal(w->a.frames, 1);
        assert_int_equal(w->a.closed, 1);
        assert_string_equal(w->a.why, why);
}

static void test_too_long_a_frame_ends_it(void **state)
{
        static char big[IPC_FRAME_MAX + 1];

        memset(big, 0, sizeof big);
        expect_end(*state, big, sizeof big, "the peer sent a frame that is too long");
}

static void test_a_malformed_frame_ends_it(void **state)
{
        expect_end(*state, "\x01\x01\xff\xff", 4, "the peer sent a malformed frame");
}

static void test_an_empty_frame_ends_it(void **state)
{
        expect_end(*state, "", 0, "the peer closed the channel");
}

static void test_closed_is_told_once_even_when_kept(void **state)
{
        struct world *w = *state;

        w->a.keep = true;
        closep(&w->raw);
        w->raw = -1;
        turns(w->loop, 5);
        assert_int_equal(w->a.closed, 1);
        number(0, 20);
        assert_int_equal(ipc_send(w->a.ipc, &out), -EPIPE);
        turns(w->loop, 2);
        assert_int_equal(w->a.closed, 1);
}

/* The peer sends its last frames and goes, leaving a frame of ours unread: the kernel calls that a reset. */
static void leave_last_words(struct world *w)
{
        number(0, 20);
        assert_int_equal(ipc_send(w->a.ipc, &out), 0);
        for (unsigned i = 0; i < 100; i++) {
                number(i, 20);
                assert_int_equal(send(w->raw, out.data, out.len, 0), out.len);
        }
        closep(&w->raw);
        w->raw = -1;
}

static void test_last_words_are_read(void **state)
{
        struct world *w = *state;

        leave_last_words(w);
        turns(w->loop, 6);
        assert_int_equal(w->a.frames, 100);
        assert_int_equal(w->a.closed, 1);
        assert_string_equal(w->a.why, "the peer closed the channel");
}

static void test_last_words_are_read_after_a_failed_send(void **state)
{
        struct world *w = *state;

        leave_last_words(w);
        number(0, 20);
        assert_int_equal(ipc_send(w->a.ipc, &out), -EPIPE);
        assert_int_equal(ipc_send(w->a.ipc, &out), -EPIPE);
        assert_int_equal(w->a.frames, 0); /* nothing runs inside ipc_send */
        assert_int_equal(w->a.closed, 0);
        turns(w->loop, 6);
        assert_int_equal(w->a.frames, 100);
        assert_int_equal(w->a.closed, 1);
}

/* The peer refuses to read but stays: sending fails, and the loop reports it. */
static void test_half_closed_peer(void **state)
{
        struct world *w = *state;

        assert_int_equal(shutdown(w->raw, SHUT_RD), 0);
        number(0, 20);
        assert_int_equal(ipc_send(w->a.ipc, &out), -EPIPE);
        assert_int_equal(w->a.closed, 0);
        turns(w->loop, 4);
        assert_int_equal(w->a.closed, 1);
        assert_string_equal(w->a.why, "sending failed: Broken pipe");
}

static void test_queue_is_dropped_when_the_peer_goes(void **state)
{
        struct world *w = *state;
        uint64_t n = 0;

        while (ipc_queued(w->a.ipc) < 10) {
                number(n++, 16000);
                assert_int_equal(ipc_send(w->a.ipc, &out), 0);
        }
        closep(&w->raw);
        w->raw = -1;
        turns(w->loop, 4);
        assert_int_equal(w->a.closed, 1);
        assert_null(w->a.ipc);
}

static void test_freed_in_on_frame(void **state)
{
        struct world *w = *state;

        w->a.free_after = 2;
        for (unsigned i = 0; i < 5; i++) {
                number(i, 20);
                assert_int_equal(send(w->raw, out.data, out.len, 0), out.len);
        }
        turns(w->loop, 3);
        assert_int_equal(w->a.frames, 2);
        assert_int_equal(w->a.closed, 0);
        assert_null(w->a.ipc);
        assert_int_equal(send(w->raw, out.data, out.len, MSG_NOSIGNAL), -1);
}

static void test_bad_sends(void **state)
{
        static const uint8_t bytes[IPC_FRAME_MAX];
        struct world *w = *state;

        msg_begin(&out, 1);
        msg_bytes(&out, 1, bytes, sizeof bytes);
        assert_int_equal(ipc_send(w->a.ipc, &out), -EMSGSIZE);
        msg_begin(&out, 1);
        out.len = 0;
        assert_int_equal(ipc_send(w->a.ipc, &out), -EINVAL);
        msg_begin(&out, 1);
        assert_int_equal(ipc_send_fd(w->a.ipc, &out, 9999), -EBADF);
        assert_int_equal(ipc_send(w->a.ipc, &out), 0);
        assert_null(ipc_free(NULL));
}

static void test_new_refuses_a_bad_descriptor(void **state)
{
        struct world *w = *state;
        struct ipc *ipc = NULL;

        assert_int_not_equal(ipc_new(&ipc, w->loop, 9999, on_frame, on_closed, NULL), 0);
        assert_null(ipc);
}

#define t(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pair),
                t(test_both_ways),
                t(test_queue_is_bounded_and_ordered),
                t(test_no_frame_overtakes_the_queue),
                t(test_a_burst_is_bounded),
                t(test_descriptor_arrives),
                t(test_surplus_descriptors_are_closed),
                t(test_descriptor_of_a_bad_frame_is_closed),
                t(test_too_long_a_frame_ends_it),
                t(test_a_malformed_frame_ends_it),
                t(test_an_empty_frame_ends_it),
                t(test_closed_is_told_once_even_when_kept),
                t(test_last_words_are_read),
                t(test_last_words_are_read_after_a_failed_send),
                t(test_half_closed_peer),
                t(test_queue_is_dropped_when_the_peer_goes),
                t(test_freed_in_on_frame),
                t(test_bad_sends),
                t(test_new_refuses_a_bad_descriptor),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
