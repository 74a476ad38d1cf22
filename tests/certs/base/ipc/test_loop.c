/*
 * The loop: order, freeing inside callbacks, ids, stopping, and random sequences of timer operations against
 * a model.
 */
#include "tests/certs/base/core/check.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/core/log.h"
#include "base/ipc/loop.h"

struct probe {
        struct loop *loop;
        struct loop_timer *timer;
        struct loop_timer *other;
        struct loop_io *io;
        struct loop_signal *signal;
        int fd;
        unsigned calls;
        uint64_t when;
        char id[ID_MAX + 1];
        char *order;
        char name;
};

static int real_loop(void **state)
{
        struct loop *loop = NULL;
        int r = loop_new(&loop);

        *state = loop;
        return r;
}

static int fake_loop(void **state)
{
        struct loop *loop = NULL;
        int r = loop_new_fake(&loop);

        *state = loop;
        return r;
}

static int end_loop(void **state)
{
        *state = loop_free(*state);
        return 0;
}

static void note(void *arg)
{
        struct probe *p = arg;

        p->calls++;
        p->when = loop_now(p->loop);
        memcpy(p->id, log_get_id(), strlen(log_get_id()) + 1);
        if (p->order)
                *p->order++ = p->name;
}

static void note_and_stop(void *arg)
{
        struct probe *p = arg;

        note(arg);
        loop_stop(p->loop, 7);
}

static struct loop_timer *timer(struct loop *loop, const char *id, loop_fn *fn, void *arg)
{
        struct loop_timer *t = NULL;

        assert_int_equal(loop_timer_new(&t, loop, id, fn, arg), 0);
        assert_false(loop_timer_armed(t));
        return t;
}

static void test_real_timers_wait_and_stop(void **state)
{
        struct probe p = {.loop = *state};
        uint64_t start = loop_now(p.loop);
        struct loop_timer *t = timer(p.loop, "some-id-0123456789", note_and_stop, &p);

        loop_timer_in(t, 30);
        assert_true(loop_timer_armed(t));
        assert_int_equal(loop_run(p.loop), 7);
        assert_false(loop_timer_armed(t));
        assert_int_equal(p.calls, 1);
        assert_true(p.when >= start + 30);
        assert_string_equal(p.id, "some-id-0123456789");
        assert_string_equal(log_get_id(), "");
        (void)loop_timer_free(t);
        assert_true(loop_wall(p.loop) > 1700000000);
        assert_non_null(loop_base(p.loop));
}

static void test_real_order(void **state)
{
        struct loop *loop = *state;
        char order[8] = "";
        char *next = order;
        static const unsigned delay[] = {400, 0, 200, 0, 100}; /* apart enough for valgrind */
        struct loop_timer *t[5];
        struct probe p[5];

        for (unsigned i = 0; i < 5; i++) {
                p[i] = (struct probe){.loop = loop, .name = (char)('a' + i)};
                t[i] = timer(loop, NULL, i == 0 ? note_and_stop : note, &p[i]);
                loop_timer_in(t[i], delay[i]);
        }
        (void)next;
        assert_int_equal(loop_run(loop), 7);
        for (unsigned i = 0; i < 5; i++) {
                assert_int_equal(p[i].calls, 1);
                (void)loop_timer_free(t[i]);
        }
        assert_true(p[1].when <= p[4].when && p[4].when <= p[2].when && p[2].when <= p[0].when);
}

static void test_stop_before_run(void **state)
{
        struct loop *loop = *state;

        loop_stop(loop, -3);
        assert_int_equal(loop_run(loop), -3);
        struct probe p = {.loop = loop};
        struct loop_timer *t = timer(loop, NULL, note_and_stop, &p);
        loop_timer_in(t, 0);
        assert_int_equal(loop_run(loop), 7);
        (void)loop_timer_free(t);
}

/* Works on both kinds of loop. */
static void test_fires_at_the_next_turn_not_inside(void **state)
{
        struct probe p = {.loop = *state};
        struct loop_timer *t = timer(p.loop, NULL, note, &p);

        loop_timer_at(t, 0);
        assert_int_equal(p.calls, 0);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        loop_timer_in(t, 0);
        loop_timer_stop(t);
        loop_timer_stop(t);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        (void)loop_timer_free(t);
        assert_null(loop_timer_free(NULL));
}

