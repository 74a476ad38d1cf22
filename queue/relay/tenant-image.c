/*
 * Tenants as the store process tells them: what is new, what changed, what is gone; and their connectors and revoked
 * certificates, as each request looks them up.
 *
 * Invariant: the database decides who exists and which secrets, connectors and certificates count; the relay goes by
 * what it was told last, and a command that writes waits until that is so. A quarantine that the relay itself found
 * counts at once, whatever an older image says.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "queue/relay/relay.h"

/* ---- connectors and certificates ---- */

static struct member *find_member(const struct relay *relay, const struct tenant *t, const char *id)
{
        return table_object(table_find(&relay->members, id, t->name), struct member, by_id);
}

static struct member *member_free(struct member *m)
{
        table_remove(&m->by_id);
        LIST_REMOVE(m, entry);
        free(m);
        return NULL;
}

static struct revoked *revoked_free(struct revoked *r)
{
        table_remove(&r->by_serial);
        LIST_REMOVE(r, entry);
        free(r);
        return NULL;
}

void tenant_forget_members(struct tenant *t)
{
        while (!LIST_EMPTY(&t->members))
                member_free(LIST_FIRST(&t->members));
        while (!LIST_EMPTY(&t->revoked))
                revoked_free(LIST_FIRST(&t->revoked));
}

const struct store_member *tenant_member(const struct relay *relay, const struct tenant *t, const char *id)
{
        const struct member *m = find_member(relay, t, id);

        return m ? &m->row : NULL;
}

bool tenant_is_quarantined(const struct relay *relay, const struct tenant *t, const char *id)
{
        const struct member *m = find_member(relay, t, id);

        return m && m->row.quarantined;
}

bool tenant_is_revoked(const struct relay *relay, const struct tenant *t, const char *id, const char *serial)
{
        const struct member *m = find_member(relay, t, id);

        return (m && m->row.barred) || table_find(&relay->revoked, serial, NULL);
}

/* Who has asked for a quarantine to be kept. */
struct keeping {
        struct relay *relay;
        char tenant[TENANT_MAX + 1], id[ID_MAX + 1];
};

static void on_kept(void *arg, int code)
{
        struct keeping *k = arg;
        struct tenant *t;
        struct member *m;

        if (tenant_get(k->relay, k->tenant, &t) == 0 && (m = find_member(k->relay, t, k->id)) && m->quarantining)
                m->quarantining--;
        if (code < 0)
                log_error("quarantine_not_stored", KV_S("tenant", k->tenant), KV_S("connector", k->id));
        free(k);
}

bool tenant_quarantine(struct relay *relay, struct tenant *t, const char *id, const char *why)
{
        const struct store_request q = {
                .op = STORE_QUARANTINE, .tenant = t->name, .id = id, .word = why, .at = loop_wall(relay->loop)};
        struct member *m = find_member(relay, t, id);
        struct keeping *k;

        if (!m || m->row.quarantined)
                return false;
        m->row.quarantined = 1;
        k = calloc(1, sizeof(*k));
        if (!k)
                return true;
        k->relay = relay;
        memcpy(k->tenant, t->name, sizeof(k->tenant));
        memcpy(k->id, m->row.connector.id, sizeof(k->id));
        m->quarantining++;
        if (!store_client_call(relay->store, &q, NULL, on_kept, k)) {
                m->quarantining--;
                free(k);
        }
        return true;
}

static void take_members(struct relay *relay, struct tenant *t, const struct store_image *image)
{
        struct member *m, *next;

        for (size_t i = 0; i < image->n_members; i++) {
                const struct store_member *row = &image->members[i];

                m = find_member(relay, t, row->connector.id);
                if (!m) {
                        m = calloc(1, sizeof(*m));
                        if (!m)
                                continue; /* as if it had not enrolled, until the next image */
                        m->row = *row;
                        LIST_INSERT_HEAD(&t->members, m, entry);
                        table_add(&relay->members, &m->by_id, m->row.connector.id, t->name);
                }
                const bool keep = m->quarantining && m->row.quarantined;
                m->row = *row;
                m->row.quarantined |= keep;
                m->told = true;
        }
        for (m = LIST_FIRST(&t->members); m; m = next) {
                next = LIST_NEXT(m, entry);
                if (!m->told)
                        member_free(m);
                else
                        m->told = false;
        }
}

