/*
 * Requests, verdicts, reports, credit and drains of the link.
 */
#include "tests/queue/link/link_rig.h"

#include <curl/curl.h>

static void first_report_says_all(void **state)
{
        struct test *t = *state;

        assert_int_equal(t->why, LINK_UP);
        assert_int_equal(t->reports, 1);
        assert_non_null(strstr(t->last, "\"granted\":4,\"ready\":{\"corp.example\":true},\"reasons\":[],\"load\":0.500,"
                                        "\"statement\":\"s.t.m\",\"in_hand\":[],\"items\":[]"));
        assert_non_null(strstr(t->last, "\"session\":\"SESSION-00000000-1\",\"boot\":\"" BOOT "\""));
}

static void a_sign_in(void **state)
{
        struct test *t = *state;
        char sealed[SEALED_TEXT_LEN + 1];

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        assert_string_equal(t->log, "request:01 ");
        assert_int_equal(t->budget, 8000);
        assert_string_equal(t->sealed, sealed_text(sealed));
        assert_string_equal(t->trace, "");
        assert_int_equal(link_view(t->link).in_hand, 1);
        assert_int_equal(t->granted, 4); /* 1 seen + 4 - 1 in hand */
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        assert_int_equal(link_view(t->link).in_hand, 0);
        assert_int_equal(link_view(t->link).undelivered, 1);
        UNTIL(t, was_confirmed, 100);
        assert_string_equal(t->items, "01:received 01:verdict ");
        assert_non_null(strstr(t->last, "\"jwe\":\"a..b.c.d\""));
        assert_null(strstr(t->last, "statement")); /* the relay has it */
        assert_int_equal(t->granted, 5);
        assert_int_equal(link_view(t->link).undelivered, 0);
}

static void what_finishes_meanwhile_shares_the_next_report(void **state)
{
        struct test *t = *state;
        size_t before;

        t->hold_reports = true;
        send_request(t, ID1, 1);
        UNTIL(t, is_waiting, 100);
        before = t->reports;
        send_request(t, ID2, 2);
        send_request(t, ID3, 3);
        pass(t, 20);
        link_verdict(t->link, ID1, "a..b.c.1", 0);
        link_verdict(t->link, ID2, "a..b.c.2", 0);
        link_declined(t->link, ID3, "no_dc");
        pass(t, 50);
        assert_int_equal(t->reports, before); /* one at a time */
        t->hold_reports = false;
        fake_answer(t->waiting, 200, "application/json", "{\"confirmed\":[],\"late\":[]}");
        UNTIL(t, was_confirmed, 200);
        assert_int_equal(t->reports, before + 1);
        assert_string_equal(t->items, "01:received 02:received 03:received 03:declined:no_dc 01:verdict 02:verdict ");
}

static void late_is_told(void **state)
{
        struct test *t = *state;

        t->answer = "{\"confirmed\":[],\"late\":[\"" ID1 "\"]}";
        send_request(t, ID1, 1);
        UNTIL(t, was_requested, 100);
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        pass(t, 50);
        assert_non_null(strstr(t->log, "late:01"));
        assert_int_equal(link_view(t->link).undelivered, 0);
}

static void reports_at_least_every_five_seconds(void **state)
{
        struct test *t = *state;

        pass(t, 20000);
        assert_true(t->reports >= 5);
        assert_true(t->reports <= 7);
}

static int begin_idle(void **state)
{
        struct test *t;

        assert_int_equal(begin(state), 0);
        t = *state;
        (void)snprintf(t->reconnect, sizeof(t->reconnect), "[0,0],\"report\":60000");
        link_start(t->link);
        UNTIL(t, is_up, 1000);
        return 0;
}

/* So many minutes, with the heartbeats that keep the stream alive. */
static unsigned reports_within(struct test *t, unsigned minutes)
{
        const unsigned before = (unsigned)t->reports;

        for (unsigned i = 0; i < minutes * 6; i++) {
                fake_send(t->stream, ": hb\n\n");
                pass(t, 10000);
        }
        return (unsigned)t->reports - before;
}

