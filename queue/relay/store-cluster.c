/*
 * The store in its cluster.
 *
 * Owns connection and bucket, and three timers: one takes what other nodes wrote, one stores a beat and what waits, one
 * joins where that failed. Invariant: what was joined stays in use until its successor works; a store that has not
 * joined writes nothing but what makes it stricter.
 */
#include "queue/relay/store-cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/relay/bucket.h"

#define TAKE_MS 50
#define BEAT_MS 1000
#define JOIN_AGAIN_MS 5000
#define FIRST_WAIT_MS 50000 /* of a node without a copy: servers tell each other each 30 s what room they have */
#define START_WAIT_MS 3000
#define COMMAND_WAIT_MS 8000 /* for a new leader */
#define SETTLE_MS 3000
#define AGAIN_MS 300
#define ERASE_AGAIN_MS 60000 /* of who may not, each try takes as long as a call may */

struct store_cluster {
        struct loop *loop;
        struct store *store;
        const struct store_cluster_ops *ops;
        void *arg;
        struct store_settings settings;
        struct cluster_files files;
        struct cluster *cluster;
        struct bucket *bucket;
        bool following; /* what others write is watched */
        struct loop_timer *take, *beat;
        uint64_t tried_at, reconnects;
        char why[ERROR_TEXT_MAX]; /* as it was told last, and why it has not joined */
        uint64_t not_erased_at;   /* when that failed; 0: it did not */
        bool told_writable, told;
        int64_t told_waiting;
};

void store_settings_of(const struct relay_config *config, struct store_settings *ret_settings)
{
        const struct relay_nats *nats = &config->nats;

        memset(ret_settings, 0, sizeof(*ret_settings)); /* all of it is sent */
        (void)snprintf(ret_settings->dir, sizeof(ret_settings->dir), "%s", config->state_dir);
        ret_settings->nats = config->store == RELAY_ON_NATS;
        ret_settings->replicas = nats->replicas;
        (void)snprintf(ret_settings->bucket, sizeof(ret_settings->bucket), "%s", nats->bucket ? nats->bucket : "");
        cluster_place_of(nats, CLUSTER_STORE, config->node, &ret_settings->place);
}

bool store_cluster_writable(const struct store_cluster *cluster)
{
        return cluster->bucket && bucket_writable(cluster->bucket);
}

const char *store_cluster_why(const struct store_cluster *cluster)
{
        return !cluster->bucket ? cluster->why : bucket_writable(cluster->bucket) ? "" : bucket_why(cluster->bucket);
}

void store_cluster_tell(struct store_cluster *c)
{
        const bool writable = store_cluster_writable(c);
        const int64_t waiting = store_waiting(c->store);

        if (!c->ops || (c->told && writable == c->told_writable && waiting == c->told_waiting))
                return;
        if (!c->told || writable != c->told_writable) {
                if (writable)
                        log_info("store_writable", KV_I("waiting", waiting));
                else
                        log_error("store_not_writable", KV_S("why", store_cluster_why(c)));
        }
        c->told = true;
        c->told_writable = writable;
        c->told_waiting = waiting;
        c->ops->state(c->arg, writable, store_cluster_why(c), waiting);
}

/* ---- joining ---- */

/* By a connection that there is. */
static int follow(struct store_cluster *c, unsigned wait_ms, struct error *err)
{
        const unsigned settle_ms = !c->loop ? COMMAND_WAIT_MS : c->told ? AGAIN_MS : SETTLE_MS;
        const int r = store_catch_up(c->store, c->settings.replicas, wait_ms, settle_ms, err);

        c->following = r == 0;
        c->reconnects = cluster_reconnects(c->cluster);
        return r;
}

static int join(struct store_cluster *c, unsigned wait_ms, struct error *err)
{
        struct cluster *fresh = NULL;
        int r = cluster_new(&fresh, &c->settings.place, &c->files, true, err);

        if (r == 0)
                r = c->bucket ? bucket_move(c->bucket, fresh)
                              : bucket_new(&c->bucket, fresh, c->settings.bucket, c->settings.place.node);
        if (r == -ENOMEM)
                (void)error_fail(err, r, "no memory");
        if (r < 0) {
                cluster_free(fresh);
                return r;
        }
        cluster_free(c->cluster);
        c->cluster = fresh;
        store_set_bucket(c->store, c->bucket);
        return follow(c, wait_ms, err);
}

static void join_again(struct store_cluster *c)
{
        struct error err;

        if (join(c, 0, &err) < 0) {
                log_debug("store_not_joined", KV_S("why", err.text));
                (void)snprintf(c->why, sizeof(c->why), "%s", err.text);
        }
        c->tried_at = loop_now(c->loop);
}

/* ---- what happens by itself ---- */

