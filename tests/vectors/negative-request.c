/*
 * Requests that a connector must not act on, and what it says to each. Faults of the JWE alone are refused by
 * the relay already.
 */
#include <string.h>

#include "tests/vectors/negative.h"
#include "tests/vectors/world.h"

#define BAD "declined bad_request"

/* ---- special layers ---- */

static char *plain_short(const char *plain)
{
        return pool_text("%.*s", PADDED_LEN - 1, plain);
}

static char *plain_long(const char *plain)
{
        return pool_text("%s ", plain);
}

static char *plain_tab(const char *plain)
{
        return pool_text("%.*s\t", PADDED_LEN - 1, plain);
}

static char *plain_left(const char *plain)
{
        return pool_text(" %.*s", PADDED_LEN - 1, plain);
}

static char *plain_empty(const char *plain)
{
        (void)plain;
        return make_padded("");
}

static char *jws_unsigned(const char *jws)
{
        return pool_text("%.*s", (int)(strrchr(jws, '.') + 1 - jws), jws);
}

static char *jws_short_signature(const char *jws)
{
        return pool_text("%.*s", (int)strlen(jws) - 2, jws);
}

static char *jws_four_parts(const char *jws)
{
        return pool_text("%s.e30", jws);
}

static char *jws_loose_bits(const char *jws)
{
        const size_t n = strlen(jws);
        char *copy = pool_text("%s", jws);
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

        copy[n - 1] = strchr(alphabet, copy[n - 1])[1]; /* 64 bytes leave four bits unused: they were 0 */
        return copy;
}

static char *jwe_behind(const char *jwe)
{
        return pool_text("%s{}", jwe);
}

static char *jwe_large(const char *jwe)
{
        return pool_text("%s%*s", jwe, JWE_MAX, " ");
}

/* The first recipient, a second time. */
static char *jwe_kid_twice(const char *jwe)
{
        const char *list = strstr(jwe, "[{") + 1, *comma = strstr(jwe, "},{\"header\"") + 1,
                   *end = strstr(jwe, "\"}],");

        return pool_text("%.*s%.*s,%.*s%s", (int)(list - jwe), jwe, (int)(comma - list), list,
                         (int)(comma - list), list, end + 2);
}

static char *jwe_nine(const char *jwe)
{
        const struct world *w = world();
        struct make_jwe in = {.protected = w->protected,
                              .salt = "request",
                              .plain = w->padded,
                              .plain_len = PADDED_LEN,
                              .n = 9};

        (void)jwe;
        in.to[0] = (struct make_recipient){w->recipients[0], fixed_key("berlin-1-enc"), "ephemeral 1"};
        for (int i = 1; i < 9; i++) {
                const char *name = pool_text("crowd %d", i), *epk = pool_text("ephemeral crowd %d", i);

                in.to[i] = (struct make_recipient){recipient_header(name, epk), fixed_key(name), epk};
        }
        return make_jwe_general(&in);
}

/* Changes the first character of the text behind a mark. */
static char *changed_behind(const char *text, const char *mark)
{
        char *copy = pool_text("%s", text), *at = strstr(copy, mark) + strlen(mark);

        *at = *at == 'A' ? 'B' : 'A';
        return copy;
}

static char *jwe_tag(const char *jwe)
{
        return changed_behind(jwe, "\"tag\":\"");
}

static char *jwe_ciphertext(const char *jwe)
{
        return changed_behind(jwe, "\"ciphertext\":\"");
}

static char *jwe_wrapped(const char *jwe)
{
        return changed_behind(jwe, "\"encrypted_key\":\"");
}

static char *jwe_iv_16(const char *jwe)
{
        const char *at = strstr(jwe, "\"iv\":\"") + 6;

        return pool_text("%.*s%.*sAAAAAA%s", (int)(at - jwe), jwe, 16, at, at + 16); /* 12 bytes and 4 */
}

static char *jwe_base64_padding(const char *jwe)
{
        const char *at = strstr(jwe, "\"tag\":\"") + 7;

        return pool_text("%.*s%.*s==%s", (int)(at - jwe), jwe, 22, at, at + 22);
}

static char *claims_not_utf8(const char *claims)
{
        return text_replaced(claims, "alice@", "\xff@");
}

static char *claims_to_nine(const char *claims)
{
        const char *list = strstr(claims, "\"to\":[") + 6, *end = strstr(list, "]");
        char *more = pool_text("%.*s", (int)(end - list), list);

        for (int i = 0; i < 7; i++)
                more = pool_text("%s,\"%s\"", more, key_kid(fixed_key(pool_text("crowd %d", i + 1))));
        return pool_text("%.*s%s%s", (int)(list - claims), claims, more, end);
}

