/*
 * The other nodes of this relay: which of them live, what connectors are linked there, and sign-ins that go to a
 * connector by another node's link (`dispatch = nats`).
 *
 * A connector's link at another node is a link to dispatch (dispatch.h), behind those of this node. A sign-in is
 * offered to the node that has it; that node claims it; and then it is granted, with its body, and counts as having
 * left. Only what the other node refuses, or what NATS could give to nobody, goes to somebody else. Nothing is kept for
 * a node that is not there, and of times only ages are told. Where there is no NATS this node goes on with its own
 * links.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"

struct nodes;
struct relay;
struct session;
struct tenant;

/* relay->dispatch is there. relay->config->dispatch says nats. -errno with a sentence. */
int nodes_new(struct nodes **ret_nodes, struct relay *relay, struct error *err);
/* Tells the others that it goes. */
struct nodes *nodes_free(struct nodes *nodes);
/* Reads certificates and login again. */
void nodes_reload(struct nodes *nodes);

/* All may be called with NULL, for a relay of one node. */
/* Something may have changed of what other nodes are told of the tenant: links, readiness, statements. */
void nodes_touch(struct nodes *nodes, struct tenant *t);
/* Shows them a statement that is not the one which counts here. */
void nodes_tell_statement(struct nodes *nodes, const struct tenant *t, const char *connector, const char *text);
/* Frees what is known of its links elsewhere. */
void nodes_forget_tenant(struct nodes *nodes, struct tenant *t);
/* Links elsewhere get work, or none. */
void nodes_quarantine(struct nodes *nodes, struct tenant *t, const char *connector, bool quarantined);
struct far_link;
/* Whether a connector may come into quarantine by nothing but another node's word that it has this link: of all three
 * in ten minutes, and of a tenant one. Of what is more the log warns, for then it is the node that is not well. */
bool nodes_may_accuse(const struct far_link *far);
/* The name of the i-th other node that has said it; NULL: there are no more. */
const char *nodes_name(const struct nodes *nodes, unsigned i);

/* A verdict that nobody at this node waits for. */
enum nodes_stray { NODES_STRAY_LATE = 0, NODES_STRAY_ASKED, NODES_STRAY_TAKEN };
/* Gives it to whoever waits at another node. ASKED: it is not known yet whether somebody does; ask again. */
enum nodes_stray nodes_give_stray(struct nodes *nodes, const struct tenant *t, const char *connector, const char *id,
                                  const char *jwe);

/* ---- questions of people (question.c) ---- */
struct far_link;
struct problem;
/* Passes one, of that many ms, to the node of far; sealed is its text for the connector. Its number; 0: it cannot
 * leave.
 */
uint64_t nodes_pass_question(struct nodes *nodes, const struct far_link *far, const char *id, uint32_t budget,
                             const char *sealed);
/* The answer to a question of that node, or (p) the problem. */
void nodes_answer_question(struct nodes *nodes, const char *run, uint64_t number, const char *jwe, size_t len,
                           const struct problem *p);

/* What went over to other nodes and came from them since the start. */
struct nodes_counts {
        uint64_t offered, granted, refused, /* to others: offers, those that they claimed, and refusals */
                claimed, taken, stale, /* of others: offers that were claimed, grants taken, grants that came late */
                strays;                /* verdicts that somebody at another node waited for */
        uint64_t questions_out, questions_in;
        uint64_t bad; /* messages that are none */
};
struct nodes_view {
        unsigned live;     /* how many nodes live, this one included: 1 at least */
        const char *fault; /* NULL where the nodes can speak to each other; else what is wrong, for people; borrowed */
        const struct nodes_counts *counts; /* NULL where dispatch is this node's alone; borrowed */
};
struct nodes_view nodes_view(const struct nodes *nodes);
