/*
 * Copies of one identity: a copied disk, a restored snapshot, two hosts made from one image.
 *
 * Each start of a connector has a boot id of its own, and no boot comes back once another has been there. So one that
 * comes back, or goes on longer than a restart takes after another came, or a stream of one boot that goes on after
 * another took its place, or streams that are taken from each other, are two machines with one key: however short the
 * copy's visits are, and whichever boot id it gives itself. Both then get no work, and services hear nothing of their
 * keys, until an admin has decided. The relay is believed in nothing by this: it only keeps work away.
 *
 * Invariant: a stream is somebody's by what it reports, never by being there: of a host that lost its power or its
 * network it stays for minutes. Idle connectors of a large relay report once a minute. One that opened a third stream
 * is watched for a while: it is to report as often as on a small relay, so that what is taken from it shows to be in
 * use.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/relay/relay.h"

#define OVERLAP_MS 30000
#define RETURN_MS 5000 /* a boot that is seen again so long after another came */
#define LINEAGES_MAX 1024
#define BOOTS_MAX 16
#define SHED_MAX 3 /* streams in use that others of the same identity made superfluous, within */
#define SHED_MS (10 * 60 * UINT64_C(1000))
/* A stream in use has reported so lately, where its connector is watched. One connector whose streams break without a
 * word needs longer to have two behind it: it misses an answer for 5 s each time. */
#define IN_USE_MS 10000
#define WATCH_MS SHED_MS
#define WATCH_EACH_MS 2000 /* one more at most: where all links broke at once, all would report often */

struct lineage_boot {
        char boot[BOOT_LEN + 1];
        char peer[64];
        uint64_t first;
};

/* The boots of one connector, the newest first. */
struct lineage {
        TAILQ_ENTRY(lineage) entry;
        struct table_node by_connector; /* within the tenant's name */
        char connector[ID_MAX + 1];
        bool quarantined;
        unsigned shed;
        uint64_t shed_since, watched_until;
        struct lineage_boot *boots; /* n_boots, at most BOOTS_MAX: most connectors have one */
        size_t n_boots;
};

void relay_event(struct relay *relay, const char *tenant, const char *name, const char *id, const char *fmt, ...)
{
        struct store_event event;
        va_list ap;

        memset(&event, 0, sizeof(event)); /* all of it is sent */
        event.at = loop_wall(relay->loop);
        (void)snprintf(event.name, sizeof(event.name), "%s", name);
        (void)snprintf(event.id, sizeof(event.id), "%s", id);
        va_start(ap, fmt);
        (void)vsnprintf(event.text, sizeof(event.text), fmt, ap);
        va_end(ap);
        log_warning("event", KV_S("event", name), KV_S("tenant", tenant), KV_S("connector", id),
                    KV_S("text", event.text));
        relay_events_event(relay->events, tenant, name, id, event.text);
        (void)store_client_call(
                relay->store,
                &(struct store_request){.op = STORE_EVENT, .tenant = tenant, .bytes = &event, .n_bytes = sizeof(event)},
                NULL, NULL, NULL);
}

/* ---- boots ---- */

static struct lineage *lineage_of(const struct session *s)
{
        struct table *lineages = &s->relay->lineages;
        struct tenant *t = s->tenant;
        struct lineage *l = table_object(table_find(lineages, s->connector, t->name), struct lineage, by_connector);

        if (l)
                return l;
        if (t->n_lineages >= LINEAGES_MAX) {
                l = TAILQ_LAST(&t->lineages, lineage_list);
                TAILQ_REMOVE(&t->lineages, l, entry);
                table_remove(&l->by_connector);
                free(l->boots);
                memset(l, 0, sizeof(*l));
        } else {
                l = calloc(1, sizeof(*l));
                t->n_lineages += l != NULL;
        }
        if (!l)
                return NULL;
        memcpy(l->connector, s->connector, sizeof(l->connector));
        TAILQ_INSERT_HEAD(&t->lineages, l, entry);
        table_add(lineages, &l->by_connector, l->connector, t->name);
        return l;
}

