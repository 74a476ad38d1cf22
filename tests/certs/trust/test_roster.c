/*
 * The roster: making, editing, verifying, and every check with a case that fails it alone.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/roster.h"
#include "base/core/sid.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 1800000000
#define TENANT "acme"
#define CONNECTOR_ID "connector-0001-aaaa"
#define SERVICE_ID "service-0001-bbbbbb"

struct world {
        struct key *tenant, *connector, *service, *other;
        struct roster *roster; /* seq 1, signed at NOW for 1 day */
};

#define DOMAIN_SID "S-1-5-21-1004336348-1177238915-682003330"

static char corp_example[] = "corp.example", corp_com[] = "corp.com", corp_upper[] = "CORP",
            partner_example[] = "partner.example", partner_com[] = "partner.com", partner_upper[] = "PARTNER",
            dotless[] = "partner", mixed[] = "Partner.Example";
static char *corp_suffixes[] = {corp_com}, *corp_netbios[] = {corp_upper};
static char *partner_suffixes[] = {partner_com}, *partner_netbios[] = {partner_upper};
static const struct roster_domain corp = {.name = corp_example,
                                          .n_suffixes = 1,
                                          .suffixes = corp_suffixes,
                                          .n_netbios = 1,
                                          .netbios = corp_netbios,
                                          .sid = DOMAIN_SID,
                                          .is_default = true};
static const struct roster_domain partner = {.name = partner_example,
                                             .n_suffixes = 1,
                                             .suffixes = partner_suffixes,
                                             .n_netbios = 1,
                                             .netbios = partner_netbios};
static const char *const corp_name[] = {"corp.example"};

static int begin(void **state)
{
        struct world *w = not_null(calloc(1, sizeof(*w)));
        struct error err = {""};

        w->tenant = fresh_key();
        w->connector = fresh_key();
        w->service = fresh_key();
        w->other = fresh_key();
        assert_int_equal(roster_new(&w->roster, TENANT, w->tenant), 0);
        assert_int_equal(roster_add(w->roster, false, CONNECTOR_ID, "dc-east", w->connector, &err), 0);
        assert_int_equal(roster_domain_put(w->roster, &corp, &err), 0);
        assert_int_equal(roster_domain_put(w->roster, &partner, &err), 0);
        assert_int_equal(roster_speak(w->roster, "dc-east", corp_name, 1, &err), 0);
        assert_int_equal(roster_add(w->roster, true, SERVICE_ID, "portal", w->service, &err), 0);
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 86400, &err), 0);
        *state = w;
        return 0;
}

static int end(void **state)
{
        struct world *w = *state;

        roster_free(w->roster);
        key_free(w->tenant);
        key_free(w->connector);
        key_free(w->service);
        key_free(w->other);
        free(w);
        return 0;
}

static int verify_at(const struct world *w, const char *text, int64_t now, struct roster **ret, struct error *err)
{
        return roster_verify(ret, text, strlen(text), key_pin(w->tenant), TENANT, now, 1, err);
}

static void round_trip(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        struct roster *r = NULL;

        if (verify_at(w, w->roster->text, NOW, &r, &err) < 0)
                fail_msg("%s", err.text);
        assert_string_equal(r->tenant, TENANT);
        assert_string_equal(key_kid(r->tenant_key), key_kid(w->tenant));
        assert_false(key_has_private(r->tenant_key));
        assert_int_equal(r->seq, 1);
        assert_int_equal(r->iat, NOW);
        assert_int_equal(r->exp, NOW + 86400);
        assert_string_equal(r->text, w->roster->text);
        assert_int_equal(r->n_connectors, 1);
        assert_int_equal(r->n_services, 1);
        assert_int_equal(r->n_removed, 0);
        assert_string_equal(roster_connector(r, key_kid(w->connector))->id, CONNECTOR_ID);
        assert_string_equal(roster_connector(r, key_kid(w->connector))->name, "dc-east");
        assert_string_equal(roster_service(r, key_kid(w->service))->name, "portal");
        /* a service's key is no connector's, and the other way round */
        assert_null(roster_connector(r, key_kid(w->service)));
        assert_null(roster_service(r, key_kid(w->connector)));
        assert_null(roster_service(r, key_kid(w->other)));
        assert_int_equal(r->form, ROSTER_FORM_WITHOUT_PEOPLE);
        assert_false(r->sandbox);
        assert_int_equal(r->n_domains, 2);
        assert_string_equal(roster_domain(r, "corp.example")->sid, DOMAIN_SID);
        assert_string_equal(roster_domain(r, "partner.example")->sid, "");
        assert_true(roster_speaks_for(roster_connector(r, key_kid(w->connector)), "corp.example"));
        assert_false(roster_speaks_for(roster_connector(r, key_kid(w->connector)), "partner.example"));
        assert_string_equal(roster_sign_in_service(r, key_kid(w->service))->role, ROSTER_SIGN_IN);
        roster_free(r);
}

