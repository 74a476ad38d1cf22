/*
 * Any bytes as a compact JWS. What is accepted must be exactly its own canonical spelling, and a signature
 * that verifies can only be one of the fixed key.
 */
#include <errno.h>

#include "certs/jose/jose.h"
#include "base/core/text.h"
#include "tests/fuzz/certs/fixed-key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct error err = {""};
        struct jws jws;
        int r = jws_parse(&jws, (const char *)data, n, JOSE_TYP_REQUEST, true, &err);

        if (r < 0) {
                must(r == -EBADMSG && err.text[0] != '\0');
                return 0;
        }
        must(jws.payload.secret && jws.payload.len > 0 && jws.text_len == n);
        must(jws.signing_len + 1 + B64U_LEN(64) == n);
        r = jws_verify(&jws, fixed_key(), &err);
        must(r == 0 || r == -EKEYREJECTED);
        jws_clear(&jws);
        return 0;
}
