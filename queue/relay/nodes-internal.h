/*
 * Internal to the nodes: what nodes.c (who lives), nodes-directory.c (links) and nodes-offer.c (sign-ins) share.
 */
#pragma once

#include <sys/queue.h>

#include "base/core/table.h"
#include "queue/relay/bus.h"
#include "queue/relay/nodes-frames.h"
#include "queue/relay/nodes.h"
#include "queue/relay/relay.h"

#define NODES_MAX 16
#define NODES_TICK_MS 250
#define NODES_BEAT_MS 1000
#define NODES_DEAD_MS 3500    /* nothing heard of a node */
#define NODES_ABSENT_MS 1000  /* NATS has nobody to give its messages to: so long a change of servers may take */
#define NODES_ALONE_MS 1500   /* this node has no NATS server */
#define NODES_CLAIM_MS 250    /* a grant that comes later is none, by the clock of the node that claimed */
#define NODES_LINKS_MAX 16384 /* of one node */
/* Of all together, since a name costs nothing: whoever has the login can be as many nodes as there may be. */
#define NODES_LINKS_ALL_MAX (4 * NODES_LINKS_MAX)
#define NODES_LINES_ALL_MAX (32 * 1024 * 1024) /* bytes of realms and reasons */
#define NODES_OFFERS_MAX 8192                  /* under way, each way */
#define NODES_STRAYS_MAX 4096
#define NODES_ACCUSED_MAX 3 /* connectors in quarantine by other nodes' word, within */
#define NODES_ACCUSED_MS (10 * 60 * UINT64_C(1000))
#define NODES_STRAYS_EACH 1024 /* of one tenant, that the others' have room */

/* An other node, as long as it lives. */
struct node {
        TAILQ_ENTRY(node) entry;
        struct nodes *nodes;
        char run[BUS_RUN_LEN + 1], name[65]; /* name "": not heard yet */
        uint64_t heard_at, absent_at;        /* absent_at: NATS has had nobody since; 0: it has */
        uint64_t seq, unbroken;    /* its last message about links, and the first since which none is missing */
        bool whole;                /* all its links are known */
        uint64_t asked_at, ask_ms; /* to tell them again */
        TAILQ_HEAD(node_links, far_link) links;
        size_t n_links, n_offers;
};

/* A link, or statement, that the others were told of. */
struct told {
        LIST_ENTRY(told) entry;
        struct table_node by_key;
        char key[ID_MAX + BOOT_LEN + 2]; /* connector/boot */
        char connector[ID_MAX + 1], boot[BOOT_LEN + 1];
        uint8_t link[32], statement[32]; /* hashes; zeros: nothing was told */
        const struct session *best;      /* while its tenant is looked at */
};

/* A sign-in of this node for a connector at another one. */
struct offer {
        struct table_node by_ref;
        TAILQ_ENTRY(offer) entry;
        struct far_link *far;
        char ref[17], id[ID_MAX + 1], trace[56];
        uint64_t number, deadline;
        bool granted, received, last;
        uint64_t asked_at; /* what became of it; at first, when it was granted */
        char *sealed;      /* until it is granted */
};

/* A sign-in of another node for a connector here. */
struct hop {
        struct table_node by_key;
        TAILQ_ENTRY(hop) entry; /* the oldest first */
        struct nodes *nodes;
        char key[BUS_RUN_LEN + 18]; /* run/ref */
        char run[BUS_RUN_LEN + 1], tenant[TENANT_MAX + 1], connector[ID_MAX + 1], id[ID_MAX + 1];
        uint64_t ref, claimed_at, end;                          /* end: nobody waits any more */
        enum { HOP_CLAIMED = 0, HOP_GRANTED, HOP_ENDED } state; /* ENDED: until its answer has come */
        bool received, last; /* last: the node that it comes from has nobody else for it */
        bool apart;          /* there was no NATS meanwhile: that node may have given up its offer, not its sign-in */
        uint64_t told_at;    /* ENDED: the answer, last */
        char *sealed;
        enum nodes_frame answer; /* ENDED */
        char why[64];
        char *jwe;
};

struct stray {
        TAILQ_ENTRY(stray) entry;
        char tenant[TENANT_MAX + 1], connector[ID_MAX + 1], id[ID_MAX + 1];
        uint64_t number, asked_at;
        bool taken;
};

struct nodes {
        struct relay *relay;
        struct bus *bus;
        char run[BUS_RUN_LEN + 1];
        TAILQ_HEAD(node_list, node) all;
        unsigned n;
        struct loop_timer *tick, *gather;
        uint64_t beat_at, alone_since; /* alone_since: 0: connected */
        char fault[256];
        bool crowd_told, links_told, accusing_told;
        size_t n_links, n_lines; /* of all; bytes of their realms and reasons */
        struct {
                uint64_t at; /* 0: free */
                char tenant[TENANT_MAX + 1];
        } accused[NODES_ACCUSED_MAX];
        /* nodes-directory.c */
        TAILQ_HEAD(untold_list, tenant) untold;
        struct table told; /* by connector/boot within the tenant */
        uint64_t seq, told_from, told_all_at;
        bool telling_all; /* TOLD follows once nobody is untold */
        /* nodes-offer.c */
        uint64_t numbers;
        struct table offers, hops;
        TAILQ_HEAD(hop_list, hop) hop_list;
        TAILQ_HEAD(stray_list, stray) strays;
        size_t n_strays;
        struct nodes_counts counts;
};

/* Begins a message with RUN; and with REF. */
void nodes_begin(const struct nodes *n, struct msg_out *m, enum nodes_frame type);
void nodes_begin_ref(const struct nodes *n, struct msg_out *m, enum nodes_frame type, uint64_t ref);

/* ---- nodes-directory.c ---- */
int nodes_directory_new(struct nodes *n);
void nodes_directory_clear(struct nodes *n);
/* All tenants are told again, in so many ms at the earliest. */
void nodes_tell_all(struct nodes *n);
/* LINK, GONE, STATEMENT, TOLD. */
void nodes_take_directory(struct node *node, const struct msg_in *m);
/* Asks the node to tell all, where that is due. */
void nodes_ask(struct node *node);
/* Its node is gone, or has no more to do with it: what is in hand there ends, or waits for another link. */
void nodes_far_free(struct far_link *far);

/* ---- nodes-offer.c ---- */
extern const struct dispatch_sink nodes_sink; /* but for arg, a far_link */
/* OFFER, CLAIM, GRANT, REFUSED, RECEIVED, VERDICT, LOST, CANCEL, ASK, STRAY, TOOK. */
void nodes_take_sign_in(struct node *node, const struct msg_in *m);
/* The message of that number reached nobody. */
void nodes_offer_absent(struct nodes *n, uint64_t number);
/* Those with a link end; dispatch is not told. */
void nodes_offers_drop(struct far_link *far);
/* A node is gone: nobody waits for what it granted. apart: it may live, and its callers wait; there is no NATS here. */
void nodes_hops_drop(struct nodes *n, const char *run, bool apart);
/* Asks what became of grants of which nothing is heard, answers again, and forgets what is over. */
void nodes_offers_sweep(struct nodes *n);
void nodes_offers_clear(struct nodes *n);

/* ---- nodes-question.c ---- */
/* QUESTION, ANSWER, RECEIVED. */
void nodes_take_question(struct node *node, const struct msg_in *m);
