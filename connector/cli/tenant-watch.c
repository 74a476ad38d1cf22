/*
 * `postern tenant connectors`, `events` and `release`: what the relay sees and has noted of connectors, and the answer.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/text.h"
#include "connector/cli/cli.h"
#include "connector/person/folder.h"
#include "connector/cli/tenant-store.h"
#include "connector/cli/trace.h"
#include "connector/cli/view.h"

static struct tenant_way o;

static const struct cli_option options[] = {
        {"dir", "DIR", &o.dir, NULL, "the key's folder (~/.config/postern/tenant)"},
        {"relay", "URL", &o.relay, NULL, "the relay (else the remembered one)"},
        {"admin-secret-file", "FILE", &o.admin_secret_file, NULL, "what `postern-relay tenant add` printed"},
        {"ca-file", "FILE", &o.ca_file, NULL, "the relay's CA (else the system's)"},
        {0},
};

static void print_events(const json_t *list)
{
        const json_t *e;
        size_t i;

        json_array_foreach (list, i, e) {
                char when[32];

                fact_time(fact_number(e, "at", 0), when, sizeof(when));
                (void)printf("%s  ", when);
                cli_print_text(stdout, fact_text(e, "event"));
                (void)printf("  ");
                cli_print_text(stdout, fact_text(e, "connector"));
                (void)printf("\n    ");
                cli_print_text(stdout, fact_text(e, "text"));
                (void)fputc('\n', stdout);
        }
        if (json_array_size(list) == 0)
                (void)printf("Nothing happened in the last 30 days.\n");
}

int cmd_tenant_events(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "events",
                .about = "Shows what the relay noted of the tenant's connectors in the last 30 days: new\n"
                         "ones that ask for approval, one identity on two machines, revocations.\n",
                .options = options,
                .no_config = true,
                .no_socket = true,
        };
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        json_auto_t *list = NULL;
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (tenant_store_open_by(&s, &o, &err) < 0 || tenant_events(&s, &list, &err) < 0)
                return cli_error(cli, "%s", err.text);
        if (cli->json)
                view_print_json(list);
        else
                print_events(list);
        return CLI_OK;
}

/* ---- connectors ---- */

static void print_list(const char *label, const json_t *words)
{
        const json_t *word;
        size_t i;

        if (json_array_size(words) == 0)
                return;
        (void)printf("    %-12s", label);
        json_array_foreach (words, i, word) {
                (void)printf(" ");
                cli_print_text(stdout, json_is_string(word) ? json_string_value(word) : "?");
        }
        (void)fputc('\n', stdout);
}

static void print_connector(const struct tenant_store *s, const json_t *c)
{
        const struct roster_member *member = tenant_store_member(s, fact_text(c, "id"));
        const long long since = fact_number(c, "since", 0), end = fact_number(c, "certificate_not_after", 0);
        const char *state = !fact_text(c, "kid")[0] ? "linked, but not in the roster: postern tenant approve"
                            : json_is_true(json_object_get(c, "quarantined"))
                                    ? "in quarantine, seen on two machines: postern tenant events"
                            : json_is_true(json_object_get(c, "ready")) ? "ready"
                            : json_is_true(json_object_get(c, "linked"))
                                    ? "linked, not ready: see postern status on its host"
                                    : "NOT LINKED: see postern status on its host";
        char when[32];

        (void)printf("%-20s ", member ? member->name : "?");
        cli_print_text(stdout, fact_text(c, "id"));
        (void)printf("  %s\n", state);
        if (!json_is_true(json_object_get(c, "linked")))
                return;
        fact_time(since, when, sizeof(when));
        (void)printf("    %-12s since %s from ", "link", when);
        cli_print_text(stdout, fact_text(c, "address"));
        (void)printf(", ");
        cli_print_text(stdout, fact_text(c, "version")[0] ? fact_text(c, "version") : "version not told");
        fact_time(end, when, sizeof(when));
        (void)printf(", %lld in hand\n    %-12s valid until %s\n", fact_number(c, "in_hand", 0), "certificate", when);
        print_list("serves", json_object_get(c, "realms"));
        print_list("not ready", json_object_get(c, "reasons"));
}

int cmd_tenant_connectors(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "connectors",
                .about = "Shows each connector of the tenant as the relay sees it now: ready or why not,\n"
                         "since when it is linked and from where, its version, the domains it serves, how\n"
                         "many sign-ins it has in hand, and when its certificate ends.\n"
                         "Exit code 1: one of the roster is not ready.\n",
                .options = options,
                .no_config = true,
                .no_socket = true,
        };
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        json_auto_t *status = NULL;
        struct error err = {""};
        const json_t *c;
        char **words;
        size_t i;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (tenant_store_open_by(&s, &o, &err) < 0 || tenant_status(&s, &status, &err) < 0)
                return cli_error(cli, "%s", err.text);
        code = CLI_OK;
        json_array_foreach (json_object_get(status, "connectors"), i, c)
                if (fact_text(c, "kid")[0] && !json_is_true(json_object_get(c, "ready")))
                        code = CLI_FAILED;
        if (cli->json)
                view_print_json(status);
        json_array_foreach (json_object_get(status, "connectors"), i, c)
                if (!cli->json)
                        print_connector(&s, c);
        if (!cli->json && i == 0)
                (void)printf("The roster has no connector, and none is linked.\n");
        return code;
}

int cmd_tenant_release(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "release",
                .words = "ID",
                .min_words = 1,
                .max_words = 1,
                .about = "Lets a connector out of the quarantine that the relay put it into because its\n"
                         "identity ran on two machines (`postern tenant events`). End the copy first. If\n"
                         "somebody else may have copied its key, do not: run `postern tenant remove` and\n"
                         "enrol it anew.\n",
                .options = options,
                .no_config = true,
                .no_socket = true,
        };
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!id_valid(words[0], strlen(words[0])))
                return cli_usage_error(cli, "'%s' is not the id of a connector", words[0]);
        if (tenant_store_open_by(&s, &o, &err) < 0 || tenant_release(&s, words[0], &err) < 0)
                return cli_error(cli, "%s", err.text);
        (void)printf("%s gets work again.\n", words[0]);
        return CLI_OK;
}
