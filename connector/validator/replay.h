/*
 * The replay cache: which (service, request id) pairs were already taken. Bounded, with a share for each service, so
 * that none can fill it for the others; entries leave when their request can no longer pass the time checks.
 */
#pragma once

#include <stdint.h>

#include "certs/keys/key.h"
#include "base/ipc/loop.h"

/* Tags of 16 bytes. A request is remembered for 165 s, or 285 s where its iat lies in the future: 5000 a second. */
#define REPLAY_MAX 1500000
#define REPLAY_SERVICES_MAX 1024

struct replay;

int replay_new(struct replay **ret_replay, size_t max);
struct replay *replay_free(struct replay *replay);
DEFINE_FREEP(struct replay, replay_free)
/*
 * Notes the pair until the time `until` (s since the epoch). services: how many may
 * share the cache, which is the roster's number. 0 when it is new; -EEXIST when it was seen; -ESTALE when it may have
 * been seen, and was forgotten while the clock was ahead; -ENOSPC when the service has no room left (the caller
 * declines: forgetting one early would let it be replayed); -ENOMEM.
 */
int replay_take(struct replay *replay, const char *kid, const char *jti, size_t services, int64_t now, int64_t until);
size_t replay_count(const struct replay *replay);
