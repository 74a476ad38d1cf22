/*
 * The rules by which an account can sign in or not, [MS-ADTS] 3.1.1.4.5 (computed attributes), 2.2.16
 * (userAccountControl), [MS-SAMR] 2.2.6.5 (logon hours).
 *
 * Pure: each rule looks at what was read and adds at most a finding. What could not be read makes none.
 */
#include "connector/findings/account.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connector/findings/facts.h"

#define UF_DISABLED 0x2
#define UF_LOCKOUT 0x10
#define UF_NEVER_EXPIRES 0x10000
#define UF_SMARTCARD 0x40000
#define UF_EXPIRED 0x800000
#define TYPE_PERSON 0x30000000
#define SOON_S (5LL * 86400)
#define CLOCKS_S 120 /* by which the clocks of this host and of a domain controller may differ */

struct judging {
        const json_t *answer, *account;
        json_t *list;
        long long now;
};

struct what {
        const char *code, *remedy; /* remedy: or NULL */
        bool stops;                /* a sign-in */
};

static void __attribute__((format(printf, 3, 4))) found(struct judging *j, struct what w, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        json_t *text = json_vsprintf(fmt, ap);
        va_end(ap);
        json_t *object = json_pack("{s:s, s:b, s:o}", "code", w.code, "stops", w.stops, "text",
                                   text ? text : json_string("something that is not valid text"));
        if (w.remedy)
                (void)json_object_set_new(object, "remedy", json_string(w.remedy));
        (void)json_array_append_new(j->list, object);
}

/* ---- which account ---- */

static void judge_name(struct judging *j)
{
        const json_t *list = json_object_get(j->answer, "found");
        size_t i, n = 0;
        json_t *other;

        json_array_foreach ((json_t *)(uintptr_t)list, i, other) {
                n += json_array_size(json_object_get(other, "by")) > 0;
                if (!fact_text(other, "near")[0] || json_is_object(j->account))
                        continue;
                found(j,
                      (struct what){.code = "account_near",
                                    .remedy = "Tell the user which name to type, or set alternate_id where people type "
                                              "their mail address"},
                      "perhaps meant: %s, whose %s it is; the sign-in name is %s", fact_text(other, "dn"),
                      fact_text(other, "near"), fact_text(other, "upn"));
        }
        if (!json_is_object(j->account))
                found(j,
                      (struct what){.code = "account_none",
                                    .stops = true,
                                    .remedy = "Look for a typing mistake, or for an account that was deleted or that "
                                              "the reader may not see"},
                      "%s leads to no account of %s", fact_text(j->answer, "asked"), fact_text(j->answer, "domain"));
        if (n > 1)
                json_array_foreach ((json_t *)(uintptr_t)list, i, other)
                        if (json_array_size(json_object_get(other, "by")) > 0 &&
                            strcmp(fact_text(other, "dn"), fact_text(j->account, "dn")) != 0)
                                found(j,
                                      (struct what){.code = "account_twin",
                                                    .remedy = "Give one of them another name: nobody can tell by the "
                                                              "typed name which of them is meant"},
                                      "the name is also the %s of %s, which a sign-in by it does not reach",
                                      json_string_value(json_array_get(json_object_get(other, "by"), 0)),
                                      fact_text(other, "dn"));
}

/* ---- its state ---- */

static long long flags(const struct judging *j)
{
        return fact_number(j->account, "control", 0) | fact_number(j->account, "computed", 0);
}

/* The row of the domain controller that says "locked", or NULL. */
static const json_t *locked_row(const struct judging *j)
{
        const json_t *rows = json_object_get(j->answer, "dcs");
        json_t *row;
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)rows, i, row)
                if (fact_number(row, "computed", 0) & UF_LOCKOUT)
                        return row;
        return NULL;
}

