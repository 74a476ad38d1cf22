/*
 * The words of postern-relay's command line that work on the database: they run beside the relay, or before
 * its first start.
 */
#pragma once

#include <stdbool.h>

#include "queue/relay/config.h"

#define EXIT_USAGE 2

struct relay_cli {
        const struct relay_config *config;
        bool json, yes;            /* yes: what a person would be asked is answered */
        const char *pin, *expires; /* --pin, --expires or NULL */
};

/* Runs `ca root ...` and `ca sign ...`, which need no relay: -1 where it is another word, or the exit status. */
int relay_cli_offline(int argc, char **argv);
/* Runs `tenant ...`, `secret ...`, `token ...` and the others; the exit status. */
int relay_cli_run(const struct relay_cli *cli, int argc, char **argv);
/* `status`: the exit status is 0 where it runs and nothing stops it. */
int relay_cli_status(const struct relay_cli *cli);
