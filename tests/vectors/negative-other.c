/*
 * Rosters, statements and verdicts that must be refused.
 */
#include <string.h>

#include "tests/vectors/negative.h"
#include "tests/vectors/world.h"

#define CLAIM(name_, from_, to_, expect_, rule_)                                                                       \
        {                                                                                                              \
                .name = name_, .layer = LAYER_CLAIMS, .from = from_, .to = to_, .expect = expect_, .rule = rule_       \
        }
#define HEADER(name_, from_, to_, expect_, rule_)                                                                      \
        {                                                                                                              \
                .name = name_, .layer = LAYER_HEADER, .from = from_, .to = to_, .expect = expect_, .rule = rule_       \
        }

#define UNLISTED "A header holds the listed members and no other."
#define ONE_SUITE "There is one algorithm suite; nothing else is accepted."
#define ONE_ACCOUNT "An account's SID is of the domain that the request was for."
#define DOMAIN_NAME "A domain's name is a DNS name with a dot, in small letters."
#define DOMAIN_SID "A domain's SID is S-1-5-21- and three numbers."
#define ONE_DOMAIN "No name, suffix, NetBIOS name or SID belongs to two domains."
#define PADDED "The plaintext is the JWS padded on the right with 0x20 to exactly 2048 or 4096 bytes."
#define LISTED "Claims hold the listed members and no other."

static char *without_signature(const char *jws)
{
        return pool_text("%.*s", (int)(strrchr(jws, '.') + 1 - jws), jws);
}

#define FRIDA "pers-frida-5KQ8ZD3N"
#define PERSON(id_, further_)                                                                                          \
        "{\"id\":\"" id_ "\",\"kid\":\"@kid:frida@\",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:frida@\","   \
        "\"y\":\"@y:frida@\"},\"name\":\"frida\"," further_ "}"
#define OF_CORP "\"role\":\"helpdesk\",\"domains\":[\"corp.example\"]"
#define HELPDESK OF_CORP ",\"exp\":1774998000"
#define PEOPLE(name_, people_, expect_, rule_)                                                                         \
        CLAIM(name_, "{\"v\":2,", "{\"v\":3,\"people\":[" people_ "],", expect_, rule_)

