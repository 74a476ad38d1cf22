/*
 * What is read from this host's files, by the rules of libcurl, which would open them for each connection.
 */
#include "queue/link/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/http/http-way.h"
#include "certs/http/https.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"

#define CAS_MAX (1024 * 1024)

static void learn(struct link_host *host, const char *name)
{
        struct dns_address numeric;

        if (dns_numeric(&numeric, name) < 0 && strcasecmp(name, "localhost") != 0)
                dns_learn_hosts_file(host->dns, name);
}

void link_host_learn(struct link_host *host, const char *url)
{
        char name[256];
        uint16_t port;

        if (https_split_url(url, name, &port) == 0)
                learn(host, name);
}

int link_host_new(struct link_host **ret_host, struct loop *loop, const char *ca_pem, const char *proxy,
                  struct error *err)
{
        struct link_host *host = calloc(1, sizeof(*host));
        const char *given = ca_pem && *ca_pem ? ca_pem : NULL;
        struct http_way way = {0};
        int r;

        if (!host)
                return error_fail(err, -ENOMEM, "link: no memory");
        host->cas = BUFFER(CAS_MAX);
        host->proxy_cas = BUFFER(2 * CAS_MAX);
        r = dns_new(&host->dns, loop, DNS_SEARCHED, err);
        if (r == 0)
                r = http_way_proxy(&way, proxy, err);
        if (r == 0 && given && (r = buffer_append_str(&host->cas, given)) < 0)
                error_fail(err, r, "the relay's CAs are too long");
        else if (r == 0 && !given)
                r = https_system_cas(&host->cas, err);
        if (r == 0 && way.tls)
                r = https_proxy_cas(&host->proxy_cas, given, err);
        if (r == 0 && way.url[0])
                learn(host, way.host);
        http_way_clear(&way);
        if (r < 0) {
                link_host_free(host);
                return r;
        }
        *ret_host = host;
        return 0;
}

struct link_host *link_host_free(struct link_host *host)
{
        if (!host)
                return NULL;
        dns_free(host->dns);
        buffer_free(&host->cas);
        buffer_free(&host->proxy_cas);
        free(host);
        return NULL;
}
