/*
 * Pairs of texts, each ended by a NUL, packed into one block.
 *
 * Invariant: bytes[0..len) is a whole number of pairs.
 */
#include "base/core/pairs.h"

#include <errno.h>
#include <string.h>

int pairs_add(struct pairs *p, const char *name, const char *value, size_t n)
{
        size_t name_len = strlen(name);

        if (name_len == 0 || name_len > PAIRS_NAME_MAX || memchr(value, '\0', n))
                return -EINVAL;
        if (n > sizeof p->bytes || name_len + n + 2 > sizeof p->bytes - p->len)
                return -ENOSPC;
        memcpy(p->bytes + p->len, name, name_len + 1);
        memcpy(p->bytes + p->len + name_len + 1, value, n);
        p->len += name_len + n + 2;
        p->bytes[p->len - 1] = '\0';
        return 0;
}

bool pairs_next(const struct pairs *p, size_t *at, const char **ret_name, const char **ret_value)
{
        if (*at >= p->len)
                return false;
        *ret_name = p->bytes + *at;
        *ret_value = *ret_name + strlen(*ret_name) + 1;
        *at += strlen(*ret_name) + strlen(*ret_value) + 2;
        return true;
}

bool pairs_drop_last(struct pairs *p)
{
        size_t at = 0, last = 0;
        const char *name, *value;

        if (p->len == 0)
                return false;
        while (at < p->len) {
                last = at;
                pairs_next(p, &at, &name, &value);
        }
        memset(p->bytes + last, 0, p->len - last);
        p->len = last;
        return true;
}
