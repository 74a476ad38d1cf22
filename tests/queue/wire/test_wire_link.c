/*
 * Hello, events, reports and their answers: round trips, limits, and what is refused.
 */
#include "tests/queue/client/sealed_text.h"
#include "tests/queue/check.h"

#include "certs/trust/statement.h"
#include "queue/wire/wire.h"

#define SESSION "SESSION-0123456789"
#define ID1 "REQUEST-0000000001"
#define ID2 "REQUEST-0000000002"
#define BOOT "AAAAAAAAAAAAAAAAAAAAAA"

/* ---- hello ---- */

static const char hello_text[] =
        "{\"session\":\"" SESSION "\",\"node\":\"n1\",\"v\":[1],\"now\":1800000000,\"heartbeat\":10000,\"report\":5000,"
        "\"nodes\":[\"https://a.example\",\"https://"
        "b.example:8443\"],\"roster_seq\":7,\"reconnect\":[200,1000]}";

static void hello_round_trip(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096);
        struct error err = {""};
        struct hello h;

        (void)state;
        assert_int_equal(hello_decode(&h, hello_text, strlen(hello_text), &err), 0);
        assert_string_equal(h.session, SESSION);
        assert_int_equal(h.n_nodes, 2);
        assert_string_equal(h.nodes[1], "https://b.example:8443");
        assert_int_equal(h.roster_seq, 7);
        assert_int_equal(h.reconnect_max, 1000);
        assert_int_equal(hello_encode(&h, &out), 0);
        assert_string_equal(out.data, hello_text);
}

static const struct change hello_changes[] = {
        {"", "7", "hello"},
        {"\"session\":\"" SESSION "\"", "\"session\":\"x\"", "member session is not an id"},
        {"\"node\":\"n1\"", "\"node\":\"\"", "member node is empty"},
        {"\"v\":[1]", "\"v\":[2,3]", "version 1"},
        {"\"v\":[1]", "\"v\":1", "member v is not an array"},
        {"\"v\":[1],", "", "member v is missing"},
        {"\"heartbeat\":10000", "\"heartbeat\":0", "member heartbeat"},
        {"\"heartbeat\":10000", "\"heartbeat\":600000", "member heartbeat"},
        {"\"report\":5000", "\"report\":999", "member report"},
        {"\"report\":5000", "\"report\":60001", "member report"},
        {"\"https://a.example\",", "\"http://a.example\",", "member nodes[0] is"},
        {"\"https://a.example\",", "7,", "member nodes[0] is"},
        {"\"https://a.example\",", "\"https://1\",\"https://2\",\"https://3\",\"https://4\",", "member nodes"},
        {"\"roster_seq\":7", "\"roster_seq\":9007199254740992", "member roster_seq"},
        {"[200,1000]", "[1000,200]", "member reconnect"},
        {"[200,1000]", "[-1,200]", "member reconnect"},
        {"[200,1000]", "[1,600001]", "member reconnect"},
        {"[200,1000]", "[200]", "member reconnect"},
        {"[200,1000]", "[200,\"1000\"]", "member reconnect"},
};

static void hello_refusals(void **state)
{
        (void)state;
        for (size_t i = 0; i < N(hello_changes); i++) {
                char *json = replaced(hello_text, hello_changes[i].find, hello_changes[i].with);
                struct error err = {""};
                struct hello h;

                assert_says(hello_decode(&h, json, strlen(json), &err), -EBADMSG, &err, hello_changes[i].says);
                free(json);
        }
}

static void hello_of_a_later_relay(void **state)
{
        char *json = replaced(hello_text, "\"v\":[1]", "\"v\":[1,2],\"new\":{}");
        struct error err = {""};
        struct hello h;

        (void)state;
        assert_int_equal(hello_decode(&h, json, strlen(json), &err), 0);
        free(json);
}

