/*
 * Two real domain controllers, one of which stops; and one alone that stands still for a while. test_silence.c has the
 * rest on the fake clock.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/validate/ldap_rig.h"
#include "tests/lab/lab.h"

#define LANES 8
#define ENOUGH 50

/* Domain 0: both DCs, by one method. */
static void rig_pair(struct rig *rig, enum method method)
{
        rig_samba_by(rig, 0, method);
        rig->domains[0].dcs[1] = (struct dc_config){.host = lab_get("AD2_HOST"), .address = lab_get("AD2_ADDRESS")};
        rig->domains[0].n_dcs = 2;
}

static struct ask ask_good(size_t i)
{
        char label[16];

        snprintf(label, sizeof label, "GOOD%zu", 1 + i % 16);
        return (struct ask){
                .name = lab_get2(label, "UPN"), .password = lab_get2(label, "PASSWORD"), .budget_ms = 20000};
}

/* LANES sign-ins at any time, until n ended in a row as they should: by this DC, if one is named. How many did not. */
static unsigned keep_signing_in(struct rig *rig, unsigned n, const char *dc)
{
        static struct ask asks[LANES];
        unsigned row = 0, others = 0;
        size_t next = 0;

        for (size_t i = 0; i < LANES; i++) {
                asks[i] = ask_good(next++);
                ask_start(rig, &asks[i]);
        }
        while (row < n) {
                rig_spin(rig, 1);
                for (size_t i = 0; i < LANES; i++) {
                        const struct outcome *o = &asks[i].outcome;

                        if (asks[i].calls == 0)
                                continue;
                        if (o->reason != REASON_OUTCOME_UNKNOWN)
                                assert_reason(&asks[i], REASON_OK);
                        row = o->reason == REASON_OK && (!dc || strcmp(o->dc, dc) == 0) ? row + 1 : 0;
                        others += o->reason != REASON_OK;
                        asks[i] = ask_good(next++);
                        ask_start(rig, &asks[i]);
                }
        }
        ask_wait(rig, asks, LANES);
        return others;
}

/* The DC that serves stops: what it had in hand is not known, all others go on at the other DC. */
static void stop_one(struct rig *rig, enum method method)
{
        struct ask ask = ask_good(0);
        unsigned unknown;
        bool first;
        pid_t pid;

        rig_pair(rig, method);
        rig_start_ready(rig, 1);
        keep_signing_in(rig, ENOUGH, NULL);
        ask_one(rig, &ask);
        first = strcmp(ask.outcome.dc, lab_get("AD_HOST")) == 0;
        pid = (pid_t)strtol(first ? lab_get("AD_PID") : lab_get("AD2_PID"), NULL, 10);
        assert_int_equal(kill(-pid, SIGSTOP), 0);
        unknown = keep_signing_in(rig, ENOUGH, lab_get(first ? "AD2_HOST" : "AD_HOST"));
        kill(-pid, SIGCONT);
        print_message("%u sign-ins of which nobody knows\n", unknown);
        assert_true(unknown <= 2 * LANES); /* LANES, and what a busy machine adds */
}

static void test_stopped_dc_by_ldap(void **state)
{
        stop_one(*state, METHOD_LDAP);
}

static void test_stopped_dc_by_krb5(void **state)
{
        stop_one(*state, METHOD_KRB5);
}

static void on_resume(void *arg)
{
        kill(-*(pid_t *)arg, SIGCONT);
}

/* With only one DC there is nothing better to do than to wait: one that stands still for a while loses nobody. */
static void stands_still(struct rig *rig, enum method method, struct ask *asks, size_t n)
{
        pid_t pid = (pid_t)strtol(lab_get("AD_PID"), NULL, 10);
        struct loop_timer *resume = NULL;

        rig_samba_by(rig, 0, method);
        rig_start_ready(rig, 1);
        for (size_t i = 0; i < n; i++)
                asks[i] = ask_good(i);
        ask_all(rig, asks, n); /* all the connections that it may have are open */
        assert_int_equal(loop_timer_new(&resume, rig->loop, NULL, on_resume, &pid), 0);
        loop_timer_in(resume, 1500);
        kill(-pid, SIGSTOP);
        for (size_t i = 0; i < n; i++)
                asks[i] = ask_good(i);
        ask_all(rig, asks, n);
        loop_timer_free(resume);
        kill(-pid, SIGCONT);
        for (size_t i = 0; i < n; i++)
                assert_reason(&asks[i], REASON_OK);
}

static void test_only_dc_stands_still_by_krb5(void **state)
{
        struct ask ask;

        stands_still(*state, METHOD_KRB5, &ask, 1);
}

static void test_only_dc_stands_still_with_many(void **state)
{
        static struct ask asks[48];

        stands_still(*state, METHOD_LDAP, asks, 48);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_stopped_dc_by_ldap),
                TEST(test_stopped_dc_by_krb5),
                TEST(test_only_dc_stands_still_by_krb5),
                TEST(test_only_dc_stands_still_with_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
