/*
 * Sign-ins that go to a connector by another node's link: offer, claim, grant, answer. Both ends.
 *
 * Owns struct offer (of this node's sign-ins) and struct hop (of other nodes'). Invariants: the body leaves in the
 * grant alone, once, and what is granted counts as having left: somebody else may have it only where this node is told
 * that nobody got it, by the other node or by NATS; a grant counts only NODES_CLAIM_MS after its claim, by the clock of
 * who claimed; a hop goes to no third node. A grant is sent once; an answer until it has come, and what was granted is
 * forgotten no earlier, so that "I know of none" means that nobody got it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "certs/jose/sealed.h"
#include "queue/relay/nodes-internal.h"

#define GRACE_MS 5000         /* after the budget, for answers */
#define ASK_MS 1000           /* nothing is heard of a grant */
#define ANSWER_MS 500         /* an answer has not come yet, and is told again */
#define STRAY_MS 1000         /* nobody has taken it: nobody waits for it */
#define STRAY_MEMORY_MS 15000 /* the connector comes with it again */
#define STRAY_BIT                                                                                                      \
        (UINT64_C(1) << 63)   /* of a stray's number: a TOOK is of it, or of a hop with the other node's number */
#define DUPLICATE "duplicate" /* REFUSED: a sign-in of that id is under way there */

/* A verdict by the sign-in's own names, for a node that knows it by no number. */
static void put_stray(struct msg_out *m, const char *tenant, const char *connector, const char *id, const char *jwe)
{
        msg_str(m, NODES_TAG_TENANT, tenant);
        msg_str(m, NODES_TAG_CONNECTOR, connector);
        msg_str(m, NODES_TAG_ID, id);
        msg_str(m, NODES_TAG_JWE, jwe);
}

/* ---- this node's sign-ins ---- */

static void offer_free(struct offer *offer)
{
        struct far_link *far = offer->far;

        table_remove(&offer->by_ref);
        TAILQ_REMOVE(&far->offers, offer, entry);
        far->node->n_offers--;
        free(offer->sealed);
        free(offer);
}

/* What a link that is no more had in hand has ended: nothing keeps it. */
static void far_settle(struct far_link *far)
{
        if (far->leaving && TAILQ_EMPTY(&far->offers))
                nodes_far_free(far);
}

static struct offer *offer_of(const struct far_link *far, const char *id)
{
        struct offer *offer;

        TAILQ_FOREACH (offer, &far->offers, entry)
                if (strcmp(offer->id, id) == 0)
                        return offer;
        return NULL;
}

static struct offer *offer_numbered(struct nodes *n, uint64_t number)
{
        char ref[17];

        (void)snprintf(ref, sizeof(ref), "%016llx", (unsigned long long)number);
        return table_object(table_find(&n->offers, ref, NULL), struct offer, by_ref);
}

static int sink_request(void *arg, const struct request_event *event)
{
        struct far_link *far = arg;
        struct nodes *n = far->node->nodes;
        struct offer *offer = n->offers.n < NODES_OFFERS_MAX ? calloc(1, sizeof(*offer)) : NULL;
        struct msg_out m;

        if (!offer || text_set(&offer->sealed, event->sealed) < 0) {
                free(offer);
                return -ENOMEM;
        }
        offer->far = far;
        offer->number = ++n->numbers;
        offer->deadline = loop_now(n->relay->loop) + event->budget;
        memcpy(offer->id, event->id, sizeof(offer->id));
        memcpy(offer->trace, event->traceparent, sizeof(offer->trace));
        offer->last = event->last;
        (void)snprintf(offer->ref, sizeof(offer->ref), "%016llx", (unsigned long long)offer->number);
        table_add(&n->offers, &offer->by_ref, offer->ref, NULL);
        TAILQ_INSERT_TAIL(&far->offers, offer, entry);
        far->node->n_offers++;
        nodes_begin_ref(n, &m, NODES_OFFER, offer->number);
        msg_str(&m, NODES_TAG_TENANT, far->tenant->name);
        msg_str(&m, NODES_TAG_CONNECTOR, far->connector);
        const int r = bus_send(n->bus, far->node->run, offer->number, &m);
        if (r < 0) {
                offer_free(offer);
                return r;
        }
        n->counts.offered++;
        return 1;
}