static void rearm(void *arg)
{
        struct probe *p = arg;

        note(arg);
        loop_timer_at(p->timer, 0);
}

static void test_rearming_cannot_starve_a_turn(void **state)
{
        struct probe p = {.loop = *state};

        p.timer = timer(p.loop, NULL, rearm, &p);
        loop_timer_in(p.timer, 0);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 2);
        (void)loop_timer_free(p.timer);
}

static void free_all(void *arg)
{
        struct probe *p = arg;

        note(arg);
        p->timer = loop_timer_free(p->timer);
        p->other = loop_timer_free(p->other);
        p->io = loop_io_free(p->io);
        p->signal = loop_signal_free(p->signal);
}

static void free_all_io(void *arg, int fd, int events)
{
        (void)fd;
        (void)events;
        free_all(arg);
}

static void test_timer_freed_in_its_own_callback(void **state)
{
        struct probe p = {.loop = *state};

        p.timer = timer(p.loop, NULL, free_all, &p);
        p.other = timer(p.loop, NULL, free_all, &p);
        loop_timer_in(p.timer, 0);
        loop_timer_in(p.other, 0); /* due in the same turn, freed by the first: must not run */
        loop_run_once(p.loop);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        assert_null(p.timer);
}

static void test_io_freed_in_its_own_callback(void **state)
{
        struct probe p = {.loop = *state};
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        assert_int_equal(loop_io_new(&p.io, p.loop, "io-id-0123456789", fds[0], LOOP_READ, free_all_io, &p), 0);
        p.timer = timer(p.loop, NULL, free_all, &p);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        assert_null(p.io);
        assert_string_equal(p.id, "io-id-0123456789");
        assert_string_equal(log_get_id(), "");
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        (void)close(fds[0]);
        (void)close(fds[1]);
}

static void count_io(void *arg, int fd, int events)
{
        struct probe *p = arg;

        assert_int_equal(fd, p->fd);
        p->when |= (uint64_t)events;
        p->calls++;
}

static void test_io_levels_and_changes(void **state)
{
        struct probe p = {.loop = *state};
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        p.fd = fds[0];
        assert_int_equal(loop_io_new(&p.io, p.loop, NULL, p.fd, 0, count_io, &p), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 0);
        loop_io_set(p.io, LOOP_READ);
        loop_run_once(p.loop);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 2); /* level-triggered: nobody read */
        assert_int_equal(p.when, LOOP_READ);
        loop_io_set(p.io, 0);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 2);
        p.io = loop_io_free(p.io);
        p.fd = fds[1];
        p.when = 0;
        assert_int_equal(loop_io_new(&p.io, p.loop, NULL, p.fd, LOOP_WRITE, count_io, &p), 0);
        loop_run_once(p.loop);
        assert_int_equal(p.when, LOOP_WRITE);
        p.io = loop_io_free(p.io);
        (void)close(fds[0]);
        (void)close(fds[1]);
        struct loop_io *none = NULL;
        assert_int_not_equal(loop_io_new(&none, p.loop, NULL, fds[0], LOOP_READ, count_io, &p), 0);
        assert_null(none);
}

static void test_signals(void **state)
{
        struct probe p = {.loop = *state};

        assert_int_equal(loop_signal_new(&p.signal, p.loop, SIGUSR1, note, &p), 0);
        assert_int_equal(raise(SIGUSR1), 0);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 1);
        p.signal = loop_signal_free(p.signal);
        assert_int_equal(loop_signal_new(&p.signal, p.loop, SIGUSR1, free_all, &p), 0);
        assert_int_equal(raise(SIGUSR1), 0);
        loop_run_once(p.loop);
        assert_int_equal(p.calls, 2);
        assert_null(p.signal);
}

static void test_sigpipe_is_ignored(void **state)
{
        int fds[2];

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        (void)close(fds[0]);
        assert_int_equal(write(fds[1], "x", 1), -1);
        assert_int_equal(errno, EPIPE);
        (void)close(fds[1]);
}

static void nested(void *arg)
{
        struct probe *p = arg;

        note(arg);
        loop_run_once(p->loop);
        /* The inner callback ran with its own id and gave ours back. */
        assert_string_equal(log_get_id(), "outer-id-123456789");
        p->timer = loop_timer_free(p->timer);
}

