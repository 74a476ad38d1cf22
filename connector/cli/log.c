/*
 * postern log: the latest sign-ins (or events), one line each.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"
#include "connector/findings/health.h"
#include "connector/findings/history.h"
#include "connector/findings/looks.h"
#include "connector/cli/person.h"
#include "connector/cli/view.h"
#include "connector/cli/when.h"
#include "connector/frames/control.h"

#define NAME_MAX_BYTES 512 /* REQUEST_TEXT_MAX of the ledger */
#define AT_S 900           /* around --at */
#define SLOW_S 3600        /* of --slow and --unusual where no time is given */
#define UNUSUAL_S 86400

static const char *user, *since, *until, *about, *verdict, *limit;
static bool events, slow, unusual, everywhere, asked;

static const struct cli_option options[] = {
        {"user", "NAME", &user, NULL, "only sign-ins of this user, in any form of the name"},
        {"since", "TIME", &since, NULL, "15m, 2h, 3d ago; HH:MM; YYYY-MM-DD[ HH:MM[:SS]]"},
        {"until", "TIME", &until, NULL, "the same"},
        {"at", "TIME", &about, NULL, "a quarter of an hour before and after it"},
        {"verdict", "WORD", &verdict, NULL, "accepted, refused, unavailable or declined"},
        {"limit", "N", &limit, NULL, "at most N lines, 1 to 500 (default: 50)"},
        {"slow", NULL, NULL, &slow, "which hop made sign-ins slow (last hour)"},
        {"unusual", NULL, NULL, &unusual, "what may be an attack (last day)"},
        {"events", NULL, NULL, &events, "what happened to the connector, instead of sign-ins"},
        {"everywhere", NULL, NULL, &everywhere, "ask every connector of the tenant, with your key"},
        PERSON_OPTIONS,
        {"asked", NULL, NULL, &asked, "who asked this connector so, and what (root)"},
        {NULL, NULL, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
        .name = "log",
        .about = "Shows the latest sign-ins of this connector, the newest last. Names that belong\n"
                 "to no account are masked; --user finds them all the same, and offers names that\n"
                 "are like it. Exit code 1: nothing is known of the --user.\n",
        .options = options,
};

static bool known_verdict(const char *word)
{
        static const char *const words[] = {"accepted", "refused", "unavailable", "declined"};

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcmp(word, words[i]) == 0)
                        return true;
        return false;
}

/* What does not go together; CLI_OK where all is well. */
static int check_words(const struct cli *cli)
{
        const int kinds = (int)events + (int)slow + (int)unusual + (int)asked;
        const char *kind = events ? "events" : slow ? "slow" : asked ? "asked" : "unusual";

        if (kinds > 1)
                return cli_usage_error(cli, "--events, --slow, --unusual and --asked are four questions: ask one");
        if (everywhere && kinds)
                return cli_usage_error(cli, "--everywhere asks for sign-ins: leave out --%s", kind);
        if (verdict && !known_verdict(verdict))
                return cli_usage_error(cli, "--verdict '%s' is not accepted, refused, unavailable or declined",
                                       verdict);
        if (kinds && (user || verdict))
                return cli_usage_error(cli, "--%s has no users and verdicts: leave out --%s", kind,
                                       user ? "user" : "verdict");
        if (user && (!user[0] || strlen(user) > NAME_MAX_BYTES))
                return cli_usage_error(cli, "--user takes a name of 1 to %d bytes", NAME_MAX_BYTES);
        if (about && (since || until))
                return cli_usage_error(cli, "--at is a time of its own: leave out --%s", since ? "since" : "until");
        return CLI_OK;
}

/* A time of the command line; false: it was told that it is none. */
static bool take_time(const struct cli *cli, const char *name, const char *text, int64_t now, int64_t *ret_wall)
{
        if (!text || when_parse(text, now, ret_wall) == 0)
                return true;
        (void)cli_usage_error(cli, "--%s '%s' is not a time like 15m, 2h, 3d, 09:02 or 2026-01-31 08:00", name, text);
        return false;
}

/* All connectors tell of one name, or of one hour: false: it was told so. */
static bool may_ask_everywhere(const struct cli *cli, int64_t from, int64_t to)
{
        if (!everywhere || user || question_claims_short_time(from, to))
                return true;
        (void)cli_usage_error(cli,
                              "--everywhere shows the sign-ins of one user, or all of an hour at most: name --user, "
                              "exactly, or --at, or --since and --until");
        return false;
}

