/*
 * The link process between a relay and a validator, both played by the test: every frame that passes, and
 * what happens without a validator.
 */
#include "tests/queue/link/link_rig.h"

#include <curl/curl.h>

#include "base/core/text.h"
#include "connector/frames/frames.h"
#include "connector/link/bridge.h"

struct desk {
        struct test *t; /* the relay's side, and the loop */
        struct bridge b;
        struct ipc *validator, *ledger, *supervisor; /* our ends */
        bool closed, drained;
        /* what the validator and the ledger got, in order */
        char frames[LOG_MAX];
        char sealed[SEALED_TEXT_LEN + 1], trace[64], status[2048];
        uint64_t budget, received, roster_total;
        int64_t relay_wall;
        struct buffer roster;
        size_t roster_parts;
};

static void add(struct desk *d, const char *what, const struct msg_in *m)
{
        char id[ID_MAX + 1] = "";
        size_t used = strlen(d->frames);

        (void)msg_get_str(m, TAG_ID, id, sizeof(id));
        (void)snprintf(d->frames + used, sizeof(d->frames) - used, "%s%s%s ", what, *id ? ":" : "", *id ? id + 16 : "");
}

static void take_roster(struct desk *d, const struct msg_in *m)
{
        size_t n;
        const uint8_t *text = msg_get_bytes(m, TAG_ROSTER, &n);

        assert_int_equal(msg_get_u64(m, TAG_PART, 999), d->roster_parts);
        assert_true(n > 0 && n <= ROSTER_PART_MAX);
        d->roster_total = msg_get_u64(m, TAG_TOTAL, 0);
        d->roster_parts++;
        assert_int_equal(buffer_append(&d->roster, text, n), 0);
}

static void on_validator(void *arg, const struct msg_in *m, int fd)
{
        struct desk *d = arg;
        const uint8_t *sealed;
        size_t n;

        assert_int_equal(fd, -1);
        switch (m->type) {
        case FRAME_REQUEST:
                add(d, "request", m);
                sealed = msg_get_bytes(m, TAG_SEALED, &n);
                (void)snprintf(d->sealed, sizeof(d->sealed), "%.*s", (int)n, (const char *)sealed);
                d->budget = msg_get_u64(m, TAG_BUDGET, 0);
                d->received = msg_get_u64(m, TAG_RECEIVED, 0);
                assert_false(msg_has(m, TAG_TRACE));
                break;
        case FRAME_CANCEL:
                add(d, "cancel", m);
                break;
        case FRAME_CONFIRMED:
                add(d, "confirmed", m);
                break;
        case FRAME_LATE:
                add(d, "late", m);
                break;
        case FRAME_ROSTER:
                take_roster(d, m);
                break;
        case FRAME_CLOCK:
                d->relay_wall = (int64_t)msg_get_u64(m, TAG_WALL, 0);
                assert_true(msg_get_u64(m, TAG_RECEIVED, 0) <= loop_now(d->t->loop));
                break;
        default:
                fail_msg("frame %u", m->type);
        }
}

static void on_ledger(void *arg, const struct msg_in *m, int fd)
{
        struct desk *d = arg;

        assert_int_equal(fd, -1);
        if (m->type == FRAME_STATUS)
                assert_int_equal(msg_get_str(m, TAG_TEXT, d->status, sizeof(d->status)), 0);
        else
                assert_int_equal(m->type, FRAME_EVENT);
}

static void on_closed(void *arg, const char *why)
{
        struct desk *d = arg;

        (void)why;
        d->closed = true;
}

/* A channel of which the bridge gets one end. */
static struct ipc *open_channel(struct desk *d, int (*open)(struct bridge *, int), ipc_frame_fn *fn)
{
        struct ipc *ours = NULL;
        int fds[2];

        assert_int_equal(ipc_pair(fds), 0);
        assert_int_equal(ipc_new(&ours, d->t->loop, fds[0], fn, on_closed, d), 0);
        assert_int_equal(open(&d->b, fds[1]), 0);
        return ours;
}

static int set_up(void **state)
{
        struct desk *d = calloc(1, sizeof(*d));
        struct link_config config;
        struct error err = {""};
        void *t = NULL;

        assert_non_null(d);
        assert_int_equal(begin(&t), 0);
        d->t = t;
        d->roster = BUFFER(1 << 20);
        link_free(d->t->link);
        d->b.validator_fd = -1;
        d->b.process.loop = d->t->loop;
        d->b.process.table = &posternd_frames;
        d->b.process.part = PART_LINK;
        assert_int_equal(text_set(&d->b.relay, fake_relay_url(d->t->relay)), 0);
        config = config_of(d->t);
        config.callbacks = &bridge_callbacks;
        config.arg = &d->b;
        assert_int_equal(link_new(&d->b.link, &config, &err), 0);
        d->t->link = d->b.link;
        d->validator = open_channel(d, bridge_open_validator, on_validator);
        d->ledger = open_channel(d, bridge_open_ledger, on_ledger);
        *state = d;
        return 0;
}

