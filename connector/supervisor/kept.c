/*
 * The files of the domains (CAs, keytabs, passwords) as the validator has them in use: a copy of each, which a
 * validator that ended gets again.
 *
 * Invariant: what is kept was in use by a validator that was ready with it, so that a file of one domain that is bad on
 * the disk by now stops no other domain. What the disk has comes into use by a start or a reload, keytabs also by
 * watch.c. The copies are sealed: a validator that was taken over leaves nothing behind in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "connector/supervisor/supervisor.h"

struct kept_file {
        char *name;        /* as in FRAME_FILE */
        int good, offered; /* in use; handed on, and not known to be good yet; -1: none */
};

struct kept {
        size_t n;
        struct kept_file *files;
};

struct kept *kept_new(void)
{
        return calloc(1, sizeof(struct kept));
}

void kept_clear(struct kept *kept)
{
        for (size_t i = 0; i < kept->n; i++) {
                closep(&kept->files[i].good);
                closep(&kept->files[i].offered);
                free(kept->files[i].name);
        }
        free(kept->files);
        *kept = (struct kept){0};
}

struct kept *kept_free(struct kept *kept)
{
        if (kept)
                kept_clear(kept);
        free(kept);
        return NULL;
}

static struct kept_file *find(const struct kept *kept, const char *name)
{
        for (size_t i = 0; i < kept->n; i++)
                if (strcmp(kept->files[i].name, name) == 0)
                        return &kept->files[i];
        return NULL;
}

void kept_offer(struct kept *kept, const char *name, int fd)
{
        struct kept_file *file = find(kept, name);

        if (!file) {
                struct kept_file *grown = reallocarray(kept->files, kept->n + 1, sizeof(*grown));
                char *copy = grown ? strdup(name) : NULL;

                if (grown)
                        kept->files = grown;
                if (!copy)
                        return; /* its next start reads the disk */
                file = &grown[kept->n++];
                *file = (struct kept_file){.name = copy, .good = -1, .offered = -1};
        }
        closep(&file->offered);
        file->offered = fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void kept_settle(struct kept *kept, const char *name, bool good)
{
        for (size_t i = 0; i < kept->n; i++) {
                struct kept_file *file = &kept->files[i];

                if (file->offered < 0 || (name && strcmp(file->name, name) != 0))
                        continue;
                closep(good ? &file->good : &file->offered);
                if (good)
                        file->good = file->offered;
                file->offered = -1;
        }
}

int kept_get(const struct kept *kept, const char *name)
{
        const struct kept_file *file = find(kept, name);

        return file && file->good >= 0 && lseek(file->good, 0, SEEK_SET) == 0 ? file->good : -ENOENT;
}
