/*
 * The SSE parser: however the bytes are cut, the same events come out; and nothing passes its limits.
 */
#include "tests/queue/check.h"

#include "queue/wire/sse.h"

struct seen {
        size_t n;
        int stop_at;
        char text[4096];
};

static int on_event(void *arg, const char *event, const char *data, size_t n)
{
        struct seen *s = arg;
        size_t used = strlen(s->text);

        assert_int_equal(strlen(data), n);
        (void)snprintf(s->text + used, sizeof(s->text) - used, "[%s|%s]", event, data);
        s->n++;
        return s->stop_at && s->n == (size_t)s->stop_at ? 7 : 0;
}

static int feed_pieces(const char *bytes, size_t n, size_t piece, struct seen *seen, size_t max)
{
        struct error err = {""};
        struct sse s;
        int r = 0;

        sse_init(&s, max);
        for (size_t i = 0; i < n && r == 0; i += piece)
                r = sse_feed(&s, bytes + i, n - i < piece ? n - i : piece, on_event, seen, &err);
        sse_clear(&s);
        return r;
}

static const struct {
        const char *bytes, *events;
} streams[] = {
        {"event: hello\ndata: {}\n\n", "[hello|{}]"},
        {"event: hello\r\ndata: {}\r\n\r\n", "[hello|{}]"},
        {"event: hello\rdata: {}\r\r", "[hello|{}]"},
        {"event:hello\ndata:{}\n\n", "[hello|{}]"},
        {"data: a\n\n", "[message|a]"},
        {"data:  a\n\n", "[message| a]"},
        {"data: a\ndata: b\n\n", "[message|a\nb]"},
        {"data\ndata\n\n", "[message|\n]"},
        {": hb\n\n: hb\n\n", ""},
        {"event: x\n\ndata: a\n\n", "[message|a]"},
        {"event: x\ndata: a\n\ndata: b\n\n", "[x|a][message|b]"},
        {"id: 7\nretry: 1\nother: y\ndata: a\n\n", "[message|a]"},
        {"data: a", ""},
        {"data: a\n", ""},
        {"\n\n\ndata: a\n\n\n", "[message|a]"},
        {"data: a:b: c\n\n", "[message|a:b: c]"},
        {"event: x\ndata: ä€\n\n", "[x|ä€]"},
        {"data: 1\r\n\r\ndata: 2\r\n\r\n", "[message|1][message|2]"},
};

static void same_events_for_every_cut(void **state)
{
        (void)state;
        for (size_t i = 0; i < N(streams); i++) {
                size_t n = strlen(streams[i].bytes);

                for (size_t piece = 1; piece <= n; piece++) {
                        struct seen seen = {0};

                        assert_int_equal(feed_pieces(streams[i].bytes, n, piece, &seen, 64), 0);
                        assert_string_equal(seen.text, streams[i].events);
                }
        }
}

static void limits(void **state)
{
        struct seen seen = {0};

        (void)state;
        assert_int_equal(feed_pieces("data: 12345678\n\n", 16, 1, &seen, 8), 0);
        assert_int_equal(seen.n, 1);
        assert_int_equal(feed_pieces("data: 1234\ndata: 12345\n\n", 24, 24, &seen, 8), -EMSGSIZE);
        /* a line that never ends, by bytes and at once */
        assert_int_equal(feed_pieces("data: 12345678901234567890123456789", 35, 1, &seen, 8), -EMSGSIZE);
        assert_int_equal(feed_pieces("data: 12345678901234567890123456789", 35, 35, &seen, 8), -EMSGSIZE);
        assert_int_equal(feed_pieces("data: 12345678901234567890123456789\n\n", 37, 37, &seen, 8), -EMSGSIZE);
        /* many data lines never end an event */
        assert_int_equal(
                feed_pieces("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n", 55, 5, &seen, 8),
                -EMSGSIZE);
        assert_int_equal(seen.n, 1);
}

static void broken_input(void **state)
{
        struct seen seen = {0};

        (void)state;
        assert_int_equal(feed_pieces("data: a\0b\n\n", 11, 11, &seen, 64), -EBADMSG);
        assert_int_equal(feed_pieces("data: \xff\n\n", 9, 9, &seen, 64), -EBADMSG);
        assert_int_equal(feed_pieces("event: 123456789012345678901234567890123\n\n", 42, 42, &seen, 64), -EBADMSG);
        assert_int_equal(seen.n, 0);
}

static void a_callback_stops_it_for_good(void **state)
{
        struct seen seen = {.stop_at = 1};
        struct error err = {""};
        struct sse s;

        (void)state;
        sse_init(&s, 64);
        assert_int_equal(sse_feed(&s, "data: a\n\ndata: b\n\n", 18, on_event, &seen, &err), 7);
        assert_int_equal(seen.n, 1);
        assert_int_equal(sse_feed(&s, "data: c\n\n", 9, on_event, &seen, &err), -EBADMSG);
        assert_int_equal(seen.n, 1);
        sse_clear(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(same_events_for_every_cut),
                cmocka_unit_test(limits),
                cmocka_unit_test(broken_input),
                cmocka_unit_test(a_callback_stops_it_for_good),
        };
        return cmocka_run_group_tests_name("queue/sse", tests, NULL, NULL);
}
