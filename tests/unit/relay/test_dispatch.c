/*
 * Dispatch on a fake clock: each rule alone, then random sequences of everything that callers, connectors, streams and time can do,
 * watched by a model that knows who may have what.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue/relay/dispatch.h"

#define TENANT "acme"
#define N_CONNECTORS 3
#define N_LINKS 5
#define N_REQUESTS 200

static const char *const names[N_CONNECTORS] = { "connector-aaaaaaaa", "connector-bbbbbbbb", "connector-cccccccc" };

/* ---- the world as the model sees it ---- */

struct model_request {
        char id[ID_MAX + 1];
        uint64_t began;
        uint32_t budget;
        int holder;     /* connector that may act on it, -1: nobody */
        bool left;      /* its bytes left towards holder */
        bool asked[N_CONNECTORS];
        bool submitted, cancelled;
        int answers;
        bool verdict, unknown;
        enum problem_type problem;
        int verdict_from; /* who posted a verdict that was confirmed, -1 */
        char reasons[128];
};

struct model_link {
        struct dispatch_link *link;
        int connector;
        bool stuck, broken, dropped;
        uint64_t granted, taken;
        char waiting[N_REQUESTS][ID_MAX + 1];
        size_t n_waiting;
        size_t cancels;
};

static struct world {
        struct loop *loop;
        struct dispatch *d;
        struct model_request requests[N_REQUESTS];
        size_t n;
        struct model_link links[N_LINKS];
        unsigned seed;
} w;

static struct model_request *model(const char *id)
{
        for (size_t i = 0; i < w.n; i++) {
                if (strcmp(w.requests[i].id, id) == 0)
                        return &w.requests[i];
        }
        fail_msg("unknown request %s", id);
        return NULL;
}

static int sink_request(void *arg, const struct request_event *event)
{
        struct model_link *l = arg;
        struct model_request *r = model(event->id);

        assert_non_null(l->link);
        assert_false(l->dropped);
        if (l->broken)
                return -EPIPE;
        assert_int_equal(r->holder, -1); /* with nobody else */
        assert_int_equal(r->answers, 0);
        assert_false(r->cancelled);
        assert_false(r->asked[l->connector]); /* and never twice with one */
        assert_string_equal(event->jwe, names[l->connector]);
        assert_true(++l->taken <= l->granted); /* within its credit */
        assert_true(event->budget <= r->budget);
        assert_true(loop_now(w.loop) + event->budget <= r->began + r->budget);
        r->asked[l->connector] = true;
        r->holder = l->connector;
        r->left = !l->stuck;
        if (!l->stuck)
                return 0;
        memcpy(l->waiting[l->n_waiting++], event->id, sizeof(event->id));
        return 1;
}

static bool sink_withdraw(void *arg, const char *id)
{
        struct model_link *l = arg;

        for (size_t i = 0; i < l->n_waiting; i++) {
                if (strcmp(l->waiting[i], id) != 0)
                        continue;
                struct model_request *r = model(id);
                assert_int_equal(r->holder, l->connector);
                assert_false(r->left);
                r->holder = -1;
                r->asked[l->connector] = true;
                l->taken--;
                memmove(l->waiting[i], l->waiting[l->n_waiting - 1], sizeof(l->waiting[0]));
                l->n_waiting--;
                return true;
        }
        return false;
}

static void sink_cancel(void *arg, const char *id)
{
        struct model_link *l = arg;
        assert_int_equal(model(id)->holder, l->connector);
        l->cancels++;
}

static void sink_drop(void *arg, const char *why)
{
        struct model_link *l = arg;
        assert_non_null(why);
        l->dropped = true;
}

static int on_share(void *arg, size_t i, struct buffer *out)
{
        struct model_request *r = arg;
        /* Candidates are submitted in the order of names, those of r->reasons[] = '1'. */
        for (size_t c = 0; c < N_CONNECTORS; c++) {
                if (r->reasons[c] == '1' && i-- == 0)
                        return buffer_append_str(out, names[c]);
        }
        return -EINVAL;
}