static json_t *make_request(struct cli *cli, int *ret_code)
{
        const int64_t now = (int64_t)time(NULL);
        int64_t from = 0, to = 0, middle = 0;
        uint64_t n = slow ? 10 : 0;
        json_t *request;

        *ret_code = check_words(cli);
        if (*ret_code != CLI_OK)
                return NULL;
        *ret_code = CLI_USAGE;
        if (limit && text_parse_u64(limit, 1, 500, &n) < 0)
                return cli_usage_error(cli, "--limit '%s' is not a number from 1 to 500", limit), NULL;
        if (!take_time(cli, "since", since, now, &from) || !take_time(cli, "until", until, now, &to) ||
            !take_time(cli, "at", about, now, &middle))
                return NULL;
        if (about) {
                from = middle - AT_S;
                to = middle + AT_S;
        }
        if ((slow || unusual) && !to)
                to = now;
        if ((slow || unusual) && !from)
                from = to - (slow ? SLOW_S : UNUSUAL_S);
        if (everywhere && !user && from && !to)
                to = now;
        if (!may_ask_everywhere(cli, from, to))
                return NULL;
        *ret_code = CLI_OK;
        request = json_pack("{s:s, s:b, s:s*, s:s*}", "do",
                            slow      ? "slow"
                            : unusual ? "unusual"
                            : asked   ? "questions"
                                      : "log",
                            "events", events, "user", user, "verdict", verdict);
        if (n)
                (void)json_object_set_new(request, "limit", json_integer((json_int_t)n));
        if (from)
                (void)json_object_set_new(request, "since", json_integer(from));
        if (to)
                (void)json_object_set_new(request, "until", json_integer(to));
        return request;
}

/* ---- the table ---- */

/* What a line shows, by the room that there is. The id is always whole: it is what `postern explain` takes.
 */
struct layout {
        bool year, verdict, took, dc;
        size_t user; /* columns */
};

#define ID_COLUMNS 26
#define USER_COLUMNS 28

/* The columns of a line whose user takes none. */
static size_t layout_width(const struct layout *l)
{
        return (l->year ? 21U : 16U) + 2U + (l->verdict ? 13U : 0U) + 22U + (l->dc ? 22U : 0U) + (l->took ? 15U : 0U) +
               ID_COLUMNS;
}

/* What says least goes first. Without a limit all is shown. */
static struct layout layout_for(size_t width)
{
        struct layout l = {.year = true, .verdict = true, .took = true, .dc = true, .user = USER_COLUMNS};
        bool *const spare[] = {&l.dc, &l.year, &l.took, &l.verdict};

        for (size_t i = 0; width && i < sizeof(spare) / sizeof(spare[0]); i++)
                if (layout_width(&l) + (i < 2 ? USER_COLUMNS : 16) > width)
                        *spare[i] = false;
        if (width && layout_width(&l) + l.user > width)
                l.user = width > layout_width(&l) + 8 ? width - layout_width(&l) : 8;
        return l;
}

/* At most width columns, padded; a longer text is cut with a mark. Counts characters, not bytes. */
static void print_cell(const char *text, size_t width)
{
        size_t n = strlen(text), at = 0, columns = 0;
        char cut[512];

        while (at < n && at < sizeof(cut) - 8 && columns < width) {
                uint32_t cp;
                size_t len = utf8_next(text + at, n - at, &cp);
                at += len ? len : 1;
                columns++;
        }
        (void)snprintf(cut, sizeof(cut), "%.*s", (int)at, text);
        cli_print_text(stdout, cut);
        (void)printf("%s%*s ", at < n ? "~" : " ", (int)(width - columns), "");
}

static void print_record(const struct layout *l, const json_t *r)
{
        const char *declined = fact_text(r, "declined"), *dc = fact_text(r, "dc"), *method = fact_text(r, "method");
        char when[32];

        fact_time(fact_number(r, "wall", 0), when, sizeof(when));
        (void)printf("%s  ", when + (l->year ? 0 : strlen("2026-")));
        print_cell(fact_user(r)[0] ? fact_user(r) : "-", l->user);
        if (l->verdict)
                print_cell(fact_end(r), 11);
        print_cell(declined[0] ? declined : fact_text(r, "reason"), 20);
        if (l->dc)
                print_cell(dc[0] ? dc : "-", 20);
        if (l->took)
                (void)printf("%-4s %5lld ms  ", method[0] ? method : "-", fact_number(r, "ms_total", 0));
        cli_print_text(stdout, fact_text(r, "id"));
        if (fact_text(r, "connector")[0])
                (void)printf("  %s", fact_text(r, "connector"));
        (void)fputc('\n', stdout);
}

