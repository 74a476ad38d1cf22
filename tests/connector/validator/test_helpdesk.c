/*
 * Questions of people from frame to sealed answer: who may not ask, what a hostile relay, person or ledger can make of
 * it, and that an answer counts for nothing but its own question.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/core/secret.h"
#include "certs/jose/sealed.h"
#include "connector/frames/messages.h"
#include "connector/validator/helpdesk.h"
#include "queue/seal/question.h"
#include "tests/connector/validator/fixture.h"

#define PERSON_ID "person-0000000001"
#define DAY 86400

static struct world {
        struct fixture f;
        struct loop *loop;
        struct helpdesk *helpdesk;
        struct key *person, *stranger;
        size_t n_domains;
        bool no_ledger, no_roster;
        size_t queries, refusals, answers, declines;
        uint64_t number; /* of the latest query */
        char why[32], refused[64], domains[512], what[600], who[65];
        bool has_domains;
        struct buffer jwe;
} w;

static const char *const served[] = {"corp.example", "partner.example"};

static const struct roster *get_roster(void *arg)
{
        (void)arg;
        return w.no_roster ? NULL : w.f.roster;
}

static int on_link(void *arg, const struct msg_out *out)
{
        const uint8_t *bytes;
        struct msg_in m;
        size_t n;

        (void)arg;
        assert_false(out->overflow);
        assert_int_equal(msg_parse(&m, out->data, out->len), 0);
        assert_int_equal(m.type, FRAME_ANSWER);
        if (msg_get_str(&m, TAG_WHY, w.why, sizeof(w.why)) == 0) {
                w.declines++;
                return 0;
        }
        bytes = msg_get_bytes(&m, TAG_ANSWER, &n);
        if (msg_get_u64(&m, TAG_PART, 0) == 0)
                buffer_free(&w.jwe);
        assert_int_equal(buffer_append(&w.jwe, bytes, n), 0);
        w.answers += w.jwe.len == msg_get_u64(&m, TAG_TOTAL, 0);
        return 0;
}

static void take(const struct msg_in *m, uint8_t tag, char *out, size_t cap)
{
        out[0] = '\0';
        if (msg_has(m, tag))
                assert_int_equal(msg_get_str(m, tag, out, cap), 0);
}

static int on_ledger(void *arg, const struct msg_out *out)
{
        struct msg_in m;

        (void)arg;
        assert_false(out->overflow);
        assert_int_equal(msg_parse(&m, out->data, out->len), 0);
        assert_int_equal(m.type, FRAME_QUERY);
        w.number = msg_get_u64(&m, TAG_SEQ, 0);
        take(&m, TAG_REFUSED, w.refused, sizeof(w.refused));
        take(&m, TAG_DOMAINS, w.domains, sizeof(w.domains));
        take(&m, TAG_WHAT, w.what, sizeof(w.what));
        take(&m, TAG_PERSON, w.who, sizeof(w.who));
        w.has_domains = msg_has(&m, TAG_DOMAINS);
        if (w.refused[0])
                w.refusals++;
        else
                w.queries++;
        return w.no_ledger ? -EPIPE : 0;
}

static void give_role(const char *role, const char *const *domains, size_t n, int64_t exp)
{
        const struct roster_grant grant = {.id = PERSON_ID,
                                           .name = "frida",
                                           .role = role,
                                           .key = w.person,
                                           .domains = domains,
                                           .n_domains = n,
                                           .exp = exp};
        struct error err = {""};

        assert_int_equal(roster_person_put(w.f.roster, &grant, &err), 0);
}

