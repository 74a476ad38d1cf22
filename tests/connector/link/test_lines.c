/*
 * Links to several relay nodes: each named one has its own, each answers what it was given, and what becomes of one is
 * nothing to the others.
 */
#include "tests/connector/link/desk.h"

#include <curl/curl.h>

/* Nodes n1 and n2 (and n3), each of which names them all. */
static char names[256];

static void name_nodes(struct desk *d)
{
        size_t used = (size_t)snprintf(names, sizeof(names), "[\"%s\"", fake_relay_url(d->t->relay));

        for (struct test *t = d->t->beside; t; t = t->beside)
                used += (size_t)snprintf(names + used, sizeof(names) - used, ",\"%s\"", fake_relay_url(t->relay));
        (void)snprintf(names + used, sizeof(names) - used, "]");
        for (struct test *t = d->t; t; t = t->beside)
                t->nodes = names;
}

static bool others_report(const struct test *t)
{
        for (t = t->beside; t; t = t->beside)
                if (!t->reports)
                        return false;
        return true;
}

/* With n nodes, linked to each; the second of them. */
static struct test *start(struct desk *d, size_t n)
{
        while (--n)
                begin_beside(d->t);
        name_nodes(d);
        say_state(d, "corp.example=1\n", "");
        pass(d->t, 5);
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        UNTIL(d->t, others_report, 1000);
        pass(d->t, 50);
        return d->t->beside;
}

static size_t count_lines(const struct desk *d)
{
        const struct line *line;
        size_t n = 0;

        TAILQ_FOREACH (line, &d->b.lines, entry)
                n++;
        return n;
}

static void each_answers_its_own(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        assert_int_equal(count_lines(d), 2);
        send_request(d->t, ID1, 1);
        send_request(other, ID2, 1);
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received ");
        assert_string_equal(other->items, "02:received ");
        say_verdict(d, ID2, "a..b.c.d", 0);
        say_declined(d, ID1, "no_dc");
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received 01:declined:no_dc ");
        assert_string_equal(other->items, "02:received 02:verdict ");
        assert_non_null(strstr(d->frames, "confirmed:02"));
        assert_non_null(strstr(d->status, "\"nodes\":[{"));
        assert_non_null(strstr(d->status, "\"node\":\"n2\",\"state\":\"up\""));
}

/* An id is one sign-in's: the second one that brings it gets no part of the first one's answer. */
static void one_id_at_two_nodes(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        send_request(d->t, ID1, 1);
        pass(d->t, 20);
        send_request(other, ID1, 1);
        pass(d->t, 20);
        assert_string_equal(other->items, "01:received 01:declined:replay ");
        say_verdict(d, ID1, "a..b.c.d", 0);
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received 01:verdict ");
        assert_null(strstr(other->items, "verdict"));
}

static void a_node_that_dies_takes_nothing_else_with_it(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        send_request(d->t, ID1, 1);
        send_request(other, ID2, 1);
        pass(d->t, 20);
        d->t->answer = "{\"confirmed\":[\"" ID1 "\"],\"late\":[\"" ID2 "\"]}"; /* nobody there waits for it */
        fake_relay_cut(other->relay);
        pass(d->t, 50);
        assert_non_null(strstr(d->status, "\"state\":\"up\",\"why\":\"up\",\"detail\":\"n1\""));
        assert_non_null(strstr(d->status, "\"node\":\"n2\",\"state\":\"down\""));
        say_verdict(d, ID1, "a..b.c.d", 0);
        say_verdict(d, ID2, "a..b.c.d", loop_now(d->t->loop) + 8000);
        send_request(d->t, ID3, 2);
        pass(d->t, 50);
        assert_non_null(strstr(d->t->items, "01:verdict "));
        assert_non_null(strstr(d->t->items, "03:received "));
        /* it comes back, and has its answer */
        fake_relay_listen(other->relay, true);
        pass(d->t, 3000);
        assert_non_null(strstr(other->items, "02:verdict "));
        assert_null(strstr(d->frames, "late"));
        assert_int_equal(count_lines(d), 2);
}

