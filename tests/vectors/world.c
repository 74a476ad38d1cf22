/*
 * The tenant "contoso": see world.h.
 */
#include "tests/vectors/world.h"

#include <string.h>

#include "certs/codec/crypto.h"

#define DAY 86400

static struct world w;

/* ---- pieces ---- */

char *jws_header(const char *typ, const char *key)
{
        return pool_text("{\"alg\":\"ES256\",\"typ\":\"%s\",\"kid\":\"%s\"}", typ, key_kid(fixed_key(key)));
}

char *jwk_text(const struct key *key)
{
        return pool_text("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", key_x(key), key_y(key));
}

char *request_hash_of(const char *jws)
{
        uint8_t hash[SHA256_LEN];

        if (crypto_sha256(hash, jws, strlen(jws)) < 0)
                maker_stop("SHA-256 failed");
        return text_b64u(hash, sizeof(hash));
}

/* ---- roster and statements ---- */

/* further: the members that its list has beside the common ones. */
static char *member(const char *id, const char *name, const char *further)
{
        const struct key *key = fixed_key(name);

        return pool_text("{\"id\":\"%s\",\"kid\":\"%s\",\"jwk\":%s,\"name\":\"%s\",%s}", id, key_kid(key),
                         jwk_text(key), name, further);
}

#define CORP                                                                                                           \
        "{\"name\":\"corp.example\",\"suffixes\":[\"corp.com\"],\"netbios\":[\"CORP\"],\"sid\":\"" CORP_SID            \
        "\",\"default\":true}"
#define PARTNER "{\"name\":\"partner.example\",\"suffixes\":[],\"netbios\":[\"PARTNER\"],\"sid\":\"" PARTNER_SID "\"}"

static void make_roster(void)
{
        w.roster_header = jws_header(JOSE_TYP_ROSTER, "tenant");
        w.roster_payload = pool_text("{\"v\":2,\"tenant\":\"" TENANT "\",\"key\":%s,\"seq\":7,\"iat\":%d,\"exp\":%d,"
                                     "\"domains\":[" CORP "," PARTNER
                                     "],\"connectors\":[%s,%s],\"services\":[%s],\"removed\":[\"%s\"]}",
                                     jwk_text(fixed_key("tenant")), WORLD_NOW - 3600, WORLD_NOW - 3600 + 30 * DAY,
                                     member(BERLIN_1, "berlin-1", "\"domains\":[\"corp.example\"]"),
                                     member(BERLIN_2, "berlin-2", "\"domains\":[\"corp.example\",\"partner.example\"]"),
                                     member(PORTAL, "portal", "\"role\":\"sign-in\""), key_kid(fixed_key("berlin-0")));
        w.roster_jws = make_jws(fixed_key("tenant"), w.roster_header, w.roster_payload);
}

/* sign: the member's text with a comma before it, or "". */
static void make_statement(struct world_statement *s, const char *sign, int seq)
{
        const struct key *enc = fixed_key(s->enc);
        const int made = WORLD_NOW - 600;
        uint8_t boot[16];

        fixed_bytes(pool_text("boot %s", s->key), boot, sizeof(boot));
        s->header = jws_header(JOSE_TYP_KEYS, s->key);
        s->payload = pool_text(
                "{\"v\":[1],\"iss\":\"%s\",\"tenant\":\"" TENANT "\",\"boot\":\"%s\",\"seq\":%d,\"iat\":%d,\"exp\":%d,"
                "\"roster\":3,\"realms\":[\"corp.example\"],\"suffixes\":[\"corp.com\"],\"netbios\":[\"CORP\"],"
                "\"keys\":["
                "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"kid\":\"%s\",\"use\":\"enc\","
                "\"alg\":\"ECDH-ES+A256KW\",\"nbf\":%d,\"exp\":%d}]%s}",
                s->id, text_b64u(boot, sizeof(boot)), seq, made, made + 7200, key_x(enc), key_y(enc), key_kid(enc),
                made - 120, made + DAY + 7200, sign);
        s->jws = make_jws(fixed_key(s->key), s->header, s->payload);
}