static int tear_down(void **state)
{
        struct desk *d = *state;
        void *t = d->t;

        ipc_free(d->b.validator);
        ipc_free(d->b.ledger);
        ipc_free(d->validator);
        ipc_free(d->ledger);
        free(d->b.relay);
        buffer_free(&d->roster);
        free(d);
        return end(&t);
}

static void say(struct desk *d, const struct msg_out *m)
{
        assert_int_equal(ipc_send(d->validator, m), 0);
}

static void say_state(struct desk *d, const char *realms, const char *reasons)
{
        struct msg_out m;

        msg_begin(&m, FRAME_STATE);
        msg_u64(&m, TAG_CAPACITY, 4);
        msg_u64(&m, TAG_LOAD, 250);
        msg_bytes(&m, TAG_REALMS, realms, strlen(realms));
        msg_bytes(&m, TAG_REASONS, reasons, strlen(reasons));
        msg_str(&m, TAG_STATEMENT, "s.t.m");
        msg_str(&m, TAG_IDENTITY, "{\"kty\":\"EC\"}");
        msg_str(&m, TAG_PROOF, "p.r.f");
        msg_u64(&m, TAG_IN_ROSTER, 1);
        say(d, &m);
}

static void say_verdict(struct desk *d, const char *id, const char *jwe, uint64_t deadline)
{
        struct msg_out m;

        msg_begin(&m, FRAME_VERDICT);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_JWE, jwe);
        msg_u64(&m, TAG_DEADLINE, deadline);
        say(d, &m);
}

static void say_declined(struct desk *d, const char *id, const char *why)
{
        struct msg_out m;

        msg_begin(&m, FRAME_DECLINED);
        msg_str(&m, TAG_ID, id);
        msg_str(&m, TAG_WHY, why);
        say(d, &m);
}

/* Up, with the validator's state reported. */
static struct desk *start(void **state)
{
        struct desk *d = *state;

        say_state(d, "corp.example=1\nb.example=0\n", "no_dc: b.example\n");
        pass(d->t, 5);
        link_start(d->b.link);
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
        /* a new one takes over */
        d->frames[0] = '\0';
        d->validator = open_channel(d, bridge_open_validator, on_validator);
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
        d->validator = open_channel(d, bridge_open_validator, on_validator);
        pass(d->t, 10);
        assert_true(d->closed);
        ipc_free(old);
        assert_int_equal(link_in_hand(d->b.link), 0);
        pass(d->t, 50);
        assert_string_equal(d->t->items, "01:received 01:lost ");
}

static void say_held(struct desk *d, const char *id)
{
        struct msg_out m;

        msg_begin(&m, FRAME_HELD);
        msg_str(&m, TAG_ID, id);
        msg_u64(&m, TAG_DEADLINE, loop_now(d->t->loop) + 5000);
        say(d, &m);
}

/* A new link process does not say what it has before a validator told it, and then has all of that. */
static void what_a_validator_has_from_before(void **state)
{
        struct desk *d = *state;

        link_start(d->b.link);
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
        assert_int_equal(link_in_hand(d->b.link), 1);
}

static void verdicts_again_after_a_restart_of_the_link(void **state)
{
        struct desk *d = *state;

        say_state(d, "corp.example=1\n", "");
        say_verdict(d, ID1, "a..b.c.d", loop_now(d->t->loop) + 5000);
        pass(d->t, 5);
        link_start(d->b.link);
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

static void on_supervisor(void *arg, const struct msg_in *m, int fd)
{
        struct desk *d = arg;

        assert_int_equal(fd, -1);
        assert_int_equal(m->type, FRAME_DRAINED);
        assert_false(d->drained);
        d->drained = true;
}

static char no_proxy[] = "";

static int open_control(struct bridge *b, int fd)
{
        return ipc_new(&b->process.control, b->process.loop, fd, on_supervisor, on_closed, NULL);
}

static int set_up_second(void **state)
{
        struct error err = {""};
        struct desk *d;
        struct bridge *b;

        assert_int_equal(set_up(state), 0);
        d = *state;
        b = &d->b;
        d->supervisor = open_channel(d, open_control, on_supervisor);
        b->config = calloc(1, sizeof(*b->config));
        assert_non_null(b->config);
        b->config->proxy = no_proxy;
        b->boot = strdup(BOOT);
        b->key = BUFFER_SECRET(16384);
        b->cert = BUFFER(16384);
        assert_int_equal(link_host_new(&b->host, d->t->loop, fake_relay_ca(d->t->relay), "", &err), 0);
        return 0;
}

static int tear_down_second(void **state)
{
        struct desk *d = *state;
        struct bridge *b = &d->b;

        link_free(b->second);
        link_free(b->old);
        link_free(b->link);
        d->t->link = NULL;
        ipc_free(d->supervisor);
        ipc_free(b->process.control);
        link_host_free(b->host);
        free(b->config);
        free(b->boot);
        buffer_free(&b->key);
        buffer_free(&b->cert);
        return tear_down(state);
}

static void open_second(struct desk *d)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER_SECRET(16384);
        struct error err = {""};

        assert_int_equal(buffer_append_str(&text, fake_relay_key(d->t->relay)), 0);
        assert_int_equal(buffer_append_str(&text, fake_relay_cert(d->t->relay)), 0);
        if (bridge_open_second(&d->b, &text, NULL, &err) < 0)
                fail_msg("%s", err.text);
}

