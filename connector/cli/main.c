/*
 * postern: the command line at the tenant's admin, on a connector's host and beside a sign-in service.
 */
#include <string.h>

#include "connector/cli/cli.h"
#include "connector/conf/config.h"

int main(int argc, char **argv)
{
        struct cli cli = {.config = CONFIG_DEFAULT, .program = "postern"};

        if (argc > 1 && strcmp(argv[1], "--version") == 0)
                return printf("postern %s\n", POSTERN_VERSION) < 0;
        int code = cli_dispatch(&cli, cli_commands,
                                "Checks cloud sign-ins against the domain controllers inside a network.\n", argc, argv);
        if (fflush(stdout) != 0 && code == CLI_OK)
                code = cli_error(&cli, "cannot write the output");
        return code;
}