static int setup(void **state)
{
        struct helpdesk_config config = {.keys = &w.f.keys,
                                         .connector_id = CONNECTOR_ID,
                                         .tenant = TENANT,
                                         .domains = served,
                                         .n_domains = 2,
                                         .roster = get_roster,
                                         .to_link = on_link,
                                         .to_ledger = on_ledger};
        static char partner[] = "partner.example";
        const struct roster_domain more = {.name = partner};
        struct error err = {""};

        (void)state;
        w = (struct world){.jwe = BUFFER(ANSWER_JWE_MAX)};
        fixture_make(&w.f);
        assert_int_equal(key_generate(&w.person, &err), 0);
        assert_int_equal(key_generate(&w.stranger, &err), 0);
        assert_int_equal(roster_domain_put(w.f.roster, &more, &err), 0);
        give_role(ROSTER_HELPDESK, served, 1, NOW + DAY);
        assert_int_equal(loop_new_fake(&w.loop), 0);
        config.loop = w.loop;
        assert_int_equal(helpdesk_new(&w.helpdesk, &config), 0);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        helpdesk_free(w.helpdesk);
        loop_free(w.loop);
        buffer_free(&w.jwe);
        key_free(w.person);
        key_free(w.stranger);
        fixture_clear(&w.f);
        return 0;
}

/* A question by this key, made at this time. */
static struct asked make(struct key *key, const char *id, int64_t now)
{
        const struct directory_entry entry = {.connector = roster_connector(w.f.roster, key_kid(w.f.identity)),
                                              .statement = w.f.keys.statement};
        struct question_claims what = {.op = QUESTION_EXPLAIN, .what = "alice@corp.example"};
        struct asked a;
        struct error err = {""};

        if (asked_make(&a, &entry, id, key, &what, now, &err) < 0)
                fail_msg("%s", err.text);
        return a;
}

static void send(const struct asked *a, const char *id)
{
        struct msg_out out;
        struct msg_in m;

        msg_begin(&out, FRAME_QUESTION);
        msg_str(&out, TAG_ID, id);
        msg_u64(&out, TAG_BUDGET, 8000);
        msg_u64(&out, TAG_RECEIVED, loop_now(w.loop));
        msg_bytes(&out, TAG_SEALED, a->body.data, a->body.len);
        assert_int_equal(msg_parse(&m, out.data, out.len), 0);
        helpdesk_ask(w.helpdesk, &m);
}

static void find_numbered(uint64_t number, const char *id, const char *text, size_t n, size_t total)
{
        struct msg_out out;
        struct msg_in m;

        msg_begin(&out, FRAME_FOUND);
        msg_u64(&out, TAG_SEQ, number);
        msg_str(&out, TAG_ID, id);
        msg_u64(&out, TAG_PART, 0);
        msg_u64(&out, TAG_TOTAL, total);
        msg_bytes(&out, TAG_ANSWER, text, n);
        assert_int_equal(msg_parse(&m, out.data, out.len), 0);
        helpdesk_found(w.helpdesk, &m);
}

/* Of the latest query. */
static void find(const char *id, const char *text, size_t n, size_t total)
{
        find_numbered(w.number, id, text, n, total);
}

/* The state of the answer that came last, and its body (to be freed) if it has one. */
static enum answer_state opened(const struct asked *a, char **ret_body)
{
        struct answer_claims c;
        struct error err = {""};

        if (asked_check(a, w.jwe.data, w.jwe.len, loop_wall(w.loop), &c, &err) < 0)
                fail_msg("%s", err.text);
        if (ret_body)
                *ret_body = c.body;
        else
                free(c.body);
        return c.state;
}

static void ask_and_expect(struct key *key, const char *id, enum answer_state state)
{
        _cleanup_(asked_clear) struct asked a = make(key, id, loop_wall(w.loop));

        send(&a, a.id);
        assert_int_equal(w.declines, 0);
        assert_int_equal(opened(&a, NULL), state);
        assert_int_equal(w.queries, 0);
        assert_string_equal(w.refused, answer_state_text(state));
}