/* ms go by, and the process looks at its links each second. */
static void pass_looking(struct desk *d, uint64_t ms)
{
        for (; ms >= 1000; ms -= 1000) {
                pass(d->t, 1000);
                bridge_look_at_old(&d->b, loop_now(d->t->loop));
        }
}

static bool old_is_there(const struct test *t)
{
        return t->streams == 2;
}

/* The second is up, and its first report is not answered. */
static struct desk *start_second(void **state)
{
        struct desk *d = start(state);
        struct link *first = d->b.link;

        d->t->hold_reports = true;
        open_second(d);
        UNTIL(d->t, old_is_there, 1000);
        pass(d->t, 100);
        assert_ptr_equal(d->b.old, first);
        assert_null(d->b.second);
        d->t->link = d->b.link;
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
        assert_non_null(d->b.old);
        assert_null(strstr(d->t->last, "draining"));
        assert_true(link_is_up(d->b.old));
        answer_what_waits(d);
        pass_looking(d, 3000);
        assert_null(d->b.old);
        assert_true(link_is_heard(d->b.link));
        assert_int_equal(d->t->streams, 2);
}

/* It may be heard, and its answers lost: the old one must not look like a clone's to the relay. */
static void the_old_one_does_not_serve_for_ever(void **state)
{
        struct desk *d = start_second(state);

        pass_looking(d, 12000);
        assert_null(d->b.old);
}

/* Its session breaks off meanwhile: it delivers what it has as one that is on its way out, and ends. */
static void an_old_one_that_breaks_off_only_delivers(void **state)
{
        struct desk *d = start(state);
        struct fake_conn *stream = d->t->stream;
        struct link *first = d->b.link;

        send_request(d->t, ID1, 1);
        UNTIL(d->t, was_received, 100);
        open_second(d);
        UNTIL(d->t, old_is_there, 1000);
        pass(d->t, 100);
        assert_ptr_equal(d->b.old, first);
        d->t->link = d->b.link;
        fake_close(stream);
        pass(d->t, 2000);
        assert_int_equal(d->t->streams, 3);
        assert_non_null(strstr(d->t->last, "draining"));
        say_verdict(d, ID1, "a..b.c.d", loop_now(d->t->loop) + 5000);
        pass(d->t, 2000);
        assert_non_null(strstr(d->t->items, "01:verdict "));
        assert_non_null(strstr(d->frames, "confirmed:01 "));
        assert_null(d->b.old);
        assert_true(link_is_up(d->b.link));
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
        bridge_drain(&d->b, 8000);
        assert_null(d->b.second);
        pass(d->t, 2000);
        assert_true(d->drained);
}

static void a_stop_while_the_old_one_serves(void **state)
{
        struct desk *d = start_second(state);

        d->b.process.draining = true;
        bridge_drain(&d->b, 8000);
        pass(d->t, 1000);
        assert_null(d->b.old);
        assert_false(d->drained);
        answer_what_waits(d);
        pass(d->t, 1000);
        assert_true(d->drained);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(state_becomes_a_report, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_sign_in, set_up, tear_down),
                cmocka_unit_test_setup_teardown(cancel_late_and_declined, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_long_roster_in_parts, set_up, tear_down),
                cmocka_unit_test_setup_teardown(without_a_validator, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_validator_that_is_replaced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_a_validator_has_from_before, set_up, tear_down),
                cmocka_unit_test_setup_teardown(verdicts_again_after_a_restart_of_the_link, set_up, tear_down),
                cmocka_unit_test_setup_teardown(malformed_frames, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_old_one_serves_until_the_new_one_is_heard, set_up_second,
                                                tear_down_second),
                cmocka_unit_test_setup_teardown(the_old_one_does_not_serve_for_ever, set_up_second, tear_down_second),
                cmocka_unit_test_setup_teardown(an_old_one_that_breaks_off_only_delivers, set_up_second,
                                                tear_down_second),
                cmocka_unit_test_setup_teardown(no_validator_is_said_on_both, set_up_second, tear_down_second),
                cmocka_unit_test_setup_teardown(a_stop_in_the_middle, set_up_second, tear_down_second),
                cmocka_unit_test_setup_teardown(a_stop_while_the_old_one_serves, set_up_second, tear_down_second),
        };
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return 1;
        r = cmocka_run_group_tests_name("link/bridge", tests, NULL, NULL);
        curl_global_cleanup();
        return r;
}
