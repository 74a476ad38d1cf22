/* Dispatch on a fake clock, rule by rule. Random sequences: test_dispatch_random.c. */
#include "tests/queue/relay/dispatch_world.h"

/* ---- rule by rule ---- */

static void test_a_verdict_and_once_more(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 0, true);
        report(b, 4, true);
        struct model_request *r = submit("110", 8000);
        assert_int_equal(r->holder, 1);
        dispatch_received(b->link, r->id);
        assert_int_equal(verdict(b, r), DISPATCH_CONFIRMED);
        turn();
        assert_true(r->verdict);
        assert_int_equal(verdict(b, r), DISPATCH_CONFIRMED); /* again, after an answer that got lost */
        assert_int_equal(verdict(a, r), DISPATCH_LATE);      /* it never was a's */
}

static void test_nobody(void **state)
{
        struct model_link *a = open_link(0, 0);
        struct model_request *r;

        (void)state;
        r = submit("011", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_NO_CONNECTOR);
        r = submit("100", 8000); /* linked, no report yet */
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
        report(a, 1, false);
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
        assert_string_equal(r->reasons + 8, "no_dc");
        report(a, 0, true);
        submit("100", 8000); /* takes the one credit */
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_BUSY);
        assert_false(r->unknown);
}

static void test_decline_moves_on(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true);
        report(b, 0, true); /* no credit yet: a is asked first */
        struct model_request *r = submit("110", 8000);
        assert_int_equal(r->holder, 0);
        report(b, 9, true);
        decline(a, r, "full");
        assert_int_equal(r->holder, 1);
        decline(b, r, "no_dc");
        turn();
        assert_int_equal(r->problem, PROBLEM_BUSY);
        assert_string_equal(r->reasons + 8, "full\nno_dc");
        assert_false(r->unknown);
}

/* Whoever is asked last is told so: not while another recipient is there, were it busy or slow. */
static void test_the_last_one_is_told(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true);
        report(b, 0, true); /* no credit yet: a is asked first */
        struct model_request *r = submit("110", 8000);
        assert_int_equal(r->holder, 0);
        assert_false(r->last);
        report(b, 9, true);
        decline(a, r, "throttled");
        assert_int_equal(r->holder, 1);
        assert_true(r->last);
        assert_int_equal(verdict(b, r), DISPATCH_CONFIRMED);
        turn();
        report(b, 9, false); /* it serves nothing any more */
        r = submit("110", 8000);
        assert_int_equal(r->holder, 0);
        assert_true(r->last);
}

static void test_expired_moves_on(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);
        struct model_request *r;

        (void)state;
        report(a, 9, true);
        report(b, 0, true);
        r = submit("110", 8000);
        report(b, 9, true);
        decline(a, r, "expired"); /* its clock is wrong */
        assert_int_equal(r->holder, 1);
        assert_int_equal(verdict(b, r), DISPATCH_CONFIRMED);
        turn();
        assert_true(r->verdict);
        r = submit("110", 8000);
        decline(r->holder == 0 ? a : b, r, "expired");
        decline(r->holder == 0 ? a : b, r, "expired");
        turn();
        assert_int_equal(r->problem, PROBLEM_MALFORMED);
        assert_false(r->unknown);
        assert_string_equal(r->reasons + 8, "expired");
        r = submit("110", 8000); /* another cause beside it: not the service's clock */
        decline(r->holder == 0 ? a : b, r, "expired");
        decline(r->holder == 0 ? a : b, r, "no_dc");
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
}

static void test_decline_that_ends(void **state)
{
        static const char *const ends[] = {"bad_request", "replay"};
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true);
        report(b, 0, true); /* no credit yet: a is asked first */
        report(b, 9, true);
        for (size_t i = 0; i < 2; i++) {
                struct model_request *r = submit("110", 8000);
                const int first = r->holder;
                decline(first == 0 ? a : b, r, ends[i]);
                turn();
                assert_int_equal(r->problem, PROBLEM_MALFORMED);
                assert_non_null(strstr(r->reasons + 8, ends[i]));
                assert_false(r->asked[!first]);
        }
}

static void test_stale_key_declines(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 8000);
        decline(a, r, "stale_key");
        turn();
        assert_int_equal(r->problem, PROBLEM_STALE_KEYS);
}

