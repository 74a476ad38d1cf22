/*
 * SIDs, from their bytes to text, and comparisons of the text.
 *
 * Invariant: no byte outside [bytes, bytes + n) is read; a text is taken in the one form that Windows writes.
 */
#include "base/core/sid.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/bytes.h"

#define SUBAUTHS_MAX 15

int sid_text(char *out, const uint8_t *bytes, size_t n)
{
        uint64_t authority = 0;
        size_t count, used;

        if (n < 12 || bytes[0] != 1)
                return -EBADMSG;
        count = bytes[1];
        if (count < 1 || count > SUBAUTHS_MAX || n != 8 + 4 * count)
                return -EBADMSG;
        for (size_t i = 2; i < 8; i++)
                authority = authority << 8 | bytes[i];
        used = (size_t)snprintf(out, SID_TEXT_MAX, authority > UINT32_MAX ? "S-1-0x%012" PRIx64 : "S-1-%" PRIu64,
                                authority);
        for (const uint8_t *p = bytes + 8; p < bytes + n; p += 4)
                used += (size_t)snprintf(out + used, SID_TEXT_MAX - used, "-%" PRIu32, bytes_le32(p));
        return 0;
}

/* Behind one number of 32 bits without leading zeros that text begins with; NULL where it begins with none.
 */
static const char *skip_number(const char *text)
{
        unsigned long long value = 0;
        size_t n = 0;

        while (text[n] >= '0' && text[n] <= '9' && n < 11)
                value = value * 10 + (unsigned long long)(text[n++] - '0');
        return n == 0 || n > 10 || value > 0xffffffffULL || (n > 1 && text[0] == '0') ? NULL : text + n;
}

const char *sid_skip_domain(const char *text)
{
        if (strncmp(text, SID_DOMAIN_PREFIX, sizeof(SID_DOMAIN_PREFIX) - 1) != 0)
                return NULL;
        text += sizeof(SID_DOMAIN_PREFIX) - 1;
        for (int i = 0; text && i < 3; i++) {
                text = skip_number(text);
                if (text && i < 2)
                        text = *text == '-' ? text + 1 : NULL;
        }
        return text;
}

bool sid_is_domain(const char *text)
{
        const char *end = sid_skip_domain(text);

        return end && *end == '\0';
}

bool sid_is_of(const char *account, const char *domain)
{
        size_t n = strlen(domain);
        const char *end;

        if (n == 0 || strncmp(account, domain, n) != 0 || account[n] != '-')
                return false;
        end = skip_number(account + n + 1);
        return end && *end == '\0';
}

size_t sid_from_text(uint8_t *out, size_t cap, const char *text)
{
        const char *at = strncmp(text, "S-1-", 4) == 0 ? skip_number(text + 4) : NULL;
        const unsigned long authority = at ? strtoul(text + 4, NULL, 10) : 0;
        size_t n = 8;

        if (!at || cap < 8)
                return 0;
        for (; *at == '-' && n + 4 <= cap && n < 8 + 4 * SUBAUTHS_MAX; n += 4) {
                const unsigned long one = strtoul(at + 1, NULL, 10);

                at = skip_number(at + 1);
                if (!at)
                        return 0;
                for (size_t i = 0; i < 4; i++)
                        out[n + i] = (uint8_t)(one >> (8 * i));
        }
        if (*at || n == 8)
                return 0;
        out[0] = 1;
        out[1] = (uint8_t)((n - 8) / 4);
        out[2] = out[3] = 0;
        for (size_t i = 0; i < 4; i++)
                out[4 + i] = (uint8_t)(authority >> (24 - 8 * i));
        return n;
}
