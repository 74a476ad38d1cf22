/*
 * A table of objects by their id: each is found in constant time, however many there are and whatever ids a peer makes.
 *
 * The node lies inside of the object, so that putting one in cannot fail. The table doubles by itself; without memory
 * it only gets slower. A struct table of zeros is an empty one. Objects are in no order: keep a list beside it for
 * that.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TABLE_START 64 /* buckets before the first growth */

struct table_node {
        struct table_node *next, **link; /* link: what points to this node */
        uint64_t hash;
        struct table *table;      /* NULL: in none */
        const char *key, *within; /* the object's */
};

struct table {
        struct table_node **buckets; /* NULL: start */
        struct table_node *start[TABLE_START];
        size_t n, n_buckets;
        uint64_t seed; /* nobody outside can tell which ids share a bucket */
};

/* The object that a node lies in; NULL for NULL. */
#define table_object(node_, type_, member_)                                                                            \
        __extension__({                                                                                                \
                struct table_node *at_ = (node_);                                                                      \
                at_ ? (type_ *)(void *)((char *)at_ - offsetof(type_, member_)) : NULL;                                \
        })

/* key, and within (a tenant, say; or NULL), must live as long as the node is in the table, and nobody has both yet. */
void table_add(struct table *t, struct table_node *node, const char *key, const char *within);
/* Also of a node of zeros, which is in none. */
void table_remove(struct table_node *node);
/* NULL: there is none. */
struct table_node *table_find(const struct table *t, const char *key, const char *within);
/* The one behind node, or the first (node NULL); NULL at the end. Each once, unless one is put in meanwhile. */
struct table_node *table_next(const struct table *t, const struct table_node *node);
/* Frees the table's own memory; the objects are no longer in it. */
void table_clear(struct table *t);
