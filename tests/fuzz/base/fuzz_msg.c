/*
 * Frames between processes, as a compromised peer process could send them.
 *
 * Properties: what parses, built again from its fields, gives the same bytes; every getter stays inside the
 * frame; a refused frame leaves the output untouched.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ipc/ipc.h"
#include "base/core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

static void read_by_tag(const struct msg_in *m, uint8_t tag)
{
        char text[64];
        size_t n = 0;
        const uint8_t *bytes = msg_get_bytes(m, tag, &n);

        require(msg_has(m, tag) == (bytes != NULL));
        require(bytes || n == 0);
        if (n != 8)
                require(msg_get_u64(m, tag, 77) == 77);
        if (msg_get_str(m, tag, text, sizeof text) == 0)
                require(strlen(text) == n && utf8_valid(text, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static struct msg_out out;
        struct msg_in m = {.type = 0, .n = SIZE_MAX};

        if (msg_parse(&m, data, n) < 0) {
                require(m.n == SIZE_MAX);
                return 0;
        }
        msg_begin(&out, m.type);
        for (size_t i = 0; i < m.n; i++) {
                read_by_tag(&m, m.fields[i].tag);
                msg_bytes(&out, m.fields[i].tag, m.fields[i].bytes, m.fields[i].len);
        }
        read_by_tag(&m, 0);
        require(!out.overflow && out.len == n && memcmp(out.data, data, n) == 0);
        return 0;
}