const struct negative negative_rosters[] = {
        HEADER("alg_none", "ES256", "none", "malformed", ONE_SUITE),
        HEADER("typ", "postern-roster+jwt", "postern-keys+jwt", "malformed", ONE_SUITE),
        HEADER("crit", "{\"alg\"", "{\"crit\":[\"exp\"],\"alg\"", "malformed", UNLISTED),
        {.name = "no_signature",
         .layer = LAYER_JWS,
         .special = without_signature,
         .expect = "malformed",
         .rule = "An ES256 signature has 64 bytes, r and s."},
        {.name = "wrong_pin",
         .layer = LAYER_CONTEXT,
         .pin = "other-tenant",
         .expect = "key",
         .rule = "The SPKI hash of key is the pin."},
        {.name = "other_key_inside",
         .layer = LAYER_CLAIMS,
         .from = "\"key\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:tenant@\",\"y\":\"@y:tenant@\"}",
         .to = "\"key\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:stranger@\",\"y\":\"@y:stranger@\"}",
         .signer = "stranger",
         .expect = "key",
         .rule = "The SPKI hash of key is the pin."},
        {.name = "wrong_signature",
         .layer = LAYER_CONTEXT,
         .signer = "stranger",
         .expect = "key",
         .rule = "The pinned key signed it."},
        HEADER("kid_of_another_key", "@kid:tenant@", "@kid:stranger@", "key", "kid is the tenant key's thumbprint."),
        {.name = "other_tenant",
         .layer = LAYER_CONTEXT,
         .tenant = "fabrikam",
         .expect = "tenant",
         .rule = "tenant is the expected one."},
        {.name = "expired",
         .layer = LAYER_CONTEXT,
         .later = 30 * 86400,
         .expect = "time",
         .rule = "A roster is good until 120 s after exp."},
        {.name = "from_the_future",
         .layer = LAYER_CONTEXT,
         .later = -3721,
         .expect = "time",
         .rule = "A roster is good from 120 s before iat."},
        {.name = "old_seq",
         .layer = LAYER_CONTEXT,
         .min_seq = 8,
         .expect = "seq",
         .rule = "seq is not below the highest seen."},
        CLAIM("over_30_days", "\"exp\":1769814000", "\"exp\":1769814001", "malformed",
              "A roster lives at most 30 days."),
        CLAIM("version_3_without_people", "{\"v\":2,", "{\"v\":3,", "malformed", LISTED),
        CLAIM("version_4", "{\"v\":2,", "{\"v\":4,\"people\":[],", "malformed", "v is 2 or 3."),
        CLAIM("version_1_with_domains", "{\"v\":2,", "{\"v\":1,", "malformed", "v is 2 or 3."),
        CLAIM("people_in_version_2", "{\"v\":2,", "{\"v\":2,\"people\":[],", "malformed", LISTED),
        PEOPLE("nobody", "", "accepted", "v 3 has people, of whom there may be none."),
        PEOPLE("person", PERSON(FRIDA, HELPDESK), "accepted", "A person's end is 90 days after iat at the latest."),
        PEOPLE("person_of_no_domain", PERSON(FRIDA, "\"role\":\"helpdesk\",\"domains\":[],\"exp\":1"), "accepted",
               "A person's list of domains may be empty, and the end may be over."),
        PEOPLE("person_over_90_days", PERSON(FRIDA, OF_CORP ",\"exp\":1774998001"), "malformed",
               "A person's end is 90 days after iat at the latest."),
        PEOPLE("person_without_end", PERSON(FRIDA, OF_CORP), "malformed", LISTED),
        PEOPLE("person_until_0", PERSON(FRIDA, OF_CORP ",\"exp\":0"), "malformed", "A person's end is 1 at least."),
        PEOPLE("person_until_text", PERSON(FRIDA, OF_CORP ",\"exp\":\"1774998000\""), "malformed",
               "A member is of the type that is listed."),
        PEOPLE("person_without_role", PERSON(FRIDA, "\"domains\":[],\"exp\":1774998000"), "malformed", LISTED),
        PEOPLE("person_without_domains", PERSON(FRIDA, "\"role\":\"helpdesk\",\"exp\":1774998000"), "malformed",
               LISTED),
        PEOPLE("person_with_more", PERSON(FRIDA, HELPDESK ",\"note\":\"\""), "malformed", LISTED),
        PEOPLE("person_role_in_capitals", PERSON(FRIDA, "\"role\":\"Helpdesk\",\"domains\":[],\"exp\":1774998000"),
               "malformed", "A role is 1 to 31 of a-z, 0-9 and -."),
        PEOPLE("person_of_an_unknown_domain",
               PERSON(FRIDA, "\"role\":\"helpdesk\",\"domains\":[\"else.example\"],\"exp\":1774998000"), "malformed",
               "A person's domains are the roster's, each once."),
        PEOPLE("person_of_a_domain_twice",
               PERSON(FRIDA,
                      "\"role\":\"helpdesk\",\"domains\":[\"corp.example\",\"corp.example\"],\"exp\":1774998000"),
               "malformed", "A person's domains are the roster's, each once."),
        PEOPLE("person_with_a_services_id", PERSON(PORTAL, HELPDESK), "malformed",
               "No id, name or key stands in a roster twice."),
        PEOPLE("person_is_no_object", "7", "malformed", "A member is of the type that is listed."),
        CLAIM("people_object", "{\"v\":2,", "{\"v\":3,\"people\":{},", "malformed",
              "A member is of the type that is listed."),
        CLAIM("unknown_member", "{\"v\":2,", "{\"v\":2,\"note\":\"\",", "malformed", LISTED),
        CLAIM("member_kid", "\"kid\":\"@kid:berlin-1@\"", "\"kid\":\"@kid:stranger@\"", "malformed",
              "A kid is the thumbprint of its jwk."),
        CLAIM("member_private_key", "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:portal@\"",
              "\"jwk\":{\"d\":\"AAAA\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"@x:portal@\"", "malformed",
              "A public key holds kty, crv, x and y alone."),
        CLAIM("key_twice", "\"removed\":[\"@kid:berlin-0@\"]", "\"removed\":[\"@kid:berlin-2@\"]", "malformed",
              "No id, name or key stands in a roster twice; a removed key in no list."),
        CLAIM("point_not_on_curve", "\"y\":\"@y:portal@\"", "\"y\":\"@x:portal@\"", "malformed",
              "A point is on P-256."),
        CLAIM("no_domains", "\"domains\":[{\"name\":\"corp.example\"", "\"domainz\":[{\"name\":\"corp.example\"",
              "malformed", LISTED),
        CLAIM("of_a_sandbox", "{\"v\":2,", "{\"v\":2,\"kind\":\"sandbox\",", "kind",
              "A reader that was not set to speak to a sandbox takes none of its rosters."),
        CLAIM("unknown_kind", "{\"v\":2,", "{\"v\":2,\"kind\":\"test\",", "malformed", "kind is sandbox or absent."),
        CLAIM("domain_without_dot", "{\"name\":\"partner.example\"", "{\"name\":\"partner\"", "malformed", DOMAIN_NAME),
        CLAIM("domain_in_capitals", "{\"name\":\"partner.example\"", "{\"name\":\"Partner.example\"", "malformed",
              DOMAIN_NAME),
        CLAIM("domain_twice", "{\"name\":\"partner.example\"", "{\"name\":\"corp.example\"", "malformed", ONE_DOMAIN),
        CLAIM("suffix_of_two_domains", "\"suffixes\":[],", "\"suffixes\":[\"corp.com\"],", "malformed", ONE_DOMAIN),
        CLAIM("suffix_is_another_domain", "\"suffixes\":[],", "\"suffixes\":[\"corp.example\"],", "malformed",
              ONE_DOMAIN),
        CLAIM("suffix_in_capitals", "\"suffixes\":[],", "\"suffixes\":[\"Partner.com\"],", "malformed",
              "Suffixes have no A to Z."),
        CLAIM("suffix_with_at", "\"suffixes\":[],", "\"suffixes\":[\"a@partner.com\"],", "malformed",
              "A name holds nothing that separates or quotes names."),
        CLAIM("netbios_of_two_domains", "[\"PARTNER\"]", "[\"corp\"]", "malformed", ONE_DOMAIN),
        CLAIM("sid_of_two_domains", "\"" PARTNER_SID "\"", "\"" CORP_SID "\"", "malformed", ONE_DOMAIN),
        CLAIM("sid_of_an_account", "\"" PARTNER_SID "\"", "\"" PARTNER_SID "-500\"", "malformed", DOMAIN_SID),
        CLAIM("sid_of_another_authority", "\"sid\":\"S-1-5-21-2052111302", "\"sid\":\"S-1-5-32-2052111302", "malformed",
              DOMAIN_SID),
        CLAIM("sid_with_leading_zero", "-725345543\"", "-0725345543\"", "malformed", DOMAIN_SID),
        CLAIM("two_defaults", "[\"PARTNER\"]", "[\"PARTNER\"],\"default\":true", "malformed",
              "One domain at most is the default."),
        CLAIM("default_false", "\"default\":true", "\"default\":false", "malformed", "default is true or absent."),
        CLAIM("domain_member", "[\"PARTNER\"]", "[\"PARTNER\"],\"realm\":\"X\"", "malformed", LISTED),
        CLAIM("connector_without_domains", ",\"domains\":[\"corp.example\"]}", "}", "malformed", LISTED),
        CLAIM("connector_of_an_unknown_domain", "\"domains\":[\"corp.example\"]}", "\"domains\":[\"else.example\"]}",
              "malformed", "A connector's domains are the roster's, each once."),
        CLAIM("connector_of_a_domain_twice", "\"domains\":[\"corp.example\"]}",
              "\"domains\":[\"corp.example\",\"corp.example\"]}", "malformed",
              "A connector's domains are the roster's, each once."),
        CLAIM("service_without_role", ",\"role\":\"sign-in\"", "", "malformed", LISTED),
        CLAIM("role_in_capitals", "\"role\":\"sign-in\"", "\"role\":\"Sign-In\"", "malformed",
              "A role is 1 to 31 of a-z, 0-9 and -."),
        {.name = NULL},
};

