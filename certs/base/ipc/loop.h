/*
 * The event loop: the only place where events are made.
 *
 * One loop per process, one thread. Every callback runs with the log id (the sign-in's id) that its event was
 * made with. A loop made by loop_new_fake has a clock that only loop_fake_advance moves: timers
 * and deferred calls then run in deadline order, without waiting.
 *
 * Objects may be freed from inside callbacks, their own included: freeing marks, the loop reaps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/core/text.h" /* ID_MAX */

struct event_base;
struct loop;
struct loop_timer;
struct loop_io;
struct loop_signal;

/*
 * LOOP_HANGUP: the peer has closed its end. LOOP_EDGE: each change is told once, so the callback reads (writes) until
 * -EAGAIN or remembers that there is more; what stays unread then wakes nobody. A reset connection is told as readable.
 */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4, LOOP_EDGE = 8 };

/* 0, or -ENOMEM. *ret_loop is owned by the caller. */
int loop_new(struct loop **ret_loop);
int loop_new_fake(struct loop **ret_loop);
/* For who gives a deadline to a library that has a clock of its own: on a fake loop it would mean another time. */
bool loop_is_fake(const struct loop *loop);
struct loop *loop_free(struct loop *loop);

/* Runs until loop_stop; returns the code given to it. */
int loop_run(struct loop *loop);
/* Runs what is ready now, without blocking. */
void loop_run_once(struct loop *loop);
void loop_stop(struct loop *loop, int code);

/* Milliseconds of CLOCK_MONOTONIC (or of the fake clock, which starts at 1000000). Read at each call. */
uint64_t loop_now(const struct loop *loop);
/* Seconds since the epoch (fake: starts at 1800000000 and moves with the fake clock). */
int64_t loop_wall(const struct loop *loop);
/* Fake loops only: moves the clock, running every timer that falls due, in order. */
void loop_fake_advance(struct loop *loop, uint64_t ms);
/* Fake loops only: the wall clock is set forward (or back), as an administrator or NTP does. */
void loop_fake_move_wall(struct loop *loop, int64_t seconds);
/* For libraries that bring their own events (libcurl, bufferevent). NULL on a fake loop. */
struct event_base *loop_base(struct loop *loop);

typedef void loop_fn(void *arg);

/* A timer, not armed. id (may be NULL) is copied. 0 or -ENOMEM. */
int loop_timer_new(struct loop_timer **ret_timer, struct loop *loop, const char *id, loop_fn *fn, void *arg);
/* Arms (or re-arms) for an absolute loop_now() time; a time in the past fires at the next turn. */
void loop_timer_at(struct loop_timer *timer, uint64_t at_ms);
void loop_timer_in(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_armed(const struct loop_timer *timer);
struct loop_timer *loop_timer_free(struct loop_timer *timer);

typedef void loop_io_fn(void *arg, int fd, int events);

/* Watches fd (not owned) for events, level-triggered unless LOOP_EDGE, until changed or freed. 0 or -ENOMEM. */
int loop_io_new(struct loop_io **ret_io, struct loop *loop, const char *id, int fd, int events, loop_io_fn *fn,
                void *arg);
void loop_io_set(struct loop_io *io, int events);
/* Calls fn from the loop, with events 0, whatever the descriptor says. */
void loop_io_wake(struct loop_io *io);
struct loop_io *loop_io_free(struct loop_io *io);

int loop_signal_new(struct loop_signal **ret_signal, struct loop *loop, int signo, loop_fn *fn, void *arg);
struct loop_signal *loop_signal_free(struct loop_signal *signal);

/* Random delay in [min_ms, max_ms] for reconnects and the like (not for secrets). */
uint64_t loop_jitter(uint64_t min_ms, uint64_t max_ms);
