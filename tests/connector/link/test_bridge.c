/*
 * The link process between a relay and a validator, both played by the test: every frame that passes, and
 * what happens without a validator.
 */
#include "tests/connector/link/desk.h"

#include <curl/curl.h>

/* Up, with the validator's state reported. */
static struct desk *start(void **state)
{
        struct desk *d = *state;

        say_state(d, "corp.example=1\nb.example=0\n", "no_dc: b.example\n");
        pass(d->t, 5);
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        pass(d->t, 50);
        return d;
}

static void state_becomes_a_report(void **state)
{
        struct desk *d = start(state);

        assert_non_null(strstr(d->t->last,
                               "\"granted\":4,\"ready\":{\"corp.example\":true,\"b.example\":false},"
                               "\"reasons\":[\"no_dc: b.example\"],\"load\":0.250,\"statement\":\"s.t.m\""));
        assert_string_equal(d->t->announced, "{\"jwk\":{\"kty\":\"EC\"},\"proof\":\"p.r.f\"}");
        assert_true(d->relay_wall > 0); /* the validator judges the clock by it */
        assert_non_null(strstr(d->status, "\"state\":\"up\""));
}

static void a_sign_in(void **state)
{
        struct desk *d = start(state);
        char sealed[SEALED_TEXT_LEN + 1];

        send_request(d->t, ID1, 1);
        UNTIL(d->t, was_received, 100);
        pass(d->t, 5);
        assert_string_equal(d->frames, "request:01 ");
        assert_string_equal(d->sealed, sealed_text(sealed));
        assert_int_equal(d->budget, 8000);
        assert_true(d->received > 0 && d->received <= loop_now(d->t->loop));
        say_verdict(d, ID1, "a..b.c.d", d->received + 8000);
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received 01:verdict ");
        assert_string_equal(d->frames, "request:01 confirmed:01 ");
}

static void cancel_late_and_declined(void **state)
{
        struct desk *d = start(state);

        send_request(d->t, ID1, 1);
        send_request(d->t, ID2, 2);
        pass(d->t, 20);
        fake_send(d->t->stream, "event: cancel\ndata: {\"id\":\"" ID1 "\"}\n\n");
        say_declined(d, ID2, "no_dc");
        UNTIL(d->t, was_declined, 100);
        d->t->answer = "{\"confirmed\":[],\"late\":[\"" ID1 "\"]}";
        say_verdict(d, ID1, "a..b.c.d", 0);
        pass(d->t, 50);
        assert_string_equal(d->frames, "request:01 request:02 cancel:01 late:01 ");
        assert_non_null(strstr(d->t->items, "02:declined:no_dc"));
}

static void a_long_roster_in_parts(void **state)
{
        char *jws = repeated('r', 50000), *text = malloc(51000);
        struct desk *d = start(state);

        assert_non_null(text);
        jws[0] = 'a';
        jws[49999] = 'z';
        (void)snprintf(text, 51000, "event: roster\ndata: {\"jws\":\"%s\"}\n\n", jws);
        fake_send(d->t->stream, text);
        pass(d->t, 100);
        assert_int_equal(d->roster_parts, 5);
        assert_int_equal(d->roster_total, 50000);
        assert_int_equal(d->roster.len, 50000);
        assert_string_equal(d->roster.data, jws);
        free(jws);
        free(text);
}

static void without_a_validator(void **state)
{
        struct desk *d = start(state);

        send_request(d->t, ID1, 1);
        UNTIL(d->t, was_received, 100);
        d->validator = ipc_free(d->validator);
        pass(d->t, 50);
        assert_non_null(strstr(d->t->last, "\"ready\":{},\"reasons\":[\"validator_restarting\"]"));
        /* what it had is lost; what comes now was not started on */
        assert_string_equal(d->t->items, "01:received 01:lost ");
        send_request(d->t, ID2, 2);
        UNTIL(d->t, was_declined, 100);
        assert_non_null(strstr(d->t->items, "02:declined:full"));
        assert_null(strstr(d->t->items, "01:declined"));
        assert_string_equal(d->unanswered, "01:lost 02:full "); /* nobody else can tell the helpdesk */
        /* a new one takes over */
        d->frames[0] = '\0';
        d->validator = open_channel(d, bridge_open_validator, desk_on_validator);
        say_state(d, "corp.example=1\n", "");
        pass(d->t, 50);
        assert_non_null(strstr(d->t->last, "\"ready\":{\"corp.example\":true},\"reasons\":[]"));
        send_request(d->t, ID3, 3);
        pass(d->t, 50);
        assert_string_equal(d->frames, "request:03 ");
}

