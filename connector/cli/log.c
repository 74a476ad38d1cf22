/*
 * postern log: the latest sign-ins (or events), one line each.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "connector/base/text.h"
#include "connector/cli/view.h"

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
                 "to no account are masked; --user finds them all the same.\n",
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

static json_t *make_request(struct cli *cli, int *ret_code)
{
        json_t *request = json_pack("{s:s, s:b}", "do", "log", "events", events);
        uint64_t n = 0;
        int64_t wall = 0;

        *ret_code = CLI_USAGE;
        if (limit && text_parse_u64(limit, 1, 500, &n) < 0)
                *ret_code = cli_usage_error(cli, "--limit '%s' is not a number from 1 to 500", limit);
        else if (since && parse_since(since, &wall) < 0)
                *ret_code = cli_usage_error(
                        cli, "--since '%s' is not a time like 15m, 2h, 3d or 2026-01-31 08:00", since);
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

static void print_record(const json_t *r)
{
        const char *declined = view_text(r, "declined"), *dc = view_text(r, "dc");
        char when[32];

        view_time(view_number(r, "wall", 0), when, sizeof(when));
        (void)printf("%s  ", when);
        print_cell(view_user(r)[0] ? view_user(r) : "-", 28);
        print_cell(declined[0] ? "declined" : view_text(r, "verdict"), 11);
        print_cell(declined[0] ? declined : view_text(r, "reason"), 20);
        print_cell(dc[0] ? dc : "-", 20);
        (void)printf("%-4s %5lld ms  ", view_text(r, "method")[0] ? view_text(r, "method") : "-",
                     view_number(r, "ms_total", 0));
        cli_print_text(stdout, view_text(r, "id"));
        (void)fputc('\n', stdout);
}

static void print_event(const json_t *e)
{
        char when[32];

        view_time(view_number(e, "wall", 0), when, sizeof(when));
        (void)printf("%s  ", when);
        print_cell(view_text(e, "event"), 20);
        cli_print_text(stdout, view_text(e, "detail"));
        if (view_text(e, "id")[0])
                (void)printf("  (%s)", view_text(e, "id"));
        (void)fputc('\n', stdout);
}

static void print_all(const json_t *answer)
{
        const json_t *list = json_object_get(answer, events ? "events" : "records");
        const json_t *ledger = json_object_get(answer, "ledger");

        if (json_array_size(list) && !events)
                (void)printf("%-21s%-30s%-13s%-22s%-22s%-4s %8s  %s\n", "TIME", "USER", "VERDICT", "REASON",
                             "DC", "BY", "TOOK", "ID");
        for (size_t i = json_array_size(list); i > 0; i--)
                (events ? print_event : print_record)(json_array_get(list, i - 1));
        if (json_array_size(list) == 0)
                (void)printf("nothing found\n");
        if (strcmp(view_text(ledger, "state"), "ok") != 0)
                (void)fprintf(stderr, "the ledger is degraded, older lines may be missing: %s\n",
                              view_text(ledger, "why"));
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
        if (cli->json)
                view_print_json(answer);
        else
                print_all(answer);
        json_decref(answer);
        return CLI_OK;
}
