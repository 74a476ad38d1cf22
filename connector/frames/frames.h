/*
 * Who may send which frame to whom, and what is in it: every channel between the processes of posternd is held to this
 * table (ipc_set_rules), since any neighbour may have been taken over: the link by a relay, the validator by a domain
 * controller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/ipc/frames.h"
#include "connector/frames/messages.h"

enum part { PART_SUPERVISOR = 0, PART_LINK, PART_VALIDATOR, PART_LEDGER, PART_N };

/* "supervisor", "link" ...; literal. */
const char *part_name(enum part part);

/* Every frame and tag: base/process/control.h's and messages.h's. */
extern const struct frame_table posternd_frames;

/*
 * Whether a process may speak of this, the TAG_NAME of FRAME_STATUS or FRAME_EVENT: the link only of itself and its
 * certificate, the validator of all that is neither the link's nor the supervisor's. So neither can tell the helpdesk
 * what only the other one knows.
 */
bool frame_may_name(enum part from, const char *name);
