/*
 * The link against a relay that does what the test says, on a fake clock: 25 s of silence take no time.
 */
#include "tests/unit/queue/fake_relay.h"

#include "tests/unit/queue/check.h"

#include <curl/curl.h>
#include <time.h>

#include "queue/link.h"

#define BOOT "AAAAAAAAAAAAAAAAAAAAAA"
#define ID1 "REQUEST-0000000001"
#define ID2 "REQUEST-0000000002"
#define ID3 "REQUEST-0000000003"
#define REAL_LIMIT_S 60 /* a test that waits longer has failed */
#define LOG_MAX 8192

struct test {
        struct loop *loop;
        struct fake_relay *relay;
        struct link *link;

        /* the relay's side */
        struct fake_conn *stream, *waiting; /* waiting: a report that is not answered yet */
        size_t streams, reports, identities;
        bool no_hello, hold_reports;
        int report_status, stream_status, identity_status;
        const char *stream_type, *answer; /* answer: of reports; NULL: confirms what came */
        char reconnect[32];
        uint64_t granted;
        char items[LOG_MAX];   /* "id:is:why " of all reports in order */
        char last[REPORT_MAX]; /* text of the last report */
        char announced[2048];

        /* the validator's side */
        char log[LOG_MAX]; /* "request:ID " and so on */
        enum link_down why;
        char detail[256];
        size_t states;
        bool drained, answer_at_once;
        uint32_t budget;
        char jwe[256], trace[64];
};

/* Adds "a:b:c ", without what is NULL. */
static void note(char *log, const char *a, const char *b, const char *c)
{
        size_t used = strlen(log);

        (void)snprintf(log + used, LOG_MAX - used, "%s%s%s%s%s ", a, b ? ":" : "", b ? b : "", c ? ":" : "",
                       c ? c : "");
}

/* ---- the relay ---- */

static void send_hello(struct test *t)
{
        char text[512];

        (void)snprintf(text, sizeof(text),
                       "event: hello\ndata: "
                       "{\"session\":\"SESSION-00000000-%zu\",\"node\":\"n1\",\"v\":[1],\"now\":1800000000,"
                       "\"heartbeat\":10000,\"nodes\":[\"%s\"],\"roster_seq\":1,\"reconnect\":%s}\n\n",
                       t->streams, fake_relay_url(t->relay), t->reconnect);
        fake_send(t->stream, text);
}

static void on_stream(struct test *t, struct fake_conn *conn)
{
        if (t->stream_status != 200) {
                t->streams++;
                fake_answer(conn, t->stream_status, "application/problem+json", "{}");
                return;
        }
        t->streams++;
        t->stream = conn;
        fake_stream(conn, t->stream_type);
        if (!t->no_hello)
                send_hello(t);
}

/* Confirms each verdict of the report. */
static void answer_report(struct test *t, struct fake_conn *conn, const struct report *r)
{
        struct report_answer a = {.confirmed = calloc(r->n_items + 1, sizeof(*a.confirmed))};
        _cleanup_(buffer_free) struct buffer out = BUFFER(REPORT_MAX);

        assert_non_null(a.confirmed);
        for (size_t i = 0; i < r->n_items; i++)
                if (r->items[i].is == REPORT_VERDICT)
                        memcpy(a.confirmed[a.n_confirmed++], r->items[i].id, ID_MAX + 1);
        assert_int_equal(report_answer_encode(&a, &out), 0);
        fake_answer(conn, t->report_status, "application/json", t->answer ? t->answer : out.data);
        report_answer_clear(&a);
}

static void on_report(struct test *t, struct fake_conn *conn, const struct fake_request *request)
{
        static const char *const is[] = {"?", "received", "declined", "verdict"};
        struct error err = {""};
        struct report r;

        assert_non_null(strcasestr(request->head, "content-type: application/json"));
        if (report_decode(&r, request->body, request->body_len, &err) < 0)
                fail_msg("%s", err.text);
        t->reports++;
        t->granted = r.granted;
        (void)snprintf(t->last, sizeof(t->last), "%s", request->body);
        for (size_t i = 0; i < r.n_items; i++) {
                note(t->items, r.items[i].id + 16, is[r.items[i].is],
                     r.items[i].why[0] ? r.items[i].why : NULL);
        }
        if (t->hold_reports)
                t->waiting = conn;
        else
                answer_report(t, conn, &r);
        report_clear(&r);
}

