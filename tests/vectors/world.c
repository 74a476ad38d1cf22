/*
 * The tenant "contoso": see world.h.
 */
#include "tests/vectors/world.h"

#include <string.h>

#include "certs/crypto.h"

#define DAY 86400

static struct world w;

/* ---- pieces ---- */

char *jws_header(const char *typ, const char *key)
{
        return pool_text("{\"alg\":\"ES256\",\"typ\":\"%s\",\"kid\":\"%s\"}", typ, key_kid(fixed_key(key)));
}

char *jwk_text(const struct key *key)
{
        return pool_text("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", key_x(key),
                         key_y(key));
}

char *recipient_header(const char *to, const char *epk)
{
        return pool_text("{\"alg\":\"ECDH-ES+A256KW\",\"kid\":\"%s\",\"epk\":%s}", key_kid(fixed_key(to)),
                         jwk_text(fixed_key(epk)));
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

#define CORP "{\"name\":\"corp.example\",\"suffixes\":[\"corp.com\"],\"netbios\":[\"CORP\"],\"sid\":\"" CORP_SID "\",\"default\":true}"
#define PARTNER "{\"name\":\"partner.example\",\"suffixes\":[],\"netbios\":[\"PARTNER\"],\"sid\":\"" PARTNER_SID "\"}"

static void make_roster(void)
{
        w.roster_header = jws_header(JOSE_TYP_ROSTER, "tenant");
        w.roster_payload =
                pool_text("{\"v\":2,\"tenant\":\"" TENANT "\",\"key\":%s,\"seq\":7,\"iat\":%d,\"exp\":%d,"
                          "\"domains\":[" CORP "," PARTNER "],\"connectors\":[%s,%s],\"services\":[%s],\"removed\":[\"%s\"]}",
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
                "{\"v\":[1],\"iss\":\"%s\",\"tenant\":\"" TENANT
                "\",\"boot\":\"%s\",\"seq\":%d,\"iat\":%d,\"exp\":%d,"
                "\"realms\":[\"corp.example\"],\"suffixes\":[\"corp.com\"],\"netbios\":[\"CORP\"],\"keys\":["
                "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"kid\":\"%s\",\"use\":\"enc\","
                "\"alg\":\"ECDH-ES+A256KW\",\"nbf\":%d,\"exp\":%d}]%s}",
                s->id, text_b64u(boot, sizeof(boot)), seq, made, made + 7200, key_x(enc), key_y(enc),
                key_kid(enc), made - 120, made + DAY + 7200, sign);
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
                "\"to\":[\"%s\",\"%s\"],\"username\":\"" USERNAME "\",\"password\":\"" PASSWORD
                "\",\"rk\":\"%s\","
                "\"client\":{\"ip\":\"203.0.113.7\",\"agent\":\"Mozilla/5.0\",\"app\":\"portal.example\"}}",
                WORLD_NOW, WORLD_NOW + 60, key_kid(fixed_key("berlin-1")), key_kid(fixed_key("berlin-2")),
                text_b64u(w.rk, sizeof(w.rk)));
        w.request_jws = make_jws(fixed_key("portal"), w.request_header, w.request_claims);
        w.req = request_hash_of(w.request_jws);
        w.padded = make_padded(w.request_jws);
}

static struct make_jwe sealing(const char *padded, size_t n, size_t recipients)
{
        return (struct make_jwe){
                .protected = w.protected,
                .salt = "request",
                .plain = padded,
                .plain_len = n,
                .n = recipients,
                .to = {{w.recipients[0], fixed_key("berlin-1-enc"), "ephemeral 1"},
                       {w.recipients[1], fixed_key("berlin-2-enc"), "ephemeral 2"}},
        };
}

char *world_seal(const char *padded, size_t n, int two)
{
        const struct make_jwe in = sealing(padded, n, two ? 2 : 1);

        return make_jwe_general(&in);
}

/* The object with one recipient, cut out of the text: same protected header, iv, ciphertext and tag. */
static char *forwarded_of(size_t which)
{
        const char *comma = strstr(w.jwe, "},{\"header\""), *list = strstr(w.jwe, "[{"),
                   *end = strstr(w.jwe, "\"}],");

        if (!comma || !list || !end)
                maker_stop("the request has no two recipients");
        if (which == 0)
                return pool_text("%.*s%s", (int)(comma - w.jwe), w.jwe, end + 1);
        return pool_text("%.*s%s", (int)(list + 1 - w.jwe), w.jwe, comma + 2);
}

