/*
 * Which DC sign-ins go to, by what they came to before: on a fake clock, with probes that never run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "validate/dc/internal.h"

struct fixture {
        struct loop *loop;
        struct domain_config domain;
        struct dcs *dcs;
        struct dc *first, *second;
        unsigned changes;
};

static void on_changed(void *arg)
{
        struct fixture *f = arg;

        f->changes++;
}

static void on_silent(void *arg, struct dc *dc)
{
        (void)arg;
        (void)dc;
}

/* Two DCs, of which the first listed is the faster; both are alive. */
static void set_up(struct fixture *f)
{
        *f = (struct fixture){
                .domain = {.name = "corp.example", .dcs = {{.host = "dc1"}, {.host = "dc2"}}, .n_dcs = 2}};
        assert_int_equal(loop_new_fake(&f->loop), 0);
        assert_int_equal(dcs_new(&f->dcs, &(struct dc_tools){.loop = f->loop}, &f->domain,
                                 &(struct dcs_events){.changed = on_changed, .silent = on_silent, .arg = f}),
                         0);
        f->first = &f->dcs->dcs[0];
        f->second = &f->dcs->dcs[1];
        dc_note_answer(f->first, 2);
        dc_note_answer(f->second, 50);
}

static const char *state_of(const struct dc *dc)
{
        struct validate_dc seen;

        dc_describe(dc, &seen);
        return seen.state;
}

static const char *failure_of(const struct dc *dc)
{
        struct validate_dc seen;

        dc_describe(dc, &seen);
        return seen.reason;
}

static void tear_down(struct fixture *f)
{
        dcs_free(f->dcs);
        loop_free(f->loop);
}

/* One sign-in at the DC that is chosen for the account; returns that DC. */
static struct dc *sign_in(struct fixture *f, uint64_t account, enum reason at_first, enum reason at_second)
{
        struct dc *dc = dcs_choose(f->dcs, 0, account);
        struct outcome outcome = {.reason = REASON_OK};

        assert_non_null(dc);
        dc_hold(dc);
        dc_asked(dc);
        outcome.reason = dc == f->first ? at_first : at_second;
        dc_note(dc, &outcome);
        dc_note_sign_in(dc, account, &outcome);
        dc_release(dc);
        /* A probe is answered at once, as a sick DC does. */
        dc_note_answer(f->first, 2);
        dc_note_answer(f->second, 50);
        return dc;
}

static void test_several_accounts_send_the_next_elsewhere(void **state)
{
        static const enum reason reasons[] = {REASON_DC_ERROR, REASON_OUTCOME_UNKNOWN, REASON_DC_PROTOCOL,
                                              REASON_NO_IDENTITY, REASON_DC_CHANNEL_BINDING};

        (void)state;
        for (size_t k = 0; k < sizeof reasons / sizeof *reasons; k++) {
                struct fixture f;

                set_up(&f);
                for (uint64_t account = 1; account <= 3; account++)
                        assert_ptr_equal(sign_in(&f, account, reasons[k], REASON_OK), f.first);
                assert_string_equal(state_of(f.first), "sick");
                assert_string_equal(failure_of(f.first), reason_info(reasons[k])->id);
                assert_true(f.changes > 0);
                for (uint64_t account = 4; account < 40; account++)
                        assert_ptr_equal(sign_in(&f, account, reasons[k], REASON_OK), f.second);
                tear_down(&f);
        }
}

/* What one account brings about takes the DC away from nobody else; its own next sign-in goes elsewhere first. */
static void test_one_odd_account_makes_no_dc_sick(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        for (uint64_t i = 0; i < 50; i++) {
                struct dc *dc = sign_in(&f, 1, REASON_DC_ERROR, REASON_DC_ERROR);

                assert_true(i != 0 || dc == f.first);
                assert_true(i != 1 || dc == f.second);
        }
        assert_string_equal(state_of(f.first), "alive");
        for (uint64_t account = 2; account < 10; account++)
                assert_ptr_equal(sign_in(&f, account, REASON_OK, REASON_OK), f.first);
        tear_down(&f);
}

