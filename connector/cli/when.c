/*
 * Reading times that a person typed. Pure but for the zone.
 */
#include "connector/cli/when.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"

/* "15m" and the like: *ret_s seconds before now. */
static int parse_ago(const char *text, int64_t now, int64_t *ret_wall)
{
        static const struct {
                char unit;
                uint64_t seconds;
        } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
        char number[16];
        size_t n = strlen(text);
        uint64_t count;

        if (n < 2 || n > sizeof(number))
                return -EINVAL;
        (void)snprintf(number, sizeof(number), "%.*s", (int)n - 1, text);
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
                if (text[n - 1] == units[i].unit && text_parse_u64(number, 1, 100000000, &count) == 0) {
                        *ret_wall = now - (int64_t)(count * units[i].seconds);
                        return *ret_wall > 0 ? 0 : -EINVAL;
                }
        return -EINVAL;
}

/* The last time that a clock on the wall showed it. */
static int parse_clock(const char *text, int64_t now, int64_t *ret_wall)
{
        static const char *const forms[] = {"%H:%M:%S", "%H:%M"};
        const time_t t = (time_t)now;

        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
                struct tm tm;
                if (!localtime_r(&t, &tm))
                        return -EINVAL;
                tm.tm_sec = 0;
                const char *end = strptime(text, forms[i], &tm);
                if (!end || *end)
                        continue;
                for (int back = 0; back < 2; back++) {
                        struct tm day = tm;
                        day.tm_mday -= back;
                        day.tm_isdst = -1;
                        *ret_wall = (int64_t)mktime(&day);
                        if (*ret_wall <= now)
                                return 0;
                }
        }
        return -EINVAL;
}

int when_parse(const char *text, int64_t now, int64_t *ret_wall)
{
        static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};

        if (parse_ago(text, now, ret_wall) == 0 || parse_clock(text, now, ret_wall) == 0)
                return 0;
        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
                struct tm tm = {.tm_isdst = -1};
                const char *end = strptime(text, forms[i], &tm);
                time_t t = end && !*end ? mktime(&tm) : -1;
                if (t > 0) {
                        *ret_wall = (int64_t)t;
                        return 0;
                }
        }
        return -EINVAL;
}
