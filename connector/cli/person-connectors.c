/*
 * postern person connectors: how each connector of the tenant is, by the relay and by its own sealed word.
 */
#include <stdio.h>
#include <string.h>

#include "connector/cli/everywhere.h"
#include "connector/cli/person.h"
#include "connector/cli/view.h"
#include "connector/findings/health.h"

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

/* What the relay sees of the connector; NULL: nothing. */
static const json_t *seen_by_relay(const json_t *all, const char *id)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(all, "relay"), i, c)
                if (strcmp(fact_text(c, "id"), id) == 0)
                        return c;
        return NULL;
}

static const json_t *part(const json_t *answer, const char *name)
{
        return json_object_get(json_object_get(json_object_get(answer, "parts"), name), "value");
}

static void show_link(const json_t *relay)
{
        const long long since = fact_number(relay, "since", 0), until = fact_number(relay, "certificate_not_after", 0);
        char when[32];

        if (!json_is_true(json_object_get(relay, "linked")))
                return;
        fact_time(since, when, sizeof(when));
        (void)printf(LABEL "since %s, ", "link", when);
        cli_print_text(stdout, fact_text(relay, "version")[0] ? fact_text(relay, "version") : "version not told");
        fact_time(until, when, sizeof(when));
        (void)printf("\n" LABEL "valid until %s\n", "certificate", when);
}

static void show_dcs(const json_t *answer)
{
        json_t *p;
        const char *name;

        json_object_foreach (json_object_get(answer, "parts"), name, p) {
                const json_t *dc = json_object_get(p, "value");

                if (strncmp(name, "dc:", 3) != 0)
                        continue;
                (void)printf(LABEL, "DC");
                cli_print_text(stdout, fact_text(dc, "host"));
                (void)printf("  ");
                cli_print_text(stdout, fact_text(dc, "state"));
                (void)printf("  %lld ms", fact_number(dc, "ms", 0));
                if (fact_text(dc, "reason")[0]) {
                        (void)printf("  ");
                        cli_print_text(stdout, fact_text(dc, "reason"));
                }
                (void)fputc('\n', stdout);
        }
}

/* What it says of itself. */
static void show_answer(const json_t *answer)
{
        const json_t *validator = part(answer, "validator"), *counts = json_object_get(answer, "counts");
        json_auto_t *findings = health_findings(answer);

        (void)printf(LABEL "%lld in flight; since its start %lld accepted, %lld refused, %lld unavailable\n", "load",
                     fact_number(validator, "in_flight", 0), fact_number(counts, "accepted", 0),
                     fact_number(counts, "refused", 0), fact_number(counts, "unavailable", 0));
        show_dcs(answer);
        (void)printf(LABEL, "fault");
        view_wrap(INDENT, json_array_size(findings) ? fact_text(json_array_get(findings, 0), "cause") : "none");
        if (json_array_size(findings) > 1)
                (void)printf(LABEL "and %zu more: postern status on its host\n", "", json_array_size(findings) - 1);
}

/* Whether it is well. */
static bool show(const json_t *all, const json_t *c)
{
        const json_t *relay = seen_by_relay(all, fact_text(c, "id")), *answer = json_object_get(c, "answer");
        const bool ready = json_is_true(json_object_get(relay, "ready"));

        (void)printf("%-20s %s  %s\n", fact_text(c, "name"), fact_text(c, "id"),
                     ready                                            ? "ready"
                     : json_is_true(json_object_get(relay, "linked")) ? "linked, NOT READY"
                                                                      : "NOT LINKED");
        show_link(relay);
        if (answer) {
                show_answer(answer);
        } else {
                (void)printf(LABEL, fact_text(c, "state"));
                view_wrap(INDENT, fact_text(c, "why"));
        }
        return ready && answer;
}

int cmd_person_connectors(struct cli *cli, int argc, char **argv)
{
        const struct question_claims question = {.op = QUESTION_STATUS};
        json_auto_t *answer = NULL;
        const json_t *all, *c;
        bool well = true;
        char **words;
        size_t i;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (everywhere_ask(cli, &question, &answer, &code) < 0)
                return code;
        all = json_object_get(answer, "everywhere");
        json_array_foreach (json_object_get(all, "connectors"), i, c) {
                const json_t *relay = seen_by_relay(all, fact_text(c, "id"));

                if (cli->json)
                        well &= json_object_get(c, "answer") && json_is_true(json_object_get(relay, "ready"));
                else
                        well &= show(all, c);
        }
        if (cli->json)
                view_print_json(answer);
        else if (i == 0)
                everywhere_tell(answer);
        return well ? CLI_OK : CLI_FAILED;
}
