/*
 * Any bytes as a request JWE: parsed, stripped to each recipient, opened.
 */
#include <errno.h>

#include "certs/jose.h"
#include "tests/fuzz/certs/fixed-key.h"

/* What the relay forwards must be read as the same recipient. */
static void strip(const struct jwe *jwe, size_t i)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(2 * JWE_MAX);
        struct error err = {""};
        json_t *only = NULL;
        struct jwe again;

        must(jwe_only(jwe, i, &only) == 0);
        must(jose_json_text(only, &text) == 0);
        json_decref(only);
        if (jwe_parse(&again, text.data, text.len, &err) < 0) {
                must(text.len > JWE_MAX); /* escapes may have grown */
                return;
        }
        must(again.n == 1 && strcmp(again.to[0].kid, jwe->to[i].kid) == 0);
        must(strcmp(again.protected_b64, jwe->protected_b64) == 0);
        jwe_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct error err = {""};
        struct jwe jwe;
        int r = jwe_parse(&jwe, (const char *)data, n, &err);

        if (r < 0) {
                must(r == -EBADMSG && err.text[0] != '\0');
                return 0;
        }
        must(jwe.n >= 1 && jwe.n <= JWE_RECIPIENTS_MAX);
        for (size_t i = 0; i < jwe.n; i++) {
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(JWE_MAX);

                strip(&jwe, i);
                r = jwe_open(&jwe, i, fixed_key(), &plain, &err);
                must(r == 0 || r == -EKEYREJECTED || r == -EBADMSG);
                must(r < 0 ? plain.len == 0 : plain.len == jwe.ciphertext.len);
        }
        jwe_clear(&jwe);
        return 0;
}
