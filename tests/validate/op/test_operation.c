/*
 * The life of one operation on the fake clock: two DCs prepared side by side, the password that goes to one of them,
 * the budget, the steps beside the sign-in, and being called off at any moment.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/fake/fake_rig.h"

static struct world w;

static int tear_down(void **state)
{
        (void)state;
        world_check(&w);
        world_close(&w);
        return 0;
}

/* The first DC is slow to reach: after a moment a second one is prepared beside it, and the first that is ready gets
 * the password, the other one nothing. */
static void test_hedging(void **state)
{
        (void)state;
        for (uint32_t ms = 100; ms <= 1000; ms += 50) {
                const struct world_ask *ask;
                bool second = ms >= 200; /* 150 ms of patience, then 5 ms to reach it */

                world_open(&w, 2, METHOD_LDAP);
                world_start_ready(&w);
                w.dcs[0].connect_ms = ms;
                ask = world_ask(&w, 1, true, 8000);
                world_expect(&w, world_finish(&w, ask), REASON_OK);
                assert_int_equal(w.dcs[0].connects, 1);
                assert_int_equal(w.dcs[1].connects, ms >= 150);
                assert_int_equal(w.dcs[0].passwords, !second);
                assert_int_equal(w.dcs[1].passwords, second);
                assert_int_equal(ask->ended - ask->started, second ? 165 : ms + 10);
                world_check(&w);
                world_close(&w);
        }
        world_open(&w, 1, METHOD_LDAP);
}

/* At most two DCs are prepared at once; where both turn out silent, the next ones have their turn. */
static void test_two_at_most(void **state)
{
        const struct world_ask *ask;

        (void)state;
        world_open(&w, 4, METHOD_LDAP);
        world_start_ready(&w);
        w.dcs[0].act = w.dcs[1].act = w.dcs[2].act = DC_SILENT;
        ask = world_ask(&w, 1, true, 8000);
        for (int ms = 0; ms < 600; ms++) {
                world_advance(&w, 1);
                assert_true(w.dcs[0].connects + w.dcs[1].connects + w.dcs[2].connects + w.dcs[3].connects <= 2);
        }
        world_expect(&w, world_finish(&w, ask), REASON_OK);
        assert_string_equal(ask->outcome.dc, "dc4.corp.example");
        assert_true(ask->ended - ask->started < 3000);
}

/* DCs that refuse the connection are gone through at once. */
static void test_refused(void **state)
{
        const struct world_ask *ask;

        (void)state;
        world_open(&w, 4, METHOD_KRB5);
        world_start_ready(&w);
        w.dcs[0].act = w.dcs[1].act = w.dcs[2].act = DC_REFUSES;
        ask = world_ask(&w, 1, false, 8000);
        world_expect(&w, world_finish(&w, ask), REASON_WRONG_PASSWORD);
        assert_int_equal(ask->ended - ask->started, 3 * 5 + 15);
        assert_int_equal(ask->outcome.counted, COUNTED_YES);
}

/* Once a DC has the password, no other is asked, however it goes on; where it is found silent, the end does not wait
 * for the budget. */
static void test_committed(void **state)
{
        static const enum dc_act acts[] = {DC_SILENT_ON_BIND, DC_FAILS_BINDS, DC_DROPS_BINDS};

        (void)state;
        for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
                for (int silent = 0; silent < 2; silent++) {
                        const struct world_ask *ask;

                        world_open(&w, 2, METHOD_LDAP);
                        world_start_ready(&w);
                        w.dcs[0].act = acts[i];
                        ask = world_ask(&w, 1, false, 8000);
                        world_advance(&w, 6);
                        if (silent && acts[i] == DC_SILENT_ON_BIND)
                                w.dcs[0].act = DC_SILENT; /* to probes, too */
                        world_finish(&w, ask);
                        assert_int_equal(ask->outcome.counted, COUNTED_UNKNOWN);
                        assert_int_equal(reason_info(ask->outcome.reason)->verdict, VERDICT_UNAVAILABLE);
                        assert_int_equal(w.dcs[0].passwords, 1);
                        assert_int_equal(w.dcs[1].connects, 0);
                        if (acts[i] == DC_SILENT_ON_BIND && !silent)
                                assert_in_range(ask->ended - ask->started, 8000, 8250);
                        else
                                assert_true(ask->ended - ask->started < 1500);
                        world_check(&w);
                        world_close(&w);
                }
        }
        world_open(&w, 1, METHOD_LDAP);
}

