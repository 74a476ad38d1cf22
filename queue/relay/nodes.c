/*
 * Which other nodes live, and what each message is for.
 *
 * Owns struct node. Invariants: a node is known as long as it says something every few seconds and NATS has somebody to
 * give messages to by its name; with it goes all that is known of its links; where this node has no NATS server for
 * longer than a change of servers takes, it knows no other. Names are of a start, so a node that comes back is another.
 */
#include "queue/relay/nodes.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/relay/nodes-internal.h"

#define ASK_MIN_MS 1000
#define ASK_MAX_MS 30000
#define PING_NUMBER 1 /* offers' numbers are above */

void nodes_begin(const struct nodes *n, struct msg_out *m, enum nodes_frame type)
{
        msg_begin(m, (uint8_t)type);
        msg_str(m, NODES_TAG_RUN, n->run);
}

void nodes_begin_ref(const struct nodes *n, struct msg_out *m, enum nodes_frame type, uint64_t ref)
{
        nodes_begin(n, m, type);
        msg_u64(m, NODES_TAG_REF, ref);
}

/* ---- the table of nodes ---- */

static struct node *node_find(struct nodes *n, const char *run)
{
        struct node *node;

        TAILQ_FOREACH (node, &n->all, entry)
                if (strcmp(node->run, run) == 0)
                        return node;
        return NULL;
}

static void node_gone(struct node *node, const char *why)
{
        struct nodes *n = node->nodes;
        struct far_link *far;

        log_warning("node_gone", KV_S("node", node->name), KV_S("why", why), KV_U("links", node->n_links),
                    KV_U("in_hand", node->n_offers));
        TAILQ_FOREACH (far, &node->links, of_node) /* what one of them gives back is for none of the others */
                dispatch_link_drain(far->link);
        while (!TAILQ_EMPTY(&node->links))
                nodes_far_free(TAILQ_FIRST(&node->links));
        nodes_hops_drop(n, node->run, n->alone_since != 0);
        relay_questions_drop(n->relay, node->run);
        TAILQ_REMOVE(&n->all, node, entry);
        n->n--;
        free(node);
}

static struct node *node_new(struct nodes *n, const char *run)
{
        struct node *node = n->n < NODES_MAX ? calloc(1, sizeof(*node)) : NULL;

        if (!node) {
                if (!n->crowd_told)
                        log_error("too_many_nodes", KV_U("most", NODES_MAX + 1),
                                  KV_S("remedy", "the others are ignored"));
                n->crowd_told = true;
                return NULL;
        }
        node->nodes = n;
        node->heard_at = loop_now(n->relay->loop);
        node->ask_ms = ASK_MIN_MS;
        memcpy(node->run, run, BUS_RUN_LEN);
        TAILQ_INIT(&node->links);
        TAILQ_INSERT_TAIL(&n->all, node, entry);
        n->n++;
        nodes_ask(node);
        return node;
}

/* ---- what is heard ---- */

/* A request that its links did not acknowledge in time may only have been slow: each beat they are tried again. One
 * that is no more, and whose last sign-in was called off here, goes. */
static void take_heartbeat(struct node *node, const struct msg_in *m)
{
        const uint64_t seq = msg_get_u64(m, NODES_TAG_SEQ, 0);
        const bool is_new = !node->name[0];
        struct far_link *far, *next;

        (void)msg_get_str(m, NODES_TAG_NAME, node->name, sizeof(node->name));
        if (is_new) {
                log_info("node_up", KV_S("node", node->name), KV_S("run", node->run));
                if (strcmp(node->name, node->nodes->relay->config->node) == 0)
                        log_warning("two_nodes_of_one_name", KV_S("node", node->name),
                                    KV_S("remedy", "give each a `node` of its own"));
        }
        if (seq != node->seq)
                node->whole = false;
        if (!node->whole)
                nodes_ask(node);
        for (far = TAILQ_FIRST(&node->links); far; far = next) {
                next = TAILQ_NEXT(far, of_node);
                if (!far->leaving)
                        dispatch_link_heard(far->link);
                else if (TAILQ_EMPTY(&far->offers))
                        nodes_far_free(far);
        }
}

