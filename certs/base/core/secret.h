/*
 * The secret arena: fixed slots in one mapping that is mlock'ed, MADV_DONTDUMP and MADV_WIPEONFORK.
 *
 * A secret is 1..SECRET_MAX bytes, never grows, and is wiped when it is freed. There is no strdup and no realloc.
 * Also the set-up of OpenSSL's secure heap, where private keys and opened plaintexts live.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core/error.h"

#define SECRET_MAX 1024

struct secret;

/* Maps and locks the arena. -EPERM/-ENOMEM name the limit (RLIMIT_MEMLOCK) and the remedy in err. Once per process. */
int secret_arena_init(size_t slots, struct error *err);
void secret_arena_destroy(void);
size_t secret_arena_in_use(void);

/*
 * Copies bytes into a free slot (NUL-terminated behind the last byte). -EINVAL when len is 0, -EMSGSIZE when it is
 * over SECRET_MAX, -EAGAIN when every slot is taken. The caller still owns, and wipes, the source.
 */
int secret_new(struct secret **ret_secret, const void *bytes, size_t len);
/* Wipes and gives the slot back. NULL-safe; returns NULL. */
struct secret *secret_free(struct secret *secret);
const char *secret_text(const struct secret *secret);
size_t secret_len(const struct secret *secret);
/* Constant time for equal lengths. */
bool secret_equal(const struct secret *a, const struct secret *b);

/* OpenSSL's secure heap of this size (a power of two, else -EINVAL); fails, never falls back to plain memory. Once per
 * process. */
int secure_heap_init(size_t bytes, struct error *err);
/* Overwrites memory in a way the compiler may not drop. */
void wipe(void *p, size_t n);
/* Constant-time comparison of n bytes; true when equal. */
bool equal_const_time(const void *a, const void *b, size_t n);
