/*
 * Where the KDCs of a realm are, for what holds no password: trusts and armour.
 */
#include <errno.h>
#include <strings.h>

#include "validate/op/internal.h"

#define KDC_PORT 88

int validate_kdc_of(void *arg, const char *realm, unsigned nth, struct sockaddr_storage *ret_address,
                    socklen_t *ret_len)
{
        struct validate *v = arg;
        const struct domain_config *domains = v->config->domains;
        size_t i = 0;
        struct dns_address address;
        uint32_t tried = 0;
        struct dc *dc = NULL;

        while (i < v->config->n_domains && (!domains[i].realm || strcasecmp(domains[i].realm, realm) != 0))
                i++;
        if (i >= v->config->n_domains)
                return -ENOENT;
        for (unsigned k = 0; k <= nth; k++) {
                dc = dcs_choose(v->dcs[i], tried, 0);
                if (!dc)
                        return -EHOSTUNREACH;
                tried |= dc_bit(dc);
        }
        /* Its probes keep the address known. */
        if (!dc_address(dc, &address))
                return -EHOSTUNREACH;
        *ret_address = address.storage;
        *ret_len = address.len;
        address_set_port(ret_address, domains[i].kdc_port ? domains[i].kdc_port : KDC_PORT);
        return 0;
}