static char *sign_member(void)
{
        const struct key *key = fixed_key(SIGNING_KEY);

        return pool_text(",\"sign\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"kid\":\"%s\","
                         "\"use\":\"sig\",\"alg\":\"ES256\",\"nbf\":%d,\"exp\":%d}]",
                         key_x(key), key_y(key), key_kid(key), SIGNING_NBF, SIGNING_EXP);
}

/* ---- request ---- */

static void make_request(void)
{
        fixed_bytes("rk", w.rk, sizeof(w.rk));
        w.request_header = jws_header(JOSE_TYP_REQUEST, "portal");
        w.request_claims = pool_text(
                "{\"v\":1,\"iss\":\"" PORTAL "\",\"aud\":\"" TENANT "\",\"jti\":\"" REQUEST_ID
                "\",\"iat\":%d,\"exp\":%d,"
                "\"to\":[\"%s\",\"%s\"],\"username\":\"" USERNAME "\",\"password\":\"" PASSWORD "\",\"rk\":\"%s\","
                "\"client\":{\"ip\":\"203.0.113.7\",\"agent\":\"Mozilla/5.0\",\"app\":\"portal.example\"}}",
                WORLD_NOW, WORLD_NOW + 60, key_kid(fixed_key("berlin-1")), key_kid(fixed_key("berlin-2")),
                text_b64u(w.rk, sizeof(w.rk)));
        w.request_jws = make_jws(fixed_key("portal"), w.request_header, w.request_claims);
        w.req = request_hash_of(w.request_jws);
        w.padded = make_padded(w.request_jws, PADDED_SMALL);
}

/* What the relay forwards of it: the shared line and one of the others. */
static char *share_of(const char *sealed, const char *line)
{
        return pool_text("%.*s\n%s\n", (int)strcspn(sealed, "\n"), sealed, line);
}

static void make_request_sealed(void)
{
        struct make_sealed in = {.salt = "request", .plain = w.padded, .plain_len = PADDED_SMALL, .n = 2};

        w.protected = pool_text("%s", "{\"cty\":\"JWT\",\"enc\":\"A256GCM\",\"typ\":\"" JOSE_TYP_REQUEST_JWE "\"}");
        in.protected = w.protected;
        for (size_t i = 0; i < 2; i++) {
                w.lines[i] =
                        make_line(i ? "berlin-2-enc" : "berlin-1-enc", i ? "ephemeral 2" : "ephemeral 1", "request");
                in.to[i].line = w.lines[i];
        }
        w.sealed = make_sealed(&in);
        for (size_t i = 0; i < 2; i++)
                w.shares[i] = share_of(w.sealed, w.lines[i]);
}

/* The same user sets a new password; with a second key of its own for the verdict it would show no more. */
static void make_change(void)
{
        struct make_sealed in = {.protected = w.protected,
                                 .salt = "change",
                                 .plain_len = PADDED_LARGE,
                                 .n = 1,
                                 .to = {{"berlin-1-enc", "ephemeral 1", NULL}}};

        w.change.claims =
                pool_text("{\"v\":1,\"iss\":\"" PORTAL "\",\"aud\":\"" TENANT "\",\"jti\":\"" CHANGE_ID
                          "\",\"iat\":%d,\"exp\":%d,"
                          "\"to\":[\"%s\"],\"username\":\"" USERNAME "\",\"password\":\"" PASSWORD
                          "\",\"new_password\":\"" NEW_PASSWORD "\",\"rk\":\"%s\",\"op\":\"change-password\"}",
                          WORLD_NOW, WORLD_NOW + 60, key_kid(fixed_key("berlin-1")), text_b64u(w.rk, sizeof(w.rk)));
        w.change.jws = make_jws(fixed_key("portal"), w.request_header, w.change.claims);
        w.change.req = request_hash_of(w.change.jws);
        in.plain = make_padded(w.change.jws, PADDED_LARGE);
        w.change.sealed = make_sealed(&in);
}

