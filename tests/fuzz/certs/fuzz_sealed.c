/*
 * Any bytes as a sealed request: read, cut to each recipient, opened.
 */
#include <errno.h>

#include "certs/jose/sealed.h"
#include "base/core/text.h"
#include "tests/fuzz/certs/fixed-key.h"

/* What the relay forwards must be read as the same recipient. */
static void share(const struct sealed *s, size_t i)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_SHARE_MAX);
        struct error err = {""};
        struct sealed again;

        must(sealed_share(s, i, &text) == 0);
        must(sealed_read(&again, text.data, text.len, &err) == 0);
        must(again.n == 1 && again.padded == s->padded);
        must(memcmp(sealed_line(&again, 0), sealed_line(s, i), SEALED_LINE_LEN + 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct error err = {""};
        struct sealed s;
        int r = sealed_read(&s, (const char *)data, n, &err);

        if (r < 0) {
                must(r == -EBADMSG && err.text[0] != '\0');
                return 0;
        }
        must(s.n >= 1 && s.n <= SEALED_RECIPIENTS_MAX && n == SEALED_LEN(s.padded, s.n));
        for (size_t i = 0; i < s.n; i++) {
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE);

                share(&s, i);
                r = sealed_open(&s, i, fixed_key(), &plain, &err);
                must(r == 0 || r == -EKEYREJECTED || r == -EBADMSG);
                must(r < 0 ? plain.len == 0 : plain.len == s.padded);
        }
        return 0;
}
