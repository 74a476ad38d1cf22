/*
 * Configuration of postern-relay: one table of keys drives the reader, --check-config, the sample file and
 * postern-relay.conf(5).
 */
#pragma once

#include "base/conf/conf.h"
#include "base/core/log.h"

#define RELAY_LISTEN_MAX 8
#define RELAY_NODES_MAX 4
#define RELAY_SERVERS_MAX 8

struct relay_listen {
        char host[64]; /* numeric */
        uint16_t port;
};

/* What a part of the relay is made of. */
enum relay_part { RELAY_ALONE = 0, RELAY_ON_NATS };

/* Section [nats]. */
struct relay_nats {
        const char *servers[RELAY_SERVERS_MAX];
        size_t n_servers;
        const char *ca, *certificate, *key, *store_login, *dispatch_login; /* or NULL */
        const char *bucket, *subject;
        uint32_t replicas;
};

/* Texts live as long as the configuration, and are never NULL unless marked "or NULL". */
struct relay_config {
        struct conf conf;
        struct relay_listen listen[RELAY_LISTEN_MAX];
        size_t n_listen;
        const char *certificate, *key, *state_dir, *node;
        const char *user, *ready_file;                         /* or NULL */
        const char *metrics_socket, *metrics_group;            /* or NULL */
        const char *events_file, *events_socket, *traces_file; /* where records go out; or NULL */
        const char *nodes[RELAY_NODES_MAX];
        size_t n_nodes;
        enum relay_part store, dispatch;
        struct relay_nats nats;
        enum log_level log_level;
        uint32_t certificate_days, certificate_minutes, connections, connections_per_address, links_per_tenant,
                in_flight_per_tenant, sign_ins_per_second, sign_in_burst;
};

/* conf_load of a relay's configuration. Free it with relay_config_free. */
int relay_config_load(struct relay_config **ret_config, const char *path, struct conf_errors *errors);
struct relay_config *relay_config_free(struct relay_config *config);

/* The commented sample file, and the keys as man(7) paragraphs for postern-relay.conf(5), made from the table. */
void relay_config_write_sample(FILE *out);
void relay_config_write_man(FILE *out);
