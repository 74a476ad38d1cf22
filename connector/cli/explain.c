/*
 * postern explain: what happened to one sign-in, told for somebody who has the user on the telephone.
 *
 * Facts come from the ledger, sentences from the one table of outcomes (validate/outcome.h). Nothing is
 * guessed: what the record doesn't hold is not said.
 */
#include <string.h>

#include "connector/cli/view.h"
#include "validate/outcome.h"

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

static void line(const char *label, const char *text)
{
        (void)printf(LABEL, label);
        cli_print_text(stdout, text);
        (void)fputc('\n', stdout);
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
        cli_print_text(stdout, text);
        (void)fputc('\n', stdout);
}

/* What a decline means; the words are the protocol's. */
static const char *decline_text(const char *why)
{
        static const struct {
                const char *why, *text;
        } texts[] = {
                {"not_my_realm", "this connector does not serve the domain of that name"},
                {"no_dc", "no domain controller of that domain answered this connector"},
                {"full", "this connector had too many sign-ins at once"},
                {"draining", "this connector was being stopped"},
                {"stale_key", "the request was sealed to a key this connector no longer has"},
                {"bad_request", "the request was malformed or not from an approved service"},
                {"expired", "the request came too late, or a clock is wrong"},
                {"replay", "the same request had come before"},
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (strcmp(texts[i].why, why) == 0)
                        return texts[i].text;
        return "this connector could not take it";
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

static const char *lockout_text(const char *counted, const char *verdict)
{
        if (strcmp(verdict, "accepted") == 0)
                return "does not count against the user";
        if (strcmp(counted, "1") == 0)
                return "counted as one wrong password at the domain controller; enough of them lock the "
                       "account";
        if (strcmp(counted, "0") == 0)
                return "did not count as a wrong password";
        return "may have counted as one wrong password: the domain controller did not say";
}

/* ---- the hops ---- */

static void show_answer_hop(const json_t *r)
{
        char text[512];
        const char *dc = view_text(r, "dc"), *method = view_text(r, "method");
        long long total = view_number(r, "ms_total", 0);

        if (!dc[0]) {
                step(total, "no domain controller was asked, or none answered");
                return;
        }
        (void)snprintf(text, sizeof(text), "domain controller %s answered by %s, %lld ms after it was asked",
                       dc,
                       strcmp(method, "krb5") == 0   ? "Kerberos"
                       : strcmp(method, "ldap") == 0 ? "LDAP"
                                                     : "an unknown method",
                       view_number(r, "ms_dc", 0));
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
                (void)snprintf(text, sizeof(text), "declined: %s", decline_text(declined));
                step(view_number(r, "ms_total", 0), text);
                (void)printf("             the relay was free to ask another connector; look there for the "
                             "answer\n");
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

static void show_who(const json_t *r)
{
        static const char *const account[] = {"domain", "sam", "user_id", NULL},
                                 *const service[] = {"service", NULL},
                                 *const from[] = {"client_ip", "client_app", NULL};
        char when[32];

        view_time(view_number(r, "wall", 0), when, sizeof(when));
        (void)printf("Sign-in ");
        cli_print_text(stdout, view_text(r, "id"));
        (void)printf("\n");
        line("When", when);
        line("User", view_user(r)[0] ? view_user(r) : "(not known: the request could not be opened)");
        if (!view_text(r, "user")[0] && view_text(r, "user_masked")[0])
                line("", "(masked, because no account of that name is known)");
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
        (void)snprintf(text, sizeof(text), "%s: %s (%s)", verdict, view_text(r, "reason"),
                       view_text(r, "class"));
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
                line("Meaning", decline_text(view_text(r, "declined")));
        } else if (reason == REASON_MAX) {
                line("Meaning",
                     "the reason is not one this program knows; it is of another version than posternd");
        } else {
                info = reason_info(reason);
                line("Meaning", info->helpdesk_text);
                line("To do", info->remedy);
                line("User saw", user_text(r, reason));
                line("Lockout", lockout_text(view_text(r, "may_have_counted"), view_text(r, "verdict")));
                line("Password", json_is_true(json_object_get(r, "password_proved")) ? "was right"
                                 : strcmp(view_text(r, "reason"), "wrong_password") == 0
                                         ? "was wrong"
                                         : "not proved right");
        }
        if (view_text(r, "raw")[0])
                line("Codes", view_text(r, "raw"));
        if (view_text(r, "context")[0])
                line("Detail", view_text(r, "context"));
}

static void show_others(const json_t *list)
{
        char when[32];

        if (json_array_size(list) < 2)
                return;
        (void)printf("\nBefore that\n");
        for (size_t i = 1; i < json_array_size(list); i++) {
                const json_t *r = json_array_get(list, i);
                const char *declined = view_text(r, "declined");
                view_time(view_number(r, "wall", 0), when, sizeof(when));
                (void)printf("  %s  %-11s %-20s ", when, declined[0] ? "declined" : view_text(r, "verdict"),
                             declined[0] ? declined : view_text(r, "reason"));
                cli_print_text(stdout, view_text(r, "id"));
                (void)fputc('\n', stdout);
        }
}

static int show(struct cli *cli, const char *what, const json_t *answer)
{
        const json_t *list = json_object_get(answer, "records"), *r = json_array_get(list, 0);

        if (!r) {
                (void)cli_error(
                        cli,
                        "nothing is known of '%s' at this connector; if there are several, ask the others",
                        what);
                return CLI_FAILED;
        }
        show_who(r);
        show_verdict(r);
        show_hops(r);
        show_meaning(r);
        show_others(list);
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
