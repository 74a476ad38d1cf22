/*
 * Writing a tar archive (POSIX ustar) of small texts.
 */
#pragma once

#include <stddef.h>

struct tar;

/* Makes a new file at path, 0600; one that is there is refused. 0 or -errno. */
int tar_open(struct tar **ret_tar, const char *path);
/* Adds a file of this name with these bytes. 0 or -errno; after a failure tar_close fails, too. */
int tar_add(struct tar *tar, const char *name, const char *bytes, size_t n);
/* Ends and frees it. 0; after any failure -errno, and the file is removed. */
int tar_close(struct tar *tar);