static void take_message(struct node *node, const struct msg_in *m)
{
        switch ((enum nodes_frame)m->type) {
        case NODES_HEARTBEAT:
                take_heartbeat(node, m);
                break;
        case NODES_BYE:
                node_gone(node, "it went down");
                break;
        case NODES_LINK:
        case NODES_GONE:
        case NODES_STATEMENT:
        case NODES_TOLD:
                nodes_take_directory(node, m);
                break;
        case NODES_SYNC:
                nodes_tell_all(node->nodes);
                break;
        case NODES_PING:
                break;
        case NODES_OFFER:
        case NODES_CLAIM:
        case NODES_GRANT:
        case NODES_REFUSED:
        case NODES_RECEIVED:
        case NODES_VERDICT:
        case NODES_LOST:
        case NODES_CANCEL:
        case NODES_ASK:
        case NODES_STRAY:
        case NODES_TOOK:
                nodes_take_sign_in(node, m);
                break;
        case NODES_QUESTION:
        case NODES_ANSWER:
                nodes_take_question(node, m);
                break;
        }
}

static void on_message(void *arg, const uint8_t *bytes, size_t n_bytes)
{
        struct nodes *n = arg;
        char run[BUS_RUN_LEN + 1];
        struct msg_in m;
        struct error err;

        if (nodes_frames_read(&m, bytes, n_bytes, run, &err) < 0) {
                if (n->counts.bad++ == 0)
                        log_warning("node_message_refused", KV_S("why", err.text));
                return;
        }
        if (strcmp(run, n->run) == 0) /* what it said itself */
                return;
        struct node *node = node_find(n, run);
        if (!node && (m.type == NODES_BYE || !(node = node_new(n, run))))
                return;
        node->heard_at = loop_now(n->relay->loop);
        node->absent_at = 0;
        take_message(node, &m);
}

/* One that changes its NATS server is back at once; one that is not has ended. */
static void on_absent(void *arg, const char *run, uint64_t number)
{
        struct nodes *n = arg;
        struct node *node = node_find(n, run);

        if (number != PING_NUMBER) {
                nodes_offer_absent(n, number);
                relay_question_failed(n->relay, NULL, number, PROBLEM_NO_CONNECTOR, NULL);
        }
        if (node && !node->absent_at)
                node->absent_at = loop_now(n->relay->loop);
}

/* ---- time ---- */

static void beat(struct nodes *n)
{
        struct msg_out m;

        nodes_begin(n, &m, NODES_HEARTBEAT);
        msg_str(&m, NODES_TAG_NAME, n->relay->config->node);
        msg_u64(&m, NODES_TAG_SEQ, n->seq);
        if (bus_send(n->bus, NULL, 0, &m) == 0)
                n->beat_at = loop_now(n->relay->loop);
}

/* Who has something in hand, or is missed, is asked whether he is there. */
static void on_tick(void *arg)
{
        struct nodes *n = arg;
        const uint64_t now = loop_now(n->relay->loop);
        struct node *node, *next;
        struct msg_out m;

        loop_timer_in(n->tick, NODES_TICK_MS);
        nodes_offers_sweep(n);
        if (now - n->beat_at >= NODES_BEAT_MS)
                beat(n);
        nodes_begin(n, &m, NODES_PING);
        for (node = TAILQ_FIRST(&n->all); node; node = next) {
                const char *why = n->alone_since && now - n->alone_since >= NODES_ALONE_MS ? "there is no NATS"
                                  : node->absent_at && now - node->absent_at >= NODES_ABSENT_MS
                                          ? "NATS knows it no more"
                                  : now - node->heard_at >= NODES_DEAD_MS ? "nothing is heard of it"
                                                                          : NULL;

                next = TAILQ_NEXT(node, entry);
                if (why)
                        node_gone(node, why);
                else if (node->n_offers || node->absent_at)
                        (void)bus_send(n->bus, node->run, PING_NUMBER, &m);
        }
}

static void on_state(void *arg, bool connected, const char *why)
{
        struct nodes *n = arg;
        struct node *node;
        struct far_link *far;

        /* while this node changes its server, what is for other nodes waits for a moment instead of ending */
        TAILQ_FOREACH (node, &n->all, entry)
                TAILQ_FOREACH (far, &node->links, of_node)
                        if (!connected)
                                dispatch_link_hush(far->link);
                        else if (!far->leaving)
                                dispatch_link_heard(far->link);
        if (connected) {
                log_info("nats_connected", KV_S("part", "dispatch"));
                n->alone_since = 0;
                n->fault[0] = '\0';
                beat(n);
                return;
        }
        if (!n->fault[0] || strcmp(n->fault, why ? why : "") != 0)
                log_warning("nats_lost", KV_S("part", "dispatch"), KV_S("why", why),
                            KV_S("consequence", "only connectors that are linked to this node get sign-ins from it"));
        (void)snprintf(n->fault, sizeof(n->fault), "%s", why ? why : "not connected");
        if (!n->alone_since)
                n->alone_since = loop_now(n->relay->loop);
}

/* ---- what the relay asks ---- */