static bool sink_withdraw(void *arg, const char *id)
{
        struct offer *offer = offer_of(arg, id);

        if (offer && offer->granted)
                return false;
        if (offer)
                offer_free(offer); /* whoever claims it now hears nothing */
        return true;
}

static void sink_cancel(void *arg, const char *id)
{
        struct offer *offer = offer_of(arg, id);
        struct msg_out m;

        if (!offer)
                return;
        nodes_begin_ref(offer->far->node->nodes, &m, NODES_CANCEL, offer->number);
        if (offer->granted)
                (void)bus_send(offer->far->node->nodes->bus, offer->far->node->run, 0, &m);
        offer_free(offer);
}

const struct dispatch_sink nodes_sink = {.request = sink_request, .withdraw = sink_withdraw, .cancel = sink_cancel};

void nodes_offers_drop(struct far_link *far)
{
        while (!TAILQ_EMPTY(&far->offers))
                offer_free(TAILQ_FIRST(&far->offers));
}

/* Nobody has it, and nobody will have it by this link. */
static void give_back(struct offer *offer, const char *why, bool again)
{
        struct far_link *far = offer->far;
        const bool granted = offer->granted;
        char id[ID_MAX + 1];

        memcpy(id, offer->id, sizeof(id));
        far->node->nodes->counts.refused++;
        offer_free(offer);
        if (!dispatch_link_returned(far->link, id, why, again) && granted)
                dispatch_lost(far->link, id); /* the connector had acknowledged it */
        far_settle(far);
}

void nodes_offer_absent(struct nodes *n, uint64_t number)
{
        struct offer *offer = offer_numbered(n, number);

        if (offer)
                give_back(offer, "node_gone", true);
}

static void take_claim(struct offer *offer)
{
        struct far_link *far = offer->far;
        struct nodes *n = far->node->nodes;
        const uint64_t now = loop_now(n->relay->loop);
        struct msg_out m;

        if (offer->granted)
                return;
        nodes_begin_ref(n, &m, NODES_GRANT, offer->number);
        msg_str(&m, NODES_TAG_ID, offer->id);
        msg_u64(&m, NODES_TAG_BUDGET, offer->deadline > now ? offer->deadline - now : 1);
        msg_str(&m, NODES_TAG_SEALED, offer->sealed);
        if (offer->trace[0])
                msg_str(&m, NODES_TAG_TRACE, offer->trace);
        if (offer->last)
                msg_u64(&m, NODES_TAG_LAST, 1);
        if (bus_send(n->bus, far->node->run, offer->number, &m) < 0) { /* not a byte of it left */
                give_back(offer, "node_gone", true);
                return;
        }
        offer->granted = true;
        offer->asked_at = now;
        free(offer->sealed);
        offer->sealed = NULL;
        n->counts.granted++;
        dispatch_link_sent(far->link, offer->id);
}

static void take_refused(struct offer *offer, const struct msg_in *m)
{
        struct far_link *far = offer->far;
        char why[64], id[ID_MAX + 1];

        if (msg_get_str(m, NODES_TAG_WHY, why, sizeof(why)) < 0)
                return;
        const bool under_way = offer->granted && strcmp(why, DUPLICATE) == 0;
        if (!under_way && (!offer->granted || !decline_why_valid(why))) {
                give_back(offer, why, strcmp(why, "full") != 0);
                return;
        }
        memcpy(id, offer->id, sizeof(id));
        far->node->nodes->counts.refused++;
        offer_free(offer);
        if (under_way) /* somebody has this id there already: a DC may have been asked, and nobody else is */
                dispatch_lost(far->link, id);
        else
                dispatch_declined(far->link, id, why);
        far_settle(far);
}

/* The one answer of what was granted: m has it. */
static void take_answer(struct offer *offer, const struct msg_in *m)
{
        struct far_link *far = offer->far;
        char jwe[VERDICT_JWE_MAX + 1], id[ID_MAX + 1];

        if (!offer->granted || (m->type == NODES_VERDICT && msg_get_str(m, NODES_TAG_JWE, jwe, sizeof(jwe)) < 0))
                return;
        memcpy(id, offer->id, sizeof(id));
        offer_free(offer);
        if (m->type == NODES_VERDICT)
                (void)dispatch_verdict(far->link, id, jwe);
        else
                dispatch_lost(far->link, id);
        far_settle(far);
}

/* ---- other nodes' sign-ins ---- */

