/*
 * Internal to the client: what its files share.
 */
#pragma once

#include "queue/client/client.h"

/* No sign-in goes to this identity any more. 0 or -ENOMEM. */
int client_distrust(struct client *c, const char *kid);
const char *client_pin(const struct client *c); /* borrowed */