/* Signs a changed payload with the right key and expects the refusal. */
static void refuse_payload(struct world *w, const char *find, const char *with, int code, const char *says)
{
        struct error err = {""};
        struct jws jws;
        char header[200];
        struct roster *r = NULL;

        assert_int_equal(jws_parse(&jws, w->roster->text, strlen(w->roster->text), JOSE_TYP_ROSTER, false, &err), 0);
        char *payload = replaced(jws.payload.data, find, with);
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"postern-roster+jwt\",\"kid\":\"%s\"}",
                 key_kid(w->tenant));
        char *text = sign_raw(w->tenant, header, payload);
        int code_seen = verify_at(w, text, NOW, &r, &err);
        if (code_seen == 0)
                fail_msg("accepted: %s -> %s", find, with);
        assert_refused(code_seen, code, &err, says);
        assert_null(r);
        free(text);
        free(payload);
        jws_clear(&jws);
}

static void payload_refusals(void **state)
{
        static const struct {
                const char *find, *with, *says;
        } cases[] = {
                {"\"v\":2", "\"v\":0", "v is out of range"},
                {"\"v\":2", "\"v\":1", "unknown member \"domains\""},
                {"\"v\":2", "\"v\":4", "is of form 4, and this version reads up to 3"},
                {"\"v\":2", "\"v\":2.0", "v is not an integer"},
                {"\"v\":2,", "", "v is missing"},
                {"{\"v\"", "{\"admin\":true,\"v\"", "unknown member \"admin\""},
                {"{\"v\"", "{\"seq\":9,\"v\"", "a member is repeated"},
                {"\"tenant\":\"acme\"", "\"tenant\":\"Acme\"", "not a tenant's name"},
                {"\"tenant\":\"acme\"", "\"tenant\":7", "tenant is not a string"},
                {"\"seq\":1", "\"seq\":-1", "seq is out of range"},
                {"\"seq\":1", "\"seq\":9007199254740992", "seq is out of range"},
                {"\"seq\":1", "\"seq\":99999999999999999999", "a number is out of range"},
                {"\"seq\":1", "\"seq\":\"1\"", "seq is not an integer"},
                {"\"seq\":1,", "", "seq is missing"},
                {"\"exp\":1800086400", "\"exp\":1802592001", "exp is not 1 to 2592000 s after"},
                {"\"exp\":1800086400", "\"exp\":1800000000", "exp is not 1 to 2592000 s after"},
                {"\"iat\":1800000000,", "", "iat is missing"},
                {"\"connectors\":[", "\"connectors\":{},\"x\":[", "unknown member \"x\""},
                {"\"connectors\":[", "\"connectors\":[7,", "connectors[0] is not an object"},
                {"\"id\":\"connector-0001-aaaa\"", "\"id\":\"short\"",
                 "connectors[0].id is not an id: 16 to 64 letters, digits and hyphens"},
                {"\"id\":\"connector-0001-aaaa\"", "\"id\":\"connector_0001_aaaa\"",
                 "connectors[0].id is not an id: 16 to 64 letters, digits and hyphens"},
                {"\"id\":\"connector-0001-aaaa\"", "\"id\":\"service-0001-bbbbbb\"",
                 "services[0].id is in the roster twice"},
                {"\"name\":\"dc-east\"", "\"name\":\"\"", "connectors[0].name is empty"},
                {"\"name\":\"dc-east\"", "\"name\":\"dc\\neast\"", "control characters"},
                {"\"name\":\"dc-east\"", "\"name\":\"portal\"", "services[0].name is in the roster twice"},
                {"\"name\":\"dc-east\"", "\"name\":\"dc-east\",\"role\":\"x\"", "unknown member \"role\""},
                {"\"name\":\"portal\"", "\"name\":\"portal\",\"domains\":[]", "unknown member \"domains\""},
                {"\"connectors\":[{\"id\":\"connector-0001-aaaa\",\"kid\":\"",
                 "\"connectors\":[{\"id\":\"connector-0001-aaaa\",\"kid\":\"x", "kid is not base64url"},
                {",\"name\":\"dc-east\"", "", "name is missing"},
                {"\"removed\":[", "\"removed\":[\"x\"", "removed[0] is not base64url of the right length"},
                {"\"removed\":[", "\"removed\":[7", "removed[0] is not a string"},
                {"\"removed\":[]", "\"removed\":null", "removed is not an array"},
                {"\"services\":[", "\"services\":null,\"servicez\":[", "unknown member \"servicez\""},
        };

        for (size_t i = 0; i < N(cases); i++)
                refuse_payload(*state, cases[i].find, cases[i].with, -EBADMSG, cases[i].says);
}