/* As often as hello asks for; while something is in hand as often as ever. */
static void idle_links_report_as_the_relay_asks(void **state)
{
        struct test *t = *state;
        unsigned n = reports_within(t, 4);

        assert_true(n >= 4 && n <= 6);
        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        n = (unsigned)t->reports;
        pass(t, 9000);
        assert_true((unsigned)t->reports - n >= 2);
}

/* What an answer asks for counts from then on. */
static void answers_ask_for_fewer_reports(void **state)
{
        struct test *t = *state;
        unsigned n;

        t->answer = "{\"confirmed\":[],\"late\":[],\"report\":60000}";
        pass(t, 5000);
        n = reports_within(t, 4);
        assert_true(n >= 4 && n <= 6);
        t->answer = "{\"confirmed\":[],\"late\":[],\"report\":5000}";
        (void)reports_within(t, 1);
        n = reports_within(t, 1);
        assert_true(n >= 12 && n <= 16);
}

/* What the relay does not take it says why, and hears again a minute later. */
static void a_refused_statement_is_said_again(void **state)
{
        static char refused[] = "{\"confirmed\":[],\"late\":[],\"statement_refused\":{\"why\":\"not_newer\","
                                "\"detail\":\"5 is not newer than 7\"}}";
        struct test *t = *state;
        struct link_state s = state_of(4);

        assert_null(link_view(t->link).refused);
        t->answer = refused;
        s.statement = "s.t.n";
        assert_int_equal(link_set_state(t->link, &s), 0);
        pass(t, 50);
        assert_non_null(strstr(t->last, "\"statement\":\"s.t.n\""));
        assert_null(link_view(t->link).refused); /* a roster may be on its way */
        pass(t, 15000);
        assert_string_equal(link_view(t->link).refused->why, "not_newer");
        assert_string_equal(link_view(t->link).refused->detail, "5 is not newer than 7");
        for (int i = 0; i < 4; i++) {
                fake_send(t->stream, ": hb\n\n");
                pass(t, 10000);
                assert_null(strstr(t->last, "statement"));
        }
        assert_non_null(link_view(t->link).refused); /* an answer to a report without it says nothing of it */
        t->answer = NULL;
        fake_send(t->stream, ": hb\n\n");
        for (uint64_t i = 0; i < 20000 && !strstr(t->last, "statement"); i += 10)
                pass(t, 10);
        assert_non_null(strstr(t->last, "\"statement\":\"s.t.n\""));
        pass(t, 50);
        assert_null(link_view(t->link).refused);
}

static void credit_is_a_ceiling(void **state)
{
        struct test *t = *state;
        struct link_state s = state_of(2);

        /* a smaller window takes nothing back */
        assert_int_equal(link_set_state(t->link, &s), 0);
        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        assert_int_equal(t->granted, 4);
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        UNTIL(t, was_confirmed, 100);
        assert_int_equal(t->granted, 4);
        s = state_of(10);
        assert_int_equal(link_set_state(t->link, &s), 0);
        pass(t, 50);
        assert_int_equal(t->granted, 11);
}

/* A verdict outlives the session: it goes up again under the new one. */
static void verdict_survives_a_reconnect(void **state)
{
        struct test *t = *state;

        t->hold_reports = true;
        send_request(t, ID1, 1);
        UNTIL(t, is_waiting, 100);
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        fake_close(t->stream);
        fake_close(t->waiting);
        t->hold_reports = false;
        UNTIL(t, is_down, 1000);
        assert_int_equal(t->why, LINK_DOWN_TRANSPORT);
        UNTIL(t, was_confirmed, 1000);
        assert_int_equal(t->streams, 2);
        assert_non_null(strstr(t->last, "SESSION-00000000-2"));
}

/* Somebody waits for what is in hand: such a link comes back near the lower bound; an idle one anywhere
 * between. */
static void work_in_hand_hurries_a_reconnect(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        fake_close(t->stream);
        assert_true(UNTIL(t, second_stream, 1000) <= 1000);
}

