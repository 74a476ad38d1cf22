/*
 * A DNS answer with SRV records.
 *
 * Properties: at most DNS_SRV_MAX records, each with a host name that is safe to log and to look up.
 */
#include <stdlib.h>

#include "connector/base/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static struct dns_srv records[DNS_SRV_MAX];
        uint32_t ttl = 0;
        size_t found = 0;

        if (dns_srv_parse(records, &found, &ttl, data, n) < 0)
                return 0;
        if (found > DNS_SRV_MAX || ttl > DNS_TTL_MAX)
                abort();
        for (size_t i = 0; i < found; i++)
                if (!dns_host_plain(records[i].host))
                        abort();
        return 0;
}
