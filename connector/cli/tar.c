/*
 * A tar archive: a header of 512 bytes, the bytes padded to 512, two empty blocks at the end (POSIX.1-1988, ustar).
 *
 * Invariant: the file is there whole or not at all.
 */
#include "connector/cli/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 512

struct tar {
        int fd, r; /* r: the first failure */
        char path[PATH_MAX];
};

int tar_open(struct tar **ret_tar, const char *path)
{
        struct tar *tar = calloc(1, sizeof(*tar));

        if (!tar)
                return -ENOMEM;
        tar->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (tar->fd < 0 || snprintf(tar->path, sizeof(tar->path), "%s", path) >= (int)sizeof(tar->path)) {
                const int r = tar->fd < 0 ? -errno : -ENAMETOOLONG;

                if (tar->fd >= 0)
                        (void)close(tar->fd);
                free(tar);
                return r;
        }
        *ret_tar = tar;
        return 0;
}

static void put(struct tar *tar, const char *bytes, size_t n)
{
        for (size_t at = 0; tar->r == 0 && at < n;) {
                const ssize_t written = write(tar->fd, bytes + at, n - at);

                if (written < 0 && errno != EINTR)
                        tar->r = -errno;
                else if (written > 0)
                        at += (size_t)written;
        }
}

int tar_add(struct tar *tar, const char *name, const char *bytes, size_t n)
{
        static const char zeros[BLOCK];
        char header[BLOCK] = "";
        unsigned sum = 0;

        (void)snprintf(header, 100, "%s", name);
        (void)snprintf(header + 100, 8, "%07o", 0600U);
        (void)snprintf(header + 108, 8, "%07o", 0U);
        (void)snprintf(header + 116, 8, "%07o", 0U);
        (void)snprintf(header + 124, 12, "%011llo", (unsigned long long)n);
        (void)snprintf(header + 136, 12, "%011llo", (unsigned long long)time(NULL));
        memset(header + 148, ' ', 8); /* the checksum counts as blanks */
        header[156] = '0';
        memcpy(header + 257,
               "ustar\0"
               "00",
               8);
        for (size_t i = 0; i < BLOCK; i++)
                sum += (unsigned char)header[i];
        (void)snprintf(header + 148, 7, "%06o", sum);
        put(tar, header, BLOCK);
        put(tar, bytes, n);
        put(tar, zeros, (BLOCK - n % BLOCK) % BLOCK);
        return tar->r;
}

int tar_close(struct tar *tar)
{
        static const char zeros[2 * BLOCK];

        put(tar, zeros, sizeof(zeros));
        if (close(tar->fd) < 0 && tar->r == 0)
                tar->r = -errno;
        const int r = tar->r;
        if (r < 0)
                (void)unlink(tar->path);
        free(tar);
        return r;
}