static char *claims_without_rk(const char *claims)
{
        return text_replaced(claims, pool_text(",\"rk\":\"%s\"", text_b64u(world()->rk, 32)), "");
}

static char *claims_long_name(const char *claims)
{
        return text_replaced(claims, "alice@corp.example", pool_text("%0245d@corp.example", 0));
}

/* ---- the table ---- */

#define JWE(name_, layer_, from_, to_, rule_)                                                                \
        {                                                                                                    \
                .name = name_, .layer = layer_, .from = from_, .to = to_, .expect = BAD, .rule = rule_       \
        }
#define CLAIM(name_, from_, to_, expect_, rule_)                                                             \
        {                                                                                                    \
                .name = name_, .layer = LAYER_CLAIMS, .from = from_, .to = to_, .expect = expect_,           \
                .rule = rule_                                                                                \
        }
#define HEADER(name_, from_, to_, rule_)                                                                     \
        {                                                                                                    \
                .name = name_, .layer = LAYER_HEADER, .from = from_, .to = to_, .expect = BAD, .rule = rule_ \
        }
#define SPECIAL(name_, layer_, make_, rule_)                                                                 \
        {                                                                                                    \
                .name = name_, .layer = layer_, .special = make_, .expect = BAD, .rule = rule_               \
        }

#define UNLISTED "A header holds the listed members and no other."
#define ONE_SUITE "There is one algorithm suite; nothing else is accepted."
#define STRICT_JSON "JSON has no duplicate members, and nothing stands behind the object."
#define PADDED "The plaintext is the JWS padded on the right with 0x20 to exactly 4096 bytes."
#define B64U "base64url has no padding, and unused bits are 0."

