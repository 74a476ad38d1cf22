/*
 * Many sign-ins by LDAP at once at one DC: the limits of a pool, and a DC that has much to do.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/validate/ldap_rig.h"

/* Many at once: never more than eight handshakes, never more than pool_max connections, and all are served.
 */
static void test_limits(void **state)
{
        static struct ask asks[64];
        struct rig *rig = *state;
        struct peer peer;

        for (size_t i = 0; i < 64; i++)
                asks[i] = ask_right();
        peer_open(&peer, rig, peer_address(0), 0, "DC");
        peer_domain(rig, 0, &peer);
        rig->domains[0].pool_max = 5;
        rig->domains[0].connect_timeout_ms = 15000;
        rig_start(rig, 1);
        ask_all(rig, asks, 64);
        for (size_t i = 0; i < 64; i++)
                assert_reason(&asks[i], REASON_OK);
        assert_in_range(peer.most_open, 5, 5 + 1); /* and one for a probe */
        assert_int_equal(peer.binds, 64);
        peer_stop(rig, &peer);
}

/* Past the limit on sign-ins at once, the rest is told so, and at once. */
static void test_overload(void **state)
{
        enum { N = 1030 };
        static struct ask asks[N];
        struct rig *rig = *state;
        struct peer peer;
        unsigned refused = 0;

        peer_start(rig, &peer);
        peer.on_bind = PEER_HOLD;
        for (size_t i = 0; i < N; i++) {
                asks[i] = ask_right();
                asks[i].budget_ms = 120000;
                ask_start(rig, &asks[i]);
        }
        rig_until(rig, &peer.binds, 16);
        rig_spin(rig, 300);
        assert_int_equal(peer.binds, 16); /* later the first ones' places are free while the last ones have time left */
        for (size_t i = 0; i < N; i++)
                refused += asks[i].calls == 1 && asks[i].outcome.reason == REASON_OVERLOADED;
        assert_int_equal(refused, N - 1024);
        peer_close(&peer);
        ask_wait(rig, asks, N);
        for (size_t i = 0; i < N; i++)
                if (asks[i].outcome.reason != REASON_OVERLOADED)
                        assert_int_equal(reason_info(asks[i].outcome.reason)->verdict, VERDICT_UNAVAILABLE);
}

/* Some binds without an answer are a reason to look, not to give up a DC that still answers. */
static void test_unanswered_binds_kill_no_dc(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask held[6], ask = ask_right();

        peer_start(rig, &peer);
        peer.on_bind = PEER_HOLD;
        for (size_t i = 0; i < 6; i++) {
                held[i] = ask_right();
                held[i].budget_ms = 3000;
        }
        ask_all(rig, held, 6);
        for (size_t i = 0; i < 6; i++)
                assert_reason(&held[i], REASON_OUTCOME_UNKNOWN);
        peer.on_bind = PEER_ANSWER;
        assert_true(validate_ready(rig->v, 0, NULL));
        ask_one(rig, &ask);
        assert_reason(&ask, REASON_OK);
        assert_int_equal(peer.binds, 7);
        peer_stop(rig, &peer);
}

/* A DC with so much to do that it finishes no sign-in for a long while is not silent: it shakes hands and answers. */
static void test_busy_is_not_silent(void **state)
{
        static struct ask asks[40];
        struct rig *rig = *state;
        struct peer peer;

        peer_open(&peer, rig, peer_address(0), 0, "DC");
        peer_domain(rig, 0, &peer);
        rig->domains[0].pool_max = 32;
        rig->domains[0].connect_timeout_ms = 15000;
        rig_start_ready(rig, 1);
        peer_drop(&peer);
        rig_spin(rig, 20);
        peer.work_ms = 30;
        for (size_t i = 0; i < 40; i++) {
                asks[i] = ask_right();
                asks[i].budget_ms = 120000;
        }
        ask_all(rig, asks, 40);
        for (size_t i = 0; i < 40; i++)
                assert_reason(&asks[i], REASON_OK);
        assert_int_equal(peer.binds, 40);
        assert_true(peer.most_open <= 32 + 1);
        peer_stop(rig, &peer);
}

/* One handshake that takes too long is no reason to send anybody away who waits for the connections that serve. */
static void test_late_handshake_fails_nobody(void **state)
{
        struct rig *rig = *state;
        struct peer peer;
        struct ask asks[2] = {ask_right(), ask_right()};

        peer_open(&peer, rig, peer_address(0), 0, "DC");
        peer_domain(rig, 0, &peer);
        rig->domains[0].connect_timeout_ms = 1500;
        rig_start_ready(rig, 1);
        ask_one(rig, &asks[0]);
        assert_reason(&asks[0], REASON_OK); /* one connection is open */
        asks[0] = ask_right();
        peer.io = loop_io_free(peer.io); /* the kernel accepts more, nobody shakes hands */
        peer.work_ms = 550; /* three answers each: the second is served after the 1500 ms of a handshake are over */
        ask_all(rig, asks, 2);
        for (size_t i = 0; i < 2; i++)
                assert_reason(&asks[i], REASON_OK);
        assert_true(asks[0].ended - asks[0].started > 1500 || asks[1].ended - asks[1].started > 1500);
        peer_stop(rig, &peer);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_limits),
                TEST(test_overload),
                TEST(test_unanswered_binds_kill_no_dc),
                TEST(test_busy_is_not_silent),
                TEST(test_late_handshake_fails_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
