/*
 * Pools of connections, one per DC, and the TLS contexts of the domains.
 *
 * Invariants: a connection is in exactly one of the lists opening, idle and busy; each waiter in one queue;
 * at most pool_max connections (and one for a probe) and LDAP_CONNECTING_MAX openings per DC. The connection used
 * last is used next, so that what is not needed grows old and goes. Deadlines are the waiters' own. It sends nothing.
 */
#include "validate/ldap/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "base/dns/dns.h"

#define POOL_MAX_DEFAULT 16
#define CONNECT_TIMEOUT_MS 2000
#define IDLE_MS (600 * 1000)
#define LDAPS_PORT 636
#define LDAP_PORT 389

TAILQ_HEAD(conn_list, ldap_conn_link);

struct ldap_domain {
        LIST_ENTRY(ldap_domain) link;
        char *name;
        struct ldap_tls *tls;
};

struct ldap_pool {
        LIST_ENTRY(ldap_pool) link;
        struct ldap_pools *pools;
        const struct ldap_domain *domain;
        char *host;
        bool fast;                      /* its connections are for fast binds alone */
        struct ldap_conn_target target; /* of the next connection; the address may change */
        size_t max;
        struct conn_list opening, idle, busy;
        size_t n_opening, n_idle, n_busy;
        TAILQ_HEAD(, ldap_waiter) waiters;
        size_t n_waiters;
};

struct ldap_pools {
        struct method_instance method; /* the first */
        struct loop *loop;
        LIST_HEAD(, ldap_domain) domains;
        LIST_HEAD(, ldap_pool) pools;
};

int ldap_pools_new(struct method_instance **ret, struct loop *loop)
{
        struct ldap_pools *pools = calloc(1, sizeof *pools);

        if (!pools)
                return -ENOMEM;
        pools->method.ops = &ldap_ops;
        pools->loop = loop;
        LIST_INIT(&pools->domains);
        LIST_INIT(&pools->pools);
        *ret = (struct method_instance *)pools;
        return 0;
}

struct loop *ldap_pools_loop(const struct ldap_pools *pools)
{
        return pools->loop;
}

static void list_close(struct conn_list *list)
{
        struct ldap_conn_link *link;

        while ((link = TAILQ_FIRST(list))) {
                TAILQ_REMOVE(list, link, entry);
                ldap_conn_free(link->conn);
        }
}

static void domain_free(struct ldap_domain *domain)
{
        ldap_tls_free(domain->tls);
        free(domain->name);
        free(domain);
}

struct method_instance *ldap_pools_free(struct method_instance *method)
{
        struct ldap_pools *pools = (struct ldap_pools *)method;
        struct ldap_domain *domain;
        struct ldap_pool *pool;

        if (!pools)
                return NULL;
        while ((pool = LIST_FIRST(&pools->pools))) {
                LIST_REMOVE(pool, link);
                list_close(&pool->opening);
                list_close(&pool->idle);
                list_close(&pool->busy);
                free(pool->host);
                free(pool);
        }
        while ((domain = LIST_FIRST(&pools->domains))) {
                LIST_REMOVE(domain, link);
                domain_free(domain);
        }
        free(pools);
        return NULL;
}

static struct ldap_domain *domain_find(struct ldap_pools *pools, const char *name)
{
        struct ldap_domain *domain;

        LIST_FOREACH (domain, &pools->domains, link)
                if (strcmp(domain->name, name) == 0)
                        return domain;
        return NULL;
}

int ldap_domain_add(struct method_instance *method, const struct domain_config *config, struct error *err)
{
        struct ldap_pools *pools = (struct ldap_pools *)method;
        struct ldap_domain *domain;
        int r;

        if (domain_find(pools, config->name))
                return error_fail(err, -EEXIST, "domain %s is configured twice", config->name);
        domain = calloc(1, sizeof *domain);
        if (!domain || text_set(&domain->name, config->name) < 0) {
                free(domain);
                return error_fail(err, -ENOMEM, "domain %s: out of memory", config->name);
        }
        r = ldap_tls_new(&domain->tls, config, err);
        if (r < 0) {
                domain_free(domain);
                return r;
        }
        LIST_INSERT_HEAD(&pools->domains, domain, link);
        return 0;
}

static struct ldap_pool *pool_new(struct ldap_pools *pools, const struct attempt *attempt)
{
        const struct domain_config *config = attempt->domain;
        const struct ldap_domain *domain = domain_find(pools, config->name);
        struct ldap_pool *pool = domain ? calloc(1, sizeof *pool) : NULL;