static void hop_free(struct hop *hop)
{
        table_remove(&hop->by_key);
        TAILQ_REMOVE(&hop->nodes->hop_list, hop, entry);
        free(hop->sealed);
        free(hop->jwe);
        free(hop);
}

static void hop_key(char key[BUS_RUN_LEN + 18], const char *run, uint64_t ref)
{
        (void)snprintf(key, BUS_RUN_LEN + 18, "%s/%016llx", run, (unsigned long long)ref);
}

static struct hop *hop_of(struct nodes *n, const char *run, uint64_t ref)
{
        char key[BUS_RUN_LEN + 18];

        hop_key(key, run, ref);
        return table_object(table_find(&n->hops, key, NULL), struct hop, by_key);
}

static void refuse(struct nodes *n, const char *run, uint64_t ref, const char *why)
{
        struct msg_out m;

        nodes_begin_ref(n, &m, NODES_REFUSED, ref);
        msg_str(&m, NODES_TAG_WHY, why);
        (void)bus_send(n->bus, run, 0, &m);
}

/* Claims that may still be granted, of this connector. */
static long claimed(const struct nodes *n, const char *tenant, const char *connector)
{
        const uint64_t now = loop_now(n->relay->loop);
        const struct hop *hop;
        long count = 0;

        TAILQ_FOREACH_REVERSE(hop, &n->hop_list, hop_list, entry)
        {
                if (now - hop->claimed_at > NODES_CLAIM_MS)
                        break;
                count += hop->state == HOP_CLAIMED && strcmp(hop->connector, connector) == 0 &&
                         strcmp(hop->tenant, tenant) == 0;
        }
        return count;
}

static void take_offer(struct node *node, const struct msg_in *m)
{
        struct nodes *n = node->nodes;
        const uint64_t ref = msg_get_u64(m, NODES_TAG_REF, 0);
        char tenant[TENANT_MAX + 1], connector[ID_MAX + 1];
        struct msg_out answer;
        struct tenant *t;

        if (!nodes_frames_tenant(m, tenant) || !nodes_frames_id(m, NODES_TAG_CONNECTOR, connector) ||
            hop_of(n, node->run, ref))
                return;
        const long spare =
                tenant_get(n->relay, tenant, &t) < 0 ? -1 : dispatch_spare(n->relay->dispatch, tenant, connector);
        struct hop *hop =
                spare > claimed(n, tenant, connector) && n->hops.n < NODES_OFFERS_MAX ? calloc(1, sizeof(*hop)) : NULL;
        if (!hop) {
                refuse(n, node->run, ref, spare < 0 ? "not_ready" : "full");
                return;
        }
        hop->nodes = n;
        hop->ref = ref;
        hop->claimed_at = loop_now(n->relay->loop);
        hop->end = hop->claimed_at + NODES_CLAIM_MS;
        memcpy(hop->run, node->run, sizeof(hop->run));
        memcpy(hop->tenant, tenant, sizeof(hop->tenant));
        memcpy(hop->connector, connector, sizeof(hop->connector));
        hop_key(hop->key, hop->run, ref);
        table_add(&n->hops, &hop->by_key, hop->key, NULL);
        TAILQ_INSERT_TAIL(&n->hop_list, hop, entry);
        n->counts.claimed++;
        nodes_begin_ref(n, &answer, NODES_CLAIM, ref);
        if (bus_send(n->bus, node->run, 0, &answer) < 0)
                hop_free(hop);
}

/* Its answer leaves; again and again until it has come. */
static void hop_answer(struct hop *hop)
{
        struct nodes *n = hop->nodes;
        struct msg_out m;

        const bool stray = hop->answer == NODES_VERDICT && hop->apart;

        hop->told_at = loop_now(n->relay->loop);
        nodes_begin_ref(n, &m, stray ? NODES_STRAY : hop->answer, hop->ref);
        if (hop->answer == NODES_REFUSED)
                msg_str(&m, NODES_TAG_WHY, hop->why);
        if (stray)
                put_stray(&m, hop->tenant, hop->connector, hop->id, hop->jwe);
        else if (hop->answer == NODES_VERDICT)
                msg_str(&m, NODES_TAG_JWE, hop->jwe);
        (void)bus_send(n->bus, hop->run, 0, &m);
}

static void hop_end(struct hop *hop, enum nodes_frame answer)
{
        hop->state = HOP_ENDED;
        hop->answer = answer;
        free(hop->sealed);
        hop->sealed = NULL;
        hop_answer(hop);
}

