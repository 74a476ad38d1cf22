/*
 * postern explain: what happened to one sign-in, told for somebody who has the user on the telephone.
 *
 * Facts come from the ledger, sentences from the one table of outcomes (validate/types/outcome.h). Nothing is
 * guessed: what the record doesn't hold is not said.
 */
#include <string.h>

#include "connector/cli/view.h"
#include "queue/wire/wire.h"
#include "validate/types/outcome.h"

static const struct cli_usage usage = {
        .name = "explain",
        .words = "ID-OR-USER",
        .min_words = 1,
        .max_words = 1,
        .about = "Tells what happened to a sign-in, hop by hop, what it means and what to do.\n"
                 "ID is the reference that the user was shown; a user's name (alice@corp.example,\n"
                 "CORP\\alice, the SID) shows the latest sign-in of that user at this connector.\n"
                 "Exit code 1: nothing found.\n",
};

#define LABEL "  %-10s "
#define WHAT_MAX 512 /* REQUEST_TEXT_MAX of the ledger */
#define ID_COLUMNS 26
#define ID_LETTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static void line(const char *label, const char *text)
{
        (void)printf(LABEL, label);
        view_wrap(13, text);
}

/* Those of the members that are there, with blanks between. */
static void line_of(const char *label, const json_t *r, const char *const *keys)
{
        bool first = true;

        for (; *keys; keys++) {
                const char *text = view_text(r, *keys);
                if (!text[0])
                        continue;
                if (first)
                        (void)printf(LABEL, label);
                else
                        (void)fputc(' ', stdout);
                cli_print_text(stdout, text);
                first = false;
        }
        if (!first)
                (void)fputc('\n', stdout);
}

static void step(long long ms, const char *text)
{
        (void)printf("  +%5lld ms  ", ms);
        view_wrap(13, text);
}

static const char *declined_text(const char *why)
{
        const char *text = view_decline(why);

        return text ? text : "the connector could not take it";
}

static const char *delivery_text(const char *state)
{
        if (strcmp(state, "confirmed") == 0)
                return "the relay confirmed it; the sign-in service has the answer";
        if (strcmp(state, "late") == 0)
                return "it came too late: the sign-in service had given up waiting";
        if (strcmp(state, "lost") == 0)
                return "it never reached the relay; the user saw a failure";
        return state[0] ? state : "not confirmed by the relay (yet)";
}

/* Over LDAP a DC gives one answer for a wrong password and for a name that it doesn't know. */
static bool name_may_be_unknown(const json_t *r)
{
        return strcmp(view_text(r, "reason"), "wrong_password") == 0 && strcmp(view_text(r, "method"), "ldap") == 0;
}

static const char *lockout_text(const json_t *r)
{
        const char *counted = view_text(r, "may_have_counted");

        if (strcmp(view_text(r, "verdict"), "accepted") == 0)
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
        const char *reason = view_text(r, "reason");

        if (json_is_true(json_object_get(r, "password_proved")))
                return "was right";
        if (name_may_be_unknown(r))
                return "was wrong, or there is no account of this name";
        if (strcmp(reason, "wrong_password") == 0)
                return "was wrong";
        if (strcmp(reason, "unknown_user") == 0)
                return "was not checked: there is no account of this name";
        return "not known to be right or wrong";
}

/* ---- the hops ---- */

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
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (strcmp(texts[i].reason, reason) == 0)
                        return texts[i].text;
        return NULL;
}

static const char *no_dc_text(const char *reason)
{
        const char *const local[] = {"deadline", "overloaded", "cancelled"};

        for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
                if (strcmp(reason, local[i]) == 0)
                        return "no domain controller was asked";
        return dc_failure_text(reason) ? "no domain controller could be asked: all had failed before"
                                       : "no domain controller was asked";
}

static const char *method_name(const char *method)
{
        return strcmp(method, "krb5") == 0 ? "Kerberos" : strcmp(method, "ldap") == 0 ? "LDAP" : "an unknown method";
}

static void show_answer_hop(const json_t *r)
{
        const char *dc = view_text(r, "dc"), *method = method_name(view_text(r, "method")),
                   *failure = dc_failure_text(view_text(r, "reason"));
        long long total = view_number(r, "ms_total", 0), ms = view_number(r, "ms_dc", 0);
        char text[512];

        if (!dc[0])
                (void)snprintf(text, sizeof(text), "%s", no_dc_text(view_text(r, "reason")));
        else if (!failure)
                (void)snprintf(text, sizeof(text), "domain controller %s answered by %s, %lld ms after it was asked",
                               dc, method, ms);
        else if (ms > 0)
                (void)snprintf(text, sizeof(text), "domain controller %s (%s) %s; waited %lld ms", dc, method, failure,
                               ms);
        else
                (void)snprintf(text, sizeof(text), "domain controller %s (%s) %s", dc, method, failure);
        step(total, text);
}

