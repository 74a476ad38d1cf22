/*
 * The SSE parser: one piece or single bytes, the same events come out; nothing held passes the limit.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/wire/sse.h"

#define DATA_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

struct digest {
        size_t events;
        uint64_t hash;
};

static void mix(struct digest *d, const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                d->hash = (d->hash ^ (unsigned char)s[i]) * 1099511628211U;
}

static int on_event(void *arg, const char *event, const char *data, size_t n)
{
        struct digest *d = arg;

        must(n > 0 && n <= DATA_MAX && data[n] == '\0' && strlen(event) <= SSE_NAME_MAX);
        mix(d, event, strlen(event) + 1);
        mix(d, data, n + 1);
        d->events++;
        return 0;
}

static int run(const char *bytes, size_t n, size_t piece, struct digest *d)
{
        struct error err;
        struct sse s;
        int r = 0;

        sse_init(&s, DATA_MAX);
        for (size_t i = 0; i < n && r == 0; i += piece)
                r = sse_feed(&s, bytes + i, n - i < piece ? n - i : piece, on_event, d, &err);
        sse_clear(&s);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct digest whole = {0}, bytes = {0}, threes = {0};
        const char *text = (const char *)data;
        int a = run(text, n, n ? n : 1, &whole), b = run(text, n, 1, &bytes), c = run(text, n, 3, &threes);

        must((a < 0) == (b < 0) && (b < 0) == (c < 0));
        must(whole.events == bytes.events && whole.hash == bytes.hash);
        must(whole.events == threes.events && whole.hash == threes.hash);
        return 0;
}