static void on_done(void *arg, const struct dispatch_outcome *o)
{
        struct model_request *r = arg;

        assert_int_equal(r->answers++, 0);
        assert_false(r->cancelled);
        assert_true(loop_now(w.loop) <= r->began + r->budget);
        r->verdict = o->jwe != NULL;
        if (o->jwe) {
                assert_int_equal(strcmp(o->jwe, "verdict"), 0);
                assert_true(r->verdict_from >= 0);
                assert_string_equal(o->trail.connector, names[r->verdict_from]);
                assert_string_equal(o->trail.state, "answered");
        } else {
                assert_true(o->problem > 0);
                assert_string_equal(o->trail.state, "failed");
                /* "started: no" is a promise: nobody has it. */
                if (!o->started_unknown)
                        assert_true(r->holder < 0 || !r->left);
        }
        r->unknown = o->started_unknown;
        r->problem = o->problem;
        r->holder = -1;
        r->reasons[8] = '\0';
        if (o->reasons) {
                char *text = json_dumps(o->reasons, JSON_COMPACT);
                snprintf(r->reasons + 8, sizeof(r->reasons) - 8, "%s", text);
                free(text);
        }
}

/* ---- moving it ---- */

static int setup(void **state)
{
        const struct dispatch_limits limits = { .in_flight_per_tenant = 64 };

        (void)state;
        memset(&w, 0, sizeof(w));
        assert_int_equal(loop_new_fake(&w.loop), 0);
        assert_int_equal(dispatch_new(&w.d, w.loop, &limits), 0);
        return 0;
}

static void close_link(struct model_link *l)
{
        struct dispatch_link *link = l->link;

        l->broken = true;
        dispatch_link_gone(link);
        assert_int_equal(l->n_waiting, 0); /* what waited was taken back */
        memset(l, 0, sizeof(*l));
}

static int teardown(void **state)
{
        (void)state;
        for (size_t i = 0; i < N_LINKS; i++) {
                if (w.links[i].link)
                        close_link(&w.links[i]);
        }
        w.d = dispatch_free(w.d);
        w.loop = loop_free(w.loop);
        return 0;
}

static struct model_link *open_link(size_t slot, int connector)
{
        struct model_link *l = &w.links[slot];
        const struct dispatch_sink sink = { sink_request, sink_withdraw, sink_cancel, sink_drop, l };

        l->connector = connector;
        assert_int_equal(dispatch_link_new(&l->link, w.d, TENANT, names[connector], &sink), 0);
        return l;
}

static void report(struct model_link *l, uint64_t credit, bool ready, double load)
{
        static const char reasons[1][64] = { "no_dc" };
        const struct dispatch_state s = {
                .granted = l->granted + credit, .load = load, .ready = ready, .n_reasons = ready ? 0 : 1, .reasons = reasons
        };

        l->granted = s.granted;
        dispatch_link_state(l->link, &s);
}

/* to: "110" means the first two connectors. */
static struct model_request *submit(const char *to, uint32_t budget)
{
        struct model_request *r = &w.requests[w.n++];
        const char *connectors[N_CONNECTORS];
        struct dispatch_submission s = { .tenant = TENANT, .budget_ms = budget, .connectors = connectors, .caller = { on_share, on_done, r } };

        assert_true(w.n <= N_REQUESTS);
        snprintf(r->id, sizeof(r->id), "request-%08zu", w.n);
        s.id = r->id;
        r->began = loop_now(w.loop);
        r->budget = budget;
        r->holder = r->verdict_from = -1;
        r->submitted = true;
        memcpy(r->reasons, to, N_CONNECTORS);
        for (size_t c = 0; c < N_CONNECTORS; c++) {
                if (to[c] == '1')
                        connectors[s.n++] = names[c];
        }
        assert_int_equal(dispatch_submit(w.d, &s), 0);
        assert_int_equal(r->answers, 0); /* never from within */
        return r;
}

