/*
 * What a hostile link has the supervisor store: transport.pem taken apart. What was found as the key must be found
 * again, and nothing else, in what is written from the parts; and a name of a key in hardware is found as one wherever
 * it would be taken for one at the next start.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "certs/keys/key-uri.h"
#include "base/core/cleanup.h"
#include "connector/frames/messages.h"
#include "certs/enrol/transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool holds)
{
        if (!holds)
                abort();
}

static bool same(const struct buffer *a, const struct buffer *b)
{
        return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static enum key_kind kind_of(const struct buffer *b)
{
        return b->len ? key_kind_of(b->data, b->len) : KEY_KIND_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(TRANSPORT_PEM_MAX), key = BUFFER(TRANSPORT_PEM_MAX),
                                             chain = BUFFER(TRANSPORT_PEM_MAX), whole = BUFFER(2 * TRANSPORT_PEM_MAX),
                                             key_again = BUFFER(TRANSPORT_PEM_MAX),
                                             chain_again = BUFFER(2 * TRANSPORT_PEM_MAX);

        if (n > TRANSPORT_PEM_MAX - 2 || buffer_append(&text, data, n) < 0)
                return 0;
        if (transport_split(&text, &key, &chain) < 0)
                return 0;
        must(key.len + chain.len <= n + 1);
        must(kind_of(&text) == KEY_KIND_NONE || kind_of(&key) == kind_of(&text));
        if (key.len == 0) {
                must(same(&chain, &text)); /* with its NUL bytes, where it has some */
                return 0;
        }
        must(transport_join(&whole, &key, &chain) == 0);
        must(kind_of(&whole) == kind_of(&key)); /* what was judged is what the next start reads */
        must(transport_split(&whole, &key_again, &chain_again) == 0);
        must(kind_of(&key_again) == kind_of(&key));
        return 0;
}
