/* CA files: whatever is taken holds at least one certificate, and is taken again with as many. */
#include <stdlib.h>
#include <string.h>

#include "base/core/ca-bundle.h"

#define INPUT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct buffer text = BUFFER(INPUT_MAX);
        struct error err;
        size_t first = 0, second = 0;

        if (n == 0 || n > INPUT_MAX || buffer_append(&text, data, n) < 0)
                return 0;
        if (ca_bundle_take(&text, "f", NULL, &first, &err) == 0 &&
            (first == 0 || ca_bundle_take(&text, "f", NULL, &second, &err) < 0 || first != second))
                abort();
        buffer_free(&text);
        return 0;
}
