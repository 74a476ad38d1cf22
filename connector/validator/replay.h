/*
 * The replay cache: which (service, request id) pairs were already taken. Bounded; entries leave when their
 * request can no longer pass the time checks.
 */
#pragma once

#include <stdint.h>

#include "certs/key.h"
#include "connector/base/loop.h"

#define REPLAY_MAX                                                                                           \
        131072 /* about 25 MiB full; at 180 s of life that is 728 sign-ins a second without pause */

struct replay;

int replay_new(struct replay **ret_replay, size_t max);
struct replay *replay_free(struct replay *replay);
DEFINE_FREEP(struct replay, replay_free)
/*
 * Notes the pair until the time `until` (s since the epoch). 0 when it is new; -EEXIST when it was seen;
 * -ESTALE when it may have been seen, and was forgotten while the clock was ahead;
 * -ENOSPC when max live entries are held (the caller declines: forgetting one early would let it be
 * replayed); -ENOMEM.
 */
int replay_take(struct replay *replay, const char *kid, const char *jti, int64_t now, int64_t until);
size_t replay_count(const struct replay *replay);
