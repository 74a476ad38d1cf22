/*
 * A connection to the NATS servers of section [nats], as the store or as dispatch: the one place that says how it is
 * made, and who it is made as.
 *
 * libnats brings threads and blocks. Nothing here is called from them but what it asks for a signature; whoever
 * subscribes takes messages in its own loop (natsSubscription_NextMsg). Where the relay was built without libnats
 * cluster_new says so.
 */
#pragma once

#include <stdbool.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"
#include "queue/relay/config.h"

#define CLUSTER_SERVER_MAX 272

struct cluster;
struct __natsConnection; /* natsConnection */
struct __natsSubscription;

enum cluster_role { CLUSTER_STORE = 0, CLUSTER_DISPATCH };

/* What is read from files, at the start and at each reload. The login is a secret, and wiped. */
enum cluster_file { CLUSTER_CA = 0, CLUSTER_CERTIFICATE, CLUSTER_KEY, CLUSTER_LOGIN, CLUSTER_FILES_ };
struct cluster_files {
        struct buffer texts[CLUSTER_FILES_];
};
/* Empty: each file may be missing until cluster_new. */
void cluster_files_init(struct cluster_files *files);
void cluster_files_free(struct cluster_files *files);
/* The name of each file, for frames, and its path as the role has it; NULL: none is configured. */
const char *cluster_file_name(enum cluster_file file);
const char *cluster_file_path(const struct relay_nats *nats, enum cluster_role role, enum cluster_file file);
/* Opens it; -errno with the file, and what it must be, in err. A login that others may read is refused. */
int cluster_file_open(const struct relay_nats *nats, enum cluster_role role, enum cluster_file file, int *ret_fd,
                      struct error *err);
/* The text of one, from its beginning, in the place of what there was. fd is not owned. */
int cluster_file_take(struct cluster_files *files, enum cluster_file file, int fd, struct error *err);
/* All that are configured. */
int cluster_files_read(struct cluster_files *files, const struct relay_nats *nats, enum cluster_role role,
                       struct error *err);

/* What needs no file; plain, so that it can be handed on as bytes. */
struct cluster_place {
        char servers[RELAY_SERVERS_MAX][CLUSTER_SERVER_MAX];
        uint32_t n_servers;
        enum cluster_role role;
        char node[65]; /* shown by the servers */
};
void cluster_place_of(const struct relay_nats *nats, enum cluster_role role, const char *node,
                      struct cluster_place *ret_place);

/*
 * Connects by TLS as files->texts[CLUSTER_LOGIN] says, and stays connected: libnats comes back by itself, and keeps
 * nothing that was published meanwhile. must: -ENOTCONN where no server is reached now; otherwise that is 0, and it
 * goes on trying. Waits for 2 s a server at most. -EINVAL: the login's text is none of the three forms; -EACCES: the
 * servers refuse the login; -EBADMSG: certificates; -ENOTSUP: built without libnats. err says which, without a secret.
 */
int cluster_new(struct cluster **ret_cluster, const struct cluster_place *place, const struct cluster_files *files,
                bool must, struct error *err);
struct cluster *cluster_free(struct cluster *cluster);
DEFINE_FREEP(struct cluster, cluster_free)
/* Borrowed. */
struct __natsConnection *cluster_connection(struct cluster *cluster);
/*
 * Ends a subscription of this connection, and sets *subscription to NULL; NULL: nothing. The one way to do that:
 * libnats up to 3.5.0 frees a subscription that natsSubscription_Destroy() is called for while its own thread reads a
 * message of it (nats.c issue 637). It is unsubscribed at once, and freed when that thread is certainly behind it: with
 * the connection, or before.
 */
void cluster_drop(struct cluster *cluster, struct __natsSubscription **subscription);
bool cluster_connected(struct cluster *cluster);
/* How often it was connected anew: consumers of the servers before are gone then. */
uint64_t cluster_reconnects(struct cluster *cluster);
/* Whether libnats has given up: the servers refused the login twice. */
bool cluster_closed(struct cluster *cluster);
/*
 * Whether the cluster is as the configuration needs it, asked of the servers: reach, TLS and logins of each; the
 * store's account, its limits and its bucket; that neither user can make a stream over the subjects of sign-ins, and
 * that the store does not hear them. What it can do without is told by warn. 0, also where nothing is on NATS; -errno
 * with what to mend.
 */
typedef void cluster_warn_fn(void *arg, const char *line);
int cluster_check(const struct relay_config *config, cluster_warn_fn *warn, void *arg, struct error *err);
/* What its inboxes begin with: it may subscribe to nothing else that begins with _INBOX. */
const char *cluster_inbox(enum cluster_role role);
