/*
 * The key-value bucket of a store on NATS: read from its leader, written by compare and set, and watched.
 *
 * Calls wait for the servers, 2 s at most, and then fail at once until a beat has been stored again: one that fails
 * costs those behind it nothing. -EHOSTUNREACH always means: no server, or too few of them; nothing was decided, and
 * what was written may be stored even so. No threads but libnats' own, and no callback from them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"

#define BUCKET_KEY_MAX 240
#define BUCKET_VALUE_MAX (320 * 1024) /* a roster, spelt as JSON */

struct bucket;
struct cluster;

/* node: names the beat's key. The cluster is borrowed until bucket_move or bucket_free. */
int bucket_new(struct bucket **ret_bucket, struct cluster *cluster, const char *name, const char *node);
struct bucket *bucket_free(struct bucket *bucket);
DEFINE_FREEP(struct bucket, bucket_free)
/* From now on by another connection; what was watched must be watched again. -errno: it stays as it was. */
int bucket_move(struct bucket *bucket, struct cluster *cluster);

struct bucket_facts {
        int64_t created; /* ns since 1970: which stream it is */
        uint64_t last, bytes;
        uint64_t beat; /* the revision of this node's last beat in it; 0: there is none */
        int64_t epoch; /* a random number, another after each time that an older copy was put back; 0: none */
        uint64_t epoch_revision;
        unsigned replicas, current; /* that there are to be; that are up to date */
        int64_t max_bytes;          /* -1: no limit of its own */
        bool direct, kv;            /* replicas may answer reads; it keeps one value a key, in files */
};
/* Asks the leader. replicas: 0, or where there is no bucket it is made with so many. Waits for wait_ms for the servers
 * to be there. -EHOSTUNREACH, -ENOENT, -EPERM (it may not be made), with err. */
int bucket_look(struct bucket *bucket, unsigned replicas, unsigned wait_ms, struct bucket_facts *ret_facts,
                struct error *err);

/* The value is appended. -ENOENT (then *ret_revision is still what bucket_put is to be given), -EHOSTUNREACH. */
int bucket_get(struct bucket *bucket, const char *key, struct buffer *value, uint64_t *ret_revision);
/* revision: that the key has; 0: there must be none. -EAGAIN: it has another. -EHOSTUNREACH. */
int bucket_put(struct bucket *bucket, const char *key, const void *value, size_t n, uint64_t revision,
               uint64_t *ret_revision);
/* Forgets that revision, and leaves no trace; watchers are not told. Also where the bucket is full. -ENOENT: there is
 * none such; -EPERM: the servers refuse to; -EHOSTUNREACH. */
int bucket_erase(struct bucket *bucket, uint64_t revision);

/* Watches everything behind that revision, and all that comes. -EHOSTUNREACH. */
int bucket_watch(struct bucket *bucket, uint64_t after);
/* value NULL: the key was deleted. All borrowed. */
typedef void bucket_entry_fn(void *arg, const char *key, const char *value, size_t n, uint64_t revision);
/* Takes what has come, max at most: how many; -EPIPE: it must be watched anew. wait_ms: for the first one. */
int bucket_take(struct bucket *bucket, unsigned wait_ms, unsigned max, bucket_entry_fn *fn, void *arg);

#define BUCKET_EPOCH_KEY "epoch"
/* The number that stands there; 0: none does. */
int64_t bucket_epoch_of(const char *value, size_t n);
/* The key of this node's beats. */
const char *bucket_beat_key(const struct bucket *bucket);
/* Once a second: stores a beat of this node, and sees whether the last one was. */
void bucket_beat(struct bucket *bucket);
/* Whether a beat got no higher revision than the one before, so that an older copy was put back; until that is said to
 * be known nothing is read or written. */
bool bucket_rewound(const struct bucket *bucket);
void bucket_rewound_known(struct bucket *bucket);
/* Beats until one was stored, for wait_ms at most; whether one was. */
bool bucket_settle(struct bucket *bucket, unsigned wait_ms);
/* Whether the last beat, and all since, was stored, into the same history as those before. */
bool bucket_writable(const struct bucket *bucket);
/* The same but for what the servers refused to store since they have no room: it can be read, and erased from. */
bool bucket_readable(const struct bucket *bucket);
/* Why not; a literal or the bucket's own. */
const char *bucket_why(const struct bucket *bucket);