static void print_event(const json_t *e)
{
        char when[32];

        fact_time(fact_number(e, "wall", 0), when, sizeof(when));
        (void)printf("%s  ", when);
        print_cell(fact_text(e, "event"), 20);
        cli_print_text(stdout, fact_text(e, "detail"));
        if (fact_text(e, "id")[0])
                (void)printf("  (%s)", fact_text(e, "id"));
        (void)fputc('\n', stdout);
}

/* Who of the helpdesk asked what. */
static void print_asked(const json_t *q)
{
        char when[32];

        fact_time(fact_number(q, "wall", 0), when, sizeof(when));
        (void)printf("%s  ", when);
        print_cell(fact_text(q, "person"), 20);
        print_cell(fact_text(q, "op"), 8);
        print_cell(fact_text(q, "what")[0] ? fact_text(q, "what") : "-", USER_COLUMNS);
        cli_print_text(stdout, fact_text(q, "refused")[0] ? fact_text(q, "refused") : "answered");
        (void)printf("  (%s)\n", fact_text(q, "key"));
}

/* The newest last. */
static void print_list(const json_t *list)
{
        const struct layout layout = layout_for(view_width());

        if (json_array_size(list) && !events && !asked) {
                print_cell("TIME", layout.year ? 19 : 14);
                print_cell("USER", layout.user);
                if (layout.verdict)
                        print_cell("VERDICT", 11);
                print_cell("REASON", 20);
                if (layout.dc)
                        print_cell("DC", 20);
                if (layout.took)
                        (void)printf("%-4s %8s  ", "BY", "TOOK");
                (void)printf("ID\n");
        }
        for (size_t i = json_array_size(list); i > 0; i--) {
                const json_t *row = json_array_get(list, i - 1);
                if (asked)
                        print_asked(row);
                else if (events)
                        print_event(row);
                else
                        print_record(&layout, row);
        }
        if (json_array_size(list) == 0)
                (void)printf("nothing found\n");
}

/* How it hangs together is told in sentences; the rows are there to be explained. */
static void print_look(const json_t *answer)
{
        const json_t *found = json_object_get(answer, slow ? "slow" : "unusual");
        json_auto_t *texts = slow ? looks_slow(found) : looks_unusual(found);
        const json_t *text;
        size_t i;

        json_array_foreach (texts, i, text)
                view_wrap(0, json_string_value(text));
        if (!slow && json_array_size(texts) == 0)
                (void)printf(
                        "nothing unusual: no address failed with many names, no success after failures came from a "
                        "new address\n");
        if (slow && json_array_size(json_object_get(found, "records"))) {
                (void)printf("\nThe slowest\n");
                print_list(json_object_get(found, "records"));
        }
}

static void print_all(const json_t *answer)
{
        const json_t *ledger = json_object_get(answer, "ledger"), *list = json_object_get(answer, "records");
        json_auto_t *compared = user ? history_compare(list) : NULL;

        if (slow || unusual)
                print_look(answer);
        else
                print_list(events  ? json_object_get(answer, "events")
                           : asked ? json_object_get(answer, "questions")
                                   : list);
        if (compared)
                view_wrap(0, json_string_value(compared));
        if ((about || since || until) && json_is_true(json_object_get(answer, "cut")))
                (void)fprintf(stderr,
                              "these are the newest %zu of that time: --limit 500 shows more, a shorter time or "
                              "--user shows fewer\n",
                              json_array_size(list));
        if (user && json_array_size(list) == 0)
                view_near(json_object_get(answer, "near"));
        if (strcmp(fact_text(ledger, "state"), "ok") != 0)
                (void)fprintf(stderr, "the ledger is degraded, older lines may be missing: %s\n",
                              fact_text(ledger, "why"));
}

/* Of a name of which nothing is known: the one account whose name is the same but for accents and the domain; NULL:
 * none, or several. */