void nodes_ask(struct node *node)
{
        const uint64_t now = loop_now(node->nodes->relay->loop);
        struct msg_out m;

        if (node->asked_at && now - node->asked_at < node->ask_ms)
                return;
        nodes_begin(node->nodes, &m, NODES_SYNC);
        if (bus_send(node->nodes->bus, node->run, 0, &m) < 0)
                return;
        node->ask_ms = node->asked_at ? node->ask_ms * 2 : ASK_MIN_MS;
        node->ask_ms = node->ask_ms > ASK_MAX_MS ? ASK_MAX_MS : node->ask_ms;
        node->asked_at = now;
}

bool nodes_may_accuse(const struct far_link *far)
{
        struct nodes *n = far->node->nodes;
        const uint64_t now = loop_now(n->relay->loop);
        size_t place = NODES_ACCUSED_MAX;
        bool again = false;

        for (size_t i = 0; i < NODES_ACCUSED_MAX; i++) {
                const bool over = !n->accused[i].at || now - n->accused[i].at > NODES_ACCUSED_MS;

                place = over ? i : place;
                again = again || (!over && strcmp(n->accused[i].tenant, far->tenant->name) == 0);
        }
        if (again || place == NODES_ACCUSED_MAX) {
                if (!n->accusing_told)
                        log_error("node_not_believed", KV_S("node", far->node->name), KV_S("tenant", far->tenant->name),
                                  KV_S("connector", far->connector));
                n->accusing_told = true;
                return false;
        }
        n->accused[place].at = now ? now : 1;
        memcpy(n->accused[place].tenant, far->tenant->name, sizeof(n->accused[place].tenant));
        n->accusing_told = false;
        return true;
}

struct nodes_view nodes_view(const struct nodes *nodes)
{
        return (struct nodes_view){.live = nodes ? nodes->n + 1 : 1,
                                   .fault = nodes && nodes->fault[0] ? nodes->fault : NULL,
                                   .counts = nodes ? &nodes->counts : NULL};
}

const char *nodes_name(const struct nodes *nodes, unsigned i)
{
        const struct node *node = nodes ? TAILQ_FIRST(&nodes->all) : NULL;

        for (; node; node = TAILQ_NEXT(node, entry))
                if (node->name[0] && i-- == 0)
                        return node->name;
        return NULL;
}

void nodes_reload(struct nodes *nodes)
{
        if (nodes)
                bus_reload(nodes->bus);
}

/* ---- life ---- */

int nodes_new(struct nodes **ret_nodes, struct relay *relay, struct error *err)
{
        struct nodes *n = calloc(1, sizeof(*n));
        const struct bus_ops ops = {on_message, on_absent, on_state, n};
        uint8_t run[16];

        if (!n || RAND_bytes(run, sizeof(run)) != 1) {
                free(n);
                return error_fail(err, -ENOMEM, "no memory");
        }
        b64u_encode_to(n->run, run, sizeof(run));
        n->relay = relay;
        n->numbers = PING_NUMBER;
        n->alone_since = loop_now(relay->loop);
        (void)snprintf(n->fault, sizeof(n->fault), "not connected yet");
        TAILQ_INIT(&n->all);
        TAILQ_INIT(&n->untold);
        TAILQ_INIT(&n->hop_list);
        TAILQ_INIT(&n->strays);
        int r = loop_timer_new(&n->tick, relay->loop, NULL, on_tick, n);
        r = r < 0 ? r : nodes_directory_new(n);
        r = r < 0 ? error_fail(err, r, "no memory") : bus_new(&n->bus, relay->loop, relay->config, n->run, &ops, err);
        if (r < 0) {
                nodes_free(n);
                return r;
        }
        loop_timer_in(n->tick, NODES_TICK_MS);
        *ret_nodes = n;
        return 0;
}

struct nodes *nodes_free(struct nodes *nodes)
{
        struct msg_out m;

        if (!nodes)
                return NULL;
        nodes_begin(nodes, &m, NODES_BYE);
        while (!TAILQ_EMPTY(&nodes->all)) {
                struct node *node = TAILQ_FIRST(&nodes->all);

                /* by the way of its last answers: what goes to all could overtake them */
                if (nodes->bus)
                        (void)bus_send(nodes->bus, node->run, 0, &m);
                while (!TAILQ_EMPTY(&node->links))
                        nodes_far_free(TAILQ_FIRST(&node->links));
                TAILQ_REMOVE(&nodes->all, node, entry);
                free(node);
        }
        nodes_offers_clear(nodes);
        nodes_directory_clear(nodes);
        loop_timer_free(nodes->tick);
        nodes->bus = bus_free(nodes->bus);
        free(nodes);
        return NULL;
}