static void judge_lockout(struct judging *j)
{
        const json_t *row = locked_row(j), *policy = json_object_get(j->answer, "policy");
        const long long at = fact_number(row, "locked_at", 0), lasts = fact_number(policy, "lockout_s", -1);
        char since[32] = "?", until[32], end[160] = "";

        if (!row && !(flags(j) & UF_LOCKOUT))
                return;
        if (at)
                fact_time(at, since, sizeof(since));
        fact_time(at + lasts, until, sizeof(until));
        if (fact_text(j->account, "policy")[0])
                (void)snprintf(end, sizeof(end), "; for how long, its own password policy says");
        else if (lasts == 0)
                (void)snprintf(end, sizeof(end), ", until somebody unlocks it");
        else if (at && lasts > 0)
                (void)snprintf(end, sizeof(end), ", until %s by the domain's policy", until);
        found(j,
              (struct what){.code = "account_locked",
                            .stops = true,
                            .remedy =
                                    "Find what sends wrong passwords (postern log --user; event 4740 on the PDC names "
                                    "the computer), then unlock it: Unlock-ADAccount"},
              "it is locked out since %s (%s)%s", since, row ? fact_text(row, "dc") : fact_text(j->answer, "dc"), end);
}

static void judge_password(struct judging *j)
{
        const long long set = fact_number(j->account, "password_set", -1),
                        ends = fact_number(j->account, "password_expires", 0);
        char when[32];

        fact_time(ends, when, sizeof(when));
        if (set == 0 && !(flags(j) & (UF_SMARTCARD | UF_NEVER_EXPIRES)))
                found(j,
                      (struct what){.code = "password_must_change",
                                    .stops = true,
                                    .remedy = "The user must set a new one at a computer of the domain, or where the "
                                              "sign-in service offers it (password_change)"},
                      "its password must be changed at the next sign-in");
        else if ((flags(j) & UF_EXPIRED) || (ends && ends <= j->now))
                found(j,
                      (struct what){.code = "password_expired",
                                    .stops = true,
                                    .remedy = "The user must set a new one at a computer of the domain, or where the "
                                              "sign-in service offers it (password_change)"},
                      "its password expired%s%s", ends ? " at " : "", ends ? when : "");
        else if (ends && ends - j->now < SOON_S)
                found(j, (struct what){.code = "password_ends"}, "its password expires at %s", when);
}

static bool hour_allowed(const char *hex, long long now)
{
        const time_t t = (time_t)now;
        struct tm tm = {0};
        char two[3] = "";

        if (strlen(hex) != 42 || !gmtime_r(&t, &tm))
                return true;
        const unsigned hour = (unsigned)tm.tm_wday * 24 + (unsigned)tm.tm_hour;
        memcpy(two, hex + (size_t)(hour / 8) * 2, 2);
        return strtoul(two, NULL, 16) >> (hour % 8) & 1;
}

static void judge_state(struct judging *j)
{
        const long long ends = fact_number(j->account, "expires", 0),
                        type = fact_number(j->account, "type", TYPE_PERSON);
        char when[32];

        fact_time(ends, when, sizeof(when));
        if (type != TYPE_PERSON)
                found(j, (struct what){.code = "account_no_person", .stops = true},
                      "it is no person's account (sAMAccountType %lld): Postern signs in people only", type);
        if (flags(j) & UF_DISABLED)
                found(j,
                      (struct what){.code = "account_disabled",
                                    .stops = true,
                                    .remedy = "Ask who disabled it and why, then: Enable-ADAccount"},
                      "it is disabled");
        if (ends && ends <= j->now)
                found(j,
                      (struct what){.code = "account_expired",
                                    .stops = true,
                                    .remedy = "Where the person still works here: Set-ADAccountExpiration"},
                      "the account expired at %s", when);
        else if (ends && ends - j->now < SOON_S)
                found(j, (struct what){.code = "account_ends"}, "the account expires at %s", when);
        if (!hour_allowed(fact_text(j->account, "logon_hours"), j->now))
                found(j,
                      (struct what){.code = "logon_hours_now",
                                    .stops = true,
                                    .remedy = "Wait for the hours that its logonHours allow, or widen them"},
                      "it may not sign in at this hour");
}