/* Whoever waits for what a node gave that is gone may wait at another one, which it came from. */
static void an_answer_whose_node_is_gone_comes_up_at_another(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        send_request(other, ID1, 1);
        send_request(other, ID2, 2);
        send_request(other, ID3, 3);
        pass(d->t, 20);
        say_verdict(d, ID3, "a..b.c.d", 0);
        pass(d->t, 50);
        fake_relay_cut(other->relay);
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received 02:received ");
        say_verdict(d, ID1, "a..b.c.d", 0);
        pass(d->t, 50);
        say_declined(d, ID2, "no_dc");
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received 02:received 01:verdict 02:declined:no_dc ");
        assert_non_null(strstr(d->frames, "confirmed:01"));
        fake_relay_listen(other->relay, true);
        pass(d->t, 3000);
        assert_null(strstr(other->items, "01:verdict"));
        assert_int_equal(link_view(first_line(d)->link).in_hand, 0);
}

/* Whatever several links have, since its node is gone, is one sign-in to the helpdesk. */
static void what_is_spread_counts_once(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 3);

        send_request(other, ID1, 1);
        send_request(other, ID2, 2);
        pass(d->t, 20);
        fake_relay_cut(other->relay);
        pass(d->t, 50);
        d->t->answer = other->beside->answer = "{\"confirmed\":[],\"late\":[]}";
        say_verdict(d, ID2, "a..b.c.d", loop_now(d->t->loop) + 8000);
        pass(d->t, 50);
        bridge_send_status(&d->b);
        pass(d->t, 5);
        assert_non_null(strstr(d->status, "\"in_hand\":1,\"undelivered\":1,\"requests\":2"));
        d->validator = ipc_free(d->validator);
        pass(d->t, 50);
        assert_string_equal(d->unanswered, "01:lost ");
        assert_string_equal(d->t->items, "01:received 02:received 02:verdict 01:lost ");
        /* and not with the next validator once more */
        d->validator = open_channel(d, bridge_open_validator, desk_on_validator);
        pass(d->t, 5);
        d->validator = ipc_free(d->validator);
        pass(d->t, 50);
        assert_string_equal(d->unanswered, "01:lost ");
}

/* The same where all nodes were away: the first that is back has it. */
static void an_answer_waits_for_any_node(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        send_request(other, ID1, 1);
        pass(d->t, 20);
        fake_relay_cut(d->t->relay);
        pass(d->t, 20);
        fake_relay_cut(other->relay);
        pass(d->t, 20);
        say_verdict(d, ID1, "a..b.c.d", 0);
        pass(d->t, 50);
        fake_relay_listen(d->t->relay, true);
        pass(d->t, 4000);
        assert_string_equal(d->t->items, "01:verdict ");
        assert_non_null(strstr(d->frames, "confirmed:01"));
}

/* A node that takes no report: its stream may go on, and would be missed only after 25 s. */
static void a_node_that_does_not_hear_is_not_waited_for(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        other->report_status = 503;
        send_request(other, ID1, 1);
        pass(d->t, 20);
        say_verdict(d, ID1, "a..b.c.d", 0);
        pass(d->t, 1000);
        assert_non_null(strstr(d->status, "\"node\":\"n2\",\"state\":\"up\""));
        assert_non_null(strstr(d->t->items, "01:verdict "));
        assert_non_null(strstr(d->frames, "confirmed:01"));
}

static void the_capacity_is_shared(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 3);

        pass_looking(d, 1000);
        /* 4 sign-ins at once, three links: 2 each, of 8 at most */
        assert_int_equal(other->granted, 2);
        assert_int_equal(other->beside->granted, 2);
}

