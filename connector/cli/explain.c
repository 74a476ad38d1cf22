/*
 * postern explain: what happened to one sign-in, told for somebody who has the user on the telephone.
 *
 * What it says is connector/findings/explain.c's; this lays it out.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/cli/account.h"
#include "connector/cli/person.h"
#include "connector/cli/view.h"
#include "connector/findings/account.h"
#include "connector/findings/explain.h"

static const char *bad_text;
static bool everywhere, with_account;

static const struct cli_option options[] = {
        {"bad-attempts", "N", &bad_text, NULL, "how many the directory counts (badPwdCount)"},
        {"account", NULL, NULL, &with_account, "with what the directory says of the account now"},
        {"everywhere", NULL, NULL, &everywhere, "ask every connector of the tenant, with your key"},
        PERSON_OPTIONS,
        {NULL, NULL, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
        .name = "explain",
        .words = "ID-OR-USER",
        .min_words = 1,
        .max_words = 1,
        .about = "Tells what happened to a sign-in, hop by hop, what it means and what to do.\n"
                 "ID is the reference that the user was shown, or its beginning; a user's name\n"
                 "(alice@corp.example, CORP\\alice, the SID) shows the latest sign-in of that user\n"
                 "at this connector. --everywhere asks all connectors through the relay, by the\n"
                 "exact id or name (see postern person), and names those that are silent.\n"
                 "Exit code 1: nothing found.\n",
        .options = options,
};

#define LABEL "  %-10s "
#define WHAT_MAX 512 /* REQUEST_TEXT_MAX of the ledger */

struct label {
        const char *key, *text;
};

static const struct label who[] = {
        {"connector", "Connector"}, {"attempt", "Attempt"}, {"when", "When"}, {"user", "User"},     {"user_note", ""},
        {"account", "Account"},     {"service", "Service"}, {"from", "From"}, {"result", "Result"}, {NULL, NULL}};
static const struct label meaning[] = {
        {"meaning", "Meaning"},   {"remedy", "To do"}, {"user_saw", "User saw"}, {"lockout", "Lockout"},
        {"password", "Password"}, {"codes", "Codes"},  {"detail", "Detail"},     {NULL, NULL}};

static void show_lines(const json_t *told, const struct label *labels)
{
        for (; labels->key; labels++) {
                const char *text = fact_text(told, labels->key);

                if (!text[0])
                        continue;
                (void)printf(LABEL, labels->text);
                view_wrap(13, text);
        }
}

static void show_hops(const json_t *told)
{
        const json_t *hops = json_object_get(told, "hops"), *hop;
        size_t i;

        json_array_foreach (hops, i, hop) {
                if (json_object_get(hop, "ms"))
                        (void)printf("  +%5lld ms  ", fact_number(hop, "ms", 0));
                else
                        (void)printf("%13s", "");
                view_wrap(13, fact_text(hop, "text"));
        }
}

/* Lines of text, indented and broken to fit. */
static void show_text(const char *text)
{
        char line[1024];

        while (*text) {
                const size_t n = strcspn(text, "\n");

                (void)snprintf(line, sizeof(line), "%.*s", (int)n, text);
                (void)printf("  ");
                view_wrap(4, line);
                text += n + (text[n] != '\0');
        }
}

static void show_one(const json_t *told)
{
        const json_t *text;
        size_t i;

        (void)printf("Sign-in ");
        cli_print_text(stdout, fact_text(told, "id"));
        (void)printf("\n");
        show_lines(told, who);
        (void)printf("\nHop by hop\n");
        show_hops(told);
        (void)printf("\nWhat it means\n");
        show_lines(told, meaning);
        json_array_foreach (json_object_get(told, "seen"), i, text) {
                (void)printf(LABEL, i ? "" : "Seen");
                view_wrap(13, json_string_value(text));
        }
        json_array_foreach (json_object_get(told, "directory"), i, text) {
                (void)printf(LABEL, i ? "" : "Directory");
                view_wrap(13, json_string_value(text));
        }
}

/* All but the two that were shown. */
static void show_others(const json_t *list, const json_t *shown, const json_t *too)
{
        bool any = false;
        char when[32];

        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *r = json_array_get(list, i);
                const char *declined = fact_text(r, "declined");

                if (r == shown || r == too)
                        continue;
                if (!any)
                        (void)printf("\nBefore that\n");
                any = true;
                fact_time(fact_number(r, "wall", 0), when, sizeof(when));
                (void)printf("  %s  %-11s %-20s ", when, fact_end(r), declined[0] ? declined : fact_text(r, "reason"));
                cli_print_text(stdout, fact_text(r, "id"));
                if (fact_text(r, "connector")[0])
                        (void)printf("  at %s", fact_text(r, "connector"));
                (void)fputc('\n', stdout);
        }
}

