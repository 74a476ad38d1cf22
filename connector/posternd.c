/*
 * posternd: the command line of the daemon.
 *
 * Reads the configuration, checks it, hardens the process and becomes the supervisor. It stays in the
 * foreground: systemd, or a shell's &, does the rest.
 */
#include "connector/supervisor.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "certs/http-way.h"
#include "certs/key-uri.h"
#include "certs/self-test.h"
#include "connector/base/harden.h"

#define FILES_WANTED 65536

static const char usage[] =
        "usage: posternd [--config PATH] [--check-config]\n"
        "\n"
        "The connector: checks sign-ins, which a relay passes on, against domain\n"
        "controllers. It runs in the foreground and listens on no network port.\n"
        "\n"
        "  --config PATH    file, or folder of *.conf files (default: " CONFIG_DEFAULT ")\n"
        "  --check-config   report every error in the configuration, and as root each\n"
        "                   user that is missing, and end\n"
        "  --version        show the version\n"
        "  --help           show this\n"
        "\n"
        "Signals: TERM drains and stops (twice: at once), HUP reads the configuration\n"
        "anew. Exit codes: 0 stopped as asked, 1 failure, 2 wrong usage, 78 wrong\n"
        "configuration, not enrolled, or a user or file that is unfit. See posternd(8)\n"
        "and postern.conf(5).\n";

struct arguments {
        const char *config;
        bool check;
};

/* 0, or 1 where the answer is given already (*ret_code). */
static int read_arguments(int argc, char **argv, struct arguments *ret_a, int *ret_code)
{
        static const struct option options[] = {
                {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
                {"foreground", no_argument, NULL, 'f'},   {"version", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
        int c;

        *ret_code = 0;
        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
                if (c == 'c')
                        ret_a->config = optarg;
                else if (c == 'k')
                        ret_a->check = true;
                else if (c == 'v')
                        return printf("posternd %s\n", POSTERN_VERSION) >= 0;
                else if (c == 'h')
                        return fputs(usage, stdout) >= 0;
                else if (c != 'f') {
                        (void)fputs("posternd --help shows what there is\n", stderr);
                        *ret_code = 2;
                        return 1;
                }
        }
        if (optind < argc) {
                (void)fprintf(stderr,
                              "posternd: '%s' is not understood; posternd --help shows what there is\n",
                              argv[optind]);
                *ret_code = 2;
        }
        return optind < argc;
}

/* A path may name a key in hardware as well, but that file is not opened here. */
static bool names_hardware(const char *setting)
{
        return setting && key_kind_of(setting, strlen(setting)) != KEY_KIND_NONE;
}

/* As root, says which users are missing or unfit; how many. */
static size_t check_users(const char *path, const struct config *config)
{
        struct error err;
        size_t n = 0;

        for (int id = 0; id < CHILD_N; id++)
                if (files_check_user(config, (enum child_id)id, &err) < 0) {
                        (void)fprintf(stderr, "%s: user_%s: %s\n", path, child_name((enum child_id)id),
                                      err.text);
                        n++;
                }
        if ((names_hardware(config->identity_key) || names_hardware(config->transport_key)) &&
            files_check_keys_user(config, &err) < 0) {
                (void)fprintf(stderr, "%s: user_keys: %s\n", path, err.text);
                n++;
        }
        return n;
}

/* What no line of the configuration says: OpenSSL's set-up, the environment's proxy. */
static size_t check_surroundings(const struct config *config)
{
        struct http_way way = {0};
        struct error err;
        int r = crypto_self_test(&err);

        if (r == 0)
                r = http_way_proxy(&way, config->proxy, &err);
        http_way_clear(&way);
        if (r < 0)
                (void)fprintf(stderr, "%s\n", err.text);
        return r < 0;
}

/* Prints all errors to stderr, or what is fine to stdout. */
static int check_only(const char *path, const struct config *config, const struct config_errors *errors)
{
        size_t n = errors->n;

        if (n)
                (void)fputs(errors->lines.len ? errors->lines.data : "", stderr);
        else if (config)
                n = check_users(path, config) + check_surroundings(config);
        if (n) {
                (void)fprintf(stderr, "%zu error%s\n", n, n == 1 ? "" : "s");
                return EXIT_CONFIGURATION;
        }
        if (!config) {
                (void)fputs("posternd: out of memory\n", stderr);
                return 1;
        }
        (void)printf("%s is fine: %zu domain%s\n", path, config->n_domains,
                     config->n_domains == 1 ? "" : "s");
        return 0;
}

/* Connections to domain controllers are many; the children inherit this. Less than wanted is no failure. */
static void raise_file_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FILES_WANTED)
                return;
        limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning("files.limit", KV_S("why", strerror(errno)));
}

static int run(const char *path, struct config *config, struct buffer *text)
{
        static struct supervisor supervisor;
        struct error err;

        log_open("posternd", config->log_level, NULL);
        raise_file_limit();
        if (harden_process(&err) < 0) {
                log_error("start.failed", KV_S("why", err.text));
                config_free(config);
                buffer_free(text);
                return 1;
        }
        return supervisor_run(&supervisor, path, config, text);
}

int main(int argc, char **argv)
{
        struct arguments a = {.config = CONFIG_DEFAULT};
        struct config_errors errors = CONFIG_ERRORS;
        struct buffer text = BUFFER(CONFIG_TEXT_MAX);
        struct config *config = NULL;
        int code;

        if (read_arguments(argc, argv, &a, &code))
                return code;
        int r = config_load(&config, a.config, &text, &errors);
        if (r < 0 || a.check) {
                code = check_only(a.config, config, &errors);
                config_free(config);
                buffer_free(&text);
        } else if (check_surroundings(config)) {
                code = EXIT_CONFIGURATION;
                config_free(config);
                buffer_free(&text);
        } else {
                code = run(a.config, config, &text);
        }
        config_errors_clear(&errors);
        return code;
}
