/*
 * Copies of one identity, on a fake clock: what is taken for two machines and what is not, on a small relay and on one
 * with ten thousand idle links.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/queue/relay/no_store.h"

#define T "acme"
#define ID "connector-aaaaaaaa"
#define BOOT1 "aaaaaaaaaaaaaaaaaaaaaA"
#define BOOT2 "bbbbbbbbbbbbbbbbbbbbbA"
#define LARGE 10000
#define MINUTE 60000

static struct relay_config config;
static struct relay relay;
static struct tenant *tenant;
static struct member member;
static unsigned quarantines;

static void count_quarantine(const char *of, const struct store_event *event)
{
        assert_string_equal(of, T);
        quarantines += strcmp(event->name, "connector_runs_twice") == 0;
}

/* ---- streams ---- */

static int take(void *arg, const struct request_event *event)
{
        (void)arg;
        (void)event;
        return 0;
}

static bool keep(void *arg, const char *id)
{
        (void)arg;
        (void)id;
        return false;
}

static void hear(void *arg, const char *id)
{
        (void)arg;
        (void)id;
}

/* One that is open and has not reported, as relay_link_stream leaves it. */
static struct session *open_stream(const char *boot)
{
        static const struct dispatch_sink sink = {.request = take, .withdraw = keep, .cancel = hear, .drop = hear};
        const struct dispatch_peer peer = {.tenant = T, .connector = ID, .boot = boot};
        struct session *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        s->relay = &relay;
        s->tenant = tenant;
        s->began = loop_now(relay.loop);
        s->report_ms = HELLO_REPORT_DEFAULT;
        memcpy(s->connector, ID, sizeof(ID));
        memcpy(s->boot, boot, BOOT_LEN + 1);
        memcpy(s->peer, "192.0.2.1", 10);
        assert_int_equal(dispatch_link_new(&s->link, relay.dispatch, &peer, &sink), 0);
        TAILQ_INSERT_TAIL(&tenant->sessions, s, entry);
        clones_check_in(s);
        return s;
}

/* What report.c does with it; the pace that the relay asks for from now on. */
static uint32_t report(struct session *s)
{
        struct report_answer answer = {.confirmed = NULL};

        dispatch_link_state(s->link, &(struct dispatch_state){.granted = 4, .ready = true});
        s->reported_at = loop_now(relay.loop);
        session_takes_over(s);
        clones_look(s);
        session_schedule(s, &answer);
        return s->report_ms;
}

static struct session *linked(const char *boot)
{
        struct session *s = open_stream(boot);

        report(s);
        return s;
}

static void close_stream(struct session *s)
{
        TAILQ_REMOVE(&tenant->sessions, s, entry);
        dispatch_link_gone(s->link);
        free(s);
}

/* As shed_older does it: a third stream of the same boot makes the oldest superfluous. */
static void throw_out(struct session *s)
{
        clones_shed(s);
        close_stream(s);
}

static void pass(uint64_t ms)
{
        loop_fake_advance(relay.loop, ms);
}

/* ---- fixtures ---- */

static int setup_of(unsigned n_links)
{
        const struct dispatch_limits limits = {.in_flight_per_tenant = 100, .parked_per_tenant = 100};
        const struct store_tenant row = {.name = T};

        memset(&relay, 0, sizeof(relay));
        relay.config = &config;
        relay.n_sessions = n_links;
        quarantines = 0;
        no_store_event = count_quarantine;
        assert_int_equal(loop_new_fake(&relay.loop), 0);
        assert_int_equal(dispatch_new(&relay.dispatch, relay.loop, &limits), 0);
        tenant = tenant_new(&relay, &row);
        assert_non_null(tenant);
        memset(&member, 0, sizeof(member));
        memcpy(member.row.connector.id, ID, sizeof(ID));
        LIST_INSERT_HEAD(&tenant->members, &member, entry);
        table_add(&relay.members, &member.by_id, member.row.connector.id, tenant->name);
        pass(1000);
        return 0;
}

static int small(void **state)
{
        (void)state;
        return setup_of(10);
}

static int large(void **state)
{
        (void)state;
        return setup_of(LARGE);
}

static int teardown(void **state)
{
        (void)state;
        while (!TAILQ_EMPTY(&tenant->sessions))
                close_stream(TAILQ_FIRST(&tenant->sessions));
        clones_forget(tenant);
        LIST_REMOVE(&member, entry);
        table_remove(&member.by_id);
        relay.dispatch = dispatch_free(relay.dispatch);
        tenant_free(tenant);
        table_clear(&relay.by_name);
        table_clear(&relay.members);
        table_clear(&relay.lineages);
        loop_free(relay.loop);
        return 0;
}

/* ---- not two machines ---- */

/* A host loses its power; what was on it is started on another one. The old stream stays until it is missed, which on a
 * large relay takes minutes; it says nothing. */
static void test_a_restart_elsewhere(void **state)
{
        struct session *old = linked(BOOT1), *s;

        (void)state;
        pass(20000);
        s = linked(BOOT2);
        for (unsigned i = 0; i < 12; i++) {
                pass(12000);
                report(s);
        }
        close_stream(old);
        pass(MINUTE);
        report(s);
        assert_int_equal(quarantines, 0);
        assert_false(clones_watched(s));
}

/* The same process by another network: the stream that broke off was never closed. */
static void test_another_network(void **state)
{
        struct session *old = linked(BOOT1), *s;

        (void)state;
        pass(1000);
        s = linked(BOOT1);
        for (unsigned i = 0; i < 12; i++) {
                pass(12000);
                report(s);
        }
        close_stream(old);
        assert_int_equal(quarantines, 0);
}

