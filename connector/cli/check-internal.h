/*
 * One run of `postern check`. For check.c and check-domains.c only.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "connector/cli/cli.h"
#include "connector/cli/trial.h"
#include "validate/op/validate.h"

/* In the order in which they are shown, whichever is done first. */
enum section {
        SECTION_CONFIG = 0,
        SECTION_START,
        SECTION_RELAY,
        SECTION_DOMAINS,
        SECTION_DAEMON,
        SECTION_USER,
        SECTIONS
};

struct keytab_word {
        bool ok;
        char why[200]; /* "": nothing came */
};
struct trial {
        struct config *config; /* or NULL */
        struct validate *v;
};

/* One run. */
struct check {
        const struct cli *cli;
        struct loop *loop;
        struct config *config;
        struct domains *domains;
        struct validate *v;
        struct trial trials[TRIALS]; /* what the first method of each domain does not show */
        struct loop_timer *poll;
        uint64_t started, ready_until;
        json_t *sections[SECTIONS];                     /* of lines, in the order in which they are shown */
        json_t *steps;                                  /* the one that is written to */
        bool narrowed;                                  /* by --dc or --method: no second look at anything */
        bool live;                                      /* what is said is shown at once */
        const char *skip;                               /* why what follows is not done, or NULL */
        struct keytab_word keytabs[CONFIG_DOMAINS_MAX]; /* by the place in trials[TRIAL_KEYTAB] */
        bool done;
        struct outcome outcome;
};

/* A line of another's making; takes it over. */
void check_add(struct check *c, json_t *line);
/* A line without a code. */
void check_say(struct check *c, const char *step, const char *result, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));
/* TLS contexts and keytabs, then DNS, connect, handshake and a first answer of the DCs. */
void check_dcs(struct check *c);
/* Of a poll of these; arg is the check. */
void check_poll(void *arg);
