/*
 * postern person connectors: how each connector of the tenant is, by the relay and by its own sealed word.
 */
#include <stdint.h>
#include <stdio.h>

#include "connector/cli/person.h"
#include "connector/cli/view.h"
#include "connector/findings/connectors.h"

#define LABEL "    %-12s "
#define INDENT 17

static const struct cli_option options[] = {PERSON_OPTIONS, {NULL, NULL, NULL, NULL, NULL}};

static const struct cli_usage usage = {
        .name = "connectors",
        .about = "Asks every connector that serves your domains how it is, through the relay, with\n"
                 "your key (postern person): ready or not and since when, its version, load,\n"
                 "domain controllers, certificate and latest fault. Those that are silent are\n"
                 "named. The tenant's admin has `postern tenant connectors`, by the relay alone.\n"
                 "Exit code 1: one is not ready, or silent.\n",
        .options = options,
        .no_config = true,
        .no_socket = true,
};

static void show(const json_t *c)
{
        const json_t *rows = json_object_get(c, "rows"), *findings = json_object_get(c, "findings"), *row;
        size_t i;

        (void)printf("%-20s %s  %s\n", fact_text(c, "name"), fact_text(c, "id"), fact_text(c, "state"));
        json_array_foreach ((json_t *)(uintptr_t)rows, i, row) {
                (void)printf(LABEL, fact_text(row, "label"));
                view_wrap(INDENT, fact_text(row, "text"));
        }
        (void)printf(LABEL, "fault");
        view_wrap(INDENT, json_array_size(findings)                  ? fact_text(json_array_get(findings, 0), "cause")
                          : json_is_true(json_object_get(c, "well")) ? "none"
                                                                     : "not known");
        if (json_array_size(findings) > 1)
                (void)printf(LABEL "and %zu more: postern status on its host\n", "", json_array_size(findings) - 1);
}

int cmd_person_connectors(struct cli *cli, int argc, char **argv)
{
        const struct question_claims question = {.op = QUESTION_STATUS};
        json_auto_t *answer = NULL, *told = NULL;
        const json_t *c;
        bool well = true;
        char **words;
        size_t i;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (person_ask(cli, &question, &answer, &code) < 0)
                return code;
        told = connectors_told(answer);
        json_array_foreach (told, i, c) {
                well &= json_is_true(json_object_get(c, "well"));
                if (!cli->json)
                        show(c);
        }
        if (cli->json)
                view_print_json(answer);
        else if (i == 0)
                person_tell(answer);
        return well ? CLI_OK : CLI_FAILED;
}
