/*
 * Claims that the roster and the statements have in common: times and keys with their kid.
 *
 * Takes the time from the caller; owns nothing.
 */
#include "certs/trust/claims.h"

#include <errno.h>
#include <string.h>

int claims_times(const json_t *object, const char *what, struct claim_times *times, struct error *err)
{
        int r;

        if ((r = jose_json_int(object, what, "iat", 0, JOSE_INT_MAX, &times->iat, err)) < 0 ||
            (r = jose_json_int(object, what, "exp", 0, JOSE_INT_MAX, &times->exp, err)) < 0)
                return r;
        if (times->exp <= times->iat || times->exp - times->iat > times->life_max)
                return error_fail(err, -EBADMSG, "%s: member \"exp\" is not 1 to %lld s behind \"iat\"", what,
                                  (long long)times->life_max);
        return 0;
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

int claims_kid_matches(const json_t *object, const char *what, const struct key *key, struct error *err)
{
        char kid[KID_LEN + 1];
        int r = jose_json_kid(object, what, "kid", kid, err);

        if (r < 0)
                return r;
        if (strcmp(kid, key_kid(key)) != 0)
                return error_fail(err, -EBADMSG, "%s: member \"kid\" is not the thumbprint of the key", what);
        return 0;
}