static void turn(void)
{
        loop_fake_advance(w.loop, 0);
}

static void decline(struct model_link *l, struct model_request *r, const char *why)
{
        if (r->holder == l->connector && r->left) {
                r->holder = -1;
                r->left = false;
        }
        dispatch_declined(l->link, r->id, why);
}

static enum dispatch_receipt verdict(struct model_link *l, struct model_request *r)
{
        bool may = r->holder == l->connector && r->left && !r->answers && !r->cancelled;

        if (may)
                r->verdict_from = l->connector;
        return dispatch_verdict(l->link, r->id, "verdict");
}

/* ---- rule by rule ---- */

static void test_best_link_gets_it(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 4, true, 0.9);
        report(b, 4, true, 0.1);
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
        report(a, 1, false, 0);
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
        assert_string_equal(r->reasons + 8, "[\"no_dc\"]");
        report(a, 0, true, 0);
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
        report(a, 9, true, 0);
        report(b, 9, true, 0.5);
        struct model_request *r = submit("110", 8000);
        assert_int_equal(r->holder, 0);
        decline(a, r, "full");
        assert_int_equal(r->holder, 1);
        decline(b, r, "no_dc");
        turn();
        assert_int_equal(r->problem, PROBLEM_BUSY);
        assert_string_equal(r->reasons + 8, "[\"full\",\"no_dc\"]");
        assert_false(r->unknown);
}

static void test_decline_that_ends(void **state)
{
        static const char *const ends[] = { "bad_request", "expired", "replay" };
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true, 0);
        report(b, 9, true, 0.5);
        for (size_t i = 0; i < 3; i++) {
                struct model_request *r = submit("110", 8000);
                decline(a, r, ends[i]);
                turn();
                assert_int_equal(r->problem, PROBLEM_MALFORMED);
                assert_non_null(strstr(r->reasons + 8, ends[i]));
                assert_false(r->asked[1]);
        }
}

static void test_stale_key_declines(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true, 0);
        struct model_request *r = submit("100", 8000);
        decline(a, r, "stale_key");
        turn();
        assert_int_equal(r->problem, PROBLEM_STALE_KEYS);
}

static void test_silent_link_gets_nothing(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true, 0);
        struct model_request *first = submit("100", 8000);
        loop_fake_advance(w.loop, DISPATCH_SILENT_MS - 1);
        assert_int_equal(submit("100", 8000)->holder, 0);
        loop_fake_advance(w.loop, 2);
        struct model_request *r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
        assert_string_equal(r->reasons + 8, "[\"silent\"]");
        report(a, 0, true, 0); /* speaks again */
        assert_int_equal(submit("100", 8000)->holder, 0);
        assert_int_equal(first->answers, 0); /* and the first is still its, never repeated */
}

static void test_dead_link(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true, 0);
        report(b, 9, true, 0.5);
        struct model_request *r = submit("110", 15000);
        dispatch_received(a->link, r->id);
        loop_fake_advance(w.loop, DISPATCH_DEAD_MS - 1);
        report(b, 0, true, 0.5);
        assert_int_equal(r->answers, 0);
        loop_fake_advance(w.loop, 2);
        assert_int_equal(r->problem, PROBLEM_CONNECTOR_LOST);
        assert_true(r->unknown);
        assert_true(a->dropped);
        assert_false(r->asked[1]);
}

static void test_unsent_moves_on(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true, 0);
        report(b, 9, true, 0.5);
        a->stuck = true;
        struct model_request *r = submit("110", 8000);
        assert_int_equal(r->holder, 0);
        assert_false(r->left);
        loop_fake_advance(w.loop, DISPATCH_SILENT_MS + 1);
        assert_int_equal(r->holder, 1);
        assert_true(r->left);
        r = submit("100", 8000); /* a is silent now */
        turn();
        assert_int_equal(r->problem, PROBLEM_NOT_READY);
}