/* The address that is configured is nobody's own: its link serves until a node that is named has heard the connector.
 */
static void the_address_to_begin_with_is_left(void **state)
{
        struct desk *d = *state;
        struct test *other = begin_beside(d->t);

        (void)snprintf(names, sizeof(names), "[\"%s\"]", fake_relay_url(other->relay));
        d->t->nodes = other->nodes = names;
        other->hold_reports = true;
        say_state(d, "corp.example=1\n", "");
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        UNTIL(d->t, others_report, 1000);
        send_request(d->t, ID1, 1);
        pass_looking(d, 2000);
        assert_int_equal(count_lines(d), 2);
        assert_null(strstr(d->t->last, "draining"));
        other->hold_reports = false;
        fake_answer(other->waiting, 200, "application/json", "{\"confirmed\":[],\"late\":[]}");
        pass_looking(d, 2000);
        assert_non_null(strstr(d->t->last, "draining"));
        assert_int_equal(count_lines(d), 2); /* it still has one in hand */
        say_verdict(d, ID1, "a..b.c.d", 0);
        pass_looking(d, 2000);
        assert_non_null(strstr(d->t->items, "01:verdict "));
        assert_int_equal(count_lines(d), 1);
        assert_null(strstr(d->status, "\"node\":\"n1\""));
}

/* Two addresses of one node: two streams there would take its place from each other. */
static void two_addresses_of_one_node(void **state)
{
        struct desk *d = *state;
        struct test *other = begin_beside(d->t);

        other->node = "n1";
        name_nodes(d);
        say_state(d, "corp.example=1\n", "");
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        UNTIL(d->t, others_report, 1000);
        pass_looking(d, 3000);
        assert_int_equal(other->streams, 1);
        assert_non_null(strstr(other->all, "draining"));
        assert_null(strstr(other->all, "\"corp.example\":true"));
        assert_null(strstr(d->t->all, "draining"));
        assert_int_equal(count_lines(d), 1);
        assert_non_null(strstr(d->status, "it leads to the node n1"));
        /* once the other is away, it is a way to the node */
        fake_relay_cut(d->t->relay);
        pass_looking(d, 3000);
        assert_int_equal(other->streams, 2);
}

static void one_host_has_one_link(void **state)
{
        struct desk *d = *state;

        (void)snprintf(names, sizeof(names), "[\"%s\",\"https://127.0.0.1:9\",\"https://no\\\\url:x\"]",
                       fake_relay_url(d->t->relay));
        d->t->nodes = names;
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        pass_looking(d, 1000);
        assert_int_equal(count_lines(d), 1);
}

/* What a validator has from the life of another link process is offered to each node: one of them waits for it. */
static void what_is_held_is_offered_to_each(void **state)
{
        struct desk *d = *state;
        struct test *other = begin_beside(d->t);

        name_nodes(d);
        d->t->answer = "{\"confirmed\":[],\"late\":[\"" ID1 "\",\"" ID2 "\"]}";
        say_held(d, ID1);
        say_verdict(d, ID2, "a..b.c.d", loop_now(d->t->loop) + 9000);
        say_state(d, "corp.example=1\n", "");
        pass(d->t, 5);
        other->hold_reports = true;
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        UNTIL(d->t, others_report, 1000);
        pass(d->t, 50);
        /* the first never gave it; the other is not heard yet */
        assert_non_null(strstr(other->all, "\"in_hand\":[\"" ID1 "\",\"" ID2 "\""));
        assert_null(strstr(d->frames, "late"));
        other->hold_reports = false;
        fake_answer(other->waiting, 200, "application/json", "{\"confirmed\":[\"" ID2 "\"],\"late\":[]}");
        say_verdict(d, ID1, "a..b.c.d", loop_now(d->t->loop) + 9000);
        pass(d->t, 50);
        assert_string_equal(d->frames, "confirmed:02 confirmed:01 ");
}