const struct negative negative_requests[] = {
        /* the JWE */
        JWE("crit", LAYER_PROTECTED, "{\"enc\"", "{\"crit\":[\"exp\"],\"exp\":1,\"enc\"", UNLISTED),
        JWE("zip", LAYER_PROTECTED, "{\"enc\"", "{\"zip\":\"DEF\",\"enc\"", UNLISTED),
        JWE("apu", LAYER_RECIPIENT, "{\"alg\"", "{\"apu\":\"QWxpY2U\",\"alg\"", UNLISTED),
        JWE("jku", LAYER_RECIPIENT, "{\"alg\"", "{\"jku\":\"https://keys.example/\",\"alg\"", UNLISTED),
        JWE("missing_cty", LAYER_PROTECTED, ",\"cty\":\"JWT\"", "", UNLISTED),
        JWE("other_typ", LAYER_PROTECTED, "postern-request+jwe", "postern-verdict+jwe", ONE_SUITE),
        JWE("cbc", LAYER_PROTECTED, "A256GCM", "A256CBC-HS512", ONE_SUITE),
        JWE("aes128", LAYER_PROTECTED, "A256GCM", "A128GCM", ONE_SUITE),
        JWE("alg_direct_agreement", LAYER_RECIPIENT, "ECDH-ES+A256KW", "ECDH-ES", ONE_SUITE),
        JWE("alg_a128kw", LAYER_RECIPIENT, "ECDH-ES+A256KW", "ECDH-ES+A128KW", ONE_SUITE),
        JWE("epk_other_curve", LAYER_RECIPIENT, "P-256", "P-384", ONE_SUITE),
        JWE("epk_private", LAYER_RECIPIENT, "\"kty\"",
            "\"d\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"kty\"",
            "A public key holds kty, crv, x and y alone."),
        JWE("epk_not_on_curve", LAYER_RECIPIENT, "\"y\":\"@y:ephemeral 1@\"", "\"y\":\"@x:ephemeral 1@\"",
            "A point is on P-256."),
        JWE("aad", LAYER_JWE, "\"iv\":", "\"aad\":\"e30\",\"iv\":", "A request has no aad."),
        JWE("unprotected", LAYER_JWE, "\"iv\":", "\"unprotected\":{\"cty\":\"JWT\"},\"iv\":",
            "A request has no shared unprotected header."),
        JWE("duplicate_member", LAYER_JWE, "{\"protected\"", "{\"iv\":\"AAAAAAAAAAAAAAAA\",\"protected\"",
            STRICT_JSON),
        JWE("duplicate_in_protected", LAYER_PROTECTED, "{\"enc\"", "{\"enc\":\"A256GCM\",\"enc\"",
            STRICT_JSON),
        JWE("shared_alg", LAYER_PROTECTED, "{\"enc\"", "{\"alg\":\"ECDH-ES+A256KW\",\"enc\"",
            "With several recipients the protected header is exactly enc, typ and cty."),
        {.name = "member_in_both_headers",
         .layer = LAYER_PROTECTED,
         .from = "{\"enc\"",
         .to = "{\"alg\":\"ECDH-ES+A256KW\",\"enc\"",
         .alone = 1,
         .expect = BAD,
         .rule = "No member stands in the protected header and in the recipient's own."},
        SPECIAL("behind_the_object", LAYER_JWE, jwe_behind, STRICT_JSON),
        SPECIAL("too_large", LAYER_JWE, jwe_large, "A request has at most 16384 bytes."),
        SPECIAL("kid_twice", LAYER_JWE, jwe_kid_twice, "No kid stands twice among the recipients."),
        SPECIAL("nine_recipients", LAYER_JWE, jwe_nine, "A request has one to eight recipients."),
        SPECIAL("wrong_tag", LAYER_JWE, jwe_tag, "What does not decrypt is declined."),
        SPECIAL("changed_ciphertext", LAYER_JWE, jwe_ciphertext, "What does not decrypt is declined."),
        SPECIAL("changed_encrypted_key", LAYER_JWE, jwe_wrapped, "What does not decrypt is declined."),
        SPECIAL("iv_of_16_bytes", LAYER_JWE, jwe_iv_16, "The IV has 12 bytes."),
        SPECIAL("base64_padding", LAYER_JWE, jwe_base64_padding, B64U),
        {.name = "unknown_key",
         .layer = LAYER_RECIPIENT,
         .from = "@kid:berlin-1-enc@",
         .to = "@kid:stranger@",
         .alone = 1,
         .expect = "declined stale_key",
         .rule = "A request sealed to a key that the connector does not hold is declined stale_key."},
        {.name = "kid_of_another_key",
         .layer = LAYER_RECIPIENT,
         .from = "@kid:berlin-1-enc@",
         .to = "@kid:berlin-2-enc@",
         .alone = 1,
         .expect = "declined stale_key",
         .rule = "A request sealed to a key that the connector does not hold is declined stale_key."},
        /* padding */
        SPECIAL("padded_to_4095", LAYER_PLAIN, plain_short, PADDED),
        SPECIAL("padded_to_4097", LAYER_PLAIN, plain_long, PADDED),
        SPECIAL("padded_with_tab", LAYER_PLAIN, plain_tab, PADDED),
        SPECIAL("padded_on_the_left", LAYER_PLAIN, plain_left, PADDED),
        SPECIAL("nothing_but_padding", LAYER_PLAIN, plain_empty, PADDED),
        /* the JWS */
        HEADER("alg_none", "ES256", "none", ONE_SUITE),
        HEADER("alg_hs256", "ES256", "HS256", ONE_SUITE),
        HEADER("jws_crit", "{\"alg\"", "{\"crit\":[\"b64\"],\"b64\":true,\"alg\"", UNLISTED),
        HEADER("jws_jwk", "{\"alg\"",
               "{\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:stranger@\",\"y\":\"@y:stranger@\"},"
               "\"alg\"",
               UNLISTED),
        HEADER("jws_x5u", "{\"alg\"", "{\"x5u\":\"https://keys.example/\",\"alg\"", UNLISTED),
        HEADER("jws_typ", "postern-request+jwt", "JWT", ONE_SUITE),
        HEADER("jws_duplicate_alg", "{\"alg\"", "{\"alg\":\"none\",\"alg\"", STRICT_JSON),
        HEADER("jws_without_kid", ",\"kid\":\"@kid:portal@\"", "", UNLISTED),
        SPECIAL("no_signature", LAYER_JWS, jws_unsigned, "An ES256 signature has 64 bytes, r and s."),
        SPECIAL("short_signature", LAYER_JWS, jws_short_signature,
                "An ES256 signature has 64 bytes, r and s."),
        SPECIAL("four_parts", LAYER_JWS, jws_four_parts, "A compact JWS has three parts."),
        SPECIAL("loose_bits", LAYER_JWS, jws_loose_bits, B64U),
        {.name = "wrong_signature",
         .layer = LAYER_CONTEXT,
         .signer = "stranger",
         .expect = "reason request_signature",
         .rule = "The signature is that of the service whose kid the header names."},
        {.name = "service_not_in_roster",
         .layer = LAYER_HEADER,
         .from = "@kid:portal@",
         .to = "@kid:stranger@",
         .signer = "stranger",
         .expect = "reason service_unknown",
         .rule = "The header's kid is a service of the roster."},
        {.name = "signed_by_a_connector",
         .layer = LAYER_HEADER,
         .from = "@kid:portal@",
         .to = "@kid:berlin-2@",
         .signer = "berlin-2",
         .expect = "reason service_unknown",
         .rule = "A connector of the roster is no service."},
        /* the claims */
        CLAIM("issuer_of_another_key", "\"iss\":\"" PORTAL "\"", "\"iss\":\"svc-another-00000001\"",
              "reason service_unknown", "iss is the id that the roster gives to the key."),
        CLAIM("wrong_audience", "\"aud\":\"" TENANT "\"", "\"aud\":\"fabrikam\"", "reason wrong_audience",
              "aud is the connector's tenant."),
        CLAIM("not_addressed", "\"to\":[\"@kid:berlin-1@\",", "\"to\":[", "reason not_addressed",
              "to names this connector's identity key."),
        CLAIM("unknown_operation", "\"client\":", "\"op\":\"read-mail\",\"client\":",
              "reason operation_unknown", "op is an operation that the connector knows."),
        CLAIM("new_password_in_a_sign_in", "\"client\":", "\"new_password\":\"another\",\"client\":",
              "declined bad_request", "new_password stands with op change-password, and only there."),
        CLAIM("change_without_a_new_password", "\"client\":", "\"op\":\"change-password\",\"client\":",
              "declined bad_request", "new_password stands with op change-password, and only there."),
        CLAIM("empty_password", "\"password\":\"" PASSWORD "\"", "\"password\":\"\"", "reason empty_password",
              "An empty password is refused before any DC is asked."),
        CLAIM("nul_in_password", "\"password\":\"correct", "\"password\":\"\\u0000correct",
              "reason bad_password_form", "A password with NUL is refused before any DC is asked."),
        CLAIM("nul_in_name", "\"username\":\"alice", "\"username\":\"alice\\u0000", "reason bad_name_form",
              "A name with NUL is refused before any DC is asked."),
        {.name = "name_too_long",
         .layer = LAYER_CLAIMS,
         .special = claims_long_name,
         .expect = "reason bad_name_form",
         .rule = "A name of over 256 bytes is refused before any DC is asked."},
        CLAIM("other_version", "{\"v\":1,", "{\"v\":2,", BAD, "v is 1."),
        CLAIM("unknown_claim", "{\"v\":1,", "{\"v\":1,\"admin\":true,", BAD,
              "Claims hold the listed members and no other."),
        CLAIM("duplicate_claim", "{\"v\":1,", "{\"v\":1,\"username\":\"bob@corp.example\",", BAD,
              STRICT_JSON),
        SPECIAL("missing_rk", LAYER_CLAIMS, claims_without_rk, "Claims hold every required member."),
        CLAIM("fraction", "\"iat\":1767225600,", "\"iat\":1767225600.0,", BAD, "Times are integers."),
        CLAIM("over_60_s", "\"exp\":1767225660", "\"exp\":1767225661", BAD, "A request lives at most 60 s."),
        CLAIM("ends_at_once", "\"exp\":1767225660", "\"exp\":1767225600", BAD, "exp lies behind iat."),
        CLAIM("to_nobody", "\"to\":[\"@kid:berlin-1@\",\"@kid:berlin-2@\"]", "\"to\":[]", BAD,
              "to names one to eight kids."),
        CLAIM("to_twice", "\"to\":[\"@kid:berlin-1@\",", "\"to\":[\"@kid:berlin-1@\",\"@kid:berlin-1@\",",
              BAD, "to names no kid twice."),
        SPECIAL("to_nine", LAYER_CLAIMS, claims_to_nine, "to names one to eight kids."),
        SPECIAL("not_utf8", LAYER_CLAIMS, claims_not_utf8, "Texts are UTF-8."),
        /* here and now */
        {.name = "id_of_another_request",
         .layer = LAYER_CONTEXT,
         .id = "req-another-000000001",
         .expect = BAD,
         .rule = "jti is the id that the request travels under."},
        {.name = "expired",
         .layer = LAYER_CONTEXT,
         .later = 181,
         .expect = "declined expired",
         .rule = "A request is taken until 120 s after exp."},
        {.name = "from_the_future",
         .layer = LAYER_CONTEXT,
         .later = -121,
         .expect = "declined expired",
         .rule = "A request is taken from 120 s before iat."},
        {.name = "replayed",
         .layer = LAYER_CONTEXT,
         .twice = 1,
         .expect = "declined replay",
         .rule = "A jti of a service is taken once."},
        {.name = NULL},
};
