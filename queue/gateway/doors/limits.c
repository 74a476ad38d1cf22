/*
 * Counts of failures by key.
 */
#include "queue/gateway/doors/limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/core/table.h"

struct count {
        TAILQ_ENTRY(count) link; /* the one used longest ago first */
        struct table_node node;
        uint32_t failures, under_way;
        uint64_t last_ms; /* of the last failure */
        char key[LIMITS_KEY_MAX];
};

struct limits {
        struct table table;
        TAILQ_HEAD(, count) counts;
        uint32_t failures;
        uint64_t window_ms;
        unsigned n, max;
};

struct limits *limits_new(uint32_t failures, uint64_t window_ms, unsigned max)
{
        struct limits *l = calloc(1, sizeof(*l));

        if (!l)
                return NULL;
        TAILQ_INIT(&l->counts);
        l->failures = failures;
        l->window_ms = window_ms;
        l->max = max;
        return l;
}

static void drop(struct limits *l, struct count *c)
{
        TAILQ_REMOVE(&l->counts, c, link);
        table_remove(&c->node);
        l->n--;
        free(c);
}

struct limits *limits_free(struct limits *l)
{
        while (l && TAILQ_FIRST(&l->counts))
                drop(l, TAILQ_FIRST(&l->counts));
        if (l)
                table_clear(&l->table);
        free(l);
        return NULL;
}

static struct count *find(struct limits *l, const char *key)
{
        return table_object(table_find(&l->table, key, NULL), struct count, node);
}

static struct count *add(struct limits *l, const char *key)
{
        struct count *c = l->n >= l->max ? TAILQ_FIRST(&l->counts) : NULL;

        if (c && c->under_way == 0)
                drop(l, c);
        c = calloc(1, sizeof(*c));
        if (!c)
                return NULL;
        memcpy(c->key, key, strlen(key) + 1);
        table_add(&l->table, &c->node, c->key, NULL);
        TAILQ_INSERT_TAIL(&l->counts, c, link);
        l->n++;
        return c;
}

static void age(const struct limits *l, struct count *c, uint64_t now_ms)
{
        if (now_ms - c->last_ms >= l->window_ms)
                c->failures = 0;
}

uint32_t limits_begin(struct limits *l, const char *key, uint64_t now_ms)
{
        struct count *c = strlen(key) < LIMITS_KEY_MAX ? find(l, key) : NULL;

        if (!c && (strlen(key) >= LIMITS_KEY_MAX || !(c = add(l, key))))
                return 0;
        age(l, c, now_ms);
        if (c->failures + c->under_way >= l->failures) {
                const uint64_t over = c->failures ? c->last_ms + l->window_ms : now_ms + 1000;

                return over > now_ms ? (uint32_t)((over - now_ms + 999) / 1000) : 1;
        }
        TAILQ_REMOVE(&l->counts, c, link);
        TAILQ_INSERT_TAIL(&l->counts, c, link);
        c->under_way++;
        return 0;
}

void limits_end(struct limits *l, const char *key, enum limits_end how, uint64_t now_ms)
{
        struct count *c = strlen(key) < LIMITS_KEY_MAX ? find(l, key) : NULL;

        if (!c)
                return;
        c->under_way -= c->under_way > 0;
        age(l, c, now_ms);
        if (how == LIMITS_FAILED) {
                c->failures++;
                c->last_ms = now_ms;
        } else if (how == LIMITS_CLEARED) {
                c->failures = 0;
        }
        if (c->failures == 0 && c->under_way == 0)
                drop(l, c);
}

unsigned limits_stopped(const struct limits *l, uint64_t now_ms)
{
        const struct count *c;
        unsigned n = 0;

        TAILQ_FOREACH (c, &l->counts, link)
                n += c->failures >= l->failures && now_ms - c->last_ms < l->window_ms;
        return n;
}
