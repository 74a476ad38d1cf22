/*
 * A verdict of `postern check --user`, as data and as lines.
 */
#pragma once

#include <jansson.h>

#include "validate/types/outcome.h"

/* All of it but secrets; owned by the caller. */
json_t *view_verdict_json(const struct outcome *out);
/* The same, a line each, on standard output. */
void view_verdict(const struct outcome *out);
