/*
 * postern-sandbox: a relay, a connector and a tenant for trying out, in one command, for who writes a sign-in service.
 *
 * The wire, the relay, the link and the validator are the real ones; what is not is the domain: a script decides by the
 * account's name (accounts.h). It listens on 127.0.0.1 alone, and nothing of it lasts.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "certs/codec/self-test.h"
#include "certs/keys/self-test-tls.h"
#include "connector/sandbox/accounts.h"
#include "connector/sandbox/children.h"
#include "queue/client/client.h"

#define SECURE_HEAP (1U << 17)
#define SLOTS 4
#define READY_MS 20000
#define AGAIN_MS 50

static const char help[] = "Usage: postern-sandbox [--port N] [--dir DIR] [--json] [--quiet]\n"
                           "       postern-sandbox --accounts\n"
                           "\n"
                           "A relay, a connector and a tenant for trying out: what you write against it speaks\n"
                           "the real protocol. NO PASSWORD IS CHECKED: the name decides what comes, as\n"
                           "locked-out@sandbox.invalid. It listens on 127.0.0.1 alone and runs until you end it;\n"
                           "nothing of it lasts. Clients must be told that they speak to a sandbox.\n"
                           "\n"
                           "  --accounts     show the accounts, and what each answers\n"
                           "  --port N       listen there (default: a free port)\n"
                           "  --dir DIR      make this folder for what a client needs, and remove it at the end\n"
                           "                 (default: a new one in $TMPDIR or /tmp); sandbox.json is written last\n"
                           "  --json         print sandbox.json on standard output instead of words\n"
                           "  --quiet        no line on standard error for each sign-in\n"
                           "  --help, --version\n"
                           "\n"
                           "Exit status: 0 ended by a signal, 1 failed, 2 wrong usage. See postern-sandbox(1).\n";

struct options {
        const char *dir;
        uint16_t port;
        bool json, quiet;
};

struct sandbox {
        struct options options;
        struct sandbox_site site;
        struct sandbox_children children;
        struct loop *loop;
        struct loop_signal *signals[3];
};

/* -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
        static const struct option options[] = {
                {"dir", required_argument, NULL, 'd'}, {"port", required_argument, NULL, 'p'},
                {"json", no_argument, NULL, 'j'},      {"quiet", no_argument, NULL, 'q'},
                {"accounts", no_argument, NULL, 'a'},  {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, 'V'},   {NULL, 0, NULL, 0}};
        uint64_t port;
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
                if (c == 'd') {
                        o->dir = optarg;
                } else if (c == 'p' && text_parse_u64(optarg, 1, UINT16_MAX, &port) == 0) {
                        o->port = (uint16_t)port;
                } else if (c == 'j') {
                        o->json = true;
                } else if (c == 'q') {
                        o->quiet = true;
                } else if (c == 'a') {
                        sandbox_accounts_print(stdout);
                        return 0;
                } else if (c == 'h') {
                        return fputs(help, stdout) < 0;
                } else if (c == 'V') {
                        return puts("postern-sandbox " POSTERN_VERSION) < 0;
                } else {
                        if (c == 'p')
                                (void)fprintf(stderr, "postern-sandbox: --port %s is no port\n", optarg);
                        return 2;
                }
        }
        if (optind == argc)
                return -1;
        (void)fprintf(stderr, "postern-sandbox: '%s' is not understood; postern-sandbox --help shows what there is\n",
                      argv[optind]);
        return 2;
}

/* ---- ready ---- */

static void print_words(const struct sandbox_site *site)
{
        char url[SANDBOX_URL_MAX];

        sandbox_url(site, url);
        (void)printf("*** SANDBOX: no password is checked here. The name decides: ok@" SANDBOX_SUFFIX " with the\n"
                     "*** password `" SANDBOX_PASSWORD "` is accepted; postern-sandbox --accounts shows all names.\n"
                     "relay    %s\n"
                     "tenant   " SANDBOX_TENANT "\n"
                     "pin      %s\n"
                     "service  %s\n"
                     "kid      %s\n"
                     "files    %s: ca.pem, service.secret, service.key (PEM), service.key.json (JWK),\n"
                     "         sandbox.json (all of this for programs)\n"
                     "try      postern sign-in --service %s --user locked@" SANDBOX_SUFFIX "\n"
                     "Ends with ^C.\n",
                     url, key_pin(site->tenant), site->service_id, key_kid(site->service), site->dir, site->dir);
}

