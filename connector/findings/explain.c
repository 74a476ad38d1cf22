/*
 * What a record of the ledger says of a sign-in, in sentences.
 *
 * Facts come from the record, sentences from the one table of outcomes (validate/types/outcome.h). Nothing is guessed:
 * what the record doesn't hold is not said. It prints nothing.
 */
#include "connector/findings/explain.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "connector/findings/facts.h"
#include "connector/findings/history.h"
#include "queue/wire/wire.h"
#include "validate/types/detail.h"

#define OTHERS_MAX 500

static const char *declined_text(const char *why)
{
        const char *text = fact_decline(why);

        return text ? text : "the connector could not take it";
}

/* Over LDAP a DC gives one answer for a wrong password and for a name that it doesn't know. */
static bool name_may_be_unknown(const json_t *r)
{
        return strcmp(fact_text(r, "reason"), "wrong_password") == 0 && strcmp(fact_text(r, "method"), "ldap") == 0;
}

static const char *lockout_text(const json_t *r)
{
        const char *counted = fact_text(r, "may_have_counted");

        if (strcmp(fact_text(r, "verdict"), "accepted") == 0)
                return "does not count against the user";
        if (strcmp(counted, "1") == 0)
                return name_may_be_unknown(r)
                               ? "counted as one wrong password if the account exists (not if it was the "
                                 "account's previous password); enough of them lock it"
                               : "counted as one wrong password at the domain controller (not if it was the "
                                 "account's previous one); enough of them lock the account";
        if (strcmp(counted, "0") == 0)
                return "did not count as a wrong password";
        return "may have counted as one wrong password: the domain controller did not say";
}

static const char *password_text(const json_t *r)
{
        const char *reason = fact_text(r, "reason");

        if (json_is_true(json_object_get(r, "password_proved")))
                return "was right";
        if (name_may_be_unknown(r))
                return "was wrong, or there is no account of this name";
        if (strcmp(reason, "wrong_password") == 0)
                return fact_text(r, "dc")[0] ? "was wrong"
                                             : "was wrong a moment ago, when a domain controller was asked";
        if (strcmp(reason, "unknown_user") == 0)
                return "was not checked: there is no account of this name";
        return "not known to be right or wrong";
}

