/*
 * The relay's store process: the one that has the database open while the relay runs.
 *
 * The relay starts its own program again with --role=store (store-client.h); whatever waits for a disk or for another
 * process's lock waits here, and the relay goes on from what it keeps in memory.
 */
#pragma once

#include <stdbool.h>

#define STORE_PROCESS_ROLE "--role=store"
/* In state_dir: whoever connects is told, by the end of the connection, that the relay goes by all written before. */
#define STORE_PROCESS_SOCKET "written.sock"

/* Whether the command line is the store process's. */
bool store_process_wanted(int argc, char **argv);
/* Serves until the relay ends. The exit code. */
int store_process_main(int argc, char **argv);
/*
 * For who has written into the database of dir: waits until a running relay, if there is one, goes by it; at most 5 s.
 * Changes the working folder. False: it runs, and did not say so in time.
 */
bool store_process_written(const char *dir);
