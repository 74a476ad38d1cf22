/*
 * Requests that a connector must not act on, and what it says to each. Faults of the JWE alone are refused by
 * the relay already.
 */
#include <string.h>

#include "certs/jose/sealed.h"
#include "tests/vectors/negative.h"
#include "tests/vectors/world.h"

#define BAD "declined bad_request"

/* ---- special layers ---- */

static char *plain_short(const char *plain)
{
        return pool_text("%.*s", PADDED_SMALL - 1, plain);
}

static char *plain_long(const char *plain)
{
        return pool_text("%s ", plain);
}

static char *plain_tab(const char *plain)
{
        return pool_text("%.*s\t", PADDED_SMALL - 1, plain);
}

static char *plain_left(const char *plain)
{
        return pool_text(" %.*s", PADDED_SMALL - 1, plain);
}

static char *plain_empty(const char *plain)
{
        (void)plain;
        return make_padded("", PADDED_SMALL);
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

/* ---- the text ---- */

static char *text_behind(const char *text)
{
        return pool_text("%s\n", text);
}

static char *text_large(const char *text)
{
        return pool_text("%s%*s", text, (int)SEALED_MAX, " ");
}

static char *text_without_last_end(const char *text)
{
        return pool_text("%.*s", (int)strlen(text) - 1, text);
}

static char *text_shared_alone(const char *text)
{
        return pool_text("%.*s\n", (int)strcspn(text, "\n"), text);
}

/* The shared line behind the others. */
static char *text_turned(const char *text)
{
        const size_t n = strcspn(text, "\n") + 1;

        return pool_text("%s%.*s", text + n, (int)n, text);
}

/* A second line for the first recipient, with an ephemeral key of its own. */
static char *text_kid_twice(const char *text)
{
        const size_t n = strlen(text) - SEALED_LINE_LEN - 1;

        return pool_text("%.*s%s\n", (int)n, text, make_line("berlin-1-enc", "ephemeral 2", "request"));
}

static char *text_nine(const char *text)
{
        char *more = pool_text("%s", text);

        for (int i = 2; i < 9; i++)
                more = pool_text("%s%s\n", more,
                                 make_line(pool_text("crowd %d", i), pool_text("ephemeral crowd %d", i), "request"));
        return more;
}

/* The JWE in JSON that it stands for, as libraries write it. */
static char *text_as_json(const char *text)
{
        const struct world *w = world();

        (void)text;
        return pool_text("{\"protected\":\"%s\",\"recipients\":[]}", text_b64u(w->protected, strlen(w->protected)));
}

/* One character of the text: the n-th behind the part-th dot, or end of line, is made another one. */
static char *changed(const char *text, size_t part, size_t n, const char *to)
{
        char *copy = pool_text("%s", text), *at = copy;

        while (part-- > 0)
                at += strcspn(at, ".\n") + 1;
        at += n;
        *at = to ? *to : *at == 'A' ? 'B' : 'A';
        return copy;
}

enum part { PART_PROTECTED, PART_IV, PART_CIPHERTEXT, PART_TAG, PART_KID, PART_X, PART_Y, PART_KEY, PART_KID_2 };

static char *text_tag(const char *text)
{
        return changed(text, PART_TAG, 0, NULL);
}

static char *text_ciphertext(const char *text)
{
        return changed(text, PART_CIPHERTEXT, 0, NULL);
}

static char *text_wrapped(const char *text)
{
        return changed(text, PART_KEY, 0, NULL);
}

static char *text_plus(const char *text)
{
        return changed(text, PART_CIPHERTEXT, 5, "+");
}

static char *text_padding(const char *text)
{
        return changed(text, PART_TAG, 21, "=");
}

static char *text_blank(const char *text)
{
        return changed(text, PART_IV, 3, " ");
}

static char *text_end_for_a_dot(const char *text)
{
        return changed(text, PART_X, 43, "\n");
}

static char *text_dot_for_an_end(const char *text)
{
        return changed(text, PART_TAG, 22, ".");
}

static char *text_cr(const char *text)
{
        return changed(text, PART_KEY, 54, "\r");
}

static char *text_other_header(const char *text)
{
        return changed(text, PART_PROTECTED, 70, NULL);
}

/* Bits of a last character that stand for nothing. */
static char *text_loose_bits(const char *text)
{
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const char *kid = text + SEALED_SHARED_LEN(PADDED_SMALL) + 1;

        return changed(text, PART_KID, 42, strchr(alphabet, kid[42]) + 1);
}

static char *text_iv_16(const char *text)
{
        const char *at = strchr(text, '.') + 1;

        return pool_text("%.*s%.*sAAAAAA%s", (int)(at - text), text, 16, at, at + 16); /* 12 bytes and 4 */
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

#define PROTECTED(name_, from_, to_, rule_)                                                                            \
        {                                                                                                              \
                .name = name_, .layer = LAYER_PROTECTED, .from = from_, .to = to_, .expect = BAD, .rule = rule_        \
        }
#define CLAIM(name_, from_, to_, expect_, rule_)                                                                       \
        {                                                                                                              \
                .name = name_, .layer = LAYER_CLAIMS, .from = from_, .to = to_, .expect = expect_, .rule = rule_       \
        }
#define HEADER(name_, from_, to_, rule_)                                                                               \
        {                                                                                                              \
                .name = name_, .layer = LAYER_HEADER, .from = from_, .to = to_, .expect = BAD, .rule = rule_           \
        }
#define SPECIAL(name_, layer_, make_, rule_)                                                                           \
        {                                                                                                              \
                .name = name_, .layer = layer_, .special = make_, .expect = BAD, .rule = rule_                         \
        }

#define ONE_HEADER "The protected header is the one text, byte for byte."
#define FORM "A request is the shared line and the recipients' lines, each with its line end, and nothing else."
#define LENGTHS "Each part of a line has its length."
#define UNLISTED "A header holds the listed members and no other."
#define ONE_SUITE "There is one algorithm suite; nothing else is accepted."
#define STRICT_JSON "JSON has no duplicate members, and nothing stands behind the object."
#define PADDED "The plaintext is the JWS padded on the right with 0x20 to exactly 2048 or 4096 bytes."
#define B64U "base64url has no padding, and unused bits are 0."

const struct negative negative_requests[] = {
        /* the sealed text */
        PROTECTED("crit", "{\"cty\"", "{\"crit\":[\"exp\"],\"exp\":1,\"cty\"", ONE_HEADER),
        PROTECTED("zip", "GCM\",", "GCM\",\"zip\":\"DEF\",", ONE_HEADER),
        PROTECTED("missing_cty", "\"cty\":\"JWT\",", "", ONE_HEADER),
        PROTECTED("other_typ", "postern-request+jwe", "postern-verdict+jwe", ONE_HEADER),
        PROTECTED("cbc", "A256GCM", "A256CBC-HS512", ONE_HEADER),
        PROTECTED("aes128", "A256GCM", "A128GCM", ONE_HEADER),
        PROTECTED("alg_in_the_header", "{\"cty\"", "{\"alg\":\"ECDH-ES+A256KW\",\"cty\"", ONE_HEADER),
        PROTECTED("duplicate_in_protected", "{\"cty\"", "{\"cty\":\"JWT\",\"cty\"", ONE_HEADER),
        PROTECTED("blank_in_protected", "JWT\",\"enc\"", "JWT\", \"enc\"", ONE_HEADER),
        PROTECTED("members_in_another_order", "{\"cty\":\"JWT\",\"enc\":\"A256GCM\",",
                  "{\"enc\":\"A256GCM\",\"cty\":\"JWT\",", ONE_HEADER),
        SPECIAL("header_that_is_no_base64_of_it", LAYER_SEALED, text_other_header, ONE_HEADER),
        {.name = "epk_not_on_curve",
         .layer = LAYER_LINE,
         .from = "@y:ephemeral 1@",
         .to = "@x:ephemeral 1@",
         .expect = BAD,
         .rule = "A point is on P-256."},
        {.name = "epk_of_31_bytes",
         .layer = LAYER_LINE,
         .from = ".@x:ephemeral 1@",
         .to = ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         .expect = BAD,
         .rule = LENGTHS},
        SPECIAL("json", LAYER_SEALED, text_as_json, FORM),
        SPECIAL("behind_the_last_line", LAYER_SEALED, text_behind, FORM),
        SPECIAL("last_line_without_its_end", LAYER_SEALED, text_without_last_end, FORM),
        SPECIAL("carriage_return", LAYER_SEALED, text_cr, FORM),
        SPECIAL("blank", LAYER_SEALED, text_blank, FORM),
        SPECIAL("line_end_for_a_dot", LAYER_SEALED, text_end_for_a_dot, FORM),
        SPECIAL("dot_for_a_line_end", LAYER_SEALED, text_dot_for_an_end, FORM),
        SPECIAL("shared_line_behind", LAYER_SEALED, text_turned, FORM),
        SPECIAL("too_large", LAYER_SEALED, text_large, "A request has at most 7076 bytes."),
        SPECIAL("kid_twice", LAYER_SEALED, text_kid_twice, "No kid is repeated among the recipients."),
        SPECIAL("nobody", LAYER_SEALED, text_shared_alone, "A request has one to eight recipients."),
        SPECIAL("nine_recipients", LAYER_SEALED, text_nine, "A request has one to eight recipients."),
        SPECIAL("wrong_tag", LAYER_SEALED, text_tag, "What does not decrypt is declined."),
        SPECIAL("changed_ciphertext", LAYER_SEALED, text_ciphertext, "What does not decrypt is declined."),
        SPECIAL("changed_encrypted_key", LAYER_SEALED, text_wrapped, "What does not decrypt is declined."),
        SPECIAL("iv_of_16_bytes", LAYER_SEALED, text_iv_16, LENGTHS),
        SPECIAL("base64_padding", LAYER_SEALED, text_padding, B64U),
        SPECIAL("base64_alphabet", LAYER_SEALED, text_plus, B64U),
        SPECIAL("loose_bits_in_kid", LAYER_SEALED, text_loose_bits, B64U),
        {.name = "unknown_key",
         .layer = LAYER_LINE,
         .from = "@kid:berlin-1-enc@",
         .to = "@kid:stranger@",
         .alone = 1,
         .expect = "declined stale_key",
         .rule = "A request sealed to a key that the connector does not hold is declined stale_key."},
        {.name = "kid_of_another_key",
         .layer = LAYER_LINE,
         .from = "@kid:berlin-1-enc@",
         .to = "@kid:berlin-2-enc@",
         .alone = 1,
         .expect = "declined stale_key",
         .rule = "A request sealed to a key that the connector does not hold is declined stale_key."},
        /* padding */
        SPECIAL("padded_to_2047", LAYER_PLAIN, plain_short, PADDED),
        SPECIAL("padded_to_2049", LAYER_PLAIN, plain_long, PADDED),
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
        SPECIAL("short_signature", LAYER_JWS, jws_short_signature, "An ES256 signature has 64 bytes, r and s."),
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
        CLAIM("unknown_operation", "\"client\":", "\"op\":\"read-mail\",\"client\":", "reason operation_unknown",
              "op is an operation that the connector knows."),
        CLAIM("new_password_in_a_sign_in", "\"client\":", "\"new_password\":\"another\",\"client\":",
              "declined bad_request", "new_password stands with op change-password, and only there."),
        CLAIM("change_without_a_new_password", "\"client\":", "\"op\":\"change-password\",\"client\":",
              "declined bad_request", "new_password stands with op change-password, and only there."),
        CLAIM("empty_password", "\"password\":\"" PASSWORD "\"", "\"password\":\"\"", "reason empty_password",
              "An empty password is refused before any DC is asked."),
        CLAIM("nul_in_password", "\"password\":\"correct", "\"password\":\"\\u0000correct", "reason bad_password_form",
              "A password with NUL is refused before any DC is asked."),
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
        CLAIM("duplicate_claim", "{\"v\":1,", "{\"v\":1,\"username\":\"bob@corp.example\",", BAD, STRICT_JSON),
        SPECIAL("missing_rk", LAYER_CLAIMS, claims_without_rk, "Claims hold every required member."),
        CLAIM("fraction", "\"iat\":1767225600,", "\"iat\":1767225600.0,", BAD, "Times are integers."),
        CLAIM("over_60_s", "\"exp\":1767225660", "\"exp\":1767225661", BAD, "A request lives at most 60 s."),
        CLAIM("ends_at_once", "\"exp\":1767225660", "\"exp\":1767225600", BAD, "exp lies behind iat."),
        CLAIM("to_nobody", "\"to\":[\"@kid:berlin-1@\",\"@kid:berlin-2@\"]", "\"to\":[]", BAD,
              "to names one to eight kids."),
        CLAIM("to_twice", "\"to\":[\"@kid:berlin-1@\",", "\"to\":[\"@kid:berlin-1@\",\"@kid:berlin-1@\",", BAD,
              "to names no kid twice."),
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
