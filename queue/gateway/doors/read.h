/*
 * Headers that say who a user is, and where: pure readers of bytes from outside.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "queue/gateway/config.h"

#define DOORS_BASIC_ROOM 2052

/* The bytes behind "Basic " (RFC 7617) of an Authorization header (NULL: none), decoded into out, which has
 * DOORS_BASIC_ROOM; how many, or 0 where there are none or it is none. */
size_t doors_read_basic(const char *header, char *out);
/* As doors_is_proxy and doors_client_ip (door.h), by these trusted networks. */
bool doors_read_proxy(const struct gateway_net *trusted, size_t n, const char *address);
bool doors_read_client(const struct gateway_net *trusted, size_t n, const char *peer, const char *forwarded,
                       char out[64]);
