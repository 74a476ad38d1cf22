/*
 * Questions of people that go to a connector by another node's link: there once, and the answer back in parts.
 *
 * Keeps nothing: who waits, and for how long, is question.c's. A message that is lost costs the question, which whoever
 * asked takes for a silent connector; nothing is sent twice.
 */
#include <stdlib.h>
#include <string.h>

#include "certs/jose/jose.h"
#include "certs/jose/sealed.h"
#include "queue/relay/nodes-internal.h"

/* ---- sending ---- */

uint64_t nodes_pass_question(struct nodes *nodes, const struct far_link *far, const char *id, uint32_t budget,
                             const char *sealed)
{
        const uint64_t number = ++nodes->numbers;
        struct msg_out m;

        nodes_begin_ref(nodes, &m, NODES_QUESTION, number);
        msg_str(&m, NODES_TAG_TENANT, far->tenant->name);
        msg_str(&m, NODES_TAG_CONNECTOR, far->connector);
        msg_str(&m, NODES_TAG_ID, id);
        msg_u64(&m, NODES_TAG_BUDGET, budget);
        msg_str(&m, NODES_TAG_SEALED, sealed);
        if (bus_send(nodes->bus, far->node->run, number, &m) < 0)
                return 0;
        nodes->counts.questions_out++;
        return number;
}

void nodes_answer_question(struct nodes *nodes, const char *run, uint64_t number, const char *jwe, size_t len,
                           const struct problem *p)
{
        char part[VERDICT_JWE_MAX + 1];
        struct msg_out m;

        if (!nodes)
                return;
        if (p) {
                nodes_begin_ref(nodes, &m, NODES_ANSWER, number);
                msg_str(&m, NODES_TAG_WHY, problem_word(p->type));
                if (p->reasons)
                        msg_str(&m, NODES_TAG_REASONS, p->reasons);
                (void)bus_send(nodes->bus, run, 0, &m);
        }
        for (size_t at = 0, n; at < len; at += n) {
                n = len - at < VERDICT_JWE_MAX ? len - at : VERDICT_JWE_MAX;
                memcpy(part, jwe + at, n);
                part[n] = '\0';
                nodes_begin_ref(nodes, &m, NODES_ANSWER, number);
                msg_u64(&m, NODES_TAG_TOTAL, len);
                msg_str(&m, NODES_TAG_JWE, part);
                if (bus_send(nodes->bus, run, 0, &m) < 0)
                        return; /* it ends there with its budget */
        }
}

/* ---- what comes ---- */

/* A node that is not well could send a connector anything: the text must have its form. */
static void take_question(struct node *node, const struct msg_in *m)
{
        struct nodes *n = node->nodes;
        const uint64_t budget = msg_get_u64(m, NODES_TAG_BUDGET, 0), number = msg_get_u64(m, NODES_TAG_REF, 0);
        char sealed[SEALED_SHARE_MAX + 1];
        struct question_passed passed = {.run = node->run, .node = node->name, .number = number, .sealed = sealed};
        struct sealed form;
        struct msg_out m_out;
        struct error err;

        if (!nodes_frames_tenant(m, passed.tenant) || !nodes_frames_id(m, NODES_TAG_CONNECTOR, passed.connector) ||
            !nodes_frames_id(m, NODES_TAG_ID, passed.id) || budget < 1 || budget > BUDGET_MAX ||
            msg_get_str(m, NODES_TAG_SEALED, sealed, sizeof(sealed)) < 0 ||
            sealed_read(&form, sealed, strlen(sealed), &err) < 0 || form.n != 1 || form.padded != PADDED_SMALL)
                return;
        passed.budget = (uint32_t)budget;
        nodes_begin_ref(n, &m_out, NODES_RECEIVED, number);
        if (bus_send(n->bus, node->run, 0, &m_out) < 0)
                return;
        n->counts.questions_in++;
        relay_question_passed(n->relay, &passed);
}

static void take_answer(struct node *node, const struct msg_in *m)
{
        struct relay *relay = node->nodes->relay;
        const uint64_t number = msg_get_u64(m, NODES_TAG_REF, 0), total = msg_get_u64(m, NODES_TAG_TOTAL, 0);
        char part[VERDICT_JWE_MAX + 1], why[64], reasons[64] = "";

        if (msg_get_str(m, NODES_TAG_JWE, part, sizeof(part)) == 0) {
                relay_question_part(relay, node->run, number, total, part);
        } else if (msg_get_str(m, NODES_TAG_WHY, why, sizeof(why)) == 0) {
                (void)msg_get_str(m, NODES_TAG_REASONS, reasons, sizeof(reasons));
                const bool is_word = decline_why_valid(reasons) || strcmp(reasons, "quarantined") == 0;
                relay_question_failed(relay, node->run, number, problem_of_word(why, PROBLEM_CONNECTOR_LOST),
                                      is_word ? reasons : NULL);
        }
}

void nodes_take_question(struct node *node, const struct msg_in *m)
{
        if (m->type == NODES_QUESTION)
                take_question(node, m);
        else if (m->type == NODES_ANSWER)
                take_answer(node, m);
        else /* RECEIVED */
                relay_question_taken(node->nodes->relay, node->run, msg_get_u64(m, NODES_TAG_REF, 0));
}
