/*
 * Members that are missing, of another type, or over their limits: one row for each that PROTOCOL.md lists, so that a
 * reader who leaves out any one check is told. tests/interop/mutants.mjs takes the checks of another implementation
 * away in turn.
 */
#include <string.h>

#include "tests/vectors/negative.h"
#include "tests/vectors/world.h"

#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define HUNDRED FIFTY FIFTY

#define MEMBERS "Objects hold exactly the members that are listed."
#define TYPES "A member is of the type that is listed."
#define LENGTHS "Texts keep to the lengths and letters that are listed."
#define COUNTS "Arrays keep to the counts that are listed."
#define INTEGERS "Integers are written as integers and are at most 2^53 - 1."
#define JSON "JSON is one object, UTF-8, strictly as RFC 8259 has it."
#define WORDS "A word is one of those that are listed."
#define KEYS "A public key is kty EC, crv P-256, x and y of 32 bytes each."

#define FAULT(layer_, expect_, name_, path_, to_, rule_)                                                               \
        {                                                                                                              \
                .name = name_, .layer = layer_, .path = path_, .to = to_, .expect = expect_, .rule = rule_             \
        }
#define TEXT(layer_, expect_, name_, from_, to_, rule_)                                                                \
        {                                                                                                              \
                .name = name_, .layer = layer_, .from = from_, .to = to_, .expect = expect_, .rule = rule_             \
        }

#define BLANKS "Blanks may stand before, behind and between tokens."
#define HEADER_LONG "A decoded header has at most 1024 bytes."

/* Blanks that JSON allows, so that nothing but the length is wrong. */
static char *long_header(const char *header)
{
        return pool_text("{%*s%s", 1024, "", header + 1);
}

#define LONG_HEADER(layer_, expect_, name_)                                                                            \
        {                                                                                                              \
                .name = name_, .layer = layer_, .special = long_header, .expect = expect_, .rule = HEADER_LONG         \
        }

static char *removed_of_513(const char *payload)
{
        const char *list = "[";
        uint8_t hash[32];

        for (int i = 0; i < 513; i++) {
                fixed_bytes(pool_text("removed %d", i), hash, sizeof(hash));
                list = pool_text("%s%s\"%s\"", list, i ? "," : "", text_b64u(hash, sizeof(hash)));
        }
        return json_with(payload, "removed", pool_text("%s]", list));
}

#define R(...) FAULT(LAYER_CLAIMS, "malformed", __VA_ARGS__)
#define RIGHT_R(...) FAULT(LAYER_CLAIMS, "accepted", __VA_ARGS__)
#define R_HEADER(...) FAULT(LAYER_HEADER, "malformed", __VA_ARGS__)
#define R_TEXT(...) TEXT(LAYER_CLAIMS, "malformed", __VA_ARGS__)

#define DOMAIN(name_, suffixes_, netbios_) "{\"name\":" name_ ",\"suffixes\":" suffixes_ ",\"netbios\":" netbios_ "}"
/* A domain that nothing else in the roster names, at the end of the list. */
#define R_DOMAIN(name_, entry_, rule_) R(name_, "domains/2", entry_, rule_)
#define LABEL FIFTY TEN "012" /* 63 bytes */

static char *domains_of_65(const char *payload)
{
        for (int i = 2; i < 65; i++)
                payload = json_with(payload, pool_text("domains/%d", i),
                                    pool_text(DOMAIN("\"d%02d.example\"", "[]", "[]"), i));
        return pool_text("%s", payload);
}

/* A list of so many names. */
static char *names_of_65(const char *payload, const char *path)
{
        const char *list = "[";

        for (int i = 0; i < 65; i++)
                list = pool_text("%s%s\"n%02d\"", list, i ? "," : "", i);
        return json_with(payload, path, pool_text("%s]", list));
}

static char *suffixes_of_65(const char *payload)
{
        return names_of_65(payload, "domains/0/suffixes");
}

static char *netbios_of_65(const char *payload)
{
        return names_of_65(payload, "domains/1/netbios");
}

static char *twice(const char *object)
{
        return pool_text("%s{}", object);
}

static char *among_blanks(const char *object)
{
        return pool_text(" \t\r\n{ %.*s\n}\r\n\t ", (int)strlen(object) - 2, object + 1);
}

