/*
 * The right vectors: each is opened and checked by our code to exactly the stored bytes; and each is built
 * anew by our encoders from the same inputs, everything that is not random compared byte for byte and the
 * rest opened.
 */
#include "tests/vectors/reading.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "certs/jose/jose-internal.h"
#include "certs/jose/sealed.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "connector/validator/intake.h"
#include "queue/client/client.h"
#include "queue/wire/question.h"
#include "queue/wire/sse.h"
#include "queue/wire/wire.h"
#include "tests/vectors/maker.h"

static json_t *keys, *roster_file, *statements, *request, *verdicts, *identity, *question_file, *link_file;

static int setup(void **state)
{
        (void)state;
        keys = vectors_load("keys.json");
        roster_file = vectors_load("roster.json");
        statements = vectors_load("statements.json");
        request = vectors_load("request.json");
        verdicts = vectors_load("verdicts.json");
        identity = vectors_load("identity.json");
        question_file = vectors_load("question.json");
        link_file = vectors_load("link.json");
        return 0;
}

static int teardown(void **state)
{
        json_t **all[] = {&keys, &roster_file, &statements, &request, &verdicts, &identity, &question_file, &link_file};

        (void)state;
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                json_decref(*all[i]);
                *all[i] = NULL;
        }
        pool_free();
        return 0;
}

/* ---- what all signed objects share ---- */

/* The stored JWS has this header and payload and verifies; one made by our encoder has the same signing
 * input. */
static void check_jws(const char *signer, const char *typ, const char *header, const char *payload, const char *text)
{
        _cleanup_(key_freep) struct key *key = key_at(keys, signer);
        _cleanup_(buffer_free) struct buffer anew = BUFFER(JWS_MAX);
        _cleanup_(jws_clear) struct jws jws = {.payload = BUFFER(0)}, again = {.payload = BUFFER(0)};
        struct error err = {""};

        assert_int_equal(jws_parse(&jws, text, strlen(text), typ, false, &err), 0);
        assert_int_equal(jws_verify(&jws, key, &err), 0);
        BYTES_EQUAL(payload, jws.payload);
        assert_int_equal(strncmp(text, text_b64u(header, strlen(header)), strcspn(text, ".")), 0);
        assert_int_equal(jws_sign(key, typ, payload, strlen(payload), &anew, &err), 0);
        assert_int_equal(jws_parse(&again, anew.data, anew.len, typ, false, &err), 0);
        assert_int_equal(jws_verify(&again, key, &err), 0);
        assert_int_equal(again.signing_len, jws.signing_len);
        assert_memory_equal(anew.data, text, jws.signing_len);
}

static void test_keys(void **state)
{
        const char *name;
        const json_t *entry;

        (void)state;
        json_object_foreach (json_object_get(keys, "keys"), name, entry) {
                _cleanup_(key_freep) struct key *key = key_at(keys, name);
                const char *input = text_at(entry, "thumbprint_input");
                uint8_t hash[SHA256_LEN];

                assert_string_equal(key_kid(key), text_at(entry, "kid"));
                assert_int_equal(crypto_sha256(hash, input, strlen(input)), 0);
                assert_string_equal(text_b64u(hash, sizeof(hash)), text_at(entry, "kid"));
        }
}

/* ---- roster ---- */