/* ---- events ---- */

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void request_event_round_trip(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(EVENT_MAX), later = BUFFER(EVENT_MAX);
        char text[SEALED_TEXT_LEN + 1], line[SEALED_TEXT_LEN + 1];
        static const char *const traces[] = {TRACE, "", ""};
        const bool lasts[] = {false, false, true};

        (void)state;
        sealed_text(text);
        sealed_event_text(line);
        for (size_t i = 0; i < N(traces); i++) {
                struct request_event in = {.id = ID1, .seq = 3, .budget = 8000, .last = lasts[i], .sealed = text},
                                     e = {0};
                struct error err = {""};

                memcpy(in.traceparent, traces[i], strlen(traces[i]) + 1);
                buffer_clear(&out);
                assert_int_equal(request_event_encode(&in, &out), 0);
                assert_int_equal(strncmp(out.data, ID1 " 3 8000 ", strlen(ID1 " 3 8000 ")), 0);
                assert_int_equal(lasts[i], strcmp(out.data + out.len - strlen(" last"), " last") == 0);
                assert_memory_equal(out.data + out.len - strlen(line) - lasts[i] * strlen(" last"), line, strlen(line));
                assert_int_equal(request_event_decode(&e, out.data, out.len, &err), 0);
                assert_int_equal(e.seq, 3);
                assert_int_equal(e.budget, 8000);
                assert_string_equal(e.traceparent, traces[i]);
                assert_int_equal(e.last, lasts[i]);
                assert_string_equal(e.sealed, text);
                request_event_clear(&e);
                assert_null(e.sealed);
                /* what a later relay may add behind it changes nothing */
                buffer_clear(&later);
                assert_int_equal(buffer_printf(&later, "%s more of it lasting", out.data), 0);
                assert_int_equal(request_event_decode(&e, later.data, later.len, &err), 0);
                assert_int_equal(e.last, lasts[i]);
                assert_string_equal(e.sealed, text);
                request_event_clear(&e);
        }
}

/* What is no sealed request is handed on as it came; sealed_read judges it. */
static const struct change request_changes[] = {
        {ID1, "a b", "does not begin with an id"},
        {ID1, "short", "does not begin with an id"},
        {ID1 " ", "", "does not begin with an id"},
        {" 3 ", " 0 ", "seq"},
        {" 3 ", " 3.0 ", "seq"},
        {" 3 ", " +3 ", "seq"},
        {" 3 ", " 9007199254740992 ", "seq"},
        {" 3 ", "  3 ", "seq"},
        {" 8000 ", " 15001 ", "budget"},
        {" 8000 ", " 0 ", "budget"},
        {" 8000 ", " 8e3 ", "budget"},
        {TRACE, "00-XYZ", "traceparent is malformed"},
        {TRACE, TRACE "0", "traceparent is malformed"},
        {TRACE, "--", "traceparent is malformed"},
        {" " TRACE " x y", "", "traceparent is malformed"},
};

static void request_event_refusals(void **state)
{
        static const char good[] = ID1 " 3 8000 " TRACE " x y";

        (void)state;
        for (size_t i = 0; i < N(request_changes); i++) {
                char *text = replaced(good, request_changes[i].find, request_changes[i].with);
                struct request_event e = {0};
                struct error err = {""};

                assert_says(request_event_decode(&e, text, strlen(text), &err), -EBADMSG, &err,
                            request_changes[i].says);
                assert_null(e.sealed);
                free(text);
        }
}

/* Only what has two lines can be an event. */
static void request_event_of_another_form(void **state)
{
        static const char *const texts[] = {"", "a", "a\n", "\n\n", "a\nb", "a\nb\nc\n", "a\n\n"};
        _cleanup_(buffer_free) struct buffer out = BUFFER(EVENT_MAX);

        (void)state;
        for (size_t i = 0; i < N(texts); i++) {
                _cleanup_(freep) char *text = strdup(texts[i]);
                struct request_event e = {.id = ID1, .seq = 1, .budget = 1, .sealed = text};

                assert_int_equal(request_event_encode(&e, &out), -EINVAL);
                assert_int_equal(out.len, 0);
        }
}

