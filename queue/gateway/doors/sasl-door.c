/*
 * The door for what asks saslauthd: OpenLDAP's {SASL}, Cyrus, Postfix and others by libsasl2.
 *
 * One question to a connection. The protocol knows OK and NO and nothing else: whoever can't be told either, because
 * nobody decided, is closed on unanswered, which clients take for a fault of the server and not of the password.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "queue/gateway/doors/doors-internal.h"
#include "queue/gateway/doors/listener.h"
#include "queue/gateway/doors/sasl.h"

#define QUESTION_MS 10000 /* until the whole question is there */

struct caller {
        TAILQ_ENTRY(caller) link;
        struct doors *doors;
        int fd;
        struct loop_io *io;
        struct loop_timer *timer;
        struct asking *asking; /* NULL: the question is still coming */
        size_t n;
        uint8_t bytes[SASL_QUESTION_MAX];
};

static struct {
        struct listener *listening[GATEWAY_LISTEN_MAX];
        size_t n_listening, n_callers;
        TAILQ_HEAD(, caller) callers;
} door = {.callers = TAILQ_HEAD_INITIALIZER(door.callers)};

static void caller_free(struct caller *c)
{
        TAILQ_REMOVE(&door.callers, c, link);
        door.n_callers--;
        c->asking = doors_forget(c->asking);
        loop_io_free(c->io);
        loop_timer_free(c->timer);
        closep(&c->fd);
        wipe(c->bytes, sizeof(c->bytes));
        free(c);
}

/* Two letters go into an empty socket's buffer at once, or the caller is gone. */
static void answer(void *arg, const struct door_answer *a)
{
        struct caller *c = arg;
        const char *word = strcmp(a->verdict, "accepted") == 0  ? "\0\2OK"
                           : strcmp(a->verdict, "refused") == 0 ? "\0\2NO"
                                                                : NULL;

        c->asking = NULL;
        if (word && send(c->fd, word, 4, MSG_NOSIGNAL | MSG_DONTWAIT) != 4)
                log_debug("saslauthd.not_taken", KV_S("id", a->id));
        caller_free(c);
}

/* The whole question is there. -errno: nobody can be asked. */
static int ask(struct caller *c, const struct sasl_question *q)
{
        char user[GATEWAY_USER_MAX + 1], app[128];
        const int n = sasl_user(q, user, GATEWAY_USER_MAX);
        struct door_question question = {.app = app,
                                         .user = user,
                                         .user_len = n < 0 ? 0 : (size_t)n,
                                         .password = q->password.bytes,
                                         .password_len = q->password.n};

        if (n < 0)
                return n;
        (void)snprintf(app, sizeof(app), "saslauthd/%.*s", (int)(q->service.n < 64 ? q->service.n : 64),
                       q->service.bytes);
        int r = doors_ask(c->doors, &question, answer, c, &c->asking);
        wipe(c->bytes, sizeof(c->bytes));
        return r;
}

static void read_caller(void *arg, int fd, int events)
{
        struct caller *c = arg;
        struct sasl_question q;

        (void)events;
        const ssize_t n = recv(fd, c->bytes + c->n, sizeof(c->bytes) - c->n, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 || c->asking) { /* it has gone, or says more than it may */
                caller_free(c);
                return;
        }
        c->n += (size_t)n;
        const int r = sasl_question_read(&q, c->bytes, c->n);
        if (r == 1 && c->n < sizeof(c->bytes))
                return;
        loop_timer_stop(c->timer);
        if (r != 0 || ask(c, &q) < 0)
                caller_free(c);
        else
                c->n = 0;
}

static void give_up(void *arg)
{
        caller_free(arg);
}

static void accept_caller(void *arg, int accepted, const struct sockaddr *address)
{
        struct doors *d = arg;
        struct caller *c;
        _cleanup_(closep) int fd = accepted;

        (void)address;
        if (door.n_callers >= doors_config(d)->connections)
                return;
        c = calloc(1, sizeof(*c));
        if (!c)
                return;
        c->doors = d;
        c->fd = steal_fd(&fd);
        TAILQ_INSERT_TAIL(&door.callers, c, link);
        door.n_callers++;
        if (loop_timer_new(&c->timer, doors_loop(d), NULL, give_up, c) < 0 ||
            loop_io_new(&c->io, doors_loop(d), NULL, c->fd, LOOP_READ, read_caller, c) < 0) {
                caller_free(c);
                return;
        }
        loop_timer_in(c->timer, QUESTION_MS);
}

/* ---- the door ---- */

static int take(struct doors *d, const char *file, int fd, struct error *err)
{
        const struct gateway_config *c = doors_config(d);
        const int i = gateway_listen_of(c, file, LISTEN_SASLAUTHD);

        if (i < 0)
                return 0;
        const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (own < 0 || listener_new(&door.listening[door.n_listening], d, own, accept_caller, d) < 0)
                return error_fail(err, own < 0 ? -errno : -ENOMEM, "listen: %s", strerror(own < 0 ? errno : ENOMEM));
        door.n_listening++;
        return 1;
}

static int start(struct doors *d, struct error *err)
{
        (void)d;
        for (size_t i = 0; i < door.n_listening; i++)
                if (listener_start(door.listening[i]) < 0)
                        return error_fail(err, -ENOMEM, "out of memory");
        return 0;
}

static void drain(struct doors *d)
{
        (void)d;
        for (size_t i = 0; i < door.n_listening; i++)
                listener_stop(door.listening[i]);
}

static size_t under_way(const struct doors *d)
{
        (void)d;
        return door.n_callers;
}

static void stop(struct doors *d)
{
        (void)d;
        for (size_t i = 0; i < door.n_listening; i++)
                door.listening[i] = listener_free(door.listening[i]);
        door.n_listening = 0;
        while (!TAILQ_EMPTY(&door.callers))
                caller_free(TAILQ_FIRST(&door.callers));
}

const struct door sasl_door = {
        .name = "saslauthd", .take = take, .start = start, .drain = drain, .under_way = under_way, .stop = stop};
