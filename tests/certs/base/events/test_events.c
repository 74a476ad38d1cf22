/*
 * Records as lines: what is written, that no value forges anything, and the queue in front of a scribe that is slow,
 * gone, back, and hangs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/text.h"
#include "base/events/events.h"

static const struct events_origin origin = {
        .host = "host-1", .program = "postern", .version = "1.0", .run = 1800000000, .pid = 7};

static struct events_record record(void)
{
        return (struct events_record){
                .wall = 1800000001, .kind = "sign_in", .sentence = "a sign-in was refused", .level = LOG_LEVEL_INFO};
}

static const char *render(enum events_form form, const struct events_record *r)
{
        static char out[EVENTS_LINE_MAX + 1];
        const size_t n = events_render(out, form, &origin, 3, r);

        assert_true(n > 0 && n <= EVENTS_LINE_MAX);
        assert_true(utf8_valid(out, n));
        out[n] = '\0';
        assert_int_equal(strlen(out), n);
        return out;
}

static void test_members(void **state)
{
        struct events_record r = record();

        (void)state;
        events_text(&r, "user", "alice");
        events_text(&r, "none", NULL);
        events_text(&r, "empty", "");
        events_number(&r, "ms", -5);
        events_bool(&r, "proved", true);
        assert_string_equal(
                render(EVENTS_JSON, &r),
                "{\"v\":1,\"time\":\"2027-01-15T08:00:01Z\",\"host\":\"host-1\",\"program\":\"postern\",\"run\":"
                "1800000000,\"number\":3,\"kind\":\"sign_in\",\"user\":\"alice\",\"ms\":-5,\"proved\":true}\n");
        r.notice = true;
        assert_string_equal(
                render(EVENTS_SYSLOG, &r),
                "<85>1 2027-01-15T08:00:01Z host-1 postern 7 sign_in [meta sequenceId=\"3\"][origin "
                "software=\"postern\" swVersion=\"1.0\"][postern@32473 v=\"1\" run=\"1800000000\" number=\"3\" "
                "user=\"alice\" ms=\"-5\" proved=\"true\"] a sign-in was refused");
        r.level = LOG_LEVEL_WARNING;
        assert_memory_equal(render(EVENTS_SYSLOG, &r), "<84>1 ", 6);
}

/* Line ends, quotes, brackets, direction marks, bytes that are no UTF-8: nothing ends a value but its end. */
static void test_hostile_values(void **state)
{
        static const char hostile[] = "a\"],b\n<13>1 - - -\r\\\t\x7f\xc2\x85\xe2\x80\xae\xff\xc3(\xe2\x80\xa8"
                                      "é";
        struct events_record r = record();

        (void)state;
        events_text(&r, "x", hostile);
        events_text(&r, "y", "1");
        const char *json = render(EVENTS_JSON, &r);
        assert_non_null(strstr(json, ",\"x\":\"a\\\"],b\\u000a<13>1 - - -\\u000d\\\\\\u0009\\u007f\\u0085\\u202e"
                                     "\xEF\xBF\xBD\xEF\xBF\xBD(\\u2028é\",\"y\":\"1\"}\n"));
        assert_ptr_equal(strchr(json, '\n'), json + strlen(json) - 1);
        const char *syslog = render(EVENTS_SYSLOG, &r);
        assert_non_null(strstr(syslog, " x=\"a\\\"\\],b\\\\u000a<13>1 - - -\\\\u000d\\\\\\\\u0009\\\\u007f\\\\u0085"
                                       "\\\\u202e\xEF\xBF\xBD\xEF\xBF\xBD(\\\\u2028é\" y=\"1\"] a sign-in"));
        for (const char *c = syslog; *c; c++)
                assert_true((unsigned char)*c >= ' ');
}

static void test_bounds(void **state)
{
        static char big[EVENTS_LINE_MAX], quotes[EVENTS_LINE_MAX];
        struct events_record r = record();

        (void)state;
        memset(big, 'b', sizeof(big));
        memset(quotes, '"', sizeof(quotes));
        events_bytes(&r, "big", big, sizeof(big));
        events_bytes(&r, "quotes", quotes, sizeof(quotes));
        assert_non_null(strstr(render(EVENTS_JSON, &r), "bbb...\",\"quotes\":\"\\\""));
        assert_non_null(strstr(render(EVENTS_JSON, &r), "\\\"...\"}\n"));
        while (r.n < EVENTS_FIELDS_MAX)
                events_bytes(&r, "more", big, sizeof(big));
        events_text(&r, "beyond", "x");
        assert_non_null(strstr(render(EVENTS_JSON, &r), ",\"cut\":true}\n"));
        assert_non_null(strstr(render(EVENTS_SYSLOG, &r), " cut=\"true\"] a sign-in was refused"));
        r.wall = INT64_MAX; /* no year that is one: still a line */
        (void)render(EVENTS_JSON, &r);
        (void)render(EVENTS_SYSLOG, &r);
}