const struct negative negative_roster_members[] = {
        LONG_HEADER(LAYER_HEADER, "malformed", "header_long"),
        R_HEADER("header_kid_short", "kid", "\"AAAA\"", LENGTHS),
        R_HEADER("header_kid_number", "kid", "7", TYPES),
        R_HEADER("header_without_kid", "kid", NULL, MEMBERS),
        R("without_seq", "seq", NULL, MEMBERS),
        R("without_iat", "iat", NULL, MEMBERS),
        R("without_exp", "exp", NULL, MEMBERS),
        R("without_tenant", "tenant", NULL, MEMBERS),
        R("without_connectors", "connectors", NULL, MEMBERS),
        R("without_services", "services", NULL, MEMBERS),
        R("without_removed", "removed", NULL, MEMBERS),
        R("seq_text", "seq", "\"7\"", TYPES),
        R("seq_exponent", "seq", "7e0", INTEGERS),
        R("seq_fraction", "seq", "7.0", INTEGERS),
        R("seq_over_2_53", "seq", "9007199254740992", INTEGERS),
        R("seq_negative", "seq", "-7", INTEGERS),
        R("iat_text", "iat", "\"1767222000\"", TYPES),
        R("exp_text", "exp", "\"1769814000\"", TYPES),
        R("exp_is_iat", "exp", "1767222000", "exp lies behind iat."),
        R("tenant_number", "tenant", "7", TYPES),
        R("tenant_empty", "tenant", "\"\"", LENGTHS),
        R("tenant_of_65", "tenant", "\"" FIFTY TEN "01234\"", LENGTHS),
        R("tenant_capital", "tenant", "\"Contoso\"", LENGTHS),
        R("connectors_object", "connectors", "{}", TYPES),
        R("services_text", "services", "\"\"", TYPES),
        R("removed_text", "removed", "\"\"", TYPES),
        R("removed_number", "removed/0", "7", TYPES),
        {.name = "removed_of_513",
         .layer = LAYER_CLAIMS,
         .special = removed_of_513,
         .expect = "malformed",
         .rule = COUNTS},
        R("removed_short_kid", "removed/0", "\"AAAA\"", LENGTHS),
        R("domains_object", "domains", "{}", TYPES),
        {.name = "domains_of_65",
         .layer = LAYER_CLAIMS,
         .special = domains_of_65,
         .expect = "malformed",
         .rule = COUNTS},
        {.name = "suffixes_of_65",
         .layer = LAYER_CLAIMS,
         .special = suffixes_of_65,
         .expect = "malformed",
         .rule = COUNTS},
        {.name = "netbios_of_65",
         .layer = LAYER_CLAIMS,
         .special = netbios_of_65,
         .expect = "malformed",
         .rule = COUNTS},
        R_DOMAIN("domain_of_one_label", DOMAIN("\"example\"", "[]", "[]"), "A domain's name is a DNS name with a dot."),
        R_DOMAIN("domain_of_254", DOMAIN("\"" LABEL "." LABEL "." LABEL "." FIFTY TEN "01\"", "[]", "[]"), LENGTHS),
        R_DOMAIN("domain_label_of_64", DOMAIN("\"" LABEL "3.example\"", "[]", "[]"), LENGTHS),
        R_DOMAIN("domain_name_number", DOMAIN("7", "[]", "[]"), TYPES),
        R_DOMAIN("domain_suffixes_text", DOMAIN("\"third.example\"", "\"\"", "[]"), TYPES),
        R_DOMAIN("domain_netbios_text", DOMAIN("\"third.example\"", "[]", "\"\""), TYPES),
        R_DOMAIN("suffix_empty", DOMAIN("\"third.example\"", "[\"\"]", "[]"), LENGTHS),
        R_DOMAIN("suffix_of_256", DOMAIN("\"third.example\"", "[\"" HUNDRED HUNDRED FIFTY "012345\"]", "[]"), LENGTHS),
        R_DOMAIN("netbios_of_256", DOMAIN("\"third.example\"", "[]", "[\"" HUNDRED HUNDRED FIFTY "012345\"]"), LENGTHS),
        R_DOMAIN("netbios_number", DOMAIN("\"third.example\"", "[]", "[7]"), TYPES),
        R_DOMAIN("netbios_with_blank", DOMAIN("\"third.example\"", "[]", "[\"A B\"]"), LENGTHS),
        R("connector_domains_object", "connectors/0/domains", "{}", TYPES),
        R("role_of_32", "services/0/role", "\"" TEN TEN TEN "01\"", LENGTHS),
        R("member_without_name", "connectors/0/name", NULL, MEMBERS),
        R("member_with_more", "connectors/0/note", "\"\"", MEMBERS),
        R("member_is_no_object", "services/0", "7", TYPES),
        R("id_short", "connectors/1/id", "\"conn-berlin-2\"", LENGTHS),
        R("id_of_65", "connectors/1/id", "\"" FIFTY TEN "01234\"", LENGTHS),
        R("id_underscore", "connectors/1/id", "\"conn_berlin_2_8TN3XV5R\"", LENGTHS),
        R("id_number", "connectors/1/id", "7", TYPES),
        R("id_twice", "connectors/1/id", "\"" BERLIN_1 "\"", "No id, name or key stands in a roster twice."),
        R("id_twice_across", "services/0/id", "\"" BERLIN_1 "\"", "No id, name or key stands in a roster twice."),
        R("name_twice", "connectors/1/name", "\"berlin-1\"", "No id, name or key stands in a roster twice."),
        R("name_empty", "connectors/0/name", "\"\"", LENGTHS),
        R("name_of_65_bytes", "connectors/0/name", "\"" FIFTY TEN "012\u00e9\"", LENGTHS),
        R("name_with_control", "connectors/0/name", "\"berlin\\u0007\"", LENGTHS),
        R("name_with_del", "connectors/0/name", "\"berlin\\u007f\"", LENGTHS),
        R("name_number", "connectors/0/name", "7", TYPES),
        R("name_with_lone_surrogate", "connectors/0/name", "\"\\ud800\"", JSON),
        R("key_kty", "services/0/jwk/kty", "\"OKP\"", KEYS),
        R("key_crv", "services/0/jwk/crv", "\"P-384\"", KEYS),
        R("key_without_crv", "services/0/jwk/crv", NULL, KEYS),
        R("key_short_x", "services/0/jwk/x", "\"AAAA\"", KEYS),
        R("key_short_y", "services/0/jwk/y", "\"AAAA\"", KEYS),
        R("key_use", "services/0/jwk/use", "\"sig\"", KEYS),
        R("key_is_no_object", "services/0/jwk", "[]", TYPES),
        R_TEXT("semicolon", "\"contoso\",", "\"contoso\";", JSON),
        R_TEXT("bare_word", "\"contoso\",", "contoso,", JSON),
        R_TEXT("leading_zero", "\"seq\":7", "\"seq\":07", JSON),
        R_TEXT("trailing_comma", "\"seq\":7,", "\"seq\":7,,", JSON),
        R_TEXT("byte_order_mark", "{\"v\":2,", "\xef\xbb\xbf{\"v\":2,", JSON),
        R_TEXT("no_break_space", "{\"v\":2,", "{\xc2\xa0\"v\":2,", JSON),
        R_TEXT("form_feed", "{\"v\":2,", "{\f\"v\":2,", JSON),
        R("surrogate_in_utf8", "connectors/0/name", "\"\xed\xa0\x80\"", JSON),
        R("name_with_nul", "connectors/0/name", "\"berlin\\u0000\"",
          "Only username, password and new_password may hold NUL."),
        R_TEXT("duplicate_by_an_escape", "\"seq\":7,", "\"seq\":7,\"s\\u0065q\":7,", JSON),
        {.name = "behind_the_object", .layer = LAYER_CLAIMS, .special = twice, .expect = "malformed", .rule = JSON},
        {.name = "blanks_around", .layer = LAYER_CLAIMS, .special = among_blanks, .expect = "accepted", .rule = BLANKS},
        RIGHT_R("surrogate_pair", "connectors/0/name", "\"berlin \\ud83d\\ude80\"", "Surrogates come in pairs."),
        RIGHT_R("name_of_c1_controls", "connectors/0/name", "\"berlin\\u0085\"",
                "Control characters are U+0000 to U+001F and U+007F."),
        {.name = "member_name_with_an_escape",
         .layer = LAYER_CLAIMS,
         .from = "\"tenant\":",
         .to = "\"\\u0074enant\":",
         .expect = "accepted",
         .rule = "Two spellings of one name are one member."},
        {.name = NULL},
};

