/*
 * Internal to the client: what its files share.
 */
#pragma once

#include "queue/client/client.h"

struct sealer *client_sealer(struct client *c); /* borrowed */
