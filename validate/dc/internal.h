/*
 * What the memory of DCs and their probes know of each other. For dc.c, dc/choose.c and dc/probe.c only.
 */
#pragma once

#include "validate/dc/dc.h"

#define DC_ALIVE_PROBE_MS 15000
#define DC_DEAD_PROBE_MIN_MS 1000
#define DC_EWMA_ONE 16 /* the average is kept in sixteenths of a millisecond */

enum probe_state {
        PROBE_WAITING = 0, /* for the timer */
        PROBE_RESOLVING,   /* for the address */
        PROBE_ASKING,      /* for the DC */
};

#define DC_RESULTS 16

/* What the latest sign-in of an account came to at a DC. */
struct dc_result {
        uint64_t account;
        uint64_t at;     /* 0: the place is free */
        uint64_t number; /* of all of the DC's */
        bool failed;
};

struct dc {
        struct dcs *dcs;
        const struct dc_config *config; /* the configuration's, or own */
        struct dc_config own;
        char host[257]; /* of own */
        unsigned index;
        bool listed, gone; /* in the configuration; found by discovery once, and not any more */
        bool in_site;
        uint16_t priority;
        unsigned holds;
        enum dc_state state;
        enum reason last_reason; /* of the last failure */
        char last_context[160];
        unsigned failures;
        bool suspect;  /* a sign-in waits for it too long, or is to go to it after a while; until it answers */
        bool skewed;   /* its clock was wrong at the last probe */
        int64_t clock; /* what its clock said, s since the epoch; and when */
        uint64_t clock_at;
        uint64_t distrusted_until; /* its tickets did not fit our keytab a moment ago */
        uint32_t ewma;             /* in EWMA_ONEths of a ms; 0: no sample yet */
        uint64_t answered_at;      /* a sign-in or a probe */
        uint64_t heard_at;         /* any sign of work: a handshake, an answer, to whomever */
        uint64_t dead_delay;
        /* its health, for dc/health.c */
        struct dc_result results[DC_RESULTS];
        uint64_t n_results, last_answer; /* last_answer: number of the latest that did not fail */
        unsigned failed_in_a_row;
        unsigned trials; /* sign-ins that must be answered before it counts as well again; 0: it does */
        uint64_t rests_until, rest_ms;
        uint64_t unanswered_since; /* sign-ins wait for it, and none was answered; 0: nobody waits */
        enum reason sick_reason;
        char sick_context[160];

        uint64_t silent_since; /* no answer to probes since; 0: it answered */
        unsigned misses;       /* probes in a row that failed; each goes to the next of the addresses */

        enum probe_state probe;
        struct loop_timer *timer; /* the next probe */
        struct dns_query *query;
        struct method_run *asking; /* the probe itself */
        uint64_t probe_began, probe_deadline;
};

struct dcs {
        struct dc_tools tools;
        const struct domain_config *domain;
        struct dcs_events events;
        bool ready;
        struct dc *current;     /* the choice that others must beat clearly */
        char undiscovered[400]; /* why discovery found nothing, or "" */
        size_t left_out;        /* DCs that discovery found and that have no place */
        size_t n;
        struct dc dcs[DCS_MAX];
};

enum lesson { LESSON_NONE = 0, LESSON_ANSWERED, LESSON_SUSPECT, LESSON_FAILED };

/* What a reason says about the DC's health. */
enum lesson dc_lesson(enum reason reason);
/* Whether the reason is that the DC said nothing. */
bool dc_is_silence(enum reason reason);
/* The DC answered after so many ms. */
void dc_note_answer(struct dc *dc, uint32_t ms);
/* It failed; dead: it gets no sign-ins until a probe was answered. */
void dc_note_failure(struct dc *dc, const struct outcome *outcome, bool dead);
/* What an answer that is surely its own told of its clock, if it did. */
void dc_note_clock(struct dc *dc, const struct outcome *outcome);
/* It answered a probe: whether sign-ins go to it from now on, in dc/choose.c. */
void dcs_reconsider(struct dc *dc);
/* The one writer of state. Tells the owner when the domain's readiness changed. */
void dc_state_set(struct dc *dc, enum dc_state state);

/* Its address, or the name whose address is asked for. */
const char *dc_asked_for(const struct dc *dc);

/* How long its answers take, on the average. */
uint32_t dc_ewma_ms(const struct dc *dc);
/* dc/health.c: whether sign-ins are kept from it, unless no other is left: it is sick, and no trial of it is due. */
bool dc_rests(const struct dc *dc);
bool dc_is_sick(const struct dc *dc);
/* This account's latest sign-in failed at the DC, lately. */
bool dc_failed_lately(const struct dc *dc, uint64_t account);
/* How long sign-ins have waited for it without any of them being answered; 0: nobody waits. */
uint64_t dc_unanswered_ms(const struct dc *dc);

/* The next probe in so many ms, unless one is under way. */
void dc_probe_schedule(struct dc *dc, uint64_t delay);
/* When the next probe is due after what was just learned. */
void dc_probe_schedule_next(struct dc *dc);
/* For the DC's timer: time for a probe, or the time of one is over. */
void dc_probe_due(void *arg);
void dc_probe_cancel(struct dc *dc);
/* Whether a probe of it has waited for longer than an answer takes, and nothing else was heard of it meanwhile. */
bool dc_probe_waits(const struct dc *dc);
