/*
 * Links of other nodes: behind those of this one, offered before they leave, and what becomes of both.
 */
#include "queue/relay/dispatch-internal.h"
#include "tests/queue/relay/dispatch_world.h"

static void test_this_node_first(void **state)
{
        struct model_link *near = open_link(0, 0), *far = open_far_link(1, 1);
        struct model_request *r;

        (void)state;
        report(near, 2, true);
        report(far, 0, true); /* credit is the other node's affair */
        for (int i = 0; i < 2; i++)
                assert_int_equal(submit("110", 8000)->holder, 0);
        r = submit("110", 8000); /* no credit is left here */
        assert_int_equal(r->holder, 1);
        assert_false(r->left);
        claim(far);
        assert_int_equal(verdict(far, r), DISPATCH_CONFIRMED);
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_BUSY);
        report(near, 9, false);
        assert_int_equal(submit("110", 8000)->holder, 1);
}

/* Who does not claim in time gets it no more; another link may bring it to the same connector. */
static void test_not_claimed(void **state)
{
        struct model_link *far = open_far_link(0, 0), *other = open_far_link(1, 0);
        struct model_request *r;

        (void)state;
        report(far, 0, true);
        report(other, 0, false);
        r = submit("100", 8000);
        assert_int_equal(far->n_waiting, 1);
        report(other, 0, true);
        loop_fake_advance(w.loop, DISPATCH_OFFER_MS);
        assert_int_equal(far->n_waiting + other->n_waiting, 1);
        assert_int_equal(other->n_waiting, 1);
        assert_false(dispatch_link_is_ready(far->link));
        dispatch_link_heard(far->link); /* it was only slow */
        assert_true(dispatch_link_is_ready(far->link));
        claim(other);
        assert_int_equal(verdict(other, r), DISPATCH_CONFIRMED);
}

static void test_given_back(void **state)
{
        struct model_link *far = open_far_link(0, 0), *other = open_far_link(1, 1);
        struct model_request *r;

        (void)state;
        report(far, 0, true);
        r = submit("110", 8000);
        give_back(far, r, false); /* full: this connector is not tried again */
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
        assert_false(r->unknown);
        r = submit("110", 8000);
        report(other, 0, true);
        claim(far);
        give_back(far, r, true); /* the grant came too late, or to nobody */
        assert_int_equal(r->holder, 1);
        claim(other);
        dispatch_received(other->link, r->id);
        assert_false(dispatch_link_returned(other->link, r->id, "late", true)); /* its connector has it */
        assert_int_equal(verdict(other, r), DISPATCH_CONFIRMED);
}

/* Its node is gone: what was offered goes on; what was granted is over at once, but where this start of the connector
 * has another link. */
static void test_gone(void **state)
{
        struct model_link *far = open_far_link(0, 0), *near = open_link(1, 1);
        struct model_request *offered, *granted, *kept;

        (void)state;
        report(far, 0, true);
        granted = submit("100", 8000);
        claim(far);
        offered = submit("110", 8000);
        report(near, 9, true);
        close_link(far);
        turn();
        assert_int_equal(offered->holder, 1);
        assert_int_equal(granted->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(granted->unknown);
        far = open_far_link(0, 0);
        report(far, 0, true);
        kept = submit("100", 8000);
        claim(far);
        struct model_link *same = open_link(2, 0);
        report(same, 0, false);
        close_link(far);
        turn();
        assert_int_equal(kept->answers, 0);
        assert_int_equal(verdict(same, kept), DISPATCH_CONFIRMED);
}

/* What the connector lists as in its hands by this node's link says nothing of what another node gave it; what it has
 * from there it may take up here, and then the other node's end is no news. */
static void test_gone_and_taken_up(void **state)
{
        struct model_link *far = open_far_link(0, 0), *same;
        struct model_request *r, *other;

        (void)state;
        report(far, 0, true);
        r = submit("100", 8000);
        other = submit("100", 8000);
        claim(far);
        same = open_link(2, 0);
        report(same, 0, false);
        dispatch_received(same->link, r->id);
        dispatch_lost(far->link, r->id); /* it has lost its own link */
        close_link(far);
        dispatch_in_hand(same->link, NULL, 0);
        turn();
        assert_int_equal(r->answers + other->answers, 0);
        assert_int_equal(verdict(same, r), DISPATCH_CONFIRMED);
        assert_int_equal(verdict(same, other), DISPATCH_CONFIRMED);
}

/* The links that were left go as well: who waits is told when the last would have been dead. */
static void test_gone_one_by_one(void **state)
{
        struct model_link *far = open_far_link(0, 0), *same = open_link(2, 0);
        struct model_request *r;

        (void)state;
        report(far, 0, true);
        report(same, 0, false);
        r = submit("100", 15000);
        claim(far);
        close_link(far);
        turn();
        assert_int_equal(r->answers, 0);
        close_link(same);
        loop_fake_advance(w.loop, 11000);
        assert_int_equal(r->answers, 0);
        loop_fake_advance(w.loop, 1500);
        assert_int_equal(r->problem, PROBLEM_CONNECTOR_LOST);
}

/* Of another node: to links of this one only, and once more for another of its recipients. */
static void test_a_hop(void **state)
{
        struct model_link *near = open_link(0, 0), *far = open_far_link(1, 1);
        const char *to[] = {names[0], names[1]};
        struct model_request *r = &w.requests[w.n++];
        struct dispatch_submission s = {.tenant = TENANT,
                                        .id = r->id,
                                        .budget_ms = 8000,
                                        .n = 2,
                                        .connectors = to,
                                        .hop = true,
                                        .caller = {.share = on_share, .done = on_done, .arg = r}};

        (void)state;
        *r = (struct model_request){.id = "request-of-another", .budget = 8000, .holder = -1, .reasons = "110"};
        r->verdict_from = -1;
        r->began = loop_now(w.loop);
        report(near, 9, true);
        report(far, 0, true);
        assert_int_equal(dispatch_submit(w.d, &s), 0);
        assert_int_equal(r->holder, 0);
        decline(near, r, "no_dc");
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY); /* and not the far one's */
        assert_false(r->asked[1]);
        r->answers = 0;
        r->asked[0] = false;
        memcpy(r->reasons, "110", 4);
        assert_int_equal(dispatch_submit(w.d, &s), 0);
        assert_int_equal(dispatch_submit(w.d, &s), -EEXIST);
        assert_int_equal(verdict(near, r), DISPATCH_CONFIRMED);
        turn();
        assert_int_equal(dispatch_submit(w.d, &s), -EEXIST); /* it was started */
        assert_int_equal(dispatch_spare(w.d, TENANT, names[0]), 7);
        assert_int_equal(dispatch_spare(w.d, TENANT, names[1]), -1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_this_node_first),   TEST(test_not_claimed),     TEST(test_given_back), TEST(test_gone),
                TEST(test_gone_and_taken_up), TEST(test_gone_one_by_one), TEST(test_a_hop),
        };

        return cmocka_run_group_tests_name("relay/dispatch-far", tests, NULL, NULL);
}
