/*
 * What links take from the files of this host: its name servers, what its hosts file says, its CAs. Read once, for a
 * process may have shut itself off from files when it makes its next link.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/core/buffer.h"
#include "base/dns/dns.h"
#include "base/core/error.h"
#include "base/ipc/loop.h"

struct link_host {
        struct dns *dns;
        struct buffer cas;       /* PEM: those that a relay's certificate may be from */
        struct buffer proxy_cas; /* the same for a proxy that is asked by TLS; empty where there is none */
};

/*
 * Reads all. ca_pem: the relay's CA, NULL or "": the system's. proxy: as link_config's; an https:// one may have a
 * certificate by the system's CAs or by ca_pem. -ENOENT where the system's CAs are wanted and are not there, -EINVAL
 * for a proxy that can't be used (certs/http/http-way.h).
 */
int link_host_new(struct link_host **ret_host, struct loop *loop, const char *ca_pem, const char *proxy,
                  struct error *err);
struct link_host *link_host_free(struct link_host *host);
/* Takes the addresses of the URL's host out of the hosts file, where it is in there. */
void link_host_learn(struct link_host *host, const char *url);
