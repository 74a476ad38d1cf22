/*
 * A DNS answer with SRV records.
 *
 * Properties: at most DNS_SRV_MAX records, each with a host name that is safe to log and to look up.
 */
#include <stdlib.h>

#include "base/dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static struct dns_srv_answer found;

        if (dns_srv_parse(&found, data, n) < 0)
                return 0;
        if (found.n > DNS_SRV_MAX || found.ttl > DNS_TTL_MAX || (found.left_out > 0 && found.n < DNS_SRV_MAX))
                abort();
        for (size_t i = 0; i < found.n; i++)
                if (!dns_host_plain(found.records[i].host) ||
                    (i > 0 && found.records[i].priority < found.records[i - 1].priority))
                        abort();
        return 0;
}
