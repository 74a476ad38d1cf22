/*
 * What a browser, or somebody else, sends as a form: what is taken is short, valid text without controls, and the page
 * that shows it has no tag in it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "connector/web/form.h"
#include "connector/web/html.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct html h = HTML(65536);
        char value[257];

        if (form_get((const char *)data, n, "what", value, sizeof(value)) < 0)
                return 0;
        const size_t len = strlen(value);
        if (len >= sizeof(value) || !utf8_valid(value, len) || strpbrk(value, "\n\r\x1b"))
                abort();
        html_put(&h, "{}", value);
        if (h.code < 0 || (h.out.len && (strpbrk(h.out.data, "<>\"'") || !utf8_valid(h.out.data, h.out.len))))
                abort();
        buffer_free(&h.out);
        return 0;
}
