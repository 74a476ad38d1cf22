/*
 * Internal to the local dispatch: what dispatch-local.c (requests) and dispatch-link.c (links) share.
 */
#pragma once

#include <sys/queue.h>

#include "base/core/table.h"
#include "certs/trust/statement.h"
#include "queue/relay/dispatch.h"

enum request_state {
        REQUEST_NEW = 0,  /* with nobody */
        REQUEST_QUEUED,   /* with a link, in its stream's queue: certainly not sent */
        REQUEST_HANDED,   /* with a connector, sent, not acknowledged */
        REQUEST_RECEIVED, /* the connector has it */
        REQUEST_ENDING,   /* decided; the caller is told at the next turn */
        REQUEST_DONE,     /* the caller was told, or left; kept for a while to judge late verdicts */
};

struct candidate {
        char connector[ID_MAX + 1];
        bool tried;
};

struct request {
        struct table_node by_id;
        TAILQ_ENTRY(request)
        by_link; /* with != NULL, or parked, or an orphan, or in dispatch.memory when REQUEST_DONE */
        struct dispatch *d;
        struct site *site;
        struct dispatch_link *with; /* NULL: with nobody, or the link is gone */
        enum request_state state;
        bool hop;      /* of another node: for links of this one */
        bool parked;   /* REQUEST_NEW, in site.parked: waits for a link that is silent */
        bool orphan;   /* in site.orphans: its link is gone, its connector may come back with it */
        bool went_far; /* by another node: what the connector has at this one says nothing of it */
        uint64_t orphaned_at;
        char boot[BOOT_LEN + 1]; /* of the session that it was given to */
        uint64_t parked_until;   /* no longer than this; 0: it never had to */
        char id[ID_MAX + 1], traceparent[56];
        struct dispatch_caller caller;
        struct candidate *to; /* until it is done */
        size_t n_to, at;      /* at: index of the candidate that has it */
        uint64_t began, deadline, done_at;
        struct loop_timer *deadline_timer,
                *step; /* step: the end of waiting, silence, then the moment an orphan is given up, then the end */
        struct dispatch_trail trail;
        char *reasons; /* of declines, or of links that are not ready, a line each; NULL: none */
        char *jwe;     /* the verdict */
        enum problem_type problem;
        bool started_unknown;
        char detail[160];
};
TAILQ_HEAD(request_list, request);

struct dispatch_link {
        TAILQ_ENTRY(dispatch_link) entry;
        struct dispatch *d;
        struct site *site;
        struct dispatch_sink sink;
        char connector[ID_MAX + 1], boot[BOOT_LEN + 1];
        struct standing *standing;
        uint64_t granted, sent; /* totals of the session */
        bool far, ready, silent, draining, quarantined;
        bool shown_usable, shown_barred; /* when dispatch_limits.changed was called last */
        char *reasons;                   /* a line each; NULL: none */
        uint64_t last_word;
        uint32_t dead_ms; /* after that; 0: never by itself */
        struct loop_timer *dead;
        struct request_list requests;
        size_t n_requests;
};

/* What the relay has seen of a connector itself (dispatch-choice.c). */
struct standing {
        TAILQ_ENTRY(standing) entry;
        char connector[ID_MAX + 1];
        unsigned n_links;
        double latency; /* ms from hand-off to verdict, smoothed */
        double worth;   /* which part of the hand-offs ended in a verdict, smoothed */
        uint64_t measured_at;
        unsigned unanswered; /* in a row */
        uint64_t failed_at;
        unsigned trips; /* of the breaker since its last verdict */
        uint64_t tripped_at, barred_until;
        uint64_t death; /* of the session whose end was counted last */
};

/* What came of a request that a connector had. */
enum request_end {
        END_ANSWERED,
        END_DECLINED,
        END_UNANSWERED, /* the budget ended */
        END_LOST,       /* the link, or what the connector had in hand */
        END_CANCELLED,  /* the caller went away */
};

/* A tenant's share of the dispatch. */
struct site {
        struct table_node by_tenant;
        char tenant[TENANT_MAX + 1];
        uint64_t in_flight;
        TAILQ_HEAD(link_list, dispatch_link) links;
        struct request_list parked, orphans;
        size_t n_parked;
        TAILQ_HEAD(standing_list, standing) standings; /* one that no link has may be reused */
        size_t n_standings;
};

struct dispatch {
        struct loop *loop;
        struct dispatch_limits limits;
        bool moving, draining;
        size_t in_flight, n_memory;
        struct request_list memory;
        struct loop_timer *sweep;
        struct table requests, sites; /* by tenant and id; by tenant */
};

/* The tenant's share, made when it is new; NULL without memory. */
struct site *site_get(struct dispatch *d, const char *tenant);
struct request *request_find(struct dispatch *d, const char *tenant, const char *id);
/* Takes a request off its link, or from where it waits for one. */
void request_detach(struct request *r);
/* Gives a request that is with nobody to the best link, lets it wait for one that is silent, or ends it. */
void request_place(struct request *r);
/* A link has spoken, or can be waited for no longer: places what waits. */
void site_place_parked(struct site *site);
/* What is queued on a link will not leave there, and is placed again; again: with the same connector, too. */
void request_return(struct request *r, const char *why, bool again);
/* Its bytes have left. */
void request_left(struct request *r);
/* Ends a request with a problem; detail may be NULL. */
void request_fail(struct request *r, enum problem_type problem, bool started_unknown, const char *detail);
/* Ends a request with a verdict. */
void request_answer(struct request *r, const char *jwe);
/* Adds a word once. */
void request_add_reason(struct request *r, const char *word);
/* The request's link has gone away; it waits for a new session until then. */
void request_orphan(struct request *r, uint64_t until);

/* ---- dispatch-choice.c ---- */
/* The connector's, made when it is new; NULL without memory. */
struct standing *standing_get(struct site *site, const char *connector);
void standings_clear(struct site *site);
/* What came of a hand-off: once, while the request is still REQUEST_HANDED or REQUEST_RECEIVED (else it does nothing).
 */
void standing_note(const struct request *r, enum request_end end);
bool dispatch_link_has_credit(const struct dispatch_link *link);
/* Its connector answers nothing: it gets only what no other could take. */
bool dispatch_link_barred(const struct dispatch_link *link);
/* Says dispatch_limits.changed where it is usable, or barred, and was not, or the other way round. */
void dispatch_link_tell(struct dispatch_link *link);
/* What one request costs there, in ms, by what was measured: its usual time over the share that is answered. */
double dispatch_link_pace(const struct dispatch_link *link);
/* How long a request would take there, in ms: the time of a hand-off, times those in hand. */
double dispatch_link_cost(const struct dispatch_link *link);
/* Index of the recipient that the link could serve and that was not tried; n_to: none. */
size_t dispatch_candidate_of(const struct request *r, const struct dispatch_link *link);
/* The link that r is to be given to now; NULL: nobody takes it. */
struct dispatch_link *dispatch_best_link(const struct request *r);

/* Whether the connector, or this start of it (boot NULL: any), has a link that lives. */
bool site_has_connector(const struct site *site, const char *connector, const char *boot);
