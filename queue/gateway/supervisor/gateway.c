/*
 * postern-gateway: the command line of the daemon.
 *
 * Reads the configuration, checks it, hardens the process and becomes the supervisor. It stays in the foreground.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process/harden.h"
#include "queue/gateway/supervisor/supervisor.h"

#define FILES_WANTED 65536
#define EXIT_USAGE 2

static const char usage[] = "usage: postern-gateway [--config PATH] [--check-config]\n"
                            "       postern-gateway [--config PATH] --reload\n"
                            "       postern-gateway [--config PATH] status [--json]\n"
                            "\n"
                            "Front doors for software that knows nothing of Postern: it asks by HTTP and JSON\n"
                            "(POST /v1/sign-in), or a web server by GET /v1/forward, whether a name and a\n"
                            "password are right. Runs in the foreground, beside the sign-in service.\n"
                            "\n"
                            "  --config PATH    file, or folder of *.conf files (default:\n"
                            "                   " GATEWAY_CONFIG_DEFAULT ")\n"
                            "  --check-config   report everything for which a start would fail, and end\n"
                            "  --reload         make the gateway that runs by this configuration read it anew, and\n"
                            "                   wait until it goes by it; 1: it was refused\n"
                            "  status           tell how the gateway is that runs by this configuration\n"
                            "  --json           the same for programs\n"
                            "  --version        show the version\n"
                            "  --help           show this\n"
                            "\n"
                            "Signals: TERM drains and stops (twice: at once), HUP reads the configuration\n"
                            "anew. Exit codes: 0 stopped as asked, or ready; 1 failure, or not ready; 2 wrong\n"
                            "usage, 78 wrong configuration, or a user or file that is unfit. See\n"
                            "postern-gateway(8) and postern-gateway.conf(5).\n";

enum task { TASK_RUN = 0, TASK_CHECK, TASK_RELOAD, TASK_STATUS, TASK_STATUS_JSON };

/* 0, or 1 where the answer is given already (*ret_code). */
static int read_arguments(int argc, char **argv, const char **ret_config, enum task *ret_task, int *ret_code)
{
        static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                                {"check-config", no_argument, NULL, 'k'},
                                                {"json", no_argument, NULL, 'j'},
                                                {"version", no_argument, NULL, 'v'},
                                                {"reload", no_argument, NULL, 'r'},
                                                {"help", no_argument, NULL, 'h'},
                                                {NULL, 0, NULL, 0}};
        bool json = false;
        int c;

        *ret_code = 0;
        while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
                if (c == 'c')
                        *ret_config = optarg;
                else if (c == 'k')
                        *ret_task = TASK_CHECK;
                else if (c == 'r')
                        *ret_task = TASK_RELOAD;
                else if (c == 'j')
                        json = true;
                else if (c == 'v')
                        return printf("postern-gateway %s\n", POSTERN_VERSION) >= 0;
                else if (c == 'h')
                        return fputs(usage, stdout) >= 0;
                else {
                        (void)fputs("postern-gateway --help shows what there is\n", stderr);
                        *ret_code = EXIT_USAGE;
                        return 1;
                }
        }
        if (optind + 1 == argc && strcmp(argv[optind], "status") == 0 && *ret_task == TASK_RUN) {
                *ret_task = json ? TASK_STATUS_JSON : TASK_STATUS;
                return 0;
        }
        if (optind < argc || json) {
                (void)fprintf(stderr,
                              "postern-gateway: '%s' is not understood; postern-gateway --help shows what there is\n",
                              optind < argc ? argv[optind] : "--json");
                *ret_code = EXIT_USAGE;
        }
        return *ret_code != 0;
}

static int check_only(const char *path, const struct gateway_config *config, const struct buffer *text)
{
        log_open("postern-gateway", LOG_LEVEL_ERROR, NULL);
        const size_t n = gateway_check(config, text);

        if (n)
                (void)fprintf(stderr, "%zu error%s\n", n, n == 1 ? "" : "s");
        else
                (void)printf("%s is fine: %zu place%s to ask at\n", path, config->n_listen,
                             config->n_listen == 1 ? "" : "s");
        return n ? EXIT_CONFIGURATION : 0;
}

int main(int argc, char **argv)
{
        static struct gateway gateway;
        const char *path = GATEWAY_CONFIG_DEFAULT;
        struct conf_errors errors = CONF_ERRORS;
        struct buffer text = BUFFER(CONF_TEXT_MAX);
        struct gateway_config *config = NULL;
        struct error err = {""};
        enum task task = TASK_RUN;
        int code;

        if (scribe_wanted(argc, argv))
                return scribe_main(argc, argv);
        if (read_arguments(argc, argv, &path, &task, &code))
                return code;
        if (gateway_config_load(&config, path, &text, &errors) < 0) {
                (void)fputs(errors.lines.len ? errors.lines.data : "postern-gateway: out of memory\n", stderr);
                if (errors.n)
                        (void)fprintf(stderr, "%zu error%s\n", errors.n, errors.n == 1 ? "" : "s");
                code = EXIT_CONFIGURATION;
        } else if (task == TASK_CHECK) {
                code = check_only(path, config, &text);
        } else if (task == TASK_RELOAD) {
                code = gateway_reload(config);
        } else if (task != TASK_RUN) {
                code = gateway_status(config, task == TASK_STATUS_JSON);
        } else {
                log_open("postern-gateway", config->log_level, NULL);
                log_native(NULL);
                harden_files(FILES_WANTED);
                if (harden_process(&err) < 0) {
                        log_error("start.failed", KV_S("why", err.text));
                        code = 1;
                } else {
                        code = gateway_run(&gateway, path, config, &text);
                        config = NULL;
                }
        }
        gateway_config_free(config);
        buffer_free(&text);
        conf_errors_clear(&errors);
        return code;
}
