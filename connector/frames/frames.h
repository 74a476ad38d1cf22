/*
 * Who may send which frame to whom (messages.h). A process asks this table about every frame that a neighbour sends,
 * since any neighbour may have been taken over: the link by a relay, the validator by a domain controller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum part { PART_SUPERVISOR = 0, PART_LINK, PART_VALIDATOR, PART_LEDGER, PART_N };

/* "supervisor", "link" ...; literal. */
const char *part_name(enum part part);

/* Whether a frame of this type may come from one process to another. Types that the table does not have: never. */
bool frame_may(uint8_t type, enum part from, enum part to);

/*
 * Whether a process may speak of this, the TAG_NAME of FRAME_STATUS or FRAME_EVENT: the link only of itself and its
 * certificate, the validator of all that is neither the link's nor the supervisor's. So neither can tell the helpdesk
 * what only the other one knows.
 */
bool frame_may_name(enum part from, const char *name);
