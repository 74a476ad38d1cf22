/*
 * Internal to the link: its one object, and which file owns which part of it.
 *
 * link.c          the API, the phases' one writer, drain
 * link/stream.c   the stream: connect, hello, heartbeat, events
 * link/report.c   the reports: batches, credit, answers
 * link/identity.c the identity's announcement
 * link/question.c questions of people, and their answers
 * link/renew.c    the renewal of the transport certificate
 * link/reconnect.c when it comes back
 * link/state.c    the state that reports show
 * link/store.c    what is in hand: requests handed over, verdicts kept, items to report
 */
#pragma once

#include <sys/queue.h>

#include "base/core/table.h"
#include "certs/trust/statement.h"
#include "certs/http/https.h"
#include "queue/link/link.h"
#include "queue/wire/sse.h"

/* ms */
#define HELLO_WITHIN 8000 /* 5 s to connect, 3 s for the hello */
#define DEAD_AFTER 25000
#define RECEIPT_WITHIN 25 /* a receipt waits so long for its verdict, which then goes in the same report */
#define REPORT_EVERY 4000 /* while something is in hand: the protocol asks for 5 s */
#define REPORT_TIMEOUT 5000
#define REPORT_RETRY_MIN 250
#define REPORT_RETRY_MAX 2000
#define STABLE_AFTER 10000 /* a session that lived so long was no failure */
#define SWEEP_EVERY 1000
#define LATE_GRACE 5000 /* a verdict is still worth a "late" answer this long after its deadline */
#define IDENTITY_EVERY 10000
#define DRAIN_LOOK 50
#define DRAIN_SETTLE 300 /* after the relay knows of a drain: what it had sent before still comes */

/* Whatever is looked up by a sign-in's id. The first member of its struct. */
struct by_id {
        struct table_node found;
        TAILQ_ENTRY(by_id) order;
        char id[ID_MAX + 1];
};
struct id_table {
        struct table ids;
        TAILQ_HEAD(id_list, by_id) list; /* oldest first */
};

/* A request that was handed over and not answered. */
struct flight {
        struct by_id node;
        uint64_t session; /* serial of the session that was told of it last */
        uint64_t ends_at; /* loop_now() when nobody waits any more */
        bool over;        /* cancelled, or lost with its validator: known until its end, but takes no credit */
        bool lost;
        bool foreign; /* no request of this link's sessions: link_hold */
};

enum kept_state {
        KEPT_QUEUED = 0, /* goes with the next report */
        KEPT_POSTED,     /* in the report that is under way */
        KEPT_HELD,       /* was posted and not answered: goes with the next periodic one */
};
/* A verdict that the relay has not confirmed. */
struct kept {
        struct by_id node;
        char *jwe;
        uint64_t ends_at;
        enum kept_state state;
        bool foreign; /* likewise */
};

/* "received" or "declined", not yet known to the relay. */
struct item {
        TAILQ_ENTRY(item) order;
        uint64_t ends_at;
        struct report_item content;
        bool posted;
};

/* The schedule by which a link comes back (reconnect.c). */
struct reconnect {
        uint32_t min, max; /* ms, as the relay said last */
        bool told;         /* it said it */
        bool spread;       /* a wait was drawn from the whole range since the last session */
        unsigned missed;   /* attempts in a row that came to no session */
        unsigned brief;    /* sessions in a row that did not last, or were refused */
};
/* What has ended. */
enum reconnect_after { RECONNECT_LASTED = 0, RECONNECT_BRIEF, RECONNECT_MISSED };
/* Why it should be soon. */
enum reconnect_hurry {
        HURRY_NONE = 0,
        HURRY_CALLERS_WAIT, /* for what this link has in hand */
        HURRY_RELAY_IS_UP,  /* it only forgot the session */
};

enum link_phase {
        LINK_IDLE = 0, /* link_start was not called */
        LINK_WAIT,     /* no stream; the timer connects */
        LINK_CONNECT,  /* stream asked for, no hello yet; the timer gives up */
        LINK_LIVE,     /* hello was there; the timer watches the heartbeat */
        LINK_LEAVE,    /* as LINK_LIVE, but the relay asked to go: nothing new comes */
        LINK_STOPPED,  /* drained; for good */
};

/* link_set_state's copy */
struct state_copy {
        struct report report; /* ready, reasons, load, statement; no session, no items */
        uint32_t capacity;
        char *identity, *proof;
};

struct link {
        struct loop *loop;
        struct link_host *own_host; /* or NULL: the configuration's serves several */
        struct https *https;
        const struct link_callbacks *cb;
        void *arg;
        char *relay;
        char boot[BOOT_LEN + 1];
        struct state_copy state;

        enum link_phase phase;
        struct loop_timer *phase_timer;
        struct reconnect reconnect;
        enum link_down told_why;
        char *told_detail;

        /* the session */
        struct https_call *stream;
        struct sse sse;
        struct hello hello;
        uint64_t serial, live_since, leave_by;
        int64_t relay_wall; /* what the relay's clock said last, s; 0: nothing yet */
        uint64_t relay_at;  /* and when, ms */
        uint64_t last_seq, granted, granted_sent;

