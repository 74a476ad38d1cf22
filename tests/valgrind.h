/*
 * Whether a test runs in valgrind, where code is forty times slower and what it does once it does as well a thousand
 * times: loops that are there for their number are shorter, or left out. `meson test --setup=valgrind` says so.
 */
#pragma once

#include <stdbool.h>
#include <stdlib.h>

static inline bool in_valgrind(void)
{
        return getenv("POSTERN_IN_VALGRIND") != NULL;
}