static void test_silent_link_gets_nothing(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true);
        struct model_request *first = submit("100", 8000);
        loop_fake_advance(w.loop, DISPATCH_SILENT_MS - 1);
        assert_int_equal(submit("100", 8000)->holder, 0);
        loop_fake_advance(w.loop, 2);
        struct model_request *r = submit("100", 8000);
        loop_fake_advance(w.loop, DISPATCH_PARKED_MS - 1);
        assert_int_equal(r->answers, 0);
        assert_int_equal(r->holder, -1);
        loop_fake_advance(w.loop, 2);
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
        assert_false(r->unknown);
        assert_string_equal(r->reasons + 8, "silent");
        r = submit("100", 1000); /* of a small budget half */
        loop_fake_advance(w.loop, 501);
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
        report(a, 0, true); /* speaks again */
        assert_int_equal(submit("100", 8000)->holder, 0);
        assert_int_equal(first->answers, 0); /* and the first is still its, never repeated */
}

/* a has not acknowledged a request, and so many wait for it. */
static void let_wait(struct model_link *a, struct model_request **waiting, size_t n)
{
        report(a, 2, true);
        submit("100", 15000);
        loop_fake_advance(w.loop, DISPATCH_SILENT_MS + 1);
        for (size_t i = 0; i < n; i++) {
                waiting[i] = submit("110", 15000);
                assert_int_equal(waiting[i]->holder, -1);
        }
}

static void test_waiting_for_a_silent_link(void **state)
{
        struct model_link *a = open_link(0, 0), *b;
        struct model_request *r[4];

        (void)state;
        let_wait(a, r, 4);
        dispatch_cancel(w.d, TENANT, r[0]->id);
        r[0]->cancelled = true;
        report(a, 1, true); /* speaks, with credit for two */
        assert_int_equal(r[1]->holder, 0);
        assert_int_equal(r[2]->holder, 0);
        turn();
        assert_int_equal(r[3]->problem, PROBLEM_BUSY);
        /* somebody else comes meanwhile */
        dispatch_received(a->link, r[1]->id);
        dispatch_received(a->link, r[2]->id);
        let_wait(a, r, 2);
        b = open_link(1, 1);
        report(b, 1, true);
        assert_int_equal(r[0]->holder, 1);
        assert_int_equal(r[1]->answers, 0);
        assert_int_equal(r[1]->holder, -1);
        /* and the silent one goes */
        close_link(a);
        turn();
        assert_int_equal(r[1]->problem, PROBLEM_BUSY);
        assert_int_equal(dispatch_in_flight(w.d, NULL), 5);
}

static void test_waiting_is_bounded_and_ends_with_the_link(void **state)
{
        struct model_link *a = open_link(0, 0);
        struct model_request *r[PARKED_MAX];

        (void)state;
        let_wait(a, r, PARKED_MAX);
        struct model_request *more = submit("100", 8000);
        turn();
        assert_int_equal(more->problem, PROBLEM_NOT_READY);
        assert_int_equal(r[1]->answers, 0);
        dispatch_link_drain(a->link);
        turn();
        assert_int_equal(r[1]->problem, PROBLEM_NOT_READY);
}

static void test_waiting_ends_with_the_relay(void **state)
{
        struct model_link *a = open_link(0, 0);
        struct model_request *r;

        (void)state;
        let_wait(a, &r, 1);
        dispatch_drain(w.d, false);
        dispatch_end(w.d, NULL);
        turn();
        assert_int_equal(r->problem, PROBLEM_DRAINING);
        assert_false(r->unknown);
}

static void test_dead_link(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true);
        report(b, 0, true); /* no credit yet: a is asked first */
        struct model_request *r = submit("110", 15000);
        dispatch_received(a->link, r->id);
        loop_fake_advance(w.loop, DISPATCH_DEAD_MS - 1);
        report(b, 0, true);
        assert_int_equal(r->answers, 0);
        loop_fake_advance(w.loop, 2);
        assert_int_equal(r->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(r->unknown);
        assert_true(a->dropped);
        assert_false(r->asked[1]);
}

static void note_drop(void *arg, const char *why)
{
        (void)why;
        ((struct model_link *)arg)->dropped = true;
}

/* A link that was told to report seldom is dead later; one that was told to report often may not have heard it. */
static void test_a_link_that_may_be_silent(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true);
        dispatch_link_allow(a->link, DISPATCH_DEAD_MS * 3);
        dispatch_link_allow(a->link, DISPATCH_DEAD_MS);
        loop_fake_advance(w.loop, DISPATCH_DEAD_MS * 3 - 1);
        assert_false(a->dropped);
        loop_fake_advance(w.loop, 2);
        assert_true(a->dropped);
}

