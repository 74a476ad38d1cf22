/*
 * free() and realloc() that leave nothing behind, for the one program that handles passwords.
 *
 * Kerberos, LDAP and JSON libraries copy pieces of a password into memory that they free unwiped. Linked into
 * an executable, these two take the place of libc's in every library of the process: each block is
 * overwritten in full (its usable size) before libc gets it back, and no block grows in place. Not part of
 * lib_base and never used in a sanitized build, where the sanitizer owns the heap. malloc, calloc and the
 * aligned ones stay libc's.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

extern void __libc_free(void *p);

void free(void *p)
{
        if (!p)
                return;
        explicit_bzero(p, malloc_usable_size(p));
        __libc_free(p);
}

void *realloc(void *p, size_t n)
{
        if (!p)
                return malloc(n);
        if (n == 0) {
                free(p);
                return NULL;
        }
        size_t old = malloc_usable_size(p);
        void *q = malloc(n);
        if (!q)
                return NULL;
        memcpy(q, p, old < n ? old : n);
        free(p);
        return q;
}
