/*
 * The table of the frames on a scribe's control channel.
 */
#include "base/scribe/scribe-frames.h"

#include "base/core/text.h"

#define STARTER (1u << SCRIBE_PART_STARTER)
#define SCRIBE (1u << SCRIBE_PART_SCRIBE)

static const struct frame_rule rows[] = {CONTROL_FRAME_ROWS(STARTER, SCRIBE, SCRIBE)};
static const struct frame_tag_rule tags[] = {CONTROL_TAG_ROWS};
static const char *const part_names[SCRIBE_PARTS] = {"supervisor", "scribe"};

const struct frame_table scribe_frames = {.frames = rows,
                                          .n_frames = sizeof(rows) / sizeof(rows[0]),
                                          .tags = tags,
                                          .n_tags = sizeof(tags) / sizeof(tags[0]),
                                          .parts = part_names,
                                          .n_parts = SCRIBE_PARTS};
