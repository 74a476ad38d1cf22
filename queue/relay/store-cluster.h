/*
 * A store's membership in the cluster of section [nats]: joins it, keeps the copy up to date, and says whether anything
 * can be written.
 */
#pragma once

#include "base/ipc/loop.h"
#include "queue/relay/cluster.h"
#include "queue/relay/store.h"

struct store_cluster;

/* What the store process is told beside files; plain bytes. */
struct store_settings {
        char dir[4096];
        uint32_t nats; /* 1: the store is on NATS, and the rest counts */
        uint32_t replicas;
        char bucket[40];
        struct cluster_place place;
};
void store_settings_of(const struct relay_config *config, struct store_settings *ret_settings);

struct store_cluster_ops {
        /* Other nodes' writes are in the database. */
        void (*changed)(void *arg);
        /* Whether it can be written has become another, or why not, or how many entities wait for that. */
        void (*state)(void *arg, bool writable, const char *why, int64_t waiting);
};

/*
 * Joins, and catches up; takes files' texts over. Waits for servers for some seconds. Where none is reached, or too few
 * are, it goes on from the copy that it has, and tries again; without a whole copy that is a failure, as are a login
 * or certificates that are refused. loop NULL: for a command: nothing happens by itself. ops NULL then.
 */
int store_cluster_new(struct store_cluster **ret_cluster, struct loop *loop, struct store *store,
                      const struct store_settings *settings, struct cluster_files *files,
                      const struct store_cluster_ops *ops, void *arg, struct error *err);
/* The store has no bucket after this. */
struct store_cluster *store_cluster_free(struct store_cluster *cluster);
DEFINE_FREEP(struct store_cluster, store_cluster_free)
/* Another login or certificates: joins anew by them, and leaves what it had then. -errno: it stays as it was. */
int store_cluster_reload(struct store_cluster *cluster, struct cluster_files *files, struct error *err);
/* After a call that may have written: tells the state at once where it has become another. */
void store_cluster_tell(struct store_cluster *cluster);
bool store_cluster_writable(const struct store_cluster *cluster);
/* Why not; "" where it is. */
const char *store_cluster_why(const struct store_cluster *cluster);