static void small_events(void **state)
{
        static const char cancel[] = "{\"id\":\"" ID1 "\"}", drain[] = "{\"reconnect\":[10,20]}",
                          roster[] = "{\"jws\":\"a.b.c\"}";
        struct error err = {""};
        char id[ID_MAX + 1];
        uint32_t min, max;
        char *jws = NULL;

        (void)state;
        assert_int_equal(cancel_event_decode(id, cancel, strlen(cancel), &err), 0);
        assert_string_equal(id, ID1);
        assert_int_equal(cancel_event_decode(id, "{\"id\":7}", 8, &err), -EBADMSG);
        assert_int_equal(drain_event_decode(&min, &max, drain, strlen(drain), &err), 0);
        assert_true(min == 10 && max == 20);
        assert_int_equal(drain_event_decode(&min, &max, "{}", 2, &err), -EBADMSG);
        assert_int_equal(roster_event_decode(&jws, roster, strlen(roster), &err), 0);
        assert_string_equal(jws, "a.b.c");
        free(jws);
        assert_int_equal(roster_event_decode(&jws, "{\"jws\":\"\"}", 10, &err), -EBADMSG);
        assert_int_equal(roster_event_decode(&jws, "{\"jws\":[]}", 10, &err), -EBADMSG);
}

/* ---- reports ---- */

static const char report_text[] =
        "{\"session\":\"" SESSION "\",\"boot\":\"" BOOT
        "\",\"granted\":256,\"ready\":{\"corp.example\":true,\"b.example\":false},"
        "\"reasons\":[\"no_dc: b.example\"],\"load\":0.250,\"statement\":\"a.b.c\",\"in_hand\":[\"" ID2
        "\"],\"items\":[{\"id\":\"" ID1 "\",\"is\":\"received\"},"
        "{\"id\":\"" ID1 "\",\"is\":\"declined\",\"why\":\"no_dc\"},{\"id\":\"" ID2
        "\",\"is\":\"verdict\",\"jwe\":\"a..b.c.d\"},{\"id\":\"" ID1 "\",\"is\":\"lost\"}]}";

static void report_round_trip(void **state)
{
        _cleanup_(buffer_free) struct buffer out = BUFFER(REPORT_MAX);
        struct error err = {""};
        struct report r;

        (void)state;
        assert_int_equal(report_decode(&r, report_text, strlen(report_text), &err), 0);
        assert_int_equal(r.granted, 256);
        assert_int_equal(r.n_realms, 2);
        assert_true(r.realms[0].ready && !r.realms[1].ready);
        assert_int_equal(r.n_items, 4);
        assert_int_equal(r.items[3].is, REPORT_LOST);
        assert_true(r.has_in_hand);
        assert_int_equal(r.n_in_hand, 1);
        assert_string_equal(r.in_hand[0], ID2);
        assert_int_equal(r.items[2].is, REPORT_VERDICT);
        assert_string_equal(r.items[2].jwe, "a..b.c.d");
        assert_int_equal(report_encode(&r, &out), 0);
        assert_string_equal(out.data, report_text);
        report_clear(&r);
        assert_null(r.items);
}

static const struct change report_changes[] = {
        {"\"boot\":\"" BOOT "\"", "\"boot\":\"AAAA\"", "member boot"},
        {"\"granted\":256", "\"granted\":-1", "member granted"},
        {"\"granted\":256,", "", "member granted is missing"},
        {"\"corp.example\":true", "\"corp.example\":1", "member ready[0]"},
        {"\"corp.example\":true", "\"\":true", "member ready[0]"},
        {"\"ready\":{", "\"ready\":[],\"x\":{", "member ready"},
        {"\"reasons\":[\"no_dc: b.example\"]", "\"reasons\":\"x\"", "member reasons"},
        {"\"no_dc: b.example\"", "\"\"", "member reasons[0] is empty"},
        {"\"load\":0.250", "\"load\":1.001", "member load"},
        {"\"load\":0.250", "\"load\":-0.1", "member load"},
        {"\"load\":0.250", "\"load\":\"0\"", "member load"},
        {"\"a.b.c\"", "\"a b c\"", "member statement"},
        {"\"a.b.c\"", "\"\"", "member statement"},
        {"\"is\":\"received\"", "\"is\":\"answered\"", "member items[0].is is no known word"},
        {"\"why\":\"no_dc\"", "\"why\":\"tired\"", "member items[1].why is no known word"},
        {",\"why\":\"no_dc\"", "", "member items[1].why is missing"},
        {"\"jwe\":\"a..b.c.d\"", "\"jwe\":\"a..b.c.d\\n\"", "member items[2].jwe is no compact JOSE text"},
        {",\"jwe\":\"a..b.c.d\"", "", "member items[2].jwe is missing"},
        {"[{\"id\":\"" ID1 "\",\"is\":\"received\"}", "[7", "member items[0] is not an object"},
        {"\"in_hand\":[\"" ID2 "\"]", "\"in_hand\":{}", "member in_hand is not an array"},
        {"\"in_hand\":[\"" ID2 "\"]", "\"in_hand\":[7]", "member in_hand[0] is not a"},
        {"\"in_hand\":[\"" ID2 "\"]", "\"in_hand\":[\"short\"]", "member in_hand[0] is not a"},
        {"\"session\":\"" SESSION "\"", "\"session\":null", "member session is not a string"},
};

