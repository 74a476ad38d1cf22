/*
 * The gateway's answer as pam_postern reads it: accepted only whole, with an account; the same however it was cut.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/gateway/pam/pam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct pam_answer a = {PAM_UNAVAILABLE}, again = {PAM_UNAVAILABLE};
        struct error err = {""};
        const int r = pam_answer_read(&a, (const char *)data, n, &err);

        must(r <= 1);
        must(r == 0 || a.verdict == PAM_UNAVAILABLE);
        must(a.verdict != PAM_ACCEPTED || (a.user_id[0] && a.user_domain[0] && a.id[0]));
        must(a.verdict != PAM_REFUSED || a.class != PAM_INFRASTRUCTURE);
        if (r == 0 && n > 0) /* a byte less is no other answer: it is not whole, or that byte was none of it */
                must(pam_answer_read(&again, (const char *)data, n - 1, &err) == 1 || again.verdict == a.verdict);
        return 0;
}
