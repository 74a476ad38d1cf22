/*
 * postern check-config: every error of the configuration in one run.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "connector/cli/cli.h"
#include "connector/conf/config.h"

static const struct cli_usage usage = {
        .name = "check-config",
        .words = "[PATH]",
        .max_words = 1,
        .about = "Reads the configuration and reports every error in it, as file:line: key: why.\n"
                 "It opens no key file and asks no network. Exit code 1: there are errors.\n",
        .no_socket = true,
};

static void print_json(const struct conf_errors *errors)
{
        json_t *list = json_array(), *root = json_pack("{s:i, s:o}", "errors", (int)errors->n, "lines", list);
        const char *line = errors->lines.len ? errors->lines.data : "";

        while (*line) {
                size_t n = strcspn(line, "\n");
                json_array_append_new(list, json_stringn_nocheck(line, n));
                line += n + (line[n] == '\n');
        }
        (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        (void)fputc('\n', stdout);
        json_decref(root);
}

int cmd_check_config(struct cli *cli, int argc, char **argv)
{
        struct conf_errors errors = CONF_ERRORS;
        struct config *config = NULL;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        const char *path = words[0] ? words[0] : cli->config;
        int r = config_load(&config, path, NULL, &errors);
        if (cli->json)
                print_json(&errors);
        else if (errors.n)
                (void)fputs(errors.lines.len ? errors.lines.data : "", stderr);
        if (!cli->json && r == 0)
                (void)printf("%s is fine: %zu domain%s\n", path, config->validate.n_domains,
                             config->validate.n_domains == 1 ? "" : "s");
        else if (!cli->json)
                (void)cli_error(cli, "%zu error%s", errors.n, errors.n == 1 ? "" : "s");
        config_free(config);
        conf_errors_clear(&errors);
        return r == 0 ? CLI_OK : CLI_FAILED;
}
