/*
 * Keeps what is learnt of the domains' SIDs in the state folder, and tells when it changes.
 */
#pragma once

#include "connector/frames/sid-file.h"
#include "validate/op/validate.h"

struct sid_store {
        int fd;               /* owned, or -1 */
        bool refused;         /* the file is of a newer version: it is not touched */
        struct sid_file last; /* as it was read or written last */
        struct sid_file told; /* what events have said */
};

/* Takes over fd. */
void sid_store_init(struct sid_store *s, int fd);
void sid_store_clear(struct sid_store *s);

typedef void sid_store_event_fn(void *arg, const char *name, const char *text);
/* Takes from the file what others wrote into it since, then writes what v knows more; each change that concerns people
 * goes to event. Cheap where nothing changed. */
void sid_store_sync(struct sid_store *s, struct validate *v, sid_store_event_fn *event, void *arg);