static void show_events(const json_t *r)
{
        const json_t *events = json_object_get(r, "events");

        for (size_t i = json_array_size(events); i > 0; i--) {
                const json_t *e = json_array_get(events, i - 1);
                (void)printf("             also noted: ");
                cli_print_text(stdout, view_text(e, "event"));
                (void)fputc(' ', stdout);
                cli_print_text(stdout, view_text(e, "detail"));
                (void)fputc('\n', stdout);
        }
}

static void show_hops(const json_t *r)
{
        const char *declined = view_text(r, "declined");
        char text[300];

        (void)printf("\nHop by hop\n");
        step(0, "received from the relay");
        if (declined[0]) {
                (void)snprintf(text, sizeof(text), "declined: %s", declined_text(declined));
                step(view_number(r, "ms_total", 0), text);
                (void)printf("             %s\n",
                             decline_may_move_on(declined)
                                     ? "the relay was free to ask another connector; look there for "
                                       "the answer"
                                     : "no other connector was asked; the sign-in service was told "
                                       "that its request was not taken");
        } else {
                step(view_number(r, "ms_opened", 0), "opened; service, signature and age checked");
                show_answer_hop(r);
                step(view_number(r, "ms_total", 0), "verdict signed and handed to the link");
                (void)printf("             delivery: ");
                cli_print_text(stdout, delivery_text(view_text(r, "delivery")));
                (void)fputc('\n', stdout);
        }
        show_events(r);
}

/* ---- the rest ---- */

/* Of a second attempt, whose first one may be known elsewhere only. */
static void show_attempt(const char *id)
{
        char text[ID_MAX + 200];
        size_t n = id_first(id);

        if (id[n] == '\0')
                return;
        (void)snprintf(text, sizeof(text),
                       "the second of sign-in %.*s; what is not known of the first here, the other connectors know, or "
                       "the relay: postern tenant trace %.*s",
                       (int)n, id, (int)n, id);
        line("Attempt", text);
}

static void show_who(const json_t *r)
{
        static const char *const account[] = {"domain", "sam", "user_id", NULL}, *const service[] = {"service", NULL},
                                 *const from[] = {"client_ip", "client_app", NULL};
        char when[32];

        view_time(view_number(r, "wall", 0), when, sizeof(when));
        (void)printf("Sign-in ");
        cli_print_text(stdout, view_text(r, "id"));
        (void)printf("\n");
        show_attempt(view_text(r, "id"));
        line("When", when);
        line("User", view_user(r)[0] ? view_user(r) : "(not known: the request could not be opened)");
        if (!view_text(r, "user")[0] && view_text(r, "user_masked")[0])
                line("", "(masked: nothing showed that there is an account of this name, and people type "
                         "passwords "
                         "into this field; a search for the whole name finds it)");
        line_of("Account", r, account);
        line_of("Service", r, service);
        line_of("From", r, from);
}

static void show_verdict(const json_t *r)
{
        const char *verdict = view_text(r, "verdict");
        char text[200];

        if (view_text(r, "declined")[0]) {
                (void)snprintf(text, sizeof(text), "declined (%s)", view_text(r, "declined"));
                line("Result", text);
                return;
        }
        (void)snprintf(text, sizeof(text), "%s: %s (%s)", verdict, view_text(r, "reason"), view_text(r, "class"));
        line("Result", strcmp(verdict, "accepted") == 0 ? "accepted" : text);
}

/* The user is told the exact policy only where the password was proved. */
static const char *user_text(const json_t *r, enum reason reason)
{
        return reason_user_text(reason, json_is_true(json_object_get(r, "password_proved")));
}

static void show_meaning(const json_t *r)
{
        const struct reason_info *info;
        enum reason reason = reason_from_id(view_text(r, "reason"));

        (void)printf("\nWhat it means\n");
        if (view_text(r, "declined")[0]) {
                line("Meaning", declined_text(view_text(r, "declined")));
        } else if (reason == REASON_MAX) {
                line("Meaning", "the reason is not one this program knows; it is of another version than posternd");
        } else {
                info = reason_info(reason);
                line("Meaning", info->helpdesk_text);
                line("To do", info->remedy);
                line("User saw", user_text(r, reason));
                line("Lockout", lockout_text(r));
                line("Password", password_text(r));
        }
        if (view_text(r, "raw")[0])
                line("Codes", view_text(r, "raw"));
        if (view_text(r, "context")[0])
                line("Detail", view_text(r, "context"));
}

