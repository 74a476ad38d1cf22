/*
 * Key statements: every check with a case that fails it alone.
 */
#include "tests/certs/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/trust/roster.h"
#include "certs/trust/statement.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define NOW 1800000000
#define TENANT "acme"
#define ID "connector-0001-aaaa"

struct world {
        struct key *identity, *other;
        struct statement *s; /* signed at NOW for one hour */
};

static char **names(const char *a, const char *b, size_t *ret_n)
{
        char **list = not_null(calloc(2, sizeof(*list)));

        list[0] = not_null(strdup(a));
        list[1] = b ? not_null(strdup(b)) : NULL;
        *ret_n = b ? 2 : 1;
        return list;
}

static struct statement *unsigned_statement(void)
{
        struct statement *s = not_null(calloc(1, sizeof(*s)));

        s->iss = not_null(strdup(ID));
        s->tenant = not_null(strdup(TENANT));
        memcpy(s->boot, "AAAAAAAAAAAAAAAAAAAAAA", BOOT_LEN + 1);
        s->seq = 7;
        s->realms = names("corp.example", "sub.corp.example", &s->n_realms);
        s->suffixes = names("corp.com", NULL, &s->n_suffixes);
        s->netbios = names("CORP", NULL, &s->n_netbios);
        s->n_keys = 2;
        s->keys[0] = (struct statement_key){fresh_key(), NOW - 3600, NOW + 600};
        s->keys[1] = (struct statement_key){fresh_key(), NOW - 60, NOW + 86400};
        return s;
}

static int begin(void **state)
{
        struct world *w = not_null(calloc(1, sizeof(*w)));
        struct error err = {""};

        w->identity = fresh_key();
        w->other = fresh_key();
        w->s = unsigned_statement();
        assert_int_equal(statement_sign(w->s, w->identity, NOW, 3600, &err), 0);
        *state = w;
        return 0;
}

static int end(void **state)
{
        struct world *w = *state;

        statement_free(w->s);
        key_free(w->identity);
        key_free(w->other);
        free(w);
        return 0;
}

static int verify(const struct world *w, const char *text, int64_t now, struct statement **ret, struct error *err)
{
        return statement_verify(ret, text, strlen(text), w->identity, ID, TENANT, now, err);
}

static void round_trip(void **state)
{
        struct world *w = *state;
        struct error err = {""};
        struct statement *s = NULL;
        char kid[KID_LEN + 1];

        if (verify(w, w->s->text, NOW, &s, &err) < 0)
                fail_msg("%s", err.text);
        assert_string_equal(s->iss, ID);
        assert_string_equal(s->tenant, TENANT);
        assert_string_equal(s->boot, w->s->boot);
        assert_string_equal(s->kid, key_kid(w->identity));
        assert_string_equal(s->text, w->s->text);
        assert_int_equal(s->seq, 7);
        assert_int_equal(s->iat, NOW);
        assert_int_equal(s->exp, NOW + 3600);
        assert_int_equal(s->n_realms, 2);
        assert_string_equal(s->realms[1], "sub.corp.example");
        assert_string_equal(s->suffixes[0], "corp.com");
        assert_string_equal(s->netbios[0], "CORP");
        assert_int_equal(s->n_keys, 2);
        assert_string_equal(key_kid(s->keys[0].key), key_kid(w->s->keys[0].key));
        assert_int_equal(s->keys[1].exp, NOW + 86400);
        assert_int_equal(statement_peek_kid(s->text, strlen(s->text), kid, &err), 0);
        assert_string_equal(kid, key_kid(w->identity));
        assert_refused(statement_peek_kid("x.y.z", 5, kid, &err), -EBADMSG, &err, "header");
        assert_false(s->guard);
        statement_free(s);
        w->s->guard = true;
        assert_int_equal(statement_sign(w->s, w->identity, NOW, 3600, &err), 0);
        assert_int_equal(verify(w, w->s->text, NOW, &s, &err), 0);
        assert_true(s->guard);
        statement_free(s);
}

static void newest_key(void **state)
{
        struct world *w = *state;
        const struct statement *s = w->s;

        assert_ptr_equal(statement_key_at(s, NOW), &s->keys[1]);
        assert_ptr_equal(statement_key_at(s, NOW - 61), &s->keys[0]); /* the newer one is not valid yet */
        assert_ptr_equal(statement_key_at(s, NOW - 60), &s->keys[1]);
        assert_ptr_equal(statement_key_at(s, NOW + 86399), &s->keys[1]);
        assert_null(statement_key_at(s, NOW + 86400));
        assert_null(statement_key_at(s, NOW - 3601));
}

