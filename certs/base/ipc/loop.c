/*
 * The event loop over libevent: descriptors, signals, running and stopping, and the fake clock. Timers:
 * loop-timer.c.
 *
 * Invariants: every callback runs between loop_enter and loop_leave, so it carries its log id and its objects
 * outlive it; what is freed meanwhile is disarmed at once and reaped when the outermost callback has
 * returned. A fake loop differs only in its clock: descriptors and signals work there too, in loop_run_once.
 */
#include "base/ipc/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/core/log.h"
#include "base/ipc/loop-internal.h"

#define FAKE_START_MS 1000000
#define FAKE_START_WALL 1800000000

struct loop_io {
        struct loop_node node;
        loop_io_fn *fn;
        int fd;
        int events;
        struct event *event;
};

struct loop_signal {
        struct loop_node node;
        loop_fn *fn;
        struct event *event;
};

void loop_node_init(struct loop_node *node, struct loop *loop, const char *id, void *arg)
{
        node->loop = loop;
        node->arg = arg;
        if (id)
                memcpy(node->id, id, strnlen(id, ID_MAX));
}

void loop_node_free(struct loop_node *node)
{
        if (node->loop->depth == 0) {
                free(node);
                return;
        }
        node->dead = true;
        TAILQ_INSERT_TAIL(&node->loop->dead, node, link);
}

static void reap(struct loop *loop)
{
        struct loop_node *node;

        while ((node = TAILQ_FIRST(&loop->dead))) {
                TAILQ_REMOVE(&loop->dead, node, link);
                free(node);
        }
}

void loop_enter(struct loop_node *node, char *saved_id)
{
        memcpy(saved_id, log_get_id(), strlen(log_get_id()) + 1);
        log_set_id(node->id);
        node->loop->depth++;
}

void loop_leave(struct loop *loop, const char *saved_id)
{
        log_set_id(saved_id);
        if (--loop->depth == 0)
                reap(loop);
}

int loop_new(struct loop **ret_loop)
{
        struct loop *loop = calloc(1, sizeof *loop);
        struct event_config *config = event_config_new();

        if (!loop || !config) {
                if (config)
                        event_config_free(config);
                free(loop);
                return -ENOMEM;
        }
        TAILQ_INIT(&loop->dead);
        loop->fake_now = FAKE_START_MS;
        /* the environment cannot change how libevent behaves (EVENT_NOEPOLL and the like) */
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
        if (!loop->base || loop_timers_init(loop) < 0) {
                (void)loop_free(loop);
                return -ENOMEM;
        }
        (void)signal(SIGPIPE, SIG_IGN);
        *ret_loop = loop;
        return 0;
}

int loop_new_fake(struct loop **ret_loop)
{
        const int r = loop_new(ret_loop);

        if (r == 0)
                (*ret_loop)->fake = true;
        return r;
}

struct loop *loop_free(struct loop *loop)
{
        if (!loop)
                return NULL;
        reap(loop);
        loop_timers_free(loop);
        if (loop->base) {
                /* A bufferevent that was freed while a deferred callback of its own was due goes when that has run;
                 * event_base_free drops the callback, and the bufferevent would be there for good. */
                (void)event_base_loop(loop->base, EVLOOP_NONBLOCK);
                event_base_free(loop->base);
        }
        free(loop);
        return NULL;
}

