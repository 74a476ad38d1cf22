/*
 * For tests: joins NATS as a relay does, and says what came of it.
 *
 * usage: join store|dispatch CA LOGIN SERVER ...    prints "joined", or the code's name and the sentence; 0 or 1
 */
#include <stdio.h>
#include <string.h>

#include "queue/relay/cluster.h"

int main(int argc, char **argv)
{
        struct relay_nats nats = {.ca = argc > 4 ? argv[2] : NULL};
        const enum cluster_role role = argc > 4 && strcmp(argv[1], "store") == 0 ? CLUSTER_STORE : CLUSTER_DISPATCH;
        struct cluster *cluster = NULL;
        struct cluster_files files;
        struct cluster_place place;
        struct error err = {""};

        if (argc < 5 || argc > 4 + RELAY_SERVERS_MAX)
                return 2;
        nats.store_login = nats.dispatch_login = argv[3];
        for (int i = 4; i < argc; i++)
                nats.servers[nats.n_servers++] = argv[i];
        cluster_files_init(&files);
        cluster_place_of(&nats, role, "join", &place);
        int r = cluster_files_read(&files, &nats, role, &err);
        if (r == 0)
                r = cluster_new(&cluster, &place, &files, true, &err);
        cluster_files_free(&files);
        cluster = cluster_free(cluster);
        printf("%s %s\n", r == 0 ? "joined" : strerrorname_np(-r), r == 0 ? "" : err.text);
        return r < 0;
}