#define S(...) FAULT(LAYER_CLAIMS, "malformed", __VA_ARGS__)
#define S_SIGN(name_, path_, to_, rule_)                                                                               \
        {                                                                                                              \
                .name = name_, .layer = LAYER_CLAIMS, .path = path_, .to = to_, .expect = "malformed", .rule = rule_,  \
                .signing = 1                                                                                           \
        }
#define NAMES_65                                                                                                       \
        "[\"a.x\",\"b.x\",\"c.x\",\"d.x\",\"e.x\",\"f.x\",\"g.x\",\"h.x\",\"i.x\",\"j.x\",\"k.x\",\"l.x\",\"m.x\","    \
        "\"n.x\",\"o.x\",\"p.x\",\"q.x\","                                                                             \
        "\"a.y\",\"b.y\",\"c.y\",\"d.y\",\"e.y\",\"f.y\",\"g.y\",\"h.y\",\"i.y\",\"j.y\",\"k.y\",\"l.y\",\"m.y\",\"n." \
        "y\",\"o.y\",\"p.y\",\"q.y\","                                                                                 \
        "\"a.z\",\"b.z\",\"c.z\",\"d.z\",\"e.z\",\"f.z\",\"g.z\",\"h.z\",\"i.z\",\"j.z\",\"k.z\",\"l.z\",\"m.z\",\"n." \
        "z\",\"o.z\",\"p.z\",\"q.z\","                                                                                 \
        "\"a.w\",\"b.w\",\"c.w\",\"d.w\",\"e.w\",\"f.w\",\"g.w\",\"h.w\",\"i.w\",\"j.w\",\"k.w\",\"l.w\",\"m.w\",\"n." \
        "w\"]"