static void answers(void **state)
{
        static const char text[] = "{\"ok\":true,\"records\":[{\"user\":\"a\\\"b\"}]}";
        _cleanup_(asked_clear) struct asked a = make(w.person, PERSON_ID, loop_wall(w.loop)),
                                            other = make(w.person, PERSON_ID, loop_wall(w.loop));
        struct answer_claims c;
        struct error err = {""};
        char *body = NULL;

        (void)state;
        send(&a, a.id);
        assert_int_equal(w.queries, 1); /* noted, before there is an answer */
        assert_int_equal(w.answers, 0);
        assert_string_equal(w.domains, "corp.example\n"); /* and not partner.example, which it serves, too */
        assert_string_equal(w.what, "alice@corp.example");
        assert_string_equal(w.who, "frida");
        find("somebody-elses-id", text, strlen(text), strlen(text));
        assert_int_equal(w.answers, 0);
        find(a.id, text, 10, strlen(text));
        find(a.id, text + 10, strlen(text) - 10, strlen(text));
        assert_int_equal(w.answers, 1);
        assert_int_equal(opened(&a, &body), ANSWER_OK);
        assert_string_equal(body, text);
        free(body);
        find(a.id, text, strlen(text), strlen(text)); /* it is answered once */
        assert_int_equal(w.answers, 1);
        /* a relay that gives one question's answer to another */
        assert_int_equal(asked_check(&other, w.jwe.data, w.jwe.len, loop_wall(w.loop), &c, &err), -EKEYREJECTED);
        /* or keeps it for later, or changes it */
        assert_int_equal(asked_check(&a, w.jwe.data, w.jwe.len, loop_wall(w.loop) + 200, &c, &err), -EBADMSG);
        w.jwe.data[w.jwe.len / 2] = w.jwe.data[w.jwe.len / 2] == 'A' ? 'B' : 'A';
        assert_true(asked_check(&a, w.jwe.data, w.jwe.len, loop_wall(w.loop), &c, &err) < 0);
}

/* Answers that open and are signed, but not what was asked for. */
static void other_answers(void **state)
{
        _cleanup_(asked_clear) struct asked a = make(w.person, PERSON_ID, NOW);
        char body[] = "{}";
        struct answer_claims right = {.iat = NOW, .exp = NOW + VERDICT_LIFE, .state = ANSWER_OK, .body = body}, c;

        (void)state;
        memcpy(right.iss, CONNECTOR_ID, sizeof(CONNECTOR_ID));
        memcpy(right.aud, PERSON_ID, sizeof(PERSON_ID));
        memcpy(right.tenant, TENANT, sizeof(TENANT));
        memcpy(right.jti, a.id, sizeof(a.id));
        memcpy(right.req, a.req, sizeof(a.req));
        for (int i = 0; i < 8; i++) {
                struct answer_claims wrong = right;
                struct error err = {""};

                if (i == 1)
                        memcpy(wrong.iss, "connector-0000002", 18);
                else if (i == 2)
                        memcpy(wrong.aud, "person-0000000002", 18);
                else if (i == 3)
                        memcpy(wrong.tenant, "fabrikam", 9);
                else if (i == 4)
                        memcpy(wrong.jti, "question-00000002", 18);
                else if (i == 5)
                        wrong.req[0] = wrong.req[0] == 'A' ? 'B' : 'A';
                else if (i == 6)
                        wrong.iat += 1000, wrong.exp += 1000;
                buffer_free(&w.jwe);
                assert_int_equal(answer_seal(&wrong, i == 7 ? w.f.service : w.f.identity, a.rk, &w.jwe, &err), 0);
                const int r = asked_check(&a, w.jwe.data, w.jwe.len, NOW, &c, &err);
                assert_int_equal(r, i == 0 ? 0 : i == 7 ? -EKEYREJECTED : -EBADMSG);
                if (r == 0)
                        answer_claims_clear(&c);
        }
        /* a verdict's JWE is no answer */
        buffer_free(&w.jwe);
        assert_int_equal(jwe_seal(JWE_VERDICT, a.rk, "x", 1, &w.jwe, NULL), 0);
        assert_int_equal(asked_check(&a, w.jwe.data, w.jwe.len, NOW, &c, NULL), -EBADMSG);
}