/* The first report may take longer, while many join at once. */
static void test_the_first_report(void **state)
{
        const struct dispatch_peer peer = {
                TENANT, names[0], "BBBBBBBBBBBBBBBBBBBBBB", DISPATCH_DEAD_MS, DISPATCH_DEAD_MS * 5, false};
        struct model_link *a = open_link(0, 0);
        const struct dispatch_sink sink = {.drop = note_drop, .arg = a};
        struct dispatch_link *slow;

        (void)state;
        assert_int_equal(dispatch_link_new(&slow, w.d, &peer, &sink), 0);
        loop_fake_advance(w.loop, DISPATCH_DEAD_MS + 1);
        assert_true(a->dropped); /* it was allowed no more */
        a->dropped = false;
        loop_fake_advance(w.loop, DISPATCH_DEAD_MS * 3);
        assert_false(a->dropped);
        loop_fake_advance(w.loop, DISPATCH_DEAD_MS);
        assert_true(a->dropped);
        dispatch_link_gone(slow);
}

static void test_unsent_moves_on(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true);
        report(b, 0, true); /* no credit yet: a is asked first */
        a->stuck = true;
        struct model_request *r = submit("110", 8000);
        assert_int_equal(r->holder, 0);
        report(b, 9, true);
        assert_false(r->left);
        loop_fake_advance(w.loop, DISPATCH_SILENT_MS + 1);
        assert_int_equal(r->holder, 1);
        assert_true(r->left);
        r = submit("100", 8000); /* a is silent now */
        loop_fake_advance(w.loop, DISPATCH_PARKED_MS + 1);
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
}

static void test_unsent_goes_with_the_stream(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true);
        report(b, 0, true); /* no credit yet: a is asked first */
        struct model_request *left = submit("110", 8000);
        a->stuck = true;
        struct model_request *waits = submit("110", 8000);
        assert_int_equal(waits->holder, 0);
        report(b, 9, true);
        close_link(a);
        assert_int_equal(waits->holder, 1);
        assert_int_equal(left->holder, 0);
        turn();
        assert_int_equal(left->answers, 0); /* may still come under a new session */
}

static void test_verdict_under_a_new_session(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 8000), *other = submit("100", 15000);
        close_link(a);
        loop_fake_advance(w.loop, 3000);
        a = open_link(1, 0);
        assert_int_equal(verdict(a, r), DISPATCH_CONFIRMED);
        turn();
        assert_true(r->verdict);
        loop_fake_advance(w.loop, 10000); /* the connector lives: the other waits for its own deadline, not
                                             for the dead link's */
        report(a, 0, true);
        assert_int_equal(other->answers, 0);
        loop_fake_advance(w.loop, 3000);
        assert_int_equal(other->problem, PROBLEM_DEADLINE);
        assert_true(other->unknown);
}

static void test_lost_without_a_new_session(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 15000);
        loop_fake_advance(w.loop, 500);
        close_link(a);
        loop_fake_advance(w.loop, DISPATCH_DEAD_MS - 501);
        assert_int_equal(r->answers, 0);
        loop_fake_advance(w.loop, 2);
        assert_int_equal(r->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(r->unknown);
}

static void test_deadline(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 500);
        dispatch_received(a->link, r->id);
        loop_fake_advance(w.loop, 500);
        assert_int_equal(r->answers, 1);
        assert_int_equal(r->problem, PROBLEM_DEADLINE);
        assert_true(r->unknown);
        assert_int_equal(verdict(a, r), DISPATCH_LATE);
        a->stuck = true;
        r = submit("100", 500);
        loop_fake_advance(w.loop, 500);
        assert_int_equal(r->problem, PROBLEM_DEADLINE);
        assert_false(r->unknown); /* it never left */
}

static void test_cancel(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 8000);
        dispatch_cancel(w.d, TENANT, r->id);
        r->cancelled = true;
        assert_int_equal(a->cancels, 1);
        assert_int_equal(verdict(a, r), DISPATCH_LATE);
        loop_fake_advance(w.loop, 9000);
        assert_int_equal(r->answers, 0);
        a->stuck = true;
        report(a, 0, true);
        r = submit("100", 8000);
        dispatch_cancel(w.d, TENANT, r->id);
        r->cancelled = true;
        assert_int_equal(a->n_waiting, 0);
        assert_int_equal(a->cancels, 1); /* nothing to tell: it never left */
        assert_int_equal(dispatch_in_flight(w.d, NULL), 0);
}

