/*
 * The wrong vectors: each is refused by our code, with what the vector says, and the right object beside it
 * is not.
 */
#include "tests/vectors/reading.h"

#include <errno.h>
#include <string.h>

#include "certs/jose/sealed.h"
#include "base/core/text.h"
#include "connector/validator/intake.h"
#include "queue/client/client.h"
#include "tests/vectors/maker.h"

static json_t *keys, *roster_file, *request, *verdicts, *negative;
static struct roster *roster;

static int setup(void **state)
{
        (void)state;
        keys = vectors_load("keys.json");
        roster_file = vectors_load("roster.json");
        request = vectors_load("request.json");
        verdicts = vectors_load("verdicts.json");
        negative = vectors_load("negative.json");
        roster = roster_at(roster_file);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        json_decref(keys);
        json_decref(roster_file);
        json_decref(request);
        json_decref(verdicts);
        json_decref(negative);
        roster = roster_free(roster);
        pool_free();
        return 0;
}

/* A case's own expectation, or the usual one. */
static int64_t own_int(const json_t *c, const char *name, int64_t usual)
{
        const json_t *member = json_object_get(c, name);

        return member ? json_integer_value(member) : usual;
}

static const char *own_text(const json_t *c, const char *name, const char *usual)
{
        const json_t *member = json_object_get(c, name);

        return member ? json_string_value(member) : usual;
}

static void expect(const json_t *c, const char *got, const char *detail)
{
        if (strcmp(got, text_at(c, "expect")) != 0)
                fail_msg("%s: expected \"%s\", got \"%s\" (%s)", text_at(c, "name"), text_at(c, "expect"), got, detail);
}

typedef void check_fn(const json_t *c);

static void each(const char *list, size_t at_least, check_fn *check)
{
        const json_t *cases = at(negative, list);

        assert_true(json_array_size(cases) >= at_least);
        for (size_t i = 0; i < json_array_size(cases); i++)
                check(json_array_get(cases, i));
}

static const char *code_word(int r)
{
        switch (r) {
        case 0:
                return "accepted";
        case -EBADMSG:
                return "malformed";
        case -EKEYREJECTED:
                return "key";
        case -EXDEV:
                return "tenant";
        case -EPERM:
                return "kind";
        case -ETIME:
                return "time";
        case -ESTALE:
                return "seq";
        }
        return "?";
}

/* ---- rosters ---- */

static void check_roster(const json_t *c)
{
        const json_t *with = at(roster_file, "with");
        const char *text = text_at(c, "text");
        struct roster *got = NULL;
        struct error err = {""};
        int r = roster_verify(&got, text, strlen(text), own_text(c, "pin", text_at(with, "pin")),
                              own_text(c, "tenant", text_at(with, "tenant")), own_int(c, "now", int_at(with, "now")),
                              (uint64_t)own_int(c, "min_seq", int_at(with, "min_seq")), &err);

        roster_free(got);
        expect(c, code_word(r), err.text);
}

static void test_rosters(void **state)
{
        (void)state;
        each("rosters", 38, check_roster);
}

/* ---- statements ---- */

static void check_statement(const json_t *c)
{
        const json_t *with = at(roster_file, "with");
        const char *text = text_at(c, "text");
        const struct roster_member *connector;
        struct statement *s = NULL;
        struct error err = {""};
        char kid[KID_LEN + 1];
        int r = statement_peek_kid(text, strlen(text), kid, &err);

        connector = r == 0 ? roster_connector(roster, kid) : NULL;
        if (r == 0 && !connector) {
                expect(c, "unknown", kid);
                return;
        }
        if (r == 0)
                r = statement_verify(&s, text, strlen(text), connector->key, connector->id, text_at(with, "tenant"),
                                     own_int(c, "now", int_at(with, "now")), &err);
        statement_free(s);
        expect(c, code_word(r), err.text);
}

static void test_statements(void **state)
{
        (void)state;
        each("statements", 26, check_statement);
}

/* A relay that puts them into its answer changes nothing: they are left out, and the right one beside them
 * counts. */
static void test_statements_in_directory(void **state)
{
        const json_t *with = at(roster_file, "with"), *cases = at(negative, "statements");
        _cleanup_(freep) char *text = NULL;
        json_t *list = json_array(), *answer;
        struct directory *d = NULL;
        size_t refused = 0, added = 0;
        struct error err = {""};

        (void)state;
        for (size_t i = 0; i < json_array_size(cases); i++) {
                if (json_object_get(json_array_get(cases, i), "now"))
                        continue;
                json_array_append(list, json_object_get(json_array_get(cases, i), "text"));
                added++;
        }
        answer = json_pack("{s:s, s:o, s:[]}", "roster", text_at(roster_file, "jws"), "statements", list, "ready");
        text = json_dumps(answer, JSON_COMPACT);
        json_decref(answer);
        assert_int_equal(directory_open(&d, text, strlen(text),
                                        &(const struct directory_rules){.pin = text_at(with, "pin"),
                                                                        .tenant = text_at(with, "tenant"),
                                                                        .now = int_at(with, "now"),
                                                                        .min_seq = 7},
                                        &refused, &err),
                         0);
        assert_int_equal(refused, added);
        assert_int_equal(d->n, 0);
        directory_free(d);
}

