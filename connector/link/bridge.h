/*
 * Internal to the link process: its object, and what passes between relay, validator and ledger.
 */
#pragma once

#include <sys/queue.h>

#include "connector/link/renewal.h"
#include "base/process/process.h"
#include "connector/conf/config.h"
#include "connector/frames/frames.h"
#include "queue/link/host.h"
#include "queue/link/link.h"

/* What a link is for. */
enum line_role {
        LINE_SERVES = 0,
        LINE_NEXT, /* has a new certificate, and takes the place of the one that serves once it is up */
        LINE_OLD,  /* another serves in its place, or its node is to be left: until all in its hands is answered */
};

/* One link, to a relay node. */
struct line {
        TAILQ_ENTRY(line) entry;
        struct node *node;
        struct link *link;
        enum line_role role;
};

/* One relay node: one of those that the relay names, or the one to begin with, which may be any of them. */
struct node {
        TAILQ_ENTRY(node) entry;
        struct bridge *b;
        char *url;
        bool named;         /* the relay names it */
        char name[65];      /* what it calls itself; "": not known yet */
        enum link_down why; /* of the link that serves */
        char detail[ERROR_TEXT_MAX];
        int64_t since; /* wall clock of the last change between up and down */
        bool was_up, in_roster;
        bool old_serves;    /* still: the relay has not heard the new one */
        uint64_t old_since; /* when the new one came up, on the loop's clock */
};

struct bridge {
        struct process process;
        struct config *config;
        TAILQ_HEAD(node_list, node) nodes;
        TAILQ_HEAD(line_list, line) lines; /* to all of them, at most one of each role to one */
        struct renewal *renewal;
        char *relay, *tenant, *boot; /* relay: as configured or enrolled */
        char id[ID_MAX + 1];
        struct buffer key, cert, ca; /* PEM */
        struct link_host *host;      /* for all links: later ones are made when no file can be opened any more */
        struct key *held;            /* the transport key where it is in hardware; key is empty then */
        struct loop_io *holder;
        int validator_fd; /* came before the start */
        struct ipc *validator, *ledger;
        struct loop_timer *status_timer, *last_words;
        uint64_t status_at, status_counted;
        uint64_t down_at;           /* the loop's time since when there is no relay; 0: there is one */
        int64_t cert_expires;       /* of the transport certificate, s since the epoch; 0: not known */
        uint32_t capacity;          /* what the validator takes at once */
        bool ending;                /* no line is to come any more: bridge_drain */
        bool orphaned;              /* the supervisor is gone: lines_last_words */
        bool told;                  /* a validator has said what it has in hand */
        bool foreign_logged;        /* that the relay named addresses which are not its own */
        char answer_id[ID_MAX + 1]; /* of the answer that is coming in, in parts */
        struct buffer answer;
        uint64_t requests, verdicts; /* since the process started */
};

/* ---- bridge.c ---- */
extern const struct link_callbacks bridge_callbacks; /* of every line, which is their arg */
/* Takes over fd as the channel to a validator; what the one before had is lost. */
int bridge_open_validator(struct bridge *b, int fd);
int bridge_open_ledger(struct bridge *b, int fd);
/* One word. */
const char *bridge_down_text(enum link_down why);
/* A line for `postern log --events`. */
void bridge_event(struct bridge *b, const char *name, const char *text);
/* Tells the ledger how the links are. */
void bridge_send_status(struct bridge *b);
/* Tells the validator what a relay's clock said last. */
void bridge_send_clock(struct bridge *b);

/* ---- lines.c ---- */
void lines_init(struct bridge *b);
/* Makes the link to the relay that is configured, unless there is one: the relay names the other nodes. It is not
 * started. */
int lines_begin(struct bridge *b, struct error *err);
void lines_start(struct bridge *b);
void lines_clear(struct bridge *b);
/* What the link of a line says of itself; arg: the line. */
void lines_state(void *arg, enum link_down why, const char *detail);
/* The node of the line (arg) is gone, or may be: what it had from there the links to other nodes have, too, since
 * whoever waits for it may be at any of them. */
void lines_spread(void *arg);
/* Its link has drained: the line ends, with it perhaps its node, and with the last one the drain. arg: the line. */
void lines_drained(void *arg);
/* Second after second: lets links end whose place is taken or whose node is not named any more, and looks for nodes. */
void lines_turn(struct bridge *b, uint64_t now);
/* The process ends when the holder of b->held does. 0 or -ENOMEM. */
int lines_watch_holder(struct bridge *b);
/* Opens to every node a link more, with the key and certificate of this transport.pem, or (held, which gets a reference
 * more) with a key in hardware and its certificate; renewal_link_up tells of the first success. */
int lines_open_next(struct bridge *b, const struct buffer *text, struct key *held, struct error *err);
void lines_drop_next(struct bridge *b);
/* arg: the bridge. Nobody will answer what any link has in its hands. */
void lines_lose(void *arg);
/* arg: the bridge. All links take nothing new; process_drained follows. */
void lines_drain(void *arg, uint64_t budget_ms);
/* arg: the bridge. The supervisor is gone: the validator answers what it can in the next moments, then the relay is
 * told what is lost, and the process ends. False: there is nothing to tell. */
bool lines_last_words(void *arg);
/* A link's part of the validator's capacity: all together have twice as much as there is. */
uint32_t lines_share(const struct bridge *b);
/* The next line that has this sign-in in its hands, behind the one given (NULL: the first); NULL: none. */
struct line *lines_next_with(struct bridge *b, const struct line *after, const char *id);
/*
 * Whether the relay at one URL may name the other as its node: its own host, or a name beside it, in the same domain of
 * two labels at least; what is configured as a number has no domain. A test's node may be any number of this machine
 * where the relay is one.
 */
bool lines_may_name(const char *relay, const char *url);
/* The line that serves the node; NULL: none. */
struct line *lines_of(const struct node *node, enum line_role role);
/* The one that is up, of a node that is named rather than another; NULL: none is. */
struct line *lines_best(const struct bridge *b);

#ifdef POSTERN_TEST_HOOK /* tests/e2e/hook: a hole made on purpose, in the tests' own build of this process */
/* What code in this process could do; each try and what came of it is logged as `hook`. */
void hook_run(struct bridge *b);
/* May change what the validator answered. */
void hook_verdict(char *jwe);
#endif