/* ---- quarantine ---- */

static void quarantine(struct relay *relay, struct tenant *t, const char *connector, const char *why)
{
        struct lineage *l =
                table_object(table_find(&relay->lineages, connector, t->name), struct lineage, by_connector);
        struct session *s;

        TAILQ_FOREACH (s, &t->sessions, entry)
                if (strcmp(s->connector, connector) == 0)
                        dispatch_link_quarantine(s->link, true);
        nodes_quarantine(relay->nodes, t, connector, true);
        if (l)
                l->quarantined = true;
        if (tenant_quarantine(relay, t, connector, why))
                relay_event(relay, t->name, "connector_runs_twice", connector,
                            "%s; both get no work until an admin decides: `postern tenant remove` and a new enrolment "
                            "if the key was copied, else end the copy and `postern tenant release %s`",
                            why, connector);
}

void clones_two_statements(struct relay *relay, struct tenant *t, const char *connector, const struct statement *s)
{
        char why[256];

        if (tenant_is_quarantined(relay, t, connector))
                return;
        (void)snprintf(why, sizeof(why),
                       "one identity runs on two machines: two key statements of one start have the number %llu",
                       (unsigned long long)s->seq);
        quarantine(relay, t, connector, why);
        nodes_tell_statement(relay->nodes, t, connector, s->text); /* they find the same */
}

/* Remembers the boot; true when it was the newest once and is no longer. */
static bool comes_back(struct lineage *l, const struct session *s)
{
        const uint64_t now = loop_now(s->relay->loop);

        for (size_t i = 0; i < l->n_boots; i++)
                if (strcmp(l->boots[i].boot, s->boot) == 0)
                        return i > 0 && now - l->boots[0].first >= RETURN_MS;
        struct lineage_boot *boots =
                l->n_boots < BOOTS_MAX ? realloc(l->boots, (l->n_boots + 1) * sizeof(*boots)) : NULL;
        if (boots) {
                l->boots = boots;
                l->n_boots++;
        }
        if (l->n_boots == 0)
                return false; /* no memory */
        memmove(&l->boots[1], &l->boots[0], (l->n_boots - 1) * sizeof(*l->boots));
        memcpy(l->boots[0].boot, s->boot, sizeof(l->boots[0].boot));
        memcpy(l->boots[0].peer, s->peer, sizeof(l->boots[0].peer));
        l->boots[0].first = now;
        return false;
}

void clones_replaced(struct session *older, const struct session *s)
{
        if (older->replaced_at)
                return;
        older->replaced_at = loop_now(s->relay->loop);
        memcpy(older->successor, s->peer, sizeof(older->successor));
}

void clones_check_in(struct session *s)
{
        struct lineage *l = lineage_of(s);
        const bool quarantined = tenant_is_quarantined(s->relay, s->tenant, s->connector);
        struct session *older;
        char why[256];

        if (quarantined)
                dispatch_link_quarantine(s->link, true);
        if (l)
                l->quarantined = quarantined;
        /* not by the newest boot's time, which a copy that comes again and again would keep young */
        TAILQ_FOREACH (older, &s->tenant->sessions, entry)
                if (strcmp(older->connector, s->connector) == 0 && strcmp(older->boot, s->boot) != 0)
                        clones_replaced(older, s);
        if (!l || !comes_back(l, s))
                return;
        (void)snprintf(why, sizeof(why),
                       "one identity runs on two machines: a start from %s came back after one from %s", s->peer,
                       l->boots[0].peer);
        quarantine(s->relay, s->tenant, s->connector, why);
}

bool clones_watched(const struct session *s)
{
        const struct lineage *l = table_object(table_find(&s->relay->lineages, s->connector, s->tenant->name),
                                               struct lineage, by_connector);

        return l && loop_now(s->relay->loop) < l->watched_until;
}