static void domain_refusals(void **state)
{
        static const struct {
                const char *find, *with, *says;
        } cases[] = {
                {"\"domains\":[", "\"kind\":\"prod\",\"domains\":[", "kind is not"},
                {"\"domains\":[", "\"kind\":true,\"domains\":[", "kind is not"},
                {",\"domains\":[\"corp.example\"]", "", "domains is missing"},
                {"\"domains\":[\"corp.example\"]", "\"domains\":\"corp.example\"", "domains is not an array"},
                {"\"domains\":[\"corp.example\"]", "\"domains\":[7]", "connectors[0].domains[0] is not a string"},
                {"\"domains\":[\"corp.example\"]", "\"domains\":[\"\"]", "connectors[0].domains[0] is empty"},
                {"\"domains\":[\"corp.example\"]", "\"domains\":[\"else.example\"]",
                 "connectors[0].domains names the domain else.example, which is not in the roster"},
                {"\"domains\":[\"corp.example\"]", "\"domains\":[\"CORP.example\"]",
                 "connectors[0].domains names the domain CORP.example, which is not in the roster"},
                {"\"domains\":[\"corp.example\"]", "\"domains\":[\"corp.example\",\"corp.example\"]", "is there twice"},
                {",\"role\":\"sign-in\"", "", "role is missing"},
                {"\"role\":\"sign-in\"", "\"role\":\"Sign-In\"", "role is not of a-z"},
                {"\"role\":\"sign-in\"", "\"role\":\"\"", "services[0].role is empty"},
                {"\"domains\":[{", "\"domains\":[7,{", "domains[0] is not an object"},
                {"\"name\":\"corp.example\",", "", "name is missing"},
                {"\"suffixes\":[\"corp.com\"],", "", "suffixes is missing"},
                {",\"netbios\":[\"CORP\"]", "", "netbios is missing"},
                {"\"suffixes\":[\"corp.com\"]", "\"suffixes\":null", "suffixes is not an array"},
                {"\"suffixes\":[\"corp.com\"]", "\"suffixes\":[null]", "domains[0].suffixes[0] is not a string"},
                {"\"netbios\":[\"CORP\"]", "\"netbios\":{}", "netbios is not an array"},
                {"\"default\":true", "\"default\":false", "domains[0].default is true or absent"},
                {"\"default\":true", "\"default\":1", "domains[0].default is not a boolean"},
                {"\"default\":true", "\"default\":true,\"x\":1", "unknown member \"x\""},
                {"[\"PARTNER\"]", "[\"PARTNER\"],\"default\":true",
                 "bare names go to corp.example and to partner.example"},
                {"\"sid\":\"S-1-5-21-", "\"sid\":\"S-1-5-32-", "not a domain's SID"},
                {"-682003330\"", "-682003330-500\"", "not a domain's SID"},
                {"-682003330\"", "-0682003330\"", "not a domain's SID"},
                {"-682003330\"", "-4294967296\"", "not a domain's SID"},
                {"-682003330\"", "\"", "not a domain's SID"},
                {"\"sid\":\"", "\"sid\":\" ", "not a domain's SID"},
                {"\"name\":\"partner.example\"", "\"name\":\"Partner.example\"", "not a domain's name"},
                {"\"name\":\"partner.example\"", "\"name\":\"partner\"", "not a domain's name"},
                {"\"name\":\"partner.example\"", "\"name\":\"partner..example\"", "not a domain's name"},
                {"\"name\":\"partner.example\"", "\"name\":\"partner.example.\"", "not a domain's name"},
                {"\"name\":\"partner.example\"", "\"name\":\"-partner.example\"", "not a domain's name"},
                {"\"name\":\"partner.example\"", "\"name\":\"corp.example\"", "is in it twice"},
                {"\"name\":\"partner.example\"", "\"name\":\"corp.com\"", "is in it twice"},
                {"\"suffixes\":[\"partner.com\"]", "\"suffixes\":[\"corp.com\"]", "is in it twice"},
                {"\"suffixes\":[\"partner.com\"]", "\"suffixes\":[\"corp.example\"]", "is in it twice"},
                {"\"suffixes\":[\"partner.com\"]", "\"suffixes\":[\"partner.example\"]", "is in it twice"},
                {"\"suffixes\":[\"partner.com\"]", "\"suffixes\":[\"Partner.com\"]", "not a suffix in lower case"},
                {"\"suffixes\":[\"partner.com\"]", "\"suffixes\":[\"a@partner.com\"]", "not a suffix"},
                {"\"netbios\":[\"PARTNER\"]", "\"netbios\":[\"corp\"]", "the NetBIOS name corp"},
                {"\"netbios\":[\"PARTNER\"]", "\"netbios\":[\"A B\"]", "not a NetBIOS name"},
                {"[\"PARTNER\"]", "[\"PARTNER\"],\"sid\":\"" DOMAIN_SID "\"", "the SID"},
        };

        for (size_t i = 0; i < N(cases); i++)
                refuse_payload(*state, cases[i].find, cases[i].with, -EBADMSG, cases[i].says);
}

