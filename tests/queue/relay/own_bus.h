/*
 * A bus between relay nodes that a test has in its hand: it is linked in the place of queue/relay/bus.c, with no NATS
 * behind it. The node's callbacks are in own_bus.ops.
 */
#pragma once

#include "queue/relay/bus.h"

struct bus {
        struct bus_ops ops;
        bool connected; /* as bus_is_connected says; bus_send fails where not */
};
extern struct bus own_bus;

/* The test's own: what the node sends, to one other (run) or to all (NULL). */
void own_bus_sent(const char *run, const struct msg_out *m);
