/*
 * One round after the other: the site's SRV records, the domain's, then a rest for their TTL.
 *
 * Invariant: at most one query is under way; a round that fails in part changes nothing. It does not know
 * whether a DC is alive.
 */
#include "validate/dc/discover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/log.h"

#define TTL_LEAST_MS 5000 /* a record with TTL 0 is not asked for all the time */
#define RETRY_MIN_MS 5000
#define RETRY_MAX_MS 60000

enum discover_state {
        DISCOVER_RESTING = 0,
        DISCOVER_SITE,   /* the site's records are asked for */
        DISCOVER_DOMAIN, /* all of the domain's */
};

struct discover {
        struct dc_tools tools;
        const struct domain_config *domain;
        struct dcs *dcs;
        enum discover_state state;
        struct loop_timer *timer;
        struct dns_query *query;
        struct dc_found found[2 * DNS_SRV_MAX]; /* the site's, then the domain's, each by priority */
        size_t n, left_out;
        uint32_t ttl; /* s, the least of this round */
        uint64_t retry_ms;
};

static const char *const state_names[] = {
        [DISCOVER_RESTING] = "resting", [DISCOVER_SITE] = "site", [DISCOVER_DOMAIN] = "domain"};

/* The one writer of state. */
static void state_set(struct discover *d, enum discover_state state)
{
        log_debug("dc_discover", KV_S("domain", d->domain->name), KV_S("from", state_names[d->state]),
                  KV_S("to", state_names[state]));
        d->state = state;
}

static void rest(struct discover *d, uint64_t ms)
{
        state_set(d, DISCOVER_RESTING);
        loop_timer_in(d->timer, ms + loop_jitter(0, ms / 20));
}

static void round_failed(struct discover *d, const char *name, const char *why)
{
        char text[400];

        snprintf(text, sizeof text, "SRV %.200s: %.150s", name, why);
        dcs_undiscovered(d->dcs, text);
        rest(d, d->retry_ms);
        d->retry_ms = d->retry_ms * 2 < RETRY_MAX_MS ? d->retry_ms * 2 : RETRY_MAX_MS;
}

static void srv_name(const struct discover *d, char *out, size_t cap)
{
        const char *service = d->domain->methods[0] == METHOD_KRB5 ? "_kerberos" : "_ldap";

        if (d->state == DISCOVER_SITE)
                snprintf(out, cap, "%s._tcp.%s._sites.dc._msdcs.%s", service, d->domain->site, d->domain->name);
        else
                snprintf(out, cap, "%s._tcp.dc._msdcs.%s", service, d->domain->name);
}

static void take_records(struct discover *d, const struct dns_srv_answer *answer)
{
        for (size_t i = 0; i < answer->n && d->n < sizeof d->found / sizeof *d->found; i++) {
                struct dc_found *to = &d->found[d->n];
                bool known = false;

                for (size_t k = 0; !known && k < d->n; k++)
                        known = strcasecmp(d->found[k].host, answer->records[i].host) == 0;
                if (known)
                        continue;
                snprintf(to->host, sizeof to->host, "%s", answer->records[i].host);
                to->in_site = d->state == DISCOVER_SITE;
                to->priority = answer->records[i].priority;
                d->n++;
        }
        d->left_out += answer->left_out;
        d->ttl = answer->ttl < d->ttl ? answer->ttl : d->ttl;
}

static void ask(struct discover *d, enum discover_state state);

static void on_srv_answer(void *arg, const struct dns_srv_answer *answer, const char *why)
{
        struct discover *d = arg;
        char name[600];

        d->query = NULL;
        srv_name(d, name, sizeof name);
        if (answer)
                take_records(d, answer);
        if (d->state == DISCOVER_SITE) { /* a site without a DC of its own has no records */
                ask(d, DISCOVER_DOMAIN);
                return;
        }
        if (!answer || d->n == 0) {
                round_failed(d, name, answer ? "names no domain controller" : why);
                return;
        }
        if (d->n > DCS_MAX)
                d->left_out += d->n - DCS_MAX;
        dcs_update(d->dcs, d->found, d->n < DCS_MAX ? d->n : DCS_MAX, d->left_out);
        d->retry_ms = RETRY_MIN_MS;
        rest(d, (uint64_t)d->ttl * 1000 > TTL_LEAST_MS ? (uint64_t)d->ttl * 1000 : TTL_LEAST_MS);
}

static void ask(struct discover *d, enum discover_state state)
{
        char name[600];
        int r;

        state_set(d, state);
        srv_name(d, name, sizeof name);
        r = dns_srv_start(&d->query, d->tools.dns, name, on_srv_answer, d);
        if (r < 0)
                round_failed(d, name, strerror(-r));
}

static void on_discover_timer(void *arg)
{
        struct discover *d = arg;

        d->n = d->left_out = 0;
        d->ttl = DNS_TTL_MAX;
        ask(d, d->domain->site ? DISCOVER_SITE : DISCOVER_DOMAIN);
}

int discover_new(struct discover **ret_discover, const struct dc_tools *tools, const struct domain_config *domain,
                 struct dcs *dcs)
{
        struct discover *d = calloc(1, sizeof *d);

        if (!d)
                return -ENOMEM;
        d->tools = *tools;
        d->domain = domain;
        d->dcs = dcs;
        d->retry_ms = RETRY_MIN_MS;
        if (loop_timer_new(&d->timer, tools->loop, "discover", on_discover_timer, d) < 0) {
                free(d);
                return -ENOMEM;
        }
        loop_timer_in(d->timer, 0);
        *ret_discover = d;
        return 0;
}

struct discover *discover_free(struct discover *d)
{
        if (!d)
                return NULL;
        dns_query_cancel(d->query);
        loop_timer_free(d->timer);
        free(d);
        return NULL;
}
