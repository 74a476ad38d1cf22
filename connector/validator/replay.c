/*
 * Replay cache: a chained hash table of fixed bucket count plus one list in order of arrival.
 *
 * Invariant: an entry leaves only when `now` is past its end, never to make room. Every request lives at most
 * REQUEST_LIFE_MAX plus the tolerated skew, so arrival order is nearly expiry order; the sweep looks at the
 * oldest entries and stops at the first that is still live. A clock that leaps ahead empties the cache; when
 * it comes back, what ends no later than the entries that left cannot be told from a replay and is refused.
 * It does not judge requests: only pairs that passed the signature come here.
 */
#include "connector/validator/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 16384

struct entry {
        TAILQ_ENTRY(entry) by_age;
        LIST_ENTRY(entry) by_hash;
        int64_t until;
        char kid[KID_LEN + 1];
        char jti[ID_MAX + 1];
};

struct replay {
        size_t n, max;
        int64_t forgotten; /* the latest end among the entries that left */
        TAILQ_HEAD(, entry) age;
        LIST_HEAD(bucket, entry) buckets[BUCKETS];
};

int replay_new(struct replay **ret_replay, size_t max)
{
        struct replay *replay = calloc(1, sizeof(*replay));

        if (!replay)
                return -ENOMEM;
        replay->max = max;
        TAILQ_INIT(&replay->age);
        *ret_replay = replay;
        return 0;
}

static void drop(struct replay *replay, struct entry *entry)
{
        TAILQ_REMOVE(&replay->age, entry, by_age);
        LIST_REMOVE(entry, by_hash);
        free(entry);
        replay->n--;
}

struct replay *replay_free(struct replay *replay)
{
        struct entry *entry;

        if (!replay)
                return NULL;
        while ((entry = TAILQ_FIRST(&replay->age)))
                drop(replay, entry);
        free(replay);
        return NULL;
}

/* FNV-1a. Only services of the roster get here, so nobody outside can aim at one bucket. */
static uint64_t hash_of(const char *kid, const char *jti)
{
        uint64_t h = 14695981039346656037ULL;

        for (const char *s = kid; *s; s++)
                h = (h ^ (uint8_t)*s) * 1099511628211ULL;
        for (const char *s = jti; *s; s++)
                h = (h ^ (uint8_t)*s) * 1099511628211ULL;
        return h;
}

static void sweep(struct replay *replay, int64_t now)
{
        struct entry *entry;

        while ((entry = TAILQ_FIRST(&replay->age)) && entry->until < now) {
                if (entry->until > replay->forgotten)
                        replay->forgotten = entry->until;
                drop(replay, entry);
        }
}

int replay_take(struct replay *replay, const char *kid, const char *jti, int64_t now, int64_t until)
{
        struct bucket *bucket = &replay->buckets[hash_of(kid, jti) % BUCKETS];
        struct entry *entry;

        if (strlen(kid) > KID_LEN || strlen(jti) > ID_MAX)
                return -EINVAL;
        sweep(replay, now);
        if (until <= replay->forgotten)
                return -ESTALE;
        LIST_FOREACH (entry, bucket, by_hash)
                if (!strcmp(entry->jti, jti) && !strcmp(entry->kid, kid))
                        return -EEXIST;
        if (replay->n >= replay->max)
                return -ENOSPC;
        entry = calloc(1, sizeof(*entry));
        if (!entry)
                return -ENOMEM;
        memcpy(entry->kid, kid, strlen(kid) + 1);
        memcpy(entry->jti, jti, strlen(jti) + 1);
        entry->until = until;
        LIST_INSERT_HEAD(bucket, entry, by_hash);
        TAILQ_INSERT_TAIL(&replay->age, entry, by_age);
        replay->n++;
        return 0;
}

size_t replay_count(const struct replay *replay)
{
        return replay->n;
}