static void refuse_payload(struct world *w, const char *find, const char *with, int code, const char *says)
{
        struct error err = {""};
        struct jws jws;
        char header[200];
        struct statement *s = NULL;

        assert_int_equal(jws_parse(&jws, w->s->text, strlen(w->s->text), JOSE_TYP_KEYS, false, &err), 0);
        char *payload = replaced(jws.payload.data, find, with);
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"typ\":\"postern-keys+jwt\",\"kid\":\"%s\"}",
                 key_kid(w->identity));
        char *text = sign_raw(w->identity, header, payload);
        int code_seen = verify(w, text, NOW, &s, &err);
        if (code_seen == 0)
                fail_msg("accepted: %s -> %s", find, with);
        assert_refused(code_seen, code, &err, says);
        assert_null(s);
        free(text);
        free(payload);
        jws_clear(&jws);
}

static void payload_refusals(void **state)
{
        static const struct {
                const char *find, *with;
                int code;
                const char *says;
        } cases[] = {
                {"\"v\":[1]", "\"v\":1", -EBADMSG, "v is not an array"},
                {"\"v\":[1]", "\"v\":[]", -EBADMSG, "v has 0 elements"},
                {"\"v\":[1]", "\"v\":[2]", -EBADMSG, "v has no version 1, which the connector must speak"},
                {"\"v\":[1]", "\"v\":[\"1\"]", -EBADMSG, "v[0] is not an integer"},
                {"\"v\":[1]", "\"v\":[1,0]", -EBADMSG, "v[1] is out of range"},
                {"{\"v\"", "{\"more\":1,\"v\"", -EBADMSG, "unknown member \"more\""},
                {"{\"v\"", "{\"seq\":1,\"v\"", -EBADMSG, "a member is repeated"},
                {"\"iss\":\"connector-0001-aaaa\"", "\"iss\":\"connector-0002-aaaa\"", -EXDEV, "its key belongs to"},
                {"\"iss\":\"connector-0001-aaaa\"", "\"iss\":\"connector 0001 aaaa\"", -EBADMSG, "iss is not an id"},
                {"\"iss\":\"connector-0001-aaaa\",", "", -EBADMSG, "iss is missing"},
                {"\"tenant\":\"acme\"", "\"tenant\":\"evil\"", -EXDEV, "is of tenant evil, not acme"},
                {"\"tenant\":\"acme\"", "\"tenant\":\"ACME\"", -EBADMSG, "not a tenant's name"},
                {"\"boot\":\"A", "\"boot\":\"", -EBADMSG, "boot is not base64url of the right length"},
                {"\"boot\":\"A", "\"boot\":\"=", -EBADMSG, "boot is not base64url of the right length"},
                {"\"seq\":7", "\"seq\":-7", -EBADMSG, "seq is out of range"},
                {"\"seq\":7,", "", -EBADMSG, "seq is missing"},
                {"\"exp\":1800003600", "\"exp\":1800007201", -EBADMSG, "exp is not 1 to 7200 s after"},
                {"\"exp\":1800003600", "\"exp\":1799999999", -EBADMSG, "exp is not 1 to 7200 s after"},
                {"\"iat\":1800000000", "\"iat\":1800000000.5", -EBADMSG, "iat is not an integer"},
                {"\"realms\":[", "\"realms\":[7,", -EBADMSG, "realms[0] is not a string"},
                {"\"corp.example\"", "\"\"", -EBADMSG, "realms[0] is empty"},
                {"\"corp.example\"", "\"corp example\"", -EBADMSG, "realms[0] is not a name"},
                {"\"corp.example\"", "\"a@b\"", -EBADMSG, "realms[0] is not a name"},
                {"\"corp.com\"", "\"corp.com\\\\x\"", -EBADMSG, "suffixes[0] is not a name"},
                {"\"CORP\"", "\"CO/RP\"", -EBADMSG, "netbios[0] is not a name"},
                {"\"suffixes\":[", "\"suffixes\":{},\"x\":[", -EBADMSG, "unknown member \"x\""},
                {"\"keys\":[", "\"keys\":[7,", -EBADMSG, "keys[0] is not an object"},
                {"\"use\":\"enc\"", "\"use\":\"sig\"", -EBADMSG, "use is not \"enc\""},
                {"\"use\":\"enc\",", "", -EBADMSG, "use is missing"},
                {"\"alg\":\"ECDH-ES+A256KW\"", "\"alg\":\"ECDH-ES\"", -EBADMSG, "alg is not \"ECDH-ES+A256KW\""},
                {"\"use\":\"enc\"", "\"use\":\"enc\",\"key_ops\":[]", -EBADMSG, "unknown member \"key_ops\""},
                {"\"nbf\":1799996400", "\"nbf\":1800000600", -EBADMSG, "keys[0].exp is not after nbf"},
                {"\"nbf\":1799996400", "\"nbf\":\"x\"", -EBADMSG, "nbf is not an integer"},
                {"\"kty\":\"EC\"", "\"kty\":\"RSA\"", -EBADMSG, "kty is not \"EC\""},
        };

        for (size_t i = 0; i < N(cases); i++)
                refuse_payload(*state, cases[i].find, cases[i].with, cases[i].code, cases[i].says);
}