/* What a sign-in without a decision says of the DC: it names one also where it only tried. */
static const char *dc_failure_text(const char *reason)
{
        static const struct {
                const char *reason, *text;
        } texts[] = {
                {"outcome_unknown", "got the password and did not answer in time"},
                {"dc_timeout", "took the connection and did not answer in time"},
                {"dc_unreachable", "could not be reached"},
                {"dc_tls_timeout", "did not finish the TLS handshake in time"},
                {"dc_refused", "could not be asked"},
                {"dc_tls", "could not be asked"},
                {"dc_certificate", "could not be asked"},
                {"dns", "could not be asked"},
                {"no_dc", "could not be asked"},
                {"deadline", "could not be asked in time"},
                {"overloaded", "was not asked"},
                {"cancelled", "was being asked when the sign-in was cancelled"},
                {"throttled", "was asked for the account and did not get the password"},
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (strcmp(texts[i].reason, reason) == 0)
                        return texts[i].text;
        return NULL;
}

static const char *no_dc_text(const char *reason)
{
        const char *const local[] = {"deadline", "overloaded", "cancelled", "throttled"};

        for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
                if (strcmp(reason, local[i]) == 0)
                        return "no domain controller was asked";
        return dc_failure_text(reason) ? "no domain controller could be asked: all had failed before"
                                       : "no domain controller was asked";
}

/* ---- the hops ---- */

static void hop(json_t *hops, long long ms, const char *text)
{
        (void)json_array_append_new(hops, json_pack("{s:I, s:s}", "ms", (json_int_t)ms, "text", text));
}

static void note(json_t *hops, const char *text)
{
        (void)json_array_append_new(hops, json_pack("{s:s}", "text", text));
}

static void answer_hop(json_t *hops, const json_t *r)
{
        const char *id = fact_text(r, "method"), *method = strcmp(id, "krb5") == 0   ? "Kerberos"
                                                           : strcmp(id, "ldap") == 0 ? "LDAP"
                                                                                     : "";
        const char *dc = fact_text(r, "dc"), *failure = dc_failure_text(fact_text(r, "reason"));
        const long long ms = fact_number(r, "ms_dc", 0);
        char text[512];

        if (!dc[0])
                (void)snprintf(text, sizeof(text), "%s", no_dc_text(fact_text(r, "reason")));
        else if (!failure)
                (void)snprintf(text, sizeof(text), "domain controller %s answered%s%s, %lld ms after it was asked", dc,
                               method[0] ? " by " : "", method, ms);
        else if (ms > 0)
                (void)snprintf(text, sizeof(text), "domain controller %s%s%s%s %s; waited %lld ms", dc,
                               method[0] ? " (" : "", method, method[0] ? ")" : "", failure, ms);
        else
                (void)snprintf(text, sizeof(text), "domain controller %s%s%s%s %s", dc, method[0] ? " (" : "", method,
                               method[0] ? ")" : "", failure);
        hop(hops, fact_number(r, "ms_total", 0), text);
}

static void declined_hops(json_t *hops, const json_t *r)
{
        const char *declined = fact_text(r, "declined");
        char text[300];

        (void)snprintf(text, sizeof(text), "declined: %s", declined_text(declined));
        hop(hops, fact_number(r, "ms_total", 0), text);
        note(hops,
             decline_may_move_on(declined)
                     ? "the relay was free to ask another connector; look there for the answer"
                     : "no other connector was asked; the sign-in service was told that its request was not taken");
}

static void decided_hops(json_t *hops, const json_t *r)
{
        const char *state = fact_text(r, "delivery");
        const char *delivery =
                strcmp(state, "confirmed") == 0 ? "the relay confirmed it; the sign-in service has the answer"
                : strcmp(state, "late") == 0    ? "it came too late: the sign-in service had given up waiting"
                : strcmp(state, "lost") == 0    ? "it never reached the relay; the user saw a failure"
                : state[0]                      ? state
                                                : "not confirmed by the relay (yet)";
        char text[300];

        hop(hops, fact_number(r, "ms_opened", 0), "opened; service, signature and age checked");
        answer_hop(hops, r);
        hop(hops, fact_number(r, "ms_total", 0), "verdict signed and handed to the link");
        (void)snprintf(text, sizeof(text), "delivery: %s", delivery);
        note(hops, text);
}

static json_t *hops_of(const json_t *r)
{
        const json_t *events = json_object_get(r, "events");
        json_t *hops = json_array();
        char text[1200];

        hop(hops, 0, "received from the relay");
        if (fact_is_lost(r)) {
                note(hops,
                     "handed to the validator process, which ended before it answered; the relay was told at once");
                note(hops, "the sign-in service was told that the outcome is not known");
        } else if (fact_text(r, "declined")[0]) {
                declined_hops(hops, r);
        } else {
                decided_hops(hops, r);
        }
        for (size_t i = json_array_size(events); i > 0; i--) {
                const json_t *e = json_array_get(events, i - 1);

                (void)snprintf(text, sizeof(text), "also noted: %.100s %.1000s", fact_text(e, "event"),
                               fact_text(e, "detail"));
                note(hops, text);
        }
        return hops;
}

/* ---- who and what ---- */

/* Those of the members that are there, with blanks between. */
static void put_joined(json_t *object, const char *key, const json_t *r, const char *const *members)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(4096);

        for (; *members; members++)
                if (fact_text(r, *members)[0])
                        (void)buffer_printf(&text, "%s%s", text.len ? " " : "", fact_text(r, *members));
        fact_put(object, key, text.data);
}

/* Of a second attempt, whose first one may be known elsewhere only. */
static void put_attempt(json_t *object, const char *id)
{
        const int n = (int)id_first(id);
        char text[ID_MAX + 300];

        if (id[n] == '\0')
                return;
        (void)snprintf(
                text, sizeof(text),
                "the second of sign-in %.*s; what is not known of the first here, the other connectors know, or the "
                "relay: postern tenant trace %.*s",
                n, id, n, id);
        fact_put(object, "attempt", text);
}

