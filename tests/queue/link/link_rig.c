/*
 * The two sides of link_rig.h. Every request of the link is checked here as far as it is the same for all
 * tests.
 */
#include "tests/queue/link/link_rig.h"

#include <time.h>

/* Adds "a:b:c ", without what is NULL. */
static void note(char *log, const char *a, const char *b, const char *c)
{
        size_t used = strlen(log);

        (void)snprintf(log + used, LOG_MAX - used, "%s%s%s%s%s ", a, b ? ":" : "", b ? b : "", c ? ":" : "",
                       c ? c : "");
}

/* ---- the relay ---- */

void send_hello(struct test *t)
{
        char own[80], text[1024];

        (void)snprintf(own, sizeof(own), "[\"%s\"]", fake_relay_url(t->relay));
        (void)snprintf(text, sizeof(text),
                       "event: hello\ndata: "
                       "{\"session\":\"SESSION-00000000-%zu\",\"node\":\"%s\",\"v\":[1],\"now\":1800000000,"
                       "\"heartbeat\":10000,\"nodes\":%s,\"roster_seq\":1,\"reconnect\":%s}\n\n",
                       t->streams, t->node, t->nodes ? t->nodes : own, t->reconnect);
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
        if (t->drain_streams)
                fake_send(conn, "event: drain\ndata: {\"reconnect\":[0,0]}\n\n");
        if (t->close_streams)
                fake_close(conn);
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
        static const char *const is[] = {"?", "received", "declined", "verdict", "lost"};
        struct error err = {""};
        struct report r;

        assert_non_null(strcasestr(request->head, "content-type: application/json"));
        if (report_decode(&r, request->body, request->body_len, &err) < 0)
                fail_msg("%s", err.text);
        t->reports++;
        t->granted = r.granted;
        (void)snprintf(t->last, sizeof(t->last), "%s", request->body);
        if (strlen(t->all) + request->body_len + 1 < sizeof(t->all))
                (void)snprintf(t->all + strlen(t->all), sizeof(t->all) - strlen(t->all), "%s", request->body);
        for (size_t i = 0; i < r.n_items; i++) {
                note(t->items, r.items[i].id + 16, is[r.items[i].is], r.items[i].why[0] ? r.items[i].why : NULL);
        }
        if (t->hold_reports)
                t->waiting = conn;
        else
                answer_report(t, conn, &r);
        report_clear(&r);
}

void on_http(void *arg, struct fake_conn *conn, const struct fake_request *request)
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
        } else if (strcmp(request->path, "/.well-known/est/acme/simplereenroll") == 0) {
                t->enrolments++;
                (void)snprintf(t->enrolment, sizeof(t->enrolment), "%s", request->body);
                fake_answer_with(conn, t->enrol_status, "text/plain", t->enrol_fields, "busy");
        } else {
                fail_msg("%s %s", request->method, request->path);
        }
}

void send_request(struct test *t, const char *id, unsigned seq)
{
        char text[SEALED_TEXT_LEN + 256], sealed[SEALED_TEXT_LEN + 1];

        (void)snprintf(text, sizeof(text), "event: request\ndata: %s %u 8000 - %s\n\n", id, seq,
                       sealed_event_text(sealed));
        fake_send(t->stream, text);
}

/* ---- the validator ---- */