static void on_http(void *arg, struct fake_conn *conn, const struct fake_request *request)
{
        struct test *t = arg;

        if (strcmp(request->method, "GET") == 0 && strcmp(request->path, "/v1/link/stream?boot=" BOOT) == 0) {
                on_stream(t, conn);
        } else if (strcmp(request->method, "POST") == 0 && strcmp(request->path, "/v1/link/report") == 0) {
                on_report(t, conn, request);
        } else if (strcmp(request->method, "PUT") == 0 && strcmp(request->path, "/v1/link/identity") == 0) {
                t->identities++;
                (void)snprintf(t->announced, sizeof(t->announced), "%s", request->body);
                fake_answer(conn, t->identity_status, "application/json", "{}");
        } else {
                fail_msg("%s %s", request->method, request->path);
        }
}

static void send_request(struct test *t, const char *id, unsigned seq)
{
        char text[512];

        (void)snprintf(text, sizeof(text),
                       "event: request\ndata: "
                       "{\"id\":\"%s\",\"seq\":%u,\"budget\":8000,\"jwe\":{\"recipients\":[{}]}}\n\n",
                       id, seq);
        fake_send(t->stream, text);
}

/* ---- the validator ---- */

static void on_request(void *arg, const char *id, uint32_t budget_ms, uint64_t received_ms, const char *jwe,
                       size_t n, const char *traceparent)
{
        struct test *t = arg;

        assert_int_equal(strlen(jwe), n);
        assert_true(received_ms <= loop_now(t->loop));
        note(t->log, "request", id + 16, NULL);
        t->budget = budget_ms;
        (void)snprintf(t->jwe, sizeof(t->jwe), "%s", jwe);
        (void)snprintf(t->trace, sizeof(t->trace), "%s", traceparent);
        if (t->answer_at_once)
                link_verdict(t->link, id, "a..b.c.d", 0);
}

static void on_cancel(void *arg, const char *id)
{
        note(((struct test *)arg)->log, "cancel", id + 16, NULL);
}

static void on_confirmed(void *arg, const char *id)
{
        note(((struct test *)arg)->log, "confirmed", id + 16, NULL);
}

static void on_late(void *arg, const char *id)
{
        note(((struct test *)arg)->log, "late", id + 16, NULL);
}

static void on_roster(void *arg, const char *jws, size_t n)
{
        assert_int_equal(strlen(jws), n);
        char start[11];

        (void)snprintf(start, sizeof(start), "%s", jws);
        note(((struct test *)arg)->log, "roster", start, NULL);
}

static void on_state(void *arg, enum link_down why, const char *detail)
{
        struct test *t = arg;

        t->why = why;
        t->states++;
        (void)snprintf(t->detail, sizeof(t->detail), "%s", detail);
}

static void on_identity(void *arg, bool in_roster, const char *detail)
{
        note(((struct test *)arg)->log, in_roster ? "in-roster" : "pending", NULL, NULL);
        assert_true(*detail);
}

static void on_drained(void *arg)
{
        struct test *t = arg;

        assert_false(t->drained);
        t->drained = true;
}

static const struct link_callbacks callbacks = {on_request, on_cancel, on_confirmed, on_late,
                                                on_roster,  on_state,  on_identity,  on_drained};

/* ---- running ---- */

typedef bool condition_fn(const struct test *t);

/* One turn of both sides, then ms on the fake clock. */
static void turn(struct test *t, uint64_t ms)
{
        fake_relay_turn(t->relay);
        loop_run_once(t->loop);
        if (ms)
                loop_fake_advance(t->loop, ms);
}

/* Turns until the condition holds; the fake clock may move by at most limit_ms. Returns how far it moved. */
static uint64_t until(struct test *t, condition_fn *condition, uint64_t limit_ms, const char *what)
{
        uint64_t began = loop_now(t->loop);
        time_t real = time(NULL);

        while (!condition(t)) {
                /* the clock stands still while bytes are on their way, so that no timeout overtakes them */
                for (int i = 0; i < 20 && !condition(t); i++)
                        turn(t, 0);
                if (condition(t))
                        break;
                turn(t, 1);
                if (loop_now(t->loop) - began > limit_ms)
                        fail_msg("not within %llu ms: %s (log %s, items %s, detail %s)",
                                 (unsigned long long)limit_ms, what, t->log, t->items, t->detail);
                if (time(NULL) - real > REAL_LIMIT_S)
                        fail_msg("not within %d s of real time: %s", REAL_LIMIT_S, what);
        }
        return loop_now(t->loop) - began;
}
#define UNTIL(t, condition, limit_ms) until((t), (condition), (limit_ms), #condition)