static void test_nested_turns_keep_ids_and_objects(void **state)
{
        struct probe outer = {.loop = *state}, inner = {.loop = *state};

        outer.timer = timer(outer.loop, "outer-id-123456789", nested, &outer);
        inner.timer = timer(inner.loop, "inner-id-123456789", free_all, &inner);
        loop_timer_in(outer.timer, 0);
        loop_timer_in(inner.timer, 0);
        loop_run_once(outer.loop);
        loop_run_once(outer.loop);
        assert_int_equal(outer.calls, 1);
        assert_int_equal(inner.calls, 1);
        assert_string_equal(inner.id, "inner-id-123456789");
        assert_string_equal(log_get_id(), "");
}

static void test_fake_clock(void **state)
{
        struct probe p = {.loop = *state};
        struct loop_timer *t = timer(p.loop, NULL, note, &p);

        assert_int_equal(loop_now(p.loop), 1000000);
        assert_int_equal(loop_wall(p.loop), 1800000000);
        assert_null(loop_base(p.loop));
        loop_timer_in(t, 500);
        loop_fake_advance(p.loop, 499);
        assert_int_equal(p.calls, 0);
        loop_fake_advance(p.loop, 10000);
        assert_int_equal(p.calls, 1);
        assert_int_equal(p.when, 1000500);
        assert_int_equal(loop_now(p.loop), 1010499);
        assert_int_equal(loop_wall(p.loop), 1800000010);
        loop_timer_in(t, UINT64_MAX);
        loop_fake_advance(p.loop, 1000000);
        assert_int_equal(p.calls, 1);
        (void)loop_timer_free(t);
}

static void test_fake_run_jumps(void **state)
{
        struct probe p = {.loop = *state};
        struct loop_timer *t = timer(p.loop, NULL, note_and_stop, &p);

        loop_timer_in(t, 3600000);
        assert_int_equal(loop_run(p.loop), 7);
        assert_int_equal(p.when, 4600000);
        (void)loop_timer_free(t);
        assert_int_equal(loop_run(p.loop), -EDEADLK);
}

static void test_stop_ends_the_turn(void **state)
{
        struct probe first = {.loop = *state}, second = {.loop = *state};
        struct loop_timer *a = timer(first.loop, NULL, note_and_stop, &first);
        struct loop_timer *b = timer(first.loop, NULL, note, &second);

        loop_timer_in(a, 0);
        loop_timer_in(b, 0);
        assert_int_equal(loop_run(first.loop), 7);
        assert_int_equal(second.calls, 0);
        loop_run_once(first.loop);
        assert_int_equal(second.calls, 1);
        /* A stop outside loop_run does not keep single turns from running timers. */
        loop_stop(first.loop, 1);
        loop_timer_in(b, 0);
        loop_run_once(first.loop);
        assert_int_equal(second.calls, 2);
        (void)loop_timer_free(a);
        (void)loop_timer_free(b);
}

#define MODEL_TIMERS 40

struct model {
        struct loop *loop;
        struct loop_timer *timer[MODEL_TIMERS];
        uint64_t at[MODEL_TIMERS];  /* 0: not armed */
        uint64_t seq[MODEL_TIMERS]; /* order of arming */
        uint64_t next_seq;
        unsigned fired;
};

struct slot {
        struct model *m;
        unsigned i;
};

/* The timer that fires must be the one the model expects: the least (at, seq). */
static void model_fire(void *arg)
{
        const struct slot *s = arg;
        struct model *m = s->m;

        assert_int_not_equal(m->at[s->i], 0);
        assert_int_equal(loop_now(m->loop), m->at[s->i]);
        for (unsigned j = 0; j < MODEL_TIMERS; j++)
                if (j != s->i && m->at[j] != 0)
                        assert_true(m->at[s->i] < m->at[j] || (m->at[s->i] == m->at[j] && m->seq[s->i] < m->seq[j]));
        m->at[s->i] = 0;
        m->fired++;
}

