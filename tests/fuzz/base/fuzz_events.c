/*
 * Records and spans of whatever others wrote: values of any bytes, and a trace context that a caller sent.
 *
 * Properties: in both forms a record is one line of clean UTF-8, whose last member is the one that was put last and
 * which ends as it must; nothing in a value begins a member of its own. A trace context is always one: an id of 32 hex
 * digits, and a parent of 16 or none, and what is taken of a traceparent stands in it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "base/events/spans.h"

#define HEX "0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct events_origin origin = {
        .host = "h", .program = "postern", .version = "1", .run = 1800000000, .pid = 7};

static void require(bool holds)
{
        if (!holds)
                abort();
}

/* The line without its end; no control character is left in it. */
static void check_clean(const char *line, size_t n)
{
        uint32_t cp;
        size_t len;

        require(n <= EVENTS_LINE_MAX);
        for (; n > 0; line += len, n -= len) {
                len = utf8_next(line, n, &cp);
                require(len > 0 && !utf8_hostile(cp));
        }
}

static void check_end(const char *line, size_t n, const char *end)
{
        const size_t len = strlen(end);

        require(n > len && memcmp(line + n - len, end, len) == 0);
}

static void check_record(const uint8_t *data, size_t n)
{
        struct events_record r = {
                .wall = 1800000000, .kind = "sign_in", .sentence = "a sign-in", .level = LOG_LEVEL_INFO};
        char line[EVENTS_LINE_MAX];

        events_bytes(&r, "one", data, n);
        events_bytes(&r, "two", data + n / 2, n - n / 2);
        events_number(&r, "end", 1);
        size_t len = events_render(line, EVENTS_JSON, &origin, 1, &r);
        check_clean(line, len - 1);
        check_end(line, len, ",\"end\":1}\n");
        len = events_render(line, EVENTS_SYSLOG, &origin, 1, &r);
        check_clean(line, len);
        check_end(line, len, " end=\"1\"] a sign-in");
}

static void check_trace(const char *text)
{
        struct spans_span span = {.name = "postern sign-in", .kind = SPANS_SERVER, .begin = 1, .end = 2};
        struct spans_context context;
        char line[EVENTS_LINE_MAX];

        spans_context(&context, text, "ID000000000000001");
        require(strlen(context.trace) == SPANS_TRACE_LEN && strspn(context.trace, HEX) == SPANS_TRACE_LEN);
        require(context.parent[0] == '\0' ||
                (strlen(context.parent) == SPANS_ID_LEN && strspn(context.parent, HEX) == SPANS_ID_LEN));
        require(context.parent[0] == '\0' || (strstr(text, context.trace) && strstr(text, context.parent)));
        spans_id(span.id);
        spans_text(&span, "server.address", text);
        const size_t len = spans_render(line, &origin, "postern-connector", "c", &context, &span, 1);
        if (len > 0) {
                check_clean(line, len - 1);
                check_end(line, len, "\"status\":{}}]}]}]}\n");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        char *text = malloc(n + 1);

        require(text);
        memcpy(text, data, n);
        text[n] = '\0';
        check_record(data, n);
        check_trace(text);
        free(text);
        return 0;
}