/* By which ways it may sign in. */
static void judge_ways(struct judging *j)
{
        if (flags(j) & UF_SMARTCARD)
                found(j,
                      (struct what){
                              .code = "smartcard_only",
                              .stops = true,
                              .remedy = "Sign in with the smart card; where a password must do, take 'Smart card is "
                                        "required' off the account: Set-ADUser -SmartcardLogonRequired $false, then "
                                        "set a password"},
                      "it may sign in by smart card only: no password of it is right");
        if (fact_text(j->account, "workstations")[0])
                found(j,
                      (struct what){.code = "workstations_only",
                                    .stops = true,
                                    .remedy = "Add the connectors' host names to its userWorkstations, or use krb5, "
                                              "which does not look at them"},
                      "it may sign in from these computers only, which LDAP looks at: %s",
                      fact_text(j->account, "workstations"));
        if (json_is_true(json_object_get(j->account, "protected_user")))
                found(j,
                      (struct what){
                              .code = "protected_user",
                              .stops = true,
                              .remedy =
                                      "Set methods = krb5 for the domain, or take the account out of Protected Users"},
                      "it is in Protected Users: its password can be checked by Kerberos only, not by LDAP");
}

/* ---- what the domain controllers differ in ---- */

static void judge_counters(struct judging *j)
{
        const json_t *rows = json_object_get(j->answer, "dcs");
        long long newest = 0, last = 0, most = 0;
        const char *where = "";
        char when[32], lacking[600] = "";
        json_t *row;
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)rows, i, row) {
                if (fact_number(row, "password_set", 0) > newest)
                        newest = fact_number(row, "password_set", 0);
                if (fact_number(row, "last_bad", 0) > last) {
                        last = fact_number(row, "last_bad", 0);
                        where = fact_text(row, "dc");
                }
                if (fact_number(row, "bad_count", 0) > most)
                        most = fact_number(row, "bad_count", 0);
        }
        json_array_foreach ((json_t *)(uintptr_t)rows, i, row)
                if (json_object_get(row, "password_set") && fact_number(row, "password_set", 0) < newest)
                        (void)snprintf(lacking + strlen(lacking), sizeof(lacking) - strlen(lacking), "%s%.200s",
                                       lacking[0] ? ", " : "", fact_text(row, "dc"));
        fact_time(newest, when, sizeof(when));
        if (lacking[0])
                found(j,
                      (struct what){.code = "password_not_everywhere",
                                    .stops = true,
                                    .remedy = "Wait for replication, or look at it: repadmin /showrepl"},
                      "the password that was set at %s has not come to %s yet, where the one before still counts", when,
                      lacking);
        fact_time(last, when, sizeof(when));
        if (most > 0)
                found(j,
                      (struct what){.code = "bad_attempts",
                                    .remedy = "postern log --user shows which of them came through here; the others, "
                                              "the domain controller's security log (4771, 4776)"},
                      "%lld wrong password%s counted, the latest at %s (%s)", most, most == 1 ? " is" : "s are", when,
                      where);
}

/*
 * A password that the account had before counts nothing ([MS-SAMR] 3.1.1.7.1 and its notes: the two before): the domain
 * controller that refused it, where it counts at all, knows of no bad attempt at that time.
 */
static bool had_before(const struct judging *j, const json_t *failed)
{
        const json_t *rows = json_object_get(j->answer, "dcs");
        const long long at = fact_number(failed, "wall", 0);
        json_t *row;
        size_t i;

        if (fact_number(json_object_get(j->answer, "policy"), "lockout_threshold", 0) <= 0)
                return false;
        json_array_foreach ((json_t *)(uintptr_t)rows, i, row)
                if (strcmp(fact_text(row, "dc"), fact_text(failed, "dc")) == 0)
                        return json_object_get(row, "last_bad") && fact_number(row, "last_bad", 0) < at - CLOCKS_S;
        return false;
}

