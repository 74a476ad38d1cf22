/*
 * Any bytes as a statement's payload, signed by the fixed key as identity, and as a whole statement.
 */
#include <errno.h>

#include "certs/trust/statement.h"
#include "tests/fuzz/certs/fixed-key.h"

#define NOW 1800000000

static int verify(struct statement **ret_s, const char *text, size_t n)
{
        struct error err = {""};
        int r = statement_verify(ret_s, text, n, fixed_key(), "connector-0001-aaaa", "acme", NOW, &err);

        must(r == 0 || err.text[0] != '\0');
        must(r == 0 || r == -EBADMSG || r == -EKEYREJECTED || r == -EXDEV || r == -ETIME);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(STATEMENT_TEXT_MAX);
        struct statement *s = NULL, *again = NULL;
        char kid[KID_LEN + 1];

        (void)statement_peek_kid((const char *)data, n, kid, NULL);
        if (verify(&s, (const char *)data, n) == 0)
                s = statement_free(s);
        if (jws_sign(fixed_key(), JOSE_TYP_KEYS, (const char *)data, n, &text, NULL) < 0 ||
            verify(&s, text.data, text.len) < 0)
                return 0;
        (void)statement_key_at(s, NOW);
        /* what was accepted can be said again and is accepted again, but for keys that may not outlive the shorter one
         */
        for (; s->n_sign > 0; s->n_sign--)
                key_free(s->sign[s->n_sign - 1].key);
        if (statement_sign(s, fixed_key(), NOW, 60, NULL) == 0) {
                must(verify(&again, s->text, strlen(s->text)) == 0);
                must(again->n_keys == s->n_keys && again->n_realms == s->n_realms && again->seq == s->seq);
                statement_free(again);
        }
        statement_free(s);
        return 0;
}
