/*
 * The bucket in memory. Owns the values of its rows; invariant: each write has the next revision, and a reader gets
 * them in that order. It knows no time and no network: it is there, or it is not.
 */
#include "tests/queue/relay/memory_bucket.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct store *memory_beside;

struct row *memory_row(struct servers *s, const char *key)
{
        for (size_t i = 0; i < s->n; i++)
                if (strcmp(s->rows[i].key, key) == 0)
                        return &s->rows[i];
        return NULL;
}

static uint64_t put_row(struct servers *s, const char *key, const void *value, size_t n)
{
        struct row *row = memory_row(s, key);

        if (!row) {
                assert_true(s->n < ROWS_MAX);
                row = &s->rows[s->n++];
                memset(row, 0, sizeof(*row));
                snprintf(row->key, sizeof(row->key), "%s", key);
        }
        free(row->value);
        row->value = malloc(n + 1);
        assert_non_null(row->value);
        memcpy(row->value, value, n);
        row->n = n;
        return row->revision = ++s->last;
}

void memory_clear(struct servers *s)
{
        for (size_t i = 0; i < s->n; i++)
                free(s->rows[i].value);
        s->n = 0;
        s->last = 0;
}

void memory_copy(struct servers *to, const struct servers *from)
{
        memory_clear(to);
        for (size_t i = 0; i < from->n; i++) {
                put_row(to, from->rows[i].key, from->rows[i].value, from->rows[i].n);
                to->rows[i].revision = from->rows[i].revision;
        }
        to->last = from->last;
        to->created = from->created;
}

int bucket_look(struct bucket *b, unsigned replicas, unsigned wait_ms, struct bucket_facts *ret_facts,
                struct error *err)
{
        const struct row *beat = memory_row(b->servers, b->beat), *epoch = memory_row(b->servers, BUCKET_EPOCH_KEY);

        (void)replicas;
        (void)wait_ms;
        if (!b->there)
                return error_fail(err, -EHOSTUNREACH, "away");
        b->looked = true;
        *ret_facts = (struct bucket_facts){.created = b->servers->created,
                                           .last = b->servers->last,
                                           .beat = beat ? beat->revision : 0,
                                           .epoch = epoch ? bucket_epoch_of(epoch->value, epoch->n) : 0};
        return 0;
}

int64_t bucket_epoch_of(const char *value, size_t n)
{
        char text[24];

        snprintf(text, sizeof(text), "%.*s", (int)n, value);
        return strtoll(text, NULL, 10);
}

bool bucket_settle(struct bucket *b, unsigned wait_ms)
{
        (void)wait_ms;
        if (!b->there)
                return false;
        const uint64_t stored = put_row(b->servers, b->beat, "{\"v\":1}", 7);
        struct store *other = memory_beside;

        memory_beside = NULL;
        if (other)
                assert_true(store_take(other, 0) > 0);
        b->rewound = b->rewound || stored <= b->stored;
        b->stored = stored;
        return true;
}

int bucket_get(struct bucket *b, const char *key, struct buffer *value, uint64_t *ret_revision)
{
        const struct row *row = memory_row(b->servers, key);

        if (!bucket_writable(b))
                return -EHOSTUNREACH;
        *ret_revision = row ? row->revision : 0;
        return row ? buffer_append(value, row->value, row->n) : -ENOENT;
}

int bucket_put(struct bucket *b, const char *key, const void *value, size_t n, uint64_t revision,
               uint64_t *ret_revision)
{
        const struct row *row = memory_row(b->servers, key);

        if (!bucket_writable(b))
                return -EHOSTUNREACH;
        if ((row ? row->revision : 0) != revision)
                return -EAGAIN;
        *ret_revision = put_row(b->servers, key, value, n);
        return 0;
}

int bucket_erase(struct bucket *b, uint64_t revision)
{
        struct servers *s = b->servers;

        if (!bucket_readable(b))
                return -EHOSTUNREACH;
        for (size_t i = 0; i < s->n; i++) {
                if (s->rows[i].revision != revision)
                        continue;
                free(s->rows[i].value);
                s->rows[i] = s->rows[--s->n];
                return 0;
        }
        return -ENOENT;
}

int bucket_watch(struct bucket *b, uint64_t after)
{
        b->at = after;
        b->watching = b->there;
        return b->there ? 0 : -EHOSTUNREACH;
}

int bucket_take(struct bucket *b, unsigned wait_ms, unsigned max, bucket_entry_fn *fn, void *arg)
{
        unsigned n = 0;

        (void)wait_ms;
        if (!b->watching)
                return -EPIPE;
        for (; n < max; n++) {
                const struct row *next = NULL;

                for (size_t i = 0; i < b->servers->n; i++) {
                        const struct row *row = &b->servers->rows[i];
                        next = row->revision > b->at && (!next || row->revision < next->revision) ? row : next;
                }
                if (!next)
                        break;
                b->at = next->revision;
                fn(arg, next->key, next->value, next->n, next->revision);
        }
        return (int)n;
}

const char *bucket_beat_key(const struct bucket *b)
{
        return b->beat;
}

bool bucket_writable(const struct bucket *b)
{
        return b->there && b->looked && !b->rewound;
}

bool bucket_readable(const struct bucket *b)
{
        return bucket_writable(b);
}

const char *bucket_why(const struct bucket *b)
{
        (void)b;
        return "away";
}

bool bucket_rewound(const struct bucket *b)
{
        return b->rewound;
}

void bucket_rewound_known(struct bucket *b)
{
        b->rewound = false;
}
