/*
 * `postern service init NAME --gateway`: from an installed gateway to one that runs and waits to be approved.
 *
 * Invariant: all that was given is read and judged before the first file is written, the key is the last of them and
 * never overwritten, and a gateway.conf that is there stays as it is. Whether the gateway can use all this is for its
 * own start to say.
 */
#include "connector/cli/service-gateway.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/ca-bundle.h"
#include "base/core/text.h"
#include "base/process/program.h"
#include "connector/person/folder.h"
#include "connector/cli/prompt.h"
#include "connector/cli/service.h"

#define GATEWAY_ETC "/etc/postern-gateway"
#define GATEWAY_SERVICE GATEWAY_ETC "/service"
#define GATEWAY_CONF GATEWAY_ETC "/gateway.conf"
#define GATEWAY_UNIT "postern-gateway.service"
#define WEB_SERVERS "www-data" /* Debian's group of nginx, Apache and others */

static const char conf[] =
        "# Made by `postern service init --gateway`. postern-gateway.conf(5) has every key, and so has the sample\n"
        "# gateway.conf.example. After a change: systemctl reload postern-gateway\n"
        "\n"
        "[gateway]\n"
        "listen = unix:/run/postern-gateway/gateway.sock\n";

/* What was given, read. */
struct given {
        struct secret *secret;
        struct buffer ca;
};

static void given_clear(struct given *g)
{
        secret_free(g->secret);
        buffer_free(&g->ca);
}

static int check_host(struct error *err)
{
        if (geteuid() != 0)
                return error_fail(err, -EPERM, "--gateway writes to " GATEWAY_ETC " and starts a unit: run it as root");
        if (access(GATEWAY_ETC, W_OK) < 0)
                return error_fail(err, -errno, GATEWAY_ETC ": %s; install postern-gateway on this host first",
                                  strerror(errno));
        if (access(GATEWAY_SERVICE "/service.key", F_OK) == 0)
                return error_fail(err, -EEXIST,
                                  "this host's gateway has a service, in " GATEWAY_SERVICE
                                  ", whose key is never overwritten; postern service show --service " GATEWAY_SERVICE
                                  " shows it, and stores another relay or secret");
        return 0;
}

/* By a store of which nothing is written, so that a wrong option leaves no key behind. */
static int check_settings(const struct service_settings *given, struct error *err)
{
        _cleanup_(service_store_clear) struct service_store trial = {0};
        struct service_settings all = *given;
        int r;

        all.secret_file = "/"; /* it is read, or asked for, next */
        r = service_store_take(&trial, &all, err);
        if (r == 0 && (!trial.relay || !trial.tenant || !trial.pin))
                r = error_fail(err, -EINVAL, "--gateway needs %s",
                               !trial.relay    ? "--relay URL"
                               : !trial.tenant ? "--tenant T"
                                               : "--pin PIN, which the tenant's admin has from `postern tenant init`");
        if (r == 0 && trial.roster_source)
                r = error_fail(err, -EINVAL, "a gateway has no --roster-source: it takes the roster from the relay");
        return r;
}

static int read_given(const struct service_settings *given, struct given *g, struct error *err)
{
        const bool typed = !given->secret_file || strcmp(given->secret_file, "-") == 0;
        int r = check_settings(given, err);

        if (r == 0 && given->ca_file)
                r = ca_bundle_read(&g->ca, given->ca_file, NULL, err);
        if (r == 0)
                r = typed ? prompt_secret("The relay's service secret for this tenant: ", &g->secret, err)
                          : folder_secret_read(given->secret_file, &g->secret, err);
        return r > 0 ? error_fail(err, -EINVAL,
                                  "the service secret is empty: it is what `postern-relay tenant add` or "
                                  "`postern-relay secret TENANT service` printed")
                     : r;
}

static int write_beside(const char *file, const void *bytes, size_t n, unsigned mode, struct error *err)
{
        char path[FOLDER_PATH_MAX];

        folder_path(path, GATEWAY_SERVICE, file);
        return file_write_atomic(path, bytes, n, mode, err);
}

static int write_all(const char *name, const struct service_settings *given, const struct given *g,
                     struct service_store *s, struct error *err)
{
        struct service_settings kept = *given;
        int r = folder_make(GATEWAY_SERVICE, err);

        kept.secret_file = GATEWAY_SERVICE "/secret";
        if (r == 0)
                r = write_beside("secret", secret_text(g->secret), secret_len(g->secret), 0600, err);
        if (r == 0 && g->ca.len) {
                kept.ca_file = GATEWAY_SERVICE "/relay-ca.pem";
                r = write_beside("relay-ca.pem", g->ca.data, g->ca.len, 0644, err);
        }
        return r < 0 ? r : service_store_create(GATEWAY_SERVICE, name, &kept, s, err);
}

/* Outcome 1: there was one, which stays. */
static int write_conf(struct error *err)
{
        char text[sizeof(conf) + 64];
        int n;

        if (access(GATEWAY_CONF, F_OK) == 0)
                return 1;
        n = snprintf(text, sizeof(text), "%s%s", conf, getgrnam(WEB_SERVERS) ? "socket_group = " WEB_SERVERS "\n" : "");
        return file_write_atomic(GATEWAY_CONF, text, (size_t)n, 0644, err);
}

/* Outcome 1: no systemd runs here. */
static int start(struct error *err)
{
        static const char *const argv[] = {"/usr/bin/systemctl", "enable", "--now", "--quiet", GATEWAY_UNIT, NULL};
        pid_t pid = -1;
        int status = 0, r;

        if (access("/run/systemd/system", F_OK) < 0)
                return 1;
        r = program_spawn(&pid, argv, (const int[3]){-1, -1, -1});
        if (r < 0)
                return error_fail(err, r, "cannot run systemctl: %s", strerror(-r));
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0
                       ? 0
                       : error_fail(err, -EIO,
                                    "the service is made, but the gateway does not start; why: postern-gateway "
                                    "--check-config, journalctl -u postern-gateway. Then: systemctl enable --now "
                                    "postern-gateway");
}

static int show(const struct cli *cli, const struct service_store *s, bool conf_stays, bool started)
{
        const int code = service_show(cli, s, "Service", key_kid(s->key));

        if (cli->json || code != CLI_OK)
                return code;
        printf("  settings     " GATEWAY_CONF "%s\n", conf_stays ? ", which was there and stays as it is" : "");
        printf("\n%s until the tenant's admin has taken that file and run:\n"
               "  postern tenant approve-service service.pub.json %s\n"
               "Then `postern-gateway status` says whether sign-ins can be decided.\n",
               started ? "The gateway runs, and signs nobody in"
                       : "Start it (systemctl enable --now postern-gateway). It signs nobody in",
               key_kid(s->key));
        return CLI_OK;
}

int service_gateway_init(const struct cli *cli, const char *name, const struct service_settings *given)
{
        _cleanup_(service_store_clear) struct service_store s = {0};
        _cleanup_(given_clear) struct given g = {.ca = BUFFER(CA_BUNDLE_MAX)};
        struct error err = {""};
        int r = check_host(&err), there = 0, started;

        if (r == 0)
                r = read_given(given, &g, &err);
        if (r == 0)
                r = there = write_conf(&err);
        if (r >= 0)
                r = write_all(name, given, &g, &s, &err);
        started = r < 0 ? r : start(&err);
        return started < 0 ? cli_error(cli, "%s", err.text) : show(cli, &s, there > 0, started == 0);
}