static int begin_spread(void **state)
{
        struct test *t;

        assert_int_equal(begin(state), 0);
        t = *state;
        (void)snprintf(t->reconnect, sizeof(t->reconnect), "[400,600000]");
        link_start(t->link);
        UNTIL(t, is_up, 1000);
        pass(t, 20);
        return 0;
}

static void unknown_session_opens_a_new_one(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        t->report_status = 409;
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        UNTIL(t, is_down, 1000);
        assert_int_equal(t->why, LINK_DOWN_SESSION);
        t->report_status = 200;
        assert_true(UNTIL(t, was_confirmed, 1000) <= 150); /* the lower bound, not more */
        assert_int_equal(t->streams, 2);
}

static void failing_reports_are_tried_again(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        t->report_status = 503;
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        pass(t, 3000);
        assert_true(link_view(t->link).up);
        assert_false(was_confirmed(t));
        t->report_status = 200;
        UNTIL(t, was_confirmed, 3000);
        assert_int_equal(t->streams, 1);
}

static void refused_report_ends_the_session(void **state)
{
        struct test *t = *state;

        t->report_status = 400;
        UNTIL(t, is_down, 6000);
        assert_int_equal(t->why, LINK_DOWN_REFUSED);
}

static void malformed_answer_ends_the_session(void **state)
{
        struct test *t = *state;

        t->answer = "{\"confirmed\":7}";
        UNTIL(t, is_down, 6000);
        assert_int_equal(t->why, LINK_DOWN_PROTOCOL);
}

/* Confirmed nor late: asked again with the periodic report, and dropped at its end. */
static void an_unanswered_verdict_lapses(void **state)
{
        struct test *t = *state;

        t->answer = "{\"confirmed\":[],\"late\":[]}";
        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        fake_send(t->stream, ": hb\n\n");
        pass(t, 12000);
        assert_int_equal(link_view(t->link).undelivered, 1);
        assert_non_null(strstr(strstr(t->items, ":verdict") + 1, ":verdict"));
        pass(t, 3000);
        assert_int_equal(link_view(t->link).undelivered, 0);
}

/* A request whose validator says nothing gives its credit back at its end. */
static void a_silent_validator_leaks_no_credit(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        assert_int_equal(t->granted, 4);
        fake_send(t->stream, ": hb\n\n");
        pass(t, 15000);
        assert_int_equal(link_view(t->link).in_hand, 0);
        assert_int_equal(t->granted, 5);
}

static void a_lost_validator_gives_its_credit_back(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        link_lost(t->link);
        assert_int_equal(link_view(t->link).in_hand, 0);
        pass(t, 50);
        assert_int_equal(t->granted, 5);
        assert_string_equal(t->items, "01:received 01:lost ");
}

/* What the relay called off nobody waits for, and what was answered is not lost. */
static void only_what_is_waited_for_is_lost(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        send_request(t, ID2, 2);
        UNTIL(t, was_received, 100);
        fake_send(t->stream, "event: cancel\ndata: {\"id\":\"" ID1 "\"}\n\n");
        pass(t, 50);
        link_verdict(t->link, ID2, "a..b.c.d", 0);
        link_lost(t->link);
        pass(t, 50);
        assert_null(strstr(t->items, "lost"));
        assert_non_null(strstr(t->items, "02:verdict"));
}

/* Lost while there is no session: said in the next one. */
static void lost_between_sessions(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        fake_close(t->stream);
        pass(t, 5);
        link_lost(t->link);
        UNTIL(t, second_stream, 1000);
        pass(t, 50);
        assert_string_equal(t->items, "01:received 01:lost ");
}

/* The first report of each session lists what is there: what is being worked on, verdicts, and what is still to be
 * said. */
static void in_hand_once_a_session(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        send_request(t, ID2, 2);
        UNTIL(t, was_received, 100);
        assert_null(strstr(t->last, "in_hand")); /* that was said, and empty */
        t->hold_reports = true;
        link_verdict(t->link, ID2, "a..b.c.d", 0);
        fake_close(t->stream);
        pass(t, 5);
        t->hold_reports = false;
        UNTIL(t, second_stream, 1000);
        UNTIL(t, was_confirmed, 100);
        assert_non_null(strstr(t->all, "\"in_hand\":[\"" ID1 "\",\"" ID2 "\""));
        pass(t, 5000);
        assert_null(strstr(t->last, "in_hand"));
}

