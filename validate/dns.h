/*
 * Host name -> address, by c-ares on our loop. Internal to validate/.
 *
 * Answers are kept for their TTL (at most DNS_TTL_MAX s), failures for a second; the memory is bounded.
 * Numeric addresses never reach it.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "connector/base/error.h"
#include "connector/base/loop.h"

#define DNS_CACHE_MAX 256
#define DNS_TTL_MAX 3600

struct dns;
struct dns_query;

struct dns_address {
        struct sockaddr_storage storage; /* without port */
        socklen_t len;
};

/* address: NULL when the name has none; why then says so in a few words. Called once, from the loop. */
typedef void dns_fn(void *arg, const struct dns_address *address, const char *why);

int dns_new(struct dns **ret_dns, struct loop *loop, struct error *err);
/* Asks these servers ("10.0.0.1:53,[fd00::1]:53") instead of the system's. -EINVAL. */
int dns_set_servers(struct dns *dns, const char *list);
/* Drops what runs without calling back. */
struct dns *dns_free(struct dns *dns);
/* "10.0.0.1" or "fd00::1" -> address. -EINVAL for anything else. */
int dns_numeric(struct dns_address *ret_address, const char *text);
/* Whether the address is known without asking: numeric, or remembered. */
bool dns_known(const struct dns *dns, struct dns_address *ret_address, const char *host);
/* Asks; fn is called later, never inside. 0 or -errno. */
int dns_query_start(struct dns_query **ret_query, struct dns *dns, const char *host, dns_fn *fn, void *arg);
/* Stops caring. NULL-safe. */
void dns_query_cancel(struct dns_query *query);
