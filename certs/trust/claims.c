/*
 * Claims that the roster and the statements have in common: times and keys with their kid.
 *
 * Takes the time from the caller; owns nothing.
 */
#include "certs/trust/claims.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "certs/codec/crypto.h"

void claims_times(struct json_reader *r, struct claim_times *times)
{
        char why[64];

        times->iat = json_read_int(r, "iat", 0, JOSE_INT_MAX);
        times->exp = json_read_int(r, "exp", 0, JOSE_INT_MAX);
        if (times->exp > times->iat && times->exp - times->iat <= times->life_max)
                return;
        (void)snprintf(why, sizeof(why), "is not 1 to %lld s after iat", (long long)times->life_max);
        json_read_fail(r, "exp", why);
}

int claims_current(const struct claim_times *times, const char *what, int64_t now, struct error *err)
{
        if (now > times->exp + times->skew)
                return error_fail(err, -ETIME, "%s: expired %lld s ago", what, (long long)(now - times->exp));
        if (times->iat > now + times->skew)
                return error_fail(err, -ETIME, "%s: was signed %lld s in the future; check the clocks", what,
                                  (long long)(times->iat - now));
        return 0;
}

void claims_kid(struct json_reader *r, const struct key *key)
{
        char kid[KID_LEN + 1];

        json_read_b64u_text(r, "kid", kid, SHA256_LEN);
        if (key && strcmp(kid, key_kid(key)) != 0)
                json_read_fail(r, "kid", "is not the thumbprint of the key");
}

void claims_tenant(struct json_reader *r, const char *name, char ret_tenant[TENANT_MAX + 1])
{
        json_read_str(r, name, JSON_REQUIRED, ret_tenant, TENANT_MAX + 1);
        if (!tenant_valid(ret_tenant))
                json_read_fail(r, name, "is not a tenant's name");
}

void claims_id(struct json_reader *r, const char *name, char ret_id[ID_MAX + 1])
{
        json_read_str(r, name, JSON_REQUIRED, ret_id, ID_MAX + 1);
        if (!id_valid(ret_id, strlen(ret_id)))
                json_read_fail(r, name, "is not an id: 16 to 64 letters, digits and hyphens");
}