/* All but the two that were shown. */
static void show_others(const json_t *list, const json_t *shown, const json_t *too)
{
        bool any = false;
        char when[32];

        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *r = json_array_get(list, i);
                const char *declined = view_text(r, "declined");

                if (r == shown || r == too)
                        continue;
                if (!any)
                        (void)printf("\nBefore that\n");
                any = true;
                view_time(view_number(r, "wall", 0), when, sizeof(when));
                (void)printf("  %s  %-11s %-20s ", when, declined[0] ? "declined" : view_text(r, "verdict"),
                             declined[0] ? declined : view_text(r, "reason"));
                cli_print_text(stdout, view_text(r, "id"));
                (void)fputc('\n', stdout);
        }
}

/* Sign-ins that no connector took leave a trace at the relay alone. */
static void not_found(struct cli *cli, const char *what)
{
        if (id_first(what) == ID_COLUMNS && strspn(what, ID_LETTERS) == ID_COLUMNS)
                (void)cli_error(cli,
                                "nothing is known of the sign-in '%s' at this connector. Ask the other "
                                "connectors, or the relay which of them had it, if any: on the tenant "
                                "admin's machine run: postern tenant trace %s",
                                what, what);
        else
                (void)cli_error(cli,
                                "nothing is known of '%s' at this connector. If there are several, ask the "
                                "others; a user is found by user@domain, DOMAIN\\user or the SID, a sign-in "
                                "by its id of %d characters",
                                what, ID_COLUMNS);
}

static void show_one(const json_t *r)
{
        show_who(r);
        show_verdict(r);
        show_hops(r);
        show_meaning(r);
}

/* The newest record of another id than r's: of the first attempt, where r is of the second. */
static const json_t *first_attempt(const json_t *list, const json_t *r)
{
        for (size_t i = 0; i < json_array_size(list); i++)
                if (strcmp(view_text(json_array_get(list, i), "id"), view_text(r, "id")) != 0)
                        return json_array_get(list, i);
        return NULL;
}

static void show_by_id(const json_t *list)
{
        const json_t *r = json_array_get(list, 0), *first = first_attempt(list, r);

        if (first) {
                view_wrap(0, "The sign-in service tried this sign-in twice, because no connector could take the first "
                             "attempt. Both follow; what the user saw came of the second.");
                (void)fputc('\n', stdout);
                show_one(first);
                (void)fputc('\n', stdout);
        }
        show_one(r);
        show_others(list, r, first);
}

static int show(struct cli *cli, const char *what, const json_t *answer)
{
        const json_t *list = json_object_get(answer, "records"), *r = json_array_get(list, 0);

        if (!r) {
                not_found(cli, what);
                return CLI_FAILED;
        }
        if (strcmp(view_text(answer, "found_by"), "id") == 0) {
                show_by_id(list);
        } else {
                show_one(r);
                show_others(list, r, NULL);
        }
        return CLI_OK;
}

/* The sentences belong into the JSON, too, so that a helpdesk's own tool needs no table. */
static void add_texts(json_t *answer)
{
        json_t *list = json_object_get(answer, "records"), *r;
        size_t i;

        json_array_foreach (list, i, r) {
                enum reason reason = reason_from_id(view_text(r, "reason"));
                if (reason == REASON_MAX || view_text(r, "declined")[0])
                        continue;
                const struct reason_info *info = reason_info(reason);
                (void)json_object_set_new(r, "helpdesk_text", json_string(info->helpdesk_text));
                (void)json_object_set_new(r, "remedy", json_string(info->remedy));
                (void)json_object_set_new(r, "user_text", json_string(user_text(r, reason)));
        }
}

int cmd_explain(struct cli *cli, int argc, char **argv)
{
        json_t *answer = NULL;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!words[0][0] || strlen(words[0]) > WHAT_MAX)
                return cli_usage_error(cli, "ID-OR-USER takes 1 to %d bytes", WHAT_MAX);
        json_t *request = json_pack("{s:s, s:s}", "do", "explain", "what", words[0]);
        int r = view_ask(cli, request, &answer, &code);
        json_decref(request);
        if (r < 0)
                return code;
        if (cli->json) {
                add_texts(answer);
                view_print_json(answer);
                code = json_array_size(json_object_get(answer, "records")) ? CLI_OK : CLI_FAILED;
        } else {
                code = show(cli, words[0], answer);
        }
        json_decref(answer);
        return code;
}