static void pass(struct test *t, uint64_t ms)
{
        for (uint64_t i = 0; i < ms; i++) {
                turn(t, 0);
                turn(t, 1);
        }
}

static bool is_up(const struct test *t)
{
        return link_is_up(t->link) && t->reports > 0;
}

static bool is_down(const struct test *t)
{
        return !link_is_up(t->link) && t->states > 0;
}

static bool second_stream(const struct test *t)
{
        return t->streams == 2 && link_is_up(t->link);
}

static bool was_confirmed(const struct test *t)
{
        return strstr(t->log, "confirmed:") != NULL;
}

static bool was_requested(const struct test *t)
{
        return strstr(t->log, "request:") != NULL;
}

static bool was_received(const struct test *t)
{
        return strstr(t->items, ":received") != NULL;
}

static bool was_declined(const struct test *t)
{
        return strstr(t->items, ":declined") != NULL;
}

static bool is_waiting(const struct test *t)
{
        return t->waiting != NULL;
}

static bool has_drained(const struct test *t)
{
        return t->drained;
}

static struct link_state state_of(uint32_t capacity)
{
        static const struct link_realm realms[] = {{"corp.example", true}};

        return (struct link_state){
                .capacity = capacity, .load = 0.5, .n_realms = 1, .realms = realms, .statement = "s.t.m"};
}

static struct link_config config_of(struct test *t)
{
        return (struct link_config){.loop = t->loop,
                                    .relay = fake_relay_url(t->relay),
                                    .boot = BOOT,
                                    .cert_pem = fake_relay_cert(t->relay),
                                    .key_pem = fake_relay_key(t->relay),
                                    .ca_pem = fake_relay_ca(t->relay),
                                    .proxy = "",
                                    .callbacks = &callbacks,
                                    .arg = t};
}

static int begin(void **state)
{
        struct test *t = calloc(1, sizeof(*t));
        const struct link_state s = state_of(4);
        struct error err = {""};

        assert_non_null(t);
        t->stream_status = t->report_status = t->identity_status = 200;
        t->stream_type = "text/event-stream";
        (void)snprintf(t->reconnect, sizeof(t->reconnect), "[100,200]");
        assert_int_equal(loop_new_fake(&t->loop), 0);
        t->relay = fake_relay_new(on_http, t);
        const struct link_config config = config_of(t);
        assert_int_equal(link_new(&t->link, &config, &err), 0);
        assert_int_equal(link_set_state(t->link, &s), 0);
        *state = t;
        return 0;
}

static int begin_up(void **state)
{
        struct test *t;

        assert_int_equal(begin(state), 0);
        t = *state;
        link_start(t->link);
        UNTIL(t, is_up, 1000);
        /* let the answer to the first report come back */
        pass(t, 20);
        return 0;
}

static int end(void **state)
{
        struct test *t = *state;

        link_free(t->link);
        fake_relay_free(t->relay);
        loop_free(t->loop);
        free(t);
        return 0;
}

/* ---- tests ---- */

static void nothing_before_the_start(void **state)
{
        struct test *t = *state;

        pass(t, 100);
        assert_int_equal(fake_relay_accepted(t->relay), 0);
        assert_false(link_is_up(t->link));
}

static void first_report_says_all(void **state)
{
        struct test *t = *state;

        assert_int_equal(t->why, LINK_UP);
        assert_int_equal(t->reports, 1);
        assert_non_null(strstr(
                t->last, "\"granted\":4,\"ready\":{\"corp.example\":true},\"reasons\":[],\"load\":0.500,"
                         "\"statement\":\"s.t.m\",\"items\":[]"));
        assert_non_null(strstr(t->last, "\"session\":\"SESSION-00000000-1\",\"boot\":\"" BOOT "\""));
}

