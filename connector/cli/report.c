/*
 * postern report: what a connector did over weeks: usage by day and service, failures by reason, the slowest domain
 * controllers.
 *
 * The ledger counts a day at a time, so that no question holds it up; this adds the days of the reader's time zone up.
 * Only --users shows names, and the ledger gives those to root alone.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"
#include "base/metrics/metrics.h"
#include "connector/cli/view.h"
#include "validate/types/outcome.h"

#define DAYS_MAX 366
#define SHOWN_MAX 20 /* lines of a list */

static const char *days_text;
static bool with_users;

static const struct cli_option options[] = {
        {"days", "N", &days_text, NULL, "so many days, today included (default: 30)"},
        {"users", NULL, NULL, &with_users, "who was locked out or failed most; for root"},
        {NULL, NULL, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
        .name = "report",
        .about = "Shows what this connector did: sign-ins by day and service, what the failures\n"
                 "were, which domain controllers were slowest. Every connector tells of its own\n"
                 "sign-ins. How far back they go: ledger_days, ledger_rows (postern.conf(5)).\n",
        .options = options,
};

static void add(json_t *object, const char *key, long long n)
{
        (void)json_object_set_new_nocheck(object, key, json_integer(fact_number(object, key, 0) + n));
}

/* The object behind key, made when it is new. */
static json_t *under(json_t *object, const char *key)
{
        json_t *there = json_object_get(object, key);

        if (!there) {
                there = json_object();
                (void)json_object_set_new_nocheck(object, key, there);
        }
        return there;
}

/* ---- adding up ---- */

static void add_dc(json_t *dcs, const json_t *row)
{
        char key[300], bucket[16];
        (void)snprintf(key, sizeof(key), "%.256s %.16s", fact_text(row, "dc"), fact_text(row, "method"));
        json_t *dc = under(dcs, key), *buckets = under(dc, "buckets");
        const long long longest = fact_number(row, "ms_max", 0);

        (void)json_object_set(dc, "dc", json_object_get(row, "dc"));
        (void)json_object_set(dc, "method", json_object_get(row, "method"));
        add(dc, "n", fact_number(row, "n", 0));
        add(dc, "ms", fact_number(row, "ms", 0));
        add(dc, "undecided", fact_number(row, "failed", 0));
        if (longest > fact_number(dc, "longest", 0))
                (void)json_object_set_new(dc, "longest", json_integer(longest));
        (void)snprintf(bucket, sizeof(bucket), "%lld", fact_number(row, "bucket", 0));
        add(buckets, bucket, fact_number(row, "n", 0));
}

/* One day's counts into the sums, and a line for the day. */
static void add_day(json_t *sums, const char *date, const json_t *report)
{
        json_t *day = json_pack("{s:s}", "date", date), *row;
        size_t i;

        json_array_foreach (json_object_get(report, "ends"), i, row) {
                const long long n = fact_number(row, "n", 0);
                const char *verdict = fact_text(row, "verdict");
                add(day, verdict, n);
                add(under(sums, "verdicts"), verdict, n);
                if (fact_text(row, "service")[0])
                        add(under(sums, "services"), fact_text(row, "service"), n);
                if (strcmp(verdict, "accepted") != 0)
                        add(under(sums, strcmp(verdict, "declined") == 0 ? "declined" : "reasons"),
                            fact_text(row, "reason"), n);
        }
        long long names = 0;
        json_array_foreach (json_object_get(report, "names"), i, row)
                names += fact_number(row, "n", 0);
        add(day, "names", names);
        json_array_foreach (json_object_get(report, "dcs"), i, row)
                add_dc(under(sums, "dcs"), row);
        json_array_foreach (json_object_get(report, "users"), i, row) {
                json_t *user = under(under(sums, "users"), fact_text(row, "user"));
                add(user, "locked_out", fact_number(row, "locked", 0));
                add(user, "wrong_password", fact_number(row, "wrong", 0));
                add(user, "refused", fact_number(row, "n", 0));
        }
        (void)json_array_append_new(json_object_get(sums, "days"), day);
}

/* The beginning of the day that is so many before today, in the reader's zone. */
static time_t day_begin(time_t now, int before)
{
        struct tm tm = {0};

        (void)localtime_r(&now, &tm);
        tm.tm_mday -= before;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_isdst = -1;
        return mktime(&tm);
}

static int ask_days(struct cli *cli, int days, json_t *sums)
{
        const time_t now = time(NULL);
        int code = CLI_OK;

        for (int i = days - 1; i >= 0 && code == CLI_OK; i--) {
                const time_t begin = day_begin(now, i), end = day_begin(now, i - 1);
                json_t *request = json_pack("{s:s, s:I, s:I}", "do", "report", "since", (json_int_t)begin, "until",
                                            (json_int_t)end),
                       *answer = NULL;
                char date[32];

                fact_time((long long)begin, date, sizeof(date));
                date[strcspn(date, " ")] = '\0';
                if (with_users)
                        (void)json_object_set_new(request, "users", json_true());
                if (view_ask(cli, request, &answer, &code) == 0)
                        add_day(sums, date, json_object_get(answer, "report"));
                json_decref(request);
                json_decref(answer);
        }
        return code;
}

/* Gives each domain controller its average and what 95 of 100 did not pass. */
static void finish_dcs(json_t *dcs)
{
        const char *key;
        char bucket[16];
        json_t *dc;

        json_object_foreach (dcs, key, dc) {
                const long long n = fact_number(dc, "n", 0);
                long long sum = 0;
                uint32_t most = 0; /* the bound that 95 of 100 did not pass; 0: they were longer than all */

                for (size_t i = 0; !most && i < METRICS_BOUNDS; i++) {
                        (void)snprintf(bucket, sizeof(bucket), "%zu", i);
                        sum += fact_number(json_object_get(dc, "buckets"), bucket, 0);
                        if (sum * 100 >= n * 95)
                                most = metrics_bounds_ms[i];
                }
                (void)json_object_set_new(dc, "average", json_integer(n ? fact_number(dc, "ms", 0) / n : 0));
                (void)json_object_set_new(dc, "p95_at_most", most ? json_integer(most) : json_null());
                (void)json_object_del(dc, "buckets");
                (void)json_object_del(dc, "ms");
        }
}

/* ---- showing ---- */

/* A line of a list: its key, and by what the list is sorted. */
struct line {
        const char *key;
        const json_t *value;
        long long by;
};

static int by_most(const void *a, const void *b)
{
        const struct line *x = a, *y = b;

        return x->by != y->by ? (x->by < y->by ? 1 : -1) : strcmp(x->key, y->key);
}

/* The members, the most first; by: the member that says how many, NULL: the value is the number. Free it. */
static struct line *sorted(const json_t *object, const char *by, size_t *ret_n)
{
        struct line *lines = calloc(json_object_size(object) + 1, sizeof(*lines));
        const char *key;
        json_t *value;

        *ret_n = 0;
        if (!lines)
                return NULL;
        json_object_foreach ((json_t *)(uintptr_t)object, key, value)
                lines[(*ret_n)++] =
                        (struct line){key, value, by ? fact_number(value, by, 0) : json_integer_value(value)};
        qsort(lines, *ret_n, sizeof(*lines), by_most);
        return lines;
}

static long long total_of(const json_t *day)
{
        return fact_number(day, "accepted", 0) + fact_number(day, "refused", 0) + fact_number(day, "unavailable", 0) +
               fact_number(day, "declined", 0);
}

static void show_days(const json_t *days)
{
        json_t *day;
        size_t i;

        (void)printf("%-12s %9s %9s %9s %11s %9s %7s\n", "day", "sign-ins", "accepted", "refused", "unavailable",
                     "declined", "names");
        json_array_foreach ((json_t *)(uintptr_t)days, i, day)
                if (total_of(day))
                        (void)printf("%-12s %9lld %9lld %9lld %11lld %9lld %7lld\n", fact_text(day, "date"),
                                     total_of(day), fact_number(day, "accepted", 0), fact_number(day, "refused", 0),
                                     fact_number(day, "unavailable", 0), fact_number(day, "declined", 0),
                                     fact_number(day, "names", 0));
}

/* A title, then each with its count and what the tables say of it. */
static void show_counts(const char *title, const json_t *object, const char *(*explain)(const char *key))
{
        size_t n;
        struct line *lines = sorted(object, NULL, &n);

        if (n)
                (void)printf("\n%s\n", title);
        for (size_t i = 0; i < n && i < SHOWN_MAX; i++) {
                const char *text = explain ? explain(lines[i].key) : NULL;
                (void)printf("%9lld  ", lines[i].by);
                cli_print_text(stdout, lines[i].key);
                if (text) {
                        (void)printf("  ");
                        view_wrap(13 + strlen(lines[i].key), text);
                } else {
                        (void)fputc('\n', stdout);
                }
        }
        free(lines);
}

static const char *reason_means(const char *id)
{
        const enum reason reason = reason_from_id(id);

        return reason == REASON_MAX ? NULL : reason_info(reason)->helpdesk_text;
}

static void show_dcs(const json_t *dcs)
{
        size_t n;
        struct line *lines = sorted(dcs, "average", &n);
        char most[32];

        if (n)
                (void)printf("\nslowest domain controllers\n%9s %9s %13s %9s %10s\n", "average", "sign-ins",
                             "95 of 100 in", "longest", "undecided");
        for (size_t i = 0; i < n && i < SHOWN_MAX; i++) {
                const json_t *dc = lines[i].value;
                const long long p95 = fact_number(dc, "p95_at_most", 0);
                (void)snprintf(most, sizeof(most), p95 ? "%lld ms" : "over 15 s", p95);
                (void)printf("%6lld ms %9lld %13s %6lld ms %10lld  ", lines[i].by, fact_number(dc, "n", 0), most,
                             fact_number(dc, "longest", 0), fact_number(dc, "undecided", 0));
                cli_print_text(stdout, lines[i].key);
                (void)fputc('\n', stdout);
        }
        free(lines);
}

static void show_users(const json_t *users)
{
        size_t n;
        struct line *lines = sorted(users, "locked_out", &n);

        if (n)
                (void)printf("\nmost locked out, then most refused\n%10s %14s %9s\n", "locked_out", "wrong_password",
                             "refused");
        for (size_t i = 0; i < n && i < SHOWN_MAX; i++) {
                (void)printf("%10lld %14lld %9lld  ", lines[i].by, fact_number(lines[i].value, "wrong_password", 0),
                             fact_number(lines[i].value, "refused", 0));
                cli_print_text(stdout, lines[i].key);
                (void)fputc('\n', stdout);
        }
        free(lines);
}

static void show(const json_t *sums)
{
        if (json_object_size(json_object_get(sums, "verdicts")) == 0) {
                (void)printf("no sign-in came to this connector in that time\n");
                return;
        }
        show_days(json_object_get(sums, "days"));
        show_counts("by service", json_object_get(sums, "services"), NULL);
        show_counts("why sign-ins failed", json_object_get(sums, "reasons"), reason_means);
        show_counts("why sign-ins were given back, for another connector", json_object_get(sums, "declined"),
                    fact_decline);
        show_dcs(json_object_get(sums, "dcs"));
        show_users(json_object_get(sums, "users"));
}

int cmd_report(struct cli *cli, int argc, char **argv)
{
        char **words;
        uint64_t days = 30;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (days_text && text_parse_u64(days_text, 1, DAYS_MAX, &days) < 0)
                return cli_usage_error(cli, "--days '%s' is not a number from 1 to %d", days_text, DAYS_MAX);
        json_t *sums = json_pack("{s:[], s:{}, s:{}, s:{}, s:{}, s:{}}", "days", "verdicts", "services", "reasons",
                                 "declined", "dcs");
        code = ask_days(cli, (int)days, sums);
        if (code == CLI_OK) {
                finish_dcs(json_object_get(sums, "dcs"));
                if (cli->json)
                        view_print_json(sums);
                else
                        show(sums);
        }
        json_decref(sums);
        return code;
}