static void test_roster(void **state)
{
        _cleanup_(roster_freep) struct roster *roster = roster_at(roster_file), *anew = NULL;
        _cleanup_(key_freep) struct key *tenant = key_at(keys, "tenant"), *berlin_1 = key_at(keys, "berlin-1"),
                                        *berlin_0 = key_at(keys, "berlin-0"), *berlin_2 = key_at(keys, "berlin-2"),
                                        *portal = key_at(keys, "portal");
        struct error err = {""};

        (void)state;
        check_jws("tenant", JOSE_TYP_ROSTER, text_at(roster_file, "header"), text_at(roster_file, "payload"),
                  text_at(roster_file, "jws"));
        assert_int_equal(roster->n_connectors, 2);
        assert_string_equal(roster_connector(roster, key_kid(berlin_1))->id, "conn-berlin-1-4QK7ZD2M");
        assert_string_equal(roster_service(roster, key_kid(portal))->id, "svc-portal-6WJ9BHCF");
        assert_null(roster_service(roster, key_kid(berlin_1)));

        assert_int_equal(roster_new(&anew, "contoso", tenant), 0);
        assert_int_equal(roster_add(anew, false, "conn-berlin-0-0000000", "berlin-0", berlin_0, &err), 0);
        for (size_t i = 0; i < roster->n_domains; i++)
                assert_int_equal(roster_domain_put(anew, &roster->domains[i], &err), 0);
        assert_int_equal(roster_add(anew, false, roster->connectors[0].id, "berlin-1", berlin_1, &err), 0);
        assert_int_equal(roster_add(anew, false, roster->connectors[1].id, "berlin-2", berlin_2, &err), 0);
        assert_int_equal(roster_add(anew, true, roster->services[0].id, "portal", portal, &err), 0);
        assert_int_equal(roster_remove(anew, "berlin-0", &err), 0);
        for (size_t i = 0; i < roster->n_connectors; i++)
                assert_int_equal(roster_speak(anew, roster->connectors[i].id,
                                              (const char *const *)roster->connectors[i].domains,
                                              roster->connectors[i].n_domains, &err),
                                 0);
        anew->seq = 6;
        assert_int_equal(roster_sign(anew, tenant, roster->iat, ROSTER_LIFE_MAX, &err), 0);
        assert_memory_equal(anew->text, roster->text, (size_t)(strrchr(roster->text, '.') - roster->text));
}

/* ---- statements ---- */

static void check_statement(const json_t *entry, const struct roster *roster)
{
        _cleanup_(key_freep) struct key *key = key_at(keys, text_at(entry, "signer"));
        _cleanup_(statement_freep) struct statement *s = NULL;
        const char *jws = text_at(entry, "jws");
        struct error err = {""};

        check_jws(text_at(entry, "signer"), JOSE_TYP_KEYS, text_at(entry, "header"), text_at(entry, "payload"), jws);
        assert_non_null(roster_connector(roster, key_kid(key)));
        assert_int_equal(statement_verify(&s, jws, strlen(jws), key, text_at(entry, "connector"), "contoso",
                                          int_at(at(statements, "with"), "now"), &err),
                         0);
        assert_non_null(statement_key_at(s, int_at(at(statements, "with"), "now")));
        assert_int_equal(statement_sign(s, key, s->iat, s->exp - s->iat, &err), 0);
        assert_memory_equal(s->text, jws, (size_t)(strrchr(jws, '.') - jws));
}

static void test_statements(void **state)
{
        _cleanup_(roster_freep) struct roster *roster = roster_at(roster_file);
        const json_t *list = at(statements, "statements");

        (void)state;
        assert_int_equal(json_array_size(list), 2);
        for (size_t i = 0; i < 2; i++)
                check_statement(json_array_get(list, i), roster);
}

static void test_keys_answer(void **state)
{
        const char *answer = text_at(statements, "keys_answer"), *pin = text_at(at(roster_file, "with"), "pin");
        _cleanup_(directory_freep) struct directory *d = NULL;
        size_t refused = 9;
        struct error err = {""};

        (void)state;
        assert_int_equal(directory_open(&d, answer, strlen(answer),
                                        &(const struct directory_rules){.pin = pin,
                                                                        .tenant = "contoso",
                                                                        .now = int_at(at(statements, "with"), "now"),
                                                                        .min_seq = 7},
                                        &refused, &err),
                         0);
        assert_int_equal(refused, 0);
        assert_int_equal(d->n, 2);
        assert_int_equal(d->entries[0].rank, 0);
        assert_string_equal(d->entries[0].ready[0], "corp.example");
        assert_int_equal(d->entries[0].weight, 64);
        assert_int_equal(d->entries[1].n_ready, 0);
}