/* Cases whose texts hold keys that differ from run to run. */
static void key_refusals(void **state)
{
        struct world *w = *state;
        char find[160], with[160];
        json_t *jwk = NULL;

        /* a kid that is another key's */
        snprintf(find, sizeof(find), "\"kid\":\"%s\"", key_kid(w->connector));
        snprintf(with, sizeof(with), "\"kid\":\"%s\"", key_kid(w->other));
        refuse_payload(w, find, with, -EBADMSG, "kid is not the thumbprint");
        /* a removed key that is still a member's */
        snprintf(with, sizeof(with), "\"removed\":[\"%s\"", key_kid(w->service));
        refuse_payload(w, "\"removed\":[", with, -EBADMSG, "removed[0] is in the roster twice");
        /* a jwk with a private part */
        refuse_payload(w, "\"name\":\"dc-east\"", "\"name\":\"dc-east\",\"d\":\"AA\"", -EBADMSG,
                       "unknown member \"d\"");
        refuse_payload(w, "\"jwk\":{", "\"jwk\":{\"d\":\"AA\",", -EBADMSG, "private key");
        refuse_payload(w, "\"jwk\":{", "\"jwk\":{\"use\":\"sig\",", -EBADMSG, "unknown member \"use\"");
        /* another key in payload.key: the pin decides before the signature */
        assert_int_equal(key_to_jwk(w->other, &jwk), 0);
        char *other = json_dumps(jwk, JSON_COMPACT);
        json_decref(jwk);
        assert_int_equal(key_to_jwk(w->tenant, &jwk), 0);
        char *tenant = json_dumps(jwk, JSON_COMPACT);
        refuse_payload(w, tenant, other, -EKEYREJECTED, "but the pinned one is");
        /* the tenant key as somebody's identity */
        json_decref(jwk);
        assert_int_equal(key_to_jwk(w->connector, &jwk), 0);
        char *connector = json_dumps(jwk, JSON_COMPACT);
        char old_member[400], new_member[400];
        snprintf(old_member, sizeof(old_member), "\"kid\":\"%s\",\"jwk\":%s", key_kid(w->connector), connector);
        snprintf(new_member, sizeof(new_member), "\"kid\":\"%s\",\"jwk\":%s", key_kid(w->tenant), tenant);
        refuse_payload(w, old_member, new_member, -EBADMSG, "connectors[0].kid is in the roster twice");
        json_decref(jwk);
        free(other);
        free(tenant);
        free(connector);
}

/* Pin, signature, tenant, exp, seq: the first that fails is the one that is told. */
static void order_of_checks(void **state)
{
        struct world *w = *state;
        const char *text = w->roster->text, *pin = key_pin(w->tenant);
        const size_t n = strlen(text);
        const int64_t late = NOW + 86400 + ROSTER_SKEW + 1;
        char *forged = strdup(text);
        struct error err = {""};
        struct roster *r = NULL;

        forged[n - 10] = forged[n - 10] == 'A' ? 'B' : 'A';
        assert_refused(roster_verify(&r, forged, n, key_pin(w->other), "evil", late, 9, &err), -EKEYREJECTED, &err,
                       "but the pinned one is");
        assert_refused(roster_verify(&r, text, n, "", "evil", late, 9, &err), -EKEYREJECTED, &err, "pinned");
        assert_refused(roster_verify(&r, forged, n, pin, "evil", late, 9, &err), -EKEYREJECTED, &err,
                       "signature does not verify");
        assert_refused(roster_verify(&r, text, n, pin, "evil", late, 9, &err), -EXDEV, &err,
                       "is of tenant acme, not evil");
        assert_refused(roster_verify(&r, text, n, pin, TENANT, late, 9, &err), -ETIME, &err, "expired 121 s ago");
        assert_refused(roster_verify(&r, text, n, pin, TENANT, NOW, 9, &err), -ESTALE, &err, "seq 1 is older than 9");
        assert_int_equal(roster_verify(&r, text, n, pin, TENANT, late - 1, 1, &err), 0);
        r = roster_free(r);
        assert_refused(roster_verify(&r, text, n, pin, TENANT, NOW - ROSTER_SKEW - 1, 1, &err), -ETIME, &err,
                       "in the future");
        assert_int_equal(roster_verify(&r, text, n, pin, TENANT, NOW - ROSTER_SKEW, 0, &err), 0);
        roster_free(r);
        free(forged);
}

