/*
 * Reading the ledger's answers: members of JSON objects, times and ages as people say them.
 *
 * Pure. A member that is missing reads as nothing, since the ledger may be of an older version.
 */
#include "connector/findings/facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *fact_text(const json_t *object, const char *key)
{
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}

long long fact_number(const json_t *object, const char *key, long long fallback)
{
        const json_t *value = json_object_get(object, key);

        return json_is_integer(value) ? json_integer_value(value) : fallback;
}

const json_t *fact_part(const json_t *parts, const char *part)
{
        return json_object_get(json_object_get(parts, part), "value");
}

long long fact_since(const json_t *parts, const char *part, const char *member)
{
        return fact_number(json_object_get(json_object_get(parts, part), "since"), member, 0);
}

void fact_put(json_t *object, const char *key, const char *text)
{
        if (text && text[0])
                (void)json_object_set_new(object, key, json_string(text));
}

void fact_row(json_t *rows, const char *label, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        json_t *text = json_vsprintf(fmt, ap);
        va_end(ap);
        (void)json_array_append_new(
                rows, json_pack("{s:s, s:o}", "label", label, "text", text ? text : json_string("(not valid text)")));
}

void fact_time(long long wall, char *out, size_t cap)
{
        time_t t = (time_t)wall;
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(out, cap, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void)snprintf(out, cap, "?");
}

void fact_age(long long s, char *out, size_t cap)
{
        if (s < 120)
                (void)snprintf(out, cap, "%lld s", s < 0 ? 0 : s);
        else if (s < 7200)
                (void)snprintf(out, cap, "%lld min", s / 60);
        else if (s < 172800)
                (void)snprintf(out, cap, "%lld h", s / 3600);
        else
                (void)snprintf(out, cap, "%lld days", s / 86400);
}

const char *fact_clock_remedy(size_t differ, size_t agree)
{
        if (agree > differ || (agree > 0 && differ == 1))
                return "Set the domain controller's clock (there: w32tm /resync; w32tm /query /status tells its "
                       "source): the "
                       "clocks of others agree with this host's";
        if (agree == 0 && differ > 1)
                return "Set this host's clock (chronyd, systemd-timesyncd): every domain controller that answers "
                       "differs from it";
        return NULL;
}

bool fact_is_lost(const json_t *record)
{
        return strcmp(fact_text(record, "declined"), "lost") == 0;
}

const char *fact_end(const json_t *record)
{
        return fact_is_lost(record)               ? "lost"
               : fact_text(record, "declined")[0] ? "declined"
                                                  : fact_text(record, "verdict");
}

const char *fact_user(const json_t *record)
{
        const char *user = fact_text(record, "user");

        return user[0] ? user : fact_text(record, "user_masked");
}

const char *fact_decline(const char *why)
{
        static const struct {
                const char *why, *text;
        } texts[] = {
                {"not_my_realm", "the connector does not serve the domain of that name"},
                {"no_dc", "no domain controller of that domain answered the connector"},
                {"full", "the connector had too many sign-ins at once"},
                {"draining", "the connector was being stopped or reloaded"},
                {"stale_key", "the request was sealed to a key that the connector no longer had"},
                {"bad_request", "the request was malformed or not from an approved service"},
                {"expired", "the request came too late, or a clock is wrong"},
                {"replay", "the same request had come before"},
                {"throttled",
                 "the name had failed at this connector as often as its share of the lockout guard's limit lets "
                 "it; another connector could still take it"},
                {"lost", "the connector's validator process took the sign-in and ended before it answered"},
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (strcmp(texts[i].why, why) == 0)
                        return texts[i].text;
        return NULL;
}
