/*
 * PAC buffers that name the account.
 *
 * Properties: success means a SID's text and terminated UTF-8 names; failure leaves the id alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "validate/krb/pac.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

static void check(int r, const struct identity *user)
{
        require(strnlen(user->id, sizeof user->id) < sizeof user->id);
        require((r == 0) == (strncmp(user->id, "S-1-", 4) == 0));
        require(r == 0 || user->id[0] == '\0');
        require(utf8_valid(user->upn, strlen(user->upn)) && utf8_valid(user->sam, strlen(user->sam)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct identity user = {0};

        check(krb_pac_upn_dns_info(&user, data, n), &user);
        user = (struct identity){0};
        check(krb_pac_logon_info(&user, data, n), &user);
        user = (struct identity){0};
        check(sid_text(user.id, data, n), &user);
        return 0;
}
