/*
 * A world around dispatch for its tests: links whose streams can be stuck, and a model of who may have which
 * request. Every callback of dispatch is checked against the model.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/relay/dispatch.h"

#define TENANT "acme"
#define N_CONNECTORS 3
#define N_LINKS 5
#define N_REQUESTS 200
#define PARKED_MAX 20 /* that may wait for a silent link */

extern const char *const names[N_CONNECTORS];

/* ---- the world as the model sees it ---- */

struct model_request {
        char id[ID_MAX + 1];
        uint64_t began;
        uint32_t budget;
        int holder; /* connector that may act on it, -1: nobody */
        bool left;  /* its bytes left towards holder */
        bool asked[N_CONNECTORS];
        bool submitted, cancelled, last; /* last: as the event said */
        int answers;
        bool verdict, unknown;
        enum problem_type problem;
        int verdict_from; /* who posted a verdict that was confirmed, -1 */
        char reasons[128];
};

struct model_link {
        struct dispatch_link *link;
        int connector;
        bool stuck, broken, dropped;
        bool far; /* of another node: what waits there is offered, and nobody was asked by that */
        uint64_t granted, taken;
        char waiting[N_REQUESTS][ID_MAX + 1];
        size_t n_waiting;
        size_t cancels;
};

struct world {
        struct loop *loop;
        struct dispatch *d;
        struct model_request requests[N_REQUESTS];
        size_t n;
        struct model_link links[N_LINKS];
        unsigned n_barred, barred_s; /* times, and for how long the last time */
        unsigned n_changed;          /* who is ready */
        unsigned seed;
};
extern struct world w;

/* Fixture: a fake loop, a dispatch for at most 64 requests in flight. */
int setup(void **state);
int teardown(void **state);
struct model_request *model(const char *id);
struct model_link *open_link(size_t slot, int connector);
struct model_link *open_link_of(size_t slot, int connector, const char *boot);
/* A link of another node. */
struct model_link *open_far_link(size_t slot, int connector);
/* All that waits in it leaves: another node claimed it. */
void claim(struct model_link *l);
/* Nobody got it by that link; again: another link may bring it to the same connector. */
void give_back(struct model_link *l, struct model_request *r, bool again);
/* The stream ends; what waited in it must have been taken back. */
void close_link(struct model_link *l);
void report(struct model_link *l, uint64_t credit, bool ready);
/* to: "110" means the first two connectors. */
struct model_request *submit(const char *to, uint32_t budget);
/* Lets deferred answers out. */
void turn(void);
void decline(struct model_link *l, struct model_request *r, const char *why);
enum dispatch_receipt verdict(struct model_link *l, struct model_request *r);
int on_share(void *arg, size_t i, struct buffer *out);
void on_done(void *arg, const struct dispatch_outcome *o);
