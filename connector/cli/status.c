/*
 * postern status: what each part of this connector says about itself, and whether a sign-in would succeed now.
 *
 * What is shown and the sum at the end, which is the exit code, are connector/findings'; this lays them out. Where no
 * posternd runs, the last run's end and what a start would find now are told instead.
 */
#include <string.h>
#include <time.h>

#include "connector/cli/startup.h"
#include "connector/cli/view.h"
#include "connector/findings/finding.h"
#include "connector/findings/health.h"
#include "connector/findings/readiness.h"
#include "connector/findings/status.h"

#define WATCH_S 2

static bool watch;

static const struct cli_option options[] = {
        {"watch", NULL, NULL, &watch, "show it anew every 2 s, until interrupted"},
        {0},
};

static const struct cli_usage usage = {
        .name = "status",
        .about = "Shows the processes of this connector, its link to the relay, its domain\n"
                 "controllers and the ledger, and what is wrong. Exit code: 0 a sign-in would\n"
                 "succeed now, 1 something is wrong, 3 posternd does not run.\n",
        .options = options,
};

/* Which sign-ins failed for it, and what happened shortly before. */
static void show_incident(const json_t *finding)
{
        const json_t *changes = json_object_get(finding, "changes"), *change;
        const long long n = fact_number(finding, "sign_ins", 0), users = fact_number(finding, "users", 0);
        char text[1200], when[32];
        size_t i;

        if (n == 0)
                return;
        (void)snprintf(text, sizeof(text), "%lld sign-in%s of %lld user%s failed for it, the latest: %s", n,
                       n == 1 ? "" : "s", users, users == 1 ? "" : "s", fact_text(finding, "id"));
        (void)printf("    ");
        view_wrap(4, text);
        json_array_foreach (changes, i, change) {
                fact_time(fact_number(change, "wall", 0), when, sizeof(when));
                (void)snprintf(text, sizeof(text), "shortly before, %s: %.60s %.900s", when, fact_text(change, "event"),
                               fact_text(change, "detail"));
                (void)printf("    ");
                view_wrap(4, text);
        }
}

static void show_finding(const json_t *finding, long long now)
{
        const long long since = fact_number(finding, "since", 0);
        const json_t *others = json_object_get(finding, "others"), *other;
        const char *remedy = fact_text(finding, "remedy"), *detail = fact_text(finding, "detail");
        char age[32], text[4096];
        size_t i;

        fact_age(now - since, age, sizeof(age));
        (void)snprintf(text, sizeof(text), "%.3000s%s%s%s [%s%s%s]", fact_text(finding, "cause"), since ? " (for " : "",
                       since ? age : "", since ? ")" : "", fact_text(finding, "code"), detail[0] ? ": " : "", detail);
        (void)printf("  ");
        view_wrap(2, text);
        json_array_foreach (others, i, other) {
                (void)printf("    the same: ");
                view_wrap(4, json_string_value(other));
        }
        if (remedy[0]) {
                (void)printf("    ");
                view_wrap(4, remedy);
        }
        show_incident(finding);
}

static void show(const json_t *answer, const json_t *findings)
{
        json_t *sections = status_sections(answer), *item, *row;
        size_t i, k;

        json_array_foreach (sections, i, item) {
                (void)printf("%s", fact_text(item, "title"));
                if (json_object_get(item, "age")) /* the parts report every few seconds: their numbers are as old */
                        (void)printf(" (%lld s ago)", fact_number(item, "age", 0));
                (void)fputc('\n', stdout);
                json_array_foreach (json_object_get(item, "rows"), k, row) {
                        (void)printf(fact_text(row, "label")[0] ? "  %-14s " : "  %s", fact_text(row, "label"));
                        cli_print_text(stdout, fact_text(row, "text"));
                        (void)fputc('\n', stdout);
                }
        }
        json_decref(sections);
        (void)printf(json_array_size(findings) ? "\nwrong:\n" : "\nall is well\n");
        json_array_foreach (findings, i, item)
                show_finding(item, fact_number(answer, "now", 0));
}

static void on_startup_line(void *arg, const char *line)
{
        const size_t number = strspn(line, "0123456789");

        if (line[0] && !strstr(line, ": note: ") && !strstr(line, " is fine: ") &&
            (number == 0 || strncmp(line + number, " error", 6) != 0)) /* that is only how many there were */
                (void)finding_add(arg, (struct finding){.code = "start_refused"}, "posternd could not start: %s", line);
}

static int once(struct cli *cli)
{
        json_auto_t *request = json_pack("{s:s}", "do", "status"), *answer = NULL, *findings = NULL,
                    *lines = json_array();
        struct error err = {""};
        bool fit = true;
        int code;

        if (view_ask(cli, request, &answer, &code) < 0)
                return code;
        const bool offline = json_is_true(json_object_get(answer, "offline"));
        findings = health_findings(answer);
        /* of a posternd that does not run: what a start would find, by posternd's own check */
        if (offline && startup_check(cli->config, on_startup_line, lines, &fit, &err) == 0 && !fit)
                (void)json_array_extend(findings, lines);
        if (watch && !cli->json)
                (void)fputs("\033[H\033[2J", stdout);
        if (cli->json) {
                (void)json_object_set_new(answer, "state", json_string(finding_state(findings)));
                (void)json_object_set(answer, "findings", findings);
                (void)json_object_set_new(answer, "readiness", readiness_of(answer));
                view_print_json(answer);
        } else {
                show(answer, findings);
        }
        (void)fflush(stdout);
        return offline ? CLI_UNAVAILABLE : json_array_size(findings) ? CLI_FAILED : CLI_OK;
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
        const struct timespec pause = {.tv_sec = WATCH_S};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        code = once(cli);
        while (watch && !ferror(stdout) && nanosleep(&pause, NULL) == 0)
                code = once(cli);
        return code;
}
