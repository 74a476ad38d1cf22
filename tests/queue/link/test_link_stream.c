/*
 * The stream of the link: what opens a session, what ends it, and when the link comes back.
 */
#include "tests/queue/link/link_rig.h"

#include <curl/curl.h>

static void nothing_before_the_start(void **state)
{
        struct test *t = *state;

        pass(t, 100);
        assert_int_equal(fake_relay_accepted(t->relay), 0);
        assert_false(link_view(t->link).up);
}

static void assert_closed_for(struct test *t, const char *what)
{
        UNTIL(t, is_down, 1000);
        assert_int_equal(t->why, LINK_DOWN_PROTOCOL);
        if (!strstr(t->detail, what))
                fail_msg("'%s' does not say '%s'", t->detail, what);
        assert_null(strstr(t->log, "request:"));
        UNTIL(t, second_stream, 1000);
}

static void over_the_credit(void **state)
{
        struct test *t = *state;
        struct link_state s = state_of(0);

        for (unsigned i = 1; i <= 4; i++) {
                char id[32];

                (void)snprintf(id, sizeof(id), "REQUEST-00000001%02u", i);
                send_request(t, id, i);
        }
        UNTIL(t, was_received, 100);
        assert_int_equal(link_set_state(t->link, &s), 0);
        t->log[0] = '\0';
        pass(t, 20);
        t->log[0] = '\0';
        send_request(t, ID1, 5);
        assert_closed_for(t, "sequence 5 after 4, credit 4");
}

static void out_of_order(void **state)
{
        send_request(*state, ID1, 2);
        assert_closed_for(*state, "sequence 2 after 0");
}

static void second_hello(void **state)
{
        send_hello(*state);
        assert_closed_for(*state, "second hello");
}

static void malformed_event(void **state)
{
        fake_send(((struct test *)*state)->stream, "event: request\ndata: {\"id\":\"" ID1 "\"}\n\n");
        assert_closed_for(*state, "request event: does not begin with an id");
}

static void event_too_long(void **state)
{
        char *filler = repeated('x', EVENT_MAX + 1), *text = malloc(EVENT_MAX + 64);

        assert_non_null(text);
        (void)snprintf(text, EVENT_MAX + 64, "event: request\ndata: %s\n\n", filler);
        fake_send(((struct test *)*state)->stream, text);
        assert_closed_for(*state, "an event of 16385 bytes");
        free(filler);
        free(text);
}

static void no_end_of_line(void **state)
{
        char *filler = repeated('x', 300 * 1024);

        fake_send(((struct test *)*state)->stream, filler);
        assert_closed_for(*state, "too long");
        free(filler);
}

static void unknown_events_and_long_rosters_pass(void **state)
{
        char *filler = repeated('r', 200 * 1024), *text = malloc(201 * 1024);
        struct test *t = *state;

        assert_non_null(text);
        fake_send(t->stream, "event: weather\ndata: fine\n\n");
        (void)snprintf(text, 201 * 1024, "event: roster\ndata: {\"jws\":\"%s\"}\n\n", filler);
        fake_send(t->stream, text);
        pass(t, 100);
        assert_non_null(strstr(t->log, "roster:rrrrrrrrrr"));
        assert_true(link_view(t->link).up);
        assert_int_equal(t->streams, 1);
        free(filler);
        free(text);
}

static void not_an_event_stream(void **state)
{
        struct test *t = *state;

        t->stream_type = "text/html";
        link_start(t->link);
        UNTIL(t, is_down, 1000);
        assert_int_equal(t->why, LINK_DOWN_PROTOCOL);
}

static void no_hello(void **state)
{
        struct test *t = *state;
        uint64_t ms;

        t->no_hello = true;
        link_start(t->link);
        ms = UNTIL(t, is_down, 10000);
        assert_int_equal(t->why, LINK_DOWN_SILENT);
        assert_true(ms > 2900 && ms < 9000);
}

static void first_event_must_be_hello(void **state)
{
        struct test *t = *state;

        t->no_hello = true;
        link_start(t->link);
        while (!t->stream)
                turn(t, 0);
        send_request(t, ID1, 1);
        UNTIL(t, is_down, 1000);
        assert_int_equal(t->why, LINK_DOWN_PROTOCOL);
        assert_string_equal(t->log, "");
}

static void silence_is_death(void **state)
{
        struct test *t = *state;
        uint64_t ms = UNTIL(t, is_down, 30000);

        assert_int_equal(t->why, LINK_DOWN_SILENT);
        assert_true(ms > 24000 && ms <= 25100);
        UNTIL(t, second_stream, 1000);
}

static void heartbeats_keep_it_alive(void **state)
{
        struct test *t = *state;

        for (int i = 0; i < 6; i++) {
                fake_send(t->stream, ": hb\n\n");
                pass(t, 10000);
        }
        assert_int_equal(t->streams, 1);
        assert_true(link_view(t->link).up);
}

static void refused_streams_back_off(void **state)
{
        struct test *t = *state;
        size_t after_ten;

        t->stream_status = 403;
        link_start(t->link);
        pass(t, 10000);
        assert_int_equal(t->why, LINK_DOWN_REFUSED);
        assert_non_null(strstr(t->detail, "403"));
        assert_int_equal(t->states, 1); /* told once, not at each try */
        after_ten = t->streams;
        assert_true(after_ten >= 3 && after_ten <= 8);
        pass(t, 60000);
        assert_true(t->streams - after_ten <= 8);
        t->stream_status = 200;
        UNTIL(t, is_up, 31000);
}

