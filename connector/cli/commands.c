/*
 * The table of subcommands: what `postern --help` lists and `postern WORD` runs.
 */
#include "connector/cli/cli.h"

const struct cli_command cli_commands[] = {
        {"check-config", "report every error in the configuration", cmd_check_config},
        {NULL, NULL, NULL},
};
