/*
 * A hash table of texts whose nodes lie in the caller's objects.
 *
 * Invariant: every node is in the bucket that its hash names, and *node->link == node. It owns the buckets, and no
 * object.
 */
#include "base/core/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t hash_text(uint64_t h, const char *s)
{
        for (; *s; s++)
                h = (h ^ (unsigned char)*s) * 0x100000001b3;
        return (h ^ 0xff) * 0x100000001b3;
}

static uint64_t hash_of(const struct table *t, const char *key, const char *within)
{
        uint64_t h = hash_text(within ? hash_text(t->seed, within) : t->seed, key);

        return h ^ h >> 32;
}

static struct table_node **bucket_of(const struct table *t, uint64_t hash)
{
        struct table_node *const *buckets = t->buckets ? t->buckets : t->start;

        return (struct table_node **)(uintptr_t)&buckets[hash & (t->n_buckets - 1)];
}

static void insert(struct table *t, struct table_node *node)
{
        struct table_node **bucket = bucket_of(t, node->hash);

        node->next = *bucket;
        node->link = bucket;
        if (node->next)
                node->next->link = &node->next;
        *bucket = node;
}

static void grow(struct table *t)
{
        const size_t before = t->n_buckets;
        struct table_node **old = t->buckets ? t->buckets : t->start;
        struct table_node **buckets = calloc(before * 2, sizeof(*buckets));
        struct table_node *node;

        if (!buckets)
                return;
        struct table_node **heap = t->buckets;
        t->buckets = buckets;
        t->n_buckets = before * 2;
        for (size_t i = 0; i < before; i++)
                while ((node = old[i])) {
                        old[i] = node->next;
                        insert(t, node);
                }
        free(heap);
}

void table_add(struct table *t, struct table_node *node, const char *key, const char *within)
{
        if (t->n_buckets == 0) {
                t->n_buckets = TABLE_START;
                if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) != sizeof(t->seed))
                        t->seed = (uint64_t)(uintptr_t)t;
        }
        if (t->n >= t->n_buckets)
                grow(t);
        *node = (struct table_node){.hash = hash_of(t, key, within), .table = t, .key = key, .within = within};
        insert(t, node);
        t->n++;
}

void table_remove(struct table_node *node)
{
        if (!node->table)
                return;
        node->table->n--;
        *node->link = node->next;
        if (node->next)
                node->next->link = node->link;
        *node = (struct table_node){.table = NULL};
}

struct table_node *table_find(const struct table *t, const char *key, const char *within)
{
        const uint64_t hash = hash_of(t, key, within);
        struct table_node *node = t->n ? *bucket_of(t, hash) : NULL;

        while (node &&
               (node->hash != hash || strcmp(node->key, key) != 0 || (within && strcmp(node->within, within) != 0)))
                node = node->next;
        return node;
}

struct table_node *table_next(const struct table *t, const struct table_node *node)
{
        struct table_node *const *buckets = t->buckets ? t->buckets : t->start;

        if (node && node->next)
                return node->next;
        for (size_t i = node ? (node->hash & (t->n_buckets - 1)) + 1 : 0; i < t->n_buckets; i++)
                if (buckets[i])
                        return buckets[i];
        return NULL;
}

void table_clear(struct table *t)
{
        free(t->buckets);
        *t = (struct table){.buckets = NULL};
}