static void who_may_not(void **state)
{
        (void)state;
        ask_and_expect(w.f.service, SERVICE_ID, ANSWER_PERSON_UNKNOWN); /* a service's key */
        assert_string_equal(w.who, "?");
        ask_and_expect(w.stranger, PERSON_ID, ANSWER_PERSON_UNKNOWN);
        ask_and_expect(w.person, "person-0000000002", ANSWER_PERSON_UNKNOWN); /* another's id */
        w.no_roster = true;
        ask_and_expect(w.person, PERSON_ID, ANSWER_PERSON_UNKNOWN);
        w.no_roster = false;
        give_role("auditor", served, 1, NOW + DAY);
        ask_and_expect(w.person, PERSON_ID, ANSWER_ROLE);
        give_role(ROSTER_HELPDESK, served, 1, loop_wall(w.loop)); /* without tolerance */
        ask_and_expect(w.person, PERSON_ID, ANSWER_ENDED);
        assert_string_equal(w.who, "frida");
        give_role(ROSTER_HELPDESK, NULL, 0, NOW + DAY);
        ask_and_expect(w.person, PERSON_ID, ANSWER_NO_DOMAIN);
        assert_int_equal(w.refusals, 7);
}

/* A person of all that the connector serves sees what belongs to no domain, too; nothing of one that it once had. */
static void all_domains(void **state)
{
        _cleanup_(asked_clear) struct asked a = {0};

        (void)state;
        give_role(ROSTER_HELPDESK, served, 2, NOW + DAY);
        a = make(w.person, PERSON_ID, loop_wall(w.loop));
        send(&a, a.id);
        assert_int_equal(w.queries, 1);
        assert_true(w.has_domains);
        assert_string_equal(w.domains, "corp.example\npartner.example\n\n");
}

static void declined(const struct asked *a, const char *id, const char *why)
{
        w.declines = 0;
        send(a, id);
        assert_int_equal(w.declines, 1);
        assert_string_equal(w.why, why);
}

static void times_and_replay(void **state)
{
        const int64_t now = loop_wall(w.loop);
        _cleanup_(asked_clear) struct asked a = make(w.person, PERSON_ID, now),
                                            old = make(w.person, PERSON_ID, now - 120),
                                            ahead = make(w.person, PERSON_ID, now + 121);

        (void)state;
        declined(&a, "another-id-000001", "bad_request"); /* the relay's id is not the question's */
        send(&a, a.id);
        assert_int_equal(w.queries, 1);
        declined(&a, a.id, "replay");
        declined(&old, old.id, "expired");
        declined(&ahead, ahead.id, "expired");
        assert_int_equal(w.queries, 1);
        a.body.data[200] = a.body.data[200] == 'A' ? 'B' : 'A';
        declined(&a, a.id, "bad_request");
        a.body.len--;
        declined(&a, a.id, "bad_request");
}

/* A sign-in's request, and one in the larger class, are no questions. */
static void no_question(void **state)
{
        _cleanup_(buffer_free) struct buffer sealed = BUFFER(SEALED_MAX);
        struct request_claims c = fixture_claims(&w.f);
        struct asked a = {.body = BUFFER(SEALED_MAX)};

        (void)state;
        fixture_seal(&w.f, &c, w.person, &sealed);
        a.body = sealed;
        declined(&a, REQUEST_ID, "bad_request");
        assert_int_equal(w.queries + w.refusals, 0);
}

static void rate(void **state)
{
        (void)state;
        for (int i = 0; i < QUESTIONS_PER_MINUTE; i++) {
                _cleanup_(asked_clear) struct asked a = make(w.person, PERSON_ID, loop_wall(w.loop));

                send(&a, a.id);
                find(a.id, "{}", 2, 2);
                assert_int_equal(opened(&a, NULL), ANSWER_OK);
        }
        assert_int_equal(w.queries, QUESTIONS_PER_MINUTE);
        w.queries = 0;
        ask_and_expect(w.person, PERSON_ID, ANSWER_RATE);
        loop_fake_advance(w.loop, 2000);
        _cleanup_(asked_clear) struct asked a = make(w.person, PERSON_ID, loop_wall(w.loop));
        send(&a, a.id);
        assert_int_equal(w.queries, 1);
}

/* Strangers cost a signature each: of a flood of them only some are answered, and fewer noted. */
static void strangers(void **state)
{
        (void)state;
        for (int i = 0; i < 40; i++) {
                _cleanup_(asked_clear) struct asked a = make(w.stranger, PERSON_ID, loop_wall(w.loop));

                send(&a, a.id);
        }
        assert_int_equal(w.refusals, 10);
        assert_int_equal(w.declines, 30);
        assert_string_equal(w.why, "full");
}