static void a_validator_that_is_replaced(void **state)
{
        struct desk *d = start(state);
        struct ipc *old = d->validator;

        send_request(d->t, ID1, 1);
        UNTIL(d->t, was_received, 100);
        d->validator = open_channel(d, bridge_open_validator, desk_on_validator);
        pass(d->t, 10);
        assert_true(d->closed);
        ipc_free(old);
        assert_int_equal(link_view(first_line(d)->link).in_hand, 0);
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received 01:lost ");
}

/* A new link process does not say what it has before a validator told it, and then has all of that. */
static void what_a_validator_has_from_before(void **state)
{
        struct desk *d = *state;

        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        pass(d->t, 50);
        assert_true(d->t->reports > 0);
        assert_null(strstr(d->t->all, "in_hand"));
        say_held(d, ID1);
        say_verdict(d, ID2, "a..b.c.d", loop_now(d->t->loop) + 5000);
        say_state(d, "corp.example=1\n", "");
        pass(d->t, 50);
        assert_non_null(strstr(d->t->all, "\"in_hand\":[\"" ID1 "\""));
        assert_non_null(strstr(d->t->all, "\"id\":\"" ID1 "\",\"is\":\"received\""));
        assert_int_equal(link_view(first_line(d)->link).in_hand, 1);
}

static void verdicts_again_after_a_restart_of_the_link(void **state)
{
        struct desk *d = *state;

        say_state(d, "corp.example=1\n", "");
        say_verdict(d, ID1, "a..b.c.d", loop_now(d->t->loop) + 5000);
        pass(d->t, 5);
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:verdict ");
        assert_string_equal(d->frames, "confirmed:01 ");
}

/* Malformed frames of the validator are logged and ignored; the state before stays. */
static void malformed_frames(void **state)
{
        struct desk *d = start(state);
        struct msg_out m;

        say_state(d, "corp.example", ""); /* no = */
        say_state(d, "=1\n", "");         /* no name */
        say_state(d, "a\xff=1\n", "");
        say_state(d, "corp.example=0\n\nb.example=1\n", ""); /* a line that is none: what is behind it would be lost */
        say_verdict(d, "bad id", "a..b.c.d", 0);
        say_verdict(d, ID1, "not a jwe", 0);
        say_declined(d, ID2, "no_dc"); /* never asked */
        msg_begin(&m, FRAME_VERDICT);
        say(d, &m);
        msg_begin(&m, FRAME_DECLINED);
        say(d, &m);
        msg_begin(&m, FRAME_STATE);
        say(d, &m);
        msg_begin(&m, 250);
        say(d, &m);
        pass(d->t, 5000);
        assert_string_equal(d->t->items, "");
        assert_non_null(strstr(d->t->last, "\"ready\":{\"corp.example\":true,\"b.example\":false}"));
        assert_false(d->closed);
}

/* ---- a second link, with a renewed certificate ---- */

static bool old_is_there(const struct test *t)
{
        return t->streams == 2;
}

/* The second is up, and its first report is not answered. */
static struct desk *start_second(void **state)
{
        struct desk *d = start(state);
        struct link *first = link_in(d, LINE_SERVES);

        d->t->hold_reports = true;
        open_second(d);
        UNTIL(d->t, old_is_there, 1000);
        pass(d->t, 100);
        assert_ptr_equal(link_in(d, LINE_OLD), first);
        assert_null(link_in(d, LINE_NEXT));
        d->t->link = link_in(d, LINE_SERVES);
        d->t->hold_reports = false;
        return d;
}

static void answer_what_waits(struct desk *d)
{
        fake_answer(d->t->waiting, 200, "application/json", "{\"confirmed\":[],\"late\":[]}");
}

