/*
 * A bucket in memory with the promises of the real one, in the place of queue/relay/bucket.c.
 */
#pragma once

#include "queue/relay/bucket.h"
#include "queue/relay/store-internal.h"

#define ROWS_MAX 4096

struct row {
        char key[BUCKET_KEY_MAX];
        char *value;
        size_t n;
        uint64_t revision;
};

struct servers {
        struct row rows[ROWS_MAX];
        size_t n;
        uint64_t last;
        int64_t created;
};

struct bucket {
        struct servers *servers;
        char beat[16];
        uint64_t at, stored;
        bool there, looked, watching, rewound; /* looked: since it came there, and since a copy was put back */
};

/* Takes what there is as soon as another has stored a beat, once. */
extern struct store *memory_beside;

/* NULL: it has none. */
struct row *memory_row(struct servers *s, const char *key);
void memory_clear(struct servers *s);
void memory_copy(struct servers *to, const struct servers *from);