/* The same of people whom the roster knows, and who may not ask. */
static void refused_again_and_again(void **state)
{
        (void)state;
        give_role("viewer", served, 1, NOW + DAY);
        for (int i = 0; i < 80; i++) {
                _cleanup_(asked_clear) struct asked a = make(w.person, PERSON_ID, loop_wall(w.loop));

                send(&a, a.id);
        }
        assert_int_equal(w.refusals, 60);
        assert_int_equal(w.declines, 20);
        assert_string_equal(w.why, "full");
}

/* The question a, made anew under this id, as only whoever has the key can. */
static void make_under_id(struct asked *a, struct key *key, const char *id)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(PADDED_SMALL), jws = BUFFER(PADDED_LARGE),
                                             plain = BUFFER(PADDED_SMALL + 1);
        const struct statement_key *enc = statement_key_at(w.f.keys.statement, loop_wall(w.loop));
        struct question_claims c = {.op = QUESTION_LOG, .what = "b@corp.example", .iat = loop_wall(w.loop)};
        struct error err = {""};

        (void)snprintf(a->id, sizeof(a->id), "%s", id);
        memcpy(c.iss, a->person_id, sizeof(c.iss));
        memcpy(c.aud, a->tenant, sizeof(c.aud));
        memcpy(c.jti, a->id, sizeof(c.jti));
        memcpy(c.to, key_kid(a->identity), sizeof(c.to));
        memcpy(c.rk, a->rk, sizeof(c.rk));
        c.exp = c.iat + QUESTION_LIFE_MAX;
        assert_int_equal(question_claims_encode(&c, &text, &err), 0);
        assert_int_equal(jws_sign(key, JOSE_TYP_QUESTION, text.data, text.len, &jws, &err), 0);
        request_hash(jws.data, jws.len, a->req);
        assert_int_equal(jose_pad(&plain, jws.data, jws.len, PADDED_SMALL), 0);
        buffer_free(&a->body);
        assert_int_equal(sealed_seal(&(struct key *){enc->key}, 1, &plain, &a->body, &err), 0);
}

/* A list is of a name, or of all of an hour at most. */
static void a_name_or_a_short_time(void **state)
{
        static const struct {
                const char *what;
                int64_t since, until;
                int code;
        } cases[] = {
                {"b@corp.example", 0, 0, 0}, {"b@corp.example", 1, NOW, 0},        {"", NOW - 3600, NOW, 0},
                {"", NOW, NOW, 0},           {"", NOW - 3601, NOW, -EBADMSG},      {"", NOW, NOW - 1, -EBADMSG},
                {"", NOW, 0, -EBADMSG},      {"", 0, QUESTION_TIME_MAX, -EBADMSG}, {"", 0, 0, -EBADMSG},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER(PADDED_SMALL);
                struct question_claims c = {.iss = PERSON_ID,
                                            .aud = TENANT,
                                            .jti = "question-00000001",
                                            .iat = NOW,
                                            .exp = NOW + 60,
                                            .op = QUESTION_LOG,
                                            .since = cases[i].since,
                                            .until = cases[i].until},
                                       back;

                memcpy(c.to, key_kid(w.f.identity), sizeof(c.to));
                (void)snprintf(c.what, sizeof(c.what), "%s", cases[i].what);
                assert_int_equal(question_claims_encode(&c, &text, NULL), 0);
                assert_int_equal(question_claims_decode(&back, text.data, text.len, NULL), cases[i].code);
        }
}

