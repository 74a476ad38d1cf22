/*
 * Hello: within its limits, and it encodes to a text that means the same.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct buffer text = BUFFER(65536);
        struct hello h, back;
        struct error err;

        if (hello_decode(&h, (const char *)data, n, &err) < 0)
                return 0;
        must(h.n_nodes <= HELLO_NODES_MAX && h.reconnect_min <= h.reconnect_max && h.reconnect_max <= RECONNECT_MAX);
        must(hello_encode(&h, &text) == 0);
        must(hello_decode(&back, text.data, text.len, &err) == 0);
        must(memcmp(&h, &back, sizeof(h)) == 0);
        buffer_free(&text);
        return 0;
}