static int hop_share(void *arg, size_t i, struct buffer *out)
{
        const struct hop *hop = arg;

        (void)i;
        return buffer_append_str(out, hop->sealed);
}

/* Whether the node that it comes from has nobody else. */
static bool hop_alone(void *arg)
{
        return ((const struct hop *)arg)->last;
}

static void hop_received(void *arg)
{
        struct hop *hop = arg;
        struct msg_out m;

        hop->received = true;
        nodes_begin_ref(hop->nodes, &m, NODES_RECEIVED, hop->ref);
        (void)bus_send(hop->nodes->bus, hop->run, 0, &m);
}

static void hop_done(void *arg, const struct dispatch_outcome *o)
{
        const char *at = o->reasons, *line;
        struct hop *hop = arg;
        const bool whole = o->jwe && text_set(&hop->jwe, o->jwe) == 0;
        size_t n;

        (void)snprintf(hop->why, sizeof(hop->why), "%s",
                       o->problem == PROBLEM_BUSY       ? "full"
                       : o->problem == PROBLEM_DRAINING ? "draining"
                                                        : "not_ready");
        if (wire_lines_next(&at, &line, &n) && n < sizeof(hop->why)) /* the connector's own word */
                (void)snprintf(hop->why, sizeof(hop->why), "%.*s", (int)n, line);
        hop_end(hop, whole ? NODES_VERDICT : o->jwe || o->started_unknown ? NODES_LOST : NODES_REFUSED);
}

/* The body and what goes with it. Whether it is of its form: a node that is not well could send a connector anything.
 */
static bool read_grant(struct hop *hop, const struct msg_in *m, char trace[56], uint64_t *ret_budget)
{
        char sealed[SEALED_SHARE_MAX + 1];
        struct sealed form;
        struct error err;

        trace[0] = '\0';
        (void)msg_get_str(m, NODES_TAG_TRACE, trace, 56);
        if (trace[0] && (strlen(trace) != 55 || strspn(trace, "0123456789abcdef-") != 55))
                return false;
        *ret_budget = msg_get_u64(m, NODES_TAG_BUDGET, 0);
        hop->last = msg_get_u64(m, NODES_TAG_LAST, 0) != 0;
        return nodes_frames_id(m, NODES_TAG_ID, hop->id) && *ret_budget > 0 && *ret_budget <= BUDGET_MAX &&
               msg_get_str(m, NODES_TAG_SEALED, sealed, sizeof(sealed)) == 0 &&
               sealed_read(&form, sealed, strlen(sealed), &err) == 0 && form.n == 1 &&
               text_set(&hop->sealed, sealed) == 0;
}

static void take_grant(struct node *node, const struct msg_in *m)
{
        struct nodes *n = node->nodes;
        const uint64_t ref = msg_get_u64(m, NODES_TAG_REF, 0), now = loop_now(n->relay->loop);
        struct hop *hop = hop_of(n, node->run, ref);
        const char *connector = hop ? hop->connector : NULL;
        char trace[56];
        uint64_t budget;

        if (hop && hop->state != HOP_CLAIMED)
                return;
        if (!hop || now - hop->claimed_at > NODES_CLAIM_MS) {
                n->counts.stale++;
                refuse(n, node->run, ref, "late");
                if (hop)
                        hop_free(hop);
                return;
        }
        int r = read_grant(hop, m, trace, &budget) ? 0 : -EBADMSG;
        if (r == 0) {
                const struct dispatch_submission s = {.tenant = hop->tenant,
                                                      .id = hop->id,
                                                      .traceparent = trace[0] ? trace : NULL,
                                                      .budget_ms = (uint32_t)budget,
                                                      .n = 1,
                                                      .connectors = &connector,
                                                      .hop = true,
                                                      .caller = {.share = hop_share,
                                                                 .done = hop_done,
                                                                 .arg = hop,
                                                                 .alone = hop_alone,
                                                                 .received = hop_received}};
                hop->state = HOP_GRANTED;
                hop->end = now + budget + GRACE_MS;
                r = dispatch_submit(n->relay->dispatch, &s);
        }
        if (r == 0) {
                n->counts.taken++;
                return;
        }
        refuse(n, node->run, ref, r == -EEXIST ? DUPLICATE : "bad_request");
        hop_free(hop);
}

