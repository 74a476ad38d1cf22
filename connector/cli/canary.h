/* postern service canary and trust, which service.c lists. */
#pragma once

#include "connector/cli/cli.h"

int cmd_service_canary(struct cli *cli, int argc, char **argv);
int cmd_service_trust(struct cli *cli, int argc, char **argv);
