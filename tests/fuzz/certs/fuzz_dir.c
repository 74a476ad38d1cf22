/*
 * Any bytes as a verdict JWE under a key of zeros.
 */
#include <errno.h>

#include "certs/jose/jose.h"
#include "tests/fuzz/certs/fixed-key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const uint8_t key[32] = {0};
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(JWE_MAX);
        struct error err = {""};
        int r = jwe_open(JWE_VERDICT, key, (const char *)data, n, &plain, &err);

        must(r == 0 || r == -EBADMSG || r == -EKEYREJECTED);
        must(r < 0 ? plain.len == 0 && err.text[0] != '\0' : plain.len > 0);
        return 0;
}