static void make_forms(void)
{
        struct make_jwe in = sealing(w.padded, PADDED_LEN, 1);
        const char *own = w.recipients[0] + 1; /* behind its brace */
        const char *epk = strstr(own, ",\"epk\":");

        w.flattened = make_jwe_flattened(&in);
        in.salt = "request with epk in the protected header";
        in.protected = pool_text("%.*s%s", (int)strlen(w.protected) - 1, w.protected, epk);
        in.to[0].header = pool_text("{%.*s}", (int)(epk - own), own);
        w.lone_epk = make_jwe_general(&in);
        in.salt = "request with all in the protected header";
        in.protected = pool_text("%.*s,%s", (int)strlen(w.protected) - 1, w.protected, own);
        in.to[0].header = NULL;
        w.lone_all = make_jwe_general(&in);
}

static void make_request_jwe(void)
{
        w.protected =
                pool_text("%s", "{\"enc\":\"A256GCM\",\"typ\":\"" JOSE_TYP_REQUEST_JWE "\",\"cty\":\"JWT\"}");
        w.recipients[0] = recipient_header("berlin-1-enc", "ephemeral 1");
        w.recipients[1] = recipient_header("berlin-2-enc", "ephemeral 2");
        w.jwe = world_seal(w.padded, PADDED_LEN, 1);
        w.forwarded[0] = forwarded_of(0);
        w.forwarded[1] = forwarded_of(1);
        make_forms();
}

/* ---- verdicts ---- */

char *verdict_jws_of(const char *claims)
{
        return make_jws(fixed_key("berlin-1"), w.verdict_header, claims);
}

char *verdict_jwe_of(const char *jws, const char *salt)
{
        return make_jwe_dir(w.rk, w.verdict_jwe_header, salt, make_padded(jws), PADDED_LEN);
}

/* outcome: from "verdict" to the last member before "t". */
static void make_verdict(size_t i, const char *name, const char *about, const char *outcome)
{
        struct world_verdict *v = &w.verdicts[i];

        v->name = name;
        v->about = about;
        v->claims = pool_text(
                "{\"v\":1,\"iss\":\"" BERLIN_1 "\",\"aud\":\"" PORTAL "\",\"tenant\":\"" TENANT
                "\",\"jti\":\"" REQUEST_ID
                "\",\"req\":\"%s\",\"iat\":%d,\"exp\":%d,%s,\"t\":{\"opened\":3,\"dc\":41,\"total\":47}}",
                w.req, WORLD_NOW + 1, WORLD_NOW + 31, outcome);
        v->jws = verdict_jws_of(v->claims);
        v->jwe = verdict_jwe_of(v->jws, pool_text("verdict %s", name));
}

static void make_verdicts(void)
{
        w.verdict_header = jws_header(JOSE_TYP_VERDICT, "berlin-1");
        w.verdict_jwe_header =
                pool_text("%s", "{\"alg\":\"dir\",\"enc\":\"A256GCM\",\"typ\":\"" JOSE_TYP_VERDICT_JWE
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
        v->jwe = verdict_jwe_of(v->jws, pool_text("verdict %s", v->name));
}

/* ---- identity, directory ---- */

static void make_identity(void)
{
        const struct key *key = fixed_key("berlin-1");

        w.identity_header = jws_header(JOSE_TYP_IDENTITY, "berlin-1");
        w.identity_payload =
                pool_text("{\"tenant\":\"" TENANT "\",\"id\":\"" BERLIN_1 "\",\"iat\":%d,\"exp\":%d}",
                          WORLD_NOW, WORLD_NOW + 300);
        w.identity_jws = make_jws(key, w.identity_header, w.identity_payload);
        w.identity_body = pool_text("{\"jwk\":%s,\"proof\":\"%s\"}", jwk_text(key), w.identity_jws);
}

static void make_keys_answer(void)
{
        w.keys_answer = pool_text("{\"roster\":\"%s\",\"statements\":[\"%s\",\"%s\"],\"ready\":[{\"kid\":\"%"
                                  "s\",\"realms\":[\"corp.example\"]},"
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
        make_request_jwe();
        make_verdicts();
        make_signing_verdict();
        make_identity();
        make_keys_answer();
        return &w;
}