int loop_run(struct loop *loop)
{
        uint64_t at;

        while (!loop->stopped) {
                if (!loop->fake) {
                        if (event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
                                return -EIO;
                        continue;
                }
                loop_run_once(loop);
                /* when nothing is ready, the fake clock jumps to the next timer; without one nothing can ever happen */
                if (!loop->stopped && loop_timers_next(loop, &at))
                        loop->fake_now = at > loop->fake_now ? at : loop->fake_now;
                else if (!loop->stopped && event_base_loop(loop->base, EVLOOP_ONCE) != 0)
                        return -EDEADLK;
        }
        loop->stopped = false;
        return loop->code;
}

void loop_run_once(struct loop *loop)
{
        (void)event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        if (loop->fake)
                loop_timers_run(loop);
}

void loop_stop(struct loop *loop, int code)
{
        loop->stopped = true;
        loop->code = code;
        (void)event_base_loopbreak(loop->base);
}

uint64_t loop_now(const struct loop *loop)
{
        struct timespec ts;

        if (loop->fake)
                return loop->fake_now;
        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int64_t loop_wall(const struct loop *loop)
{
        if (loop->fake)
                return FAKE_START_WALL + loop->fake_wall_moved + (int64_t)((loop->fake_now - FAKE_START_MS) / 1000);
        return (int64_t)time(NULL);
}

bool loop_is_fake(const struct loop *loop)
{
        return loop->fake;
}

void loop_fake_move_wall(struct loop *loop, int64_t seconds)
{
        loop->fake_wall_moved += seconds;
}

struct event_base *loop_base(struct loop *loop)
{
        return loop->fake ? NULL : loop->base;
}

static short to_libevent(int events)
{
        return (short)((events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0) |
                       (events & LOOP_HANGUP ? EV_CLOSED : 0) | (events & LOOP_EDGE ? EV_ET : 0) | EV_PERSIST);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
        struct loop_io *io = arg;
        struct loop *loop = io->node.loop;
        char saved_id[ID_MAX + 1];

        loop_enter(&io->node, saved_id);
        io->fn(io->node.arg, fd,
               (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0) |
                       (what & EV_CLOSED ? LOOP_HANGUP : 0));
        loop_leave(loop, saved_id);
}

int loop_io_new(struct loop_io **ret_io, struct loop *loop, const char *id, int fd, int events, loop_io_fn *fn,
                void *arg)
{
        struct loop_io *io = calloc(1, sizeof *io);

        if (!io)
                return -ENOMEM;
        loop_node_init(&io->node, loop, id, arg);
        io->fn = fn;
        io->fd = fd;
        io->events = events;
        io->event = event_new(loop->base, fd, to_libevent(events), on_io, io);
        if (!io->event || (events && event_add(io->event, NULL) < 0)) {
                (void)loop_io_free(io);
                return -ENOMEM;
        }
        *ret_io = io;
        return 0;
}

void loop_io_set(struct loop_io *io, int events)
{
        if (io->node.dead || io->events == events)
                return;
        io->events = events;
        (void)event_del(io->event);
        (void)event_assign(io->event, io->node.loop->base, io->fd, to_libevent(events), on_io, io);
        if (events && event_add(io->event, NULL) < 0)
                abort(); /* it was watched before: only a lack of memory or a closed descriptor leads here */
}

void loop_io_wake(struct loop_io *io)
{
        if (io->event)
                event_active(io->event, 0, 0);
}

struct loop_io *loop_io_free(struct loop_io *io)
{
        if (!io)
                return NULL;
        if (io->event)
                event_free(io->event);
        io->event = NULL;
        loop_node_free(&io->node);
        return NULL;
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
        struct loop_signal *s = arg;
        struct loop *loop = s->node.loop;
        char saved_id[ID_MAX + 1];

        (void)signo;
        (void)what;
        loop_enter(&s->node, saved_id);
        s->fn(s->node.arg);
        loop_leave(loop, saved_id);
}

int loop_signal_new(struct loop_signal **ret_signal, struct loop *loop, int signo, loop_fn *fn, void *arg)
{
        struct loop_signal *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        loop_node_init(&s->node, loop, NULL, arg);
        s->fn = fn;
        s->event = evsignal_new(loop->base, signo, on_signal, s);
        if (!s->event || event_add(s->event, NULL) < 0) {
                (void)loop_signal_free(s);
                return -ENOMEM;
        }
        *ret_signal = s;
        return 0;
}

struct loop_signal *loop_signal_free(struct loop_signal *signal)
{
        if (!signal)
                return NULL;
        if (signal->event)
                event_free(signal->event);
        signal->event = NULL;
        loop_node_free(&signal->node);
        return NULL;
}

uint64_t loop_jitter(uint64_t min_ms, uint64_t max_ms)
{
        uint64_t random = 0;

        if (max_ms <= min_ms || getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
                return min_ms;
        uint64_t span = max_ms - min_ms;
        return span == UINT64_MAX ? random : min_ms + random % (span + 1);
}
