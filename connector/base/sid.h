/*
 * SIDs as text, as far as it matters whose they are. Pure, for whoever handles the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SID_DOMAIN_PREFIX "S-1-5-21-"

/* Behind one number of 32 bits without leading zeros that text begins with; NULL where it begins with none. */
static inline const char *sid_skip_number(const char *text)
{
        unsigned long long value = 0;
        size_t n = 0;

        while (text[n] >= '0' && text[n] <= '9' && n < 11)
                value = value * 10 + (unsigned long long)(text[n++] - '0');
        return n == 0 || n > 10 || value > 0xffffffffULL || (n > 1 && text[0] == '0') ? NULL : text + n;
}

/* Behind the domain's part of a SID, "S-1-5-21-A-B-C"; NULL where text does not begin with one ([MS-DTYP] 2.4.2.4). */
static inline const char *sid_skip_domain(const char *text)
{
        if (strncmp(text, SID_DOMAIN_PREFIX, sizeof(SID_DOMAIN_PREFIX) - 1) != 0)
                return NULL;
        text += sizeof(SID_DOMAIN_PREFIX) - 1;
        for (int i = 0; text && i < 3; i++) {
                text = sid_skip_number(text);
                if (text && i < 2)
                        text = *text == '-' ? text + 1 : NULL;
        }
        return text;
}

/* Whether text is the SID of a domain, in the one form that it has. */
static inline bool sid_is_domain(const char *text)
{
        const char *end = sid_skip_domain(text);

        return end && *end == '\0';
}

/* Whether account is the SID of an account of the domain: the domain's SID and one number. */
static inline bool sid_is_of(const char *account, const char *domain)
{
        size_t n = strlen(domain);
        const char *end;

        if (n == 0 || strncmp(account, domain, n) != 0 || account[n] != '-')
                return false;
        end = sid_skip_number(account + n + 1);
        return end && *end == '\0';
}