/* What became of a grant. Who is not known here has nothing, and never will. */
static void take_ask(struct node *node, uint64_t ref)
{
        struct nodes *n = node->nodes;
        struct hop *hop = hop_of(n, node->run, ref);

        if (hop && hop->state == HOP_ENDED)
                hop_answer(hop);
        else if (hop && hop->received)
                hop_received(hop);
        else if (!hop || hop->state == HOP_CLAIMED)
                refuse(n, node->run, ref, "late");
        if (hop && hop->state == HOP_CLAIMED)
                hop_free(hop);
}

static void take_cancel(struct node *node, uint64_t ref)
{
        struct hop *hop = hop_of(node->nodes, node->run, ref);

        if (hop && hop->state == HOP_GRANTED)
                dispatch_cancel(hop->nodes->relay->dispatch, hop->tenant, hop->id);
        if (hop)
                hop_free(hop);
}

void nodes_hops_drop(struct nodes *n, const char *run, bool apart)
{
        struct hop *hop, *next;

        for (hop = TAILQ_FIRST(&n->hop_list); hop; hop = next) {
                next = TAILQ_NEXT(hop, entry);
                if (strcmp(hop->run, run) != 0)
                        continue;
                hop->apart |= apart;
                if (hop->state == HOP_GRANTED && apart)
                        continue;
                if (hop->state == HOP_GRANTED) { /* it is remembered: the node may live and ask */
                        dispatch_cancel(n->relay->dispatch, hop->tenant, hop->id);
                        hop_end(hop, NODES_LOST);
                } else if (hop->state == HOP_CLAIMED) {
                        hop_free(hop);
                }
        }
}

/* ---- verdicts that came up where nobody waits for them ---- */

static void stray_free(struct nodes *n, struct stray *stray)
{
        TAILQ_REMOVE(&n->strays, stray, entry);
        n->n_strays--;
        free(stray);
}

enum nodes_stray nodes_give_stray(struct nodes *n, const struct tenant *t, const char *connector, const char *id,
                                  const char *jwe)
{
        struct stray *stray;
        size_t others = 0; /* of this tenant */
        struct msg_out m;

        if (!n || TAILQ_EMPTY(&n->all))
                return NODES_STRAY_LATE;
        TAILQ_FOREACH (stray, &n->strays, entry) {
                if (strcmp(stray->tenant, t->name) != 0)
                        continue;
                if (strcmp(stray->id, id) == 0 && strcmp(stray->connector, connector) == 0)
                        return stray->taken                                            ? NODES_STRAY_TAKEN
                               : loop_now(n->relay->loop) - stray->asked_at > STRAY_MS ? NODES_STRAY_LATE
                                                                                       : NODES_STRAY_ASKED;
                others++;
        }
        stray = n->n_strays < NODES_STRAYS_MAX && others < NODES_STRAYS_EACH ? calloc(1, sizeof(*stray)) : NULL;
        if (!stray)
                return NODES_STRAY_LATE;
        memcpy(stray->tenant, t->name, sizeof(stray->tenant));
        memcpy(stray->connector, connector, strnlen(connector, ID_MAX));
        memcpy(stray->id, id, strnlen(id, ID_MAX));
        stray->number = ++n->numbers | STRAY_BIT;
        stray->asked_at = loop_now(n->relay->loop);
        TAILQ_INSERT_TAIL(&n->strays, stray, entry);
        n->n_strays++;
        nodes_begin_ref(n, &m, NODES_STRAY, stray->number);
        put_stray(&m, stray->tenant, stray->connector, stray->id, jwe);
        if (bus_send(n->bus, NULL, 0, &m) == 0)
                return NODES_STRAY_ASKED;
        stray_free(n, stray);
        return NODES_STRAY_LATE;
}

static void take_stray(struct node *node, const struct msg_in *m)
{
        char tenant[TENANT_MAX + 1], connector[ID_MAX + 1], id[ID_MAX + 1], jwe[VERDICT_JWE_MAX + 1];
        struct msg_out answer;

        if (!nodes_frames_tenant(m, tenant) || !nodes_frames_id(m, NODES_TAG_CONNECTOR, connector) ||
            !nodes_frames_id(m, NODES_TAG_ID, id) || msg_get_str(m, NODES_TAG_JWE, jwe, sizeof(jwe)) < 0 ||
            dispatch_verdict_of(node->nodes->relay->dispatch, tenant, connector, id, jwe) != DISPATCH_CONFIRMED)
                return;
        nodes_begin_ref(node->nodes, &answer, NODES_TOOK, msg_get_u64(m, NODES_TAG_REF, 0));
        (void)bus_send(node->nodes->bus, node->run, 0, &answer);
}