/* The relay adds a connector of its own: it can only sign with its own key. */
static void relay_adds_a_connector(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        struct roster *evil = NULL, *r = NULL;
        struct key *relay = fresh_key();

        assert_int_equal(roster_new(&evil, TENANT, relay), 0);
        assert_int_equal(roster_add(evil, false, "connector-of-the-relay", "evil", w->other, &err), 0);
        assert_int_equal(roster_sign(evil, relay, NOW, 86400, &err), 0);
        assert_refused(verify_at(w, evil->text, NOW, &r, &err), -EKEYREJECTED, &err, "pinned");
        /* even with the right key in the payload and the right kid in the header */
        key_free(evil->tenant_key);
        evil->tenant_key = key_ref(w->tenant);
        assert_refused(roster_sign(evil, relay, NOW, 86400, &err), -EINVAL, &err, "not its tenant key");
        assert_int_equal(roster_sign(evil, w->tenant, NOW, 86400, &err), 0);
        struct jws jws;
        char header[200];
        assert_int_equal(jws_parse(&jws, evil->text, strlen(evil->text), JOSE_TYP_ROSTER, false, &err), 0);
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"postern-roster+jwt\",\"kid\":\"%s\"}",
                 key_kid(w->tenant));
        char *text = sign_raw(relay, header, jws.payload.data);
        assert_refused(verify_at(w, text, NOW, &r, &err), -EKEYREJECTED, &err, "signature does not verify");
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"postern-roster+jwt\",\"kid\":\"%s\"}",
                 key_kid(relay));
        char *own_kid = sign_raw(relay, header, jws.payload.data);
        assert_refused(verify_at(w, own_kid, NOW, &r, &err), -EKEYREJECTED, &err,
                       "is not the key that should have signed");
        jws_clear(&jws);
        free(text);
        free(own_kid);
        roster_free(evil);
        key_free(relay);
}

static void editing(void **state)
{
        struct world *w = *state;
        struct roster *r = w->roster;
        struct error err = {""};
        struct key *fresh = fresh_key();

        assert_refused(roster_add(r, false, "connector-0002-cccc", "dc-east", w->other, &err), -EEXIST, &err,
                       "the name dc-east belongs to id");
        assert_refused(roster_add(r, false, "connector-0002-cccc", "portal", w->other, &err), -EEXIST, &err,
                       "the name portal");
        assert_refused(roster_add(r, false, "connector-0002-cccc", "dc-west", w->connector, &err), -EEXIST, &err,
                       "belongs to dc-east");
        assert_refused(roster_add(r, true, "service-0002-cccccc", "dc-west", w->connector, &err), -EEXIST, &err,
                       "belongs to dc-east");
        assert_refused(roster_add(r, true, CONNECTOR_ID, "dc-west", w->other, &err), -EEXIST, &err, "in another list");
        assert_refused(roster_add(r, false, "connector-0002-cccc", "dc-west", w->tenant, &err), -EEXIST, &err,
                       "tenant key");
        assert_refused(roster_add(r, false, "short", "dc-west", w->other, &err), -EINVAL, &err, "an id has");
        assert_refused(roster_add(r, false, "connector-0002-cccc", "a\tb", w->other, &err), -EINVAL, &err,
                       "a name has");
        assert_refused(roster_add(r, false, "connector-0002-cccc", "\xc3\x28", w->other, &err), -EINVAL, &err,
                       "a name has");
        assert_int_equal(r->n_connectors, 1);
        assert_non_null(r->text); /* refused edits change nothing */

        /* an id with another key pushes nobody out, in either list, but where that is asked for */
        assert_refused(roster_add(r, false, CONNECTOR_ID, "dc-west", fresh, &err), -EEXIST, &err,
                       "dc-east has the id " CONNECTOR_ID " already");
        assert_refused(roster_add(r, true, SERVICE_ID, "portal", fresh, &err), -EEXIST, &err,
                       "portal has the id " SERVICE_ID " already");
        assert_refused(roster_replace(r, false, "connector-0002-cccc", "dc-west", fresh, &err), -ENOENT, &err,
                       "nobody in it has the id");
        assert_non_null(r->text);
        assert_int_equal(roster_add(r, false, CONNECTOR_ID, "dc-west", w->connector, &err), 0); /* a new name */
        assert_int_equal(roster_replace(r, false, CONNECTOR_ID, "dc-west", fresh, &err), 0);
        assert_null(r->text);
        assert_int_equal(r->n_connectors, 1);
        assert_true(roster_speaks_for(&r->connectors[0], "corp.example"));
        assert_refused(roster_add(r, false, "connector-0002-cccc", "dc-east", w->connector, &err), -EKEYREJECTED, &err,
                       "was removed");
        struct key *second = fresh_key();
        assert_null(roster_connector(r, key_kid(w->connector)));
        assert_string_equal(roster_connector(r, key_kid(fresh))->name, "dc-west");
        assert_int_equal(roster_add(r, false, "connector-0002-cccc", "dc-east", second, &err), 0);
        assert_int_equal(r->n_connectors, 2);
        key_free(second);

        /* by name, id and kid */
        assert_int_equal(roster_remove(r, "dc-west", &err), 0);
        assert_int_equal(roster_remove(r, "connector-0002-cccc", &err), 0);
        assert_int_equal(roster_remove(r, key_kid(w->service), &err), 0);
        assert_refused(roster_remove(r, "dc-west", &err), -ENOENT, &err, "dc-west");
        assert_int_equal(r->n_connectors + r->n_services, 0);
        assert_int_equal(r->n_removed, 4);
        assert_string_equal(r->removed[0], key_kid(w->connector));
        assert_string_equal(r->removed[1], key_kid(fresh));
        assert_refused(roster_add(r, false, "connector-0003-dddd", "dc-new", fresh, &err), -EKEYREJECTED, &err,
                       "was removed");
        key_free(fresh);
}