#define SIGN_KEY(name_) "\"x\":\"@x:" name_ "@\",\"y\":\"@y:" name_ "@\",\"kid\":\"@kid:" name_ "@\""
#define SIGN(name_, from_, to_, rule_)                                                                                 \
        {                                                                                                              \
                .name = name_, .layer = LAYER_CLAIMS, .from = from_, .to = to_, .expect = "malformed", .rule = rule_,  \
                .signing = 1                                                                                           \
        }

const struct negative negative_statements[] = {
        HEADER("typ", "postern-keys+jwt", "postern-roster+jwt", "malformed", ONE_SUITE),
        {.name = "wrong_signature",
         .layer = LAYER_CONTEXT,
         .signer = "stranger",
         .expect = "key",
         .rule = "The identity key of the roster signed it."},
        {.name = "connector_not_in_roster",
         .layer = LAYER_HEADER,
         .from = "@kid:berlin-1@",
         .to = "@kid:stranger@",
         .signer = "stranger",
         .expect = "unknown",
         .rule = "A statement by a key that is no connector of the roster is left out."},
        {.name = "signed_by_a_service",
         .layer = LAYER_HEADER,
         .from = "@kid:berlin-1@",
         .to = "@kid:portal@",
         .signer = "portal",
         .expect = "unknown",
         .rule = "A service of the roster is no connector."},
        CLAIM("other_connector", "\"iss\":\"" BERLIN_1 "\"", "\"iss\":\"" BERLIN_2 "\"", "tenant",
              "iss is the roster's id of the key."),
        CLAIM("other_tenant", "\"tenant\":\"" TENANT "\"", "\"tenant\":\"fabrikam\"", "tenant",
              "tenant is the expected one."),
        CLAIM("over_2_hours", "\"exp\":1767232200,\"roster\":3,\"realms\"", "\"exp\":1767232201,\"realms\"",
              "malformed", "A statement lives at most 7200 s."),
        {.name = "expired",
         .layer = LAYER_CONTEXT,
         .later = 6600 + 121,
         .expect = "time",
         .rule = "A statement is good until 120 s after exp."},
        {.name = "from_the_future",
         .layer = LAYER_CONTEXT,
         .later = -600 - 121,
         .expect = "time",
         .rule = "A statement is good from 120 s before iat."},
        CLAIM("other_version", "\"v\":[1]", "\"v\":[2]", "malformed", "v holds 1."),
        CLAIM("unknown_member", "{\"v\":", "{\"note\":\"\",\"v\":", "malformed", LISTED),
        CLAIM("key_ops", "\"use\":\"enc\"", "\"key_ops\":[\"deriveBits\"],\"use\":\"enc\"", "malformed",
              "A key has no key_ops."),
        CLAIM("key_for_signing", "\"use\":\"enc\"", "\"use\":\"sig\"", "malformed", "A key's use is enc."),
        CLAIM("key_kid", "\"kid\":\"@kid:berlin-1-enc@\"", "\"kid\":\"@kid:stranger@\"", "malformed",
              "A kid is the thumbprint of its key."),
        CLAIM("identity_key", "\"x\":\"@x:berlin-1-enc@\",\"y\":\"@y:berlin-1-enc@\",\"kid\":\"@kid:berlin-1-enc@\"",
              "\"x\":\"@x:berlin-1@\",\"y\":\"@y:berlin-1@\",\"kid\":\"@kid:berlin-1@\"", "malformed",
              "An identity key signs and is no encryption key."),
        CLAIM("short_boot", "\"boot\":\"", "\"boot\":\"AA", "malformed", "boot is the base64url form of 16 bytes."),
        SIGN("sign_outlives_the_statement", "\"nbf\":1767224940,\"exp\":1767232140",
             "\"nbf\":1767225001,\"exp\":1767232201", "A signing key ends with its statement, or before."),
        SIGN("sign_over_2_hours", "\"nbf\":1767224940", "\"nbf\":1767224939", "A signing key lives at most 7200 s."),
        SIGN("sign_ends_before_it_begins", "\"nbf\":1767224940", "\"nbf\":1767232140", "nbf is before exp."),
        SIGN("sign_for_encryption", "\"use\":\"sig\"", "\"use\":\"enc\"", "A signing key's use is sig."),
        SIGN("sign_other_alg", "\"ES256\"", "\"ECDH-ES+A256KW\"", "A signing key's alg is ES256."),
        SIGN("sign_key_ops", "\"use\":\"sig\"", "\"key_ops\":[\"verify\"],\"use\":\"sig\"", "A key has no key_ops."),
        SIGN("sign_kid", "\"kid\":\"@kid:berlin-1-sign@\"", "\"kid\":\"@kid:stranger@\"",
             "A kid is the thumbprint of its key."),
        SIGN("sign_identity_key", SIGN_KEY("berlin-1-sign"), SIGN_KEY("berlin-1"),
             "An identity key is no signing key."),
        SIGN("sign_encryption_key", SIGN_KEY("berlin-1-sign"), SIGN_KEY("berlin-1-enc"),
             "No key stands in a statement twice."),
        SIGN("sign_that_is_no_array", "\"sign\":[", "\"sign\":{},\"more\":[", LISTED),
        {.name = NULL},
};