#define SIGN_OF(name_)                                                                                                 \
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:" name_ "@\",\"y\":\"@y:" name_ "@\",\"kid\":\"@kid:" name_      \
        "@\",\"use\":\"sig\",\"alg\":\"ES256\",\"nbf\":1767224940,\"exp\":1767232140}"
#define ENC_OF(name_)                                                                                                  \
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:" name_ "@\",\"y\":\"@y:" name_ "@\",\"kid\":\"@kid:" name_      \
        "@\",\"use\":\"enc\",\"alg\":\"ECDH-ES+A256KW\",\"nbf\":1767224880,\"exp\":1767318600}"

/* 64 names of 200 bytes are within their own limits. */
static char *statement_long(const char *payload)
{
        const char *list = "[";

        for (int i = 0; i < 64; i++)
                list = pool_text("%s%s\"a%02d." HUNDRED FIFTY TEN TEN TEN TEN "012345\"", list, i ? "," : "", i);
        return json_with(payload, "suffixes", pool_text("%s]", list));
}

const struct negative negative_statement_members[] = {
        LONG_HEADER(LAYER_HEADER, "malformed", "header_long"),
        {.name = "over_12288_bytes",
         .layer = LAYER_CLAIMS,
         .special = statement_long,
         .expect = "malformed",
         .rule = "A statement has at most 12288 bytes."},
        S("roster_0", "roster", "0", "roster is 1 to 255."),
        S("roster_256", "roster", "256", "roster is 1 to 255."),
        S("roster_text", "roster", "\"2\"", TYPES),
        S("without_boot", "boot", NULL, MEMBERS),
        S("without_seq", "seq", NULL, MEMBERS),
        S("without_iat", "iat", NULL, MEMBERS),
        S("without_exp", "exp", NULL, MEMBERS),
        S("without_realms", "realms", NULL, MEMBERS),
        S("without_suffixes", "suffixes", NULL, MEMBERS),
        S("without_netbios", "netbios", NULL, MEMBERS),
        S("without_keys", "keys", NULL, MEMBERS),
        S("v_number", "v", "1", TYPES),
        S("v_of_none", "v", "[]", COUNTS),
        S("v_of_nine", "v", "[1,2,3,4,5,6,7,8,9]", COUNTS),
        S("v_text", "v", "[1,\"2\"]", TYPES),
        S("v_zero", "v", "[1,0]", "A version is 1 or more."),
        S("iss_short", "iss", "\"conn\"", LENGTHS),
        S("iss_number", "iss", "7", TYPES),
        S("tenant_capital", "tenant", "\"Contoso\"", LENGTHS),
        S("boot_number", "boot", "7", TYPES),
        S("boot_loose_bits", "boot", "\"thWMNUXDMofLBIrohrRMKx\"", "Unused bits of base64url are 0."),
        S("pad_of_1024", "pad", "1024", "pad is one of the two classes."),
        S("pad_text", "pad", "\"4096\"", TYPES),
        S("guard_off", "guard", "\"off\"", "guard is on or absent."),
        S("guard_number", "guard", "1", TYPES),
        S("boot_padded", "boot", "\"thWMNUXDMofLBIrohrRMKw==\"", "base64url has no padding."),
        S("seq_text", "seq", "\"1767225000\"", TYPES),
        S("iat_text", "iat", "\"1767225000\"", TYPES),
        S("exp_text", "exp", "\"1767232200\"", TYPES),
        S("exp_is_iat", "exp", "1767225000", "exp lies behind iat."),
        S("realms_text", "realms", "\"corp.example\"", TYPES),
        S("suffixes_object", "suffixes", "{}", TYPES),
        S("realms_of_65", "realms", NAMES_65, COUNTS),
        S("name_number", "suffixes", "[7]", TYPES),
        S("name_empty", "suffixes", "[\"\"]", LENGTHS),
        S("name_of_256", "suffixes", "[\"" HUNDRED HUNDRED FIFTY "012345\"]", LENGTHS),
        S("name_with_blank", "suffixes", "[\"corp example\"]", LENGTHS),
        S("name_with_at", "suffixes", "[\"a@corp.example\"]", LENGTHS),
        S("name_with_backslash", "netbios", "[\"A\\\\B\"]", LENGTHS),
        S("keys_object", "keys", "{}", TYPES),
        S("keys_of_none", "keys", "[]", COUNTS),
        S("keys_of_five", "keys",
          "[" ENC_OF("berlin-1-enc") "," ENC_OF("more 1") "," ENC_OF("more 2") "," ENC_OF("more 3") "," ENC_OF(
                  "more 4") "]",
          COUNTS),
        S("key_without_nbf", "keys/0/nbf", NULL, MEMBERS),
        S("key_nbf_text", "keys/0/nbf", "\"1767224880\"", TYPES),
        S("key_exp_text", "keys/0/exp", "\"1767318600\"", TYPES),
        S("key_exp_is_nbf", "keys/0/exp", "1767224880", "nbf is before exp."),
        S("key_alg", "keys/0/alg", "\"ECDH-ES\"", "A key's alg is ECDH-ES+A256KW."),
        S("key_crv", "keys/0/crv", "\"P-384\"", KEYS),
        S("key_is_no_object", "keys/0", "7", TYPES),
        S_SIGN("sign_of_none", "sign", "[]", COUNTS),
        S_SIGN("sign_of_three", "sign", "[" SIGN_OF("berlin-1-sign") "," SIGN_OF("more 1") "," SIGN_OF("more 2") "]",
               COUNTS),
        S_SIGN("sign_number", "sign/0", "7", TYPES),
        S_SIGN("sign_without_exp", "sign/0/exp", NULL, MEMBERS),
        {.name = NULL},
};