/* A network that breaks off again and again, without a word, for an hour: it takes the connector 5 s each time to
 * notice, and its streams pile up until the third makes the first superfluous. */
static void test_a_network_that_comes_and_goes(void **state)
{
        struct session *streams[3] = {linked(BOOT1)};
        unsigned n = 1;

        (void)state;
        for (unsigned i = 0; i < 500; i++) {
                pass(5250 + (i * 977) % 9000); /* a report that had no answer; then it comes back */
                if (n == 2) {
                        throw_out(streams[0]);
                        streams[0] = streams[1];
                        n = 1;
                }
                streams[n++] = linked(BOOT1);
        }
        assert_int_equal(quarantines, 0);
}

/* Renewed: the old stream delivers for some seconds what it still has. */
static void test_a_new_certificate(void **state)
{
        struct session *old = linked(BOOT1), *s;

        (void)state;
        pass(5000);
        s = linked(BOOT1);
        for (unsigned i = 0; i < 6; i++) {
                pass(4000);
                report(old);
                report(s);
        }
        close_stream(old);
        assert_int_equal(quarantines, 0);
}

/* ---- two machines ---- */

/* A copied disk, started while the first goes on: seen with the report that shows it, a minute and a half at most. */
static void test_two_boots(void **state)
{
        struct session *real = linked(BOOT1), *copy;
        const uint32_t pace = report(real);
        const uint64_t began = loop_now(relay.loop) + pace / 2;

        (void)state;
        pass(pace / 2);
        copy = linked(BOOT2);
        while (!quarantines) {
                pass(pace / 2);
                report(real);
                pass(pace / 2);
                report(copy);
                assert_true(loop_now(relay.loop) - began <= 30000 + 2 * (uint64_t)pace);
        }
        assert_true(dispatch_link_is_quarantined(real->link));
        assert_true(dispatch_link_is_quarantined(copy->link));
}

/* A copied memory: both streams have one boot, and the first goes on. */
static void test_one_boot(void **state)
{
        struct session *real = linked(BOOT1), *copy;
        const uint32_t pace = report(real);

        (void)state;
        pass(3000);
        copy = linked(BOOT1);
        for (unsigned i = 0; i < 2 && !quarantines; i++) {
                pass(30000 + pace);
                report(real);
                report(copy);
        }
        assert_int_equal(quarantines, 1);
}

/* It comes for seconds and is gone; the first goes on, and its next report after half a minute shows it. */
static void test_a_visit(void **state)
{
        struct session *real = linked(BOOT1), *copy;
        const uint32_t pace = report(real);

        (void)state;
        pass(1000);
        copy = linked(BOOT2);
        pass(2000);
        close_stream(copy);
        pass(30000 + pace);
        report(real);
        assert_int_equal(quarantines, 1);
}

/* A boot that another has followed comes back. */
static void test_a_boot_that_comes_back(void **state)
{
        (void)state;
        close_stream(linked(BOOT1));
        pass(1000);
        close_stream(linked(BOOT2));
        pass(5000);
        linked(BOOT1);
        assert_int_equal(quarantines, 1);
}

/* A copy opens one stream more than a process has, now and then, which throws the real one out before it can show that
 * it goes on, and hangs up. The relay has the connector report often from the first time on, and three more are enough.
 */
static void test_a_link_that_is_taken_away(void **state)
{
        struct session *real = linked(BOOT1);
        unsigned times = 0;

        (void)state;
        while (!quarantines && times < 10) {
                uint64_t idle = 45000;

                for (; idle >= real->report_ms; idle -= real->report_ms) {
                        pass(real->report_ms);
                        report(real);
                }
                pass(idle);
                struct session *first = linked(BOOT1), *second = open_stream(BOOT1);
                throw_out(real);
                close_stream(first);
                close_stream(second);
                pass(500);
                real = open_stream(BOOT1);
                real->report_ms = clones_watched(real) ? HELLO_REPORT_DEFAULT : report(real); /* as hello says it */
                report(real);
                times++;
        }
        assert_in_range(times, 3, 4);
        assert_int_equal(quarantines, 1);
}

/* Where the links of all break at once not all are watched: they would report as often as on a small relay. */
static void test_not_all_are_watched(void **state)
{
        unsigned watched = 0;

        (void)state;
        for (unsigned i = 0; i < 200; i++) {
                struct session *old, *older = linked(BOOT1);

                (void)snprintf(older->connector, sizeof(older->connector), "connector-%08u", i);
                clones_check_in(older);
                old = open_stream(BOOT1);
                clones_replaced(older, old);
                clones_shed(older);
                watched += clones_watched(older);
                close_stream(old);
                close_stream(older);
                pass(10);
        }
        assert_in_range(watched, 1, 2);
        assert_int_equal(quarantines, 0);
}

#define BOTH(fn)                                                                                                       \
        cmocka_unit_test_setup_teardown(fn, small, teardown), cmocka_unit_test_setup_teardown(fn, large, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                BOTH(test_a_restart_elsewhere),
                BOTH(test_another_network),
                BOTH(test_a_network_that_comes_and_goes),
                BOTH(test_a_new_certificate),
                BOTH(test_two_boots),
                BOTH(test_one_boot),
                BOTH(test_a_visit),
                BOTH(test_a_boot_that_comes_back),
                BOTH(test_a_link_that_is_taken_away),
                BOTH(test_not_all_are_watched),
        };

        return cmocka_run_group_tests_name("relay/clones", tests, NULL, NULL);
}