static void test_keys_change(void **state)
{
        const char *answer = text_at(statements, "keys_answer"), *change = text_at(statements, "keys_change");
        struct directory_rules rules = {.pin = text_at(at(roster_file, "with"), "pin"),
                                        .tenant = "contoso",
                                        .now = int_at(at(statements, "with"), "now")};
        _cleanup_(directory_freep) struct directory *d = NULL, *later = NULL;
        struct error err = {""};

        (void)state;
        assert_int_equal(directory_open(&d, change, strlen(change), &rules, NULL, &err), -EBADMSG);
        assert_int_equal(directory_open(&d, answer, strlen(answer), &rules, NULL, &err), 0);
        rules.base = d;
        assert_int_equal(directory_open(&later, change, strlen(change), &rules, NULL, &err), 0);
        assert_int_equal(later->n, 1);
        assert_string_equal(later->entries[0].statement->text, text_at(at(statements, "signing"), "jws"));
        assert_int_equal(later->entries[0].weight, 16);
}

/* ---- request ---- */

static void test_request_claims(void **state)
{
        _cleanup_(buffer_free) struct buffer anew = BUFFER_SECRET(PADDED_LARGE), padded = BUFFER(PADDED_LARGE + 1);
        const char *claims = text_at(request, "claims"), *jws = text_at(request, "jws");
        struct request_claims c;
        char req[KID_LEN + 1];
        struct error err = {""};

        (void)state;
        check_jws("portal", JOSE_TYP_REQUEST, text_at(request, "header"), claims, jws);
        assert_int_equal(request_claims_decode(&c, claims, strlen(claims), &err), 0);
        assert_int_equal(c.username_form, CREDENTIAL_OK);
        assert_string_equal(text_b64u(c.rk, 32), text_at(request, "rk"));
        assert_int_equal(request_claims_encode(&c, &anew, &err), 0);
        BYTES_EQUAL(claims, anew);
        request_hash(jws, strlen(jws), req);
        assert_string_equal(req, text_at(request, "req"));
        assert_int_equal(jose_pad(&padded, jws, strlen(jws), PADDED_SMALL), 0);
        BYTES_EQUAL(text_at(request, "padded"), padded);
        assert_int_equal(padded.len, int_at(request, "padded_length"));
        request_hash(padded.data, padded.len, req);
        assert_string_equal(req, text_at(request, "padded_sha256"));
        wipe(&c, sizeof(c));
}