static void a_new_certificate_goes_to_each(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        open_second(d);
        pass(d->t, 500);
        assert_int_equal(d->t->streams + other->streams, 4);
        pass_looking(d, 3000);
        assert_int_equal(count_lines(d), 2);
        assert_null(link_in(d, LINE_NEXT));
        assert_null(link_in(d, LINE_OLD));
        /* one is away: its link comes to the new certificate when it is back */
        fake_relay_cut(other->relay);
        pass(d->t, 50);
        open_second(d);
        pass_looking(d, 3000);
        assert_int_equal(d->t->streams, 3);
        assert_non_null(link_in(d, LINE_NEXT));
        fake_relay_listen(other->relay, true);
        pass_looking(d, 35000);
        assert_null(link_in(d, LINE_NEXT));
        assert_int_equal(count_lines(d), 2);
}

/* The relay's next hello names these. */
static void name_anew(struct desk *d)
{
        const size_t before = d->t->streams;

        d->t->nodes = names;
        fake_close(d->t->stream);
        for (unsigned s = 0; s < 40 && d->t->streams == before; s++)
                pass(d->t, 1000);
        assert_true(d->t->streams > before);
        pass(d->t, 50);
}

/* A relay that names others each time: what is left ends before more is begun. */
static void names_without_end(void **state)
{
        struct desk *d = *state;

        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        for (unsigned i = 0; i < 8; i++) {
                (void)snprintf(names, sizeof(names), "[\"%s\",\"https://127.1.%u.1:9\",\"https://127.1.%u.2:9\"]",
                               fake_relay_url(d->t->relay), i, i);
                name_anew(d);
        }
        assert_in_range(count_lines(d), 3, 3 * HELLO_NODES_MAX);
        pass_looking(d, 20000); /* all that is left has ended, and a stream without heartbeats has not yet */
        assert_int_equal(count_lines(d), 1);
        name_anew(d); /* the same again: now there is room for them */
        assert_int_equal(count_lines(d), 3);
}

static size_t count_nodes(const struct desk *d)
{
        const struct node *node;
        size_t n = 0;

        TAILQ_FOREACH (node, &d->b.nodes, entry)
                n++;
        return n;
}

/* A name without a line of its own, for it led to a node that has one, is forgotten when it is named no more. */
static void names_that_lead_nowhere_are_forgotten(void **state)
{
        struct desk *d = *state;
        struct test *other = begin_beside(d->t);

        other->node = "n1";
        name_nodes(d);
        say_state(d, "corp.example=1\n", "");
        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        UNTIL(d->t, others_report, 1000);
        pass_looking(d, 3000);
        assert_int_equal(count_lines(d), 1);
        assert_int_equal(count_nodes(d), 2);
        (void)snprintf(names, sizeof(names), "[\"%s\"]", fake_relay_url(d->t->relay));
        name_anew(d);
        assert_int_equal(count_nodes(d), 1);
}

