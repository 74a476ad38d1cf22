/*
 * Hand-out of sign-ins to links: who gets a request, who may get it after a decline, and what the caller is
 * told.
 *
 * The rule that nothing may break: a request is with one connector at a time, and goes to another only if the
 * first declined it or if it provably never left this process. Each caller is told exactly once, before its
 * budget ends.
 *
 * A link of this node and one of another node (cluster.h) are the same to it, but that those of this node come first.
 * Time is the loop's monotonic clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/trust/roster.h"
#include "base/ipc/loop.h"
#include "queue/http/problem.h"
#include "queue/wire/wire.h"

#define DISPATCH_SILENT_MS 1000 /* a request that was sent and not acknowledged: no new work for the link */
#define DISPATCH_PARKED_MS                                                                                             \
        3000 /* so long a request waits for a silent link if there is no other; at most half its budget */
#define DISPATCH_OFFER_MS 300    /* another node that has not claimed what it was offered gets it no more */
#define DISPATCH_DEAD_MS 12000   /* no report of a connector that reports every 5 s: the link is dead */
#define DISPATCH_MEMORY_MS 60000 /* finished requests are remembered for re-posted verdicts */
#define DISPATCH_MEMORY_MAX 65536
#define DISPATCH_CREDIT_MAX 1024 /* of a link: unused credit that counts, and requests in hand */

struct dispatch;
struct dispatch_link;

/* ---- callers ---- */

/* How far a request got; for the record. Times are ms after it came in, -1: never. */
struct dispatch_trail {
        const char *state; /* literal: "waiting" "handed" "received" "answered" "failed" "cancelled" */
        char connector[ID_MAX + 1];
        int64_t handed, received, answered;
};

/* What the caller gets: a verdict, or a problem. */
struct dispatch_outcome {
        const char *jwe; /* the verdict; NULL with a problem */
        enum problem_type problem;
        bool started_unknown;
        const char *detail;  /* or NULL */
        const char *reasons; /* what connectors said that did not take it, a line each; or NULL */
        struct dispatch_trail trail;
};

struct dispatch_caller {
        /* Appends candidate i's share of the sealed request. 0 or -errno. */
        int (*share)(void *arg, size_t i, struct buffer *out);
        /* Exactly once, never from within dispatch_submit. The request is forgotten by the caller after it.
         */
        void (*done)(void *arg, const struct dispatch_outcome *outcome);
        void *arg;
        /* Whether somebody else than the recipients is ready for whatever is in it, so that the caller need not wait
         * for a recipient that is silent, but is told at once to seal anew; NULL: nobody is. */
        bool (*others)(void *arg);
        /* A connector has acknowledged it; or NULL. */
        void (*received)(void *arg);
        /* Whether none but the recipients is ready for any of what may be in it, so that whoever is asked last of them
         * is to refuse rather than to decline; NULL: that is so. */
        bool (*alone)(void *arg);
};

struct dispatch_submission {
        const char *tenant, *id, *traceparent; /* traceparent may be NULL */
        uint32_t budget_ms;
        size_t n;
        const char *const *connectors; /* ids of the recipients whose key is live, n <= REQUEST_TO_MAX */
        bool hop; /* another node's: goes to links of this node only, and may come again after all declined it */
        struct dispatch_caller caller;
};

struct dispatch_limits {
        uint64_t in_flight_per_tenant;
        size_t parked_per_tenant;
        /* A connector that answers nothing gets only what no other takes, for so long; or NULL. */
        void (*barred)(void *arg, const char *tenant, const char *connector, unsigned seconds);
        /* dispatch_links would say otherwise now who is ready; or NULL. Calls nothing here. */
        void (*changed)(void *arg, const char *tenant);
        void *arg;
};

int dispatch_new(struct dispatch **ret_dispatch, struct loop *loop, const struct dispatch_limits *limits);
struct dispatch *dispatch_free(struct dispatch *dispatch);

/* 0; -EEXIST: the id is in flight or was finished lately; -ENOMEM. */
int dispatch_submit(struct dispatch *d, const struct dispatch_submission *s);
/* The caller went away: done is not called; a connector that has the request is told. */
void dispatch_cancel(struct dispatch *d, const char *tenant, const char *id);
/* How far a request in flight, or finished lately, got. -ENOENT. */
int dispatch_trail(struct dispatch *d, const char *tenant, const char *id, struct dispatch_trail *ret_trail);
/* How many are in flight, and (or NULL) for how long the oldest of them has been there, ms; 0: there is none. */
size_t dispatch_in_flight(const struct dispatch *d, uint64_t *ret_oldest);
/* From now on new submissions end with draining; links_move: only those that nobody takes any more, since links go to
 * other nodes. */
void dispatch_drain(struct dispatch *d, bool links_move);
/* Ends whatever is in flight now: of a tenant that was removed, or (NULL) of all, since the relay goes down. */
void dispatch_end(struct dispatch *d, const char *tenant);

/* ---- links ---- */

