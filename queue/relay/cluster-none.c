/*
 * The cluster of a relay that was built without libnats: there is none, and whoever asks for one is told.
 */
#include <errno.h>

#include "queue/relay/cluster.h"

int cluster_new(struct cluster **ret_cluster, const struct cluster_place *place, const struct cluster_files *files,
                bool must, struct error *err)
{
        (void)ret_cluster;
        (void)place;
        (void)files;
        (void)must;
        return error_fail(err, -ENOTSUP,
                          "this postern-relay was built without NATS (libnats, `meson setup -Dnats=enabled`)");
}

struct cluster *cluster_free(struct cluster *cluster)
{
        (void)cluster;
        return NULL;
}
