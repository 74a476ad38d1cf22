/*
 * One sign-in beside the user's others.
 *
 * Pure: counts what the records hold and says what can be counted. A cause is named only where the failures have it and
 * the others have not; it is a hint where to look, and says so.
 */
#include "connector/findings/history.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "connector/findings/facts.h"

#define COMPARE_MIN 6       /* fewer are told one by one */
#define BAD_WITHIN_S 1800   /* the usual observation window of a lockout policy */
#define AFTER_WITHIN_S 3600 /* failures before a success that belong to it */
#define AFTER_MIN 3
#define VALUES_MAX 32
#define TEXT_MAX 512

static bool is_accepted(const json_t *r)
{
        return strcmp(fact_text(r, "verdict"), "accepted") == 0;
}

static bool is_decided(const json_t *r)
{
        return fact_text(r, "verdict")[0] && strcmp(fact_text(r, "reason"), "cancelled") != 0;
}

static bool is_wrong_password(const json_t *r)
{
        return strcmp(fact_text(r, "class"), "credentials") == 0 && strcmp(fact_text(r, "may_have_counted"), "0") != 0;
}

/* ---- what failures have in common ---- */

/* form: the domain part of the name as typed, which decides where it goes; any other key: that member. */
static void value_of(const json_t *r, const char *key, char *out, size_t cap)
{
        const char *user = fact_text(r, "user"), *slash = strchr(user, '\\'), *at = strrchr(user, '@');

        if (strcmp(key, "form") != 0)
                (void)snprintf(out, cap, "%s", fact_text(r, key));
        else if (slash)
                (void)snprintf(out, cap, "%.*s\\name", (int)(slash - user), user);
        else if (at)
                (void)snprintf(out, cap, "name%s", at);
        else
                (void)snprintf(out, cap, "%s", user[0] ? "the name without a domain" : "");
}

struct tally {
        size_t n_values;
        struct {
                char text[256];
                unsigned n, failed;
        } values[VALUES_MAX];
};

static void count(struct tally *t, const json_t *records, const char *key)
{
        const json_t *r;
        size_t at, i;

        t->n_values = 0;
        json_array_foreach ((json_t *)(uintptr_t)records, at, r) {
                char text[256];

                value_of(r, key, text, sizeof(text));
                if (!is_decided(r) || !text[0])
                        continue;
                for (i = 0; i < t->n_values && strcmp(t->values[i].text, text) != 0;)
                        i++;
                if (i == VALUES_MAX)
                        return;
                if (i == t->n_values) {
                        t->n_values++;
                        t->values[i].n = t->values[i].failed = 0;
                        memcpy(t->values[i].text, text, sizeof(text));
                }
                t->values[i].n++;
                t->values[i].failed += !is_accepted(r);
        }
}

/* The value with which nearly all fail and without which nearly none do; -1: there is none. */
static int culprit(const struct tally *t)
{
        unsigned n = 0, failed = 0;

        for (size_t i = 0; i < t->n_values; i++) {
                n += t->values[i].n;
                failed += t->values[i].failed;
        }
        for (size_t i = 0; i < t->n_values; i++) {
                const unsigned here = t->values[i].n, bad = t->values[i].failed, others = n - here;

                if (bad >= 2 && bad * 10 >= here * 8 && others >= 2 && (failed - bad) * 10 <= others * 2)
                        return (int)i;
        }
        return -1;
}

static const struct {
        const char *key, *text;
} kinds[] = {{"dc", "the domain controller"}, {"form", "the form of the name"},   {"client_app", "the application"},
             {"client_ip", "the address"},    {"service", "the sign-in service"}, {"method", "the method"}};

json_t *history_compare(const json_t *records)
{
        struct tally t;
        unsigned n = 0, failed = 0;
        char text[2 * TEXT_MAX];
        const json_t *r;
        size_t at;

        json_array_foreach ((json_t *)(uintptr_t)records, at, r) {
                n += is_decided(r);
                failed += is_decided(r) && !is_accepted(r);
        }
        if (n < COMPARE_MIN || failed * 10 < n || failed * 10 > n * 9)
                return NULL;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                int k;

                count(&t, records, kinds[i].key);
                k = culprit(&t);
                if (k < 0)
                        continue;
                (void)snprintf(
                        text, sizeof(text),
                        "Of the last %u sign-ins %u failed, and what they have in common is %s: with %s %u of %u "
                        "failed, without it %u of %u. Look there first",
                        n, failed, kinds[i].text, t.values[k].text, t.values[k].failed, t.values[k].n,
                        failed - t.values[k].failed, n - t.values[k].n);
                return json_string(text);
        }
        (void)snprintf(text, sizeof(text),
                       "Of the last %u sign-ins %u failed (about one in %u), with every domain controller, form of the "
                       "name, application and address alike",
                       n, failed, (n + failed / 2) / failed);
        return json_string(text);
}

