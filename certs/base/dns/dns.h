/*
 * Host name -> address, by c-ares on our loop.
 *
 * Answers are kept for their TTL (at most DNS_TTL_MAX s), failures for a second; the memory is bounded. An
 * address whose TTL is over is still given, for up to DNS_STALE_MAX s, while it is asked for again in the
 * background (as RFC 8767): name servers that are gone must not take known DCs away. Numeric addresses never
 * reach it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/core/error.h"
#include "base/ipc/loop.h"

#define DNS_CACHE_MAX 256
#define DNS_TTL_MAX 3600
#define DNS_STALE_MAX 86400
#define DNS_HOST_MAX 255
#define DNS_SRV_MAX 128

struct dns;
struct dns_query;

struct dns_address {
        struct sockaddr_storage storage; /* without port */
        socklen_t len;
};

/* A host's, in the order that c-ares gave (RFC 6724); the ones over DNS_ADDRESSES_MAX are left out, and a debug line
 * says so. */
#define DNS_ADDRESSES_MAX 32

/* address: NULL when the name has none; why then says so in a few words. Called once, from the loop. */
typedef void dns_fn(void *arg, const struct dns_address *address, const char *why);

/* DNS_ABSOLUTE: names are whole, with or without a dot at the end: the system's search list is not tried on them. */
enum dns_names { DNS_SEARCHED, DNS_ABSOLUTE };
int dns_new(struct dns **ret_dns, struct loop *loop, enum dns_names names, struct error *err);
/* Asks these servers ("10.0.0.1:53,[fd00::1]:53") instead of the system's. -EINVAL. */
int dns_set_servers(struct dns *dns, const char *list);
/* Drops what runs without calling back. */
struct dns *dns_free(struct dns *dns);
/* "10.0.0.1" or "fd00::1" -> address. -EINVAL for anything else. */
int dns_numeric(struct dns_address *ret_address, const char *text);
/* Sets the port of an IPv4 or IPv6 address. */
void address_set_port(struct sockaddr_storage *address, uint16_t port);
/* Whether the address is known without waiting: numeric, or remembered. */
bool dns_known(struct dns *dns, struct dns_address *ret_address, const char *host);
/* All that dns_known knows of, the one in use first; how many. */
size_t dns_addresses(const struct dns *dns, const char *host, struct dns_address out[DNS_ADDRESSES_MAX]);
/*
 * Takes the host's addresses out of the hosts file, where it has some, for the life of dns. For a process that
 * can open no file later (c-ares would look there at each question).
 */
void dns_learn_hosts_file(struct dns *dns, const char *host);
/* How many addresses the host is known to have, at least 1. */
size_t dns_count(const struct dns *dns, const char *host);
/* The host's address did not serve: from now on its next one is given, after the last one the first. */
void dns_next(struct dns *dns, const char *host);
/* Asks; fn is called later, never inside. 0 or -errno. */
int dns_query_start(struct dns_query **ret_query, struct dns *dns, const char *host, dns_fn *fn, void *arg);
/* Stops caring. NULL-safe. */
void dns_query_cancel(struct dns_query *query);

struct dns_srv {
        char host[DNS_HOST_MAX + 1];
        uint16_t priority, weight, port;
};
struct dns_srv_answer {
        struct dns_srv records[DNS_SRV_MAX]; /* by priority, then the heavier ones, then as they came */
        size_t n, left_out;                  /* the last ones that did not fit */
        uint32_t ttl;                        /* s, the least of all */
};
/* answer: NULL when there is none; why then says so in a few words. Called once, from the loop. */
typedef void dns_srv_fn(void *arg, const struct dns_srv_answer *answer, const char *why);
/* Asks for the SRV records of name (RFC 2782); nothing is remembered. fn is called later, never inside. 0 or
 * -errno. */
int dns_srv_start(struct dns_query **ret_query, struct dns *dns, const char *name, dns_srv_fn *fn, void *arg);
/* Reads the SRV records of a DNS message, all of them, whatever their order; those that name no usable host do not
 * count. -EBADMSG. */
int dns_srv_parse(struct dns_srv_answer *ret_answer, const uint8_t *bytes, size_t len);
/* Whether it is a host name that may stand in logs, look-ups and certificates' checks. */
bool dns_host_plain(const char *host);