/* One sign-in by the whole way; 0 accepted, -EAGAIN not yet, else with err. */
static int try_sign_in(const struct sandbox_site *site, char ret_id[ID_MAX + 1], struct error *err)
{
        char ca[SANDBOX_PATH_MAX], url[SANDBOX_URL_MAX];
        const struct client_config config = {.sandbox = true,
                                             .relay = url,
                                             .tenant = SANDBOX_TENANT,
                                             .pin = key_pin(site->tenant),
                                             .bearer = site->secret,
                                             .ca_file = ca,
                                             .service_id = site->service_id,
                                             .service_key = site->service};
        static const char user[] = "ok@" SANDBOX_SUFFIX;
        struct sign_in_params params = {.username = user, .username_len = strlen(user), .now = time(NULL)};
        _cleanup_(client_freep) struct client *client = NULL;
        struct sign_in_result result = {0};
        struct secret *password = NULL;
        int r;

        sandbox_url(site, url);
        sandbox_path(site, "ca.pem", ca);
        if ((r = client_new(&client, &config, err)) < 0 ||
            (r = secret_new(&password, SANDBOX_PASSWORD, strlen(SANDBOX_PASSWORD))) < 0)
                return r;
        params.password = password;
        r = client_sign_in(client, &params, &result, err);
        secret_free(password);
        if (r < 0)
                return r;
        memcpy(ret_id, result.id, ID_MAX + 1);
        if (result.has_verdict && strcmp(result.verdict.reason, "ok") == 0)
                return 0;
        return error_fail(err, -EAGAIN, "%s %s", result.has_verdict ? result.verdict.reason : result.problem,
                          result.detail);
}

static void stop_failed(void *arg, const char *why)
{
        struct sandbox *s = arg;

        log_error("sandbox.failed", KV_S("why", why));
        loop_stop(s->loop, 1);
}

static void become_ready(void *arg)
{
        struct sandbox *s = arg;
        _cleanup_(buffer_free) struct buffer text = BUFFER(16384);
        struct error err = {""};
        const uint64_t end = loop_now(s->loop) + READY_MS;
        const struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};
        int r;

        /* nothing is said before a sign-in went through */
        while ((r = try_sign_in(&s->site, s->children.own, &err)) == -EAGAIN && loop_now(s->loop) < end)
                (void)nanosleep(&pause, NULL);
        if (r < 0)
                error_prefix(&err, r, "no sign-in goes through");
        if (r < 0 || sandbox_site_write(&s->site, &err) < 0 || sandbox_site_json(&s->site, &text) < 0) {
                stop_failed(s, err.text);
                return;
        }
        if (s->options.json)
                (void)puts(text.data);
        else
                print_words(&s->site);
        (void)fflush(stdout);
}

/* ---- start and end ---- */

static void stop_asked(void *arg)
{
        struct sandbox *s = arg;

        loop_stop(s->loop, 0);
}

static int start(struct sandbox *s, struct error *err)
{
        static const int asked[] = {SIGINT, SIGTERM, SIGHUP};
        _cleanup_(buffer_free) struct buffer ca = BUFFER(16384);
        int r = crypto_self_test(err);

        if (r < 0 || (r = tls_self_test(err)) < 0 || (r = secure_heap_init(SECURE_HEAP, err)) < 0 ||
            (r = secret_arena_init(SLOTS, err)) < 0)
                return r;
        r = loop_new(&s->loop);
        for (size_t i = 0; r == 0 && i < sizeof asked / sizeof *asked; i++)
                r = loop_signal_new(&s->signals[i], s->loop, asked[i], stop_asked, s);
        if (r < 0)
                return error_fail(err, r, "out of memory");
        (void)signal(SIGPIPE, SIG_IGN);
        s->children = (struct sandbox_children){.loop = s->loop,
                                                .site = &s->site,
                                                .quiet = s->options.quiet,
                                                .ready = become_ready,
                                                .failed = stop_failed,
                                                .arg = s};
        if ((r = sandbox_site_make(&s->site, s->options.dir, s->options.port, err)) < 0 ||
            (r = sandbox_relay_start(&s->children, &s->site.port, err)) < 0)
                return r;
        return sandbox_connector_start(&s->children, err);
}

int main(int argc, char **argv)
{
        static struct sandbox s;
        struct error err = {""};
        int status;

        if (argc > 1 && strncmp(argv[1], "--role=", 7) == 0)
                return sandbox_role_run(argc, argv);
        status = parse_options(argc, argv, &s.options);
        if (status >= 0)
                return status;
        log_open("postern-sandbox", LOG_LEVEL_INFO, NULL);
        if (start(&s, &err) < 0) {
                log_error("sandbox.failed", KV_S("why", err.text));
                status = 1;
        } else {
                status = loop_run(s.loop);
        }
        sandbox_children_end(&s.children);
        sandbox_site_clear(&s.site);
        for (size_t i = 0; i < sizeof s.signals / sizeof *s.signals; i++)
                loop_signal_free(s.signals[i]);
        loop_free(s.loop);
        return status;
}
