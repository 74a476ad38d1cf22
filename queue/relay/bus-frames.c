/*
 * The table of frames between the relay and its bus process.
 *
 * Pure. What the nodes say to each other is bytes here: cluster-frames.c.
 */
#include "queue/relay/bus-frames.h"

#define RELAY (1U << BUS_PART_RELAY)
#define BUS (1U << BUS_PART_BUS)

static const struct frame_rule frames[] = {
        CONTROL_FRAME_ROWS(RELAY, BUS, BUS),
        {.type = BUS_FRAME_SEND,
         .name = "SEND",
         .from = RELAY,
         .to = BUS,
         .needs = {BUS_TAG_NUMBER, BUS_TAG_BYTES},
         .may = {BUS_TAG_TO},
         .about = "a message to the node TO, or to all others; NUMBER, unless 0, comes back where nobody gets it"},
        {.type = BUS_FRAME_RECEIVED,
         .name = "RECEIVED",
         .from = BUS,
         .to = RELAY,
         .needs = {BUS_TAG_BYTES},
         .about = "a message, unread"},
        {.type = BUS_FRAME_ABSENT,
         .name = "ABSENT",
         .from = BUS,
         .to = RELAY,
         .needs = {BUS_TAG_TO, BUS_TAG_NUMBER},
         .about = "the message of that number reached nobody"},
        {.type = BUS_FRAME_STATE,
         .name = "STATE",
         .from = BUS,
         .to = RELAY,
         .needs = {BUS_TAG_NUMBER},
         .may = {TAG_WHY},
         .about = "1: connected, 0: not, and WHY"},
        {.type = BUS_FRAME_RELOAD,
         .name = "RELOAD",
         .from = RELAY,
         .to = BUS,
         .about = "certificates and credentials are to be read again"},
};

static const struct frame_tag_rule tags[] = {
        CONTROL_TAG_ROWS,
        {BUS_TAG_TO, FIELD_TEXT, BUS_RUN_LEN, "TO", "a node's name"},
        {BUS_TAG_NUMBER, FIELD_NUMBER, 0, "NUMBER", "as the frame has it"},
        {BUS_TAG_BYTES, FIELD_BYTES, BUS_MESSAGE_MAX, "BYTES", "a message"},
};

static const char *const parts[BUS_PARTS_] = {"relay", "bus"};

const struct frame_table bus_frames = {.frames = frames,
                                       .n_frames = sizeof(frames) / sizeof(frames[0]),
                                       .tags = tags,
                                       .n_tags = sizeof(tags) / sizeof(tags[0]),
                                       .parts = parts,
                                       .n_parts = BUS_PARTS_};