static void test_unsent_goes_with_the_stream(void **state)
{
        struct model_link *a = open_link(0, 0), *b = open_link(1, 1);

        (void)state;
        report(a, 9, true, 0);
        report(b, 9, true, 0.5);
        struct model_request *left = submit("110", 8000);
        a->stuck = true;
        struct model_request *waits = submit("110", 8000);
        assert_int_equal(waits->holder, 0);
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
        report(a, 9, true, 0);
        struct model_request *r = submit("100", 8000), *other = submit("100", 15000);
        close_link(a);
        loop_fake_advance(w.loop, 3000);
        a = open_link(1, 0);
        assert_int_equal(verdict(a, r), DISPATCH_CONFIRMED);
        turn();
        assert_true(r->verdict);
        loop_fake_advance(w.loop, 10000); /* the connector lives: the other waits for its own deadline, not for the dead link's */
        report(a, 0, true, 0);
        assert_int_equal(other->answers, 0);
        loop_fake_advance(w.loop, 3000);
        assert_int_equal(other->problem, PROBLEM_DEADLINE);
        assert_true(other->unknown);
}

static void test_lost_without_a_new_session(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 9, true, 0);
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
        report(a, 9, true, 0);
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
        report(a, 9, true, 0);
        struct model_request *r = submit("100", 8000);
        dispatch_cancel(w.d, TENANT, r->id);
        r->cancelled = true;
        assert_int_equal(a->cancels, 1);
        assert_int_equal(verdict(a, r), DISPATCH_LATE);
        loop_fake_advance(w.loop, 9000);
        assert_int_equal(r->answers, 0);
        a->stuck = true;
        report(a, 0, true, 0);
        r = submit("100", 8000);
        dispatch_cancel(w.d, TENANT, r->id);
        r->cancelled = true;
        assert_int_equal(a->n_waiting, 0);
        assert_int_equal(a->cancels, 1); /* nothing to tell: it never left */
        assert_int_equal(dispatch_in_flight(w.d), 0);
}

static void test_duplicates_and_limits(void **state)
{
        struct model_link *a = open_link(0, 0);

        (void)state;
        report(a, 1000, true, 0);
        struct model_request *r = submit("100", 8000);
        const char *connectors[] = { names[0] };
        const struct dispatch_submission again = {
                .tenant = TENANT, .id = r->id, .budget_ms = 8000, .n = 1, .connectors = connectors, .caller = { on_share, on_done, r }
        };
        assert_int_equal(dispatch_submit(w.d, &again), -EEXIST);
        verdict(a, r);
        turn();
        assert_int_equal(dispatch_submit(w.d, &again), -EEXIST);
        for (int i = 0; i < 64; i++)
                assert_int_equal(submit("100", 8000)->holder, 0);
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_BUSY);
        dispatch_drain(w.d);
        r = submit("100", 8000);
        turn();
        assert_int_equal(r->problem, PROBLEM_DRAINING);
        dispatch_abandon(w.d);
        turn();
        assert_int_equal(dispatch_in_flight(w.d), 0);
        assert_int_equal(w.requests[5].problem, PROBLEM_CONNECTOR_LOST);
}

static void test_memory_is_bounded(void **state)
{
        struct model_link *a = open_link(0, 0);
        struct dispatch_trail trail;

        (void)state;
        report(a, 9, true, 0);
        struct model_request *r = submit("100", 8000);
        verdict(a, r);
        turn();
        assert_int_equal(dispatch_trail(w.d, TENANT, r->id, &trail), 0);
        assert_string_equal(trail.state, "answered");
        loop_fake_advance(w.loop, DISPATCH_MEMORY_MS + 6000);
        assert_int_equal(dispatch_trail(w.d, TENANT, r->id, &trail), -ENOENT);
        assert_int_equal(verdict(a, r), DISPATCH_LATE);
}

/* ---- everything at random ---- */

static unsigned roll(unsigned n)
{
        return (unsigned)rand_r(&w.seed) % n;
}

static struct model_link *any_link(void)
{
        struct model_link *l = &w.links[roll(N_LINKS)];

