/*
 * What the link has in hand: requests handed over, verdicts not confirmed, items to report.
 *
 * Invariants: each object is in exactly one table; both tables are bounded by LINK_CAPACITY_MAX, the items by
 * what the credit lets in. Everything but items has an end in time, so that neither credit nor memory can
 * leak when somebody goes silent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/text.h"
#include "queue/link/internal.h"

#define ITEMS_MAX (2 * LINK_CAPACITY_MAX)

/* ---- tables ---- */

static struct by_id *node_find(struct id_table *t, const char *id)
{
        return table_object(table_find(&t->ids, id, NULL), struct by_id, found);
}

static void node_add(struct id_table *t, struct by_id *node, const char *id)
{
        memcpy(node->id, id, strlen(id) + 1);
        table_add(&t->ids, &node->found, node->id, NULL);
        TAILQ_INSERT_TAIL(&t->list, node, order);
}

static void node_remove(struct id_table *t, struct by_id *node)
{
        table_remove(&node->found);
        TAILQ_REMOVE(&t->list, node, order);
}

static int room_for(struct id_table *t, const char *id)
{
        if (!id_valid(id, strlen(id)))
                return -EINVAL;
        if (node_find(t, id))
                return -EEXIST;
        return t->ids.n < LINK_CAPACITY_MAX ? 0 : -ENOBUFS;
}

void link_store_init(struct link *l)
{
        TAILQ_INIT(&l->flights.list);
        TAILQ_INIT(&l->kept.list);
        TAILQ_INIT(&l->items);
}

/* ---- flights ---- */

int link_store_flight(struct link *l, const char *id, uint64_t ends_at)
{
        int r = room_for(&l->flights, id);
        struct flight *f;

        if (r < 0)
                return r;
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->session = l->serial;
        f->ends_at = ends_at;
        node_add(&l->flights, &f->node, id);
        l->flights_taking++;
        return 0;
}

struct flight *link_store_find_flight(struct link *l, const char *id)
{
        return (struct flight *)node_find(&l->flights, id);
}

void link_store_free_credit(struct link *l, struct flight *f)
{
        if (!f->over)
                l->flights_taking--;
        f->over = true;
}

void link_store_end_flight(struct link *l, struct flight *f)
{
        link_store_free_credit(l, f);
        node_remove(&l->flights, &f->node);
        free(f);
        link_settled(l);
}

/* ---- verdicts ---- */

int link_store_keep(struct link *l, const char *id, const char *jwe, uint64_t ends_at)
{
        int r = room_for(&l->kept, id);
        struct kept *k;

        if (r < 0)
                return r;
        k = calloc(1, sizeof(*k));
        if (!k || text_set(&k->jwe, jwe) < 0) {
                free(k);
                return -ENOMEM;
        }
        k->ends_at = ends_at;
        node_add(&l->kept, &k->node, id);
        return 0;
}

struct kept *link_store_find_kept(struct link *l, const char *id)
{
        return (struct kept *)node_find(&l->kept, id);
}

void link_store_drop_kept(struct link *l, struct kept *k)
{
        node_remove(&l->kept, &k->node);
        free(k->jwe);
        free(k);
        link_settled(l);
}

/* ---- items ---- */

int link_store_item(struct link *l, const char *id, enum report_kind is, const char *why)
{
        struct item *item;

        if (l->n_items >= ITEMS_MAX)
                return -ENOBUFS;
        item = calloc(1, sizeof(*item));
        if (!item)
                return -ENOMEM;
        wire_text_cut(item->content.id, sizeof(item->content.id), id, strlen(id));
        item->content.is = is;
        item->ends_at = loop_now(l->loop) + BUDGET_MAX;
        if (why)
                wire_text_cut(item->content.why, sizeof(item->content.why), why, strlen(why));
        TAILQ_INSERT_TAIL(&l->items, item, order);
        l->n_items++;
        return 0;
}

static void drop_item(struct link *l, struct item *item)
{
        TAILQ_REMOVE(&l->items, item, order);
        l->n_items--;
        free(item);
}

void link_store_drop_items(struct link *l, bool posted, uint64_t until)
{
        struct item *item, *next;

        for (item = TAILQ_FIRST(&l->items); item; item = next) {
                next = TAILQ_NEXT(item, order);
                if (item->posted == posted && item->ends_at <= until)
                        drop_item(l, item);
        }
}

void link_store_say_received(struct link *l)
{
        struct by_id *node;

        TAILQ_FOREACH (node, &l->flights.list, order) {
                struct flight *f = (struct flight *)node;

                if (f->over || f->session == l->serial)
                        continue;
                f->session = l->serial;
                if (link_store_item(l, node->id, REPORT_RECEIVED, NULL) < 0)
                        log_debug("link.item_dropped", KV_S("request", node->id));
        }
}

void link_store_unpost(struct link *l)
{
        struct by_id *node;
        struct item *item;

        TAILQ_FOREACH (item, &l->items, order)
                item->posted = false;
        TAILQ_FOREACH (node, &l->kept.list, order)
                if (((struct kept *)node)->state == KEPT_POSTED)
                        ((struct kept *)node)->state = KEPT_QUEUED;
}

/* ---- time ---- */

void link_store_sweep(struct link *l)
{
        uint64_t now = loop_now(l->loop);
        struct by_id *node, *next;
        bool freed = false;

        for (node = TAILQ_FIRST(&l->flights.list); node; node = next) {
                struct flight *f = (struct flight *)node;

                next = TAILQ_NEXT(node, order);
                if (f->ends_at > now)
                        continue;
                log_debug("link.request_lapsed", KV_S("request", node->id));
                link_store_end_flight(l, f);
                freed = true;
        }
        for (node = TAILQ_FIRST(&l->kept.list); node; node = next) {
                struct kept *k = (struct kept *)node;

                next = TAILQ_NEXT(node, order);
                if (k->ends_at > now || k->state == KEPT_POSTED)
                        continue;
                log_debug("link.verdict_lapsed", KV_S("request", node->id));
                link_store_drop_kept(l, k);
        }
        link_store_drop_items(l, false, now);
        if (freed)
                link_report_soon(l);
}

void link_store_clear(struct link *l)
{
        struct by_id *node;

        while ((node = TAILQ_FIRST(&l->flights.list)))
                link_store_end_flight(l, (struct flight *)node);
        while ((node = TAILQ_FIRST(&l->kept.list)))
                link_store_drop_kept(l, (struct kept *)node);
        table_clear(&l->flights.ids);
        table_clear(&l->kept.ids);
        while (!TAILQ_EMPTY(&l->items))
                drop_item(l, TAILQ_FIRST(&l->items));
}