void clones_shed(struct session *s)
{
        const uint64_t now = loop_now(s->relay->loop);
        struct lineage *l = lineage_of(s);
        struct relay *relay = s->relay;
        char why[256];

        if (!l || l->quarantined || !s->replaced_at)
                return;
        if (now < l->watched_until || !relay->watched_at || now - relay->watched_at >= WATCH_EACH_MS) {
                relay->watched_at = now >= l->watched_until ? now : relay->watched_at;
                l->watched_until = now + WATCH_MS;
        }
        if (now - s->reported_at > IN_USE_MS)
                return;
        if (now - l->shed_since > SHED_MS) {
                l->shed = 0;
                l->shed_since = now;
        }
        if (++l->shed < SHED_MAX)
                return;
        l->shed = 0;
        (void)snprintf(why, sizeof(why),
                       "one identity runs on two machines, which take the link from each other: from %s and "
                       "from %s",
                       s->peer, s->successor);
        quarantine(s->relay, s->tenant, s->connector, why);
}

/* A later start of the connector that has been at another node, by its word, for longer than a restart takes, while s,
 * as it shows by its report, goes on. */
static const struct far_link *came_elsewhere(const struct session *s, uint64_t now)
{
        const struct far_link *far;

        LIST_FOREACH (far, &s->tenant->far, of_tenant)
                if (!far->leaving && strcmp(far->connector, s->connector) == 0 && strcmp(far->boot, s->boot) != 0 &&
                    far->began > s->began && now - far->began >= OVERLAP_MS)
                        return far;
        return NULL;
}

void clones_look(struct session *s)
{
        const uint64_t now = loop_now(s->relay->loop);
        const struct lineage *l = lineage_of(s);
        char why[256];

        if (l && l->quarantined)
                return;
        /* for so long that it cannot be what its successor replaced */
        if (s->replaced_at && now - s->replaced_at >= OVERLAP_MS) {
                (void)snprintf(why, sizeof(why),
                               "one identity runs on two machines: from %s it goes on, though a later one came "
                               "from %s",
                               s->peer, s->successor);
                quarantine(s->relay, s->tenant, s->connector, why);
                return;
        }
        const struct far_link *far = came_elsewhere(s, now);
        if (far && nodes_may_accuse(far)) {
                (void)snprintf(why, sizeof(why),
                               "one identity runs on two machines: from %s it goes on, though, as node %s of the relay "
                               "says, a later one came to that",
                               s->peer, far_node_name(far));
                quarantine(s->relay, s->tenant, s->connector, why);
                return;
        }
}

void clones_forget(struct tenant *t)
{
        struct lineage *l;

        while ((l = TAILQ_FIRST(&t->lineages))) {
                TAILQ_REMOVE(&t->lineages, l, entry);
                table_remove(&l->by_connector);
                free(l->boots);
                free(l);
        }
}

/* ---- what was decided meanwhile ---- */

/*
 * Out of quarantine it begins anew: its boots are forgotten, so that the one which stays is no surprise, and so is
 * what the copy announced, which may be younger than what is true; the links come back and say it again.
 */
static void let_out(struct tenant *t, const char *connector)
{
        struct session *s, *next;

        tenant_forget_statement(t, connector);
        for (s = TAILQ_FIRST(&t->sessions); s; s = next) {
                next = TAILQ_NEXT(s, entry);
                if (strcmp(s->connector, connector) == 0)
                        session_send_back(s);
        }
}

void clones_refresh(struct relay *relay, struct tenant *t)
{
        struct session *s;
        struct far_link *far;
        struct lineage *l;

        TAILQ_FOREACH (s, &t->sessions, entry)
                dispatch_link_quarantine(s->link, tenant_is_quarantined(relay, t, s->connector));
        LIST_FOREACH (far, &t->far, of_tenant)
                dispatch_link_quarantine(far->link, tenant_is_quarantined(relay, t, far->connector));
        TAILQ_FOREACH (l, &t->lineages, entry) {
                const bool now = tenant_is_quarantined(relay, t, l->connector);

                if (l->quarantined && !now) {
                        l->n_boots = 0;
                        let_out(t, l->connector);
                }
                l->quarantined = now;
        }
}
