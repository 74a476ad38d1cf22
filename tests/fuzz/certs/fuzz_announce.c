/*
 * Any bytes as an announcement's claims, signed by the fixed key as identity key, and as a whole announcement.
 *
 * What is accepted must survive being signed again and read again, but for domains that do not fit.
 */
#include <errno.h>

#include "certs/trust/announce.h"
#include "tests/fuzz/certs/fixed-key.h"

#define NOW 1800000000

static int verify(struct announcement **ret_a, const char *text, size_t n)
{
        struct error err = {""};
        int r = announcement_verify(ret_a, text, n, fixed_key(), ANNOUNCE_ANY_TIME, &err);

        must(r == 0 || err.text[0] != '\0');
        must(r == 0 || r == -EBADMSG || r == -EKEYREJECTED);
        return r;
}

static void check(const struct announcement *a)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(ANNOUNCE_TEXT_MAX);
        struct announcement *again = NULL;

        must(a->exp > a->iat && a->n_domains <= ROSTER_DOMAINS_MAX);
        if (announcement_sign(a, fixed_key(), NOW, 60, &text, NULL) < 0)
                return;
        must(verify(&again, text.data, text.len) == 0);
        must(again->n_domains == a->n_domains || again->n_domains == 0);
        must(again->roster_form == ROSTER_FORM);
        announcement_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(ROSTER_TEXT_MAX);
        struct announcement *a = NULL;

        if (jws_sign(fixed_key(), JOSE_TYP_IDENTITY, (const char *)data, n, &text, NULL) == 0 &&
            verify(&a, text.data, text.len) == 0) {
                check(a);
                a = announcement_free(a);
        }
        if (verify(&a, (const char *)data, n) == 0)
                announcement_free(a);
        return 0;
}