static void put_who(json_t *object, const json_t *r)
{
        static const char *const account[] = {"domain", "sam", "user_id", NULL}, *const service[] = {"service", NULL},
                                 *const from[] = {"client_ip", "client_app", "client_agent", NULL};
        char when[32];

        fact_time(fact_number(r, "wall", 0), when, sizeof(when));
        fact_put(object, "id", fact_text(r, "id"));
        fact_put(object, "connector", fact_text(r, "connector"));
        put_attempt(object, fact_text(r, "id"));
        fact_put(object, "when", when);
        fact_put(object, "user", fact_user(r)[0] ? fact_user(r) : "(not known: the request could not be opened)");
        if (!fact_text(r, "user")[0] && fact_text(r, "user_masked")[0])
                fact_put(
                        object, "user_note",
                        "(masked: nothing showed that there is an account of this name, and people type passwords into "
                        "this "
                        "field; a search for the whole name finds it)");
        put_joined(object, "account", r, account);
        put_joined(object, "service", r, service);
        put_joined(object, "from", r, from);
}

/* Whether the guard stopped it, and then until when. */
static bool throttled_until(const json_t *r, char out[300])
{
        const char *told = strstr(fact_text(r, "context"), "guard for another ");
        char when[32];

        if (strcmp(fact_text(r, "reason"), "throttled") != 0 || !told)
                return false;
        fact_time(fact_number(r, "wall", 0) + strtoll(told + strlen("guard for another "), NULL, 10), when,
                  sizeof(when));
        (void)snprintf(out, 300,
                       "The guard lets the name through again by itself at %s. Until then find what keeps sending the "
                       "wrong password: an old one in a phone, a mail program, a service.",
                       when);
        return true;
}

static void put_meaning(json_t *object, const json_t *r)
{
        const enum reason reason = reason_from_id(fact_text(r, "reason"));
        const struct detail_info *detail = detail_info(detail_find(reason, fact_text(r, "context")));
        char until[300];

        if (fact_is_lost(r)) {
                fact_put(object, "meaning",
                         "The connector's validator process took this sign-in and ended before it answered: it "
                         "crashed, was "
                         "killed or was restarted. Whose name it was is not known here, for only that process reads "
                         "requests.");
                fact_put(object, "remedy",
                         "The user may try again. Where it was more than once: postern log --events tells when and why "
                         "the "
                         "process ended, its log (journalctl -u postern) what led to it.");
                fact_put(object, "user_saw", reason_user_text(REASON_OUTCOME_UNKNOWN, false));
                fact_put(object, "lockout", lockout_text(r));
                fact_put(object, "password", password_text(r));
        } else if (fact_text(r, "declined")[0]) {
                fact_put(object, "meaning", declined_text(fact_text(r, "declined")));
        } else if (reason == REASON_MAX) {
                fact_put(object, "meaning",
                         "the reason is not one this program knows; it is of another version than posternd");
        } else {
                fact_put(object, "meaning",
                         detail ? detail->helpdesk_text
                         : reason == REASON_WRONG_PASSWORD && !name_may_be_unknown(r)
                                 ? "The domain controller says that "
                                   "the password is wrong."
                                 : reason_info(reason)->helpdesk_text);
                fact_put(object, "remedy",
                         throttled_until(r, until) ? until
                         : detail                  ? detail->remedy
                                                   : reason_info(reason)->remedy);
                fact_put(object, "detail_code", detail ? detail->id : "");
                /* the exact policy only where the password was proved */
                fact_put(object, "user_saw",
                         reason_user_text(reason, json_is_true(json_object_get(r, "password_proved"))));
                fact_put(object, "lockout", lockout_text(r));
                fact_put(object, "password", password_text(r));
        }
        fact_put(object, "codes", fact_text(r, "raw"));
        fact_put(object, "detail", fact_text(r, "context"));
}

json_t *explain_record(const json_t *record)
{
        const char *verdict = fact_text(record, "verdict"), *declined = fact_text(record, "declined");
        json_t *object = json_object();
        char result[300];

        put_who(object, record);
        if (fact_is_lost(record))
                (void)snprintf(result, sizeof(result), "lost: outcome_unknown (infrastructure)");
        else if (declined[0])
                (void)snprintf(result, sizeof(result), "declined (%s)", declined);
        else if (strcmp(verdict, "accepted") == 0)
                (void)snprintf(result, sizeof(result), "accepted");
        else
                (void)snprintf(result, sizeof(result), "%s: %s (%s)", verdict, fact_text(record, "reason"),
                               fact_text(record, "class"));
        fact_put(object, "result", result);
        (void)json_object_set_new(object, "hops", hops_of(record));
        put_meaning(object, record);
        return object;
}