/* ---- the queue, with this test as its scribe ---- */

struct rig {
        struct loop *loop;
        struct events_outlet *outlet;
        int scribe; /* its end */
        size_t taken;
        unsigned long gap, last; /* records that a gap told of; the number of the latest line */
};

static void open_channel(struct rig *g)
{
        int pair[2];

        if (g->scribe >= 0)
                (void)close(g->scribe);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        g->scribe = pair[1];
        events_outlet_open(g->outlet, pair[0]);
}

static void rig_up(struct rig *g, enum events_form form)
{
        *g = (struct rig){.scribe = -1};
        assert_int_equal(loop_new_fake(&g->loop), 0);
        const struct events_outlet_config config = {.loop = g->loop, .form = form, .origin = &origin};
        assert_int_equal(events_outlet_new(&g->outlet, &config), 0);
}

static void rig_down(struct rig *g)
{
        g->outlet = events_outlet_free(g->outlet);
        if (g->scribe >= 0)
                (void)close(g->scribe);
        loop_free(g->loop);
}

static void put_n(struct rig *g, size_t n)
{
        struct events_record r = record();

        for (size_t i = 0; i < n; i++)
                events_outlet_put(g->outlet, &r);
}

/* Takes at most n lines that came; how many. */
static size_t take(struct rig *g, size_t n)
{
        static char line[EVENTS_LINE_MAX + 1];
        size_t i = 0;
        ssize_t got;

        for (; i < n && (got = recv(g->scribe, line, sizeof(line) - 1, 0)) > 0; i++) {
                line[got] = '\0';
                assert_memory_equal(line, "{\"v\":1,", 7);
                assert_string_equal(line + got - 2, "}\n");
                const char *number = strstr(line, "\"number\":"), *gap = strstr(line, "\"kind\":\"gap\",\"lost\":");
                if (gap)
                        g->gap += strtoul(gap + 20, NULL, 10);
                else
                        g->last = strtoul(number + 9, NULL, 10);
        }
        g->taken += i;
        return i;
}

static void say(struct rig *g, size_t done, size_t refused, const char *why)
{
        struct events_word w = {.done = (uint32_t)done, .refused = (uint32_t)refused};

        (void)snprintf(w.why, sizeof(w.why), "%s", why);
        assert_int_equal(send(g->scribe, &w, sizeof(w), 0), sizeof(w));
        loop_run_once(g->loop);
}

static void turn(struct rig *g)
{
        loop_fake_advance(g->loop, 100);
        loop_run_once(g->loop);
}

static struct events_state state_of(const struct rig *g)
{
        struct events_state s;

        events_outlet_state(g->outlet, &s);
        return s;
}

static void take_all(struct rig *g)
{
        size_t n;

        while (turn(g), (n = take(g, 1000)) > 0)
                say(g, n, 0, "");
}

static void test_lines_go_out(void **state)
{
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_JSON);
        put_n(&g, 3);
        turn(&g);
        assert_false(state_of(&g).open);
        assert_int_equal(state_of(&g).waiting, 3);
        open_channel(&g);
        turn(&g);
        assert_int_equal(take(&g, 10), 3);
        assert_int_equal(state_of(&g).waiting, 3); /* the scribe has them, and has written nothing */
        say(&g, 3, 0, "");
        assert_true(state_of(&g).open);
        assert_int_equal(state_of(&g).sent, 3);
        put_n(&g, 1000);
        take_all(&g);
        assert_int_equal(g.taken, 1003);
        assert_int_equal(g.last, 1003);
        assert_int_equal(state_of(&g).waiting, 0);
        put_n(&g, 700); /* the end brings out what waits */
        g.outlet = events_outlet_free(g.outlet);
        while (take(&g, 1000) > 0)
                ;
        assert_true(g.taken > 1003 + 100);
        rig_down(&g);
}

/* A scribe whose disk is full says so, and holds what it has. */
static void test_full_disk(void **state)
{
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_JSON);
        open_channel(&g);
        put_n(&g, 20);
        turn(&g);
        assert_int_equal(take(&g, 10), 10);
        say(&g, 4, 0, "No space left on device");
        assert_false(state_of(&g).open);
        assert_string_equal(state_of(&g).why, "No space left on device");
        assert_int_equal(state_of(&g).waiting, 16);
        loop_fake_advance(g.loop, EVENTS_SILENCE_MS);
        assert_non_null(strstr(state_of(&g).why, "hangs")); /* it says so again and again, or it hangs */
        say(&g, 0, 0, "No space left on device");
        assert_string_equal(state_of(&g).why, "No space left on device");
        take_all(&g);
        say(&g, 6, 0, "");
        assert_true(state_of(&g).open);
        assert_int_equal(state_of(&g).sent, 20);
        assert_int_equal(state_of(&g).lost, 0);
        rig_down(&g);
}