/* What a link does for dispatch. None of them calls back into dispatch before it returned, but later. */
struct dispatch_sink {
        /* 0: the request left for the socket; 1: it waits (dispatch_link_sent follows, unless withdrawn);
         * -errno: the link is broken, not a byte left. event->seq is the link's to fill in when it leaves. */
        int (*request)(void *arg, const struct request_event *event);
        /* Takes back a request that waits; false: it has left. */
        bool (*withdraw)(void *arg, const char *id);
        void (*cancel)(void *arg, const char *id);
        /* The link is dead or superfluous: drop it (dispatch_link_gone follows from the callee, later). NULL: it never
         * is, dead_ms being 0. */
        void (*drop)(void *arg, const char *why);
        void *arg;
};

/*
 * boot: which run of the connector it is of. dead_ms: so long without a report, and the link is dead (the first one may
 * take first_ms, where that is longer); 0: whoever made it knows when it is, and what it had then ends at once where
 * this run of the connector has no other link.
 */
struct dispatch_peer {
        const char *tenant, *connector, *boot;
        uint32_t dead_ms, first_ms;
        bool far; /* a link of another node: gets only what no link of this node takes */
};
int dispatch_link_new(struct dispatch_link **ret_link, struct dispatch *d, const struct dispatch_peer *peer,
                      const struct dispatch_sink *sink);
/* The stream ended. What waited goes to others; what left waits for a verdict under a new session until the
 * link would have been dead. */
void dispatch_link_gone(struct dispatch_link *link);
void dispatch_link_sent(struct dispatch_link *link, const char *id);
/*
 * What waits there will not leave by this link, or what left for another node is certain to have reached nobody. again:
 * the same connector may get it by another link. False: the link has no such request.
 */
bool dispatch_link_returned(struct dispatch_link *link, const char *id, const char *why, bool again);
/* Nothing new, until it is heard. */
void dispatch_link_hush(struct dispatch_link *link);
/* A sign of life that is no report. */
void dispatch_link_heard(struct dispatch_link *link);

/* State from a report; any report also counts as a sign of life. */
struct dispatch_state {
        uint64_t granted; /* of it the link is given DISPATCH_CREDIT_MAX at most beyond what it got */
        bool ready;       /* for at least one realm */
        size_t n_reasons;
        const char (*reasons)[64];
};
void dispatch_link_state(struct dispatch_link *link, const struct dispatch_state *state);
/* It may be silent for so long from now on; never for less than it was allowed before, for it may not have heard. */
void dispatch_link_allow(struct dispatch_link *link, uint32_t dead_ms);
/* The link takes no new work; what has not left for it goes elsewhere. */
void dispatch_link_drain(struct dispatch_link *link);
/* The same while it lasts, and callers hear "quarantined" where nobody else is there. */
void dispatch_link_quarantine(struct dispatch_link *link, bool quarantined);
bool dispatch_link_is_quarantined(const struct dispatch_link *link);
/* Whether it would get work, credit and what it answered lately aside. */
bool dispatch_link_is_ready(const struct dispatch_link *link);
/* Why the connector is not ready, as it says: a line each; NULL: nothing. */
const char *dispatch_link_reasons(const struct dispatch_link *link);

enum dispatch_receipt { DISPATCH_CONFIRMED = 0, DISPATCH_LATE = 1 };
void dispatch_received(struct dispatch_link *link, const char *id);
void dispatch_declined(struct dispatch_link *link, const char *id, const char *why);
/* Nobody will answer it: the password may have left. Ends as connector-lost. */
void dispatch_lost(struct dispatch_link *link, const char *id);
/* These ids are all that the connector has in hand by this node's links: what else other sessions of this boot took is
 * lost. Sorts ids. */
void dispatch_in_hand(struct dispatch_link *link, char (*ids)[ID_MAX + 1], size_t n);
/* The verdict of a connector that came by whatever way. */
enum dispatch_receipt dispatch_verdict_of(struct dispatch *d, const char *tenant, const char *connector, const char *id,
                                          const char *jwe);
/* DISPATCH_LATE: nobody waits for it any more (or it never was this connector's). */
enum dispatch_receipt dispatch_verdict(struct dispatch_link *link, const char *id, const char *jwe);

/* ---- for status and /keys ---- */
#define DISPATCH_WEIGHT_MAX 64U
struct dispatch_view {
        const char *connector, *boot;
        bool far;
        bool ready; /* would be given work now, credit aside */
        uint64_t credit;
        size_t in_hand;
        /* Which share of the work it should get beside the others, as the relay measured it: a power of two up to
         * DISPATCH_WEIGHT_MAX, which the fastest of those that answer has. */
        unsigned weight;
        const char *reasons; /* why it is not ready, as it says itself: a line each; NULL: it says none */
};
typedef void dispatch_view_fn(void *arg, const struct dispatch_view *view);
/* Links of the tenant: those that are ready first, of them by weight. What is in hand at the moment changes nothing. */
void dispatch_links(struct dispatch *d, const char *tenant, dispatch_view_fn *fn, void *arg);
/* How many requests the connector's links of this node would take now; -1: none of them is ready. */
long dispatch_spare(struct dispatch *d, const char *tenant, const char *connector);