static void test_duplicates_and_limits(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 1000, true);
        struct model_request *r = submit("100", 8000);
        const char *connectors[] = {names[0]};
        const struct dispatch_submission again = {.tenant = TENANT,
                                                  .id = r->id,
                                                  .budget_ms = 8000,
                                                  .n = 1,
                                                  .connectors = connectors,
                                                  .caller = {on_share, on_done, r}};
        assert_int_equal(dispatch_submit(w.d, &again), -EEXIST);
        verdict(a, r);
        turn();
        assert_int_equal(dispatch_submit(w.d, &again), -EEXIST);
        for (int i = 0; i < 64; i++)
                assert_int_equal(submit("100", 8000)->holder, 0);
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_BUSY);
        dispatch_drain(w.d, false);
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_DRAINING);
        dispatch_end(w.d, NULL);
        turn();
        assert_int_equal(dispatch_in_flight(w.d, NULL), 0);
        assert_int_equal(w.requests[5].problem, PROBLEM_CONNECTOR_LOST);
}

static void test_memory_is_bounded(void **state)
{
        struct model_link *a = open_link(0, 0);
        struct dispatch_trail trail;

        (void)state;
        report(a, 9, true);
        struct model_request *r = submit("100", 8000);
        verdict(a, r);
        turn();
        assert_int_equal(dispatch_trail(w.d, TENANT, r->id, &trail), 0);
        assert_string_equal(trail.state, "answered");
        loop_fake_advance(w.loop, DISPATCH_MEMORY_MS + 6000);
        assert_int_equal(dispatch_trail(w.d, TENANT, r->id, &trail), -ENOENT);
        assert_int_equal(verdict(a, r), DISPATCH_LATE);
}

static int counting_request(void *arg, const struct request_event *event)
{
        (void)event;
        ++*(size_t *)arg;
        return 0;
}

static bool nothing_waits(void *arg, const char *id)
{
        (void)arg, (void)id;
        return false;
}

static void no_word(void *arg, const char *text)
{
        (void)arg, (void)text;
}

static int some_share(void *arg, size_t i, struct buffer *out)
{
        (void)arg, (void)i;
        return buffer_append_str(out, "sealed");
}

static void no_answer(void *arg, const struct dispatch_outcome *o)
{
        (void)arg, (void)o;
}

static void test_credit_is_capped(void **state)
{
        const struct dispatch_limits limits = {.in_flight_per_tenant = 65536};
        const struct dispatch_state all = {.granted = UINT64_C(1) << 40, .ready = true};
        size_t sent = 0;
        const struct dispatch_sink sink = {counting_request, nothing_waits, no_word, no_word, &sent};
        struct dispatch_link *link;
        struct dispatch *d;
        char id[ID_MAX + 1];

        (void)state;
        assert_int_equal(dispatch_new(&d, w.loop, &limits), 0);
        assert_int_equal(dispatch_link_new(&link, d,
                                           &(struct dispatch_peer){TENANT, names[0], "g5gQaVnr0E-QZQ2l6nYV2A",
                                                                   DISPATCH_DEAD_MS, 0, false},
                                           &sink),
                         0);
        for (size_t i = 0; i < 3 * DISPATCH_CREDIT_MAX; i++) {
                const struct dispatch_submission s = {.tenant = TENANT,
                                                      .id = id,
                                                      .budget_ms = 8000,
                                                      .n = 1,
                                                      .connectors = (const char *const[]){names[0]},
                                                      .caller = {some_share, no_answer, NULL}};
                (void)snprintf(id, sizeof(id), "request-%08zu", i);
                if (i % 100 == 0) /* says each time that it may be sent everything, and answers nothing */
                        dispatch_link_state(link, &all);
                assert_int_equal(dispatch_submit(d, &s), 0);
        }
        assert_int_equal(sent, DISPATCH_CREDIT_MAX);
        loop_fake_advance(w.loop, 9000);
        dispatch_link_gone(link);
        dispatch_free(d);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_verdict_and_once_more),
                TEST(test_nobody),
                TEST(test_decline_moves_on),
                TEST(test_the_last_one_is_told),
                TEST(test_expired_moves_on),
                TEST(test_decline_that_ends),
                TEST(test_stale_key_declines),
                TEST(test_silent_link_gets_nothing),
                TEST(test_waiting_for_a_silent_link),
                TEST(test_waiting_is_bounded_and_ends_with_the_link),
                TEST(test_waiting_ends_with_the_relay),
                TEST(test_dead_link),
                TEST(test_a_link_that_may_be_silent),
                TEST(test_the_first_report),
                TEST(test_unsent_moves_on),
                TEST(test_unsent_goes_with_the_stream),
                TEST(test_verdict_under_a_new_session),
                TEST(test_lost_without_a_new_session),
                TEST(test_deadline),
                TEST(test_cancel),
                TEST(test_duplicates_and_limits),
                TEST(test_memory_is_bounded),
                TEST(test_credit_is_capped),
        };

        return cmocka_run_group_tests_name("relay/dispatch", tests, NULL, NULL);
}
