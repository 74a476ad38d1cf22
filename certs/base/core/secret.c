/*
 * The secret arena and OpenSSL's secure heap.
 *
 * The arena is one anonymous mapping, locked into memory, left out of core dumps and zeroed in forked
 * children. It is cut into slots of one struct secret each. Invariant: a slot whose len is 0 is free and
 * holds only zeros; the indexes of the free slots are on a stack outside the arena. Freeing a free slot, or a
 * pointer that is no slot, ends the process: after that nothing here can be trusted. Slots do not grow, move
 * or nest.
 */
#include "base/core/secret.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>

#define SECURE_HEAP_MIN 4096

struct secret {
        size_t len;
        char bytes[SECRET_MAX + 8];
};

static struct {
        struct secret *slots;
        size_t *free_slots;
        size_t n_free;
        size_t n;
        size_t size;
} arena;

/* Names the limit found, the size needed and the remedy. */
static int lock_failed(struct error *err, const char *what, size_t need, int code)
{
        struct rlimit lim = {0, 0};
        char limit[32] = "unlimited";

        if (getrlimit(RLIMIT_MEMLOCK, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY)
                (void)snprintf(limit, sizeof limit, "%llu bytes", (unsigned long long)lim.rlim_cur);
        return error_fail(err, code,
                          "cannot lock %zu bytes of memory for %s (%s): RLIMIT_MEMLOCK is %s; raise it to at least "
                          "%zu KiB more than is locked already, with LimitMEMLOCK= in the unit file or `ulimit -l`",
                          need, what, strerror(-code), limit, (need + 1023) / 1024);
}

/* Maps, locks and marks the pages; *ret_slots is untouched on failure. */
static int map_slots(size_t size, struct secret **ret_slots, struct error *err)
{
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return error_fail(err, -ENOMEM, "cannot map %zu bytes for the secret arena: %s", size, strerror(errno));
        if (mlock2(p, size, 0) < 0) { /* not mlock: the sanitizers turn that into nothing */
                int code = errno == EPERM ? -EPERM : -ENOMEM;
                (void)munmap(p, size);
                return lock_failed(err, "the secret arena", size, code);
        }
        if (madvise(p, size, MADV_DONTDUMP) < 0 || madvise(p, size, MADV_WIPEONFORK) < 0) {
                int code = -errno;
                (void)munmap(p, size);
                return error_fail(err, code,
                                  "cannot keep the secret arena out of core dumps and child processes: %s; Linux 4.14 "
                                  "or later is needed",
                                  strerror(-code));
        }
        *ret_slots = p;
        return 0;
}

int secret_arena_init(size_t slots, struct error *err)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        if (arena.slots)
                return error_fail(err, -EALREADY, "the secret arena exists already");
        if (slots == 0 || slots > SIZE_MAX / (2 * sizeof(struct secret)))
                return error_fail(err, -EINVAL, "a secret arena cannot have %zu slots", slots);
        size_t size = (slots * sizeof(struct secret) + page - 1) / page * page;
        size_t *free_slots = calloc(slots, sizeof *free_slots);
        if (!free_slots)
                return error_fail(err, -ENOMEM, "out of memory");
        int r = map_slots(size, &arena.slots, err);
        if (r < 0) {
                free(free_slots);
                return r;
        }
        for (size_t i = 0; i < slots; i++)
                free_slots[i] = slots - 1 - i;
        arena.free_slots = free_slots;
        arena.n_free = slots;
        arena.n = slots;
        arena.size = size;
        return 0;
}

void secret_arena_destroy(void)
{
        if (!arena.slots)
                return;
        wipe(arena.slots, arena.size);
        (void)munmap(arena.slots, arena.size);
        free(arena.free_slots);
        memset(&arena, 0, sizeof arena);
}

size_t secret_arena_in_use(void)
{
        return arena.n - arena.n_free;
}

int secret_new(struct secret **ret_secret, const void *bytes, size_t len)
{
        if (len == 0)
                return -EINVAL;
        if (len > SECRET_MAX)
                return -EMSGSIZE;
        if (arena.n_free == 0)
                return -EAGAIN;
        struct secret *s = &arena.slots[arena.free_slots[--arena.n_free]];
        memcpy(s->bytes, bytes, len);
        s->bytes[len] = '\0';
        s->len = len;
        *ret_secret = s;
        return 0;
}

struct secret *secret_free(struct secret *secret)
{
        if (!secret)
                return NULL;
        uintptr_t base = (uintptr_t)arena.slots;
        uintptr_t offset = (uintptr_t)secret - base;
        if (!arena.slots || (uintptr_t)secret < base || offset % sizeof *secret != 0 ||
            offset / sizeof *secret >= arena.n || secret->len == 0)
                abort();
        wipe(secret, sizeof *secret);
        arena.free_slots[arena.n_free++] = offset / sizeof *secret;
        return NULL;
}

const char *secret_text(const struct secret *secret)
{
        return secret->bytes;
}

size_t secret_len(const struct secret *secret)
{
        return secret->len;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
        return a->len == b->len && equal_const_time(a->bytes, b->bytes, a->len);
}

int secure_heap_init(size_t bytes, struct error *err)
{
        if (CRYPTO_secure_malloc_initialized())
                return error_fail(err, -EALREADY, "the secure heap exists already");
        if (bytes < SECURE_HEAP_MIN || (bytes & (bytes - 1)) != 0)
                return error_fail(err, -EINVAL, "a secure heap of %zu bytes: a power of two is needed, %d or more",
                                  bytes, SECURE_HEAP_MIN);
        int r = CRYPTO_secure_malloc_init(bytes, 32);
        if (r == 1)
                return 0;
        if (r == 0)
                return error_fail(err, -ENOMEM, "there is no memory for OpenSSL's secure heap of %zu bytes", bytes);
        /* It exists, but unprotected. */
        (void)CRYPTO_secure_malloc_done();
        return lock_failed(err, "OpenSSL's secure heap", bytes, -ENOMEM);
}

void wipe(void *p, size_t n)
{
        if (n > 0)
                explicit_bzero(p, n);
}

bool equal_const_time(const void *a, const void *b, size_t n)
{
        return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}
