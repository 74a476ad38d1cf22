/*
 * The bus process of a relay that was built without libnats: there is none.
 */
#include "queue/relay/bus-process.h"

bool bus_process_built(void)
{
        return false;
}

bool bus_process_wanted(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        return false;
}

int bus_process_main(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        return 1;
}
