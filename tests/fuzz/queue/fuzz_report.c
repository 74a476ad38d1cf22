/*
 * Reports, their answers and the small events: within their limits, and a report encodes to a text that means
 * the same.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool condition)
{
        if (!condition)
                abort();
}

static void round_trip(const struct report *r)
{
        struct buffer text = BUFFER(16U << 20), again = BUFFER(16U << 20);
        struct report back;
        struct error err;

        must(report_encode(r, &text) == 0);
        must(report_decode(&back, text.data, text.len, &err) == 0);
        must(report_encode(&back, &again) == 0);
        must(text.len == again.len && memcmp(text.data, again.data, text.len) == 0);
        report_clear(&back);
        buffer_free(&text);
        buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        const char *json = (const char *)data;
        struct report_answer answer;
        struct report report;
        struct error err;
        char id[ID_MAX + 1], *jws = NULL;
        uint32_t min, max;

        if (report_decode(&report, json, n, &err) == 0) {
                must(report.n_items <= REPORT_ITEMS_MAX && report.n_realms <= REPORT_REALMS_MAX);
                must(report.n_in_hand <= REPORT_IN_HAND_MAX && (report.has_in_hand || !report.n_in_hand));
                must(report.n_reasons <= REPORT_REASONS_MAX && report.load >= 0.0 && report.load <= 1.0);
                round_trip(&report);
                report_clear(&report);
        }
        if (report_answer_decode(&answer, json, n, &err) == 0) {
                must(answer.n_confirmed <= REPORT_ITEMS_MAX && answer.n_late <= REPORT_ITEMS_MAX);
                report_answer_clear(&answer);
        }
        if (cancel_event_decode(id, json, n, &err) == 0)
                must(strlen(id) <= ID_MAX);
        if (drain_event_decode(&min, &max, json, n, &err) == 0)
                must(min <= max && max <= RECONNECT_MAX);
        if (roster_event_decode(&jws, json, n, &err) == 0)
                free(jws);
        return 0;
}
