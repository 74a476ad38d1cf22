/*
 * The flow of one sign-in without a network: what it asks for, what an answer makes of it, and that nothing is sent a
 * second time which may have been looked at.
 */
#include "tests/queue/world.h"

#define MS 1000000

struct flow {
        struct world *w;
        struct sealer *sealer;
        struct secret *password;
        struct sign_in_params params;
        struct exchange *e;
};

static struct exchange_now later(uint64_t ms)
{
        return (struct exchange_now){.ms = MS + ms, .wall = NOW};
}

static int begin(void **state)
{
        struct flow *f = calloc(1, sizeof(*f));
        struct error err = {""};

        assert_non_null(f);
        f->w = world_new();
        assert_int_equal(sealer_new(&f->sealer,
                                    &(struct sealer_config){.tenant = TENANT,
                                                            .pin = key_pin(f->w->tenant),
                                                            .service_id = SERVICE_ID,
                                                            .service_key = f->w->service},
                                    &err),
                         0);
        assert_int_equal(secret_new(&f->password, "s3cret", 6), 0);
        f->params =
                (struct sign_in_params){.username = "amy@corp.example", .username_len = 16, .password = f->password};
        *state = f;
        return 0;
}

static int end(void **state)
{
        struct flow *f = *state;

        exchange_free(f->e);
        sealer_free(f->sealer);
        secret_free(f->password);
        world_free(f->w);
        free(f);
        return 0;
}

/* The first n connectors have keys and are ready. */
static void take(struct flow *f, size_t n, uint64_t ms)
{
        char *json = world_all_keys(f->w, n);
        struct error err = {""};

        assert_int_equal(
                sealer_take_keys(f->sealer,
                                 &(struct sealer_keys){
                                         .json = json, .n = strlen(json), .etag = "", .wall = NOW, .now_ms = MS + ms},
                                 &err),
                0);
        free(json);
}

static void start(struct flow *f)
{
        struct error err = {""};

        assert_int_equal(exchange_new(&f->e, f->sealer, &f->params, 2000, later(0), &err), 0);
}

static struct exchange_answer problem(long status, const char *json)
{
        return (struct exchange_answer){.status = status,
                                        .why = "",
                                        .content_type = "application/problem+json",
                                        .body = json,
                                        .n = strlen(json)};
}

#define NOT_READY "{\"type\":\"urn:postern:not-ready\",\"status\":503,\"started\":\"no\",\"retry\":\"refresh-keys\"}"

static void assert_ended(const struct flow *f, const char *what, const char *started)
{
        assert_int_equal(exchange_step(f->e), EXCHANGE_DONE);
        assert_false(exchange_result(f->e)->has_verdict);
        assert_string_equal(exchange_result(f->e)->problem, what);
        assert_string_equal(exchange_result(f->e)->started, started);
}

static void fresh_keys_are_used(void **state)
{
        struct flow *f = *state;
        struct exchange_post p;

        take(f, 2, 0);
        start(f);
        assert_int_equal(exchange_step(f->e), EXCHANGE_POST);
        exchange_post(f->e, MS + 500, &p);
        assert_int_equal(p.timeout_ms, 1500);
        assert_int_equal(p.budget_ms, 1300);
        assert_string_equal(p.id, exchange_result(f->e)->id);
        assert_null(memmem(p.body, p.n, "s3cret", 6));
}

static void no_keys_no_request(void **state)
{
        struct flow *f = *state;

        start(f);
        assert_int_equal(exchange_step(f->e), EXCHANGE_KEYS);
        exchange_keys_failed(f->e, &(struct exchange_answer){.code = -ECONNREFUSED, .why = "nobody listens"}, later(5));
        assert_ended(f, "transport", "no");
        assert_string_equal(exchange_result(f->e)->detail, "nobody listens");
}

static void keys_that_do_not_verify(void **state)
{
        struct flow *f = *state;

        start(f);
        exchange_keys_failed(f->e, &(struct exchange_answer){.status = 200, .why = "roster: expired"}, later(5));
        assert_ended(f, "bad-keys", "no");
}

/* With nobody new there is no second request; with somebody new there is one, whose id joins the first's. */
static void sealed_again_to_somebody_new(void **state)
{
        struct flow *f = *state;
        const struct exchange_answer answer = problem(503, NOT_READY);
        struct error err = {""};
        struct exchange_post p;
        char first[ID_MAX + 1];

        for (int new = 0; new <= 1; new ++) {
                take(f, 1, 0);
                start(f);
                (void)snprintf(first, sizeof(first), "%s", exchange_result(f->e)->id);
                exchange_answered(f->e, &answer, later(10));
                assert_int_equal(exchange_step(f->e), EXCHANGE_KEYS);
                take(f, new ? 2 : 1, 20);
                assert_int_equal(exchange_keys(f->e, later(20), &err), 0);
                if (!new) {
                        assert_ended(f, "not-ready", "no");
                        f->e = exchange_free(f->e);
                }
        }
        assert_int_equal(exchange_step(f->e), EXCHANGE_POST);
        exchange_post(f->e, MS + 20, &p);
        assert_true(strncmp(p.id, first, strlen(first)) == 0 && strcmp(p.id + strlen(first), "-2") == 0);
        exchange_answered(f->e, &answer, later(30));
        assert_ended(f, "not-ready", "no");
}