static void only_what_is_beside_the_relay_is_believed(void **state)
{
        static const struct {
                const char *relay, *node;
                bool good;
        } cases[] = {
                {"https://relay.cloud.example:8443", "https://Relay.cloud.example", true},
                {"https://relay.cloud.example", "https://n2.CLOUD.example:9443", true},
                {"https://relay.cloud.example", "https://n2.corp.example", false},
                {"https://relay.cloud.example", "https://cloud.example", false},
                {"https://relay.cloud.example", "https://a.n2.cloud.example", false},
                {"https://relay.cloud.example", "https://evilcloud.example", false},
                {"https://relay.cloud.example", "https://10.0.0.1:3389", false},
                {"https://relay.cloud.example", "https://127.0.0.1", false},
                {"https://relay.cloud.example", "https://[fe80::1]", false},
                {"https://relay.cloud.example", "https://n2.cloud.example@dc1", false},
                {"https://cloud.example", "https://corp.example", false},
                {"https://cloud.example.", "https://corp.example.", false},
                {"https://relay", "https://dc1", false},
                {"https://relay", "https://relay:444", true},
                {"https://10.1.2.3", "https://10.1.2.3:444", true},
                {"https://10.1.2.3", "https://11.1.2.3", false},
                {"https://10.1.2.3", "https://a.1.2.3", false},
                {"https://127.0.0.1:1", "https://127.0.0.2:2", true},
                {"https://[::1]:1", "https://127.0.0.2:2", true},
                {"https://127.0.0.1:1", "https://localhost", false},
                {"https://127.0.0.1:1", "https://10.0.0.1", false},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (lines_may_name(cases[i].relay, cases[i].node) != cases[i].good)
                        fail_msg("%s named by %s", cases[i].node, cases[i].relay);
}

/* A relay that says it is at addresses inside the connector's network: nothing goes there, and it is said once. */
static void addresses_elsewhere_are_passed_over(void **state)
{
        struct desk *d = *state;

        lines_start(&d->b);
        UNTIL(d->t, is_up, 1000);
        (void)snprintf(names, sizeof(names), "[\"https://10.0.0.1:3389\",\"https://dc1.corp.example\",\"%s\"]",
                       fake_relay_url(d->t->relay));
        assert_false(d->b.foreign_logged);
        for (unsigned i = 0; i < 2; i++) {
                name_anew(d);
                assert_int_equal(count_lines(d), 1);
                assert_int_equal(count_nodes(d), 1);
                assert_true(d->b.foreign_logged);
        }
        assert_true(TAILQ_FIRST(&d->b.nodes)->named);
}

static void without_a_supervisor_each_hears_what_is_lost(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        send_request(d->t, ID1, 1);
        send_request(other, ID2, 1);
        pass(d->t, 20);
        assert_true(lines_last_words(&d->b));
        pass(d->t, 20);
        say_verdict(d, ID1, "a..b.c.d", 0); /* the validator goes on for a moment */
        pass(d->t, 20);
        assert_string_equal(d->t->items, "01:received 01:verdict ");
        assert_string_equal(other->items, "02:received ");
        pass(d->t, 600);
        assert_string_equal(other->items, "02:received 02:lost ");
        pass(d->t, 250);
        assert_int_equal(count_lines(d), 0);
        assert_false(lines_last_words(&d->b));
}

static void a_stop_drains_all(void **state)
{
        struct desk *d = *state;
        struct test *other = start(d, 2);

        send_request(other, ID1, 1);
        pass(d->t, 20);
        lines_drain(&d->b, 8000);
        pass(d->t, 1000);
        assert_false(d->drained);
        say_verdict(d, ID1, "a..b.c.d", 0);
        pass(d->t, 1000);
        assert_true(d->drained);
        assert_string_equal(other->items, "01:received 01:verdict ");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, desk_set_up_second, desk_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(each_answers_its_own),
                TEST(one_id_at_two_nodes),
                TEST(a_node_that_dies_takes_nothing_else_with_it),
                TEST(an_answer_whose_node_is_gone_comes_up_at_another),
                TEST(what_is_spread_counts_once),
                TEST(an_answer_waits_for_any_node),
                TEST(a_node_that_does_not_hear_is_not_waited_for),
                TEST(the_capacity_is_shared),
                TEST(the_address_to_begin_with_is_left),
                TEST(two_addresses_of_one_node),
                TEST(one_host_has_one_link),
                TEST(what_is_held_is_offered_to_each),
                TEST(a_new_certificate_goes_to_each),
                TEST(names_without_end),
                TEST(names_that_lead_nowhere_are_forgotten),
                cmocka_unit_test(only_what_is_beside_the_relay_is_believed),
                TEST(addresses_elsewhere_are_passed_over),
                TEST(without_a_supervisor_each_hears_what_is_lost),
                TEST(a_stop_drains_all),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("link/lines", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
