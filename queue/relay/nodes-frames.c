/*
 * The table of messages between nodes, and the readers of the names in them.
 *
 * Pure. A message is of this form or it is nothing: which parts there are, their kinds and sizes, and that ids, tenants
 * and boots have theirs. Whether any of it is true is not known here.
 */
#include "queue/relay/nodes-frames.h"

#include <errno.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "certs/trust/roster.h"
#include "certs/trust/statement.h"
#include "queue/relay/bus.h"
#include "queue/wire/wire.h"

#define NODE 1U
/* Every message says who sends it. */
#define ROW(type_, name_, about_) .type = (type_), .name = (name_), .from = NODE, .to = NODE, .about = (about_)
#define NEEDS(...) .needs = {NODES_TAG_RUN, __VA_ARGS__}

static const struct frame_rule frames[] = {
        {ROW(NODES_HEARTBEAT, "HEARTBEAT", "it lives; SEQ: of its last message about links"),
         NEEDS(NODES_TAG_NAME, NODES_TAG_SEQ)},
        {ROW(NODES_BYE, "BYE", "it goes down, and everything it had with it"), NEEDS(0)},
        {ROW(NODES_LINK, "LINK", "a link, AGE ms old"),
         NEEDS(NODES_TAG_SEQ, NODES_TAG_TENANT, NODES_TAG_CONNECTOR, NODES_TAG_BOOT, NODES_TAG_AGE, NODES_TAG_READY),
         .may = {NODES_TAG_REALMS, NODES_TAG_REASONS, NODES_TAG_AGENT, NODES_TAG_PEER}},
        {ROW(NODES_GONE, "GONE", "no link of that start of the connector is left"),
         NEEDS(NODES_TAG_SEQ, NODES_TAG_TENANT, NODES_TAG_CONNECTOR, NODES_TAG_BOOT)},
        {ROW(NODES_STATEMENT, "STATEMENT", "what a linked connector announces"),
         NEEDS(NODES_TAG_SEQ, NODES_TAG_TENANT, NODES_TAG_CONNECTOR, NODES_TAG_STATEMENT)},
        {ROW(NODES_TOLD, "TOLD", "that was all, from number FROM on"), NEEDS(NODES_TAG_SEQ, NODES_TAG_FROM)},
        {ROW(NODES_STRAY, "STRAY", "a verdict for whoever waits for it"),
         NEEDS(NODES_TAG_REF, NODES_TAG_TENANT, NODES_TAG_CONNECTOR, NODES_TAG_ID, NODES_TAG_JWE)},
        {ROW(NODES_SYNC, "SYNC", "tell all links again"), NEEDS(0)},
        {ROW(NODES_PING, "PING", "NATS answers where nobody is there"), NEEDS(0)},
        {ROW(NODES_OFFER, "OFFER", "would the connector take a sign-in now?"),
         NEEDS(NODES_TAG_REF, NODES_TAG_TENANT, NODES_TAG_CONNECTOR)},
        {ROW(NODES_CLAIM, "CLAIM", "it would"), NEEDS(NODES_TAG_REF)},
        {ROW(NODES_GRANT, "GRANT", "the claimed sign-in"),
         NEEDS(NODES_TAG_REF, NODES_TAG_ID, NODES_TAG_BUDGET, NODES_TAG_SEALED),
         .may = {NODES_TAG_TRACE, NODES_TAG_LAST}},
        {ROW(NODES_REFUSED, "REFUSED", "no: nobody got it, or the connector declined"),
         NEEDS(NODES_TAG_REF, NODES_TAG_WHY)},
        {ROW(NODES_RECEIVED, "RECEIVED", "the connector has it"), NEEDS(NODES_TAG_REF)},
        {ROW(NODES_VERDICT, "VERDICT", "its answer"), NEEDS(NODES_TAG_REF, NODES_TAG_JWE)},
        {ROW(NODES_LOST, "LOST", "there will be none, and it may have been started"), NEEDS(NODES_TAG_REF)},
        {ROW(NODES_CANCEL, "CANCEL", "nobody waits for it any more"), NEEDS(NODES_TAG_REF)},
        {ROW(NODES_ASK, "ASK", "what became of the grant?"), NEEDS(NODES_TAG_REF)},
        {ROW(NODES_TOOK, "TOOK", "the answer has come, or the stray verdict was waited for"), NEEDS(NODES_TAG_REF)},
        {ROW(NODES_QUESTION, "QUESTION", "a person's question to the connector"),
         NEEDS(NODES_TAG_REF, NODES_TAG_TENANT, NODES_TAG_CONNECTOR, NODES_TAG_ID, NODES_TAG_BUDGET, NODES_TAG_SEALED)},
        {ROW(NODES_ANSWER, "ANSWER", "a part of its answer, in order, or the problem"), NEEDS(NODES_TAG_REF),
         .may = {NODES_TAG_TOTAL, NODES_TAG_JWE, NODES_TAG_WHY, NODES_TAG_REASONS}},
};

