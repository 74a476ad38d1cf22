/*
 * Internal to the link process: its object, and what passes between relay, validator and ledger.
 */
#pragma once

#include "connector/link/renewal.h"
#include "base/process/process.h"
#include "connector/conf/config.h"
#include "connector/frames/frames.h"
#include "queue/link/host.h"
#include "queue/link/link.h"

struct bridge {
        struct process process;
        struct config *config;
        struct link *link;
        struct link *second; /* with a new certificate, until it is up and takes the place of link */
        struct link *old;    /* what it took the place of, until all in its hands is answered */
        uint64_t old_since;  /* when the new one came up, on the loop's clock */
        bool old_serves;     /* still: the relay has not heard the new one */
        struct renewal *renewal;
        char *relay, *tenant, *boot;
        char id[ID_MAX + 1];
        struct buffer key, cert, ca; /* PEM */
        struct link_host *host;      /* for all links: later ones are made when no file can be opened any more */
        struct key *held;            /* the transport key where it is in hardware; key is empty then */
        struct loop_io *holder;
        int validator_fd; /* came before the start */
        struct ipc *validator, *ledger;
        struct loop_timer *status_timer;
        uint64_t status_at, status_counted;
        uint64_t down_at; /* the loop's time since when there is no relay; 0: there is one */
        enum link_down why;
        char detail[ERROR_TEXT_MAX];
        int64_t since;        /* wall clock of the last change between up and down */
        int64_t cert_expires; /* of the transport certificate, s since the epoch; 0: not known */
        bool was_up, in_roster, drained;
        bool orphaned;               /* the supervisor is gone: bridge_last_words */
        bool told;                   /* a validator has said what it has in hand */
        uint64_t requests, verdicts; /* since the process started */
};

extern const struct link_callbacks bridge_callbacks;

/* Takes over fd as the channel to a validator; what the one before had is lost. */
int bridge_open_validator(struct bridge *b, int fd);
int bridge_open_ledger(struct bridge *b, int fd);
/* Makes the link with what is in b, unstarted. */
int bridge_make_link(struct bridge *b, const struct link_callbacks *callbacks, struct link **ret_link,
                     struct error *err);
/* Opens a second link with the key and certificate of this transport.pem, or (held, which gets a reference more) with a
 * key in hardware and its certificate; renewal_link_up tells of its success. */
int bridge_open_second(struct bridge *b, const struct buffer *text, struct key *held, struct error *err);
/* The process ends when the holder of b->held does. main.c. 0 or -ENOMEM. */
int bridge_watch_holder(struct bridge *b);
void bridge_drop_second(struct bridge *b);
/* Lets the link before end, once the relay has heard the new one: sooner, nobody would be ready. Now and then. */
void bridge_look_at_old(struct bridge *b, uint64_t now);
/* All links take nothing new; process_drained follows. */
void bridge_drain(struct bridge *b, uint64_t budget_ms);
/* The supervisor is gone, and the validator with it: tells the relay what is lost, then ends the process. False: there
 * is nothing to tell. */
bool bridge_last_words(struct bridge *b);
/* A line for `postern log --events`. */
void bridge_event(struct bridge *b, const char *name, const char *text);
/* Tells the ledger how the link is. */
void bridge_send_status(struct bridge *b);
/* Tells the validator what the relay's clock said last. */
void bridge_send_clock(struct bridge *b);

#ifdef POSTERN_TEST_HOOK /* tests/e2e/hook: a hole made on purpose, in the tests' own build of this process */
/* What code in this process could do; each try and what came of it is logged as `hook`. */
void hook_run(struct bridge *b);
/* May change what the validator answered. */
void hook_verdict(char *jwe);
#endif