/* How far these records reach, and what is missing in them: "the connector north ... since ...". */
static void put_reach(const json_t *answer, struct buffer *out)
{
        const json_t *absent = json_object_get(answer, "absent"), *ledger = json_object_get(answer, "ledger");
        const char *name = fact_text(absent, "connector");
        const long long since = fact_number(absent, "records_since", 0), dropped = fact_number(ledger, "dropped", 0);
        char when[32];

        fact_time(since, when, sizeof(when));
        (void)buffer_printf(out, "The records of this connector%s%s%s%s%s", name[0] ? " (" : "", name,
                            name[0] ? ")" : "", since ? " go back to " : " are empty", since ? when : "");
        if (dropped)
                (void)buffer_printf(out, ", but %lld of them are missing, for the disk refused them", dropped);
        if (strcmp(fact_text(ledger, "state"), "ok") != 0)
                (void)buffer_printf(out, ", but those on the disk cannot be read now (%s)", fact_text(ledger, "why"));
}

/* What it means that nothing is here. The relay's trace knows every sign-in that came to it: it has the last word. */
static void not_found(struct cli *cli, const char *what, const json_t *answer)
{
        _cleanup_(buffer_free) struct buffer reach = BUFFER(2048);
        char given[ID_MAX + 1];

        put_reach(answer, &reach);
        if (id_given(what, given) && id_valid(given, strlen(given)))
                (void)cli_error(cli,
                                "nothing is known of the sign-in '%s'. %s. So another connector had it, or none: the "
                                "relay's trace says which, or why none. On the tenant admin's machine: postern tenant "
                                "trace %s",
                                given, reach.data, given);
        else
                (void)cli_error(
                        cli,
                        "nothing is known of '%s'. %s. Either other connectors had this user's sign-ins (ask "
                        "there), or the application never asked Postern: it checks the password elsewhere, or the "
                        "user is signed in already. A user is found by user@domain, DOMAIN\\user or the SID; a "
                        "sign-in by its id or the beginning of that (%d characters)",
                        what, reach.data, ID_BEGINNING_MIN);
}

/* Asks this host's ledger, or all. */
static int ask(struct cli *cli, enum question_op op, const char *what, json_t **ret_answer, int *ret_code)
{
        json_auto_t *request = op == QUESTION_LOG
                                       ? json_pack("{s:s, s:s, s:i}", "do", "log", "user", what, "limit", 500)
                                       : json_pack("{s:s, s:s}", "do", "explain", "what", what);
        struct question_claims question = {.op = op};

        (void)snprintf(question.what, sizeof(question.what), "%s", what);
        return everywhere ? person_ask(cli, &question, ret_answer, ret_code)
                          : view_ask(cli, request, ret_answer, ret_code);
}

/* All sign-ins of the user of this record that the ledger has, the newest first; NULL: none can be asked for. */
static json_t *ask_for_others(struct cli *cli, const json_t *r, const char *typed)
{
        const char *name = explain_whose(r, typed);
        json_auto_t *answer = NULL;
        int code;

        if (!name[0] || ask(cli, QUESTION_LOG, name, &answer, &code) < 0)
                return NULL;
        return json_incref(json_object_get(answer, "records"));
}

static int absent(struct cli *cli, const char *what, const json_t *answer)
{
        const json_t *id;
        size_t i;

        if (everywhere) {
                (void)cli_error(
                        cli,
                        "nothing is known of '%s' where an answer came from. Only the exact id, user@domain, "
                        "DOMAIN\\user or SID is looked for, within your domains; a sign-in that no connector had, "
                        "`postern tenant trace ID` knows",
                        what);
                person_tell_reach(answer);
        } else if (json_object_get(answer, "ids")) {
                (void)cli_error(cli, "the ids of several sign-ins begin with '%s'; give more of it:", what);
                json_array_foreach (json_object_get(answer, "ids"), i, id) {
                        (void)fputs("  ", stderr);
                        cli_print_text(stderr, json_string_value(id));
                        (void)fputc('\n', stderr);
                }
        } else {
                not_found(cli, what, answer);
                view_near(json_object_get(answer, "near"));
        }
        return CLI_FAILED;
}

