/*
 * A relay without its store process, for tests of what it does in memory: whatever it asks is answered by nobody, but
 * the events that it would store are heard.
 */
#pragma once

#include "queue/relay/relay.h"

/* NULL: nobody hears them. */
extern void (*no_store_event)(const char *tenant, const struct store_event *event);