#define Q(...) FAULT(LAYER_CLAIMS, "declined bad_request", __VA_ARGS__)
#define Q_HEADER(...) FAULT(LAYER_HEADER, "declined bad_request", __VA_ARGS__)

#define CHANGE(name_, to_)                                                                                             \
        TEXT(LAYER_CLAIMS, "reason bad_new_password", name_,                                                           \
             "\"client\":", "\"op\":\"change-password\",\"new_password\":" to_ ",\"client\":",                         \
             "A new password that is none is answered before any DC is asked.")
const struct negative negative_request_members[] = {
        LONG_HEADER(LAYER_HEADER, "declined bad_request", "header_long"),
        Q_HEADER("header_kid_short", "kid", "\"AAAA\"", LENGTHS),
        Q("without_iss", "iss", NULL, MEMBERS),
        Q("without_aud", "aud", NULL, MEMBERS),
        Q("without_jti", "jti", NULL, MEMBERS),
        Q("without_iat", "iat", NULL, MEMBERS),
        Q("without_exp", "exp", NULL, MEMBERS),
        Q("without_to", "to", NULL, MEMBERS),
        Q("without_username", "username", NULL, MEMBERS),
        Q("without_password", "password", NULL, MEMBERS),
        Q("iss_short", "iss", "\"svc\"", LENGTHS),
        Q("iss_of_65", "iss", "\"" FIFTY TEN "01234\"", LENGTHS),
        Q("iss_with_dot", "iss", "\"svc.portal.6WJ9BHCF\"", LENGTHS),
        Q("aud_capital", "aud", "\"Contoso\"", LENGTHS),
        Q("aud_number", "aud", "7", TYPES),
        Q("jti_short", "jti", "\"req\"", LENGTHS),
        Q("iat_text", "iat", "\"1767225600\"", TYPES),
        Q("exp_text", "exp", "\"1767225660\"", TYPES),
        Q("exp_exponent", "exp", "176722566e1", INTEGERS),
        Q("to_text", "to", "\"@kid:berlin-1@\"", TYPES),
        Q("to_short_kid", "to", "[\"@kid:berlin-1@\",\"AAAA\"]", LENGTHS),
        Q("to_number", "to", "[\"@kid:berlin-1@\",7]", TYPES),
        Q("username_number", "username", "7", TYPES),
        Q("username_null", "username", "null", TYPES),
        Q("username_with_lone_surrogate", "username", "\"\\udc00\"", JSON),
        Q("password_number", "password", "7", TYPES),
        Q("password_array", "password", "[]", TYPES),
        TEXT(LAYER_CLAIMS, "declined bad_request", "new_password_number",
             "\"client\":", "\"op\":\"change-password\",\"new_password\":7,\"client\":", TYPES),
        Q("rk_of_16_bytes", "rk", "\"1ZPMZzjYBbZINvGtPaTsMA\"", LENGTHS),
        Q("rk_number", "rk", "7", TYPES),
        Q("client_text", "client", "\"203.0.113.7\"", TYPES),
        Q("client_with_more", "client/port", "\"443\"", MEMBERS),
        Q("client_ip_number", "client/ip", "7", TYPES),
        Q("client_app_with_nul", "client/app", "\"a\\u0000\"", "Only username and password may hold NUL."),
        Q("op_empty", "op", "\"\"", LENGTHS),
        Q("op_of_32", "op", "\"" TEN TEN TEN "01\"", LENGTHS),
        Q("op_capital", "op", "\"Sign-in\"", LENGTHS),
        Q("op_number", "op", "7", TYPES),
        CHANGE("new_password_with_nul", "\"a\\u0000b\""),
        CHANGE("new_password_empty", "\"\""),
        {.name = "blanks_around", .layer = LAYER_CLAIMS, .special = among_blanks, .expect = "accepted", .rule = BLANKS},
        {.name = NULL},
};

