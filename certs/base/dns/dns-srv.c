/*
 * SRV answers as bytes (RFC 2782), taken apart by the C library's resolver routines. Pure; no socket.
 */
#include "base/dns/dns.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <resolv.h>
#include <string.h>

#define SRV_FIXED 6 /* priority, weight, port */

/* One record's rdata; false where it is malformed or names nobody (RFC 2782: target "."). */
static bool read_record(struct dns_srv *ret_srv, ns_msg *message, const ns_rr *rr)
{
        const uint8_t *data = ns_rr_rdata(*rr);
        struct dns_srv srv = {0};

        if (ns_rr_rdlen(*rr) <= SRV_FIXED)
                return false;
        srv.priority = (uint16_t)(data[0] << 8 | data[1]);
        srv.weight = (uint16_t)(data[2] << 8 | data[3]);
        srv.port = (uint16_t)(data[4] << 8 | data[5]);
        if (dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + SRV_FIXED, srv.host, sizeof srv.host) < 0 ||
            !dns_host_plain(srv.host))
                return false;
        *ret_srv = srv;
        return true;
}

bool dns_host_plain(const char *host)
{
        size_t n = strlen(host);

        if (n == 0 || n > DNS_HOST_MAX || host[0] == '.' || host[0] == '-')
                return false;
        return strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

/* Puts a record in its place among those that are kept (RFC 2782): the lower priority first; within one the heavier is
 * the one to be asked more often. */
static void keep(struct dns_srv_answer *answer, const struct dns_srv *srv)
{
        size_t at = answer->n;

        for (; at > 0; at--) {
                const struct dns_srv *other = &answer->records[at - 1];

                if (srv->priority != other->priority ? srv->priority > other->priority : srv->weight <= other->weight)
                        break;
        }
        if (answer->n < DNS_SRV_MAX)
                answer->n++;
        else
                answer->left_out++;
        if (at == DNS_SRV_MAX)
                return;
        memmove(&answer->records[at + 1], &answer->records[at], (answer->n - at - 1) * sizeof answer->records[0]);
        answer->records[at] = *srv;
}

int dns_srv_parse(struct dns_srv_answer *ret_answer, const uint8_t *bytes, size_t len)
{
        ns_msg message;

        ret_answer->n = ret_answer->left_out = 0;
        ret_answer->ttl = DNS_TTL_MAX;
        if (len > UINT16_MAX || ns_initparse(bytes, (int)len, &message) < 0)
                return -EBADMSG;
        for (int i = 0; i < ns_msg_count(message, ns_s_an); i++) {
                struct dns_srv srv;
                ns_rr rr;

                if (ns_parserr(&message, ns_s_an, i, &rr) < 0)
                        return -EBADMSG;
                if (ns_rr_type(rr) != ns_t_srv || ns_rr_class(rr) != ns_c_in)
                        continue;
                if (read_record(&srv, &message, &rr))
                        keep(ret_answer, &srv);
                ret_answer->ttl = ns_rr_ttl(rr) < ret_answer->ttl ? ns_rr_ttl(rr) : ret_answer->ttl;
        }
        return 0;
}