static char *tag_changed(const char *jwe)
{
        char *copy = pool_text("%s", jwe), *at = strrchr(copy, '.') + 1;

        *at = *at == 'A' ? 'B' : 'A';
        return copy;
}

static char *with_encrypted_key(const char *jwe)
{
        const char *dots = strstr(jwe, "..");

        return pool_text("%.*s.AAAA%s", (int)(dots - jwe), jwe, dots + 1);
}

static char *under_another_rk(const char *jwe)
{
        const struct world *w = world();
        uint8_t rk[32];

        (void)jwe;
        fixed_bytes("another rk", rk, sizeof(rk));
        return make_jwe_dir(rk, w->verdict_jwe_header, "another rk", make_padded(w->verdicts[0].jws, PADDED_SMALL),
                            PADDED_SMALL);
}

static char *hash_of_another(const char *claims)
{
        return text_replaced(claims, world()->req, request_hash_of("another"));
}

static char *plain_unpadded(const char *plain)
{
        return pool_text("%.*s", (int)(strchr(plain, ' ') - plain), plain);
}

#define JWE_HEADER(name_, from_, to_, rule_)                                                                           \
        {                                                                                                              \
                .name = name_, .layer = LAYER_PROTECTED, .from = from_, .to = to_, .expect = "unavailable",            \
                .rule = rule_                                                                                          \
        }
