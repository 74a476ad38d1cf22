/*
 * Verdict claims: nothing decodes into accepted without an account, and what was decoded encodes to a text
 * that means the same.
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
        struct buffer text = BUFFER(65536), again = BUFFER(65536);
        struct verdict_claims c, back;
        struct error err;

        if (verdict_claims_decode(&c, (const char *)data, n, &err) < 0)
                return 0;
        if (strcmp(c.verdict, "accepted") == 0)
                must(c.user_id[0] && c.user_domain[0] && c.password_proved && strcmp(c.class, "none") == 0);
        must(verdict_claims_encode(&c, &text, &err) == 0);
        must(verdict_claims_decode(&back, text.data, text.len, &err) == 0);
        must(verdict_claims_encode(&back, &again, &err) == 0);
        must(text.len == again.len && memcmp(text.data, again.data, text.len) == 0);
        buffer_free(&text);
        buffer_free(&again);
        return 0;
}
