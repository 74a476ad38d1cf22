/*
 * What a connector has lost, or no longer has when it comes back: over at once, and nobody else is asked.
 */
#include "tests/queue/relay/dispatch_world.h"

#include <string.h>

#include "queue/relay/dispatch-internal.h"

/* A connector whose validator died says so: over at once, and nobody else is asked. */
static void test_lost(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true);
        report(b, 9, true);
        struct model_request *r = submit("110", 8000);
        struct model_link *has = r->holder == 0 ? a : b, *other = r->holder == 0 ? b : a;
        dispatch_lost(other->link, r->id); /* it was not that one's */
        turn();
        assert_int_equal(r->answers, 0);
        dispatch_received(has->link, r->id);
        dispatch_lost(has->link, r->id);
        turn();
        assert_int_equal(r->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(r->unknown);
        assert_false(r->asked[other->connector]);
        dispatch_lost(has->link, r->id); /* again: nothing */
        assert_int_equal(verdict(has, r), DISPATCH_LATE);
}

/* A new session lists what there is: what the one before was given, and is not there, is over at once. */
static void test_in_hand(void **state)
{
        struct model_link *a = open_link(0, 0), *a2, *b = open_link(1, 1);
        char ids[2][ID_MAX + 1];

        (void)state;
        report(a, 9, true);
        report(b, 9, true);
        struct model_request *lost = submit("100", 8000), *kept = submit("100", 8000), *done = submit("100", 8000),
                             *other = submit("010", 8000);
        dispatch_received(a->link, kept->id);
        close_link(a);
        a2 = open_link(2, 0);
        report(a2, 9, true);
        struct model_request *fresh = submit("100", 8000);
        memcpy(ids[0], kept->id, sizeof(ids[0]));
        memcpy(ids[1], done->id, sizeof(ids[1]));
        dispatch_in_hand(a2->link, ids, 2);
        turn();
        assert_int_equal(lost->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(lost->unknown);
        assert_int_equal(kept->answers + done->answers + other->answers + fresh->answers, 0);
        assert_int_equal(verdict(a2, done), DISPATCH_CONFIRMED);
        dispatch_in_hand(a2->link, NULL, 0);
        turn();
        assert_int_equal(kept->problem, PROBLEM_CONNECTOR_LOST);
        assert_int_equal(other->answers + fresh->answers, 0);
}

/* The session before may not have been missed yet: what it was given counts as well, but not what has not left. */
static void test_in_hand_beside_an_older_session(void **state)
{
        struct model_link *a = open_link(0, 0), *a2;

        (void)state;
        report(a, 9, true);
        struct model_request *lost = submit("100", 8000);
        a->stuck = true;
        struct model_request *waits = submit("100", 8000);
        a2 = open_link(2, 0);
        report(a2, 9, true);
        dispatch_in_hand(a2->link, NULL, 0);
        turn();
        assert_int_equal(lost->problem, PROBLEM_CONNECTOR_LOST);
        assert_int_equal(waits->answers, 0);
}

/* Another start of the connector knows nothing of this one's, as long as this one is there. */
static void test_in_hand_of_another_boot(void **state)
{
        struct model_link *a = open_link(0, 0), *a2;

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 8000);
        a2 = open_link_of(2, 0, "AAAAAAAAAAAAAAAAAAAAAA");
        report(a2, 9, true);
        dispatch_in_hand(a2->link, NULL, 0);
        turn();
        assert_int_equal(r->answers, 0);
        assert_int_equal(verdict(a, r), DISPATCH_CONFIRMED);
}

/* One that comes once nothing is left of this one ends what this one had: nobody has to wait for its budget. */
static void test_started_anew(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1), *a2;

        (void)state;
        report(a, 9, true);
        report(b, 9, true);
        struct model_request *lost = submit("100", 8000), *other = submit("010", 8000);
        close_link(a);
        close_link(b);
        turn();
        assert_int_equal(lost->answers, 0);
        a2 = open_link_of(2, 0, "AAAAAAAAAAAAAAAAAAAAAA");
        turn();
        assert_int_equal(lost->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(lost->unknown);
        assert_int_equal(other->answers, 0);
        report(a2, 9, true);
        assert_int_equal(verdict(a2, lost), DISPATCH_LATE);
}

/* The same where the new start is there before the old one's connection is missed. */
static void test_missed_late(void **state)
{
        struct model_link *a = open_link(0, 0), *a2;

        (void)state;
        report(a, 9, true);
        struct model_request *lost = submit("100", 8000);
        a2 = open_link_of(2, 0, "AAAAAAAAAAAAAAAAAAAAAA");
        report(a2, 9, true);
        turn();
        assert_int_equal(lost->answers, 0);
        close_link(a);
        turn();
        assert_int_equal(lost->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(lost->unknown);
}

/* What it says it has, under the new session, is not lost with the old one. */
static void test_received_again(void **state)
{
        struct model_link *a = open_link(0, 0), *a2;

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 15000);
        dispatch_received(a->link, r->id);
        a2 = open_link(2, 0);
        report(a2, 9, true);
        dispatch_received(a2->link, r->id);
        for (int i = 0; i < 3; i++) { /* the old one is silent */
                loop_fake_advance(w.loop, 4500);
                report(a2, 9, true);
        }
        assert_true(a->dropped);
        assert_int_equal(r->answers, 0);
        assert_int_equal(verdict(a2, r), DISPATCH_CONFIRMED);
}

/* A process that was killed with much in hand, whose budgets end one after the other, did one thing wrong, not many. */
static void test_a_death_counts_once(void **state)
{
        struct model_link *a = open_link(0, 0), *b, *a2;
        struct model_request *r[6];

        (void)state;
        report(a, 99, true);
        for (size_t i = 0; i < 6; i++) {
                r[i] = submit("100", 8000);
                loop_fake_advance(w.loop, 300);
        }
        close_link(a);
        loop_fake_advance(w.loop, 8000);
        for (size_t i = 0; i < 6; i++)
                assert_int_equal(r[i]->answers, 1);
        a2 = open_link_of(2, 0, "AAAAAAAAAAAAAAAAAAAAAA");
        b = open_link(1, 1);
        report(a2, 99, true);
        report(b, 99, true);
        assert_false(dispatch_link_barred(a2->link));
        assert_false(dispatch_link_barred(b->link));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_lost),
                TEST(test_in_hand),
                TEST(test_in_hand_beside_an_older_session),
                TEST(test_in_hand_of_another_boot),
                TEST(test_started_anew),
                TEST(test_missed_late),
                TEST(test_received_again),
                TEST(test_a_death_counts_once),
        };

        return cmocka_run_group_tests_name("relay/dispatch_lost", tests, NULL, NULL);
}
