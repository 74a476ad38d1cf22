/*
 * What a scribe and who starts it say to each other: control frames alone (base/process/control.h). The configuration
 * is a struct scribe_setup; the one file is the scribe's end of the channel with its writer.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

#include "base/process/control.h"

enum { SCRIBE_PART_STARTER = 0, SCRIBE_PART_SCRIBE, SCRIBE_PARTS };
#define SCRIBE_ROLE "--role=scribe"
#define SCRIBE_WRITER "writer"

struct scribe_setup {
        char key[32], path[PATH_MAX];
        uint32_t socket, confinement; /* 1 or 0; enum confine_mode */
};

extern const struct frame_table scribe_frames;