static bool not_all(void *arg)
{
        (void)arg;
        return false;
}

/* Where another link may have more, nothing is said: the relay would take that for lost. */
static void in_hand_of_several_links(void **state)
{
        struct test *t = *state;
        struct link_callbacks cb = *link_rig_callbacks;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        cb.has_all = not_all;
        link_set_callbacks(t->link, &cb);
        t->all[0] = '\0';
        fake_close(t->stream);
        UNTIL(t, second_stream, 1000);
        pass(t, 5000);
        assert_null(strstr(t->all, "in_hand"));
        link_set_callbacks(t->link, link_rig_callbacks); /* it is gone */
        pass(t, 5000);
        assert_non_null(strstr(t->all, "\"in_hand\":[\"" ID1 "\"]"));
}

/* A validator that has it from a link process before: said to be here, and takes credit. */
static void held_by_a_validator(void **state)
{
        struct test *t = *state;

        link_hold(t->link, ID1, loop_now(t->loop) + 8000);
        UNTIL(t, was_received, 100);
        assert_int_equal(link_view(t->link).in_hand, 1);
        assert_string_equal(t->items, "01:received ");
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        UNTIL(t, was_confirmed, 100);
        assert_int_equal(link_view(t->link).in_hand, 0);
}

static void cancel_frees_credit_and_takes_an_answer(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        fake_send(t->stream, "event: cancel\ndata: {\"id\":\"" ID1 "\"}\n\n");
        fake_send(t->stream, "event: cancel\ndata: {\"id\":\"" ID2 "\"}\n\n"); /* unknown: nothing */
        pass(t, 50);
        assert_string_equal(t->log, "request:01 cancel:01 ");
        assert_int_equal(t->granted, 5);
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        UNTIL(t, was_confirmed, 100);
}

static void the_same_id_twice_is_a_replay(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        send_request(t, ID1, 2);
        UNTIL(t, was_declined, 100);
        assert_string_equal(t->log, "request:01 ");
        assert_non_null(strstr(t->items, "01:declined:replay"));
}

static void an_answer_from_within_the_callback(void **state)
{
        struct test *t = *state;

        t->answer_at_once = true;
        send_request(t, ID1, 1);
        UNTIL(t, was_confirmed, 100);
        assert_string_equal(t->items, "01:received 01:verdict ");
}

/* What a restarted link gets from the validator, with deadlines that are over, near and none. */
static void verdicts_of_a_link_before(void **state)
{
        struct test *t = *state;

        link_verdict(t->link, ID1, "a..b.c.1", loop_now(t->loop) + 3000);
        link_verdict(t->link, ID2, "a..b.c.2", 0);
        link_verdict(t->link, ID2, "a..b.c.3", 0);  /* a second one: dropped */
        link_verdict(t->link, ID3, "not a jwe", 0); /* never sent */
        link_verdict(t->link, "bad id", "a..b.c.2", 0);
        assert_int_equal(link_view(t->link).undelivered, 2);
        link_start(t->link);
        UNTIL(t, was_confirmed, 1000);
        assert_string_equal(t->items, "01:verdict 02:verdict ");
        assert_null(strstr(t->last, "a..b.c.3"));
}

static void old_verdicts_are_not_sent(void **state)
{
        struct test *t = *state;

        fake_relay_listen(t->relay, false);
        link_verdict(t->link, ID1, "a..b.c.1", loop_now(t->loop) + 1000);
        link_start(t->link);
        pass(t, 8000);
        assert_int_equal(link_view(t->link).undelivered, 0);
        assert_int_equal(t->why, LINK_DOWN_TRANSPORT);
        fake_relay_listen(t->relay, true);
        /* the pause before the next connect may outlast a verdict, so a living one is offered until it went
         */
        for (int i = 0; i < 12 && !was_confirmed(t); i++) {
                link_verdict(t->link, ID2, "a..b.c.2", loop_now(t->loop) + 999999999);
                pass(t, 4000);
        }
        assert_true(was_confirmed(t));
        assert_string_equal(t->items, "02:verdict ");
}