static const struct frame_tag_rule tags[] = {
        {NODES_TAG_RUN, FIELD_TEXT, BUS_RUN_LEN, "RUN", "which start of which node it comes from"},
        {NODES_TAG_NAME, FIELD_TEXT, 64, "NAME", "the node's, as configured"},
        {NODES_TAG_SEQ, FIELD_NUMBER, 0, "SEQ", "counts its messages about links"},
        {NODES_TAG_TENANT, FIELD_TEXT, TENANT_MAX, "TENANT", "a name"},
        {NODES_TAG_CONNECTOR, FIELD_TEXT, ID_MAX, "CONNECTOR", "an id"},
        {NODES_TAG_BOOT, FIELD_TEXT, BOOT_LEN, "BOOT", "which start of the connector"},
        {NODES_TAG_AGE, FIELD_NUMBER, 0, "AGE", "ms"},
        {NODES_TAG_READY, FIELD_NUMBER, 0, "READY", "1: it would get work, credit aside"},
        {NODES_TAG_REALMS, FIELD_TEXT, NODES_LINES_MAX, "REALMS", "that are ready, a line each"},
        {NODES_TAG_REASONS, FIELD_TEXT, NODES_LINES_MAX, "REASONS", "why it is not ready, a line each"},
        {NODES_TAG_AGENT, FIELD_TEXT, 64, "AGENT", "the connector's version"},
        {NODES_TAG_PEER, FIELD_TEXT, 63, "PEER", "its address"},
        {NODES_TAG_STATEMENT, FIELD_TEXT, STATEMENT_TEXT_MAX, "STATEMENT", "its text"},
        {NODES_TAG_FROM, FIELD_NUMBER, 0, "FROM", "the first SEQ of the telling"},
        {NODES_TAG_REF, FIELD_NUMBER, 0, "REF", "which offer, or stray verdict, of the node that began it"},
        {NODES_TAG_ID, FIELD_TEXT, ID_MAX, "ID", "the sign-in's"},
        {NODES_TAG_BUDGET, FIELD_NUMBER, 0, "BUDGET", "ms that are left"},
        {NODES_TAG_SEALED, FIELD_TEXT, SEALED_SHARE_MAX, "SEALED", "the request, for one recipient"},
        {NODES_TAG_TRACE, FIELD_TEXT, 55, "TRACE", "traceparent"},
        {NODES_TAG_WHY, FIELD_TEXT, 63, "WHY", "a word"},
        {NODES_TAG_JWE, FIELD_TEXT, VERDICT_JWE_MAX, "JWE", "a sealed verdict, or a part of an answer"},
        {NODES_TAG_LAST, FIELD_NUMBER, 0, "LAST", "1: nobody else can be given it"},
        {NODES_TAG_TOTAL, FIELD_NUMBER, 0, "TOTAL", "the characters of the whole answer"},
};

static const char *const parts[1] = {"node"};

const struct frame_table nodes_frames = {.frames = frames,
                                         .n_frames = sizeof(frames) / sizeof(frames[0]),
                                         .tags = tags,
                                         .n_tags = sizeof(tags) / sizeof(tags[0]),
                                         .parts = parts,
                                         .n_parts = 1};

int nodes_frames_read(struct msg_in *ret_m, const uint8_t *bytes, size_t n, char *run, struct error *err)
{
        if (n > BUS_MESSAGE_MAX || msg_parse(ret_m, bytes, n) < 0)
                return error_fail(err, -EBADMSG, "the message has no form");
        const int r = frame_check(&nodes_frames, ret_m, false, 0, 0, err);
        if (r < 0)
                return r;
        if (msg_get_str(ret_m, NODES_TAG_RUN, run, BUS_RUN_LEN + 1) < 0 || strlen(run) != BUS_RUN_LEN ||
            !b64u_only(run, BUS_RUN_LEN, '_'))
                return error_fail(err, -EBADMSG, "RUN is no name of a node");
        return 0;
}

bool nodes_frames_tenant(const struct msg_in *m, char *tenant)
{
        return msg_get_str(m, NODES_TAG_TENANT, tenant, TENANT_MAX + 1) == 0 && tenant_valid(tenant);
}

bool nodes_frames_id(const struct msg_in *m, uint8_t tag, char *id)
{
        return msg_get_str(m, tag, id, ID_MAX + 1) == 0 && id_valid(id, strlen(id));
}

bool nodes_frames_boot(const struct msg_in *m, char *boot)
{
        return msg_get_str(m, NODES_TAG_BOOT, boot, BOOT_LEN + 1) == 0 && strlen(boot) == BOOT_LEN &&
               b64u_only(boot, BOOT_LEN, '_');
}