/* Every budget is kept, whatever the DCs do in it; without one nobody is asked. */
static void test_budget(void **state)
{
        (void)state;
        for (enum dc_act act = DC_WELL; act < DC_ACTS; act++) {
                for (uint32_t budget = 0; budget < 4000; budget = budget * 3 / 2 + 1) {
                        const struct world_ask *ask;

                        world_open(&w, 2, budget % 2 ? METHOD_LDAP : METHOD_KRB5);
                        world_start_ready(&w);
                        w.dcs[0].act = w.dcs[1].act = act;
                        ask = world_ask(&w, 1, false, budget);
                        world_finish(&w, ask);
                        assert_true(ask->ended <= ask->deadline + 250);
                        if (budget == 0)
                                world_expect(&w, &ask->outcome, REASON_DEADLINE);
                        if (budget < 5)
                                assert_int_equal(w.dcs[0].passwords + w.dcs[1].passwords, 0);
                        if (ask->passwords == 0 && ask->outcome.counted != COUNTED_NO)
                                fail_msg("act %d, budget %u: %s (%s) may have counted", (int)act, budget,
                                         reason_info(ask->outcome.reason)->id, ask->outcome.context);
                        world_check(&w);
                        world_close(&w);
                }
        }
        world_open(&w, 1, METHOD_LDAP);
}

static void refuse_room(struct world *world, const struct fake_question *question, struct fake_answer *answer)
{
        (void)world;
        if (question->step == FAKE_CONNECT)
                answer->outcome.reason = REASON_OVERLOADED; /* a limit of ours: it says nothing of the DC */
}

/* Every DC is tried once, and then it is over, whatever time is left. */
static void test_each_once(void **state)
{
        const struct world_ask *ask;

        (void)state;
        world_open(&w, 3, METHOD_LDAP);
        w.script = refuse_room;
        world_start_ready(&w);
        ask = world_ask(&w, 1, true, 8000);
        world_expect(&w, world_finish(&w, ask), REASON_OVERLOADED);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(w.dcs[i].connects, 1);
        assert_int_equal(ask->ended - ask->started, 3 * 5);
}

static enum fake_step stuck_at;

static void get_stuck(struct world *world, const struct fake_question *question, struct fake_answer *answer)
{
        (void)world;
        if (question->step == stuck_at)
                answer->ms = FAKE_STUCK;
}

/* Should an attempt break its promise to end, the operation keeps its own. */
static void test_backstop(void **state)
{
        static const enum reason reasons[] = {
                [FAKE_CONNECT] = REASON_DEADLINE, [FAKE_PASSWORD] = REASON_OUTCOME_UNKNOWN};

        (void)state;
        for (stuck_at = FAKE_CONNECT; stuck_at <= FAKE_PASSWORD; stuck_at++) {
                const struct world_ask *ask;

                world_open(&w, 2, METHOD_LDAP);
                w.script = get_stuck;
                world_start_ready(&w);
                ask = world_ask(&w, 1, true, 2000);
                world_expect(&w, world_finish(&w, ask), reasons[stuck_at]);
                assert_int_equal(ask->outcome.counted, stuck_at == FAKE_CONNECT ? COUNTED_NO : COUNTED_UNKNOWN);
                assert_int_equal(ask->ended - ask->started, 2250);
                world_check(&w);
                world_close(&w);
        }
        world_open(&w, 1, METHOD_LDAP);
}

/* ---- the steps beside the sign-in ---- */

static struct secret *service_password;

