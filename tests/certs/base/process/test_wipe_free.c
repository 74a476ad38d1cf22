/*
 * The wiping free(): after free and realloc nothing of a block is left for the next owner, for calls from
 * this program and from inside libc alike. Not built with sanitizers, which have a heap of their own.
 */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET "correct horse battery staple"

static int failures;

static void check(int ok, const char *what)
{
        if (!ok) {
                printf("FAILED: %s\n", what);
                failures++;
        }
}

/* Looks at freed memory, which is undefined for the language but not for the mapped pages of the heap. */
static int holds_secret(const volatile char *p, size_t n)
{
        static const char want[] = SECRET;

        for (size_t i = 0; i < n; i++) {
                size_t j = 0;
                while (j < sizeof want - 1 && i + j < n && p[i + j] == want[j])
                        j++;
                if (j >= 8)
                        return 1;
        }
        return 0;
}

static void fill(char *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                p[i] = SECRET[i % (sizeof SECRET - 1)];
}

/* The pointer goes through an integer so that the compiler does not follow it past free. */
static const volatile char *hide(const void *p)
{
        volatile uintptr_t v = (uintptr_t)p;

        return (const volatile char *)v;
}

static void check_free(size_t n, void *(*make)(size_t))
{
        char *p = make(n);
        size_t usable = malloc_usable_size(p);
        const volatile char *seen = hide(p);

        fill(p, n);
        free(p);
        check(!holds_secret(seen, usable), "freed block holds nothing");
}

static void *make_malloc(size_t n)
{
        return malloc(n);
}

static void *make_calloc(size_t n)
{
        return calloc(1, n);
}

static void *make_aligned(size_t n)
{
        return aligned_alloc(64, (n + 63) / 64 * 64);
}

static void *make_posix(size_t n)
{
        void *p = NULL;

        return posix_memalign(&p, 128, n) == 0 ? p : NULL;
}

static void check_realloc(size_t from, size_t to)
{
        char *p = malloc(from);
        size_t usable = malloc_usable_size(p);
        const volatile char *seen = hide(p);

        fill(p, from);
        char *q = realloc(p, to);
        check(hide(q) != seen, "realloc moves");
        check(memcmp(q, SECRET, sizeof SECRET - 1) == 0, "realloc keeps the contents");
        check(!holds_secret(seen, usable), "the block left by realloc holds nothing");
        free(q);
}

/* getline grows its buffer with realloc inside libc; the pieces it leaves must be wiped too. */
static void check_inside_libc(void)
{
        static char text[20000];
        char *line = NULL;
        size_t cap = 0;

        fill(text, sizeof text - 2);
        text[sizeof text - 2] = '\n';
        char *first = malloc(120);
        const volatile char *seen = hide(first);
        line = first;
        cap = 120;
        FILE *f = fmemopen(text, sizeof text - 1, "r");
        check(f && getline(&line, &cap, f) == (ssize_t)sizeof text - 1, "getline reads");
        check(hide(line) != seen && !holds_secret(seen, 120), "what libc's own realloc left holds nothing");
        const volatile char *last = hide(line);
        size_t n = malloc_usable_size(line);
        free(line);
        check(!holds_secret(last, n), "the line holds nothing after free");
        (void)fclose(f);
}

static void check_zero_sizes(void)
{
        free(NULL);
        char *p = realloc(NULL, 50);
        check(p != NULL, "realloc(NULL) allocates");
        fill(p, 50);
        const volatile char *seen = hide(p);
        p = realloc(p, 0);
        check(p == NULL && !holds_secret(seen, 50), "realloc to 0 frees and wipes");
        p = reallocarray(NULL, 10, 5);
        check(p != NULL, "reallocarray allocates");
        free(p);
}

int main(void)
{
        static const size_t sizes[] = {40, 100, 1000, 5000, 100000};
        static void *(*const makers[])(size_t) = {make_malloc, make_calloc, make_aligned, make_posix};

        /* Large blocks stay in the heap, so that they can be looked at after free. */
        (void)mallopt(M_MMAP_THRESHOLD, 1 << 24);
        (void)mallopt(M_TRIM_THRESHOLD, 1 << 26);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                for (size_t j = 0; j < sizeof makers / sizeof *makers; j++)
                        check_free(sizes[i], makers[j]);
                check_realloc(sizes[i], sizes[i] * 2);
                check_realloc(sizes[i], sizes[i] - 8);
        }
        check_inside_libc();
        check_zero_sizes();
        return failures ? 1 : 0;
}
