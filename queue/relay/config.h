/*
 * Configuration of postern-relay: one table of keys drives the parser, --check-config and the sample file.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/core/error.h"
#include "base/core/log.h"

#define RELAY_LISTEN_MAX 8
#define RELAY_NODES_MAX 4

struct relay_listen {
        char host[64];
        uint16_t port;
};

struct relay_config {
        struct relay_listen listen[RELAY_LISTEN_MAX];
        size_t n_listen;
        char *certificate, *key, *state_dir, *user, *node, *ready_file;
        char *nodes[RELAY_NODES_MAX];
        size_t n_nodes;
        enum log_level log_level;
        uint64_t certificate_days, certificate_minutes, connections, connections_per_address, links_per_tenant,
                in_flight_per_tenant, sign_ins_per_second, sign_in_burst;
};

/* Called for each mistake: "key: why" with its place (line 0: about the file as a whole). */
typedef void relay_config_fault_fn(void *arg, const char *file, int line, const char *text);

/* Reads and checks the whole file. 0, or -EINVAL after every mistake was told; -errno (err) where the file
 * can't be read. */
int relay_config_read(struct relay_config *ret_config, const char *path, relay_config_fault_fn *fault, void *arg,
                      struct error *err);
void relay_config_clear(struct relay_config *config);