static void add_service_account(void)
{
        assert_int_equal(secret_new(&service_password, "service", 7), 0);
        w.domain.service_account = "svc@corp.example";
        w.domain.service_password = service_password;
        w.domain.ca_pem = "for LDAPS";
}

static int tear_down_service(void **state)
{
        (void)state;
        w.v = validate_free(w.v);
        service_password = secret_free(service_password);
        return tear_down(state);
}

static struct {
        unsigned look_ups[WORLD_DCS];
        bool refuse, silent;
} service;

static void find_accounts(struct world *world, const struct fake_question *q, struct fake_answer *answer)
{
        size_t dc = (size_t)(q->attempt->host[2] - '1');

        (void)world;
        if (q->step != FAKE_LOOK_UP)
                return;
        service.look_ups[dc]++;
        answer->found.refused = service.refuse;
        if (service.refuse)
                answer->outcome.reason = REASON_LOOKUP_FAILED;
        if (service.silent)
                answer->ms = FAKE_NEVER;
        snprintf(answer->found.sam, sizeof answer->found.sam, "user1");
        snprintf(answer->found.sid, sizeof answer->found.sid, "S-1-5-21-1-2-3-1001");
        answer->found.kind = ACCOUNT_PERSON;
        answer->found.details.state = DETAILS_COMPLETE;
}

static void open_with_service(enum method method)
{
        memset(&service, 0, sizeof service);
        world_open(&w, 2, method);
        add_service_account();
        w.script = find_accounts;
}

static const struct outcome *sign_in_as(const char *name)
{
        return world_finish(&w, world_ask_as(&w, 1, name, "right", 8000));
}

/* An alternate id is searched for at one DC after the other; after the DC refused the service account nothing is
 * searched for ten minutes. */
static void test_alternate_id(void **state)
{
        (void)state;
        open_with_service(METHOD_LDAP);
        w.domain.alternate_id = "mail";
        w.domain.alternate_id_suffixes[0] = "mail.example";
        world_start_ready(&w);
        world_expect(&w, sign_in_as("someone@mail.example"), REASON_OK);
        assert_int_equal(service.look_ups[0] + service.look_ups[1], 1);
        w.dcs[0].act = DC_SILENT;
        world_expect(&w, sign_in_as("someone@mail.example"), REASON_OK);
        w.dcs[0].act = DC_WELL;
        world_advance(&w, 30000);
        memset(&service, 0, sizeof service);
        service.refuse = true;
        world_expect(&w, sign_in_as("someone@mail.example"), REASON_LOOKUP_FAILED);
        service.refuse = false;
        for (int i = 0; i < 9; i++) {
                world_advance(&w, 60000);
                world_expect(&w, sign_in_as("someone@mail.example"), REASON_LOOKUP_FAILED);
        }
        assert_int_equal(service.look_ups[0] + service.look_ups[1], 1);
        world_expect(&w, sign_in_as("user1@corp.example"), REASON_OK); /* others sign in meanwhile */
        world_advance(&w, 60000);
        world_expect(&w, sign_in_as("someone@mail.example"), REASON_OK);
}

/* Attributes take two seconds at most, and none of the budget's end; what was accepted stays so. */
static void test_attributes(void **state)
{
        const struct world_ask *ask;

        (void)state;
        open_with_service(METHOD_KRB5);
        w.domain.attributes[0] = "department";
        world_start_ready(&w);
        ask = world_ask(&w, 1, true, 8000);
        world_expect(&w, world_finish(&w, ask), REASON_OK);
        assert_int_equal(ask->outcome.details.state, DETAILS_COMPLETE);
        assert_int_equal(ask->ended - ask->started, 15 + 10);
        service.silent = true;
        ask = world_ask(&w, 1, true, 8000);
        world_expect(&w, world_finish(&w, ask), REASON_OK);
        assert_int_equal(ask->outcome.details.state, DETAILS_UNAVAILABLE);
        assert_int_equal(ask->ended - ask->started, 15 + 2000);
        ask = world_ask(&w, 1, true, 1000);
        world_expect(&w, world_finish(&w, ask), REASON_OK);
        assert_int_equal(ask->ended - ask->started, 1000);
}