        return l->link ? l : NULL;
}

static void random_link_step(struct model_link *l)
{
        static const char *const whys[] = { "not_my_realm", "no_dc", "full", "draining", "stale_key", "bad_request", "expired", "replay" };
        struct model_request *r = w.n ? &w.requests[w.n - 1 - roll(w.n < 20 ? (unsigned)w.n : 20)] : NULL;

        switch (roll(9)) {
        case 0:
                close_link(l);
                break;
        case 1:
                l->stuck = !l->stuck;
                while (!l->stuck && l->n_waiting) {
                        char id[ID_MAX + 1];
                        memcpy(id, l->waiting[--l->n_waiting], sizeof(id));
                        model(id)->left = true;
                        dispatch_link_sent(l->link, id);
                }
                break;
        case 2:
        case 3:
        case 4:
                report(l, roll(4), roll(8) != 0, roll(100) / 100.0);
                break;
        case 5:
                if (r)
                        dispatch_received(l->link, r->id);
                break;
        case 6:
                if (r && r->left && r->holder == l->connector)
                        decline(l, r, whys[roll(8)]);
                break;
        default:
                if (r) {
                        bool may = r->holder == l->connector && r->left && !r->answers && !r->cancelled && r->verdict_from < 0;
                        enum dispatch_receipt got = verdict(l, r);
                        if (may)
                                assert_int_equal(got, DISPATCH_CONFIRMED);
                        else if (r->cancelled)
                                assert_int_equal(got, DISPATCH_LATE);
                }
        }
}

static void random_step(void)
{
        static const char *const subsets[] = { "100", "010", "001", "110", "011", "101", "111" };
        struct model_link *l = any_link();
        unsigned what = roll(12);

        if (what < 2 && w.n < N_REQUESTS) {
                submit(subsets[roll(7)], 500 + roll(14500));
        } else if (what == 2) {
                loop_fake_advance(w.loop, roll(4) ? roll(300) : roll(6000));
        } else if (what == 3 && w.n) {
                struct model_request *r = &w.requests[roll((unsigned)w.n)];
                if (!r->answers && !r->cancelled) {
                        dispatch_cancel(w.d, TENANT, r->id);
                        r->cancelled = true;
                        r->holder = -1;
                }
        } else if (what == 4) {
                size_t slot = roll(N_LINKS);
                if (!w.links[slot].link)
                        open_link(slot, (int)roll(N_CONNECTORS));
        } else if (what == 5) {
                turn();
        } else if (l && l->dropped) {
                close_link(l);
        } else if (l) {
                random_link_step(l);
        }
}

static void test_random_sequences(void **state)
{
        for (unsigned seed = 1; seed <= 400; seed++) {
                if (seed > 1) {
                        teardown(state);
                        setup(state);
                }
                w.seed = seed;
                for (int i = 0; i < 600; i++)
                        random_step();
                loop_fake_advance(w.loop, 20000);
                for (size_t i = 0; i < w.n; i++) {
                        if (w.requests[i].answers + w.requests[i].cancelled != 1)
                                fail_msg("seed %u: request %zu had %d answers", seed, i, w.requests[i].answers);
                }
                assert_int_equal(dispatch_in_flight(w.d), 0);
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_best_link_gets_it),          TEST(test_nobody),
                TEST(test_decline_moves_on),           TEST(test_decline_that_ends),
                TEST(test_stale_key_declines),         TEST(test_silent_link_gets_nothing),
                TEST(test_dead_link),                  TEST(test_unsent_moves_on),
                TEST(test_unsent_goes_with_the_stream), TEST(test_verdict_under_a_new_session),
                TEST(test_lost_without_a_new_session), TEST(test_deadline),
                TEST(test_cancel),                     TEST(test_duplicates_and_limits),
                TEST(test_memory_is_bounded),          TEST(test_random_sequences),
        };

        return cmocka_run_group_tests_name("relay/dispatch", tests, NULL, NULL);
}