/* seq rises with each signature, and a removed kid travels with it. */
static void signing_again(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        struct roster *r = NULL;

        assert_int_equal(roster_remove(w->roster, "dc-east", &err), 0);
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW + 10, ROSTER_LIFE_MAX, &err), 0);
        assert_int_equal(w->roster->seq, 2);
        if (verify_at(w, w->roster->text, NOW + 10, &r, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(r->seq, 2);
        assert_int_equal(r->n_connectors, 0);
        assert_int_equal(r->n_removed, 1);
        assert_string_equal(r->removed[0], key_kid(w->connector));
        /* what was read can be edited and signed by whoever has the key */
        assert_int_equal(roster_add(r, false, "connector-0009-zzzz", "dc-new", w->other, &err), 0);
        assert_int_equal(roster_sign(r, w->tenant, NOW + 20, 60, &err), 0);
        assert_int_equal(r->seq, 3);
        roster_free(r);
        assert_refused(roster_sign(w->roster, w->tenant, NOW, ROSTER_LIFE_MAX + 1, &err), -EINVAL, &err,
                       "lives 1 s to 30 days");
        assert_refused(roster_sign(w->roster, w->tenant, NOW, 0, &err), -EINVAL, &err, "lives 1 s to 30 days");
        assert_refused(roster_sign(w->roster, w->other, NOW, 60, &err), -EINVAL, &err, "not its tenant key");
        assert_int_equal(w->roster->seq, 2);
}

/* 512 of a list fit; the 513th does not; removing never fails. */
static void limits(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        struct roster *r = NULL;
        char id[32], name[32];
        int code = 0;

        for (int i = 1; i < ROSTER_MEMBERS_MAX + 1; i++) {
                struct key *key = fresh_key();

                snprintf(id, sizeof(id), "connector-number-%04d", i);
                snprintf(name, sizeof(name), "n%04d", i);
                code = roster_add(w->roster, false, id, name, key, &err);
                key_free(key);
                if (i < ROSTER_MEMBERS_MAX)
                        assert_int_equal(code, 0);
        }
        assert_refused(code, -ENOSPC, &err, "512 of them already");
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 60, &err), 0);
        if (verify_at(w, w->roster->text, NOW, &r, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(r->n_connectors, ROSTER_MEMBERS_MAX);
        roster_free(r);
        while (w->roster->n_connectors > 0)
                assert_int_equal(roster_remove(w->roster, w->roster->connectors[0].id, &err), 0);
        assert_int_equal(w->roster->n_removed, ROSTER_MEMBERS_MAX);
        assert_int_equal(roster_remove(w->roster, SERVICE_ID, &err), 0);
        assert_int_equal(w->roster->n_removed, ROSTER_MEMBERS_MAX);
        assert_string_equal(w->roster->removed[ROSTER_MEMBERS_MAX - 1], key_kid(w->service));
}

static void tenants(void **state)
{
        static const char *const bad[] = {"",
                                          "Acme",
                                          "a_b",
                                          "a.b",
                                          "a b",
                                          "\xc3\xa4",
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
        struct world *w = *state;
        struct roster *r = NULL;

        assert_true(tenant_valid("a"));
        assert_true(tenant_valid("acme-2"));
        assert_true(tenant_valid("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        assert_false(tenant_valid(NULL));
        for (size_t i = 0; i < N(bad); i++) {
                assert_false(tenant_valid(bad[i]));
                assert_int_equal(roster_new(&r, bad[i], w->tenant), -EINVAL);
        }
}

/* Whose name it is has one answer; domains come and go without two of one name. */
static void domains(void **state)
{
        static const char *const both[] = {"PARTNER.example", "corp.example", "partner.example"};
        static const char *const unknown[] = {"else.example"};
        struct world *w = *state;
        struct roster *r = w->roster, *again = NULL;
        struct roster_domain d = partner;
        struct error err = {""};

        assert_string_equal(roster_domain_of_suffix(r, "CORP.com")->name, "corp.example");
        assert_string_equal(roster_domain_of_suffix(r, "partner.EXAMPLE")->name, "partner.example");
        assert_string_equal(roster_domain_of_netbios(r, "partner")->name, "partner.example");
        assert_string_equal(roster_default_domain(r)->name, "corp.example");
        assert_null(roster_domain_of_suffix(r, "CORP"));
        assert_null(roster_domain_of_netbios(r, "corp.example"));
        assert_null(roster_domain(r, "corp.com"));

        memcpy(d.sid, DOMAIN_SID, sizeof(DOMAIN_SID));
        assert_refused(roster_domain_put(r, &d, &err), -EEXIST, &err, "the SID");
        d = partner;
        d.netbios = corp_netbios;
        assert_refused(roster_domain_put(r, &d, &err), -EEXIST, &err, "the NetBIOS name CORP");
        d = partner;
        d.suffixes = corp_suffixes;
        assert_refused(roster_domain_put(r, &d, &err), -EEXIST, &err, "corp.com of domain partner.example");
        d = partner;
        d.name = dotless;
        assert_refused(roster_domain_put(r, &d, &err), -EINVAL, &err, "not a domain's name");
        assert_non_null(r->text); /* refused edits change nothing */

        /* the default moves; a name is written small */
        d = partner;
        d.name = mixed;
        d.is_default = true;
        assert_int_equal(roster_domain_put(r, &d, &err), 0);
        assert_int_equal(r->n_domains, 2);
        assert_string_equal(roster_default_domain(r)->name, "partner.example");
        assert_refused(roster_speak(r, "dc-east", unknown, 1, &err), -ENOENT, &err, "has no domain else.example");
        assert_refused(roster_speak(r, "nobody", both, 3, &err), -ENOENT, &err, "no connector");
        assert_int_equal(roster_speak(r, "dc-east", both, 3, &err), 0);
        assert_int_equal(r->connectors[0].n_domains, 2);
        assert_refused(roster_domain_remove(r, "partner.example", &err), -EBUSY, &err, "dc-east speaks for");
        assert_int_equal(roster_sign(r, w->tenant, NOW, 60, &err), 0);
        if (verify_at(w, r->text, NOW, &again, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(again->connectors[0].n_domains, 2);
        roster_free(again);
        assert_int_equal(roster_speak(r, "dc-east", corp_name, 1, &err), 0);
        assert_int_equal(roster_domain_remove(r, "partner.example", &err), 0);
        assert_refused(roster_domain_remove(r, "partner.example", &err), -ENOENT, &err, "has no domain");
        assert_null(roster_default_domain(r));
        assert_int_equal(r->n_domains, 1);
}

/* Nobody takes one for the other: neither who deals with real accounts, nor who tries things out. */
static void sandboxes(void **state)
{
        struct world *w = *state;
        struct roster *r = w->roster, *got = NULL;
        const char *pin = key_pin(w->tenant);
        struct error err = {""};

        assert_refused(roster_verify_kind(&got, true, r->text, strlen(r->text), pin, TENANT, NOW, 1, &err), -EPERM,
                       &err, "is not a sandbox's");
        r->sandbox = true;
        assert_int_equal(roster_sign(r, w->tenant, NOW, 60, &err), 0);
        assert_refused(verify_at(w, r->text, NOW, &got, &err), -EPERM, &err, "prove no password");
        assert_refused(verify_at(w, r->text, NOW + 9000, &got, &err), -EPERM, &err, "prove no password");
        if (roster_verify_kind(&got, true, r->text, strlen(r->text), pin, TENANT, NOW, 1, &err) < 0)
                fail_msg("%s", err.text);
        assert_true(got->sandbox);
        roster_free(got);
}

/* A service of another role is known and may not ask for sign-ins. */
static void roles(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        struct roster *r = NULL;

        free(w->roster->services[0].role);
        w->roster->services[0].role = strdup("helpdesk");
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 60, &err), 0);
        if (verify_at(w, w->roster->text, NOW, &r, &err) < 0)
                fail_msg("%s", err.text);
        assert_string_equal(roster_service(r, key_kid(w->service))->role, "helpdesk");
        assert_null(roster_sign_in_service(r, key_kid(w->service)));
        roster_free(r);
}

/* A roster of the form before domains keeps its number and its members, who speak for nothing, until it is signed anew.
 */
static void first_form(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        struct roster *r = NULL;
        struct jws jws;
        char header[200];

        while (w->roster->n_domains > 0) {
                assert_int_equal(roster_speak(w->roster, "dc-east", NULL, 0, &err), 0);
                assert_int_equal(roster_domain_remove(w->roster, w->roster->domains[0].name, &err), 0);
        }
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 86400, &err), 0);
        assert_int_equal(jws_parse(&jws, w->roster->text, strlen(w->roster->text), JOSE_TYP_ROSTER, false, &err), 0);
        char *form = replaced(jws.payload.data, "\"v\":2", "\"v\":1");
        char *none = replaced(form, ",\"domains\":[],\"connectors\"", ",\"connectors\"");
        char *mute = replaced(none, ",\"domains\":[]", "");
        char *plain = replaced(mute, ",\"role\":\"sign-in\"", "");
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"postern-roster+jwt\",\"kid\":\"%s\"}",
                 key_kid(w->tenant));
        char *text = sign_raw(w->tenant, header, plain);
        if (verify_at(w, text, NOW, &r, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(r->form, 1);
        assert_int_equal(r->seq, 2);
        assert_int_equal(r->n_domains, 0);
        assert_int_equal(r->connectors[0].n_domains, 0);
        assert_non_null(roster_sign_in_service(r, key_kid(w->service)));
        assert_int_equal(roster_sign(r, w->tenant, NOW, 60, &err), 0);
        assert_int_equal(r->form, ROSTER_FORM_WITHOUT_PEOPLE);
        roster_free(r);
        free(form);
        free(none);
        free(mute);
        free(plain);
        free(text);
        jws_clear(&jws);
}

/* At one number the text that was seen first counts, whoever signed both. */
static void one_number_one_text(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        char seen[KID_LEN + 1];

        roster_text_hash(w->roster->text, strlen(w->roster->text), seen);
        assert_int_equal(roster_same_as_seen(w->roster, 1, seen, &err), 0);
        assert_int_equal(roster_same_as_seen(w->roster, 1, "", &err), 0);
        w->roster->seq = 0;
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 86400, &err), 0);
        assert_refused(roster_same_as_seen(w->roster, 1, seen, &err), -EBADE, &err, "another text of number 1");
        assert_int_equal(roster_sign(w->roster, w->tenant, NOW, 86400, &err), 0);
        assert_int_equal(roster_same_as_seen(w->roster, 1, seen, &err), 0);
}

static void sids(void **state)
{
        (void)state;
        assert_true(sid_is_domain("S-1-5-21-0-1-4294967295"));
        assert_false(sid_is_domain("S-1-5-21-0-1"));
        assert_false(sid_is_domain("S-1-5-21-0-1-2-3"));
        assert_false(sid_is_domain("s-1-5-21-0-1-2"));
        assert_false(sid_is_domain("S-1-5-21-0-1-2 "));
        assert_false(sid_is_domain("S-1-5-21-0--1-2"));
        assert_false(sid_is_domain("S-1-5-21-0-01-2"));
        assert_true(sid_is_of("S-1-5-21-1-2-3-500", "S-1-5-21-1-2-3"));
        assert_false(sid_is_of("S-1-5-21-1-2-3", "S-1-5-21-1-2-3"));
        assert_false(sid_is_of("S-1-5-21-1-2-3-", "S-1-5-21-1-2-3"));
        assert_false(sid_is_of("S-1-5-21-1-2-3-500-1", "S-1-5-21-1-2-3"));
        assert_false(sid_is_of("S-1-5-21-1-2-33-500", "S-1-5-21-1-2-3"));
        assert_false(sid_is_of("S-1-5-21-1-2-3-4294967296", "S-1-5-21-1-2-3"));
        assert_false(sid_is_of("S-1-5-21-1-2-3-0500", "S-1-5-21-1-2-3"));
        assert_false(sid_is_of("S-1-5-21-1-2-3-500", ""));
        assert_false(sid_is_of("krb5:alice@CORP.EXAMPLE", "S-1-5-21-1-2-3"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(round_trip, begin, end),
                cmocka_unit_test_setup_teardown(payload_refusals, begin, end),
                cmocka_unit_test_setup_teardown(domain_refusals, begin, end),
                cmocka_unit_test_setup_teardown(key_refusals, begin, end),
                cmocka_unit_test_setup_teardown(order_of_checks, begin, end),
                cmocka_unit_test_setup_teardown(relay_adds_a_connector, begin, end),
                cmocka_unit_test_setup_teardown(editing, begin, end),
                cmocka_unit_test_setup_teardown(signing_again, begin, end),
                cmocka_unit_test_setup_teardown(limits, begin, end),
                cmocka_unit_test_setup_teardown(tenants, begin, end),
                cmocka_unit_test_setup_teardown(domains, begin, end),
                cmocka_unit_test_setup_teardown(sandboxes, begin, end),
                cmocka_unit_test_setup_teardown(roles, begin, end),
                cmocka_unit_test_setup_teardown(first_form, begin, end),
                cmocka_unit_test_setup_teardown(one_number_one_text, begin, end),
                cmocka_unit_test(sids),
        };

        return cmocka_run_group_tests_name("certs-roster", tests, NULL, NULL);
}