static void a_sign_in(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        assert_string_equal(t->log, "request:01 ");
        assert_int_equal(t->budget, 8000);
        assert_string_equal(t->jwe, "{\"recipients\":[{}]}");
        assert_string_equal(t->trace, "");
        assert_int_equal(link_in_hand(t->link), 1);
        assert_int_equal(t->granted, 4); /* 1 seen + 4 - 1 in hand */
        link_verdict(t->link, ID1, "a..b.c.d", 0);
        assert_int_equal(link_in_hand(t->link), 0);
        assert_int_equal(link_undelivered(t->link), 1);
        UNTIL(t, was_confirmed, 100);
        assert_string_equal(t->items, "01:received 01:verdict ");
        assert_non_null(strstr(t->last, "\"jwe\":\"a..b.c.d\""));
        assert_null(strstr(t->last, "statement")); /* the relay has it */
        assert_int_equal(t->granted, 5);
        assert_int_equal(link_undelivered(t->link), 0);
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
        assert_string_equal(t->items,
                            "01:received 02:received 03:received 03:declined:no_dc 01:verdict 02:verdict ");
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
        assert_int_equal(link_undelivered(t->link), 0);
}

static void reports_at_least_every_five_seconds(void **state)
{
        struct test *t = *state;

        pass(t, 20000);
        assert_true(t->reports >= 5);
        assert_true(t->reports <= 7);
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
        assert_closed_for(*state, "member seq is missing");
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
        assert_true(link_is_up(t->link));
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
        assert_true(link_is_up(t->link));
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
        assert_true(link_is_up(t->link));
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
        assert_int_equal(link_undelivered(t->link), 1);
        assert_non_null(strstr(strstr(t->items, ":verdict") + 1, ":verdict"));
        pass(t, 3000);
        assert_int_equal(link_undelivered(t->link), 0);
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
        assert_int_equal(link_in_hand(t->link), 0);
        assert_int_equal(t->granted, 5);
}

static void a_lost_validator_gives_its_credit_back(void **state)
{
        struct test *t = *state;

        send_request(t, ID1, 1);
        UNTIL(t, was_received, 100);
        link_lost(t->link);
        assert_int_equal(link_in_hand(t->link), 0);
        pass(t, 50);
        assert_int_equal(t->granted, 5);
        assert_null(strstr(t->items, "declined"));
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
        assert_int_equal(link_undelivered(t->link), 2);
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
        link_verdict(t->link, ID2, "a..b.c.2", loop_now(t->loop) + 999999999);
        link_start(t->link);
        pass(t, 8000);
        assert_int_equal(link_undelivered(t->link), 1);
        assert_int_equal(t->why, LINK_DOWN_TRANSPORT);
        fake_relay_listen(t->relay, true);
        UNTIL(t, was_confirmed, 31000);
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
        assert_false(link_is_up(t->link));
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
        assert_int_equal(fake_relay_open(t->relay),
                         1); /* the stream is gone; libcurl keeps the other one idle */
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
                cmocka_unit_test_setup_teardown(first_report_says_all, begin_up, end),
                cmocka_unit_test_setup_teardown(a_sign_in, begin_up, end),
                cmocka_unit_test_setup_teardown(what_finishes_meanwhile_shares_the_next_report, begin_up,
                                                end),
                cmocka_unit_test_setup_teardown(late_is_told, begin_up, end),
                cmocka_unit_test_setup_teardown(reports_at_least_every_five_seconds, begin_up, end),
                cmocka_unit_test_setup_teardown(credit_is_a_ceiling, begin_up, end),
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
                cmocka_unit_test_setup_teardown(verdict_survives_a_reconnect, begin_up, end),
                cmocka_unit_test_setup_teardown(work_in_hand_hurries_a_reconnect, begin_spread, end),
                cmocka_unit_test_setup_teardown(unknown_session_opens_a_new_one, begin_up, end),
                cmocka_unit_test_setup_teardown(failing_reports_are_tried_again, begin_up, end),
                cmocka_unit_test_setup_teardown(refused_report_ends_the_session, begin_up, end),
                cmocka_unit_test_setup_teardown(malformed_answer_ends_the_session, begin_up, end),
                cmocka_unit_test_setup_teardown(an_unanswered_verdict_lapses, begin_up, end),
                cmocka_unit_test_setup_teardown(a_silent_validator_leaks_no_credit, begin_up, end),
                cmocka_unit_test_setup_teardown(a_lost_validator_gives_its_credit_back, begin_up, end),
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
                cmocka_unit_test_setup_teardown(bad_states_change_nothing, begin_up, end),
                cmocka_unit_test_setup_teardown(bad_configs, begin, end),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("queue/link", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
