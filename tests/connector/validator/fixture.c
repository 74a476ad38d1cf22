/*
 * The tenant that the validator's unit tests share. Everything is made by the real code of certs and queue.
 */
#include "certs/jose/sealed.h"
#include "tests/connector/validator/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void fixture_make(struct fixture *f)
{
        static const char *const realms[] = {"corp.example"};
        const struct domains_names names = {.n_realms = 1, .realms = realms};
        static char domain[] = "corp.example";
        const struct roster_domain corp = {.name = domain, .is_default = true};
        struct error err = {""};

        *f = (struct fixture){0};
        assert_int_equal(key_generate(&f->tenant_key, &err), 0);
        assert_int_equal(key_generate(&f->identity, &err), 0);
        assert_int_equal(key_generate(&f->service, &err), 0);
        assert_int_equal(roster_new(&f->roster, TENANT, f->tenant_key), 0);
        assert_int_equal(roster_add(f->roster, false, CONNECTOR_ID, "c1", f->identity, &err), 0);
        assert_int_equal(roster_domain_put(f->roster, &corp, &err), 0);
        assert_int_equal(roster_speak(f->roster, "c1", realms, 1, &err), 0);
        assert_int_equal(roster_add(f->roster, true, SERVICE_ID, "portal", f->service, &err), 0);
        assert_int_equal(roster_sign(f->roster, f->tenant_key, NOW, 86400, &err), 0);
        assert_int_equal(enckeys_init(&f->keys, f->identity, CONNECTOR_ID, TENANT, "AAAAAAAAAAAAAAAAAAAAAA", 1), 0);
        assert_int_equal(enckeys_turn(&f->keys, &names, NOW, (uint64_t)NOW * 1000, false, &err), 1);
}

void fixture_clear(struct fixture *f)
{
        enckeys_clear(&f->keys);
        roster_free(f->roster);
        key_free(f->tenant_key);
        key_free(f->identity);
        key_free(f->service);
}

struct request_claims fixture_claims(const struct fixture *f)
{
        struct request_claims c = {
                .iss = SERVICE_ID,
                .aud = TENANT,
                .jti = REQUEST_ID,
                .iat = NOW,
                .exp = NOW + 60,
                .n_to = 1,
                .username = "alice@corp.example",
                .username_len = 18,
                .password = "correct horse",
                .password_len = 13,
                .op = "sign-in",
        };

        memcpy(c.to[0], key_kid(f->identity), KID_LEN + 1);
        memset(c.rk, 7, sizeof(c.rk));
        return c;
}

void fixture_seal(const struct fixture *f, const struct request_claims *c, const struct key *signer, struct buffer *out)
{
        _cleanup_(buffer_free) struct buffer json = BUFFER_SECRET(PADDED_LARGE), jws = BUFFER_SECRET(PADDED_LARGE),
                                             padded = BUFFER_SECRET(PADDED_LARGE);
        struct key *to[1] = {f->keys.keys[0].key};
        struct error err = {""};

        assert_int_equal(request_claims_encode(c, &json, &err), 0);
        assert_int_equal(jws_sign(signer, JOSE_TYP_REQUEST, json.data, json.len, &jws, &err), 0);
        assert_int_equal(jose_pad(&padded, jws.data, jws.len,
                                  json.len > PADDED_CLAIMS_MAX(PADDED_SMALL) ? PADDED_LARGE : PADDED_SMALL),
                         0);
        assert_int_equal(sealed_seal(to, 1, &padded, out, &err), 0);
}
