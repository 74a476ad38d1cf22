/*
 * Internal to the link process: its object, and what passes between relay, validator and ledger.
 */
#pragma once

#include "connector/process.h"
#include "queue/link.h"

struct bridge {
        struct process process;
        struct link *link;
        char *relay;
        struct buffer key, cert, ca; /* PEM */
        struct key *held;            /* the transport key where it is in hardware; key is empty then */
        struct loop_io *holder;
        int validator_fd;            /* came before the start */
        struct ipc *validator, *ledger;
        struct loop_timer *status_timer;
        uint64_t status_at, status_counted;
        uint64_t down_at; /* the loop's time since when there is no relay; 0: there is one */
        enum link_down why;
        char detail[ERROR_TEXT_MAX];
        int64_t since;        /* wall clock of the last change between up and down */
        int64_t cert_expires; /* of the transport certificate, s since the epoch; 0: not known */
        bool was_up, in_roster;
        uint64_t requests, verdicts; /* since the process started */
};

extern const struct link_callbacks bridge_callbacks;

/* Takes over fd as the channel to a validator; what the one before had is lost. */
int bridge_open_validator(struct bridge *b, int fd);
int bridge_open_ledger(struct bridge *b, int fd);
/* Tells the ledger how the link is. */
void bridge_send_status(struct bridge *b);

#ifdef POSTERN_TEST_HOOK /* tests/e2e/hook: a hole made on purpose, in the tests' own build of this process */
/* What code in this process could do; each try and what came of it is logged as `hook`. */
void hook_run(struct bridge *b);
/* May change what the validator answered. */
void hook_verdict(char *jwe);
#endif
