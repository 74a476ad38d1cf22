/*
 * The relay's side of the bus: the process that carries messages between the nodes of a relay, over core NATS.
 *
 * A message goes to one node or to all others, at most once; nothing of it is kept anywhere, and what cannot leave now
 * never leaves later. The process (bus-process.h) is started again when it ends.
 */
#pragma once

#include "base/ipc/ipc.h"
#include "queue/relay/config.h"

#define BUS_RUN_LEN 22           /* a node's name on the bus: b64u of 16 random bytes, new at each start of a relay */
#define BUS_MESSAGE_MAX 15872    /* bytes: what a frame to the process holds beside its other fields */
#define BUS_SUBJECT_VERSION ".1" /* behind `subject`: another form of messages gets another one */

struct bus;

struct bus_ops {
        /* A message, from whoever may use the subjects: nothing of it was looked at. Borrowed. */
        void (*message)(void *arg, const uint8_t *bytes, size_t n);
        /* Nobody of this name was there to get the message of that number: it reached nobody. */
        void (*absent)(void *arg, const char *run, uint64_t number);
        /* It is connected; or not, and why says so (or NULL). Called for each change. */
        void (*state)(void *arg, bool connected, const char *why);
        void *arg;
};

/*
 * Starts the process, which connects by itself and again whenever that is needed; run is this node's name. config is
 * borrowed until bus_free. -EINVAL: built without libnats; -errno with a sentence, of a file that cannot be read, say.
 */
int bus_new(struct bus **ret_bus, struct loop *loop, const struct relay_config *config, const char *run,
            const struct bus_ops *ops, struct error *err);
struct bus *bus_free(struct bus *bus);
bool bus_is_connected(const struct bus *bus);
/*
 * Sends to one node, or to all others (run NULL). number: absent is told if nobody is there; 0: no matter. 0: it left
 * for NATS; -ENOTCONN, -ENOBUFS, -EMSGSIZE: not a byte did.
 */
int bus_send(struct bus *bus, const char *run, uint64_t number, const struct msg_out *m);
/* How much waits to leave: what may be left for later is, over a few hundred. */
size_t bus_queued(const struct bus *bus);
/* Connects with the files as they are now; the connection in use goes once the new one is there. */
void bus_reload(struct bus *bus);
