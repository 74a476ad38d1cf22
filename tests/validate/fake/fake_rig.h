/*
 * A validator on the fake clock, whose DCs are scripted: what the tests of dc/ and op/ share. Its world counts what
 * every DC sees, and holds the promises that no sign-in may break, whatever the DCs do.
 */
#pragma once

#include "validate/fake/fake.h"
#include "validate/op/validate.h"

#define WORLD_DCS 4
#define WORLD_USERS 24
#define WORLD_ASKS 4096
#define WORLD_WINDOW_MS (30 * 60 * 1000)

/* How a DC treats those who come. */
enum dc_act {
        DC_WELL = 0,
        DC_REFUSES,        /* connections */
        DC_SILENT,         /* nobody is answered, not even at connecting */
        DC_SILENT_ON_BIND, /* it answers probes and takes passwords, and then says nothing */
        DC_FAILS_BINDS,    /* it answers probes, and passwords with an error: "unavailable" */
        DC_DROPS_BINDS,    /* the connection ends after the password left */
        DC_CLAIMS,         /* by Kerberos: whatever the password, that it is right and expired; by LDAP as DC_WELL */
        DC_ACTS,
};

struct world_dc {
        char host[40];
        enum dc_act act;
        uint32_t connect_ms, answer_ms;
        unsigned probes, connects, passwords;               /* that came */
        uint64_t first_password, last_password, last_probe; /* loop_now() */
};

struct world;

/* One sign-in and all that came of it. */
struct world_ask {
        struct world *w;
        char name[48], password[24];
        int user; /* whose name it is; -1: nobody's */
        bool right;
        struct validate_op *op;
        uint64_t started, deadline, ended;
        unsigned calls, passwords; /* how often a DC got the password */
        unsigned counted;          /* by the DCs */
        unsigned claims;           /* that nobody vouches for, told to it */
        int dc;                    /* that got the password first; -1: none */
        bool cancelled;
        struct outcome outcome;
};

struct world {
        struct loop *loop;
        struct fake *fake;
        struct validate *v;
        struct domain_config domain, slow; /* slow.example, which has the last DC where config.n_domains is 2 */
        struct domain_config lent[2];      /* what the validator has of them */
        struct validate_config config;
        struct world_dc dcs[WORLD_DCS];
        unsigned bad[WORLD_USERS]; /* badPwdCount of each: one directory, as of AD's PDC */
        uint64_t bad_at[WORLD_USERS];
        unsigned worst[WORLD_USERS]; /* the most that it ever was */
        struct world_ask *asks;      /* WORLD_ASKS of them */
        size_t n;
        /* What a test does differently, after the world has filled in the answer; may be NULL. */
        void (*script)(struct world *w, const struct fake_question *question, struct fake_answer *answer);
        unsigned seed, dice; /* what failures name, and what rolls */
        unsigned ready_calls;
};

/* n DCs of corp.example by one method, all well, 5 ms to connect and 10 ms to answer; not started yet. By Kerberos they
 * tell each user's salt. */
void world_open(struct world *w, size_t n, enum method method);
void world_start(struct world *w);
/* Starts, and lets the probes come in. */
void world_start_ready(struct world *w);
void world_close(struct world *w);
void world_advance(struct world *w, uint64_t ms);
/* In steps of a ms, until it has its answer; fails the test a second after its deadline. */
const struct outcome *world_finish(struct world *w, const struct world_ask *ask);
/* user u's name is userU@corp.example; right: its password. The ask is the world's. */
struct world_ask *world_ask(struct world *w, int user, bool right, uint32_t budget_ms);
/* The same under this name and password. */
struct world_ask *world_ask_as(struct world *w, int user, const char *name, const char *password, uint32_t budget_ms);
/* Asks and waits. */
const struct outcome *world_sign_in(struct world *w, int user, bool right);
void world_cancel(struct world *w, struct world_ask *ask);
/* The promises, of every sign-in so far; fails the test with the seed. */
void world_check(const struct world *w);
/* As validate_dc.state. */
const char *world_state(const struct world *w, size_t dc);
unsigned world_roll(struct world *w, unsigned n);
void world_expect(const struct world *w, const struct outcome *outcome, enum reason reason);
