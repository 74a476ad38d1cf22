/*
 * Where the programs are that this one starts.
 */
#pragma once

#include <stddef.h>

#include "base/core/error.h"

/* The path of postern-PART: beside this program in the build tree or a tree that was moved as a whole, else
 * where it was installed. -ENOENT. */
int program_path(const char *part, char *out, size_t cap, struct error *err);
/* The path of posternd, found the same way. */
int program_daemon(char *out, size_t cap, struct error *err);
