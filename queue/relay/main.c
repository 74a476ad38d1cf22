/*
 * postern-relay: options, configuration, and either one word of the command line or the relay itself.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/keys/self-test-tls.h"
#include "base/core/log.h"
#include "base/scribe/scribe.h"
#include "queue/relay/bus-process.h"
#include "queue/relay/cli.h"
#include "queue/relay/relay.h"
#include "queue/relay/store-process.h"

#define EXIT_CONFIGURATION 78 /* sysexits' EX_CONFIG: starting again mends nothing */

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "unknown"
#endif

#define CONFIG_DEFAULT "/etc/postern-relay/relay.conf"

static const char help[] = "Usage: postern-relay [--config FILE] [--check-config | WORD ...]\n"
                           "\n"
                           "The meeting point of sign-in services and connectors. Without a word it runs the\n"
                           "relay in the foreground; SIGTERM drains and ends it, SIGHUP reads its TLS\n"
                           "certificate again.\n"
                           "Words, which may be used while the relay runs:\n"
                           "  tenant add NAME --pin PIN    make a tenant; prints its two secrets, once\n"
                           "  tenant list | tenant remove NAME [--yes]\n"
                           "  secret TENANT service|admin|helpdesk   issue a further secret\n"
                           "  secret list TENANT | secret revoke TENANT ID\n"
                           "  token TENANT NAME            print a one-time token to enrol connector NAME\n"
                           "  connector list TENANT        show the connectors and their certificates\n"
                           "  connector revoke TENANT NAME|ID   cut its links; its certificates are void\n"
                           "  connector release TENANT NAME|ID  let it out of quarantine\n"
                           "  status                       whether it runs, and what is wrong with it\n"
                           "  event list TENANT            what happened to connectors in the last 30 days\n"
                           "  store status | store push    of the store on NATS: its state; fill it\n"
                           "  store backup > FILE          a copy of the database, also while the relay runs\n"
                           "  ca list|request|install|trust|forget | ca root|sign   the transport CA\n"
                           "\n"
                           "Options:\n"
                           "  -c, --config FILE    the configuration, else " CONFIG_DEFAULT "\n"
                           "      --check-config   check it, tell every mistake, and exit\n"
                           "      --pin PIN        the tenant key's pin, from `postern tenant init`\n"
                           "      --expires TIME   life of a token: 90s, 15m, 24h (default), at most 30d\n"
                           "      --json, --yes    print JSON; answer what `tenant remove` asks\n"
                           "  -h, --help           this text\n"
                           "  -V, --version        the version\n"
                           "\n"
                           "Exit status: 0 done, 1 failed, 2 wrong usage, 78 the configuration is of no use.\n";

struct options {
        const char *config;
        bool check;
        struct relay_cli cli;
};

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"check-config", no_argument, NULL, 'k'},
                                             {"pin", required_argument, NULL, 'p'},
                                             {"expires", required_argument, NULL, 'e'},
                                             {"json", no_argument, NULL, 'j'},
                                             {"yes", no_argument, NULL, 'y'},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'V'},
                                             {NULL, 0, NULL, 0}};

/* -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
        int c;

        while ((c = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1) {
                switch (c) {
                case 'c':
                        o->config = optarg;
                        break;
                case 'k':
                        o->check = true;
                        break;
                case 'p':
                        o->cli.pin = optarg;
                        break;
                case 'e':
                        o->cli.expires = optarg;
                        break;
                case 'j':
                        o->cli.json = true;
                        break;
                case 'y':
                        o->cli.yes = true;
                        break;
                case 'h':
                        fputs(help, stdout);
                        return 0;
                case 'V':
                        puts("postern-relay " POSTERN_VERSION);
                        return 0;
                default:
                        return EXIT_USAGE;
                }
        }
        return -1;
}

/* Every mistake goes to stderr. */
static int read_config(struct relay_config **ret_config, const char *path)
{
        struct conf_errors errors = CONF_ERRORS;
        int r = relay_config_load(ret_config, path, &errors);

        if (r < 0)
                fprintf(stderr, "%spostern-relay: %s: %zu mistake%s\n", errors.lines.len ? errors.lines.data : "", path,
                        errors.n, errors.n == 1 ? "" : "s");
        conf_errors_clear(&errors);
        return r;
}

/* What a person must mend is told apart from what may pass: an address that is not there yet, or in use. */
static int exit_code_of(int r)
{
        static const int lasting[] = {EINVAL, EBADMSG, ENOENT, EACCES, EPERM, EKEYREJECTED};

        for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++)
                if (r == -lasting[i])
                        return EXIT_CONFIGURATION;
        return 1;
}

/* --check-config: each fault with its remedy, then whether a start would do. */
static int check(const struct options *o, const struct relay_config *config)
{
        static struct relay_faults faults;

        relay_check(config, &faults);
        for (size_t i = 0; i < faults.n; i++) {
                const struct relay_fault *f = &faults.all[i];

                fprintf(stderr, "%s: %s%s (%s)\n    %s\n    %s\n", o->config,
                        f->info->stops ? "" : "warning: ", f->text, f->info->code, f->info->meaning, f->info->remedy);
        }
        if (relay_faults_stopping(&faults))
                return EXIT_CONFIGURATION;
        printf("%s: good\n", o->config);
        return 0;
}

static int run_relay(struct relay *relay)
{
        struct error err;

        signal(SIGPIPE, SIG_IGN);
        log_open("postern-relay", relay->config->log_level, NULL);
        log_native(NULL);
        if (loop_new(&relay->loop) < 0) {
                log_error("start_failed", KV_S("why", "no memory for the event loop"));
                return 1;
        }
        int r = relay_start(relay, &err), status;
        if (r < 0) {
                log_error("start_failed", KV_S("why", err.text));
                status = exit_code_of(r);
        } else {
                status = loop_run(relay->loop);
        }
        relay_stop(relay);
        loop_free(relay->loop);
        return status;
}

int main(int argc, char **argv)
{
        struct options o = {.config = CONFIG_DEFAULT};
        struct relay relay = {.config = NULL};
        struct error err;

        if (scribe_wanted(argc, argv))
                return scribe_main(argc, argv);
        if (store_process_wanted(argc, argv))
                return store_process_main(argc, argv);
        if (bus_process_wanted(argc, argv))
                return bus_process_main(argc, argv);
        int status = parse_options(argc, argv, &o);
        if (status >= 0)
                return status;
        if (optind < argc && (status = relay_cli_offline(argc - optind, argv + optind)) >= 0)
                return status;
        if (tls_self_test(&err) < 0) {
                fprintf(stderr, "postern-relay: %s\n", err.text);
                return 1;
        }
        if (read_config(&relay.config, o.config) < 0)
                return optind == argc || o.check ? EXIT_CONFIGURATION : 1;
        if (o.check) {
                status = check(&o, relay.config);
                relay_config_free(relay.config);
                return status;
        }
        if (optind == argc)
                return run_relay(&relay);
        o.cli.config = relay.config;
        status = optind + 1 == argc && strcmp(argv[optind], "status") == 0
                         ? relay_cli_status(&o.cli)
                         : relay_cli_run(&o.cli, argc - optind, argv + optind);
        relay_config_free(relay.config);
        return status;
}