#define NO_SID(name_, to_)                                                                                             \
        {                                                                                                              \
                .name = name_, .layer = LAYER_CLAIMS, .path = "user/id", .to = to_, .no_sid = 1,                       \
                .expect = "unavailable", .rule = LENGTHS                                                               \
        }
#define V(...) FAULT(LAYER_CLAIMS, "unavailable", __VA_ARGS__)
#define RIGHT_V(...) FAULT(LAYER_CLAIMS, "accepted", __VA_ARGS__)
#define V_HEADER(...) FAULT(LAYER_HEADER, "unavailable", __VA_ARGS__)
#define V_PROTECTED(...) FAULT(LAYER_PROTECTED, "unavailable", __VA_ARGS__)

#define CLASSES "class goes with verdict: accepted none; refused credentials or policy; unavailable infrastructure."
#define RETRY "retry_after is 1 to 604800."

/* The claims with another outcome, and without what goes with accepted alone. */
static char *other_outcome(const char *claims, const char *verdict, const char *class, const char *reason)
{
        claims = json_with(json_with(claims, "user", NULL), "verdict", verdict);
        return json_with(json_with(json_with(claims, "class", class), "reason", reason), "password_proved", "false");
}

static char *refused_infrastructure(const char *claims)
{
        return other_outcome(claims, "\"refused\"", "\"infrastructure\"", "\"no_dc\"");
}

static char *unavailable_credentials(const char *claims)
{
        return other_outcome(claims, "\"unavailable\"", "\"credentials\"", "\"wrong_password\"");
}

static char *refused_for_a_while(const char *claims)
{
        return json_with(other_outcome(claims, "\"refused\"", "\"policy\"", "\"locked_out\""), "retry_after", "60");
}

static char *throttled_for_0(const char *claims)
{
        return json_with(other_outcome(claims, "\"refused\"", "\"policy\"", "\"throttled\""), "retry_after", "0");
}

static char *throttled_for_604801(const char *claims)
{
        return json_with(other_outcome(claims, "\"refused\"", "\"policy\"", "\"throttled\""), "retry_after", "604801");
}

static char *refused_proved_text(const char *claims)
{
        return json_with(other_outcome(claims, "\"refused\"", "\"policy\"", "\"disabled\""), "password_proved",
                         "\"true\"");
}

static char *refused_with_attributes(const char *claims)
{
        return json_with(other_outcome(claims, "\"refused\"", "\"policy\"", "\"disabled\""), "attributes",
                         "{\"state\":\"complete\",\"values\":{}}");
}

static char *only_spaces(const char *plain)
{
        (void)plain;
        return make_padded("", PADDED_SMALL);
}

static char *space_inside(const char *plain)
{
        return text_replaced(plain, "eyJhbGci", "eyJhbGc ");
}

static char *six_parts(const char *jwe)
{
        return pool_text("%s.AAAA", jwe);
}

