/* postern tenant connectors, events, release and trace, which tenant.c lists. */
#pragma once

#include "connector/cli/cli.h"

int cmd_tenant_connectors(struct cli *cli, int argc, char **argv);
int cmd_tenant_events(struct cli *cli, int argc, char **argv);
int cmd_tenant_release(struct cli *cli, int argc, char **argv);
int cmd_tenant_trace(struct cli *cli, int argc, char **argv);