static void report_refusals(void **state)
{
        (void)state;
        for (size_t i = 0; i < N(report_changes); i++) {
                char *json = replaced(report_text, report_changes[i].find, report_changes[i].with);
                struct error err = {""};
                struct report r = {0};

                assert_says(report_decode(&r, json, strlen(json), &err), -EBADMSG, &err, report_changes[i].says);
                assert_null(r.items);
                free(json);
        }
}

/* One list of n elements in a report, and whether it is taken. */
static void assert_list(const char *find, const char *head, const char *element, size_t n, int expected)
{
        _cleanup_(buffer_free) struct buffer list = BUFFER(1 << 20);
        struct error err = {""};
        struct report r;
        char *json;

        assert_int_equal(buffer_append_str(&list, head), 0);
        for (size_t i = 0; i < n; i++) {
                if (i)
                        assert_int_equal(buffer_append_char(&list, ','), 0);
                if (strstr(element, "%zu")) {
                        assert_int_equal(buffer_printf(&list, "\"r%zu\":true", i), 0);
                        continue;
                }
                assert_int_equal(buffer_append_str(&list, element), 0);
        }
        json = replaced(report_text, find, list.data);
        assert_int_equal(report_decode(&r, json, strlen(json), &err), expected);
        if (expected == 0)
                report_clear(&r);
        free(json);
}

static void report_limits(void **state)
{
        static const char items[] = "\"items\":[{\"id\":\"" ID1 "\",\"is\":\"received\"}";
        static const char element[] = "{\"id\":\"" ID1 "\",\"is\":\"received\"}";
        static const char ready[] = "\"ready\":{\"corp.example\":true,\"b.example\":false";

        (void)state;
        assert_list(items, "\"items\":[", element, REPORT_ITEMS_MAX - 3, 0);
        assert_list(items, "\"items\":[", element, REPORT_ITEMS_MAX - 2, -EBADMSG);
        assert_list(ready, "\"ready\":{", "%zu", REPORT_REALMS_MAX, 0);
        assert_list(ready, "\"ready\":{", "%zu", REPORT_REALMS_MAX + 1, -EBADMSG);
        assert_list("\"reasons\":[\"no_dc: b.example\"", "\"reasons\":[", "\"x\"", REPORT_REASONS_MAX, 0);
        assert_list("\"reasons\":[\"no_dc: b.example\"", "\"reasons\":[", "\"x\"", REPORT_REASONS_MAX + 1, -EBADMSG);
}

static void long_reason_is_cut(void **state)
{
        char *reason = repeated('x', 100), *json = replaced(report_text, "no_dc: b.example", reason);
        struct error err = {""};
        struct report r;

        (void)state;
        assert_int_equal(report_decode(&r, json, strlen(json), &err), 0);
        assert_int_equal(strlen(r.reasons[0]), 63);
        report_clear(&r);
        free(json);
        free(reason);
}

static void long_verdict_is_refused(void **state)
{
        char *jwe = repeated('a', VERDICT_JWE_MAX + 1), *json = replaced(report_text, "a..b.c.d", jwe);
        struct error err = {""};
        struct report r;

        (void)state;
        assert_says(report_decode(&r, json, strlen(json), &err), -EBADMSG, &err, "member items[2].jwe is too long");
        free(json);
        free(jwe);
}

static void declines(void **state)
{
        static const char *const moving[] = {"not_my_realm", "no_dc",   "full",     "draining",
                                             "stale_key",    "expired", "throttled"};
        static const char *const ending[] = {"bad_request", "replay"};

        (void)state;
        for (size_t i = 0; i < N(moving); i++)
                assert_true(decline_why_valid(moving[i]) && decline_may_move_on(moving[i]));
        for (size_t i = 0; i < N(ending); i++)
                assert_true(decline_why_valid(ending[i]) && !decline_may_move_on(ending[i]));
        assert_false(decline_why_valid("") || decline_why_valid("Full") || decline_may_move_on("unknown"));
}

