/*
 * The sandbox's processes: the real relay, and the link and the validator of a connector, each this program once more
 * with --role. The connector's two are spoken to as posternd's supervisor does (base/process/process.h); the sandbox is
 * their supervisor and their ledger.
 */
#pragma once

#include <sys/types.h>

#include "base/ipc/ipc.h"
#include "base/ipc/loop.h"
#include "connector/sandbox/site.h"

enum sandbox_role { SANDBOX_RELAY = 0, SANDBOX_LINK, SANDBOX_VALIDATOR, SANDBOX_ROLES };

struct sandbox_children {
        struct loop *loop;
        const struct sandbox_site *site;
        bool quiet;           /* no line for each sign-in, */
        char own[ID_MAX + 1]; /* nor for the sandbox's own */
        /* Called once, when link and validator are at work. */
        void (*ready)(void *arg);
        /* Called at most once: a process has ended, or said why it will; nothing goes on. */
        void (*failed)(void *arg, const char *why);
        void *arg;

        /* private */
        bool told;
        struct sandbox_child {
                struct sandbox_children *all;
                enum sandbox_role role;
                pid_t pid;
                bool ready;
                struct ipc *control, *records; /* records: where the child says what it did */
        } child[SANDBOX_ROLES];
        struct loop_signal *reaper;
};

/* Starts the relay and waits until it listens; *ret_port is where. -errno with err. */
int sandbox_relay_start(struct sandbox_children *c, uint16_t *ret_port, struct error *err);
/* Starts link and validator, on the loop from here on; site->port is known. -errno with err. */
int sandbox_connector_start(struct sandbox_children *c, struct error *err);
/* Ends all of them and waits for that. */
void sandbox_children_end(struct sandbox_children *c);
/* What a process of this role does, in its place: the exit code. */
int sandbox_role_run(int argc, char **argv);
