/*
 * The queue before the transport CA: who asks for a certificate waits for a turn, or is told when to ask again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/ipc/loop.h"

#define TURNS_WAITING_MAX 64
#define TURNS_WAIT_MS 5000

struct turns;

/* Called once, from the loop. turn: it begins now, and turns_leave ends it; false: it has waited too long, and has
 * left. */
typedef void turns_fn(void *arg, bool turn);

/* Lies in what waits; zeros: in no queue. */
struct turns_place {
        TAILQ_ENTRY(turns_place) entry;
        struct turns *queue;
        turns_fn *fn;
        void *arg;
        uint64_t since;
        bool working;
};

/* 0 or -ENOMEM. */
int turns_new(struct turns **ret_queue, struct loop *loop);
/* Nobody who waits is called any more. */
struct turns *turns_free(struct turns *q);
/* At the end of the queue. False: it is full, and nothing was taken. */
bool turns_enter(struct turns *q, struct turns_place *place, turns_fn *fn, void *arg);
/* It waits no longer, or is done. Of a place that is in no queue: nothing. */
void turns_leave(struct turns_place *place);
/* In how many seconds, 1 to 301, somebody who found no place is to ask again: a moment that nobody else was told. */
uint32_t turns_later(struct turns *q);
unsigned turns_waiting(const struct turns *q);
/* How many were told to ask again, since the start. */
uint64_t turns_put_off(const struct turns *q);