        /* reports */
        struct https_call *report;
        struct loop_timer *report_timer;
        bool report_due;                    /* something changed that the relay does not know */
        uint64_t receipt_at;                /* or only receipts, which wait until then; 0: none */
        bool statement_posted;              /* in the report under way */
        bool statement_known;               /* the relay has the current one, or said why it takes none */
        struct report_refusal refused;      /* that; why "": nothing of the kind */
        uint64_t refused_at, refused_since; /* the latest such answer, and the first of them in a row */
        bool heard;                         /* one of this session was answered */
        bool quarantined;                   /* and the latest answer said so */
        bool in_hand_posted, in_hand_known; /* the list of what is in hand: once a session */
        uint32_t report_fails;
        uint64_t held_at; /* when held verdicts were last posted */
        struct loop_timer *sweep_timer;

        struct id_table flights, kept;
        size_t flights_taking; /* flights that are not over */
        TAILQ_HEAD(item_list, item) items;
        size_t n_items;

        LIST_HEAD(question_list, link_question) questions;
        size_t n_questions;

        struct link_renewal *renewal;
        struct https_call *announce;
        struct loop_timer *identity_timer;
        bool in_roster;
        int told_identity; /* -1 nothing, 0 pending, 1 in the roster, 2 refused */

        bool draining, drained;
        bool drain_posted; /* the report under way, or the last one, said "draining" */
        uint64_t drain_by, drain_known_at;
        struct loop_timer *drain_timer;
};

/* ---- link.c ---- */
/* Ends the session, if there is one, and goes on to reconnect (or stays stopped). The only way out of a
 * session. */
void link_session_end(struct link *l, enum link_down why, const char *detail);
void link_phase_set(struct link *l, enum link_phase phase);
/* Whether there is a session, be it one that is about to be left. */
bool link_has_session(const struct link *l);
/* The relay's clock says wall (s since the epoch; 0: it says nothing) now. */
void link_note_clock(struct link *l, int64_t wall);
void link_tell_state(struct link *l, enum link_down why, const char *detail);
/* Something left the store: looks, from the loop, whether a drain or a leave is through. */
void link_settled(struct link *l);

/* ---- link/reconnect.c ---- */
void link_reconnect_init(struct reconnect *r);
/* The range that the relay asks for, min <= max. */
void link_reconnect_set(struct reconnect *r, uint32_t min, uint32_t max);
/* There is a session. */
void link_reconnect_linked(struct reconnect *r);
/* ms until the next attempt; counts what has ended. */
uint64_t link_reconnect_wait(struct reconnect *r, enum reconnect_after after, enum reconnect_hurry hurry);

/* ---- link/state.c ---- */
void link_state_clear(struct state_copy *s);
/* Base64url and dots, not empty: safe to put into JSON as it is. */
bool link_jose_text(const char *text);

/* ---- link/stream.c ---- */
void link_stream_connect(struct link *l);

/* ---- link/report.c ---- */
/* Reports at the next turn of the loop, or when the report under way is back. */
void link_report_soon(struct link *l);
/* There is a receipt to report: with its verdict where that comes within RECEIPT_WITHIN ms, so that a sign-in that a DC
 * answers fast costs one POST, and its verdict need not wait until the receipt's is back. */
void link_report_receipt(struct link *l);
void link_report_on_timer(void *arg);

/* ---- link/identity.c ---- */
/* Asks again, now. */
void link_identity_announce(struct link *l);
void link_identity_on_timer(void *arg);

/* ---- link/question.c ---- */
/* An event `question`. -EBADMSG with err: the relay broke a rule. */
int link_question_event(struct link *l, const char *data, size_t n, struct error *err);
void link_questions_clear(struct link *l);

/* ---- link/renew.c ---- */
void link_renewal_clear(struct link *l);

/* ---- link/store.c ---- */
void link_store_init(struct link *l);
void link_store_clear(struct link *l);
/* -EEXIST, -ENOBUFS, -ENOMEM */
int link_store_flight(struct link *l, const char *id, uint64_t ends_at);
struct flight *link_store_find_flight(struct link *l, const char *id);
void link_store_end_flight(struct link *l, struct flight *f);
/* Still known, but nobody waits for it. */
void link_store_free_credit(struct link *l, struct flight *f);
int link_store_keep(struct link *l, const char *id, const char *jwe, uint64_t ends_at);
struct kept *link_store_find_kept(struct link *l, const char *id);
void link_store_drop_kept(struct link *l, struct kept *k);
int link_store_item(struct link *l, const char *id, enum report_kind is, const char *why);
/* Frees the items that end by until, of those in the report under way (the relay knows them) or of the others. */
void link_store_drop_items(struct link *l, bool posted, uint64_t until);
/* For a new session: says again of each request in hand that it is here, so that the relay does not give it
 * up. */
void link_store_say_received(struct link *l);
/* Puts back what was in the report under way. */
void link_store_unpost(struct link *l);
/* Drops what is past its time. */
void link_store_sweep(struct link *l);
