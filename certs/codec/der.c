/*
 * The DER cursor.
 *
 * Invariant: a cursor never leaves the bytes that it was made over, and one that took nothing stands where it stood.
 */
#include "certs/codec/der.h"

#include <errno.h>
#include <string.h>

bool der_at(const struct der *d, uint8_t tag)
{
        return d->n > 0 && d->p[0] == tag;
}

/* The length must be definite and of the fewest octets. */
bool der_take(struct der *in, uint8_t tag, struct der *ret_body)
{
        struct der at = *in;
        size_t length, octets;

        if (at.n < 2 || at.p[0] != tag)
                return false;
        length = at.p[1];
        at = (struct der){at.p + 2, at.n - 2};
        if (length >= 0x80) {
                octets = length & 0x7f;
                if (octets < 1 || octets > 4 || octets > at.n || at.p[0] == 0)
                        return false;
                length = 0;
                for (size_t i = 0; i < octets; i++)
                        length = length << 8 | at.p[i];
                at = (struct der){at.p + octets, at.n - octets};
                if (length < 0x80)
                        return false;
        }
        if (length > at.n)
                return false;
        *ret_body = (struct der){at.p, length};
        *in = (struct der){at.p + length, at.n - length};
        return true;
}

bool der_take_wrapped(struct der *in, uint8_t tag, uint8_t inner, struct der *ret_body)
{
        struct der at = *in, outer, body;

        if (!der_take(&at, tag, &outer) || !der_take(&outer, inner, &body) || outer.n > 0)
                return false;
        *ret_body = body;
        *in = at;
        return true;
}

bool der_take_int(struct der *in, uint8_t tag, int32_t *ret)
{
        struct der at = *in, body;
        uint32_t value;

        if (!der_take_wrapped(&at, tag, DER_INTEGER, &body) || body.n < 1 || body.n > 4)
                return false;
        if (body.n > 1 && ((body.p[0] == 0 && body.p[1] < 0x80) || (body.p[0] == 0xff && body.p[1] >= 0x80)))
                return false;
        value = body.p[0] >= 0x80 ? UINT32_MAX : 0;
        for (size_t i = 0; i < body.n; i++)
                value = value << 8 | body.p[i];
        memcpy(ret, &value, sizeof value);
        *in = at;
        return true;
}

int der_length(const uint8_t *bytes, size_t n, uint8_t tag, size_t max, size_t *ret_len)
{
        size_t len = 0, octets = 0;

        if (n >= 1 && bytes[0] != tag)
                return -EBADMSG;
        if (n < 2)
                return 1;
        if (bytes[1] < 0x80) {
                len = bytes[1];
        } else {
                octets = bytes[1] & 0x7f;
                if (octets == 0 || octets > 4)
                        return -EBADMSG;
                if (n < 2 + octets)
                        return 1;
                for (size_t i = 0; i < octets; i++)
                        len = len << 8 | bytes[2 + i];
        }
        if (len + 2 + octets > max)
                return -EMSGSIZE;
        *ret_len = 2 + octets + len;
        return 0;
}
