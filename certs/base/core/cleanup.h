/*
 * Scope-bound cleanup: `_cleanup_(foo_freep) struct foo *f = NULL;`.
 * DEFINE_FREEP(struct foo, foo_free), written without a semicolon, makes foo_freep from `struct foo
 * *foo_free(struct foo *)`. steal(p) hands ownership out of a scope: returns p and sets it to NULL.
 */
#pragma once

#include <stddef.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define DEFINE_FREEP(type, fn)                                                                                         \
        static inline void fn##p(type **p)                                                                             \
        {                                                                                                              \
                if (*p)                                                                                                \
                        *p = fn(*p);                                                                                   \
        }

/* The same for a library's type whose free function returns nothing: makes free_TYPE and free_TYPEp. */
#define DEFINE_VOID_FREEP(type, fn)                                                                                    \
        static inline type *free_##type(type *p)                                                                       \
        {                                                                                                              \
                fn(p);                                                                                                 \
                return NULL;                                                                                           \
        }                                                                                                              \
        DEFINE_FREEP(type, free_##type)

#define steal(p)                                                                                                       \
        __extension__({                                                                                                \
                __typeof__(p) stolen_ = (p);                                                                           \
                (p) = NULL;                                                                                            \
                stolen_;                                                                                               \
        })

/* For `_cleanup_(freep) char *s`: free() of a plain heap pointer. */
void freep(void *p);
/* The descriptor, for who owns it from here on; *fd is -1 then. */
static inline int steal_fd(int *fd)
{
        const int given = *fd;

        *fd = -1;
        return given;
}
/* For `_cleanup_(closep) int fd = -1`: close() unless negative. */
void closep(int *fd);