/* What a KDC only claims is asked once more over LDAPS, at the same DC; a wrong password is one, whatever was claimed.
 */
static void test_confirmation(void **state)
{
        const struct outcome *o;

        (void)state;
        open_with_service(METHOD_KRB5);
        world_start_ready(&w);
        w.dcs[0].act = w.dcs[1].act = DC_CLAIMS;
        o = world_sign_in(&w, 1, false);
        world_expect(&w, o, REASON_WRONG_PASSWORD);
        assert_int_equal(o->counted, COUNTED_UNKNOWN);
        o = world_sign_in(&w, 1, true);
        world_expect(&w, o, REASON_PASSWORD_EXPIRED);
        assert_false(o->password_proved);
        assert_int_equal(w.asks[0].passwords, 2);
        assert_int_equal(w.asks[1].passwords, 2);
}

static void tell_unasked(struct world *world, const struct fake_question *q, struct fake_answer *answer)
{
        const struct krb_refusal expired = {.code = 23, .ad = true};

        find_accounts(world, q, answer);
        if (q->step == FAKE_CONNECT && q->method == METHOD_KRB5)
                outcome_from_krb(&answer->outcome, &expired);
}

/* A KDC that tells a state before it is sent a password: the one bind over LDAPS is the operation's attempt. */
static void test_told_unasked(void **state)
{
        const struct outcome *o;

        (void)state;
        open_with_service(METHOD_KRB5);
        w.script = tell_unasked;
        world_start_ready(&w);
        o = world_sign_in(&w, 1, false);
        world_expect(&w, o, REASON_WRONG_PASSWORD);
        assert_int_equal(o->counted, COUNTED_YES);
        assert_int_equal(w.asks[0].passwords, 1);
        o = world_sign_in(&w, 1, true);
        world_expect(&w, o, REASON_PASSWORD_EXPIRED);
        assert_false(o->password_proved);
        assert_int_equal(w.asks[1].passwords, 1);
}

/* Called off at any ms of its life, it leaves nothing behind, and is told to nobody. */
static void test_cancelled_at_any_moment(void **state)
{
        (void)state;
        for (int kind = 0; kind < 3; kind++) {
                for (uint64_t ms = 0; ms < 60; ms += 2) {
                        struct world_ask *ask;

                        open_with_service(kind == 0 ? METHOD_LDAP : METHOD_KRB5);
                        w.domain.alternate_id = "mail";
                        w.domain.alternate_id_suffixes[0] = "mail.example";
                        w.domain.attributes[0] = "department";
                        world_start_ready(&w);
                        w.dcs[0].act = w.dcs[1].act = kind == 2 ? DC_CLAIMS : DC_WELL;
                        ask = world_ask_as(&w, 1, "someone@mail.example", "right", 8000);
                        world_advance(&w, ms);
                        if (ask->calls == 0)
                                world_cancel(&w, ask);
                        assert_int_equal(fake_runs(w.fake), 0);
                        world_advance(&w, 10000);
                        assert_int_equal(ask->calls, !ask->cancelled);
                        assert_true(ms < 50 || ask->calls == 1);
                        tear_down_service(state);
                }
        }
        open_with_service(METHOD_LDAP);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, tear_down)
#define SERVICE_TEST(fn) cmocka_unit_test_teardown(fn, tear_down_service)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_hedging),
                TEST(test_two_at_most),
                TEST(test_refused),
                TEST(test_committed),
                TEST(test_budget),
                TEST(test_each_once),
                TEST(test_backstop),
                SERVICE_TEST(test_alternate_id),
                SERVICE_TEST(test_attributes),
                SERVICE_TEST(test_confirmation),
                SERVICE_TEST(test_told_unasked),
                SERVICE_TEST(test_cancelled_at_any_moment),
        };

        return cmocka_run_group_tests_name("validate/operation", tests, NULL, NULL);
}
