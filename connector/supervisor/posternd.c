/*
 * posternd: the command line of the daemon.
 *
 * Reads the configuration, checks it, hardens the process and becomes the supervisor. It stays in the
 * foreground: systemd, or a shell's &, does the rest.
 */
#include "connector/supervisor/supervisor.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "certs/http/http-way.h"
#include "certs/codec/self-test.h"
#include "base/core/cleanup.h"
#include "base/process/harden.h"
#include "base/process/reloading.h"
#include "base/core/text.h"

#define FILES_WANTED 65536

static const char usage[] = "usage: posternd [--config PATH] [--check-config | --reload]\n"
                            "\n"
                            "The connector: checks sign-ins, which a relay passes on, against domain\n"
                            "controllers. It runs in the foreground and listens on no network port.\n"
                            "\n"
                            "  --config PATH    file, or folder of *.conf files (default: " CONFIG_DEFAULT ")\n"
                            "  --check-config   report everything for which a start or a reload would fail\n"
                            "                   (configuration, users, enrolment, files), and end\n"
                            "  --reload         make the posternd that runs read its configuration anew;\n"
                            "                   exit code 1: it was refused, and what runs goes on\n"
                            "  --version        show the version\n"
                            "  --help           show this\n"
                            "\n"
                            "Signals: TERM drains and stops (twice: at once), HUP reads the configuration\n"
                            "anew. Exit codes: 0 stopped as asked, 1 failure, 2 wrong usage, 78 wrong\n"
                            "configuration, not enrolled, or a user or file that is unfit. See posternd(8)\n"
                            "and postern.conf(5).\n";

struct arguments {
        const char *config;
        bool check, reload;
        bool from_fd; /* the text of the configuration is in CHECK_CONFIG_FD; config only names it */
};

/* 0, or 1 where the answer is given already (*ret_code). */
static int read_arguments(int argc, char **argv, struct arguments *ret_a, int *ret_code)
{
        static const struct option options[] = {
                {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
                {"reload", no_argument, NULL, 'r'},       {"config-fd", no_argument, NULL, 'd'},
                {"foreground", no_argument, NULL, 'f'},   {"version", no_argument, NULL, 'v'},
                {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
        int c;

        *ret_code = 0;
        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
                if (c == 'c')
                        ret_a->config = optarg;
                else if (c == 'k')
                        ret_a->check = true;
                else if (c == 'r')
                        ret_a->reload = true;
                else if (c == 'd')
                        ret_a->from_fd = true;
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
                (void)fprintf(stderr, "posternd: '%s' is not understood; posternd --help shows what there is\n",
                              argv[optind]);
                *ret_code = 2;
        }
        return optind < argc;
}

static void print_fault(void *arg, const char *text)
{
        (void)fprintf(stderr, "%s: %s\n", (const char *)arg, text);
}

static struct buffer notes = {.max = 16384};

static void keep_note(void *arg, const char *text)
{
        (void)buffer_printf(&notes, "%s: note: %s\n", (const char *)arg, text); /* more than fits is of no use */
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

/* Prints all errors to stderr; where there are none, a summary to stdout. */
static int check_only(const char *path, struct config *config, const struct buffer *text,
                      const struct conf_errors *errors, bool count)
{
        _cleanup_(freep) char *name = strdup(path);
        struct files_check check = {.tell = print_fault, .note = keep_note, .arg = name};
        size_t n = errors->n;

        if (!name || (!config && n == 0)) {
                (void)fputs("posternd: out of memory\n", stderr);
                return 1;
        }
        log_open("posternd", LOG_LEVEL_ERROR, NULL);
        if (n)
                (void)fputs(errors->lines.len ? errors->lines.data : "", stderr);
        else
                n = check_surroundings(config) + supervisor_check(config, text, &check);
        if (n && count)
                (void)fprintf(stderr, "%zu error%s\n", n, n == 1 ? "" : "s");
        if (n)
                return EXIT_CONFIGURATION;
        (void)printf("%s%s is fine: %zu domain%s\n", notes.len ? notes.data : "", path, config->validate.n_domains,
                     config->validate.n_domains == 1 ? "" : "s");
        buffer_free(&notes);
        return 0;
}

/* Where the configuration has errors the daemon is told nevertheless: it refuses it as well, and says so in its status.
 */
static int reload(const struct config *config, const struct conf_errors *errors)
{
        const char *main_pid = getenv("MAINPID");
        char lock[4096], answer[4096];
        struct error err;
        uint64_t pid;

        if (config && files_in_folder(lock, config->state_dir, FILE_LOCK, &err) == 0 &&
            files_in_folder(answer, config->state_dir, FILE_RELOAD, &err) == 0)
                return reloading_wait(&(struct reloading){"posternd", config->state_dir, lock, answer});
        (void)fputs(errors->lines.len ? errors->lines.data : "posternd: out of memory\n", stderr);
        if (main_pid && text_parse_u64(main_pid, 2, INT32_MAX, &pid) == 0)
                (void)kill((pid_t)pid, SIGHUP);
        return 1;
}

static int run(const char *path, struct config *config, struct buffer *text)
{
        static struct supervisor supervisor;
        struct error err;

        log_open("posternd", config->log_level, NULL);
        log_native(NULL);
        harden_files(FILES_WANTED);
        if (harden_process(&err) < 0) {
                log_error("start.failed", KV_S("why", err.text));
                config_free(config);
                buffer_free(text);
                return 1;
        }
        return supervisor_run(&supervisor, path, config, text);
}

/* The configuration as the arguments name it, with its merged text. */
static int load(const struct arguments *a, struct config **ret_config, struct buffer *text, struct conf_errors *errors)
{
        struct error err = {""};

        if (!a->from_fd)
                return config_load(ret_config, a->config, text, errors);
        int r = config_from_fd(ret_config, CHECK_CONFIG_FD, &err);
        if (r == 0 && lseek(CHECK_CONFIG_FD, 0, SEEK_SET) < 0)
                r = -errno;
        return r < 0 ? r : fd_read_all(text, CHECK_CONFIG_FD, &err);
}

int main(int argc, char **argv)
{
        struct arguments a = {.config = CONFIG_DEFAULT};
        struct conf_errors errors = CONF_ERRORS;
        struct buffer text = BUFFER(CONF_TEXT_MAX);
        struct config *config = NULL;
        int code;

        if (scribe_wanted(argc, argv))
                return scribe_main(argc, argv);
        if (read_arguments(argc, argv, &a, &code))
                return code;
        if (a.from_fd) /* a reload's check is of use only to the supervisor that asked for it */
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        int r = load(&a, &config, &text, &errors);
        if (r == 0 && !a.check && !a.reload && check_surroundings(config)) {
                code = EXIT_CONFIGURATION;
        } else if (r == 0 && !a.check && !a.reload) {
                code = run(a.config, config, &text);
                config = NULL;
        } else {
                code = a.reload ? reload(config, &errors) : check_only(a.config, config, &text, &errors, !a.from_fd);
        }
        config_free(config);
        buffer_free(&text);
        conf_errors_clear(&errors);
        return code;
}
