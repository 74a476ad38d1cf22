/*
 * The bus process: the one that has libnats, with its threads and its blocking calls, and a connection to the NATS
 * servers by dispatch's own login. The relay starts its own program again with --role=bus (bus.h).
 */
#pragma once

#include <stdbool.h>

#define BUS_PROCESS_ROLE "--role=bus"

/* Whether this program was built with libnats. */
bool bus_process_built(void);
/* Whether the command line is the bus process's. */
bool bus_process_wanted(int argc, char **argv);
/* Serves until the relay ends. The exit code. */
int bus_process_main(int argc, char **argv);
