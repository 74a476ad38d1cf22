/*
 * A process's own keyholder: lives as long as the key that it was started for.
 *
 * Invariant: a PIN comes from the URI's file or from a person, and goes to the holder on a descriptor;
 * one that was refused is not tried again by the same command.
 */
#include "connector/person/hardware.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/keys/key-holder.h"
#include "certs/keys/key-uri.h"
#include "base/process/program.h"

#define NEXT_TRIES 100

bool hardware_named(const char *text)
{
        return key_kind_of(text, strlen(text)) != KEY_KIND_NONE;
}

static int memfd(const char *bytes, size_t n, struct error *err)
{
        const int fd = memfd_create("key", MFD_CLOEXEC);

        if (fd >= 0 && write(fd, bytes, n) == (ssize_t)n)
                return fd;
        error_fail(err, -errno, "cannot hand on the key's name: %s", strerror(errno));
        if (fd >= 0)
                (void)close(fd);
        return -EIO;
}

/* Its descriptor, or -1 in *ret_fd where the URI names no file. */
static int find_pin(const char *reference, int *ret_fd, struct error *err)
{
        char path[KEY_PATH_MAX];
        struct stat st;
        int r = 0;

        *ret_fd = -1;
        if (key_kind_of(reference, strlen(reference)) == KEY_KIND_TPM_PEM)
                return 0;
        r = key_uri_check(reference, path, err);
        if (r < 0 || !path[0])
                return r;
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_fail(err, -errno, "the PIN file %s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXO | S_IWGRP)))
                return error_fail(err, -EPERM,
                                  "the PIN file %s can be read or written by others; fix it with: chmod 600 %s", path,
                                  path);
        *ret_fd = steal_fd(&fd);
        return 0;
}

struct attempt {
        const char *reference;
        int pin_fd;
        struct buffer *name;
};

static int attempt(const struct attempt *a, bool make, struct key **ret_key, struct error *err)
{
        char program[PATH_MAX];
        _cleanup_(closep) int reference = memfd(a->reference, strlen(a->reference), err);
        struct keyholder_start how = {.program = program, .make = make, .reference_fd = reference, .pin_fd = a->pin_fd};
        pid_t pid;
        int fd = -1;
        int r = reference < 0 ? reference : program_path("keyholder", program, sizeof(program), err);

        if (r == 0)
                r = keyholder_start(&how, &pid, &fd, err);
        return r < 0 ? r : key_from_holder(ret_key, fd, a->name, err);
}

static int open_or_make(const struct attempt *a, bool make, struct key **ret_key, struct error *err)
{
        int r = -ENOENT;

        if (key_kind_of(a->reference, strlen(a->reference)) != KEY_KIND_TPM_NEW)
                r = attempt(a, false, ret_key, err);
        return r == -ENOENT && make ? attempt(a, true, ret_key, err) : r;
}

int hardware_key(const struct hardware_request *request, struct key **ret_key, struct buffer *name, struct error *err)
{
        _cleanup_(closep) int pin = -1;
        struct attempt a = {.reference = request->reference, .name = name};
        struct secret *given = NULL;
        int r = find_pin(request->reference, &pin, err);

        if (r < 0)
                return r;
        a.pin_fd = pin;
        r = open_or_make(&a, request->make, ret_key, err);
        if (r != -EPERM || pin >= 0 || !request->ask)
                return r;
        r = request->ask(&given, err);
        if (r < 0)
                return r;
        a.pin_fd = pin = memfd(secret_text(given), secret_len(given), err);
        secret_free(given);
        return pin < 0 ? pin : open_or_make(&a, request->make, ret_key, err);
}

/* ---- the next one ---- */

int hardware_renew(const char *reference, struct key **ret_key, struct buffer *name, struct error *err)
{
        _cleanup_(buffer_free) struct buffer now = BUFFER(KEYHOLDER_REFERENCE_MAX);
        int r = buffer_append_str(&now, reference);

        for (unsigned i = 0; r == 0 && i < NEXT_TRIES; i++) {
                _cleanup_(buffer_free) struct buffer next = BUFFER(KEY_URI_MAX);
                _cleanup_(closep) int pin = -1;
                struct attempt a = {.name = name};

                r = key_uri_next(now.data, &next, err);
                if (r == 0)
                        r = find_pin(next.data, &pin, err);
                if (r < 0)
                        return r;
                a.reference = next.data;
                a.pin_fd = pin;
                r = attempt(&a, true, ret_key, err);
                if (r != -EEXIST)
                        return r;
                buffer_clear(&now);
                r = buffer_append(&now, next.data, next.len);
        }
        return r < 0 ? r : error_fail(err, -EEXIST, "the token is full of keys of that name; delete old ones");
}
