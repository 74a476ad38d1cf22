/*
 * A listening socket of a door: it accepts, and where descriptors run out it pauses instead of spinning.
 */
#pragma once

#include <sys/socket.h>

#include "queue/gateway/doors/door.h"

struct listener;
/* fd is the callee's; address: the peer's, of family AF_UNIX where it came by a UNIX socket. */
typedef void listener_fn(void *arg, int fd, const struct sockaddr *address);

/* Accepts from fd, which is its own from now on, also on failure, once listener_start was called. 0 or -ENOMEM. */
int listener_new(struct listener **ret_listener, struct doors *doors, int fd, listener_fn *fn, void *arg);
/* 0 or -ENOMEM. */
int listener_start(struct listener *l);
/* Accepts no more; the socket stays, for the next process of it. */
void listener_stop(struct listener *l);
/* NULL-safe; returns NULL. */
struct listener *listener_free(struct listener *l);
/* The peer's numeric address, "unix" for a UNIX socket's. */
void listener_peer(char out[64], const struct sockaddr *address);