/* ---- verdicts ---- */

char *verdict_jws_of(const char *claims)
{
        return make_jws(fixed_key("berlin-1"), w.verdict_header, claims);
}

char *verdict_jwe_of(const char *jws, const char *salt, size_t padded)
{
        return make_jwe_dir(w.rk, w.verdict_jwe_header, salt, make_padded(jws, padded), padded);
}

/* outcome: from "verdict" to the last member before "t". */
static void make_verdict(size_t i, const char *name, const char *about, const char *outcome)
{
        struct world_verdict *v = &w.verdicts[i];

        v->name = name;
        v->about = about;
        v->claims = pool_text("{\"v\":1,\"iss\":\"" BERLIN_1 "\",\"aud\":\"" PORTAL "\",\"tenant\":\"" TENANT
                              "\",\"jti\":\"" REQUEST_ID
                              "\",\"req\":\"%s\",\"iat\":%d,\"exp\":%d,%s,\"t\":{\"opened\":3,\"dc\":41,\"total\":47}}",
                              w.req, WORLD_NOW + 1, WORLD_NOW + 31, outcome);
        v->jws = verdict_jws_of(v->claims);
        v->jwe = verdict_jwe_of(v->jws, pool_text("verdict %s", name), PADDED_SMALL);
}

static void make_verdicts(void)
{
        w.verdict_header = jws_header(JOSE_TYP_VERDICT, "berlin-1");
        w.verdict_jwe_header = pool_text("%s", "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"typ\":\"" JOSE_TYP_VERDICT_JWE
                                               "\",\"cty\":\"JWT\"}");
        make_verdict(0, "accepted", "Kerberos, Active Directory: the account is its objectSid.",
                     "\"verdict\":\"accepted\",\"class\":\"none\",\"reason\":\"ok\",\"password_proved\":true,"
                     "\"may_have_counted\":\"0\","
                     "\"user\":{\"id\":\"" CORP_SID "-1104\",\"upn\":\"alice@"
                     "corp.example\",\"sam\":\"alice\","
                     "\"domain\":\"corp.example\"},\"dc\":\"dc1.corp.example\",\"method\":\"krb5\"");
        make_verdict(1, "accepted_generic", "An MIT realm: no SID, so the account is its principal.",
                     "\"verdict\":\"accepted\",\"class\":\"none\",\"reason\":\"ok\",\"password_proved\":true,"
                     "\"may_have_counted\":\"0\","
                     "\"user\":{\"id\":\"krb5:alice@CORP.EXAMPLE\",\"upn\":\"alice@CORP.EXAMPLE\",\"domain\":"
                     "\"corp.example\"},\"dc\":"
                     "\"kdc1.corp.example\","
                     "\"method\":\"krb5\"");
        make_verdict(2, "refused", "A wrong password by LDAP, with the raw codes for the helpdesk.",
                     "\"verdict\":\"refused\",\"class\":\"credentials\",\"reason\":\"wrong_password\","
                     "\"password_proved\":false,"
                     "\"may_have_counted\":\"1\",\"dc\":\"dc1.corp.example\",\"method\":\"ldap\",\"raw\":{"
                     "\"ldap\":\"49 data 52e\"}");
        make_verdict(3, "unavailable", "The request itself is at fault, and no DC was asked.",
                     "\"verdict\":\"unavailable\",\"class\":\"infrastructure\",\"reason\":\"service_"
                     "unknown\",\"password_proved\":false,"
                     "\"may_have_counted\":\"0\"");
        make_verdict(4, "unknown_reason", "A reason of a later version: verdict and class say what to do.",
                     "\"verdict\":\"refused\",\"class\":\"policy\",\"reason\":\"moon_phase\",\"password_"
                     "proved\":true,"
                     "\"may_have_counted\":\"unknown\",\"dc\":\"dc1.corp.example\",\"method\":\"ldap\"");
}

