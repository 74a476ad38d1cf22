/*
 * postern log: the latest sign-ins (or events), one line each.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"
#include "connector/findings/health.h"
#include "connector/cli/view.h"
#include "connector/frames/control.h"

#define NAME_MAX_BYTES 512 /* REQUEST_TEXT_MAX of the ledger */

static const char *user, *since, *verdict, *limit;
static bool events;

static const struct cli_option options[] = {
        {"user", "NAME", &user, NULL, "only sign-ins of this user, in any form of the name"},
        {"since", "TIME", &since, NULL, "90s, 15m, 2h, 3d ago, or YYYY-MM-DD[ HH:MM[:SS]]"},
        {"verdict", "WORD", &verdict, NULL, "accepted, refused, unavailable or declined"},
        {"limit", "N", &limit, NULL, "at most N lines, 1 to 500 (default: 50)"},
        {"events", NULL, NULL, &events, "what happened to the connector, instead of sign-ins"},
        {NULL, NULL, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
        .name = "log",
        .about = "Shows the latest sign-ins of this connector, the newest last. Names that belong\n"
                 "to no account are masked; --user finds them all the same. Exit code 1: nothing\n"
                 "is known of the --user.\n",
        .options = options,
};

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

static int parse_since(const char *text, int64_t *ret_wall)
{
        static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"};

        if (parse_ago(text, (int64_t)time(NULL), ret_wall) == 0)
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

static bool known_verdict(const char *word)
{
        static const char *const words[] = {"accepted", "refused", "unavailable", "declined"};

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcmp(word, words[i]) == 0)
                        return true;
        return false;
}

static json_t *make_request(struct cli *cli, int *ret_code)
{
        json_t *request = json_pack("{s:s, s:b}", "do", "log", "events", events);
        uint64_t n = 0;
        int64_t wall = 0;

        *ret_code = CLI_USAGE;
        if (verdict && !known_verdict(verdict))
                *ret_code = cli_usage_error(cli, "--verdict '%s' is not accepted, refused, unavailable or declined",
                                            verdict);
        else if (events && (user || verdict))
                *ret_code = cli_usage_error(cli, "--events has no users and verdicts: leave out --%s",
                                            user ? "user" : "verdict");
        else if (user && (!user[0] || strlen(user) > NAME_MAX_BYTES))
                *ret_code = cli_usage_error(cli, "--user takes a name of 1 to %d bytes", NAME_MAX_BYTES);
        else if (limit && text_parse_u64(limit, 1, 500, &n) < 0)
                *ret_code = cli_usage_error(cli, "--limit '%s' is not a number from 1 to 500", limit);
        else if (since && parse_since(since, &wall) < 0)
                *ret_code =
                        cli_usage_error(cli, "--since '%s' is not a time like 15m, 2h, 3d or 2026-01-31 08:00", since);
        else
                *ret_code = CLI_OK;
        if (*ret_code != CLI_OK || !request) {
                json_decref(request);
                return NULL;
        }
        if (limit)
                (void)json_object_set_new(request, "limit", json_integer((json_int_t)n));
        if (since)
                (void)json_object_set_new(request, "since", json_integer(wall));
        if (user)
                (void)json_object_set_new(request, "user", json_string(user));
        if (verdict)
                (void)json_object_set_new(request, "verdict", json_string(verdict));
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

static void print_head(const struct layout *l)
{
        print_cell("TIME", l->year ? 19 : 14);
        print_cell("USER", l->user);
        if (l->verdict)
                print_cell("VERDICT", 11);
        print_cell("REASON", 20);
        if (l->dc)
                print_cell("DC", 20);
        if (l->took)
                (void)printf("%-4s %8s  ", "BY", "TOOK");
        (void)printf("ID\n");
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

static void print_all(const json_t *answer)
{
        const json_t *list = json_object_get(answer, events ? "events" : "records");
        const json_t *ledger = json_object_get(answer, "ledger");
        const struct layout layout = layout_for(view_width());

        if (json_array_size(list) && !events)
                print_head(&layout);
        for (size_t i = json_array_size(list); i > 0; i--) {
                const json_t *row = json_array_get(list, i - 1);
                if (events)
                        print_event(row);
                else
                        print_record(&layout, row);
        }
        if (json_array_size(list) == 0)
                (void)printf("nothing found\n");
        if (strcmp(fact_text(ledger, "state"), "ok") != 0)
                (void)fprintf(stderr, "the ledger is degraded, older lines may be missing: %s\n",
                              fact_text(ledger, "why"));
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

int cmd_log(struct cli *cli, int argc, char **argv)
{
        json_t *answer = NULL, *request;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        request = make_request(cli, &code);
        if (code != CLI_OK)
                return code;
        int r = view_ask(cli, request, &answer, &code);
        json_decref(request);
        if (r < 0)
                return code;
        if (cli->json) {
                view_print_json(answer);
        } else {
                print_all(answer);
                hint_at_health(cli);
        }
        /* as explain: somebody who was asked for and isn't there is a no; an empty log is none */
        code = user && json_array_size(json_object_get(answer, "records")) == 0 ? CLI_FAILED : CLI_OK;
        json_decref(answer);
        return code;
}