/* Recipient i opens with the key to this JWS, padded. */
static void check_opens(const char *text, size_t i, const char *key_name, const char *jws)
{
        _cleanup_(key_freep) struct key *key = key_at(keys, key_name);
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 16);
        struct error err = {""};
        struct sealed sealed;
        size_t n;

        if (sealed_read(&sealed, text, strlen(text), &err) < 0 || sealed_open(&sealed, i, key, &plain, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(jose_unpadded(plain.data, plain.len, &n), 0);
        assert_int_equal(n, strlen(jws));
        assert_memory_equal(plain.data, jws, n);
}

/* ---- a person's question and its answer ---- */

static void test_question(void **state)
{
        const json_t *q = at(question_file, "question");
        const char *claims = text_at(q, "claims"), *jws = text_at(q, "jws"), *rk = text_at(question_file, "rk");
        _cleanup_(roster_freep) struct roster *roster = roster_at(at(question_file, "roster"));
        _cleanup_(key_freep) struct key *frida = key_at(keys, "frida");
        _cleanup_(buffer_free) struct buffer anew = BUFFER(PADDED_LARGE);
        struct question_claims c;
        char req[KID_LEN + 1];
        struct error err = {""};

        (void)state;
        check_jws("tenant", JOSE_TYP_ROSTER, text_at(at(question_file, "roster"), "header"),
                  text_at(at(question_file, "roster"), "payload"), text_at(at(question_file, "roster"), "jws"));
        assert_int_equal(roster->form, 3);
        assert_string_equal(roster_person(roster, key_kid(frida))->role, "helpdesk");
        check_jws("frida", JOSE_TYP_QUESTION, text_at(q, "header"), claims, jws);
        assert_int_equal(question_claims_decode(&c, claims, strlen(claims), &err), 0);
        assert_string_equal(text_b64u(c.rk, 32), rk);
        assert_int_equal(question_claims_encode(&c, &anew, &err), 0);
        BYTES_EQUAL(claims, anew);
        request_hash(jws, strlen(jws), req);
        assert_string_equal(req, text_at(q, "req"));
        check_opens(text_at(q, "sealed"), 0, text_at(q, "open_with"), jws);
}

/* Of all sign-ins of a time: a question without a name. */
static void test_question_by_time(void **state)
{
        const json_t *q = at(question_file, "by_time");
        const char *claims = text_at(q, "claims"), *header = text_at(at(question_file, "question"), "header");
        _cleanup_(buffer_free) struct buffer anew = BUFFER(PADDED_LARGE);
        struct question_claims c;
        struct error err = {""};

        (void)state;
        check_jws("frida", JOSE_TYP_QUESTION, header, claims, text_at(q, "jws"));
        assert_int_equal(question_claims_decode(&c, claims, strlen(claims), &err), 0);
        assert_string_equal(c.what, "");
        assert_int_equal(c.until - c.since, 1800);
        assert_int_equal(question_claims_encode(&c, &anew, &err), 0);
        BYTES_EQUAL(claims, anew);
}

static void test_answer(void **state)
{
        const json_t *a = at(question_file, "answer");
        const char *claims = text_at(a, "claims"), *jws = text_at(a, "jws"), *jwe = text_at(a, "jwe"),
                   *rk_text = text_at(question_file, "rk");
        _cleanup_(buffer_free) struct buffer anew = BUFFER(PADDED_LARGE), plain = BUFFER(ANSWER_PADDED_MAX + 16);
        struct answer_claims c;
        struct error err = {""};
        uint8_t rk[32];
        size_t n;

        (void)state;
        check_jws("berlin-1", JOSE_TYP_ANSWER, text_at(a, "header"), claims, jws);
        assert_int_equal(answer_claims_decode(&c, claims, strlen(claims), &err), 0);
        assert_int_equal(answer_claims_encode(&c, &anew, &err), 0);
        BYTES_EQUAL(claims, anew);
        assert_string_equal(c.req, text_at(at(question_file, "question"), "req"));
        answer_claims_clear(&c);
        assert_int_equal(b64u_decode_exact(rk, sizeof(rk), rk_text, strlen(rk_text)), 0);
        assert_int_equal(jwe_open(JWE_ANSWER, rk, jwe, strlen(jwe), &plain, &err), 0);
        assert_int_equal(plain.len, int_at(a, "padded_length"));
        assert_int_equal(jose_answer_unpadded(plain.data, plain.len, &n), 0);
        assert_int_equal(n, strlen(jws));
        assert_memory_equal(plain.data, jws, n);
}

static void test_request_sealed(void **state)
{
        const json_t *shares = at(request, "shares");
        const char *text = text_at(request, "sealed"), *protected = text_at(request, "protected"),
                   *jws = text_at(request, "jws");
        struct sealed sealed;

        (void)state;
        check_opens(text, 0, "berlin-1-enc", jws);
        check_opens(text, 1, "berlin-2-enc", jws);
        assert_int_equal(sealed_read(&sealed, text, strlen(text), NULL), 0);
        assert_int_equal(sealed.padded, PADDED_SMALL);
        assert_string_equal(SEALED_PROTECTED, text_b64u(protected, strlen(protected)));
        for (size_t i = 0; i < 2; i++) {
                _cleanup_(buffer_free) struct buffer share = BUFFER(SEALED_SHARE_MAX);

                assert_int_equal(sealed_share(&sealed, i, &share), 0);
                assert_string_equal(share.data, json_string_value(json_array_get(shares, i)));
                check_opens(share.data, 0, i ? "berlin-2-enc" : "berlin-1-enc", jws);
        }
}

/* Our own sealing draws other random bytes, has the same form, and opens to the same. */
static void test_request_sealed_anew(void **state)
{
        _cleanup_(key_freep) struct key *berlin_1 = key_at(keys, "berlin-1-enc"),
                                        *berlin_2 = key_at(keys, "berlin-2-enc");
        struct key *to[2] = {berlin_1, berlin_2};
        _cleanup_(buffer_free) struct buffer text = BUFFER(SEALED_MAX), padded = BUFFER(PADDED_LARGE);
        const char *stored = text_at(request, "sealed"), *jws = text_at(request, "jws");
        struct error err = {""};

        (void)state;
        assert_int_equal(jose_pad(&padded, jws, strlen(jws), PADDED_SMALL), 0);
        assert_int_equal(sealed_seal(to, 2, &padded, &text, &err), 0);
        assert_int_equal(text.len, strlen(stored));
        assert_memory_equal(text.data, stored, strlen(SEALED_PROTECTED) + 1);
        assert_memory_not_equal(text.data, stored, text.len);
        check_opens(text.data, 0, "berlin-1-enc", jws);
        check_opens(text.data, 1, "berlin-2-enc", jws);
}

/* The change of a password, in the larger class, and the verdict on it. */
static void test_change(void **state)
{
        _cleanup_(buffer_free) struct buffer anew = BUFFER_SECRET(PADDED_LARGE);
        const json_t *change = at(request, "change");
        const char *claims = text_at(change, "claims"), *jws = text_at(change, "jws");
        struct request_claims c;
        struct error err = {""};
        char req[KID_LEN + 1];

        (void)state;
        check_jws("portal", JOSE_TYP_REQUEST, text_at(request, "header"), claims, jws);
        assert_int_equal(request_claims_decode(&c, claims, strlen(claims), &err), 0);
        assert_string_equal(c.op, OP_CHANGE_PASSWORD);
        assert_int_equal(request_claims_encode(&c, &anew, &err), 0);
        BYTES_EQUAL(claims, anew);
        request_hash(jws, strlen(jws), req);
        assert_string_equal(req, text_at(change, "req"));
        check_opens(text_at(change, "sealed"), 0, text_at(change, "open_with"), jws);
        assert_int_equal(strlen(text_at(change, "sealed")), SEALED_LEN(PADDED_LARGE, 1));
        wipe(&c, sizeof(c));
}

/* The whole intake of a connector, once. */
static void test_request_taken(void **state)
{
        _cleanup_(roster_freep) struct roster *roster = roster_at(roster_file);
        _cleanup_(key_freep) struct key *enc = key_at(keys, "berlin-1-enc"), *self = key_at(keys, "berlin-1");
        struct enckeys own = {.identity = self, .n = 1, .keys = {{enc, 0, INT64_MAX - 1000}}};
        const char *jwe = json_string_value(json_array_get(at(request, "shares"), 0));
        struct replay *replay = NULL;
        struct intake in;

        (void)state;
        assert_int_equal(replay_new(&replay, 4), 0);
        const struct intake_context ctx = {&own,
                                           roster,
                                           replay,
                                           "contoso",
                                           text_at(at(request, "with"), "id"),
                                           int_at(at(request, "with"), "now")};
        assert_int_equal(intake_open(&in, &ctx, jwe, strlen(jwe)), 0);
        assert_int_equal(in.result, INTAKE_OPEN);
        assert_string_equal(in.req, text_at(request, "req"));
        assert_string_equal(in.claims->password, "correct horse battery staple");
        assert_string_equal(in.service_name, "portal");
        intake_clear(&in);
        replay_free(replay);
}

/* ---- verdicts ---- */

/* A service's memory of the request. */
static void fill_sign_in(struct sign_in *s)
{
        const json_t *with = at(verdicts, "with"), *to = at(with, "sealed_to");

        *s = (struct sign_in){.n_to = json_array_size(to), .padded = (size_t)int_at(with, "padded")};
        memcpy(s->id, text_at(with, "id"), strlen(text_at(with, "id")) + 1);
        memcpy(s->req, text_at(with, "req"), KID_LEN + 1);
        memcpy(s->service_id, text_at(with, "service"), strlen(text_at(with, "service")) + 1);
        memcpy(s->tenant, text_at(with, "tenant"), strlen(text_at(with, "tenant")) + 1);
        memcpy(s->domain, text_at(with, "domain"), strlen(text_at(with, "domain")) + 1);
        memcpy(s->domain_sid, text_at(with, "domain_sid"), strlen(text_at(with, "domain_sid")) + 1);
        (void)snprintf(s->other_sids[s->n_other_sids++], sizeof(s->other_sids[0]), "%s",
                       json_string_value(json_array_get(at(with, "other_sids"), 0)));
        assert_int_equal(b64u_decode_exact(s->rk, 32, text_at(with, "rk"), KID_LEN), 0);
        for (size_t i = 0; i < s->n_to; i++) {
                const json_t *entry = json_array_get(to, i);

                memcpy(s->to[i].id, text_at(entry, "id"), strlen(text_at(entry, "id")) + 1);
                s->to[i].identity = key_at(keys, i == 0 ? "berlin-1" : "berlin-2");
                assert_string_equal(key_kid(s->to[i].identity), text_at(entry, "kid"));
        }
}

static void check_verdict(struct sign_in *s, const char *signer, const char *header, const json_t *entry)
{
        _cleanup_(buffer_free) struct buffer plain = BUFFER_SECRET(PADDED_LARGE + 1), anew = BUFFER(PADDED_LARGE),
                                             sealed = BUFFER(JWE_MAX);
        const char *jwe = text_at(entry, "jwe"), *jws = text_at(entry, "jws"), *claims = text_at(entry, "claims");
        struct verdict_claims v;
        struct error err = {""};
        size_t n = 0;

        check_jws(signer, JOSE_TYP_VERDICT, header, claims, jws);
        (void)snprintf(s->domain_sid, sizeof(s->domain_sid), "%s",
                       json_object_get(entry, "domain_sid") ? text_at(entry, "domain_sid")
                                                            : text_at(at(verdicts, "with"), "domain_sid"));
        assert_int_equal(jwe_open(JWE_VERDICT, s->rk, jwe, strlen(jwe), &plain, &err), 0);
        assert_int_equal(jose_unpadded(plain.data, plain.len, &n), 0);
        assert_int_equal(n, strlen(jws));
        assert_memory_equal(plain.data, jws, n);
        if (sign_in_check(s, jwe, strlen(jwe), int_at(at(verdicts, "with"), "now"), &v, &err) < 0)
                fail_msg("%s: %s", text_at(entry, "name"), err.text);
        assert_int_equal(verdict_claims_encode(&v, &anew, &err), 0);
        BYTES_EQUAL(claims, anew);
        assert_int_equal(jwe_seal(JWE_VERDICT, s->rk, plain.data, plain.len, &sealed, &err), 0);
        assert_int_equal(sealed.len, strlen(jwe));
        assert_memory_equal(sealed.data, jwe, (size_t)(strstr(jwe, "..") - jwe));
        assert_int_equal(sign_in_check(s, sealed.data, sealed.len, int_at(at(verdicts, "with"), "now"), &v, &err), 0);
}

static void test_verdicts(void **state)
{
        const json_t *list = at(verdicts, "verdicts");
        struct sign_in s;

        (void)state;
        fill_sign_in(&s);
        assert_int_equal(json_array_size(list), 5);
        for (size_t i = 0; i < json_array_size(list); i++)
                check_verdict(&s, "berlin-1", text_at(verdicts, "header"), json_array_get(list, i));
        sign_in_clear(&s);
}

/* By a key that the statement certifies; without that statement it is nobody's. */
static void test_signing_key(void **state)
{
        const json_t *signing = at(verdicts, "signing");
        const char *jwe = text_at(signing, "jwe"), *jws = text_at(at(statements, "signing"), "jws");
        _cleanup_(roster_freep) struct roster *roster = roster_at(roster_file);
        _cleanup_(statement_freep) struct statement *statement = NULL;
        _cleanup_(key_freep) struct key *self = key_at(keys, "berlin-1");
        const int64_t now = int_at(at(verdicts, "with"), "now");
        struct verdict_claims v;
        struct error err = {""};
        struct sign_in s;

        (void)state;
        check_statement(at(statements, "signing"), roster);
        assert_int_equal(statement_verify(&statement, jws, strlen(jws), self,
                                          text_at(at(statements, "signing"), "connector"), "contoso", now, &err),
                         0);
        fill_sign_in(&s);
        assert_int_equal(sign_in_check(&s, jwe, strlen(jwe), now, &v, &err), -EKEYREJECTED);
        s.to[0].n_sign = sign_at(keys, signing, s.to[0].sign);
        assert_int_equal(statement->n_sign, 1);
        assert_string_equal(key_kid(statement->sign[0].key), key_kid(s.to[0].sign[0].key));
        assert_int_equal(statement->sign[0].nbf, s.to[0].sign[0].nbf);
        assert_int_equal(statement->sign[0].exp, s.to[0].sign[0].exp);
        check_verdict(&s, text_at(signing, "signer"), text_at(signing, "header"), signing);
        sign_in_clear(&s);
}

/* Its class of padding is that of its request; by another it is none. */
static void test_change_verdict(void **state)
{
        const json_t *change = at(verdicts, "change"), *asked = at(request, "change");
        const char *jwe = text_at(change, "jwe");
        struct verdict_claims v;
        struct error err = {""};
        struct sign_in s;

        (void)state;
        fill_sign_in(&s);
        memcpy(s.id, text_at(asked, "id"), strlen(text_at(asked, "id")) + 1);
        memcpy(s.req, text_at(asked, "req"), KID_LEN + 1);
        assert_int_equal(sign_in_check(&s, jwe, strlen(jwe), int_at(at(verdicts, "with"), "now"), &v, &err), -EBADMSG);
        s.padded = PADDED_LARGE;
        check_verdict(&s, "berlin-1", text_at(verdicts, "header"), change);
        sign_in_clear(&s);
}

/* ---- identity and link ---- */

static void test_identity(void **state)
{
        const char *body = text_at(identity, "body");
        _cleanup_(json_freep) json_t *o = NULL;
        _cleanup_(key_freep) struct key *key = NULL;
        struct error err = {""};

        (void)state;
        check_jws("berlin-1", JOSE_TYP_IDENTITY, text_at(identity, "header"), text_at(identity, "payload"),
                  text_at(identity, "proof"));
        assert_int_equal(jose_json_object(&o, body, strlen(body), "identity", &err), 0);
        assert_string_equal(text_at(o, "proof"), text_at(identity, "proof"));
        assert_int_equal(key_from_jwk(&key, at(o, "jwk"), &err), 0);
        assert_string_equal(key_kid(key), text_at(at(at(keys, "keys"), "berlin-1"), "kid"));
}

struct heard {
        size_t n;
        const json_t *events;
};

/* Decodes an event of the stream and encodes it again where we have an encoder. */
static int on_event(void *arg, const char *name, const char *data, size_t n)
{
        struct heard *h = arg;
        const json_t *stored = json_array_get(h->events, h->n++);
        _cleanup_(buffer_free) struct buffer anew = BUFFER(2 * EVENT_MAX);
        struct error err = {""};

        assert_string_equal(name, text_at(stored, "event"));
        assert_string_equal(data, text_at(stored, "data"));
        if (strcmp(name, "hello") == 0) {
                struct hello hello;

                assert_int_equal(hello_decode(&hello, data, n, &err), 0);
                assert_int_equal(hello_encode(&hello, &anew), 0);
                BYTES_EQUAL(data, anew);
        } else if (strcmp(name, "request") == 0) {
                struct request_event e;

                assert_int_equal(request_event_decode(&e, data, n, &err), 0);
                assert_string_equal(e.sealed, json_string_value(json_array_get(at(request, "shares"), 0)));
                assert_int_equal(request_event_encode(&e, &anew), 0);
                BYTES_EQUAL(data, anew);
                request_event_clear(&e);
        } else if (strcmp(name, "cancel") == 0) {
                char id[ID_MAX + 1];

                assert_int_equal(cancel_event_decode(id, data, n, &err), 0);
                assert_string_equal(id, text_at(at(request, "with"), "id"));
        } else if (strcmp(name, "roster") == 0) {
                _cleanup_(freep) char *jws = NULL;

                assert_int_equal(roster_event_decode(&jws, data, n, &err), 0);
                assert_string_equal(jws, text_at(roster_file, "jws"));
        } else {
                uint32_t min = 9, max = 9;

                assert_string_equal(name, "drain");
                assert_int_equal(drain_event_decode(&min, &max, data, n, &err), 0);
                assert_int_equal(min, 0);
                assert_int_equal(max, 5000);
        }
        return 0;
}

static void test_stream(void **state)
{
        const json_t *events = at(link_file, "events");
        struct heard heard = {0, events};
        struct sse sse;
        struct error err = {""};

        (void)state;
        sse_init(&sse, ROSTER_TEXT_MAX);
        for (size_t i = 0; i < json_array_size(events); i++) {
                const char *bytes = text_at(json_array_get(events, i), "bytes");

                assert_int_equal(sse_feed(&sse, bytes, strlen(bytes), on_event, &heard, &err), 0);
                assert_int_equal(sse_feed(&sse, ": hb\n\n", 6, on_event, &heard, &err), 0);
        }
        assert_int_equal(heard.n, 5);
        sse_clear(&sse);
}

static void test_reports(void **state)
{
        const json_t *list = at(link_file, "reports");
        const char *answer = text_at(link_file, "answer"), *refused = text_at(link_file, "answer_refused");
        _cleanup_(buffer_free) struct buffer anew = BUFFER(REPORT_MAX);
        struct report_answer a = {0};
        struct error err = {""};

        (void)state;
        for (size_t i = 0; i < json_array_size(list); i++) {
                const char *text = json_string_value(json_array_get(list, i));
                struct report r;

                buffer_clear(&anew);
                assert_int_equal(report_decode(&r, text, strlen(text), &err), 0);
                assert_int_equal(report_encode(&r, &anew), 0);
                BYTES_EQUAL(text, anew);
                report_clear(&r);
        }
        buffer_clear(&anew);
        assert_int_equal(report_answer_decode(&a, answer, strlen(answer), &err), 0);
        assert_int_equal(report_answer_encode(&a, &anew), 0);
        BYTES_EQUAL(answer, anew);
        report_answer_clear(&a);
        buffer_clear(&anew);
        assert_int_equal(report_answer_decode(&a, refused, strlen(refused), &err), 0);
        assert_string_equal(a.refused.why, "not_in_roster");
        assert_int_equal(report_answer_encode(&a, &anew), 0);
        BYTES_EQUAL(refused, anew);
        report_answer_clear(&a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_question),
                cmocka_unit_test(test_question_by_time),
                cmocka_unit_test(test_answer),
                cmocka_unit_test(test_keys),
                cmocka_unit_test(test_roster),
                cmocka_unit_test(test_statements),
                cmocka_unit_test(test_keys_answer),
                cmocka_unit_test(test_keys_change),
                cmocka_unit_test(test_request_claims),
                cmocka_unit_test(test_request_sealed),
                cmocka_unit_test(test_request_sealed_anew),
                cmocka_unit_test(test_request_taken),
                cmocka_unit_test(test_change),
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_signing_key),
                cmocka_unit_test(test_change_verdict),
                cmocka_unit_test(test_identity),
                cmocka_unit_test(test_stream),
                cmocka_unit_test(test_reports),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
