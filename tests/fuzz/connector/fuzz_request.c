/*
 * A line from a client of the control socket. What is taken must keep its promises to the search.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "connector/ledger/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int terminated(const char *text, size_t cap)
{
        return memchr(text, '\0', cap) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct error err = {""};
        struct request r;

        if (request_parse(&r, (const char *)data, n, &err) < 0) {
                if (!err.text[0])
                        abort();
                return 0;
        }
        if (r.what_to_do < REQUEST_STATUS || r.what_to_do > REQUEST_REPORT || r.limit < 1 ||
            r.limit > REQUEST_LIMIT_MAX)
                abort();
        if (!terminated(r.user, sizeof(r.user)) || !terminated(r.what, sizeof(r.what)) ||
            !terminated(r.verdict, sizeof(r.verdict)) || r.since < 0 || r.until < 0)
                abort();
        if (r.what_to_do == REQUEST_EXPLAIN && !r.what[0])
                abort();
        if (r.what_to_do == REQUEST_REPORT &&
            (r.until <= r.since || r.until - r.since > REQUEST_REPORT_S || (r.step && r.step < REQUEST_STEP_MIN)))
                abort();
        return 0;
}