        if (!pool || text_set(&pool->host, attempt->host) < 0) {
                free(pool);
                return NULL;
        }
        pool->pools = pools;
        pool->domain = domain;
        pool->fast = attempt->fast;
        pool->max = config->pool_max ? config->pool_max : POOL_MAX_DEFAULT;
        pool->target.host = pool->host;
        pool->target.idle_ms = IDLE_MS;
        pool->target.starttls = config->starttls;
        TAILQ_INIT(&pool->opening);
        TAILQ_INIT(&pool->idle);
        TAILQ_INIT(&pool->busy);
        TAILQ_INIT(&pool->waiters);
        LIST_INSERT_HEAD(&pools->pools, pool, link);
        return pool;
}

struct ldap_pool *ldap_pool_find(struct ldap_pools *pools, const struct attempt *attempt)
{
        const struct domain_config *domain = attempt->domain;
        const uint32_t ms = domain->connect_timeout_ms ? domain->connect_timeout_ms : CONNECT_TIMEOUT_MS;
        const uint64_t now = loop_now(pools->loop);
        struct ldap_conn_target *target;
        struct ldap_pool *pool;

        LIST_FOREACH (pool, &pools->pools, link)
                if (pool->fast == attempt->fast && strcmp(pool->domain->name, attempt->domain->name) == 0 &&
                    strcmp(pool->host, attempt->host) == 0)
                        break;
        if (!pool)
                pool = pool_new(pools, attempt);
        if (!pool)
                return NULL;
        /* the attempt's address with the domain's port, and how long a connection that is opened for it may take */
        target = &pool->target;
        target->address = attempt->address;
        target->address_len = attempt->address_len;
        if (domain->starttls)
                address_set_port(&target->address, domain->ldap_port ? domain->ldap_port : LDAP_PORT);
        else
                address_set_port(&target->address, domain->ldaps_port ? domain->ldaps_port : LDAPS_PORT);
        target->timeout_ms = ms;
        if (attempt->patient && attempt->deadline > now + ms)
                target->timeout_ms = (uint32_t)(attempt->deadline - now);
        return pool;
}

static void waiter_remove(struct ldap_pool *pool, struct ldap_waiter *waiter)
{
        TAILQ_REMOVE(&pool->waiters, waiter, entry);
        pool->n_waiters--;
        waiter->waiting = false;
}

/* Gives the idle connection used last to the waiter that came first. */
static void hand_out(struct ldap_pool *pool, bool used)
{
        struct ldap_waiter *waiter = TAILQ_FIRST(&pool->waiters);
        struct ldap_conn_link *link = TAILQ_FIRST(&pool->idle);

        TAILQ_REMOVE(&pool->idle, link, entry);
        pool->n_idle--;
        TAILQ_INSERT_TAIL(&pool->busy, link, entry);
        pool->n_busy++;
        waiter_remove(pool, waiter);
        waiter->on_conn(waiter->arg, link->conn, used);
}

/* Closes idle connections that the peer has closed or spoken on, from the top, until a good one is there. */
static void drop_closed(struct ldap_pool *pool)
{
        struct ldap_conn_link *link;

        while ((link = TAILQ_FIRST(&pool->idle)) && !ldap_conn_quiet(link->conn)) {
                TAILQ_REMOVE(&pool->idle, link, entry);
                pool->n_idle--;
                ldap_conn_free(link->conn);
        }
}

static void on_conn_open(void *arg, struct ldap_conn *conn);
static void on_conn_down(void *arg, struct ldap_conn *conn, enum reason reason, const char *why);

static size_t count(const struct ldap_pool *pool)
{
        return pool->n_opening + pool->n_idle + pool->n_busy;
}

/* Opens as many connections as there are waiters without one, within the limits; who goes first does not wait for those
 * who were served before. */
static void open_more(struct ldap_pool *pool)
{
        struct ldap_conn_events events = {.on_open = on_conn_open, .on_down = on_conn_down, .arg = pool};
        struct ldap_conn *conn;

        while (pool->n_opening < pool->n_waiters && pool->n_opening < LDAP_CONNECTING_MAX &&
               count(pool) < pool->max + (TAILQ_FIRST(&pool->waiters)->first && pool->n_opening == 0)) {
                if (ldap_conn_new(&conn, pool->pools->loop, pool->domain->tls, &pool->target, &events) < 0)
                        return; /* the waiters have their deadlines */
                TAILQ_INSERT_TAIL(&pool->opening, ldap_conn_link(conn), entry);
                pool->n_opening++;
        }
}

