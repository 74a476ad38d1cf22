/*
 * Times as people give them on the command line, in the local zone.
 */
#pragma once

#include <stdint.h>

/* 90s, 15m, 2h, 3d before now; HH:MM[:SS], the last one that has passed; YYYY-MM-DD[ HH:MM[:SS]]. -EINVAL: none. */
int when_parse(const char *text, int64_t now, int64_t *ret_wall);
