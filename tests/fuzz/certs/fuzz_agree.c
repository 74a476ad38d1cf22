/*
 * Against libjose: whatever our strict readers take and open, it takes and opens to the same bytes. It takes more
 * than we do, so nothing is asked the other way round.
 *
 * The first byte says which: S a compact JWS, E a sealed request, C a payload that we sign and that it must verify.
 */
#include <jose/jose.h>

#include "certs/jose/sealed.h"
#include "base/core/text.h"
#include "tests/fuzz/certs/fixed-key.h"

/* The fixed key as JWK, with its private part. */
static json_t *jwk_of(bool private)
{
        json_t *jwk = NULL;

        must(key_to_jwk(fixed_key(), &jwk) == 0);
        if (private)
                must(json_object_set_new(jwk, "d", json_string(FIXED_KEY_D)) == 0);
        return jwk;
}

static json_t *flattened(const char *text, size_t n)
{
        const char *one = memchr(text, '.', n);
        const char *two = one ? memchr(one + 1, '.', n - (size_t)(one + 1 - text)) : NULL;

        must(one && two);
        return json_pack("{s:s%, s:s%, s:s%}", "protected", text, (size_t)(one - text), "payload", one + 1,
                         (size_t)(two - one - 1), "signature", two + 1, n - (size_t)(two + 1 - text));
}

static void check_jws(const char *text, size_t n)
{
        struct jws jws;

        if (jws_parse(&jws, text, n, JOSE_TYP_REQUEST, true, NULL) < 0)
                return;
        if (jws_verify(&jws, fixed_key(), NULL) == 0) {
                json_t *object = flattened(text, n), *jwk = jwk_of(false);

                must(object && jose_jws_ver(NULL, object, NULL, jwk, false));
                json_decref(object);
                json_decref(jwk);
        }
        jws_clear(&jws);
}

/* One line's four parts. */
static void parts_of(const char *line, const char *part[4], size_t n[4])
{
        for (size_t i = 0; i < 4; i++) {
                part[i] = line;
                n[i] = strcspn(line, ".\n");
                line += n[i] + 1;
        }
}

/* The JWE that a share stands for. */
static json_t *jwe_of(const char *share)
{
        const char *a[4], *b[4];
        size_t n[4], k[4];

        parts_of(share, a, n);
        parts_of(strchr(share, '\n') + 1, b, k);
        return json_pack("{s:s%, s:s%, s:s%, s:s%, s:{s:s, s:s%, s:{s:s, s:s, s:s%, s:s%}}, s:s%}", "protected", a[0],
                         n[0], "iv", a[1], n[1], "ciphertext", a[2], n[2], "tag", a[3], n[3], "header", "alg",
                         "ECDH-ES+A256KW", "kid", b[0], k[0], "epk", "kty", "EC", "crv", "P-256", "x", b[1], k[1], "y",
                         b[2], k[2], "encrypted_key", b[3], k[3]);
}

static void check_sealed(const char *text, size_t n)
{
        struct sealed s;

        if (sealed_read(&s, text, n, NULL) < 0)
                return;
        for (size_t i = 0; i < s.n; i++) {
                _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE),
                                                     share = BUFFER(SEALED_SHARE_MAX);
                json_t *object, *jwk;
                size_t len = 0;

                if (sealed_open(&s, i, fixed_key(), &plain, NULL) < 0)
                        continue;
                must(sealed_share(&s, i, &share) == 0);
                object = jwe_of(share.data);
                jwk = jwk_of(true);
                char *theirs = jose_jwe_dec(NULL, object, NULL, jwk, &len);
                must(theirs && len == plain.len && memcmp(theirs, plain.data, len) == 0);
                free(theirs);
                json_decref(object);
                json_decref(jwk);
        }
}

static void check_ours(const char *payload, size_t n)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(JWS_MAX);

        if (jws_sign(fixed_key(), JOSE_TYP_REQUEST, payload, n, &text, NULL) == 0)
                check_jws(text.data, text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *text = (const char *)data + 1;

        if (n < 2)
                return 0;
        if (data[0] == 'S')
                check_jws(text, n - 1);
        else if (data[0] == 'E')
                check_sealed(text, n - 1);
        else if (data[0] == 'C')
                check_ours(text, n - 1);
        return 0;
}