static void serve(struct ldap_pool *pool)
{
        drop_closed(pool);
        while (pool->n_waiters > 0 && pool->n_idle > 0) {
                hand_out(pool, true);
                drop_closed(pool);
        }
        open_more(pool);
}

static void on_conn_open(void *arg, struct ldap_conn *conn)
{
        struct ldap_pool *pool = arg;
        struct ldap_conn_link *link = ldap_conn_link(conn);

        TAILQ_REMOVE(&pool->opening, link, entry);
        pool->n_opening--;
        TAILQ_INSERT_HEAD(&pool->idle, link, entry);
        pool->n_idle++;
        if (pool->n_waiters > 0)
                hand_out(pool, false);
        open_more(pool);
}

/* Takes the connection out of the list that holds it; true when it was opening. */
static bool unlink_conn(struct ldap_pool *pool, struct ldap_conn *conn)
{
        struct ldap_conn_link *link = ldap_conn_link(conn), *it;

        TAILQ_FOREACH (it, &pool->opening, entry)
                if (it == link) {
                        TAILQ_REMOVE(&pool->opening, link, entry);
                        pool->n_opening--;
                        return true;
                }
        TAILQ_FOREACH (it, &pool->idle, entry)
                if (it == link) {
                        TAILQ_REMOVE(&pool->idle, link, entry);
                        pool->n_idle--;
                        return false;
                }
        TAILQ_REMOVE(&pool->busy, link, entry);
        pool->n_busy--;
        return false;
}

/*
 * A connection cannot be opened: with none open, all who wait now hear it and may go elsewhere. With some open it is
 * one who hears it; nobody, where the handshake only took too long: those that are open serve the waiters all the same.
 */
static void on_conn_down(void *arg, struct ldap_conn *conn, enum reason reason, const char *why)
{
        struct ldap_pool *pool = arg;
        const bool opening = unlink_conn(pool, conn), serves = pool->n_idle + pool->n_busy > 0;
        size_t n = !serves ? pool->n_waiters : reason == REASON_DC_TLS_TIMEOUT ? 0 : 1;

        for (; opening && n > 0 && pool->n_waiters > 0; n--) {
                struct ldap_waiter *waiter = TAILQ_FIRST(&pool->waiters);

                waiter_remove(pool, waiter);
                waiter->on_none(waiter->arg, reason, why);
        }
        open_more(pool);
}

void ldap_pool_wait(struct ldap_pool *pool, struct ldap_waiter *waiter)
{
        if (waiter->first)
                TAILQ_INSERT_HEAD(&pool->waiters, waiter, entry);
        else
                TAILQ_INSERT_TAIL(&pool->waiters, waiter, entry);
        pool->n_waiters++;
        waiter->waiting = true;
        serve(pool);
}

void ldap_pool_stop_waiting(struct ldap_pool *pool, struct ldap_waiter *waiter)
{
        if (waiter->waiting)
                waiter_remove(pool, waiter);
}

void ldap_pool_release(struct ldap_pool *pool, struct ldap_conn *conn, bool reusable)
{
        struct ldap_conn_link *link = ldap_conn_link(conn);

        TAILQ_REMOVE(&pool->busy, link, entry);
        pool->n_busy--;
        if (reusable && ldap_conn_at_rest(conn) && count(pool) < pool->max) {
                ldap_conn_detach(conn);
                TAILQ_INSERT_HEAD(&pool->idle, link, entry);
                pool->n_idle++;
        } else {
                ldap_conn_free(conn);
        }
        if (pool->n_waiters > 0)
                serve(pool);
}

enum reason ldap_pool_obstacle(const struct ldap_pool *pool)
{
        const struct ldap_conn_link *link;

        TAILQ_FOREACH (link, &pool->opening, entry)
                if (ldap_conn_in_handshake(link->conn))
                        return REASON_DC_TLS_TIMEOUT;
        return pool->n_opening == 0 && pool->n_busy > 0 ? REASON_OVERLOADED : REASON_DC_UNREACHABLE;
}

void ldap_pool_drop_idle(struct ldap_pool *pool)
{
        list_close(&pool->idle);
        pool->n_idle = 0;
}