const struct negative negative_verdict_members[] = {
        LONG_HEADER(LAYER_PROTECTED, "unavailable", "jwe_header_long"),
        LONG_HEADER(LAYER_HEADER, "unavailable", "header_long"),
        V_PROTECTED("jwe_cty", "cty", "\"JOSE\"", "There is one algorithm suite; nothing else is accepted."),
        V_PROTECTED("jwe_kid", "kid", "\"AAAA\"", "A header holds the listed members and no other."),
        {.name = "six_parts",
         .layer = LAYER_SEALED,
         .special = six_parts,
         .expect = "unavailable",
         .rule = "A compact JWE has five parts."},
        {.name = "only_spaces",
         .layer = LAYER_PLAIN,
         .special = only_spaces,
         .expect = "unavailable",
         .rule = "A plaintext is not all spaces."},
        {.name = "space_inside",
         .layer = LAYER_PLAIN,
         .special = space_inside,
         .expect = "unavailable",
         .rule = "A plaintext has spaces at its end alone."},
        V_HEADER("header_kid_short", "kid", "\"AAAA\"", LENGTHS),
        V("version_2", "v", "2", "v is 1."),
        V("without_iss", "iss", NULL, MEMBERS),
        V("without_aud", "aud", NULL, MEMBERS),
        V("without_tenant", "tenant", NULL, MEMBERS),
        V("without_jti", "jti", NULL, MEMBERS),
        V("without_req", "req", NULL, MEMBERS),
        V("without_iat", "iat", NULL, MEMBERS),
        V("without_exp", "exp", NULL, MEMBERS),
        V("without_verdict", "verdict", NULL, MEMBERS),
        V("without_class", "class", NULL, MEMBERS),
        V("without_reason", "reason", NULL, MEMBERS),
        V("without_password_proved", "password_proved", NULL, MEMBERS),
        V("without_may_have_counted", "may_have_counted", NULL, MEMBERS),
        V("without_t", "t", NULL, MEMBERS),
        V("unknown_class", "class", "\"other\"", WORDS),
        V("counted_number", "may_have_counted", "0", TYPES),
        V("counted_word", "may_have_counted", "\"2\"", WORDS),
        V("proved_text", "password_proved", "\"true\"", TYPES),
        V("proved_number", "password_proved", "1", TYPES),
        V("reason_empty", "reason", "\"\"", LENGTHS),
        V("reason_of_48", "reason", "\"" TEN TEN TEN TEN "01234567\"", LENGTHS),
        V("reason_number", "reason", "7", TYPES),
        V("iat_text", "iat", "\"1767225601\"", TYPES),
        V("exp_text", "exp", "\"1767225631\"", TYPES),
        V("iat_exponent", "iat", "1767225601e0", INTEGERS),
        V("dc_of_257", "dc", "\"" HUNDRED HUNDRED FIFTY "0123456\"", LENGTHS),
        V("dc_number", "dc", "7", TYPES),
        V("dc_with_nul", "dc", "\"dc1\\u0000\"", "Only username and password may hold NUL."),
        V("unknown_method", "method", "\"ntlm\"", WORDS),
        V("retry_after_text", "retry_after", "\"7\"", TYPES),
        V("user_text", "user", "\"alice\"", TYPES),
        V("user_with_more", "user/admin", "true", MEMBERS),
        V("user_without_id", "user/id", NULL, MEMBERS),
        V("user_without_domain", "user/domain", NULL, MEMBERS),
        NO_SID("user_id_empty", "\"\""), /* where a SID would be demanded, that tells, too */
        NO_SID("user_id_of_192", "\"" HUNDRED FIFTY TEN TEN TEN TEN "01\""),
        V("user_id_number", "user/id", "7", TYPES),
        V("user_upn_of_257", "user/upn", "\"" HUNDRED HUNDRED FIFTY "0123456\"", LENGTHS),
        V("user_sam_number", "user/sam", "7", TYPES),
        V("user_guid_of_37", "user/guid", "\"" TEN TEN TEN "0123456\"", LENGTHS),
        V("raw_text", "raw", "\"52e\"", TYPES),
        V("raw_with_more", "raw", "{\"smb\":\"\"}", MEMBERS),
        V("raw_number", "raw", "{\"ldap\":49}", TYPES),
        V("raw_ldap_of_64", "raw", "{\"ldap\":\"" FIFTY TEN "0123\"}", LENGTHS),
        V("raw_krb_of_32", "raw", "{\"krb\":\"" TEN TEN TEN "01\"}", LENGTHS),
        V("t_number", "t", "7", TYPES),
        V("t_with_more", "t/queue", "1", MEMBERS),
        V("t_without_total", "t/total", NULL, MEMBERS),
        V("t_text", "t/dc", "\"41\"", TYPES),
        V("t_without_opened", "t/opened", NULL, MEMBERS),
        V("t_without_dc", "t/dc", NULL, MEMBERS),
        V("t_over_2_32", "t/total", "4294967296", "The times of t are at most 2^32 - 1."),
        V("t_negative", "t/dc", "-1", INTEGERS),
        RIGHT_V("t_minus_zero", "t/dc", "-0", "-0 is 0."),
        {.name = "blanks_around", .layer = LAYER_CLAIMS, .special = among_blanks, .expect = "accepted", .rule = BLANKS},
        V("attributes_text", "attributes", "\"\"", TYPES),
        V("attributes_with_more", "attributes", "{\"state\":\"complete\",\"values\":{},\"more\":1}", MEMBERS),
        V("attributes_unknown_state", "attributes", "{\"state\":\"some\",\"values\":{}}", WORDS),
        V("attributes_without_values", "attributes", "{\"state\":\"complete\"}", MEMBERS),
        V("attributes_values_array", "attributes", "{\"state\":\"complete\",\"values\":[]}", TYPES),
        V("attributes_values_null", "attributes", "{\"state\":\"complete\",\"values\":null}", TYPES),
        V("attributes_values_text", "attributes", "{\"state\":\"complete\",\"values\":\"\"}", TYPES),
        V("attributes_of_17", "attributes",
          "{\"state\":\"complete\",\"values\":{\"a\":[\"\"],\"b\":[\"\"],\"c\":[\"\"],\"d\":[\"\"],\"e\":[\"\"],\"f\":["
          "\"\"],\"g\":[\"\"],"
          "\"h\":[\"\"],\"i\":[\"\"],\"j\":[\"\"],\"k\":[\"\"],\"l\":[\"\"],\"m\":[\"\"],\"n\":[\"\"],\"o\":[\"\"],"
          "\"p\":[\"\"],\"q\":[\"\"]}}",
          COUNTS),
        V("attribute_name", "attributes", "{\"state\":\"complete\",\"values\":{\"a b\":[\"\"]}}", LENGTHS),
        V("attribute_name_of_65", "attributes", "{\"state\":\"complete\",\"values\":{\"" FIFTY TEN "01234\":[\"\"]}}",
          LENGTHS),
        V("attribute_text", "attributes", "{\"state\":\"complete\",\"values\":{\"mail\":\"a@x\"}}", TYPES),
        V("attribute_number", "attributes", "{\"state\":\"complete\",\"values\":{\"mail\":[7]}}", TYPES),
        V("attributes_over_1600", "attributes",
          "{\"state\":\"complete\",\"values\":{\"a\":[\"" HUNDRED HUNDRED HUNDRED HUNDRED
          "\",\"" HUNDRED HUNDRED HUNDRED HUNDRED "\",\"" HUNDRED HUNDRED HUNDRED HUNDRED
          "\",\"" HUNDRED HUNDRED HUNDRED FIFTY TEN TEN TEN "01234567\",\"\"]}}",
          "All names and values together are at most 1600 bytes."),
        TEXT(LAYER_CLAIMS, "unavailable", "refused_with_a_user", "\"verdict\":\"accepted\",\"class\":\"none\"",
             "\"verdict\":\"refused\",\"class\":\"credentials\"", "user stands with accepted, and only there."),
        TEXT(LAYER_CLAIMS, "unavailable", "unavailable_of_class_policy", "\"verdict\":\"accepted\",\"class\":\"none\"",
             "\"verdict\":\"unavailable\",\"class\":\"none\"", CLASSES),
        {.name = "refused_of_class_infrastructure",
         .layer = LAYER_CLAIMS,
         .special = refused_infrastructure,
         .expect = "unavailable",
         .rule = CLASSES},
        {.name = "unavailable_of_class_credentials",
         .layer = LAYER_CLAIMS,
         .special = unavailable_credentials,
         .expect = "unavailable",
         .rule = CLASSES},
        {.name = "refused_with_attributes",
         .layer = LAYER_CLAIMS,
         .special = refused_with_attributes,
         .expect = "unavailable",
         .rule = "attributes stand with accepted, and only there."},
        {.name = "proved_text_of_a_refusal",
         .layer = LAYER_CLAIMS,
         .special = refused_proved_text,
         .expect = "unavailable",
         .rule = TYPES},
        {.name = "retry_after_of_another_reason",
         .layer = LAYER_CLAIMS,
         .special = refused_for_a_while,
         .expect = "unavailable",
         .rule = "retry_after stands with throttled, and only there."},
        {.name = "retry_after_of_zero",
         .layer = LAYER_CLAIMS,
         .special = throttled_for_0,
         .expect = "unavailable",
         .rule = RETRY},
        {.name = "retry_after_of_a_week_and_more",
         .layer = LAYER_CLAIMS,
         .special = throttled_for_604801,
         .expect = "unavailable",
         .rule = RETRY},
        {.name = NULL},
};
