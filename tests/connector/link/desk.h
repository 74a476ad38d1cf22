/*
 * The link process between a relay and a validator, both played by the test: the channels at which the test sits.
 */
#pragma once

#include "tests/queue/link/link_rig.h"

#include "connector/frames/frames.h"
#include "connector/link/bridge.h"

struct desk {
        struct test *t; /* the relay's side, and the loop */
        struct bridge b;
        struct ipc *validator, *ledger, *supervisor; /* our ends */
        bool closed, drained;
        /* what the validator and the ledger got, in order */
        char frames[LOG_MAX];
        char sealed[SEALED_TEXT_LEN + 1], trace[64], status[16384];
        char unanswered[LOG_MAX]; /* "01:why " of what the ledger was told */
        uint64_t budget, received, roster_total;
        int64_t relay_wall;
        struct buffer roster;
        size_t roster_parts;
};

/* Set-ups: the links are not started; with a supervisor, too. And the tear-down. */
int desk_set_up(void **state);
int desk_set_up_second(void **state);
int desk_tear_down(void **state);
/* A channel of which the bridge gets one end. */
struct ipc *open_channel(struct desk *d, int (*open)(struct bridge *, int), ipc_frame_fn *fn);
ipc_frame_fn desk_on_validator;
struct line *first_line(struct desk *d);
/* The first link in that role; NULL. */
struct link *link_in(struct desk *d, enum line_role role);
/* The validator says. */
void say(struct desk *d, const struct msg_out *m);
void say_state(struct desk *d, const char *realms, const char *reasons);
void say_verdict(struct desk *d, const char *id, const char *jwe, uint64_t deadline);
void say_declined(struct desk *d, const char *id, const char *why);
void say_held(struct desk *d, const char *id);
/* A new certificate has come. */
void open_second(struct desk *d);
/* ms go by, and the process looks at its links each second. */
void pass_looking(struct desk *d, uint64_t ms);
