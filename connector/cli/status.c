/*
 * postern status: what each part of this connector says about itself.
 *
 * What is shown and the sum at the end, which is the exit code, are connector/findings'; this lays them out.
 */
#include <string.h>

#include "connector/cli/view.h"
#include "connector/findings/health.h"
#include "connector/findings/status.h"

static const struct cli_usage usage = {
        .name = "status",
        .about = "Shows the processes of this connector, its link to the relay, its domain\n"
                 "controllers and the ledger, and what is wrong. Exit code 1: something is.\n",
};

/* The parts report every few seconds, so their numbers are as old as that. */
static void show_section(const json_t *section)
{
        const json_t *rows = json_object_get(section, "rows"), *row;
        size_t i;

        (void)printf("%s", fact_text(section, "title"));
        if (json_object_get(section, "age"))
                (void)printf(" (%lld s ago)", fact_number(section, "age", 0));
        (void)fputc('\n', stdout);
        json_array_foreach (rows, i, row) {
                if (fact_text(row, "label")[0])
                        (void)printf("  %-14s ", fact_text(row, "label"));
                else
                        (void)printf("  ");
                cli_print_text(stdout, fact_text(row, "text"));
                (void)fputc('\n', stdout);
        }
}

static void show_finding(const json_t *finding, long long now)
{
        const long long since = fact_number(finding, "since", 0);
        const char *remedy = fact_text(finding, "remedy");
        char age[32], text[4096];

        fact_age(now - since, age, sizeof(age));
        (void)snprintf(text, sizeof(text), "%.3000s%s%s%s", fact_text(finding, "cause"), since ? " (for " : "",
                       since ? age : "", since ? ")" : "");
        (void)printf("  ");
        view_wrap(2, text);
        if (remedy[0]) {
                (void)printf("    ");
                view_wrap(4, remedy);
        }
}

static void show(const json_t *answer, const json_t *findings)
{
        json_t *sections = status_sections(answer), *item;
        size_t i;

        json_array_foreach (sections, i, item)
                show_section(item);
        json_decref(sections);
        (void)printf(json_array_size(findings) ? "\nwrong:\n" : "\nall is well\n");
        json_array_foreach (findings, i, item)
                show_finding(item, fact_number(answer, "now", 0));
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
        json_t *answer = NULL;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        json_t *request = json_pack("{s:s}", "do", "status");
        int r = view_ask(cli, request, &answer, &code);
        json_decref(request);
        if (r < 0)
                return code;
        json_t *findings = health_findings(answer);
        code = json_array_size(findings) ? CLI_FAILED : CLI_OK;
        if (cli->json) {
                (void)json_object_set(answer, "findings", findings);
                view_print_json(answer);
        } else {
                show(answer, findings);
        }
        json_decref(findings);
        json_decref(answer);
        return code;
}
