/*
 * What a start of the relay would find, each fault of it: descriptors, user, addresses, certificate, transport CA,
 * state_dir, sockets.
 *
 * It changes nothing but this process, which becomes the relay's user, and listens for a moment where the relay would,
 * unless it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/scribe/scribe.h"
#include "base/ipc/loop.h"
#include "base/process/harden.h"
#include "queue/relay/ca-node.h"
#include "queue/relay/relay.h"
#include "queue/relay/store-process.h"

#define CHAIN_MAX 16
#define PROBE_BYTES 65536 /* more than a file system keeps beside its blocks */

static void add_error(struct relay_faults *faults, const char *code, int r, const struct error *err)
{
        if (r < 0)
                relay_faults_add(faults, code, "%s", err->text);
}

/* ---- while privileged: addresses and sockets ---- */

bool relay_runs(const char *state_dir)
{
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                              dir = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

        /* by a short path, however long that of the folder is */
        if (fd < 0 || dir < 0 ||
            snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d/" STORE_PROCESS_SOCKET, dir) < 0)
                return false;
        return connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static void check_addresses(struct relay_faults *faults, const struct relay_config *config)
{
        const struct http_config plain = {.limits = HTTP_LIMITS};
        struct http_config http = plain;
        struct http *server = NULL;
        struct error err = {""};
        uint16_t port;

        if (relay_runs(config->state_dir))
                return; /* it has them */
        if (loop_new(&http.loop) < 0 || http_new(&server, &http, &err) < 0)
                return;
        for (size_t i = 0; i < config->n_listen; i++) {
                const int r =
                        http_listen(server, config->listen[i].host, config->listen[i].port, HTTP_PLAIN, &port, &err);

                add_error(faults, r == -EADDRINUSE ? "address_in_use" : "address_unusable", r, &err);
        }
        http_free(server);
        loop_free(http.loop);
}

/* A file that is made there must have a folder that takes it. */
static void check_place(struct relay_faults *faults, const char *key, const char *path)
{
        char folder[4096];

        if (!path || (size_t)snprintf(folder, sizeof(folder), "%s", path) >= sizeof(folder))
                return;
        const char *parent = dirname(folder);
        if (access(parent, W_OK | X_OK) < 0)
                relay_faults_add(faults, "socket_unusable", "%s %s: its folder %s: %s", key, path, parent,
                                 strerror(errno));
}

/* ---- as the relay's user: files ---- */

static void check_chain(struct relay_faults *faults, const struct relay_config *config, int64_t now)
{
        STACK_OF(X509) *chain = NULL;
        struct error err = {""};
        int r = http_set_tls(NULL, config->certificate, config->key, NULL, &err);

        if (r < 0 || ca_read_certs(&chain, config->certificate, CHAIN_MAX, &err) < 0) {
                relay_faults_add(faults, "certificate_unusable", "%s", err.text);
                return;
        }
        relay_faults_certificate(faults, sk_X509_value(chain, 0), config, now);
        for (int i = 1; i < sk_X509_num(chain); i++)
                if (X509_check_issued(sk_X509_value(chain, i), sk_X509_value(chain, i - 1)) != X509_V_OK)
                        relay_faults_add(faults, "certificate_chain",
                                         "certificate %s: number %d of the file did not issue the one before it",
                                         config->certificate, i + 1);
        sk_X509_pop_free(chain, X509_free);
}

/* What a first start makes is not missed; nothing is made here. */
static void check_transport_ca(struct relay_faults *faults, const struct relay_config *config, int64_t now)
{
        char key_path[CA_PATH_CAP], cert_path[CA_PATH_CAP];
        _cleanup_(key_freep) struct key *key = NULL;
        _cleanup_(ca_freep) struct ca *ca = NULL;
        struct error err = {""};
        int r = ca_path(key_path, config->state_dir, CA_KEY_FILE, &err);

        if (r < 0 || ca_path(cert_path, config->state_dir, CA_CERT_FILE, &err) < 0)
                return;
        const bool has_key = access(key_path, F_OK) == 0, has_cert = access(cert_path, F_OK) == 0;
        if (has_cert)
                r = ca_open(&ca, config->state_dir, config->node, now, &err);
        else if (has_key)
                r = key_read(&key, key_path, NULL, &err);
        add_error(faults, "transport_ca_unusable", r, &err);
        if (ca)
                relay_faults_ca(faults, ca_cert(ca), now);
}

/* Whether a file of some size can be written there: a quota, or a file system that is full for this user. */
static int write_probe(const char *dir)
{
        static const char zeros[4096];
        char path[4096];
        int r = 0;

        if ((size_t)snprintf(path, sizeof(path), "%s/.check-XXXXXX", dir) >= sizeof(path))
                return 0;
        _cleanup_(closep) int fd = mkostemp(path, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        (void)unlink(path);
        for (size_t at = 0; at < PROBE_BYTES && r == 0; at += sizeof(zeros))
                r = write(fd, zeros, sizeof(zeros)) == (ssize_t)sizeof(zeros) ? 0 : errno ? -errno : -ENOSPC;
        return r;
}

static void check_state(struct relay_faults *faults, const struct relay_config *config)
{
        struct error err = {""};
        const size_t before = faults->n;
        int r = store_check_dir(config->state_dir, &err);

        if (r < 0) {
                relay_faults_add(faults, "state_dir_unusable", "%s", err.text);
                return;
        }
        relay_faults_disk(faults, config->state_dir);
        r = faults->n == before ? write_probe(config->state_dir) : 0;
        if (r == -ENOSPC || r == -EDQUOT)
                relay_faults_add(faults, "disk_full", "state_dir %s: %s", config->state_dir, strerror(-r));
        else if (r < 0)
                relay_faults_add(faults, "state_dir_unusable", "state_dir %s: no file can be written: %s",
                                 config->state_dir, strerror(-r));
}

/* The relay starts all the same. */
static void add_records_fault(void *arg, const char *text)
{
        relay_faults_add(arg, "records_not_sent", "%s", text);
}

static void add_warning(void *arg, const char *line)
{
        relay_faults_add(arg, "nats_weak", "%s", line);
}

void relay_check(const struct relay_config *config, struct relay_faults *faults)
{
        const int64_t now = (int64_t)time(NULL);
        struct error err = {""};

        add_error(faults, "descriptors", relay_want_descriptors(config, &err), &err);
        check_addresses(faults, config);
        check_place(faults, "metrics_socket", config->metrics_socket);
        if (config->metrics_group && !getgrnam(config->metrics_group))
                relay_faults_add(faults, "socket_unusable", "metrics_group: there is no group %s",
                                 config->metrics_group);
        int r = harden_become(config->user, HARDEN_NO_GROUPS, &err);
        if (r < 0) { /* what only that user can tell is not known */
                relay_faults_add(faults, "user_unknown", "user: %s", err.text);
                return;
        }
        check_place(faults, "ready_file", config->ready_file);
        check_chain(faults, config, now);
        check_state(faults, config);
        (void)scribe_check(
                (const char *const[EVENTS_WAYS]){
                        [EVENTS_WAY_FILE] = config->events_file, [EVENTS_WAY_TRACES] = config->traces_file},
                add_records_fault, add_records_fault, faults);
        check_transport_ca(faults, config, now);
        r = cluster_check(config, add_warning, faults, &err);
        /* a cluster that is not there now is no mistake of the configuration, for which a reload would fail */
        add_error(faults, r == -EHOSTUNREACH || r == -ENOTCONN ? "nats_unreachable" : "nats_unusable", r, &err);
}