/* What a scribe had that ended goes to the next one, and nothing twice that it had said was done. */
static void test_another_scribe(void **state)
{
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_JSON);
        open_channel(&g);
        put_n(&g, 20);
        turn(&g);
        assert_int_equal(take(&g, 12), 12);
        say(&g, 5, 0, "");
        (void)close(g.scribe);
        g.scribe = -1;
        loop_run_once(g.loop);
        assert_false(state_of(&g).open);
        assert_int_equal(state_of(&g).waiting, 15);
        open_channel(&g);
        g.taken = 0;
        take_all(&g);
        assert_int_equal(g.taken, 15);
        assert_int_equal(state_of(&g).sent, 20);
        rig_down(&g);
}

static void test_gap(void **state)
{
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_JSON);
        put_n(&g, 100000);
        turn(&g);
        const struct events_state s = state_of(&g);
        assert_int_equal(s.lost + s.waiting, 100000);
        assert_true(s.lost > 1000 && s.lost_last > 0);
        open_channel(&g);
        take_all(&g);
        assert_int_equal(g.gap, s.lost);
        assert_int_equal(g.gap + g.taken - 1, 100000);
        assert_int_equal(state_of(&g).sent, g.taken);
        rig_down(&g);
}

/* A scribe that hangs with its disk: it is said, what it has stays, the oldest of the others go, and nobody waits. */
static void test_a_scribe_that_hangs(void **state)
{
        struct rig g;

        (void)state;
        rig_up(&g, EVENTS_JSON);
        open_channel(&g);
        put_n(&g, 100000);
        turn(&g);
        assert_true(state_of(&g).lost > 1000);
        say(&g, 0, 0, ""); /* the last that it says */
        assert_true(state_of(&g).open);
        loop_fake_advance(g.loop, EVENTS_SILENCE_MS);
        assert_false(state_of(&g).open);
        assert_non_null(strstr(state_of(&g).why, "hangs"));
        assert_true(state_of(&g).since < loop_wall(g.loop));
        const uint64_t lost = state_of(&g).lost;
        size_t n = take(&g, 1000);
        assert_true(n > 0);
        say(&g, n, 0, "");
        take_all(&g);
        assert_true(state_of(&g).open);
        assert_int_equal(g.gap, lost);
        assert_int_equal(g.gap + g.taken - 1, 100000);
        assert_int_equal(g.last, 100000);
        rig_down(&g);
}

/* A neighbour is believed no more than can be. */
static void test_words_that_cannot_be(void **state)
{
        struct rig g;

        (void)state;
        for (unsigned i = 0; i < 4; i++) {
                struct events_word w = {.done = 1};

                rig_up(&g, EVENTS_JSON);
                open_channel(&g);
                put_n(&g, 2);
                turn(&g);
                if (i == 0)
                        w.done = 3;
                else if (i == 1)
                        w.refused = UINT32_MAX;
                else if (i == 2)
                        memset(w.why, 'x', sizeof(w.why));
                else
                        memcpy(w.why, "\xff", 2);
                assert_int_equal(send(g.scribe, &w, sizeof(w), 0), sizeof(w));
                loop_run_once(g.loop);
                assert_false(state_of(&g).open);
                assert_int_equal(state_of(&g).waiting, 2);
                assert_int_equal(state_of(&g).sent, 0);
                open_channel(&g);
                g.taken = 0;
                take_all(&g);
                assert_int_equal(g.taken, 2);
                rig_down(&g);
        }
        rig_up(&g, EVENTS_JSON);
        open_channel(&g);
        put_n(&g, 2);
        turn(&g);
        say(&g, 1, 1, ""); /* a line that the receiver never takes is lost, and told as missing */
        assert_int_equal(state_of(&g).lost, 1);
        put_n(&g, 1);
        take_all(&g);
        assert_int_equal(g.gap, 1);
        rig_down(&g);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_members),
                cmocka_unit_test(test_hostile_values),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_lines_go_out),
                cmocka_unit_test(test_full_disk),
                cmocka_unit_test(test_another_scribe),
                cmocka_unit_test(test_gap),
                cmocka_unit_test(test_a_scribe_that_hangs),
                cmocka_unit_test(test_words_that_cannot_be),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