static void wrong_ca(void **state)
{
        struct fake_relay *other = fake_relay_new(on_http, *state);
        struct test *t = *state;
        struct link_config config = config_of(t);
        struct error err = {""};

        link_free(t->link);
        config.ca_pem = fake_relay_ca(other);
        assert_int_equal(link_new(&t->link, &config, &err), 0);
        link_start(t->link);
        UNTIL(t, is_down, 2000);
        assert_int_equal(t->why, LINK_DOWN_TRANSPORT);
        if (!strstr(t->detail, "certificate"))
                fail_msg("%s", t->detail);
        fake_relay_free(other);
}

/* A relay that has more links by now says so in its answers. */
static void another_schedule(void **state)
{
        struct test *t = *state;
        uint64_t began;

        t->answer = "{\"confirmed\":[],\"late\":[],\"reconnect\":[3000,4000]}";
        pass(t, 10000);
        fake_close(t->stream);
        UNTIL(t, is_down, 100);
        began = loop_now(t->loop);
        UNTIL(t, second_stream, 5000);
        assert_in_range(loop_now(t->loop) - began, 2900, 4500);
}

/* Whoever returns is found as soon as the schedule says, however long it was away. */
static void a_relay_that_was_away(void **state)
{
        struct test *t = *state;

        pass(t, 10000);
        fake_relay_cut(t->relay);
        pass(t, 60000);
        fake_relay_listen(t->relay, true);
        UNTIL(t, is_up, 250);
}

/* ---- relays that end every session ---- */

/* 0, 200, 400 ... 6400 ms, and so on: about a dozen in 20 s. */
static void no_busy_loop_of_reconnects(struct test *t, enum link_down why)
{
        (void)snprintf(t->reconnect, sizeof(t->reconnect), "[0,0]");
        link_start(t->link);
        pass(t, 20000);
        assert_int_equal(t->why, why);
        assert_in_range(t->streams, 5, 12);
}

static void a_relay_that_closes_at_once(void **state)
{
        struct test *t = *state;

        t->close_streams = true;
        no_busy_loop_of_reconnects(t, LINK_DOWN_TRANSPORT);
}

static void a_relay_that_drains_at_once(void **state)
{
        struct test *t = *state;

        t->drain_streams = true;
        no_busy_loop_of_reconnects(t, LINK_DOWN_DRAIN);
}

static void a_relay_that_knows_no_session(void **state)
{
        struct test *t = *state;

        t->report_status = 409;
        no_busy_loop_of_reconnects(t, LINK_DOWN_SESSION);
}

/* ---- states that are refused ---- */

static void bad_states_change_nothing(void **state)
{
        static const char *const empty[] = {""};
        struct test *t = *state;
        struct link_state s = state_of(9);

        s.statement = "not base64url";
        assert_int_equal(link_set_state(t->link, &s), -EMSGSIZE);
        s = state_of(9);
        s.n_reasons = 1;
        s.reasons = empty;
        assert_int_equal(link_set_state(t->link, &s), -EMSGSIZE);
        s = state_of(9);
        s.identity = "[]";
        s.proof = "a.b.c";
        assert_int_equal(link_set_state(t->link, &s), -EINVAL);
        s.identity = "{}";
        s.proof = "\"";
        assert_int_equal(link_set_state(t->link, &s), -EINVAL);
        pass(t, 50);
        assert_int_equal(t->granted, 4);
}

static void bad_configs(void **state)
{
        struct test *t = *state;
        struct link_config config = config_of(t);
        struct link *l = NULL;
        struct error err = {""};

        config.relay = "http://127.0.0.1";
        assert_says(link_new(&l, &config, &err), -EINVAL, &err, "https://");
        config = config_of(t);
        config.boot = "short";
        assert_says(link_new(&l, &config, &err), -EINVAL, &err, "boot");
        assert_null(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(nothing_before_the_start, begin, end),
                cmocka_unit_test_setup_teardown(over_the_credit, begin_up, end),
                cmocka_unit_test_setup_teardown(out_of_order, begin_up, end),
                cmocka_unit_test_setup_teardown(second_hello, begin_up, end),
                cmocka_unit_test_setup_teardown(malformed_event, begin_up, end),
                cmocka_unit_test_setup_teardown(event_too_long, begin_up, end),
                cmocka_unit_test_setup_teardown(no_end_of_line, begin_up, end),
                cmocka_unit_test_setup_teardown(unknown_events_and_long_rosters_pass, begin_up, end),
                cmocka_unit_test_setup_teardown(not_an_event_stream, begin, end),
                cmocka_unit_test_setup_teardown(no_hello, begin, end),
                cmocka_unit_test_setup_teardown(first_event_must_be_hello, begin, end),
                cmocka_unit_test_setup_teardown(silence_is_death, begin_up, end),
                cmocka_unit_test_setup_teardown(heartbeats_keep_it_alive, begin_up, end),
                cmocka_unit_test_setup_teardown(refused_streams_back_off, begin, end),
                cmocka_unit_test_setup_teardown(wrong_ca, begin, end),
                cmocka_unit_test_setup_teardown(another_schedule, begin_up, end),
                cmocka_unit_test_setup_teardown(a_relay_that_was_away, begin_up, end),
                cmocka_unit_test_setup_teardown(a_relay_that_closes_at_once, begin, end),
                cmocka_unit_test_setup_teardown(a_relay_that_drains_at_once, begin, end),
                cmocka_unit_test_setup_teardown(a_relay_that_knows_no_session, begin, end),
                cmocka_unit_test_setup_teardown(bad_states_change_nothing, begin_up, end),
                cmocka_unit_test_setup_teardown(bad_configs, begin, end),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("queue/link-stream", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
