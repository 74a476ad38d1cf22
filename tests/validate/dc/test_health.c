/*
 * DCs that answer probes and fail sign-ins, and a DC that is only far away: scripted peers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"

#define USERS 12
#define SEVERAL 3 /* so many sign-ins may find out that a DC is sick */

struct pair {
        struct peer sick, well;
};

struct seen {
        const char *host;
        char state[16];
};

static void on_dc(void *arg, const struct validate_dc *dc)
{
        struct seen *seen = arg;

        if (strcmp(dc->host, seen->host) == 0)
                snprintf(seen->state, sizeof seen->state, "%s", dc->state);
}

static const char *state_of(struct rig *rig, struct seen *seen, const char *host)
{
        *seen = (struct seen){.host = host};
        validate_each_dc(rig->v, on_dc, seen);
        return seen->state;
}

static const struct outcome *sign_in(struct rig *rig, struct ask *ask, unsigned user)
{
        static char name[40];

        snprintf(name, sizeof name, "user%u@corp.example", user);
        *ask = (struct ask){.name = name, .password = "right", .budget_ms = 12000};
        return ask_one(rig, ask);
}

/* Two DCs of one domain; the first is the faster. Both were probed. */
static void pair_open(struct rig *rig, struct pair *pair)
{
        struct seen seen;
        struct ask ask = {0};

        peer_open(&pair->sick, rig, peer_address(0), 0, "DC");
        peer_open(&pair->well, rig, peer_address(1), pair->sick.port, "DC");
        pair->well.work_ms = 8;
        peer_domain(rig, 0, &pair->sick);
        rig->domains[0].dcs[1] = (struct dc_config){.host = "dc2.corp.example", .address = pair->well.address};
        rig->domains[0].n_dcs = 2;
        rig->domains[0].connect_timeout_ms = 4000;
        rig_start_ready(rig, 1);
        for (unsigned i = 0; i < 500 && (strcmp(state_of(rig, &seen, "dc2.corp.example"), "alive") != 0 ||
                                         strcmp(state_of(rig, &seen, "dc1.corp.example"), "alive") != 0);
             i++)
                rig_spin(rig, 10);
        assert_string_equal(state_of(rig, &seen, "dc2.corp.example"), "alive");
        for (unsigned user = 900; user < 950 && strcmp(ask.outcome.dc, "dc1.corp.example") != 0; user++) {
                sign_in(rig, &ask, user);
                rig_spin(rig, 20);
        }
        assert_string_equal(ask.outcome.dc, "dc1.corp.example");
        pair->sick.binds = pair->well.binds = 0;
}

static void pair_close(struct rig *rig, struct pair *pair)
{
        rig->v = validate_free(rig->v);
        rig_spin(rig, 5);
        peer_close(&pair->sick);
        peer_close(&pair->well);
}

static const struct {
        const char *what;
        enum peer_act act;
        struct peer_result script;
} sicknesses[] = {
        {"51", PEER_SCRIPTED, {51, "busy", NULL}},
        {"52", PEER_UNAVAILABLE, {0}},
        {"data 51f",
         PEER_SCRIPTED,
         {49, "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 51f, v4563", NULL}},
        {"80", PEER_SCRIPTED, {80, "", NULL}},
        {"drops", PEER_CLOSE, {0}},
        {"disconnects", PEER_NOTICE, {0}},
        {"garbage", PEER_GARBAGE, {0}},
};

/* It answers probes, and the binds of several accounts fail: the next go elsewhere, and no bind is repeated. */
static void test_sick_dc_draws_nobody(void **state)
{
        struct rig *rig = *state;

        for (size_t i = 0; i < sizeof sicknesses / sizeof *sicknesses; i++) {
                struct pair pair;
                struct seen seen;
                struct ask ask;
                unsigned failed = 0, user = 0, after = 0;

                pair_open(rig, &pair);
                pair.sick.on_bind = sicknesses[i].act;
                pair.sick.script = sicknesses[i].script;
                for (; after < USERS && user < 5 * USERS; user++) {
                        after += failed >= SEVERAL;
                        failed += sign_in(rig, &ask, user)->reason != REASON_OK;
                        if (after > 0)
                                assert_reason(&ask, REASON_OK);
                        rig_spin(rig, 60); /* a probe has its time, and is answered */
                }
                assert_int_equal(after, USERS);
                print_message("%s: %u failed, %u binds there, state %s\n", sicknesses[i].what, failed, pair.sick.binds,
                              state_of(rig, &seen, "dc1.corp.example"));
                assert_int_equal(pair.sick.binds, failed);
                assert_int_equal(pair.sick.binds + pair.well.binds, user);
                assert_string_equal(seen.state, "sick");
                pair_close(rig, &pair);
        }
}