#define VERDICT(name_, from_, to_, rule_) CLAIM(name_, from_, to_, "unavailable", rule_)

const struct negative negative_verdicts[] = {
        JWE_HEADER("alg", "\"dir\"", "\"A256GCMKW\"", ONE_SUITE),
        JWE_HEADER("enc", "A256GCM", "A256CBC-HS512", ONE_SUITE),
        JWE_HEADER("jwe_typ", "postern-verdict+jwe", "postern-request+jwe", ONE_SUITE),
        JWE_HEADER("crit", "{\"alg\"", "{\"crit\":[\"exp\"],\"alg\"", UNLISTED),
        JWE_HEADER("zip", "{\"alg\"", "{\"zip\":\"DEF\",\"alg\"", UNLISTED),
        JWE_HEADER("missing_cty", ",\"cty\":\"JWT\"", "", UNLISTED),
        {.name = "wrong_tag",
         .layer = LAYER_SEALED,
         .special = tag_changed,
         .expect = "unavailable",
         .rule = "rk opens the verdict."},
        {.name = "wrong_rk",
         .layer = LAYER_SEALED,
         .special = under_another_rk,
         .expect = "unavailable",
         .rule = "rk opens the verdict."},
        {.name = "encrypted_key",
         .layer = LAYER_SEALED,
         .special = with_encrypted_key,
         .expect = "unavailable",
         .rule = "With dir the encrypted key is empty."},
        {.name = "unpadded", .layer = LAYER_PLAIN, .special = plain_unpadded, .expect = "unavailable", .rule = PADDED},
        {.name = "other_class",
         .layer = LAYER_CONTEXT,
         .large = 1,
         .expect = "unavailable",
         .rule = "A verdict has the class of padding that its request had."},
        HEADER("alg_none", "ES256", "none", "unavailable", ONE_SUITE),
        HEADER("typ", "postern-verdict+jwt", "JWT", "unavailable", ONE_SUITE),
        {.name = "wrong_signature",
         .layer = LAYER_CONTEXT,
         .signer = "stranger",
         .expect = "unavailable",
         .rule = "A connector that the request was sealed to signed it."},
        {.name = "signed_by_a_stranger",
         .layer = LAYER_HEADER,
         .from = "@kid:berlin-1@",
         .to = "@kid:stranger@",
         .signer = "stranger",
         .expect = "unavailable",
         .rule = "A connector that the request was sealed to signed it."},
        {.name = "signed_by_the_service",
         .layer = LAYER_HEADER,
         .from = "@kid:berlin-1@",
         .to = "@kid:portal@",
         .signer = "portal",
         .expect = "unavailable",
         .rule = "A connector that the request was sealed to signed it."},
        {.name = "signing_key_that_is_not_certified",
         .layer = LAYER_CONTEXT,
         .signing = 1,
         .expect = "unavailable",
         .rule = "Only a key of the statement that the request was sealed with signs in the identity's place."},
        {.name = "signing_key_that_is_over",
         .layer = LAYER_CONTEXT,
         .signing = 1,
         .certified = 1,
         .certified_exp = WORLD_NOW + 1 - 120,
         .expect = "unavailable",
         .rule = "A signing key is good until 120 s after exp."},
        {.name = "signing_key_from_the_future",
         .layer = LAYER_CONTEXT,
         .signing = 1,
         .certified = 1,
         .certified_nbf = WORLD_NOW + 1 + 121,
         .expect = "unavailable",
         .rule = "A signing key is good from 120 s before nbf."},
        {.name = "signing_key_of_another_connector",
         .layer = LAYER_CLAIMS,
         .signing = 1,
         .certified = 1,
         .from = "\"iss\":\"" BERLIN_1 "\"",
         .to = "\"iss\":\"" BERLIN_2 "\"",
         .expect = "unavailable",
         .rule = "iss is the id of the connector whose statement certifies the key."},
        {.name = "identity_signs_as_its_signing_key",
         .layer = LAYER_CONTEXT,
         .signing = 1,
         .certified = 1,
         .signer = "berlin-1",
         .expect = "unavailable",
         .rule = "The signature is of the key that kid names."},
        VERDICT("other_connector", "\"iss\":\"" BERLIN_1 "\"", "\"iss\":\"" BERLIN_2 "\"",
                "iss is the id of the connector that signed."),
        VERDICT("other_service", "\"aud\":\"" PORTAL "\"", "\"aud\":\"svc-another-00000001\"",
                "aud is the service's id."),
        VERDICT("other_tenant", "\"tenant\":\"" TENANT "\"", "\"tenant\":\"fabrikam\"",
                "tenant is the service's tenant."),
        VERDICT("other_id", "\"jti\":\"" REQUEST_ID "\"", "\"jti\":\"req-another-000000001\"", "jti is the request's."),
        {.name = "other_request",
         .layer = LAYER_CLAIMS,
         .special = hash_of_another,
         .expect = "unavailable",
         .rule = "req is the hash of the request's JWS."},
        {.name = "expired",
         .layer = LAYER_CONTEXT,
         .later = 31 + 121,
         .expect = "unavailable",
         .rule = "A verdict is good until 120 s after exp."},
        {.name = "from_the_future",
         .layer = LAYER_CONTEXT,
         .later = 1 - 121,
         .expect = "unavailable",
         .rule = "A verdict is good from 120 s before iat."},
        VERDICT("longer_life", "\"exp\":1767225631", "\"exp\":1767225632", "exp is iat + 30."),
        VERDICT("accepted_without_user",
                "\"user\":{\"id\":\"S-1-5-21-1004336348-1177238915-682003330-1104\",\"upn\":"
                "\"alice@corp.example\",\"sam\":\"alice\",\"domain\":\"corp.example\"},",
                "", "An accepted verdict says who the account is."),
        VERDICT("account_of_another_domain", "\"id\":\"" CORP_SID "-1104\"", "\"id\":\"" PARTNER_SID "-500\"",
                ONE_ACCOUNT),
        VERDICT("account_of_a_domain_that_begins_alike", "\"id\":\"" CORP_SID "-1104\"",
                "\"id\":\"" CORP_SID "1-1104\"", ONE_ACCOUNT),
        VERDICT("account_is_the_domain", "\"id\":\"" CORP_SID "-1104\"", "\"id\":\"" CORP_SID "\"", ONE_ACCOUNT),
        VERDICT("principal_in_a_domain_with_a_sid", "\"id\":\"" CORP_SID "-1104\"",
                "\"id\":\"krb5:alice@CORP.EXAMPLE\"", ONE_ACCOUNT),
        {.name = "account_of_another_domain_where_this_has_no_sid",
         .layer = LAYER_CLAIMS,
         .from = "\"id\":\"" CORP_SID "-1104\"",
         .to = "\"id\":\"" PARTNER_SID "-500\"",
         .no_sid = 1,
         .expect = "unavailable",
         .rule = ONE_ACCOUNT},
        VERDICT("other_user_domain", "\"domain\":\"corp.example\"}", "\"domain\":\"partner.example\"}",
                "user.domain is the domain that the request was for."),
        VERDICT("user_domain_in_capitals", "\"domain\":\"corp.example\"}", "\"domain\":\"CORP.example\"}",
                "user.domain is the domain that the request was for."),
        VERDICT("attributes_of_no_state", "\"user\":{", "\"attributes\":{\"values\":{}},\"user\":{",
                "attributes say whether they are complete."),
        VERDICT("attributes_denied_by_their_state", "\"user\":{",
                "\"attributes\":{\"state\":\"unavailable\",\"values\":{\"mail\":[\"a@corp.example\"]}},\"user\":{",
                "Attributes that are unavailable have no values."),
        VERDICT("attribute_without_values", "\"user\":{",
                "\"attributes\":{\"state\":\"complete\",\"values\":{\"mail\":[]}},\"user\":{",
                "Each attribute is an array of one string or more."),
        VERDICT("accepted_unproved", "\"password_proved\":true", "\"password_proved\":false",
                "An accepted verdict proved the password."),
        VERDICT("class_against_verdict", "\"class\":\"none\"", "\"class\":\"credentials\"",
                "accepted goes with class none, and only with it."),
        VERDICT("unknown_verdict", "\"verdict\":\"accepted\"", "\"verdict\":\"maybe\"",
                "verdict is one of its three words."),
        VERDICT("unknown_claim", "{\"v\":1,", "{\"v\":1,\"admin\":true,", LISTED),
        VERDICT("duplicate_claim", "{\"v\":1,", "{\"v\":1,\"verdict\":\"refused\",",
                "JSON has no duplicate members, and nothing stands behind the object."),
        {.name = NULL},
};