/* Requests of an old session take credit in the new one, and are said to be there. */
static void requests_in_hand_over_a_reconnect(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        fake_close(t->stream);
        UNTIL(t, second_stream, 1000);
        pass(t, 50);
        assert_int_equal(t->granted, 3); /* 0 seen + 4 - 1 in hand */
        assert_string_equal(t->items, "01:received 01:received ");
        link_declined(t->link, ID1, "full");
        UNTIL(t, was_declined, 100);
        assert_int_equal(t->granted, 4);
}

/* ---- drains ---- */

static void the_relay_drains(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        fake_send(t->stream, "event: drain\ndata: {\"reconnect\":[3000,4000]}\n\n");
        pass(t, 500);
        assert_int_equal(t->streams, 1); /* still at work */
        assert_false(link_view(t->link).up);
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        UNTIL(t, was_confirmed, 100);
        UNTIL(t, is_down, 100);
        assert_int_equal(t->why, LINK_DOWN_DRAIN);
        (void)snprintf(t->reconnect, sizeof(t->reconnect), "[1,2]");
        assert_true(UNTIL(t, second_stream, 4500) >= 2900);
}

static void the_link_drains(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        link_drain(t->link, 10000);
        pass(t, 50);
        assert_non_null(strstr(t->last, "\"ready\":{\"corp.example\":false},\"reasons\":[\"draining\"]"));
        assert_int_equal(t->granted, 4);
        send_request(t, ID2, 2); /* crossed on the way */
        UNTIL(t, was_declined, 100);
        assert_non_null(strstr(t->items, "02:declined:draining"));
        assert_false(t->drained);
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        UNTIL(t, has_drained, 1000);
        assert_true(was_confirmed(t));
        assert_int_equal(t->why, LINK_DOWN_STOPPED);
        pass(t, 5000);
        assert_int_equal(t->streams, 1); /* for good */
}

static void an_idle_link_drains_at_once(void **state)
{
        struct test *t = *state;

        assert_int_equal(fake_relay_open(t->relay), 2);
        link_drain(t->link, 10000);
        assert_false(t->drained); /* never from within */
        assert_true(UNTIL(t, has_drained, 1000) >= 250);
        pass(t, 10);
        assert_int_equal(fake_relay_open(t->relay), 1); /* the stream is gone; libcurl keeps the other one idle */
}

static void a_drain_has_an_end(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        link_drain(t->link, 2000);
        assert_true(UNTIL(t, has_drained, 2100) >= 1900);
}

static void a_link_that_is_down_drains(void **state)
{
        struct test *t = *state;

        t->stream_status = 503;
        link_start(t->link);
        UNTIL(t, is_down, 1000);
        link_drain(t->link, 10000);
        UNTIL(t, has_drained, 100);
}

/* ---- the identity ---- */

static bool identity_twice(const struct test *t)
{
        return t->identities == 2;
}

static bool identity_in_roster(const struct test *t)
{
        return strstr(t->log, "in-roster") != NULL;
}

