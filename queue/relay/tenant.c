/*
 * Tenants in memory: secrets, roster, live statements, rate limit.
 *
 * Invariants: a statement is kept only if it verified with the key that the live roster gives its connector; only
 * tenants that exist are here, so strangers grow nothing. What the database says of them: tenant-image.c.
 */
#include <errno.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/log.h"
#include "base/core/secret.h"
#include "queue/relay/relay.h"

/* ---- cache ---- */

void tenant_set_secrets(struct relay *relay, struct tenant *t, const struct store_secret *stored, size_t n)
{
        struct tenant_secret secrets[STORE_SECRETS_MAX] = {0};

        for (size_t i = 0; i < n; i++) {
                secrets[i] =
                        (struct tenant_secret){stored[i], (double)relay->config->sign_in_burst, loop_now(relay->loop)};
                for (size_t j = 0; j < t->n_secrets; j++) {
                        if (memcmp(t->secrets[j].secret.hash, stored[i].hash, STORE_HASH_LEN) == 0)
                                secrets[i] = t->secrets[j];
                }
        }
        memcpy(t->secrets, secrets, n * sizeof(secrets[0]));
        t->n_secrets = n;
}

struct tenant *tenant_new(struct relay *relay, const struct store_tenant *row)
{
        struct tenant *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        memcpy(t->name, row->name, sizeof(t->name));
        memcpy(t->pin, row->pin, sizeof(t->pin));
        TAILQ_INIT(&t->announced);
        TAILQ_INIT(&t->sessions);
        TAILQ_INIT(&t->lineages);
        LIST_INIT(&t->far);
        LIST_INIT(&t->told_far);
        LIST_INIT(&t->members);
        LIST_INIT(&t->revoked);
        t->since = row->since;
        LIST_INSERT_HEAD(&relay->tenants, t, entry);
        table_add(&relay->by_name, &t->by_name, t->name, NULL);
        return t;
}

int tenant_get(struct relay *relay, const char *name, struct tenant **ret_tenant)
{
        struct tenant *t = tenant_valid(name)
                                   ? table_object(table_find(&relay->by_name, name, NULL), struct tenant, by_name)
                                   : NULL;

        if (!t)
                return -ENOENT;
        *ret_tenant = t;
        return 0;
}

static struct announced *announced_free(struct tenant *t, struct announced *a)
{
        TAILQ_REMOVE(&t->announced, a, entry);
        statement_free(a->statement);
        free(a);
        return NULL;
}

struct tenant *tenant_free(struct tenant *tenant)
{
        struct announced *a;

        if (!tenant)
                return NULL;
        LIST_REMOVE(tenant, entry);
        table_remove(&tenant->by_name);
        clones_forget(tenant);
        tenant_forget_members(tenant);
        api_keys_free(tenant->board);
        while ((a = TAILQ_FIRST(&tenant->announced)))
                announced_free(tenant, a);
        roster_free(tenant->roster);
        free(tenant);
        return NULL;
}

void tenant_drop(struct relay *relay, struct tenant *t)
{
        log_info("tenant_removed", KV_S("tenant", t->name));
        relay_events_event(relay->events, t->name, "tenant_removed", NULL, NULL);
        dispatch_end(relay->dispatch, t->name);
        sessions_close(t);
        nodes_forget_tenant(relay->nodes, t);
        metering_forget(relay->metering, t->name);
        tenant_free(t);
}

/* ---- secrets and rate ---- */

struct tenant_secret *tenant_secret(struct tenant *t, const char *secret)
{
        struct tenant_secret *found = NULL;
        uint8_t hash[STORE_HASH_LEN];

        SHA256((const unsigned char *)secret, strlen(secret), hash);
        for (size_t i = 0; i < t->n_secrets; i++) {
                if (equal_const_time(t->secrets[i].secret.hash, hash, STORE_HASH_LEN))
                        found = &t->secrets[i];
        }
        return found;
}

bool tenant_admit(struct relay *relay, struct tenant_secret *secret, uint32_t *ret_wait)
{
        /* its services may go to any node that lives: each has its share */
        const double share = nodes_view(relay->nodes).live;
        double rate = (double)relay->config->sign_ins_per_second / share,
               burst = fmax(1, (double)relay->config->sign_in_burst / share);
        uint64_t now = loop_now(relay->loop);

        secret->tokens += (double)(now - secret->tokens_at) * rate / 1000;
        secret->tokens_at = now;
        if (secret->tokens > burst)
                secret->tokens = burst;
        if (secret->tokens < 1) {
                *ret_wait = 1;
                return false;
        }
        secret->tokens -= 1;
        return true;
}

/* ---- roster and statements ---- */