/* ---- whether the name leads to an account ---- */

/* The latest sign-in by the same name that a domain controller knew it by; NULL: none. */
static const json_t *known_by_name(const json_t *records, const json_t *record)
{
        const char *user = fact_text(record, "user");
        const json_t *r;
        size_t at;

        json_array_foreach ((json_t *)(uintptr_t)records, at, r)
                if (user[0] && strcasecmp(fact_text(r, "user"), user) == 0 &&
                    strcmp(fact_text(r, "id"), fact_text(record, "id")) != 0 &&
                    (is_accepted(r) || json_is_true(json_object_get(r, "password_proved")) ||
                     strcmp(fact_text(r, "class"), "policy") == 0))
                        return r;
        return NULL;
}

/* Over LDAP an unknown name reads as a wrong password, and a name may be another account's than its user thinks. */
static void add_name(json_t *list, const json_t *records, const json_t *record)
{
        const json_t *known = known_by_name(records, record);
        const char *reason = fact_text(record, "reason"), *sam = fact_text(known, "sam");
        const bool wrong = strcmp(reason, "wrong_password") == 0, unknown = strcmp(reason, "unknown_user") == 0;
        char when[32], text[TEXT_MAX];

        if ((!wrong && !unknown) || (!known && strcmp(fact_text(record, "method"), "ldap") != 0) ||
            !fact_text(record, "user")[0])
                return;
        fact_time(fact_number(known, "wall", 0), when, sizeof(when));
        if (!known)
                (void)snprintf(
                        text, sizeof(text),
                        "No domain controller is on record here as knowing this name: it may be misspelt or belong to "
                        "no account, which LDAP answers as it does a wrong password. postern account tells");
        else if (unknown)
                (void)snprintf(
                        text, sizeof(text),
                        "The name was known at %s: since then the account was renamed, moved to another domain or "
                        "deleted",
                        when);
        else if (sam[0])
                (void)snprintf(
                        text, sizeof(text),
                        "The name exists: at %s it reached the account %.100s\\%.100s, so it was the password that was "
                        "wrong. Where the user has another account than that, this name is not theirs: use "
                        "DOMAIN\\name",
                        when, fact_text(known, "domain"), sam);
        else
                (void)snprintf(
                        text, sizeof(text),
                        "The name exists: at %s a domain controller knew it (%.60s), so it was the password that was "
                        "wrong",
                        when, fact_text(known, "reason"));
        (void)json_array_append_new(list, json_string(text));
}

/* ---- where wrong passwords came from ---- */

static unsigned wrong_within(const json_t *records, const json_t *record, json_t **ret_those)
{
        const long long end = fact_number(record, "wall", 0);
        json_t *r, *those = json_array();
        size_t at;

        json_array_foreach ((json_t *)(uintptr_t)records, at, r) {
                const long long wall = fact_number(r, "wall", 0);

                if (is_wrong_password(r) && wall <= end && wall >= end - BAD_WITHIN_S)
                        (void)json_array_append(those, r);
        }
        *ret_those = those;
        return (unsigned)json_array_size(those);
}

/* "2 from 192.0.2.7 by Webmail, 1 from ..." */
static void put_sources(struct buffer *out, const json_t *those)
{
        char sources[8][TEXT_MAX];
        unsigned counts[8], n = 0, others = 0, i;
        const json_t *r;
        size_t at;

        json_array_foreach ((json_t *)(uintptr_t)those, at, r) {
                const char *ip = fact_text(r, "client_ip"), *app = fact_text(r, "client_app");
                char text[TEXT_MAX];

                (void)snprintf(text, sizeof(text), "from %.64s by %.200s", ip[0] ? ip : "an address not told",
                               app[0]                       ? app
                               : fact_text(r, "service")[0] ? fact_text(r, "service")
                                                            : "an unknown service");
                for (i = 0; i < n && strcmp(sources[i], text) != 0;)
                        i++;
                if (i == 8) {
                        others++;
                        continue;
                }
                if (i == n) {
                        memcpy(sources[n], text, sizeof(text));
                        counts[n++] = 0;
                }
                counts[i]++;
        }
        for (i = 0; i < n; i++)
                (void)buffer_printf(out, "%s%u %s", i ? ", " : "", counts[i], sources[i]);
        if (others)
                (void)buffer_printf(out, ", %u from elsewhere", others);
}

