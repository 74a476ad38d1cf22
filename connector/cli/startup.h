/*
 * What posternd would find at its start, by posternd's own check (`posternd --check-config`), for `postern check`.
 */
#pragma once

#include <stdbool.h>

#include "base/core/error.h"

typedef void startup_line_fn(void *arg, const char *line);

/*
 * Runs the check of the configuration at path, and hands over each line that it said, without its newline and the path
 * before it. *ret_fit: whether a start would succeed. 0; -errno with err where the check could not be run.
 */
int startup_check(const char *path, startup_line_fn *fn, void *arg, bool *ret_fit, struct error *err);