static void the_identity_until_it_is_in_the_roster(void **state)
{
        struct link_state s = state_of(4);
        struct test *t = *state;
        uint64_t ms;

        t->identity_status = 202;
        s.identity = "{\"kty\":\"EC\"}";
        s.proof = "p.r.o";
        assert_int_equal(link_set_state(t->link, &s), 0);
        link_start(t->link);
        UNTIL(t, is_up, 1000);
        pass(t, 50);
        assert_int_equal(t->identities, 1);
        assert_string_equal(t->announced, "{\"jwk\":{\"kty\":\"EC\"},\"proof\":\"p.r.o\"}");
        assert_string_equal(t->log, "pending ");
        fake_send(t->stream, ": hb\n\n");
        ms = UNTIL(t, identity_twice, 13000);
        assert_true(ms > 7500);
        /* approved: the roster comes, and the link asks at once, with the newest proof */
        s.proof = "p.r.2";
        assert_int_equal(link_set_state(t->link, &s), 0);
        t->identity_status = 200;
        fake_send(t->stream, "event: roster\ndata: {\"jws\":\"new\"}\n\n");
        UNTIL(t, identity_in_roster, 100);
        assert_non_null(strstr(t->announced, "p.r.2"));
        assert_non_null(strstr(t->log, "roster:new"));
        fake_send(t->stream, ": hb\n\n");
        pass(t, 15000);
        assert_int_equal(t->identities, 3);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(first_report_says_all, begin_up, end),
                cmocka_unit_test_setup_teardown(a_sign_in, begin_up, end),
                cmocka_unit_test_setup_teardown(a_refused_statement_is_said_again, begin_up, end),
                cmocka_unit_test_setup_teardown(what_finishes_meanwhile_shares_the_next_report, begin_up, end),
                cmocka_unit_test_setup_teardown(late_is_told, begin_up, end),
                cmocka_unit_test_setup_teardown(reports_at_least_every_five_seconds, begin_up, end),
                cmocka_unit_test_setup_teardown(idle_links_report_as_the_relay_asks, begin_idle, end),
                cmocka_unit_test_setup_teardown(answers_ask_for_fewer_reports, begin_up, end),
                cmocka_unit_test_setup_teardown(credit_is_a_ceiling, begin_up, end),
                cmocka_unit_test_setup_teardown(verdict_survives_a_reconnect, begin_up, end),
                cmocka_unit_test_setup_teardown(work_in_hand_hurries_a_reconnect, begin_spread, end),
                cmocka_unit_test_setup_teardown(unknown_session_opens_a_new_one, begin_up, end),
                cmocka_unit_test_setup_teardown(failing_reports_are_tried_again, begin_up, end),
                cmocka_unit_test_setup_teardown(refused_report_ends_the_session, begin_up, end),
                cmocka_unit_test_setup_teardown(malformed_answer_ends_the_session, begin_up, end),
                cmocka_unit_test_setup_teardown(an_unanswered_verdict_lapses, begin_up, end),
                cmocka_unit_test_setup_teardown(a_silent_validator_leaks_no_credit, begin_up, end),
                cmocka_unit_test_setup_teardown(a_lost_validator_gives_its_credit_back, begin_up, end),
                cmocka_unit_test_setup_teardown(only_what_is_waited_for_is_lost, begin_up, end),
                cmocka_unit_test_setup_teardown(lost_between_sessions, begin_up, end),
                cmocka_unit_test_setup_teardown(in_hand_once_a_session, begin_up, end),
                cmocka_unit_test_setup_teardown(in_hand_of_several_links, begin_up, end),
                cmocka_unit_test_setup_teardown(held_by_a_validator, begin_up, end),
                cmocka_unit_test_setup_teardown(cancel_frees_credit_and_takes_an_answer, begin_up, end),
                cmocka_unit_test_setup_teardown(the_same_id_twice_is_a_replay, begin_up, end),
                cmocka_unit_test_setup_teardown(an_answer_from_within_the_callback, begin_up, end),
                cmocka_unit_test_setup_teardown(verdicts_of_a_link_before, begin, end),
                cmocka_unit_test_setup_teardown(old_verdicts_are_not_sent, begin, end),
                cmocka_unit_test_setup_teardown(requests_in_hand_over_a_reconnect, begin_up, end),
                cmocka_unit_test_setup_teardown(the_relay_drains, begin_up, end),
                cmocka_unit_test_setup_teardown(the_link_drains, begin_up, end),
                cmocka_unit_test_setup_teardown(an_idle_link_drains_at_once, begin_up, end),
                cmocka_unit_test_setup_teardown(a_drain_has_an_end, begin_up, end),
                cmocka_unit_test_setup_teardown(a_link_that_is_down_drains, begin, end),
                cmocka_unit_test_setup_teardown(the_identity_until_it_is_in_the_roster, begin, end),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("queue/link-work", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