/* Another node may have whom this one lacks: it is asked, by the same keys; once, and not where somebody may have it.
 */
static void another_node_is_asked(void **state)
{
        struct flow *f = *state;
        struct exchange_answer answer = problem(503, NOT_READY);
        struct error err = {""};

        answer.elsewhere = true;
        take(f, 1, 0);
        start(f);
        exchange_answered(f->e, &answer, later(10));
        assert_int_equal(exchange_keys(f->e, later(20), &err), 0);
        assert_int_equal(exchange_step(f->e), EXCHANGE_POST);
        exchange_answered(f->e, &answer, later(30));
        assert_ended(f, "not-ready", "no");
        assert_string_equal(exchange_result(f->e)->retry, "refresh-keys");
        f->e = exchange_free(f->e);
        answer = problem(503,
                         "{\"type\":\"urn:postern:busy\",\"status\":503,\"started\":\"unknown\",\"retry\":\"later\"}");
        answer.elsewhere = true;
        start(f);
        exchange_answered(f->e, &answer, later(10));
        assert_ended(f, "busy", "unknown");
}

/* What may have been looked at is not sent again, whatever the relay says of trying. */
static void doubt_is_the_end(void **state)
{
        static const struct {
                long status;
                int code;
                const char *json, *problem;
        } cases[] = {
                {0, -EIO, "", "connection-lost"},
                {0, -ETIMEDOUT, "", "deadline"},
                {503, 0, "{\"type\":\"urn:postern:busy\",\"started\":\"unknown\",\"retry\":\"now\"}", "busy"},
                {503, 0, "<html>", "bad-answer"},
                {200, 0, "a..b.c.d", "bad-verdict"},
                {409, 0, "{\"type\":\"urn:postern:duplicate-id\",\"started\":\"no\",\"retry\":\"never\"}",
                 "connection-lost"},
        };
        struct flow *f = *state;

        take(f, 3, 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct exchange_answer answer = problem(cases[i].status, cases[i].json);

                answer.code = cases[i].code;
                start(f);
                assert_int_equal(exchange_step(f->e), EXCHANGE_POST);
                exchange_answered(f->e, &answer, later(10));
                assert_ended(f, cases[i].problem, "unknown");
                f->e = exchange_free(f->e);
        }
}

/* A name of nobody's is asked about once more with fresh keys, which may know its domain, before it is sealed. */
static void unknown_domain_looks_again(void **state)
{
        struct flow *f = *state;
        struct error err = {""};

        f->params.username = "amy@nowhere.example";
        f->params.username_len = strlen(f->params.username);
        take(f, 1, 0);
        start(f);
        assert_int_equal(exchange_step(f->e), EXCHANGE_KEYS);
        assert_int_equal(exchange_keys(f->e, later(5), &err), 0);
        assert_int_equal(exchange_step(f->e), EXCHANGE_POST);
}

static void a_budget_that_ended_sends_nothing(void **state)
{
        struct flow *f = *state;
        struct error err = {""};

        start(f);
        take(f, 1, 1990);
        assert_int_equal(exchange_keys(f->e, later(1990), &err), 0);
        assert_ended(f, "deadline", "no");
}

static void keys_grow_old(void **state)
{
        struct flow *f = *state;

        assert_false(sealer_fresh(f->sealer, MS));
        take(f, 1, 0);
        assert_true(sealer_fresh(f->sealer, MS + SEALER_KEYS_MAX_AGE_MS - 1));
        assert_false(sealer_fresh(f->sealer, MS + SEALER_KEYS_MAX_AGE_MS));
        sealer_keep_keys(f->sealer, MS + SEALER_KEYS_MAX_AGE_MS);
        assert_true(sealer_fresh(f->sealer, MS + SEALER_KEYS_MAX_AGE_MS + 1));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(fresh_keys_are_used, begin, end),
                cmocka_unit_test_setup_teardown(no_keys_no_request, begin, end),
                cmocka_unit_test_setup_teardown(keys_that_do_not_verify, begin, end),
                cmocka_unit_test_setup_teardown(sealed_again_to_somebody_new, begin, end),
                cmocka_unit_test_setup_teardown(another_node_is_asked, begin, end),
                cmocka_unit_test_setup_teardown(doubt_is_the_end, begin, end),
                cmocka_unit_test_setup_teardown(unknown_domain_looks_again, begin, end),
                cmocka_unit_test_setup_teardown(a_budget_that_ended_sends_nothing, begin, end),
                cmocka_unit_test_setup_teardown(keys_grow_old, begin, end),
        };
        struct error err = {""};

        if (secret_arena_init(4, &err) < 0)
                return 1;
        return cmocka_run_group_tests_name("queue/exchange", tests, NULL, NULL);
}
