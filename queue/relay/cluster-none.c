/*
 * The cluster of a relay that was built without libnats: there is none, and whoever asks for one is told.
 *
 * Nothing here but cluster_new is ever called: there is no cluster without it, and no bucket without a cluster.
 */
#include <errno.h>

#include "queue/relay/bucket.h"
#include "queue/relay/cluster.h"

static int none(struct error *err)
{
        return error_fail(err, -ENOTSUP,
                          "this postern-relay was built without NATS (libnats, `meson setup -Dnats=enabled`)");
}

int cluster_new(struct cluster **ret_cluster, const struct cluster_place *place, const struct cluster_files *files,
                bool must, struct error *err)
{
        (void)ret_cluster;
        (void)place;
        (void)files;
        (void)must;
        return none(err);
}

int cluster_check(const struct relay_config *config, cluster_warn_fn *warn, void *arg, struct error *err)
{
        (void)warn;
        (void)arg;
        return config->store == RELAY_ON_NATS || config->dispatch == RELAY_ON_NATS ? none(err) : 0;
}

struct cluster *cluster_free(struct cluster *cluster)
{
        (void)cluster;
        return NULL;
}

bool cluster_connected(struct cluster *cluster)
{
        (void)cluster;
        return false;
}

uint64_t cluster_reconnects(struct cluster *cluster)
{
        (void)cluster;
        return 0;
}

bool cluster_closed(struct cluster *cluster)
{
        (void)cluster;
        return true;
}

int bucket_new(struct bucket **ret_bucket, struct cluster *cluster, const char *name, const char *node)
{
        (void)ret_bucket;
        (void)cluster;
        (void)name;
        (void)node;
        return -ENOTSUP;
}

struct bucket *bucket_free(struct bucket *bucket)
{
        (void)bucket;
        return NULL;
}

int bucket_move(struct bucket *bucket, struct cluster *cluster)
{
        (void)bucket;
        (void)cluster;
        return -ENOTSUP;
}

int bucket_look(struct bucket *bucket, unsigned replicas, unsigned wait_ms, struct bucket_facts *ret_facts,
                struct error *err)
{
        (void)bucket;
        (void)replicas;
        (void)wait_ms;
        (void)ret_facts;
        return none(err);
}

int bucket_get(struct bucket *bucket, const char *key, struct buffer *value, uint64_t *ret_revision)
{
        (void)bucket;
        (void)key;
        (void)value;
        (void)ret_revision;
        return -EHOSTUNREACH;
}

int bucket_put(struct bucket *bucket, const char *key, const void *value, size_t n, uint64_t revision,
               uint64_t *ret_revision)
{
        (void)bucket;
        (void)key;
        (void)value;
        (void)n;
        (void)revision;
        (void)ret_revision;
        return -EHOSTUNREACH;
}

int bucket_erase(struct bucket *bucket, uint64_t revision)
{
        (void)bucket;
        (void)revision;
        return -ENOTSUP;
}

int bucket_watch(struct bucket *bucket, uint64_t after)
{
        (void)bucket;
        (void)after;
        return -EHOSTUNREACH;
}

int bucket_take(struct bucket *bucket, unsigned wait_ms, unsigned max, bucket_entry_fn *fn, void *arg)
{
        (void)bucket;
        (void)wait_ms;
        (void)max;
        (void)fn;
        (void)arg;
        return 0;
}

const char *bucket_beat_key(const struct bucket *bucket)
{
        (void)bucket;
        return "";
}

int64_t bucket_epoch_of(const char *value, size_t n)
{
        (void)value;
        (void)n;
        return 0;
}

bool bucket_rewound(const struct bucket *bucket)
{
        (void)bucket;
        return false;
}

void bucket_rewound_known(struct bucket *bucket)
{
        (void)bucket;
}

void bucket_beat(struct bucket *bucket)
{
        (void)bucket;
}

bool bucket_settle(struct bucket *bucket, unsigned wait_ms)
{
        (void)bucket;
        (void)wait_ms;
        return false;
}

bool bucket_writable(const struct bucket *bucket)
{
        (void)bucket;
        return false;
}

bool bucket_readable(const struct bucket *bucket)
{
        (void)bucket;
        return false;
}

const char *bucket_why(const struct bucket *bucket)
{
        (void)bucket;
        return "built without NATS";
}