static void on_take(void *arg)
{
        struct store_cluster *c = arg;
        int n = 0, all = 0;

        while (c->following && (n = store_take(c->store, 1)) > 0)
                all += n;
        if (n < 0) {
                log_info("store_follows_anew", KV_I("code", n));
                c->following = false;
        }
        if (all)
                c->ops->changed(c->arg);
        loop_timer_in(c->take, TAKE_MS);
}

/* Whether the servers are there, be it with an older copy, or without room. */
static bool is_reached(const struct store_cluster *c)
{
        return c->bucket && (bucket_readable(c->bucket) || bucket_rewound(c->bucket));
}

static void erase_some(struct store_cluster *c)
{
        const uint64_t now = loop_now(c->loop);

        if (c->not_erased_at && now - c->not_erased_at < ERASE_AGAIN_MS)
                return;
        c->not_erased_at = c->following && store_erase_some(c->store) < 0 ? now : 0;
}

static void on_beat(void *arg)
{
        struct store_cluster *c = arg;
        const uint64_t tried = loop_now(c->loop) - c->tried_at;
        /* what was watched is gone with its server, and no beat is stored before it is known which bucket this is */
        const bool moved = c->cluster && cluster_reconnects(c->cluster) != c->reconnects;
        struct error err;

        loop_timer_in(c->beat, BEAT_MS);
        c->following = c->following && !moved;
        if (c->following && !cluster_closed(c->cluster))
                bucket_beat(c->bucket);
        if (moved || (!c->following && is_reached(c))) {
                if (follow(c, 0, &err) < 0)
                        log_debug("store_does_not_follow", KV_S("why", err.text));
        } else if (!is_reached(c) && tried >= JOIN_AGAIN_MS) {
                /* by another server: one whose accounts were reloaded may not know any more who listens at the others
                 */
                join_again(c);
        }
        if (store_cluster_writable(c) && store_waiting(c->store) > 0)
                (void)store_flush(c->store);
        erase_some(c);
        store_cluster_tell(c);
}

/* ---- life ---- */

int store_cluster_new(struct store_cluster **ret_cluster, struct loop *loop, struct store *store,
                      const struct store_settings *settings, struct cluster_files *files,
                      const struct store_cluster_ops *ops, void *arg, struct error *err)
{
        struct store_cluster *c = calloc(1, sizeof(*c));

        if (!c)
                return error_fail(err, -ENOMEM, "no memory");
        *c = (struct store_cluster){.loop = loop, .store = store, .ops = ops, .arg = arg, .settings = *settings};
        c->files = *files;
        cluster_files_init(files);
        if (loop && (loop_timer_new(&c->take, loop, NULL, on_take, c) < 0 ||
                     loop_timer_new(&c->beat, loop, NULL, on_beat, c) < 0)) {
                store_cluster_free(c);
                return error_fail(err, -ENOMEM, "no memory");
        }
        store_detach(store, "the NATS servers were not reached yet");
        const int r = join(c, !loop ? COMMAND_WAIT_MS : store_is_whole(store) ? START_WAIT_MS : FIRST_WAIT_MS, err);
        if (r < 0 && (!store_is_whole(store) || r == -EINVAL || r == -ENOMEM || r == -ENOTSUP)) {
                const struct error why = *err;

                if (!store_is_whole(store))
                        (void)error_fail(err, r, "%s; this node has no copy yet to go by", why.text);
                store_cluster_free(c);
                return r;
        }
        if (r < 0)
                (void)snprintf(c->why, sizeof(c->why), "%s", err->text);
        if (r < 0 && !c->bucket)
                store_detach(store, c->why);
        if (r < 0 && loop)
                log_warning("store_starts_from_its_copy", KV_S("why", err->text));
        if (loop) {
                c->tried_at = loop_now(loop);
                loop_timer_in(c->take, 0);
                loop_timer_in(c->beat, 0);
        }
        *ret_cluster = c;
        return 0;
}

struct store_cluster *store_cluster_free(struct store_cluster *cluster)
{
        if (!cluster)
                return NULL;
        store_set_bucket(cluster->store, NULL);
        loop_timer_free(cluster->take);
        loop_timer_free(cluster->beat);
        bucket_free(cluster->bucket);
        cluster_free(cluster->cluster);
        cluster_files_free(&cluster->files);
        free(cluster);
        return NULL;
}

int store_cluster_reload(struct store_cluster *cluster, struct cluster_files *files, struct error *err)
{
        struct cluster_files before = cluster->files;

        cluster->files = *files;
        const int r = join(cluster, 0, err);
        if (r < 0 && r != -EHOSTUNREACH) {
                *files = cluster->files;
                cluster->files = before;
        } else {
                cluster_files_free(&before);
                cluster_files_init(files);
        }
        store_cluster_tell(cluster);
        return r == -EHOSTUNREACH ? 0 : r;
}