/* ---- answers ---- */

static void answer_round_trip(void **state)
{
        static const char text[] = "{\"confirmed\":[\"" ID1 "\"],\"late\":[\"" ID2 "\",\"" ID1 "\"]}";
        _cleanup_(buffer_free) struct buffer out = BUFFER(4096);
        struct report_answer a;
        struct error err = {""};

        (void)state;
        assert_int_equal(report_answer_decode(&a, text, strlen(text), &err), 0);
        assert_int_equal(a.n_confirmed, 1);
        assert_int_equal(a.n_late, 2);
        assert_string_equal(a.late[0], ID2);
        assert_int_equal(report_answer_encode(&a, &out), 0);
        assert_string_equal(out.data, text);
        report_answer_clear(&a);
        assert_int_equal(report_answer_decode(&a, "{\"confirmed\":[],\"late\":[]}", 26, &err), 0);
        assert_null(a.confirmed);
        report_answer_clear(&a);
        static const char more[] = "{\"confirmed\":[],\"late\":[],\"reconnect\":[100,2000],\"report\":60000,"
                                   "\"quarantined\":true}";
        assert_int_equal(report_answer_decode(&a, more, strlen(more), &err), 0);
        assert_true(a.has_reconnect && a.reconnect_min == 100 && a.reconnect_max == 2000 && a.quarantined);
        assert_int_equal(a.report, 60000);
        buffer_clear(&out);
        assert_int_equal(report_answer_encode(&a, &out), 0);
        assert_string_equal(out.data, more);
        report_answer_clear(&a);
        static const char refused[] = "{\"confirmed\":[],\"late\":[],\"statement_refused\":{\"why\":\"invalid\","
                                      "\"detail\":\"it has expired\"}}";
        assert_int_equal(report_answer_decode(&a, refused, strlen(refused), &err), 0);
        assert_string_equal(a.refused.why, "invalid");
        assert_string_equal(a.refused.detail, "it has expired");
        buffer_clear(&out);
        assert_int_equal(report_answer_encode(&a, &out), 0);
        assert_string_equal(out.data, refused);
        report_answer_clear(&a);
        assert_says(report_answer_decode(&a, "{\"confirmed\":[],\"late\":[],\"statement_refused\":{}}", 49, &err),
                    -EBADMSG, &err, "why is missing");
        assert_says(report_answer_decode(&a, "{\"confirmed\":[],\"late\":[],\"reconnect\":[2,1]}", 44, &err), -EBADMSG,
                    &err, "ends before it begins");
        assert_says(report_answer_decode(&a, "{\"confirmed\":[],\"late\":[],\"report\":999}", 39, &err), -EBADMSG, &err,
                    "member report");
        assert_says(report_answer_decode(&a, "{\"confirmed\":[]}", 16, &err), -EBADMSG, &err, "late is missing");
        assert_says(report_answer_decode(&a, "{\"confirmed\":[7],\"late\":[]}", 27, &err), -EBADMSG, &err,
                    "confirmed[0] is not");
        assert_says(report_answer_decode(&a, "{\"confirmed\":{},\"late\":[]}", 26, &err), -EBADMSG, &err, "array");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hello_round_trip),
                cmocka_unit_test(hello_refusals),
                cmocka_unit_test(hello_of_a_later_relay),
                cmocka_unit_test(request_event_round_trip),
                cmocka_unit_test(request_event_refusals),
                cmocka_unit_test(request_event_of_another_form),
                cmocka_unit_test(small_events),
                cmocka_unit_test(report_round_trip),
                cmocka_unit_test(report_refusals),
                cmocka_unit_test(report_limits),
                cmocka_unit_test(long_reason_is_cut),
                cmocka_unit_test(long_verdict_is_refused),
                cmocka_unit_test(declines),
                cmocka_unit_test(answer_round_trip),
        };
        return cmocka_run_group_tests_name("queue/wire-link", tests, NULL, NULL);
}