/* All of them or, without memory, as they were: what is revoked must not count again for a while. */
static void take_revoked(struct relay *relay, struct tenant *t, const struct store_image *image)
{
        struct revoked_list fresh = LIST_HEAD_INITIALIZER(fresh);
        struct revoked *r;
        bool whole = true;

        for (size_t i = 0; whole && i < image->n_revoked; i++) {
                whole = (r = calloc(1, sizeof(*r)));
                if (!whole)
                        break;
                r->serial = image->revoked[i];
                LIST_INSERT_HEAD(&fresh, r, entry);
        }
        if (whole)
                while (!LIST_EMPTY(&t->revoked))
                        revoked_free(LIST_FIRST(&t->revoked));
        else
                log_error("revoked_not_kept", KV_S("tenant", t->name));
        while ((r = LIST_FIRST(&fresh))) {
                LIST_REMOVE(r, entry);
                if (!whole) {
                        free(r);
                        continue;
                }
                LIST_INSERT_HEAD(&t->revoked, r, entry);
                table_add(&relay->revoked, &r->by_serial, r->serial.text, NULL);
        }
}

/* ---- the roster ---- */

/* One that has expired still gives the floor of seq. */
static void take_roster(struct relay *relay, struct tenant *t, const struct buffer *text, bool is_new)
{
        struct roster *roster = NULL;
        struct error err;

        if (text->len == 0 || (t->roster && strcmp(t->roster->text, text->data) == 0))
                return;
        if (roster_verify_kind(&roster, relay->sandbox, text->data, text->len, t->pin, t->name, ROSTER_ANY_TIME, 0,
                               &err) < 0) {
                log_warning("stored_roster_unusable", KV_S("tenant", t->name), KV_S("why", err.text));
                return;
        }
        tenant_set_roster(t, roster);
        if (is_new)
                return;
        api_keys_touch(relay, t);
        sessions_send_roster(t);
        log_info("roster_stored", KV_S("tenant", t->name), KV_U("seq", roster->seq),
                 KV_U("connectors", roster->n_connectors), KV_U("services", roster->n_services));
}

/* ---- tenants ---- */

static void take_image(void *arg, const struct store_image *image)
{
        struct relay *relay = arg;
        struct tenant *t = NULL;
        struct session *s;
        struct peer peer;
        struct error err;

        /* one of the same name may have been made since, which is another */
        if (tenant_get(relay, image->tenant.name, &t) == 0 &&
            (image->tenant.since != t->since || strcmp(image->tenant.pin, t->pin) != 0 ||
             (t->roster && !image->roster.len))) {
                tenant_drop(relay, t);
                t = NULL;
        }
        const bool is_new = !t;
        if (!t && !(t = tenant_new(relay, &image->tenant))) {
                log_error("tenant_not_kept", KV_S("tenant", image->tenant.name), KV_S("why", "no memory"));
                return;
        }
        t->told = image->run;
        tenant_set_secrets(relay, t, image->secrets, image->n_secrets);
        take_members(relay, t, image);
        take_revoked(relay, t, image);
        take_roster(relay, t, &image->roster, is_new);
        if (is_new)
                return;
        TAILQ_FOREACH (s, &t->sessions, entry) /* they outlive what they began with */
                if (credential_check(relay, &s->credential, &peer, &err) < 0)
                        session_drop(s, err.text);
        clones_refresh(relay, t);
}

static void take_gone(void *arg, const char *tenant)
{
        struct relay *relay = arg;
        struct tenant *t;

        if (tenant_get(relay, tenant, &t) == 0)
                tenant_drop(relay, t);
}

static void drop_untold(void *arg, uint64_t run)
{
        struct relay *relay = arg;
        struct tenant *t, *next;

        for (t = LIST_FIRST(&relay->tenants); t; t = next) {
                next = LIST_NEXT(t, entry);
                if (t->told != run)
                        tenant_drop(relay, t);
        }
}

const struct store_client_ops tenants_told = {.image = take_image, .gone = take_gone, .all_told = drop_untold};
