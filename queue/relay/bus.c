/*
 * Starting the bus process, and passing messages to and from it.
 *
 * Owns the process (base/process/child.h). Invariant: what cannot be handed to a process that is connected now is
 * refused, so that nothing waits here for a better time.
 */
#include "queue/relay/bus.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/process/child.h"
#include "queue/relay/bus-frames.h"
#include "queue/relay/bus-process.h"

#define FULL_FRAMES 2048  /* that wait: it has come to a stop */
#define PATIENCE_MS 60000 /* it says every second that it lives, but while it connects: 2 s a server */
#define WATCH_MS 5000
#define END_MS 3000 /* for its last words */
#define END_LOOK_US 5000

struct bus {
        struct child child;
        struct child_boot boot;
        const struct relay_config *config;
        struct bus_ops ops;
        struct bus_setup setup;
        struct loop_signal *ended;
        struct loop_timer *watch;
        bool connected;
};

static void set_connected(struct bus *bus, bool connected, const char *why)
{
        bus->connected = connected;
        bus->ops.state(bus->ops.arg, connected, why);
}

static void on_frame(struct child *child, const struct msg_in *m, int fd)
{
        struct bus *bus = child->arg;
        char run[BUS_RUN_LEN + 1], why[ERROR_TEXT_MAX] = "";
        size_t n;
        const uint8_t *bytes = msg_get_bytes(m, BUS_TAG_BYTES, &n);

        (void)fd;
        if (m->type == BUS_FRAME_RECEIVED) {
                bus->ops.message(bus->ops.arg, bytes, n);
        } else if (m->type == BUS_FRAME_ABSENT && msg_get_str(m, BUS_TAG_TO, run, sizeof(run)) == 0) {
                bus->ops.absent(bus->ops.arg, run, msg_get_u64(m, BUS_TAG_NUMBER, 0));
        } else if (m->type == BUS_FRAME_STATE) {
                (void)msg_get_str(m, TAG_WHY, why, sizeof(why));
                set_connected(bus, msg_get_u64(m, BUS_TAG_NUMBER, 0) != 0, why[0] ? why : NULL);
        }
}

/* ---- the process ---- */

static int hand_files(struct bus *bus, struct error *err)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < CLUSTER_FILES_; i++) {
                const enum cluster_file file = (enum cluster_file)i;
                _cleanup_(closep) int fd = -1;

                if (!cluster_file_path(&bus->config->nats, CLUSTER_DISPATCH, file))
                        continue;
                r = cluster_file_open(&bus->config->nats, CLUSTER_DISPATCH, file, &fd, err);
                if (r == 0)
                        r = child_hand(&bus->child, cluster_file_name(file), fd, err);
        }
        return r;
}

static int start_process(struct bus *bus, struct error *err)
{
        const struct spawn how = {.role = "bus", .user = bus->config->user};
        _cleanup_(buffer_free) struct buffer config = BUFFER(sizeof(bus->setup));

        if (buffer_append(&config, &bus->setup, sizeof(bus->setup)) < 0)
                return error_fail(err, -ENOMEM, "no memory");
        int r = child_start(&bus->child, &how, &config, err);
        if (r == 0)
                r = hand_files(bus, err);
        if (r == 0 && child_begin(&bus->child, &bus->boot, "relay", false) < 0)
                r = error_fail(err, -EPIPE, "the bus process does not listen");
        return r;
}

static void on_again(struct child *child)
{
        struct error err;

        if (start_process(child->arg, &err) < 0)
                child_start_failed(child, &err);
}

static void on_ended(void *arg)
{
        struct bus *bus = arg;

        if (!child_reap(&bus->child))
                return;
        set_connected(bus, false, "the bus process has ended");
        child_again_later(&bus->child);
}

static void on_watch(void *arg)
{
        struct bus *bus = arg;

        (void)child_watch(&bus->child, WATCH_MS, PATIENCE_MS);
        loop_timer_in(bus->watch, WATCH_MS);
}

/* ---- what the relay calls ---- */

bool bus_is_connected(const struct bus *bus)
{
        return bus->connected;
}

size_t bus_queued(const struct bus *bus)
{
        return bus->child.control ? ipc_queued(bus->child.control) : 0;
}

int bus_send(struct bus *bus, const char *run, uint64_t number, const struct msg_out *m)
{
        struct msg_out frame;

        if (!bus->connected || !bus->child.control)
                return -ENOTCONN;
        if (m->overflow || m->len > BUS_MESSAGE_MAX)
                return -EMSGSIZE;
        if (ipc_queued(bus->child.control) >= FULL_FRAMES)
                return -ENOBUFS;
        msg_begin(&frame, BUS_FRAME_SEND);
        msg_str(&frame, BUS_TAG_TO, run);
        msg_u64(&frame, BUS_TAG_NUMBER, number);
        msg_bytes(&frame, BUS_TAG_BYTES, m->data, m->len);
        return ipc_send(bus->child.control, &frame);
}

void bus_reload(struct bus *bus)
{
        struct error err = {""};
        struct msg_out m;

        msg_begin(&m, BUS_FRAME_RELOAD);
        if (bus->child.control && (hand_files(bus, &err) < 0 || ipc_send(bus->child.control, &m) < 0))
                log_error("bus_not_reloaded", KV_S("why", err.text));
}

/* ---- life ---- */

int bus_new(struct bus **ret_bus, struct loop *loop, const struct relay_config *config, const char *run,
            const struct bus_ops *ops, struct error *err)
{
        static const struct child_ops child_ops = {.frame = on_frame, .again = on_again};
        struct bus *bus = bus_process_built() ? calloc(1, sizeof(*bus)) : NULL;

        if (!bus)
                return error_fail(err, -EINVAL, "dispatch = nats: this postern-relay was built without NATS (libnats)");
        bus->config = config;
        bus->ops = *ops;
        cluster_place_of(&config->nats, CLUSTER_DISPATCH, config->node, &bus->setup.place);
        memcpy(bus->setup.run, run, strnlen(run, BUS_RUN_LEN));
        memcpy(bus->setup.subject, config->nats.subject, strnlen(config->nats.subject, sizeof(bus->setup.subject) - 1));
        int r = child_new(&bus->child, loop, &bus_frames, BUS_PART_BUS, &child_ops, bus);
        r = r < 0 ? r : child_boot_begin(&bus->boot, loop);
        r = r < 0 ? r : loop_timer_new(&bus->watch, loop, NULL, on_watch, bus);
        r = r < 0 ? r : loop_signal_new(&bus->ended, loop, SIGCHLD, on_ended, bus);
        r = r < 0 ? error_fail(err, r, "no memory") : start_process(bus, err);
        if (r < 0) {
                bus_free(bus);
                return r;
        }
        loop_timer_in(bus->watch, WATCH_MS);
        *ret_bus = bus;
        return 0;
}

struct bus *bus_free(struct bus *bus)
{
        if (!bus)
                return NULL;
        child_end(&bus->child); /* it sends what it was given */
        for (unsigned us = 0; bus->child.pid > 0 && !child_reap(&bus->child); us += END_LOOK_US) {
                if (us >= END_MS * 1000 || !bus->connected) /* it may be waiting for a server */
                        (void)kill(bus->child.pid, SIGKILL);
                (void)usleep(END_LOOK_US);
        }
        bus->ended = loop_signal_free(bus->ended);
        loop_timer_free(bus->watch);
        child_free(&bus->child);
        free(bus);
        return NULL;
}
