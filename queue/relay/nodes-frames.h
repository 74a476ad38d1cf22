/*
 * What the nodes of a relay say to each other over the bus: one frame (base/ipc/ipc.h) a message, held to a table.
 *
 * Whoever may use the subjects can send any bytes: sizes and kinds are the table's, what texts mean is the reader's.
 * Times are ages and budgets in ms, never a clock's.
 */
#pragma once

#include "base/ipc/frames.h"

#define NODES_LINES_MAX 6144 /* realms, reasons: a line each, as many as fit */

enum nodes_frame {
        /* to all */
        NODES_HEARTBEAT = 1, /* every second */
        NODES_BYE,           /* to each, behind what it was told before */
        NODES_LINK,          /* a link of a connector, and whether it is ready */
        NODES_GONE,          /* there is none any more */
        NODES_STATEMENT,     /* a connector's latest */
        NODES_TOLD,          /* since FROM all links and statements were told: others of this node are no more */
        NODES_STRAY,         /* a verdict that nobody waits for here */
        /* to one */
        NODES_SYNC, /* tell all */
        NODES_PING, /* is there anybody? NATS says if not */
        NODES_OFFER,
        NODES_CLAIM,
        NODES_GRANT,
        NODES_REFUSED, /* nobody has got it from this node, and nobody will */
        NODES_RECEIVED,
        NODES_VERDICT,
        NODES_LOST,
        NODES_CANCEL,
        NODES_ASK,      /* what became of a grant? */
        NODES_TOOK,     /* the answer has come; of a stray verdict: somebody did wait for it */
        NODES_QUESTION, /* a person's, for a connector; RECEIVED says that it has come */
        NODES_ANSWER,   /* a part of its answer, or the problem */
};

enum nodes_tag {
        NODES_TAG_RUN = 1, /* of who sends it; first */
        NODES_TAG_NAME,
        NODES_TAG_SEQ,
        NODES_TAG_TENANT,
        NODES_TAG_CONNECTOR,
        NODES_TAG_BOOT,
        NODES_TAG_AGE,
        NODES_TAG_READY,
        NODES_TAG_REALMS,
        NODES_TAG_REASONS,
        NODES_TAG_AGENT,
        NODES_TAG_PEER,
        NODES_TAG_STATEMENT,
        NODES_TAG_FROM,
        NODES_TAG_REF,
        NODES_TAG_ID,
        NODES_TAG_BUDGET,
        NODES_TAG_SEALED,
        NODES_TAG_TRACE,
        NODES_TAG_WHY,
        NODES_TAG_JWE,
        NODES_TAG_LAST,
        NODES_TAG_TOTAL,
};

extern const struct frame_table nodes_frames;

/*
 * Splits a message and holds it to the table; *ret_m points into bytes. run: who says that it comes from him, with its
 * NUL. -EBADMSG, -EPERM with what is wrong in err.
 */
int nodes_frames_read(struct msg_in *ret_m, const uint8_t *bytes, size_t n, char *run, struct error *err);
/* The texts that a message names things by: false where one is absent or has not the form that it must have. */
bool nodes_frames_tenant(const struct msg_in *m, char *tenant);      /* TENANT_MAX + 1 */
bool nodes_frames_id(const struct msg_in *m, uint8_t tag, char *id); /* ID_MAX + 1 */
bool nodes_frames_boot(const struct msg_in *m, char *boot);          /* BOOT_LEN + 1 */