json_t *explain_ticket(const json_t *explained)
{
        static const struct {
                const char *key, *label;
        } lines[] = {{"id", "Postern sign-in"}, {"when", "When"},       {"user", "User"},       {"from", "From"},
                     {"service", "Service"},    {"result", "Result"},   {"meaning", "Meaning"}, {"remedy", "To do"},
                     {"password", "Password"},  {"lockout", "Lockout"}, {"detail", "Detail"}};
        _cleanup_(buffer_free) struct buffer text = BUFFER(8192);
        const json_t *seen;
        size_t i;

        for (size_t k = 0; k < sizeof(lines) / sizeof(lines[0]); k++)
                if (fact_text(explained, lines[k].key)[0])
                        (void)buffer_printf(&text, "%s%s: %s", text.len ? "\n" : "", lines[k].label,
                                            fact_text(explained, lines[k].key));
        json_array_foreach (json_object_get(explained, "seen"), i, seen)
                (void)buffer_printf(&text, "\nSeen: %s", json_string_value(seen));
        json_array_foreach (json_object_get(explained, "directory"), i, seen)
                (void)buffer_printf(&text, "\nDirectory: %s", json_string_value(seen));
        return json_string(text.data ? text.data : "");
}

/* Whether what the directory says now may be why this was refused: only then does it go before the reason's remedy. */
static bool may_be_why(const json_t *record, const json_t *finding)
{
        static const char *const of_passwords[] = {"account_twin", "password_previous", "password_set_since"};

        if (strcmp(fact_text(record, "class"), "credentials") != 0)
                return false; /* the domain controller named a state, or nobody decided */
        for (size_t i = 0; i < sizeof(of_passwords) / sizeof(of_passwords[0]); i++)
                if (strcmp(fact_text(finding, "code"), of_passwords[i]) == 0)
                        return true;
        return json_is_true(json_object_get(finding, "stops"));
}

static void put_account(json_t *told, const json_t *record, const json_t *account)
{
        json_t *list = json_array(), *finding;
        bool explained = fact_text(told, "detail_code")[0] != '\0';
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)account, i, finding) {
                const char *remedy = fact_text(finding, "remedy");

                (void)json_array_append_new(
                        list, json_sprintf("%s%s%s", fact_text(finding, "text"), remedy[0] ? ". " : "", remedy));
                if (explained || !may_be_why(record, finding))
                        continue;
                explained = true;
                fact_put(told, "detail_code", fact_text(finding, "code"));
                if (remedy[0])
                        (void)json_object_set_new(told, "remedy",
                                                  json_sprintf("%s. (%s)", remedy, fact_text(finding, "text")));
        }
        if (json_array_size(account) == 0)
                (void)json_array_append_new(list,
                                            json_string("nothing in the account stands in the way of a sign-in with "
                                                        "the right password"));
        (void)json_object_set_new(told, "directory", list);
}

json_t *explain_story(const json_t *record, const json_t *others, long long bad_attempts, const json_t *account)
{
        json_t *told = explain_record(record), *seen = others ? history_sentences(others, record, bad_attempts) : NULL;

        if (json_array_size(seen))
                (void)json_object_set(told, "seen", seen);
        json_decref(seen);
        if (account)
                put_account(told, record, account);
        (void)json_object_set_new(told, "ticket", explain_ticket(told));
        return told;
}

const char *explain_whose(const json_t *record, const char *typed)
{
        const char *id = fact_text(record, "user_id"), *user = fact_text(record, "user");

        return id[0] ? id : user[0] ? user : typed ? typed : "";
}

json_t *explain_others(const json_t *record, const char *typed)
{
        const char *name = explain_whose(record, typed);

        return name[0] ? json_pack("{s:s, s:s, s:i}", "do", "log", "user", name, "limit", OTHERS_MAX) : NULL;
}