/* What a service takes of keys that sign in the identity's place. */
static void signing_keys(void **state)
{
        static const struct {
                int64_t nbf, exp;
                enum { FRESH, THE_IDENTITY, AN_ENC_KEY } which;
                const char *says; /* NULL: taken */
        } cases[] = {
                {0, 3600, FRESH, NULL},
                {-3600, 3600, FRESH, NULL},
                {0, 3601, FRESH, "sign[0].exp is after the statement's, or more than two hours after nbf"},
                {-3601, 3600, FRESH, "sign[0].exp is after the statement's, or more than two hours after nbf"},
                {0, 0, FRESH, "not after"},
                {0, 3600, THE_IDENTITY, "sign[0].kid is the identity key's, which only signs"},
                {0, 3600, AN_ENC_KEY, "is in the statement twice"},
        };
        struct world *w = *state;

        for (size_t i = 0; i < N(cases); i++) {
                struct statement *s = unsigned_statement(), *taken = NULL;
                struct error err = {""};
                struct key *fresh = NULL;

                assert_int_equal(key_generate(&fresh, NULL), 0);
                s->n_sign = 1;
                s->sign[0].key = key_ref(cases[i].which == FRESH          ? fresh
                                         : cases[i].which == THE_IDENTITY ? w->identity
                                                                          : s->keys[0].key);
                s->sign[0].nbf = NOW + cases[i].nbf;
                s->sign[0].exp = NOW + cases[i].exp;
                assert_int_equal(statement_sign(s, w->identity, NOW, 3600, &err), 0);
                int r = verify(w, s->text, NOW, &taken, &err);
                if (cases[i].says) {
                        assert_refused(r, -EBADMSG, &err, cases[i].says);
                } else {
                        assert_int_equal(r, 0);
                        assert_int_equal(taken->n_sign, 1);
                        assert_string_equal(key_kid(taken->sign[0].key), key_kid(fresh));
                }
                statement_free(taken);
                statement_free(s);
                key_free(fresh);
        }
}

static void key_refusals(void **state)
{
        struct world *w = *state;
        char find[80], with[80];
        char *first[3], old_key[400], new_key[400];
        json_t *jwk = NULL;
        struct key *const keys[] = {w->s->keys[0].key, w->s->keys[1].key, w->identity};

        snprintf(find, sizeof(find), "\"kid\":\"%s\"", key_kid(keys[0]));
        snprintf(with, sizeof(with), "\"kid\":\"%s\"", key_kid(keys[1]));
        refuse_payload(w, find, with, -EBADMSG, "keys[0].kid is not the thumbprint");
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(key_to_jwk(keys[i], &jwk), 0);
                first[i] = json_dumps(jwk, JSON_COMPACT);
                first[i][strlen(first[i]) - 1] = '\0'; /* open at its end */
                json_decref(jwk);
                jwk = NULL;
        }
        snprintf(old_key, sizeof(old_key), "%s,\"kid\":\"%s\"", first[1], key_kid(keys[1]));
        for (size_t i = 0; i < 3; i += 2) {
                snprintf(new_key, sizeof(new_key), "%s,\"kid\":\"%s\"", first[i], key_kid(keys[i]));
                refuse_payload(w, old_key, new_key, -EBADMSG,
                               i == 0 ? "keys[1].kid is in the statement twice"
                                      : "keys[1].kid is the identity key's, which only signs");
        }
        for (size_t i = 0; i < 3; i++)
                free(first[i]);
}