static int show(struct cli *cli, const char *what, const json_t *answer, const json_t *others, long long bad,
                const json_t *account)
{
        const json_t *list = json_object_get(answer, "records"), *r = json_array_get(list, 0);
        const bool by_id = strcmp(fact_text(answer, "found_by"), "id") == 0;
        const json_t *first = NULL; /* the newest of another id: the first attempt, where r is of the second */
        json_auto_t *told = NULL, *told_first = NULL;

        if (!r)
                return absent(cli, what, answer);
        for (size_t i = 1; by_id && !first && i < json_array_size(list); i++)
                if (strcmp(fact_text(json_array_get(list, i), "id"), fact_text(r, "id")) != 0)
                        first = json_array_get(list, i);
        told = explain_story(r, others, bad, account);
        if (first) {
                told_first = explain_story(first, NULL, -1, NULL);
                view_wrap(0, "The sign-in service tried this sign-in twice, because no connector could take the first "
                             "attempt. Both follow; what the user saw came of the second.");
                (void)fputc('\n', stdout);
                show_one(told_first);
                (void)fputc('\n', stdout);
        }
        show_one(told);
        show_others(list, r, first);
        (void)printf("\nFor the ticket\n");
        show_text(fact_text(told, "ticket"));
        return CLI_OK;
}

/* The sentences belong into the JSON, too, so that a helpdesk's own tool needs no table. */
static void add_explanations(json_t *answer, const json_t *others, long long bad, const json_t *account)
{
        json_t *list = json_object_get(answer, "records"), *r;
        size_t i;

        json_array_foreach (list, i, r)
                (void)json_object_set_new(r, "explanation",
                                          explain_story(r, i ? NULL : others, bad, i ? NULL : account));
}

/*
 * What the directory says now of the account of a refused sign-in, or NULL. Asked for where it was wanted, and by
 * itself where somebody reads it and the reader has been set up: each question is on record, and 30 a minute are
 * answered.
 */
static json_t *ask_directory(const struct cli *cli, const json_t *r, const char *typed)
{
        const char *known = fact_text(r, "user"), *user = known[0] ? known : typed ? typed : "";
        json_auto_t *answer = NULL;
        struct error err = {""};

        if (!user[0] || strcmp(fact_text(r, "verdict"), "refused") != 0 ||
            (!with_account && (cli->json || access(ACCOUNT_SOCKET, R_OK | W_OK) < 0)))
                return NULL;
        json_auto_t *question = json_pack("{s:s, s:b}", "user", user, "all_dcs", 0);
        int code = question ? account_ask(cli, question, &answer, &err) : -EINVAL;
        if (code == 0 && json_is_true(json_object_get(answer, "ok")))
                return account_findings(answer, r, (long long)time(NULL));
        if (with_account)
                (void)cli_error(cli, "the directory does not tell: %s",
                                code < 0 ? err.text : fact_text(answer, "error"));
        return NULL;
}

int cmd_explain(struct cli *cli, int argc, char **argv)
{
        json_auto_t *answer = NULL, *others = NULL, *account = NULL;
        const char *typed;
        const json_t *r;
        uint64_t bad = 0;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!words[0][0] || strlen(words[0]) > WHAT_MAX)
                return cli_usage_error(cli, "ID-OR-USER takes 1 to %d bytes", WHAT_MAX);
        if (bad_text && text_parse_u64(bad_text, 0, 1000000, &bad) < 0)
                return cli_usage_error(cli, "--bad-attempts '%s' is not a number", bad_text);
        if (ask(cli, QUESTION_EXPLAIN, words[0], &answer, &code) < 0)
                return code;
        r = json_array_get(json_object_get(answer, "records"), 0);
        typed = strcmp(fact_text(answer, "found_by"), "user") == 0 ? words[0] : NULL;
        if (r)
                others = ask_for_others(cli, r, typed);
        if (r && !everywhere)
                account = ask_directory(cli, r, typed);
        code = r ? CLI_OK : CLI_FAILED;
        if (!r && everywhere && fact_number(json_object_get(answer, "everywhere"), "answered", 0) == 0)
                code = CLI_UNAVAILABLE;
        if (cli->json) {
                add_explanations(answer, others, bad_text ? (long long)bad : -1, account);
                view_print_json(answer);
                return code;
        }
        (void)show(cli, words[0], answer, others, bad_text ? (long long)bad : -1, account);
        person_tell(answer);
        return code;
}