static const char *meant(const json_t *answer)
{
        const json_t *near = json_object_get(answer, "near"), *first = json_array_get(near, 0), *name;
        size_t i;

        if (!first || fact_number(first, "near", 9) != 0)
                return NULL;
        json_array_foreach ((json_t *)(uintptr_t)near, i, name)
                if (fact_number(name, "near", 9) == 0 &&
                    (strcmp(fact_text(name, "account"), fact_text(first, "account")) != 0 ||
                     (!fact_text(name, "account")[0] && i > 0)))
                        return NULL;
        return fact_text(first, "name");
}

/* The same request to all connectors: exact, and of 50 rows at most. */
static int ask_everywhere(struct cli *cli, const json_t *request, json_t **ret_answer, int *ret_code)
{
        const long long rows = fact_number(request, "limit", QUESTION_ROWS_MAX);
        struct question_claims q = {.op = QUESTION_LOG,
                                    .since = (int64_t)fact_number(request, "since", 0),
                                    .until = (int64_t)fact_number(request, "until", 0),
                                    .limit = rows < QUESTION_ROWS_MAX ? (uint32_t)rows : QUESTION_ROWS_MAX};

        (void)snprintf(q.what, sizeof(q.what), "%s", user ? user : "");
        (void)snprintf(q.verdict, sizeof(q.verdict), "%s", verdict ? verdict : "");
        return person_ask(cli, &q, ret_answer, ret_code);
}

/* Asks, and once more where only one other name can have been meant. */
static int ask(struct cli *cli, json_t *request, json_t **ret_answer, int *ret_code)
{
        json_t *answer = NULL, *other = NULL;

        if (everywhere)
                return ask_everywhere(cli, request, ret_answer, ret_code);
        int r = view_ask(cli, request, &answer, ret_code);
        const char *name =
                r == 0 && user && json_array_size(json_object_get(answer, "records")) == 0 ? meant(answer) : NULL;

        if (name) {
                (void)json_object_set_new(request, "user", json_string(name));
                r = view_ask(cli, request, &other, ret_code);
                if (r == 0)
                        (void)json_object_set(other, "shown_for", json_object_get(request, "user"));
                json_decref(answer);
                answer = r == 0 ? other : NULL;
        }
        *ret_answer = answer;
        return r;
}

/* Lines that are missing may be missing for a reason. Only a hint: it fails in silence. */
static void hint_at_health(struct cli *cli)
{
        json_auto_t *request = json_pack("{s:s}", "do", "status"), *answer = NULL, *wrong = NULL;
        char path[PATH_MAX];
        struct error err;

        view_socket(cli, "control.sock", path, sizeof(path));
        if (!request || control_ask(&answer, path, request, &err) < 0)
                return;
        wrong = health_findings(answer);
        if (json_array_size(wrong) == 0)
                return;
        (void)fprintf(stderr, "This connector has %zu problem%s (see postern status), first: ", json_array_size(wrong),
                      json_array_size(wrong) == 1 ? "" : "s");
        cli_print_text(stderr, fact_text(json_array_get(wrong, 0), "cause"));
        (void)fputc('\n', stderr);
}

/* The sentences belong into the JSON, too. */
static void add_sentences(json_t *answer)
{
        json_t *found = json_object_get(answer, slow ? "slow" : "unusual"),
               *compared = user ? history_compare(json_object_get(answer, "records")) : NULL;

        if (found)
                (void)json_object_set_new(found, "sentences", slow ? looks_slow(found) : looks_unusual(found));
        if (compared)
                (void)json_object_set_new(answer, "compared", compared);
}

int cmd_log(struct cli *cli, int argc, char **argv)
{
        json_auto_t *answer = NULL, *request = NULL;
        const char *shown_for;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        request = make_request(cli, &code);
        if (code != CLI_OK || ask(cli, request, &answer, &code) < 0)
                return code;
        shown_for = fact_text(answer, "shown_for");
        if (cli->json) {
                add_sentences(answer);
                view_print_json(answer);
        } else {
                if (shown_for[0])
                        (void)cli_error(cli, "nothing is known of '%s'; these are of '%s'", user, shown_for);
                print_all(answer);
                if (everywhere)
                        person_tell(answer);
                else
                        hint_at_health(cli);
        }
        if (everywhere && fact_number(json_object_get(answer, "everywhere"), "answered", 0) == 0)
                return CLI_UNAVAILABLE;
        /* as explain: somebody who was asked for and isn't there is a no; an empty log is none */
        return user && json_array_size(json_object_get(answer, "records")) == 0 ? CLI_FAILED : CLI_OK;
}
