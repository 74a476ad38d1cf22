/*
 * How often something may be done within a minute, by whichever process does it: the times of the latest are a ring in
 * a file.
 */
#pragma once

#include "base/core/error.h"

#define RATE_FILE_MAX 64

/*
 * Takes one of the n (at most RATE_FILE_MAX) questions of a minute; processes that take theirs at once wait for each
 * other. The file is made where it is not there (0600). -EAGAIN with how long to wait in err; else -errno.
 */
int rate_file_take(const char *path, unsigned n, struct error *err);
