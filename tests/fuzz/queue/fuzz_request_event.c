/*
 * Any bytes as the data of a `request` event: what is read is written again and read as the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(int holds)
{
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4 * EVENT_MAX);
        struct request_event e = {.seq = 7}, again;
        struct error err = {""};
        int r = request_event_decode(&e, (const char *)data, n, &err);

        if (r < 0) {
                must(r == -EBADMSG && err.text[0] && e.seq == 7);
                return 0;
        }
        must(e.seq >= 1 && e.budget >= 1 && e.budget <= BUDGET_MAX && e.sealed);
        if (request_event_encode(&e, &text) == 0) {
                must(request_event_decode(&again, text.data, text.len, &err) == 0);
                must(strcmp(again.id, e.id) == 0 && again.seq == e.seq && again.budget == e.budget);
                must(strcmp(again.sealed, e.sealed) == 0 && strcmp(again.traceparent, e.traceparent) == 0);
                must(again.last == e.last);
                request_event_clear(&again);
        }
        request_event_clear(&e);
        return 0;
}