/* The first of them once more, by the key that the statement certifies. */
static void make_signing_verdict(void)
{
        struct world_verdict *v = &w.signing_verdict;

        *v = w.verdicts[0];
        v->name = "accepted_by_a_signing_key";
        w.signing_header = jws_header(JOSE_TYP_VERDICT, SIGNING_KEY);
        v->jws = make_jws(fixed_key(SIGNING_KEY), w.signing_header, v->claims);
        v->jwe = verdict_jwe_of(v->jws, pool_text("verdict %s", v->name), PADDED_SMALL);
}

/* On the change: its class of padding is its request's. */
static void make_change_verdict(void)
{
        struct world_verdict *v = &w.change_verdict;

        v->name = "password_changed";
        v->about = "A new password, set and tried: the larger class of padding, as its request's.";
        v->claims = text_replaced(
                text_replaced(text_replaced(w.verdicts[0].claims, w.req, w.change.req), REQUEST_ID, CHANGE_ID),
                "\"reason\":\"ok\"", "\"reason\":\"password_changed\"");
        v->jws = verdict_jws_of(v->claims);
        v->jwe = verdict_jwe_of(v->jws, pool_text("verdict %s", v->name), PADDED_LARGE);
}

/* ---- identity, directory ---- */

static void make_identity(void)
{
        const struct key *key = fixed_key("berlin-1");

        w.identity_header = jws_header(JOSE_TYP_IDENTITY, "berlin-1");
        w.identity_payload = pool_text("{\"tenant\":\"" TENANT "\",\"id\":\"" BERLIN_1
                                       "\",\"iat\":%d,\"exp\":%d,\"roster\":3,\"domains\":[" CORP "]}",
                                       WORLD_NOW, WORLD_NOW + 300);
        w.identity_jws = make_jws(key, w.identity_header, w.identity_payload);
        w.identity_body = pool_text("{\"jwk\":%s,\"proof\":\"%s\"}", jwk_text(key), w.identity_jws);
}

#define STATE "5Cq9X4hUQ1yQ2b0m0yHqVw"

static void make_keys_answer(void)
{
        w.keys_change = pool_text("{\"state\":\"" STATE ".8\",\"since\":\"" STATE ".7\",\"statements\":[\"%s\"],"
                                  "\"gone\":[\"%s\"],\"ready\":[{\"kid\":\"%s\",\"realms\":[\"corp.example\"],"
                                  "\"weight\":16}]}",
                                  w.signing.jws, key_kid(fixed_key("berlin-2")), key_kid(fixed_key("berlin-1")));
        w.keys_answer = pool_text("{\"state\":\"" STATE ".7\",\"roster\":\"%s\",\"statements\":[\"%s\",\"%s\"],"
                                  "\"ready\":[{\"kid\":\"%s\",\"realms\":[\"corp.example\"],\"weight\":64},"
                                  "{\"kid\":\"%s\",\"realms\":[]}]}",
                                  w.roster_jws, w.statements[0].jws, w.statements[1].jws,
                                  key_kid(fixed_key("berlin-1")), key_kid(fixed_key("berlin-2")));
}

const struct world *world(void)
{
        if (w.keys_answer)
                return &w;
        make_roster();
        w.statements[0] = (struct world_statement){.key = "berlin-1", .enc = "berlin-1-enc", .id = BERLIN_1};
        w.statements[1] = (struct world_statement){.key = "berlin-2", .enc = "berlin-2-enc", .id = BERLIN_2};
        make_statement(&w.statements[0], "", WORLD_NOW - 600);
        make_statement(&w.statements[1], "", WORLD_NOW - 600);
        w.signing = w.statements[0];
        make_statement(&w.signing, sign_member(), WORLD_NOW - 599);
        make_request();
        make_request_sealed();
        make_change();
        make_verdicts();
        make_signing_verdict();
        make_change_verdict();
        make_identity();
        make_keys_answer();
        return &w;
}
