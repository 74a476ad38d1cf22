/*
 * postern-web: the helpdesk's page. Options, configuration, sockets; then it shuts itself up and serves.
 *
 * It holds no key and never sees a password: what it shows, the ledger answers, or postern-asker. It never runs as
 * root.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/process/confine.h"
#include "base/process/harden.h"
#include "connector/web/admit.h"

#define EXIT_USAGE 2
#define EXIT_CONFIGURATION 78   /* sysexits' EX_CONFIG: starting again mends nothing */
#define PAGE_USER "postern-web" /* the ledger knows it by this name */
#define CONFIG_DEFAULT "/etc/postern-web/web.conf"

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "unknown"
#endif

static const char help[] = "Usage: postern-web [--config FILE] [--check-config]\n"
                           "\n"
                           "Serves the helpdesk's page of the connector on this host, or on a helpdesk's host of\n"
                           "all connectors: how they are, why a sign-in failed, what a day was like. Runs in the\n"
                           "foreground, as a user of its own, never as root. SIGTERM ends it.\n"
                           "\n"
                           "An administrator on this host gets a link for one use by: postern page\n"
                           "Others come through a reverse proxy that signs them in; postern-web(8) shows how.\n"
                           "\n"
                           "Options:\n"
                           "  -c, --config FILE    the configuration (" CONFIG_DEFAULT ")\n"
                           "      --check-config   check it, tell every mistake, and exit\n"
                           "  -h, --help           this text\n"
                           "  -V, --version        the version\n"
                           "\n"
                           "Exit status: 0 done, 1 failed, 2 wrong usage, 78 it cannot use its configuration.\n";

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"check-config", no_argument, NULL, 'k'},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'V'},
                                             {NULL, 0, NULL, 0}};

struct server {
        struct web web;
        struct web_admit *admit;
        struct loop_signal *signals[2];
};

/* Every mistake goes to stderr. */
static int read_config(struct web_config **ret_config, const char *path)
{
        struct conf_errors errors = CONF_ERRORS;
        int r = web_config_load(ret_config, path, &errors);

        if (r < 0)
                fprintf(stderr, "%spostern-web: %s: %zu mistake%s\n", errors.lines.len ? errors.lines.data : "", path,
                        errors.n, errors.n == 1 ? "" : "s");
        conf_errors_clear(&errors);
        return r;
}

/* What the configuration names and the host must have. */
static int find_proxy(const struct web_config *config, uid_t *ret_uid, struct error *err)
{
        const struct passwd *user = config->proxy_user ? getpwnam(config->proxy_user) : NULL;

        if (config->proxy_user && !user)
                return error_fail(err, -ENOENT, "proxy_user: there is no user %s on this host", config->proxy_user);
        *ret_uid = user ? user->pw_uid : (uid_t)-1;
        return 0;
}

static int listen_direct(struct web *web, struct error *err)
{
        char host[64], shown[80];
        uint16_t port = 0;
        int r = conf_address(web->config->listen, host, sizeof(host), &port, err);

        if (r == 0)
                r = http_listen(web->direct.http, host, port, HTTP_PLAIN, &port, err);
        if (r < 0)
                return r;
        (void)snprintf(shown, sizeof(shown), strchr(host, ':') ? "[%s]" : "%s", host);
        web_serve_at(web, shown, port);
        return 0;
}

static void on_end(void *arg)
{
        loop_stop(arg, 0);
}

static int start(struct server *s, struct error *err)
{
        struct web *web = &s->web;
        int r = find_proxy(web->config, &web->proxy_uid, err);
        const struct passwd *self = getpwnam(PAGE_USER);

        web->is_known = self && self->pw_uid == geteuid();

        if (r == 0)
                r = web_serve_new(web, err);
        if (r == 0 && web->direct.http)
                r = listen_direct(web, err);
        if (r == 0 && web->proxy.http) {
                /* everybody may connect to it, and all but the proxy are refused: its user need not be in a group of
                 * ours */
                int fd = web_admit_socket(web->config->socket, 0666, err);

                r = fd < 0 ? fd : http_listen_fd(web->proxy.http, fd, HTTP_PLAIN, err);
        }
        if (r == 0)
                r = web_admit_new(&s->admit, web, web->config->admit, err);
        if (r == 0 && (loop_signal_new(&s->signals[0], web->loop, SIGTERM, on_end, web->loop) < 0 ||
                       loop_signal_new(&s->signals[1], web->loop, SIGINT, on_end, web->loop) < 0))
                r = error_fail(err, -ENOMEM, "no memory");
        return r;
}

static int run(const struct web_config *config)
{
        const struct confine_rules rules = {.process = "web", .needs = CONFINE_ACCEPT | CONFINE_ASK};
        struct server s = {.web = {.config = config}};
        struct confined confined;
        struct error err;
        int status = 1;

        log_open("postern-web", config->log_level, NULL);
        int r = geteuid() == 0 ? error_fail(&err, -EPERM,
                                            "it never runs as root; start it by its unit, or as a user of its own")
                               : harden_process(&err);
        if (r == 0 && loop_new(&s.web.loop) < 0)
                r = error_fail(&err, -ENOMEM, "no memory for the event loop");
        if (r == 0)
                r = start(&s, &err);
        if (r ==
            0) { /* before the first byte from outside: the zone's file is read and systemd told while that may be */
                tzset();
                (void)sd_notify(0, "READY=1");
                r = confine(&rules, CONFINE_ENFORCE, &confined, &err);
        }
        if (r < 0) {
                log_error("start_failed", KV_S("why", err.text));
                status = r == -EADDRINUSE || r == -ENOMEM ? 1 : EXIT_CONFIGURATION;
        } else {
                printf("postern-web: ready %s\n", s.web.direct.http ? s.web.direct.origin[0] : config->socket);
                (void)fflush(stdout);
                status = loop_run(s.web.loop);
        }
        web_admit_free(s.admit);
        web_serve_free(&s.web);
        loop_signal_free(s.signals[0]);
        loop_signal_free(s.signals[1]);
        loop_free(s.web.loop);
        return status;
}

int main(int argc, char **argv)
{
        struct web_config *config = NULL;
        const char *path = CONFIG_DEFAULT;
        bool check = false;
        struct error err;
        uid_t uid;
        int c;

        while ((c = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1) {
                switch (c) {
                case 'c':
                        path = optarg;
                        break;
                case 'k':
                        check = true;
                        break;
                case 'h':
                        fputs(help, stdout);
                        return 0;
                case 'V':
                        puts("postern-web " POSTERN_VERSION);
                        return 0;
                default:
                        return EXIT_USAGE;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "postern-web: '%s' is one word too many; see `postern-web --help`\n", argv[optind]);
                return EXIT_USAGE;
        }
        if (read_config(&config, path) < 0)
                return EXIT_CONFIGURATION;
        int status = 0;
        if (!check) {
                status = run(config);
        } else if (find_proxy(config, &uid, &err) < 0) {
                fprintf(stderr, "%s: %s\n", path, err.text);
                status = EXIT_CONFIGURATION;
        } else {
                printf("%s: good\n", path);
        }
        web_config_free(config);
        return status;
}
