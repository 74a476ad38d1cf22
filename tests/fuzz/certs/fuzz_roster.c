/*
 * Any bytes as a roster's payload, signed by the fixed key as tenant key, and as a whole roster.
 *
 * What is accepted must survive being signed again and read again.
 */
#include <errno.h>

#include "certs/trust/roster.h"
#include "tests/fuzz/certs/fixed-key.h"
#include "base/core/sid.h"

#define NOW 1800000000

static int verify(struct roster **ret_roster, const char *text, size_t n)
{
        struct error err = {""};
        int r = roster_verify(ret_roster, text, n, key_pin(fixed_key()), "acme", NOW, 0, &err);

        must(r == 0 || err.text[0] != '\0');
        must(r == 0 || r == -EBADMSG || r == -EKEYREJECTED || r == -EXDEV || r == -ETIME || r == -ESTALE);
        return r;
}

static void check(struct roster *roster)
{
        struct roster *again = NULL;

        for (size_t i = 0; i < roster->n_connectors; i++) {
                const char *kid = key_kid(roster->connectors[i].key);

                must(roster_connector(roster, kid) == &roster->connectors[i]);
                must(!roster_service(roster, kid));
                for (size_t k = 0; k < roster->connectors[i].n_domains; k++)
                        must(roster_domain(roster, roster->connectors[i].domains[k]) != NULL);
        }
        for (size_t i = 0; i < roster->n_domains; i++) {
                const struct roster_domain *d = &roster->domains[i];

                must(roster_domain_of_suffix(roster, d->name) == d);
                for (size_t k = 0; k < d->n_suffixes; k++)
                        must(roster_domain_of_suffix(roster, d->suffixes[k]) == d);
                for (size_t k = 0; k < d->n_netbios; k++)
                        must(roster_domain_of_netbios(roster, d->netbios[k]) == d);
                must(!d->sid[0] || sid_is_domain(d->sid));
        }
        if (roster->seq < JOSE_INT_MAX && roster_sign(roster, fixed_key(), NOW, 60, NULL) == 0) {
                must(verify(&again, roster->text, strlen(roster->text)) == 0);
                must(again->n_connectors == roster->n_connectors && again->n_services == roster->n_services);
                must(again->n_domains == roster->n_domains && again->form == roster_form_needed(roster));
                must(again->n_removed == roster->n_removed && again->seq == roster->seq);
                roster_free(again);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(ROSTER_TEXT_MAX);
        struct roster *roster = NULL;

        if (jws_sign(fixed_key(), JOSE_TYP_ROSTER, (const char *)data, n, &text, NULL) == 0 &&
            verify(&roster, text.data, text.len) == 0) {
                check(roster);
                roster = roster_free(roster);
        }
        if (verify(&roster, (const char *)data, n) == 0)
                roster_free(roster);
        return 0;
}