/* An answer, or a stray verdict, has come. */
static void take_took(struct node *node, uint64_t number)
{
        struct nodes *n = node->nodes;
        struct hop *hop = hop_of(n, node->run, number);
        struct stray *stray;

        if (hop && hop->state == HOP_ENDED)
                hop_free(hop);
        TAILQ_FOREACH (stray, &n->strays, entry) {
                if (stray->number != number || stray->taken)
                        continue;
                stray->taken = true;
                n->counts.strays++;
                return;
        }
}

/* ---- all messages of this kind ---- */

/* What comes is for the node that was asked alone. */
static void take_about_offer(struct node *node, const struct msg_in *m)
{
        const uint64_t ref = msg_get_u64(m, NODES_TAG_REF, 0);
        struct offer *offer = offer_numbered(node->nodes, ref);
        struct msg_out took;

        offer = offer && offer->far->node == node ? offer : NULL;
        if (m->type == NODES_VERDICT || m->type == NODES_LOST ||
            (m->type == NODES_REFUSED && (!offer || offer->granted))) { /* nobody need send it again */
                nodes_begin_ref(node->nodes, &took, NODES_TOOK, ref);
                (void)bus_send(node->nodes->bus, node->run, 0, &took);
        }
        if (!offer && m->type == NODES_RECEIVED)
                nodes_take_question(node, m);
        if (!offer)
                return;
        if (m->type == NODES_CLAIM)
                take_claim(offer);
        else if (m->type == NODES_REFUSED)
                take_refused(offer, m);
        else if (m->type != NODES_RECEIVED)
                take_answer(offer, m);
        else if (offer->granted && (offer->received = true))
                dispatch_received(offer->far->link, offer->id);
}

void nodes_take_sign_in(struct node *node, const struct msg_in *m)
{
        const uint64_t ref = msg_get_u64(m, NODES_TAG_REF, 0);

        if (m->type == NODES_OFFER)
                take_offer(node, m);
        else if (m->type == NODES_GRANT)
                take_grant(node, m);
        else if (m->type == NODES_STRAY)
                take_stray(node, m);
        else if (m->type == NODES_TOOK)
                take_took(node, ref);
        else if (m->type == NODES_ASK)
                take_ask(node, ref);
        else if (m->type == NODES_CANCEL)
                take_cancel(node, ref);
        else
                take_about_offer(node, m);
}

/* ---- time, and the end ---- */

void nodes_offers_sweep(struct nodes *n)
{
        const uint64_t now = loop_now(n->relay->loop);
        struct hop *hop, *next;
        struct stray *stray;
        struct msg_out m;

        for (struct table_node *at = NULL; (at = table_next(&n->offers, at));) {
                struct offer *offer = table_object(at, struct offer, by_ref);

                /* a grant that no connector is known to have, though that takes no time */
                if (!offer->granted || offer->received || now - offer->asked_at < ASK_MS)
                        continue;
                offer->asked_at = now;
                nodes_begin_ref(n, &m, NODES_ASK, offer->number);
                (void)bus_send(n->bus, offer->far->node->run, 0, &m);
        }
        for (hop = TAILQ_FIRST(&n->hop_list); hop; hop = next) {
                next = TAILQ_NEXT(hop, entry);
                if (now > hop->end && hop->state != HOP_GRANTED)
                        hop_free(hop);
                else if (hop->state == HOP_ENDED && now - hop->told_at >= ANSWER_MS)
                        hop_answer(hop);
        }
        while ((stray = TAILQ_FIRST(&n->strays)) && now - stray->asked_at > STRAY_MEMORY_MS)
                stray_free(n, stray);
}

void nodes_offers_clear(struct nodes *n)
{
        while (!TAILQ_EMPTY(&n->hop_list))
                hop_free(TAILQ_FIRST(&n->hop_list));
        while (!TAILQ_EMPTY(&n->strays))
                stray_free(n, TAILQ_FIRST(&n->strays));
        table_clear(&n->offers);
        table_clear(&n->hops);
}
