/*
 * What the relay and its bus process say to each other, on the process's control channel (base/process/control.h).
 */
#pragma once

#include "base/process/control.h"
#include "queue/relay/bus.h"
#include "queue/relay/cluster.h"

/* The bytes of CONFIG: both ends are one program. The files come as FILEs (cluster_file_name). */
struct bus_setup {
        struct cluster_place place;
        char run[BUS_RUN_LEN + 1], subject[65];
};

enum bus_part { BUS_PART_RELAY = 0, BUS_PART_BUS, BUS_PARTS_ };

enum bus_frame {
        BUS_FRAME_SEND = CONTROL_TYPES_END,
        BUS_FRAME_RECEIVED,
        BUS_FRAME_ABSENT,
        BUS_FRAME_STATE,
        BUS_FRAME_RELOAD,
};

enum bus_tag {
        BUS_TAG_TO = CONTROL_TAGS_END,
        BUS_TAG_NUMBER,
        BUS_TAG_BYTES,
};

extern const struct frame_table bus_frames;
