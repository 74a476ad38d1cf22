/*
 * Dispatch on a fake clock: random sequences of everything that callers, connectors, streams and time can do,
 * watched by the model in dispatch_world.c. A failure names its seed.
 */
#include "queue/relay/dispatch-internal.h"
#include "tests/queue/relay/dispatch_world.h"

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

/* Whether this link has it, and its connector has not acknowledged it: of two links of one connector, too. */
static bool is_with(const struct model_link *l, const struct model_request *r)
{
        const struct request *has = request_find(w.d, TENANT, r->id);

        return has && has->with == l->link && (has->state == REQUEST_QUEUED || has->state == REQUEST_HANDED);
}

static void random_link_step(struct model_link *l)
{
        static const char *const whys[] = {"not_my_realm", "no_dc",   "full",   "draining", "stale_key",
                                           "bad_request",  "expired", "replay", "throttled"};
        struct model_request *r = w.n ? &w.requests[w.n - 1 - roll(w.n < 20 ? (unsigned)w.n : 20)] : NULL;

        switch (roll(10)) {
        case 9: /* another node, or NATS, says that nobody got what was offered, or granted just now */
                if (l->far && r && is_with(l, r))
                        give_back(l, r, roll(2) == 0);
                break;
        case 0:
                close_link(l);
                break;
        case 1:
                l->stuck = !l->stuck;
                l->stuck = l->stuck || l->far;
                if (!l->stuck || l->far)
                        claim(l);
                break;
        case 2:
        case 3:
        case 4:
                report(l, roll(4), roll(8) != 0);
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
                        bool may = r->holder == l->connector && r->left && !r->answers && !r->cancelled &&
                                   r->verdict_from < 0;
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
        static const char *const subsets[] = {"100", "010", "001", "110", "011", "101", "111"};
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
                if (!w.links[slot].link && roll(2))
                        open_link(slot, (int)roll(N_CONNECTORS));
                else if (!w.links[slot].link)
                        open_far_link(slot, (int)roll(N_CONNECTORS));
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
                assert_int_equal(dispatch_in_flight(w.d, NULL), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_random_sequences, setup, teardown),
        };

        return cmocka_run_group_tests_name("relay/dispatch-random", tests, NULL, NULL);
}