/* A relay shortens the time of one person's question and tells its id to another, whose question has it, too. */
static void one_id_twice(void **state)
{
        static const char secret[] = "{\"records\":[\"partner\"]}", own[] = "{\"records\":[]}";
        const struct roster_grant eve = {.id = "person-0000000002",
                                         .name = "eve",
                                         .role = ROSTER_HELPDESK,
                                         .key = w.stranger,
                                         .domains = served,
                                         .n_domains = 1,
                                         .exp = NOW + DAY};
        _cleanup_(asked_clear) struct asked a = {0}, b = {0};
        struct error err = {""};
        char *body = NULL;

        (void)state;
        give_role(ROSTER_HELPDESK, served, 2, NOW + DAY);
        assert_int_equal(roster_person_put(w.f.roster, &eve, &err), 0);
        a = make(w.person, PERSON_ID, loop_wall(w.loop));
        send(&a, a.id);
        const uint64_t first = w.number;
        loop_fake_advance(w.loop, 9000);
        assert_int_equal(opened(&a, NULL), ANSWER_UNAVAILABLE);
        b = make(w.stranger, "person-0000000002", loop_wall(w.loop));
        make_under_id(&b, w.stranger, a.id);
        send(&b, b.id);
        assert_int_equal(w.queries, 2);
        assert_string_equal(w.who, "eve");
        find_numbered(first, a.id, secret, strlen(secret), strlen(secret)); /* what was found for the other */
        assert_int_equal(w.answers, 1);
        find(b.id, own, strlen(own), strlen(own));
        assert_int_equal(opened(&b, &body), ANSWER_OK);
        assert_string_equal(body, own);
        free(body);
}

/* One that is silent, gone, or says more than fits; and as many questions as there are places. */
static void hostile_ledger(void **state)
{
        static char huge[ANSWER_PART_MAX];
        _cleanup_(asked_clear) struct asked a = make(w.person, PERSON_ID, loop_wall(w.loop)), b = {0}, c = {0}, d = {0};

        (void)state;
        memset(huge, '"', sizeof(huge));
        send(&a, a.id);
        find(a.id, huge, sizeof(huge), FOUND_MAX + 1);
        assert_int_equal(opened(&a, NULL), ANSWER_UNAVAILABLE);
        b = make(w.person, PERSON_ID, loop_wall(w.loop));
        send(&b, b.id);
        find(b.id, huge, sizeof(huge), 5); /* more than it said */
        assert_int_equal(opened(&b, NULL), ANSWER_UNAVAILABLE);
        c = make(w.person, PERSON_ID, loop_wall(w.loop));
        send(&c, c.id);
        find(c.id, "a\0b", 3, 3);
        assert_int_equal(opened(&c, NULL), ANSWER_UNAVAILABLE);
        w.no_ledger = true;
        d = make(w.person, PERSON_ID, loop_wall(w.loop));
        send(&d, d.id);
        assert_int_equal(opened(&d, NULL), ANSWER_UNAVAILABLE);
}

static void silent_ledger(void **state)
{
        struct asked a[HELPDESK_PENDING_MAX + 1];

        (void)state;
        for (size_t i = 0; i <= HELPDESK_PENDING_MAX; i++) {
                a[i] = make(w.person, PERSON_ID, loop_wall(w.loop));
                send(&a[i], a[i].id);
        }
        assert_int_equal(w.declines, 1);
        assert_string_equal(w.why, "full");
        loop_fake_advance(w.loop, 9000);
        assert_int_equal(w.answers, HELPDESK_PENDING_MAX);
        for (size_t i = 0; i <= HELPDESK_PENDING_MAX; i++)
                asked_clear(&a[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(answers, setup, teardown),
                cmocka_unit_test_setup_teardown(other_answers, setup, teardown),
                cmocka_unit_test_setup_teardown(who_may_not, setup, teardown),
                cmocka_unit_test_setup_teardown(all_domains, setup, teardown),
                cmocka_unit_test_setup_teardown(times_and_replay, setup, teardown),
                cmocka_unit_test_setup_teardown(no_question, setup, teardown),
                cmocka_unit_test_setup_teardown(rate, setup, teardown),
                cmocka_unit_test_setup_teardown(strangers, setup, teardown),
                cmocka_unit_test_setup_teardown(refused_again_and_again, setup, teardown),
                cmocka_unit_test_setup_teardown(one_id_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(a_name_or_a_short_time, setup, teardown),
                cmocka_unit_test_setup_teardown(hostile_ledger, setup, teardown),
                cmocka_unit_test_setup_teardown(silent_ledger, setup, teardown),
        };
        struct error err = {""};

        assert_int_equal(secure_heap_init(1U << 18, &err), 0);
        return cmocka_run_group_tests_name("validator-helpdesk", tests, NULL, NULL);
}