static void signature_and_times(void **state)
{
        struct world *w = *state;
        const char *text = w->s->text;
        const size_t n = strlen(text);
        struct error err = {""};
        struct statement *s = NULL;
        char *forged = strdup(text);

        forged[n - 10] = forged[n - 10] == 'A' ? 'B' : 'A';
        assert_refused(verify(w, forged, NOW, &s, &err), -EKEYREJECTED, &err, "signature does not verify");
        assert_refused(statement_verify(&s, text, n, w->other, ID, TENANT, NOW, &err), -EKEYREJECTED, &err,
                       "is not the key");
        assert_refused(statement_verify(&s, text, n, w->identity, "connector-0009-zzzz", TENANT, NOW, &err), -EXDEV,
                       &err, "its key belongs to");
        assert_refused(statement_verify(&s, text, n, w->identity, ID, "other", NOW, &err), -EXDEV, &err, "not other");
        assert_refused(verify(w, text, NOW + 3600 + ROSTER_SKEW + 1, &s, &err), -ETIME, &err, "expired 121 s ago");
        assert_refused(verify(w, text, NOW - ROSTER_SKEW - 1, &s, &err), -ETIME, &err, "in the future");
        assert_null(s);
        assert_int_equal(verify(w, text, NOW + 3600 + ROSTER_SKEW, &s, &err), 0);
        statement_free(s);
        free(forged);
}

/* A roster or a verdict signed by the same key is no statement. */
static void other_types(void **state)
{
        struct world *w = *state;
        _cleanup_(buffer_free) struct buffer text = BUFFER(STATEMENT_TEXT_MAX);
        struct error err = {""};
        struct statement *s = NULL;

        assert_int_equal(jws_sign(w->identity, JOSE_TYP_VERDICT, "{}", 2, &text, &err), 0);
        assert_refused(verify(w, text.data, NOW, &s, &err), -EBADMSG, &err, "typ is not \"postern-keys+jwt\"");
}

static void signing_refusals(void **state)
{
        struct world *w = *state;
        struct statement *s = w->s;
        struct error err = {""};

        assert_refused(statement_sign(s, w->identity, NOW, STATEMENT_LIFE_MAX + 1, &err), -EINVAL, &err,
                       "lives 1 to 7200 s");
        s->n_keys = 0;
        assert_refused(statement_sign(s, w->identity, NOW, 60, &err), -EINVAL, &err, "has 1 to 4 keys");
        s->n_keys = 2;
        s->boot[0] = '=';
        assert_refused(statement_sign(s, w->identity, NOW, 60, &err), -EINVAL, &err, "a boot id");
        s->boot[0] = 'A';
        s->realms[0][4] = ' ';
        assert_refused(statement_sign(s, w->identity, NOW, 60, &err), -EINVAL, &err, "is malformed, or");
        s->realms[0][4] = '.';
        assert_int_equal(s->iat, NOW); /* untouched by the refusals */
        assert_int_equal(statement_sign(s, w->identity, NOW + 5, STATEMENT_LIFE_MAX, &err), 0);
        assert_int_equal(s->iat, NOW + 5);
}

static void too_long(void **state)
{
        struct world *w = *state;
        struct statement *s = w->s;
        struct error err = {""};
        struct statement *out = NULL;
        char name[201];

        memset(name, 'a', 200);
        name[200] = '\0';
        for (size_t i = 0; i < s->n_realms; i++)
                free(s->realms[i]);
        free(s->realms);
        s->realms = not_null(calloc(STATEMENT_NAMES_MAX, sizeof(*s->realms)));
        for (s->n_realms = 0; s->n_realms < STATEMENT_NAMES_MAX; s->n_realms++)
                s->realms[s->n_realms] = not_null(strdup(name));
        assert_refused(statement_sign(s, w->identity, NOW, 60, &err), -EMSGSIZE, &err, "longer than");
        char *big = not_null(calloc(1, STATEMENT_TEXT_MAX + 2));
        memset(big, 'A', STATEMENT_TEXT_MAX + 1);
        assert_refused(verify(w, big, NOW, &out, &err), -EBADMSG, &err, "longer than 12288 bytes");
        free(big);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(round_trip, begin, end),
                cmocka_unit_test_setup_teardown(newest_key, begin, end),
                cmocka_unit_test_setup_teardown(payload_refusals, begin, end),
                cmocka_unit_test_setup_teardown(key_refusals, begin, end),
                cmocka_unit_test_setup_teardown(signing_keys, begin, end),
                cmocka_unit_test_setup_teardown(signature_and_times, begin, end),
                cmocka_unit_test_setup_teardown(other_types, begin, end),
                cmocka_unit_test_setup_teardown(signing_refusals, begin, end),
                cmocka_unit_test_setup_teardown(too_long, begin, end),
        };

        return cmocka_run_group_tests_name("certs-statement", tests, NULL, NULL);
}
