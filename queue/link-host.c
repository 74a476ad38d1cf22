/*
 * What is read from this host's files, by the rules of libcurl, which would open them for each connection.
 */
#include "queue/link-host.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "connector/base/cleanup.h"
#include "connector/base/text.h"

#define CAS_MAX (1024 * 1024)

static int read_system_cas(struct buffer *out, struct error *err)
{
        const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;
        _cleanup_(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

        if (fd < 0)
                return error_fail(err, -ENOENT, "the system's CAs are not in %s; install ca-certificates or name "
                                  "the relay's CA with relay_ca_file", path ? path : "one file");
        return fd_read_all(out, fd, err);
}

const char *link_proxy_of(const char *configured)
{
        static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
        const char *found = configured;

        for (size_t i = 0; !found && i < sizeof(names) / sizeof(names[0]); i++)
                found = getenv(names[i]);
        return found && *found ? found : NULL;
}

int link_split_url(const char *url, char **ret_host, uint16_t *ret_port)
{
        struct dns_address numeric;
        CURLU *u = curl_url();
        char *host = NULL, *port = NULL, *scheme = NULL;
        int r = -EINVAL;

        if (u && curl_url_set(u, CURLUPART_URL, url, CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK) {
                /* 1080 is libcurl's own default for proxies */
                *ret_port = strcmp(scheme, "https") == 0 ? 443 : 1080;
                if (curl_url_get(u, CURLUPART_PORT, &port, 0) == CURLUE_OK)
                        *ret_port = (uint16_t)strtoul(port, NULL, 10);
                *ret_host = NULL;
                r = host[0] == '[' || dns_numeric(&numeric, host) == 0 || strcasecmp(host, "localhost") == 0
                            ? 0
                            : text_set(ret_host, host);
        }
        curl_free(host);
        curl_free(port);
        curl_free(scheme);
        curl_url_cleanup(u);
        return r;
}

void link_host_learn(struct link_host *host, const char *url)
{
        char *name = NULL;
        uint16_t port;

        if (link_split_url(url, &name, &port) == 0 && name)
                dns_learn_hosts_file(host->dns, name);
        free(name);
}

/* A host may do without the system's CAs where the relay's are given. */
static int read_proxy_cas(struct link_host *host, const char *ca_pem, struct error *err)
{
        int r = read_system_cas(&host->proxy_cas, err);

        if (!ca_pem || (r < 0 && r != -ENOENT))
                return r;
        return buffer_append_str(&host->proxy_cas, "\n") < 0 || buffer_append_str(&host->proxy_cas, ca_pem) < 0
                       ? error_fail(err, -EMSGSIZE, "the CAs are too long")
                       : 0;
}

int link_host_new(struct link_host **ret_host, struct loop *loop, const char *ca_pem, const char *proxy, struct error *err)
{
        struct link_host *host = calloc(1, sizeof(*host));
        const char *way = link_proxy_of(proxy), *given = ca_pem && *ca_pem ? ca_pem : NULL;
        int r;

        if (!host)
                return error_fail(err, -ENOMEM, "link: no memory");
        host->cas = BUFFER(CAS_MAX);
        host->proxy_cas = BUFFER(2 * CAS_MAX);
        r = dns_new(&host->dns, loop, err);
        if (r == 0 && given && (r = buffer_append_str(&host->cas, given)) < 0)
                error_fail(err, r, "the relay's CAs are too long");
        else if (r == 0 && !given)
                r = read_system_cas(&host->cas, err);
        if (r == 0 && way && strncasecmp(way, "https://", 8) == 0)
                r = read_proxy_cas(host, given, err);
        if (r < 0) {
                link_host_free(host);
                return r;
        }
        if (way)
                link_host_learn(host, way);
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