static void on_request(void *arg, const struct link_request *r)
{
        struct test *t = arg;

        assert_int_equal(strlen(r->sealed), r->n);
        assert_true(r->received_ms <= loop_now(t->loop));
        note(t->log, "request", r->id + 16, NULL);
        t->budget = r->budget_ms;
        t->told_last = r->last;
        (void)snprintf(t->sealed, sizeof(t->sealed), "%s", r->sealed);
        (void)snprintf(t->trace, sizeof(t->trace), "%s", r->traceparent);
        if (t->answer_at_once)
                link_verdict(t->link, r->id, "a..b.c.d", 0);
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

static const struct link_callbacks callbacks = {.on_request = on_request,
                                                .on_cancel = on_cancel,
                                                .on_confirmed = on_confirmed,
                                                .on_late = on_late,
                                                .on_roster = on_roster,
                                                .on_state = on_state,
                                                .on_identity = on_identity,
                                                .on_drained = on_drained};
const struct link_callbacks *const link_rig_callbacks = &callbacks;

/* ---- running ---- */

/* One turn of both sides, then ms on the fake clock. */
void turn(struct test *t, uint64_t ms)
{
        for (const struct test *each = t; each; each = each->beside)
                fake_relay_turn(each->relay);
        loop_run_once(t->loop);
        if (ms)
                loop_fake_advance(t->loop, ms);
}

/* Turns until the condition holds; the fake clock may move by at most limit_ms. Returns how far it moved. */
uint64_t until(struct test *t, condition_fn *condition, uint64_t limit_ms, const char *what)
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
                        fail_msg("not within %llu ms: %s (log %s, items %s, detail %s)", (unsigned long long)limit_ms,
                                 what, t->log, t->items, t->detail);
                if (time(NULL) - real > REAL_LIMIT_S)
                        fail_msg("not within %d s of real time: %s", REAL_LIMIT_S, what);
        }
        return loop_now(t->loop) - began;
}

void pass(struct test *t, uint64_t ms)
{
        for (uint64_t i = 0; i < ms; i++) {
                turn(t, 0);
                turn(t, 1);
        }
}

bool is_up(const struct test *t)
{
        return link_view(t->link).up && t->reports > 0;
}

bool is_down(const struct test *t)
{
        return !link_view(t->link).up && t->states > 0;
}

bool second_stream(const struct test *t)
{
        return t->streams == 2 && link_view(t->link).up;
}

bool was_confirmed(const struct test *t)
{
        return strstr(t->log, "confirmed:") != NULL;
}

bool was_requested(const struct test *t)
{
        return strstr(t->log, "request:") != NULL;
}

bool was_received(const struct test *t)
{
        return strstr(t->items, ":received") != NULL;
}

bool was_declined(const struct test *t)
{
        return strstr(t->items, ":declined") != NULL;
}

bool is_waiting(const struct test *t)
{
        return t->waiting != NULL;
}

bool has_drained(const struct test *t)
{
        return t->drained;
}

struct link_state state_of(uint32_t capacity)
{
        static const struct link_realm realms[] = {{"corp.example", true}};

        return (struct link_state){
                .capacity = capacity, .load = 0.5, .n_realms = 1, .realms = realms, .statement = "s.t.m"};
}

struct link_config config_of(struct test *t)
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

static struct test *new_test(const char *node)
{
        struct test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->node = node;
        t->stream_status = t->report_status = t->identity_status = 200;
        t->stream_type = "text/event-stream";
        (void)snprintf(t->reconnect, sizeof(t->reconnect), "[100,200]");
        return t;
}

struct test *begin_beside(struct test *t)
{
        struct test *other = new_test(t->beside ? "n3" : "n2");

        other->loop = t->loop;
        other->relay = fake_relay_beside(t->relay, t->beside ? 2 : 1, on_http, other);
        other->beside = t->beside;
        t->beside = other;
        return other;
}

int begin(void **state)
{
        struct test *t = new_test("n1");
        const struct link_state s = state_of(4);
        struct error err = {""};

        assert_int_equal(loop_new_fake(&t->loop), 0);
        t->relay = fake_relay_new(on_http, t);
        const struct link_config config = config_of(t);
        assert_int_equal(link_new(&t->link, &config, &err), 0);
        assert_int_equal(link_set_state(t->link, &s), 0);
        *state = t;
        return 0;
}

int begin_up(void **state)
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

int end(void **state)
{
        struct test *t = *state, *other;

        link_free(t->link);
        while ((other = t->beside)) {
                t->beside = other->beside;
                fake_relay_free(other->relay);
                free(other);
        }
        fake_relay_free(t->relay);
        loop_free(t->loop);
        free(t);
        return 0;
}