/* ---- requests ---- */

/* What signin.c makes of a name's or a password's form. */
static const char *form_reason(const struct request_claims *claims)
{
        if (claims->username_form != CREDENTIAL_OK)
                return "reason bad_name_form";
        if (claims->password_form == CREDENTIAL_EMPTY)
                return "reason empty_password";
        if (claims->password_form != CREDENTIAL_OK)
                return "reason bad_password_form";
        return claims->new_password_form == CREDENTIAL_UNCHECKED || claims->new_password_form == CREDENTIAL_OK
                       ? "accepted"
                       : "reason bad_new_password";
}

static const char *intake_word(const struct intake *in)
{
        switch (in->result) {
        case INTAKE_DECLINE:
                return pool_text("declined %s", in->decline);
        case INTAKE_ANSWER:
                return pool_text("reason %s", reason_info(in->reason)->id);
        case INTAKE_OPEN:
                break;
        }
        return form_reason(in->claims);
}

static void check_request(const json_t *c)
{
        _cleanup_(key_freep) struct key *enc = key_at(keys, "berlin-1-enc"), *self = key_at(keys, "berlin-1");
        struct enckeys own = {.identity = self, .n = 1, .keys = {{enc, 0, INT64_MAX - 1000}}};
        const json_t *with = at(request, "with");
        const char *text = text_at(c, "text");
        struct replay *replay = NULL;
        struct intake in;

        assert_int_equal(replay_new(&replay, 4), 0);
        const struct intake_context ctx = {&own,
                                           roster,
                                           replay,
                                           text_at(with, "tenant"),
                                           own_text(c, "id", text_at(with, "id")),
                                           own_int(c, "now", int_at(with, "now"))};
        if (json_object_get(c, "after_itself")) {
                assert_int_equal(intake_open(&in, &ctx, text, strlen(text)), 0);
                assert_string_equal(intake_word(&in), "accepted");
                intake_clear(&in);
        }
        assert_int_equal(intake_open(&in, &ctx, text, strlen(text)), 0);
        expect(c, intake_word(&in), in.detail.text);
        intake_clear(&in);
        replay_free(replay);
}

static void test_requests(void **state)
{
        (void)state;
        each("requests", 50, check_request);
}

/* The relay refuses exactly those whose form is at fault, with the words of the vector. */
static void check_relay(const json_t *c)
{
        const char *text = text_at(c, "text"), *word = own_text(c, "relay", "forwarded");
        struct sealed sealed;
        const char *got = strlen(text) > SEALED_MAX                            ? "too-large"
                          : sealed_read(&sealed, text, strlen(text), NULL) < 0 ? "malformed"
                                                                               : "forwarded";

        assert_string_equal(got, word);
}

static void test_requests_at_relay(void **state)
{
        (void)state;
        each("requests", 50, check_relay);
}

/* ---- verdicts ---- */

static void check_verdict(const json_t *c)
{
        const json_t *with = at(verdicts, "with"), *to = at(with, "sealed_to");
        const char *text = text_at(c, "text");
        struct sign_in s = {.n_to = json_array_size(to),
                            .padded = (size_t)own_int(c, "padded", int_at(with, "padded"))};
        struct verdict_claims v;
        struct error err = {""};

        memcpy(s.id, text_at(with, "id"), strlen(text_at(with, "id")) + 1);
        memcpy(s.req, text_at(with, "req"), KID_LEN + 1);
        memcpy(s.service_id, text_at(with, "service"), strlen(text_at(with, "service")) + 1);
        memcpy(s.tenant, text_at(with, "tenant"), strlen(text_at(with, "tenant")) + 1);
        memcpy(s.domain, text_at(with, "domain"), strlen(text_at(with, "domain")) + 1);
        (void)snprintf(s.domain_sid, sizeof(s.domain_sid), "%s",
                       json_object_get(c, "domain_sid") ? text_at(c, "domain_sid") : text_at(with, "domain_sid"));
        (void)snprintf(s.other_sids[s.n_other_sids++], sizeof(s.other_sids[0]), "%s",
                       json_string_value(json_array_get(at(with, "other_sids"), 0)));
        assert_int_equal(b64u_decode_exact(s.rk, 32, text_at(with, "rk"), KID_LEN), 0);
        for (size_t i = 0; i < s.n_to; i++) {
                const char *id = text_at(json_array_get(to, i), "id");

                memcpy(s.to[i].id, id, strlen(id) + 1);
                s.to[i].identity = key_at(keys, i == 0 ? "berlin-1" : "berlin-2");
        }
        s.to[0].n_sign = sign_at(keys, c, s.to[0].sign);
        int r = sign_in_check(&s, text, strlen(text), own_int(c, "now", int_at(with, "now")), &v, &err);
        sign_in_clear(&s);
        expect(c, r < 0 ? "unavailable" : "accepted", err.text);
        assert_int_equal(err.text[0] != '\0', r < 0);
}

static void test_verdicts(void **state)
{
        (void)state;
        each("verdicts", 44, check_verdict);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rosters),
                cmocka_unit_test(test_statements),
                cmocka_unit_test(test_statements_in_directory),
                cmocka_unit_test(test_requests),
                cmocka_unit_test(test_requests_at_relay),
                cmocka_unit_test(test_verdicts),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