static void model_step(struct model *m, struct slot *slots, uint32_t random)
{
        unsigned i = random % MODEL_TIMERS;
        uint64_t delay = random >> 8 & 63;

        switch (random >> 16 & 7) {
        case 0:
                loop_timer_stop(m->timer[i]);
                m->at[i] = 0;
                break;
        case 1:
                (void)loop_timer_free(m->timer[i]);
                m->timer[i] = timer(m->loop, NULL, model_fire, &slots[i]);
                m->at[i] = 0;
                break;
        case 2:
                loop_fake_advance(m->loop, delay);
                for (unsigned j = 0; j < MODEL_TIMERS; j++)
                        assert_true(m->at[j] == 0 || m->at[j] > loop_now(m->loop));
                break;
        default:
                loop_timer_in(m->timer[i], delay + 1);
                m->at[i] = loop_now(m->loop) + delay + 1;
                m->seq[i] = m->next_seq++;
        }
        for (unsigned j = 0; j < MODEL_TIMERS; j++)
                assert_int_equal(loop_timer_armed(m->timer[j]), m->at[j] != 0);
}

static void test_timers_against_a_model(void **state)
{
        struct model m = {.loop = *state};
        struct slot slots[MODEL_TIMERS];
        uint32_t seed = 12345;

        for (unsigned i = 0; i < MODEL_TIMERS; i++) {
                slots[i] = (struct slot){&m, i};
                m.timer[i] = timer(m.loop, NULL, model_fire, &slots[i]);
        }
        for (unsigned n = 0; n < 50000; n++) {
                seed = seed * 1664525 + 1013904223;
                model_step(&m, slots, seed >> 8);
        }
        assert_true(m.fired > 1000);
        for (unsigned i = 0; i < MODEL_TIMERS; i++)
                (void)loop_timer_free(m.timer[i]);
}

static void test_jitter(void **state)
{
        bool low = false, high = false;

        (void)state;
        for (int i = 0; i < 1000; i++) {
                uint64_t v = loop_jitter(10, 13);
                assert_in_range(v, 10, 13);
                low = low || v == 10;
                high = high || v == 13;
        }
        assert_true(low && high);
        assert_int_equal(loop_jitter(5, 5), 5);
        assert_int_equal(loop_jitter(5, 2), 5);
}

static void drop(struct bufferevent *bev, void *arg)
{
        (void)bev;
        (*(unsigned *)arg)++;
}

/* That nothing of it is left over, the sanitizers and valgrind tell. */
static void test_end_with_a_deferred_callback_due(void **state)
{
        unsigned calls = 0;
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        struct bufferevent *bev =
                bufferevent_socket_new(loop_base(*state), ends[0], BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        assert_non_null(bev);
        bufferevent_setcb(bev, drop, NULL, NULL, &calls);
        bufferevent_trigger(bev, EV_READ, 0);
        bufferevent_free(bev);
        *state = loop_free(*state);
        assert_int_equal(calls, 0);
        close(ends[1]);
}

#define on_real(fn)                                                                                                    \
        {                                                                                                              \
                "real " #fn, fn, real_loop, end_loop, NULL                                                             \
        }
#define on_fake(fn)                                                                                                    \
        {                                                                                                              \
                "fake " #fn, fn, fake_loop, end_loop, NULL                                                             \
        }

int main(void)
{
        const struct CMUnitTest tests[] = {
                on_real(test_real_timers_wait_and_stop),
                on_real(test_real_order),
                on_real(test_stop_before_run),
                on_fake(test_stop_before_run),
                on_real(test_stop_ends_the_turn),
                on_fake(test_stop_ends_the_turn),
                on_real(test_fires_at_the_next_turn_not_inside),
                on_fake(test_fires_at_the_next_turn_not_inside),
                on_real(test_rearming_cannot_starve_a_turn),
                on_fake(test_rearming_cannot_starve_a_turn),
                on_real(test_timer_freed_in_its_own_callback),
                on_fake(test_timer_freed_in_its_own_callback),
                on_real(test_io_freed_in_its_own_callback),
                on_fake(test_io_freed_in_its_own_callback),
                on_real(test_io_levels_and_changes),
                on_real(test_signals),
                on_real(test_sigpipe_is_ignored),
                on_real(test_end_with_a_deferred_callback_due),
                on_fake(test_nested_turns_keep_ids_and_objects),
                on_fake(test_fake_clock),
                on_fake(test_fake_run_jumps),
                on_fake(test_timers_against_a_model),
                cmocka_unit_test(test_jitter),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
