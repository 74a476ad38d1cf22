/*
 * Where the domain controllers of a domain are: of the configuration, by SRV records, by name; asked on a loop of its
 * own that turns until the answer is there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "connector/account/account.h"

#define DNS_MS 5000

/* One question and what came of it. */
struct asked {
        struct loop *loop;
        bool done, late;
        struct dns_address address;
        struct dns_srv_answer srv;
        char why[160];
        bool found;
};

static void on_time(void *arg)
{
        struct asked *a = arg;

        (void)snprintf(a->why, sizeof(a->why), "no answer of a name server within %d s", DNS_MS / 1000);
        a->done = a->late = true;
}

static void on_address(void *arg, const struct dns_address *address, const char *why)
{
        struct asked *a = arg;

        a->done = true;
        a->found = address != NULL;
        if (address)
                a->address = *address;
        else
                (void)snprintf(a->why, sizeof(a->why), "%s", why ? why : "no address");
}

static void on_srv(void *arg, const struct dns_srv_answer *answer, const char *why)
{
        struct asked *a = arg;

        a->done = true;
        a->found = answer != NULL;
        if (answer)
                a->srv = *answer;
        else
                (void)snprintf(a->why, sizeof(a->why), "%s", why ? why : "no records");
}

/* Turns the loop until the question is answered or its time is over. */
static void await(struct asked *a, struct dns_query *query)
{
        struct loop_timer *timer = NULL;

        if (loop_timer_new(&timer, a->loop, NULL, on_time, a) == 0)
                loop_timer_in(timer, DNS_MS);
        while (!a->done)
                loop_run_once(a->loop);
        if (a->late) /* else it is over */
                dns_query_cancel(query);
        loop_timer_free(timer);
}

static int locate(struct loop *loop, struct dns *dns, const char *host, struct dc_place *place, struct error *err)
{
        static struct asked a;
        struct dns_query *query = NULL;

        a = (struct asked){.loop = loop};
        if (dns_numeric(&place->address, host) == 0 || dns_known(dns, &place->address, host))
                return 0;
        int r = dns_query_start(&query, dns, host, on_address, &a);
        if (r < 0)
                return error_fail(err, r, "%s: cannot be looked up: %s", host, strerror(-r));
        await(&a, query);
        if (!a.found)
                return error_fail(err, -ENOENT, "%s has no address: %s", host, a.why);
        place->address = a.address;
        return 0;
}

static const struct dc_config *listed(const struct domain_config *domain, const char *host)
{
        for (size_t i = 0; i < domain->n_dcs; i++)
                if (strcasecmp(domain->dcs[i].host, host) == 0)
                        return &domain->dcs[i];
        return NULL;
}

int places_find(struct loop *loop, struct dns *dns, const struct domain_config *domain, const char *host,
                struct dc_place *ret_place, struct error *err)
{
        const struct dc_config *config = listed(domain, host);
        struct dc_place place = {.listed = config != NULL};

        if (strlen(host) >= sizeof(place.host) || !dns_host_plain(host))
                return error_fail(err, -EINVAL, "a domain controller has a name that is no host's");
        memcpy(place.host, host, strlen(host) + 1);
        int r = locate(loop, dns, config && config->address ? config->address : host, &place, err);
        if (r == 0)
                *ret_place = place;
        return r;
}

size_t places_of(struct loop *loop, struct dns *dns, const struct domain_config *domain, struct dc_place *out,
                 size_t max, struct error *err)
{
        static struct asked a;
        struct dns_query *query = NULL;
        char name[DNS_HOST_MAX + 64];
        size_t n = 0;

        for (size_t i = 0; i < domain->n_dcs && n < max; i++)
                n += places_find(loop, dns, domain, domain->dcs[i].host, &out[n], err) == 0;
        if (domain->discover != DISCOVER_YES || n == max)
                return n;
        a = (struct asked){.loop = loop};
        (void)snprintf(name, sizeof(name), "_ldap._tcp.%s%sdc._msdcs.%s", domain->site ? domain->site : "",
                       domain->site ? "._sites." : "", domain->name);
        if (dns_srv_start(&query, dns, name, on_srv, &a) < 0)
                return n;
        await(&a, query);
        if (!a.found)
                (void)error_fail(err, -ENOENT, "%s: %s", name, a.why);
        for (size_t i = 0; a.found && i < a.srv.n && n < max; i++)
                n += !listed(domain, a.srv.records[i].host) &&
                     places_find(loop, dns, domain, a.srv.records[i].host, &out[n], err) == 0;
        return n;
}