/* Refusals are answers: any number of wrong passwords says nothing against the DC. */
static void test_refusals_are_answers(void **state)
{
        static const enum reason reasons[] = {REASON_WRONG_PASSWORD, REASON_UNKNOWN_USER, REASON_LOCKED_OUT,
                                              REASON_DISABLED,       REASON_REFERRAL,     REASON_ETYPE_NOSUPP,
                                              REASON_CANCELLED};
        struct fixture f;

        (void)state;
        set_up(&f);
        for (uint64_t account = 1; account < 70; account++)
                assert_ptr_equal(sign_in(&f, account, reasons[account % 7], REASON_OK), f.first);
        assert_string_equal(state_of(f.first), "alive");
        tear_down(&f);
}

/* Half of the sign-ins fail: never three accounts in a row, and still sick. */
static void test_sick_by_half(void **state)
{
        struct fixture f;
        unsigned failed = 0;

        (void)state;
        set_up(&f);
        for (uint64_t account = 1; account <= 40; account++)
                failed += sign_in(&f, account, account % 2 ? REASON_DC_ERROR : REASON_OK, REASON_OK) == f.first &&
                          account % 2;
        assert_true(failed <= 4);
        tear_down(&f);
}

static void test_all_sick_is_none_sick(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        for (uint64_t account = 1; account <= 20; account++)
                sign_in(&f, account, REASON_DC_ERROR, REASON_DC_ERROR);
        assert_true(dc_is_sick(f.first) && dc_is_sick(f.second));
        assert_ptr_equal(sign_in(&f, 100, REASON_OK, REASON_OK), f.first);
        tear_down(&f);
}

/* With one of two dead, the other one is all there is, however sick. */
static void test_sick_is_better_than_dead(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        for (uint64_t account = 1; account <= 3; account++)
                sign_in(&f, account, REASON_DC_ERROR, REASON_OK);
        dc_state_set(f.second, DC_DEAD);
        assert_ptr_equal(dcs_choose(f.dcs, 0, 9), f.first);
        tear_down(&f);
}

/* One at a time it gets trials; three answered ones make it well, a failed one lengthens its rest. */
static void test_recovers_by_trials(void **state)
{
        struct fixture f;
        struct dc *trial;
        unsigned tried = 0;

        (void)state;
        set_up(&f);
        for (uint64_t account = 1; account <= 3; account++)
                sign_in(&f, account, REASON_DC_ERROR, REASON_OK);
        for (uint64_t account = 10; account < 610; account++) { /* one a second, for ten minutes */
                tried += sign_in(&f, account, REASON_DC_ERROR, REASON_OK) == f.first;
                loop_fake_advance(f.loop, 0);
                f.first->rests_until -= f.first->rests_until > 1000 ? 1000 : 0;
        }
        assert_in_range(tried, 1, 8); /* after 10, 20, 40, 80, 160, 300 s */
        f.first->rests_until = 0;
        trial = dcs_choose(f.dcs, 0, 1000);
        assert_ptr_equal(trial, f.first);
        dc_hold(trial);
        assert_ptr_equal(dcs_choose(f.dcs, 0, 1001), f.second); /* one at a time */
        dc_release(trial);
        for (uint64_t account = 2000; account < 2003; account++)
                assert_ptr_equal(sign_in(&f, account, REASON_OK, REASON_OK), f.first);
        assert_string_equal(state_of(f.first), "alive");
        tear_down(&f);
}

/* A DC that fell silent is worth waiting for, where there is no other; with another it is not. */
static void test_only_silent_dc_is_given(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f);
        dc_state_set(f.second, DC_DEAD);
        assert_false(dcs_has_other(f.dcs, f.first));
        assert_true(dcs_has_other(f.dcs, f.second));
        dc_state_set(f.first, DC_DEAD);
        assert_null(dcs_choose(f.dcs, 0, 1));
        f.first->silent_since = loop_now(f.loop);
        assert_ptr_equal(dcs_choose(f.dcs, 0, 1), f.first);
        assert_null(dcs_choose(f.dcs, dc_bit(f.first), 1));
        f.first->silent_since -= 60000;
        assert_null(dcs_choose(f.dcs, 0, 1));
        tear_down(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_several_accounts_send_the_next_elsewhere),
                cmocka_unit_test(test_one_odd_account_makes_no_dc_sick),
                cmocka_unit_test(test_refusals_are_answers),
                cmocka_unit_test(test_sick_by_half),
                cmocka_unit_test(test_all_sick_is_none_sick),
                cmocka_unit_test(test_sick_is_better_than_dead),
                cmocka_unit_test(test_recovers_by_trials),
                cmocka_unit_test(test_only_silent_dc_is_given),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