/* The account's own name, for a line of PowerShell; quotes doubled as it wants. */
static void put_event_4740(struct buffer *out, const json_t *record)
{
        const char *sam = fact_text(record, "sam"), *user = fact_text(record, "user"), *slash = strchr(user, '\\');
        const char *name = sam[0] ? sam : slash ? slash + 1 : user;

        (void)buffer_append_str(out,
                                "event 4740 on the PDC emulator names the computer that they came from: Get-WinEvent "
                                "-ComputerName (Get-ADDomain).PDCEmulator -FilterHashtable "
                                "@{LogName='Security';Id=4740} | ? { $_.Properties[0].Value -eq '");
        for (const char *c = name; *c && *c != '@'; c++)
                (void)buffer_printf(out, *c == '\'' ? "''" : "%c", *c);
        (void)buffer_append_str(out, "' }");
}

static void add_bad_attempts(json_t *list, const json_t *records, const json_t *record, long long bad)
{
        const bool locked = strcmp(fact_text(record, "reason"), "locked_out") == 0;
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096);
        json_auto_t *those = NULL;
        const unsigned here = wrong_within(records, record, &those);

        if (bad < 0 && !locked)
                return;
        if (bad >= 0)
                (void)buffer_printf(&text, "Of %lld bad attempts %u came here within the half hour before", bad, here);
        else
                (void)buffer_printf(&text, "%u wrong passwords came here within the half hour before", here);
        if (here) {
                (void)buffer_append_str(&text, ": ");
                put_sources(&text, those);
        }
        if (bad > (long long)here)
                (void)buffer_printf(&text, "; %lld did not: ", bad - (long long)here);
        else if (bad < 0)
                (void)buffer_append_str(&text,
                                        ". Where that is fewer than the domain's lockout threshold, the others came "
                                        "by another way: ");
        if (bad < 0 || bad > (long long)here)
                put_event_4740(&text, record);
        if (text.data)
                (void)json_array_append_new(list, json_string(text.data));
}

/* ---- a success that is unlike those before ---- */

static void add_success(json_t *list, const json_t *records, const json_t *record)
{
        const char *ip = fact_text(record, "client_ip");
        const long long wall = fact_number(record, "wall", 0);
        unsigned failures = 0, known_here = 0, known = 0;
        char text[TEXT_MAX];
        const json_t *r;
        size_t at;

        json_array_foreach ((json_t *)(uintptr_t)records, at, r) {
                const long long then = fact_number(r, "wall", 0);

                if (then > wall || strcmp(fact_text(r, "id"), fact_text(record, "id")) == 0)
                        continue;
                failures += is_wrong_password(r) && then >= wall - AFTER_WITHIN_S;
                known += is_accepted(r);
                known_here += is_accepted(r) && strcmp(fact_text(r, "client_ip"), ip) == 0;
        }
        if (!ip[0] || failures < AFTER_MIN || known_here || !known)
                return;
        (void)snprintf(
                text, sizeof(text),
                "This success came from %.64s, from where this user had none before, after %u failures within the "
                "hour. Ask the user whether that was them; if not, reset the password and end their sessions",
                ip, failures);
        (void)json_array_append_new(list, json_string(text));
}

json_t *history_sentences(const json_t *records, const json_t *record, long long bad_attempts)
{
        const char *app = fact_text(record, "client_app"), *service = fact_text(record, "service");
        json_t *list = json_array(), *compared = history_compare(records);
        char when[32], text[TEXT_MAX];

        if (is_accepted(record)) {
                fact_time(fact_number(record, "wall", 0), when, sizeof(when));
                (void)snprintf(
                        text, sizeof(text),
                        "Accepted at %.5s for %s %.200s: Postern let the user in. What fails after that fails in "
                        "there: go there",
                        when + strlen("2026-01-01 "), app[0] ? "the application" : "the sign-in service",
                        app[0] ? app : service);
                (void)json_array_append_new(list, json_string(text));
                add_success(list, records, record);
        }
        add_name(list, records, record);
        add_bad_attempts(list, records, record, bad_attempts);
        if (compared)
                (void)json_array_append_new(list, compared);
        return list;
}