/* It answers probes, and binds not at all: while the first ones still wait, the next go elsewhere. */
static void test_silent_on_binds_draws_nobody(void **state)
{
        static const char *const names[] = {"a@corp.example", "b@corp.example", "c@corp.example", "d@corp.example"};
        struct rig *rig = *state;
        struct ask held[4], ask;
        struct pair pair;
        struct seen seen;

        pair_open(rig, &pair);
        pair.sick.on_bind = PEER_HOLD;
        for (size_t i = 0; i < 4; i++) {
                held[i] = (struct ask){.name = names[i], .password = "right", .budget_ms = 8000};
                ask_start(rig, &held[i]);
        }
        for (unsigned i = 0; i < 400 && strcmp(state_of(rig, &seen, "dc1.corp.example"), "sick") != 0; i++)
                rig_spin(rig, 10);
        for (unsigned user = 0; user < USERS; user++) {
                sign_in(rig, &ask, user);
                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.dc, "dc2.corp.example");
        }
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(held[i].calls, 0); /* no other DC gets their passwords */
        assert_int_equal(pair.sick.binds, 4);
        ask_wait(rig, held, 4);
        for (size_t i = 0; i < 4; i++)
                assert_reason(&held[i], REASON_OUTCOME_UNKNOWN);
        pair_close(rig, &pair);
}

/* One account that only brings trouble sends nobody else away, and gets another DC itself. */
static void test_one_odd_account(void **state)
{
        struct rig *rig = *state;
        struct pair pair;
        struct seen seen;
        struct ask ask;

        pair_open(rig, &pair);
        for (unsigned i = 0; i < 6; i++) {
                pair.sick.on_bind = pair.well.on_bind = PEER_UNAVAILABLE;
                assert_int_equal(sign_in(rig, &ask, 0)->reason, REASON_DC_ERROR);
                if (i < 2)
                        assert_string_equal(ask.outcome.dc, i == 0 ? "dc1.corp.example" : "dc2.corp.example");
                pair.sick.on_bind = pair.well.on_bind = PEER_ANSWER;
                rig_spin(rig, 150);
                sign_in(rig, &ask, 10 + i);
                assert_reason(&ask, REASON_OK);
                assert_string_equal(ask.outcome.dc, "dc1.corp.example");
        }
        assert_string_equal(state_of(rig, &seen, "dc1.corp.example"), "alive");
        pair_close(rig, &pair);
}

/* Where all are sick, none is: as soon as one serves again it is used. */
static void test_all_sick(void **state)
{
        struct rig *rig = *state;
        struct pair pair;
        struct ask ask;

        pair_open(rig, &pair);
        pair.sick.on_bind = pair.well.on_bind = PEER_UNAVAILABLE;
        for (unsigned user = 0; user < USERS; user++)
                assert_int_equal(sign_in(rig, &ask, user)->reason, REASON_DC_ERROR);
        assert_true(validate_ready(rig->v, 0, NULL));
        pair.sick.on_bind = pair.well.on_bind = PEER_ANSWER;
        for (unsigned user = 20; user < 20 + USERS; user++) {
                sign_in(rig, &ask, user);
                assert_reason(&ask, REASON_OK);
        }
        pair_close(rig, &pair);
}

/* The only DC is a second away, whatever the time to connect: there is nothing better to do than to wait. */
static void test_only_dc_is_far(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask ask;

        peer_open(&peer, rig, peer_address(0), 0, "DC");
        peer.work_ms = 1000;
        peer_domain(rig, 0, &peer);
        rig_start_ready(rig, 1);
        sign_in(rig, &ask, 1);
        assert_reason(&ask, REASON_OK);
        sign_in(rig, &ask, 2);
        assert_reason(&ask, REASON_OK);
        assert_int_equal(peer.binds, 2);
        peer_stop(rig, &peer);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_sick_dc_draws_nobody), TEST(test_silent_on_binds_draws_nobody),
                TEST(test_one_odd_account),      TEST(test_all_sick),
                TEST(test_only_dc_is_far),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