static void judge_failure(struct judging *j, const json_t *failed)
{
        const long long set = fact_number(j->account, "password_set", 0), at = fact_number(failed, "wall", 0);
        char set_at[32], failed_at[32];

        if (!failed || strcmp(fact_text(failed, "reason"), "wrong_password") != 0 || !set || !at ||
            (flags(j) & UF_SMARTCARD))
                return;
        fact_time(set, set_at, sizeof(set_at));
        if (set <= at && had_before(j, failed)) {
                found(j,
                      (struct what){
                              .code = "password_previous",
                              .remedy = "Have the user type the new one, and every device and program take it: mail, "
                                        "phone, saved passwords"},
                      "the password that was tried is one that the account had before %s: the domain controller "
                      "refused it "
                      "and counted no bad attempt",
                      set_at);
                return;
        }
        fact_time(at, failed_at, sizeof(failed_at));
        if (set > at)
                found(j, (struct what){.code = "password_set_since"},
                      "the password was set at %s, after the latest attempt here failed at %s: that attempt may have "
                      "had the right one",
                      set_at, failed_at);
        else if (at - set < SOON_S)
                found(j,
                      (struct what){.code = "password_set_before",
                                    .remedy = "Have every device and program of the user's take the new one: mail, "
                                              "phone, saved passwords"},
                      "the password was set at %s, not long before the attempt that failed at %s: something may still "
                      "use the one before",
                      set_at, failed_at);
}

json_t *account_findings(const json_t *answer, const json_t *failed, long long now)
{
        struct judging j = {
                .answer = answer, .account = json_object_get(answer, "account"), .list = json_array(), .now = now};

        judge_name(&j);
        if (json_is_object(j.account)) {
                judge_state(&j);
                judge_ways(&j);
                judge_lockout(&j);
                judge_password(&j);
                judge_counters(&j);
                judge_failure(&j, failed);
        }
        return j.list;
}

/* ---- what is shown ---- */

static void __attribute__((format(printf, 3, 4))) fact(json_t *list, const char *label, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        json_t *text = json_vsprintf(fmt, ap);
        va_end(ap);
        if (text && json_string_length(text))
                (void)json_array_append_new(list, json_pack("{s:s, s:O}", "label", label, "text", text));
        json_decref(text);
}

static void fact_when(json_t *list, const char *label, const json_t *account, const char *key, const char *never)
{
        const long long at = fact_number(account, key, -1);
        char when[32];

        if (at < 0)
                return;
        fact_time(at, when, sizeof(when));
        fact(list, label, "%s", at ? when : never);
}

json_t *account_facts(const json_t *answer)
{
        const json_t *account = json_object_get(answer, "account"), *by = json_object_get(account, "by");
        const char *upn = fact_text(account, "upn"), *way = json_string_value(json_array_get(by, 0));
        json_t *list = json_array();

        if (!json_is_object(account))
                return list;
        fact(list, "account", "%s", fact_text(account, "dn"));
        fact(list, "reached", "by %s, at %s", way ? way : "?", fact_text(answer, "dc"));
        fact(list, "names", "%s%s%s", upn, upn[0] ? ", " : "", fact_text(account, "sam"));
        fact(list, "mail", "%s", fact_text(account, "mail"));
        fact(list, "SID", "%s", fact_text(account, "sid"));
        fact_when(list, "password set", account, "password_set", "must be changed");
        fact_when(list, "  expires", account, "password_expires", "never");
        fact_when(list, "expires", account, "expires", "never");
        return list;
}

json_t *account_counters(const json_t *row)
{
        static const char *const times[][2] = {
                {"last_bad", "last_bad"}, {"locked", "locked_at"}, {"set", "password_set"}};
        const bool pdc = json_is_true(json_object_get(row, "pdc")), asked = json_is_true(json_object_get(row, "asked"));
        json_t *out = json_pack("{s:s, s:s}", "dc", fact_text(row, "dc"), "role",
                                pdc && asked ? "PDC, asked"
                                : pdc        ? "PDC"
                                : asked      ? "asked"
                                             : "");
        char when[32];

        if (fact_text(row, "error")[0]) {
                (void)json_object_set_new(out, "error", json_string(fact_text(row, "error")));
                return out;
        }
        (void)json_object_set_new(out, "bad", json_sprintf("%lld", fact_number(row, "bad_count", 0)));
        for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
                const long long at = fact_number(row, times[i][1], 0);

                fact_time(at, when, sizeof(when));
                (void)json_object_set_new(out, times[i][0], json_string(at ? when : "-"));
        }
        return out;
}