/* The relay takes its time with the new one's report: until it is answered the old one serves. */
static void the_old_one_serves_until_the_new_one_is_heard(void **state)
{
        struct desk *d = start_second(state);

        pass_looking(d, 9000);
        assert_non_null(link_in(d, LINE_OLD));
        assert_null(strstr(d->t->last, "draining"));
        assert_true(link_view(link_in(d, LINE_OLD)).up);
        answer_what_waits(d);
        pass_looking(d, 3000);
        assert_null(link_in(d, LINE_OLD));
        assert_true(link_view(link_in(d, LINE_SERVES)).heard);
        assert_int_equal(d->t->streams, 2);
}

/* It may be heard, and its answers lost: the old one must not look like a clone's to the relay. */
static void the_old_one_does_not_serve_for_ever(void **state)
{
        struct desk *d = start_second(state);

        pass_looking(d, 12000);
        assert_null(link_in(d, LINE_OLD));
}

/* Its session breaks off meanwhile: it delivers what it has as one that is on its way out, and ends. */
static void an_old_one_that_breaks_off_only_delivers(void **state)
{
        struct desk *d = start(state);
        struct fake_conn *stream = d->t->stream;
        struct link *first = link_in(d, LINE_SERVES);

        send_request(d->t, ID1, 1);
        UNTIL(d->t, was_received, 100);
        open_second(d);
        UNTIL(d->t, old_is_there, 1000);
        pass(d->t, 100);
        assert_ptr_equal(link_in(d, LINE_OLD), first);
        d->t->link = link_in(d, LINE_SERVES);
        fake_close(stream);
        pass(d->t, 2000);
        assert_int_equal(d->t->streams, 3);
        assert_non_null(strstr(d->t->last, "draining"));
        say_verdict(d, ID1, "a..b.c.d", loop_now(d->t->loop) + 5000);
        pass(d->t, 2000);
        assert_non_null(strstr(d->t->items, "01:verdict "));
        assert_non_null(strstr(d->frames, "confirmed:01 "));
        assert_null(link_in(d, LINE_OLD));
        assert_true(link_view(link_in(d, LINE_SERVES)).up);
}

static void no_validator_is_said_on_both(void **state)
{
        struct desk *d = start_second(state);

        d->t->reports = 0;
        d->validator = ipc_free(d->validator);
        pass(d->t, 1000);
        assert_int_equal(d->t->reports, 1); /* the new one's first is still held */
        assert_non_null(strstr(d->t->last, "validator_restarting"));
}

/* A stop while the certificate changes hands: neither link is forgotten. */
static void a_stop_in_the_middle(void **state)
{
        struct desk *d = start(state);

        d->b.process.draining = true;
        open_second(d);
        lines_drain(&d->b, 8000);
        assert_null(link_in(d, LINE_NEXT));
        pass(d->t, 2000);
        assert_true(d->drained);
}

static void a_stop_while_the_old_one_serves(void **state)
{
        struct desk *d = start_second(state);

        d->b.process.draining = true;
        lines_drain(&d->b, 8000);
        pass(d->t, 1000);
        assert_null(link_in(d, LINE_OLD));
        assert_false(d->drained);
        answer_what_waits(d);
        pass(d->t, 1000);
        assert_true(d->drained);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(state_becomes_a_report, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(a_sign_in, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(cancel_late_and_declined, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(a_long_roster_in_parts, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(without_a_validator, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(a_validator_that_is_replaced, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(what_a_validator_has_from_before, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(verdicts_again_after_a_restart_of_the_link, desk_set_up,
                                                desk_tear_down),
                cmocka_unit_test_setup_teardown(malformed_frames, desk_set_up, desk_tear_down),
                cmocka_unit_test_setup_teardown(the_old_one_serves_until_the_new_one_is_heard, desk_set_up_second,
                                                desk_tear_down),
                cmocka_unit_test_setup_teardown(the_old_one_does_not_serve_for_ever, desk_set_up_second,
                                                desk_tear_down),
                cmocka_unit_test_setup_teardown(an_old_one_that_breaks_off_only_delivers, desk_set_up_second,
                                                desk_tear_down),
                cmocka_unit_test_setup_teardown(no_validator_is_said_on_both, desk_set_up_second, desk_tear_down),
                cmocka_unit_test_setup_teardown(a_stop_in_the_middle, desk_set_up_second, desk_tear_down),
                cmocka_unit_test_setup_teardown(a_stop_while_the_old_one_serves, desk_set_up_second, desk_tear_down),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("link/bridge", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
