/*
 * The validator process: identity key, encryption keys, roster, sign-ins; the only one that sees a password.
 */
#pragma once

#include "base/process/process.h"
#include "connector/conf/config.h"
#include "connector/frames/frames.h"
#include "connector/conf/domains.h"
#include "connector/conf/enrolment.h"
#include "connector/validator/known-names.h"
#include "connector/validator/limit.h"
#include "connector/validator/helpdesk.h"
#include "connector/validator/roster-store.h"
#include "connector/validator/sid-store.h"
#include "connector/validator/signin.h"

/* Sign-ins at once that secret arena, secure heap (4 KiB for each) and validate/ have room for, whatever the
 * configuration says. */
#define VALIDATOR_IN_FLIGHT_MAX 768

struct validator {
        struct process process;
        struct config *config;

        /* what the supervisor handed over */
        struct domains *domains;
        struct enrolment enrolment;
        struct key *identity;
        struct loop_io *holder; /* of an identity key in hardware, else NULL */
        uint8_t hash_key[NAME_HASH_KEY_LEN];
        bool has_hash_key;
        struct known_names known_names;
        struct roster_store store;
        struct sid_store sids;

        struct ipc *link, *ledger;
        struct validate *validate;
        struct enckeys keys;
        struct replay *replay;
        struct clock_watch clock;
        enum clock_state clock_state; /* as judged last */
        char clock_why[160];
        struct signins *signins;
        struct helpdesk *helpdesk;

        struct roster *roster;         /* the newest one; perhaps expired meanwhile */
        uint64_t roster_seq;           /* nothing below it is taken */
        char roster_hash[KID_LEN + 1]; /* and of that number no other text; "": not known */
        struct buffer incoming;        /* parts of a roster that is coming in */
        struct limit refusals;         /* of rosters */
        struct limit releases;         /* of accounts that the guard stops */
        struct loop_timer *turn;
        uint64_t started_at; /* the loop's time, ms */
        bool drained;
        bool orphaned;    /* the supervisor is gone, or the holder: what runs is finished, and nothing else is done */
        bool holder_gone; /* the latter */
};

/* roster-intake.c */
void validator_load_roster(struct validator *v);
void validator_roster_part(struct validator *v, const struct msg_in *m);
/* Holds the domains against what the roster in hand says of them. */
void validator_apply_roster(struct validator *v);
/* The roster if it is valid now, else NULL. */
const struct roster *validator_roster(void *arg);
bool validator_in_roster(struct validator *v);
/* The roster lets this connector speak for the domain of the configuration. */
bool validator_may_speak(void *arg, size_t domain);

/* state.c */
/* Turns keys and statement where due and tells the link and the ledger what the state is. renew: the
 * statement's contents changed. */
void validator_publish(struct validator *v, bool renew);
/* FRAME_CLOCK: what the relay's clock says. */
void validator_relay_clock(struct validator *v, const struct msg_in *m);
/* Sign-ins at once: the configuration's number, within VALIDATOR_IN_FLIGHT_MAX. */
size_t validator_capacity(const struct validator *v);
/* A line for `postern log --events`; arg: the validator. */
void validator_event(void *arg, const char *name, const char *text);
/* 0, also where there is no link (a new one gets every verdict again), or what ipc_send says. */
int validator_to_link(void *arg, const struct msg_out *m);
void validator_to_ledger(void *arg, const struct msg_out *m);
/* The same, and says whether it could: negative where there is no ledger, or it is too slow. */
int validator_ask_ledger(void *arg, const struct msg_out *m);

/* guard-desk.c: FRAME_GUARD, answered. */
void validator_guard(struct validator *v, const struct msg_in *m);
