/*
 * The renewal of the transport certificate: what a relay that has no time, and one that refuses, make of it.
 */
#include "tests/connector/link/desk.h"

#include <curl/curl.h>

#include "connector/link/renewal.h"

#define RETRY_S 7

static bool has_asked(const struct test *t)
{
        return t->enrolments == 1;
}

static bool has_asked_again(const struct test *t)
{
        return t->enrolments == 2;
}

/* Minutes in great steps, in which the relay's heartbeats come. */
static void pass_minutes(struct test *t, unsigned minutes)
{
        for (unsigned i = 0; i < minutes * 6; i++) {
                fake_send(t->stream, ": hb\n\n");
                for (int k = 0; k < 40; k++)
                        turn(t, 0);
                turn(t, 10000);
        }
}

/* The certificate of the rig has ended by the fake clock's time: one is asked for as soon as there is a link. */
static void put_off_and_asked_for_again(void **state)
{
        static char tenant[] = "acme";
        struct desk *d = *state;
        struct test *t = d->t;
        char first[sizeof(t->enrolment)];
        struct renewal *renewal;

        d->b.tenant = tenant;
        memcpy(d->b.id, "connector-0001-aaaa", sizeof("connector-0001-aaaa"));
        t->enrol_status = 202;
        t->enrol_fields = "Retry-After: 7\r\n";
        lines_start(&d->b);
        UNTIL(t, is_up, 1000);
        assert_int_equal(renewal_new(&renewal, &d->b), 0);
        UNTIL(t, has_asked, 70000);
        pass(t, 20);
        assert_string_equal(renewal_why(renewal), ""); /* no failure */
        assert_in_range(renewal_next(renewal), loop_wall(t->loop) + RETRY_S - 1, loop_wall(t->loop) + RETRY_S);
        memcpy(first, t->enrolment, sizeof(first));
        fake_send(t->stream, ": hb\n\n");
        assert_true(UNTIL(t, has_asked_again, 10000) > (RETRY_S - 2) * 1000);
        /* the same request: its beginning, with name and key, which the signature comes after */
        assert_memory_equal(first + 12, t->enrolment + 12, 100);
        /* for ever is too long */
        t->enrol_fields = "Retry-After: 90\r\n";
        pass_minutes(t, 9);
        assert_string_equal(renewal_why(renewal), "");
        pass_minutes(t, 4);
        assert_non_null(strstr(renewal_why(renewal), "put it off for 1"));
        /* a refusal is a failure at once */
        t->enrol_status = 503;
        for (int i = 0; i < 10 && !strstr(renewal_why(renewal), "503"); i++)
                pass_minutes(t, 1);
        assert_non_null(strstr(renewal_why(renewal), "503"));
        assert_true(renewal_next(renewal) > loop_wall(t->loop));
        renewal_free(renewal);
        d->b.tenant = NULL;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(put_off_and_asked_for_again, desk_set_up, desk_tear_down),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("connector/link-renewal", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