const struct roster *tenant_live_roster(const struct relay *relay, const struct tenant *t)
{
        return t->roster && clock_earliest(relay) <= t->roster->exp + ROSTER_SKEW ? t->roster : NULL;
}

const struct roster_member *tenant_connector_by_id(const struct roster *roster, const char *id)
{
        for (size_t i = 0; roster && i < roster->n_connectors; i++) {
                if (strcmp(roster->connectors[i].id, id) == 0)
                        return &roster->connectors[i];
        }
        return NULL;
}

const struct announced *tenant_announced(const struct tenant *t, const char *connector)
{
        const struct announced *a;

        TAILQ_FOREACH (a, &t->announced, entry) {
                if (strcmp(a->connector, connector) == 0)
                        return a;
        }
        return NULL;
}

void tenant_set_roster(struct tenant *t, struct roster *roster)
{
        const struct roster_member *m;
        struct announced *a, *next;

        roster_free(t->roster);
        t->roster = roster;
        for (a = TAILQ_FIRST(&t->announced); a; a = next) {
                next = TAILQ_NEXT(a, entry);
                m = tenant_connector_by_id(roster, a->connector);
                if (!m || strcmp(key_kid(m->key), a->statement->kid) != 0) /* no more by the key that signed it */
                        announced_free(t, a);
        }
}

void tenant_expire_statements(const struct relay *relay, struct tenant *t)
{
        struct announced *a, *next;
        int64_t now = clock_earliest(relay);

        for (a = TAILQ_FIRST(&t->announced); a; a = next) {
                next = TAILQ_NEXT(a, entry);
                if (a->statement->exp <= now)
                        announced_free(t, a);
        }
}

void tenant_forget_statement(struct tenant *t, const char *connector)
{
        struct announced *a, *next;

        for (a = TAILQ_FIRST(&t->announced); a; a = next) {
                next = TAILQ_NEXT(a, entry);
                if (strcmp(a->connector, connector) == 0)
                        announced_free(t, a);
        }
}

/* A later one of the same boot takes a statement's place, or a younger one of another. At most one per connector, and
 * connectors come from the roster, so the list is capped by it. */
static int keep_statement(struct tenant *t, const char *connector, struct statement *s, struct error *err)
{
        const struct announced *found = tenant_announced(t, connector);
        struct announced *a = NULL;

        TAILQ_FOREACH (a, &t->announced, entry) {
                if (a == found)
                        break;
        }
        if (!a) {
                a = calloc(1, sizeof(*a));
                if (!a)
                        return error_fail(err, -ENOMEM, "no memory");
                memcpy(a->connector, connector, strnlen(connector, ID_MAX));
                TAILQ_INSERT_TAIL(&t->announced, a, entry);
        } else if (strcmp(s->boot, a->statement->boot) == 0 ? s->seq <= a->statement->seq
                                                            : s->iat < a->statement->iat) {
                return error_fail(err, -ESTALE, "statement %llu is not newer than %llu", (unsigned long long)s->seq,
                                  (unsigned long long)a->statement->seq);
        }
        statement_free(a->statement);
        a->statement = s;
        return 0;
}

int tenant_put_statement(struct relay *relay, struct tenant *t, const char *connector, const char *text,
                         struct error *err)
{
        const struct announced *known = tenant_announced(t, connector);
        const struct roster_member *m = tenant_connector_by_id(tenant_live_roster(relay, t), connector);
        struct statement *s = NULL;

        if (known && strcmp(known->statement->text, text) == 0)
                return 0;
        if (!m)
                return error_fail(err, -ENOKEY, "connector %s is not in the roster", connector);
        int r = statement_verify(&s, text, strlen(text), m->key, connector, t->name, clock_latest(relay), err);
        if (r < 0 && relay->clock.doubtful)
                r = statement_verify(&s, text, strlen(text), m->key, connector, t->name, clock_earliest(relay), err);
        if (r < 0)
                return r;
        if (known && strcmp(s->boot, known->statement->boot) == 0 && s->seq == known->statement->seq)
                clones_two_statements(relay, t, connector, s);
        r = keep_statement(t, connector, s, err);
        if (r < 0)
                statement_free(s);
        return r;
}

const char *tenant_connector_of_key(const struct relay *relay, const struct tenant *t, const char *kid)
{
        int64_t now = clock_earliest(relay);
        const struct announced *a;

        TAILQ_FOREACH (a, &t->announced, entry) {
                const struct statement *s = a->statement;
                for (size_t i = 0; i < s->n_keys && s->exp > now; i++) {
                        if (s->keys[i].exp > now && strcmp(key_kid(s->keys[i].key), kid) == 0)
                                return a->connector;
                }
        }
        return NULL;
}
