/*
 * Which way an HTTPS request goes: directly or by which proxy. The one place that knows https_proxy, no_proxy and the
 * forms of a proxy's URL; libcurl is told the outcome and asks no environment. Pure: no file, no network.
 *
 * A configured proxy is for every host. The environment's (https_proxy, then all_proxy, in small or capital letters;
 * an empty one is none) is not for the hosts of no_proxy: names with all below them, addresses, CIDR ranges, or *.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/core/error.h"

#define HTTP_WAY_SCHEMES "http://, https://, socks4://, socks4a://, socks5:// or socks5h://"
#define HTTP_WAY_NAME_MAX 255

struct http_way {
        char url[HTTP_WAY_NAME_MAX + 32]; /* SCHEME://HOST:PORT of the proxy; "": directly */
        char host[HTTP_WAY_NAME_MAX + 1]; /* of the proxy, without brackets */
        uint16_t port;
        bool tls;             /* the proxy itself is asked by TLS */
        bool takes_addresses; /* the proxy is told addresses: the target's name is looked up here */
        bool has_user;
        char user[HTTP_WAY_NAME_MAX + 1], password[HTTP_WAY_NAME_MAX + 1]; /* decoded; wiped by http_way_clear */
};

/* The way to host (a name or an address, without brackets). configured: NULL: the
 * environment's, "": none. -EINVAL where the proxy can't be
 * used: err names where it stands and what is wrong, without user or password. */
int http_way_to(struct http_way *ret_way, const char *host, const char *configured, struct error *err);
/* The proxy that some hosts are reached by, whatever no_proxy says; url is "" where there is none. -EINVAL. */
int http_way_proxy(struct http_way *ret_way, const char *configured, struct error *err);
/* What --check-config asks of the text of a proxy. 0 or -EINVAL. */
int http_way_check(const char *proxy, struct error *err);
void http_way_clear(struct http_way *way);
