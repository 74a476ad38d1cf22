/*
 * The bytes of one frame between processes: a type and tagged fields.
 *
 * Takes bytes, gives bytes: no descriptor, no clock. Invariants: a built frame that did not overflow parses;
 * a parsed frame has no tag twice, and its fields lie inside the bytes given. What types and tags mean is the
 * callers' affair.
 */
#include "base/ipc/ipc.h"

#include <errno.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/text.h"

#define FIELD_HEADER 3

void msg_begin(struct msg_out *m, uint8_t type)
{
        m->data[0] = type;
        m->len = 1;
        m->overflow = false;
}

void msg_bytes(struct msg_out *m, uint8_t tag, const void *bytes, size_t n)
{
        size_t fields = 0;

        if (m->overflow)
                return;
        for (size_t at = 1; at < m->len; at += FIELD_HEADER + (size_t)bytes_le16(m->data + at + 1), fields++)
                m->overflow = m->overflow || m->data[at] == tag; /* no tag stands in a frame twice */
        if (n > IPC_FRAME_MAX || m->len + FIELD_HEADER + n > IPC_FRAME_MAX || fields >= IPC_FIELDS_MAX)
                m->overflow = true;
        if (m->overflow)
                return;
        uint8_t *p = m->data + m->len;
        p[0] = tag;
        p[1] = (uint8_t)(n & 0xff);
        p[2] = (uint8_t)(n >> 8);
        if (n > 0)
                memcpy(p + FIELD_HEADER, bytes, n);
        m->len += FIELD_HEADER + n;
}

void msg_str(struct msg_out *m, uint8_t tag, const char *s)
{
        if (s)
                msg_bytes(m, tag, s, strlen(s));
}

void msg_u64(struct msg_out *m, uint8_t tag, uint64_t value)
{
        uint8_t b[8];

        for (size_t i = 0; i < sizeof b; i++)
                b[i] = (uint8_t)(value >> (8 * i));
        msg_bytes(m, tag, b, sizeof b);
}

int msg_parse(struct msg_in *ret_m, const uint8_t *bytes, size_t n)
{
        struct msg_in m = {0};
        bool seen[256] = {false};
        size_t at = 1;

        if (n == 0 || n > IPC_FRAME_MAX)
                return -EBADMSG;
        m.type = bytes[0];
        while (at < n) {
                if (m.n == IPC_FIELDS_MAX || n - at < FIELD_HEADER || seen[bytes[at]])
                        return -EBADMSG;
                const struct msg_field f = {bytes[at], bytes_le16(bytes + at + 1), bytes + at + FIELD_HEADER};
                if (n - at - FIELD_HEADER < f.len)
                        return -EBADMSG;
                m.fields[m.n++] = f;
                seen[f.tag] = true;
                at += FIELD_HEADER + (size_t)f.len;
        }
        *ret_m = m;
        return 0;
}

static const struct msg_field *find(const struct msg_in *m, uint8_t tag)
{
        for (size_t i = 0; i < m->n; i++)
                if (m->fields[i].tag == tag)
                        return &m->fields[i];
        return NULL;
}

bool msg_has(const struct msg_in *m, uint8_t tag)
{
        return find(m, tag) != NULL;
}

const uint8_t *msg_get_bytes(const struct msg_in *m, uint8_t tag, size_t *ret_n)
{
        const struct msg_field *f = find(m, tag);

        *ret_n = f ? f->len : 0;
        return f ? f->bytes : NULL;
}

int msg_get_str(const struct msg_in *m, uint8_t tag, char *out, size_t cap)
{
        const struct msg_field *f = find(m, tag);

        if (!f)
                return -ENOENT;
        if (cap == 0 || f->len > cap - 1)
                return -EMSGSIZE;
        if (f->len > 0 && (memchr(f->bytes, 0, f->len) || !utf8_valid((const char *)f->bytes, f->len)))
                return -EBADMSG;
        if (f->len > 0)
                memcpy(out, f->bytes, f->len);
        out[f->len] = '\0';
        return 0;
}

uint64_t msg_get_u64(const struct msg_in *m, uint8_t tag, uint64_t fallback)
{
        const struct msg_field *f = find(m, tag);
        uint64_t value = 0;

        if (!f || f->len != 8)
                return fallback;
        for (size_t i = 0; i < 8; i++)
                value |= (uint64_t)f->bytes[i] << (8 * i);
        return value;
}
