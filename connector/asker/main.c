/*
 * postern-asker: asks every connector of the tenant, with a person's key, for the helpdesk's page of a host that has no
 * connector. One question from descriptor 0, one answer, the end; postern-asker.socket starts it for each who connects.
 *
 * The page holds no key and reaches no network; this holds the key and reads nothing of a browser. Whoever has taken
 * the page over can ask what the person may, and RATE_N questions a minute: which domains those are, each connector
 * decides by the roster. The key is opened and the question counted before the first byte of the page is read, by a
 * process that is confined by then. Who asked for what is logged; answers are not.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/log.h"
#include "base/core/rate-file.h"
#include "base/core/text.h"
#include "base/core/typed-name.h"
#include "base/process/confine.h"
#include "base/process/harden.h"
#include "certs/keys/self-test-tls.h"
#include "connector/findings/facts.h"
#include "connector/frames/control.h"
#include "connector/person/everywhere.h"
#include "connector/person/folder.h"

#define DIR_DEFAULT "/var/lib/postern-asker/person"
#define PASSPHRASE "passphrase" /* the unit's credential */
#define ASKED_FILE "asked"      /* of the folder: when the latest questions came */
#define RATE_N QUESTIONS_PER_MINUTE
#define ALARM_S 38 /* the page waits for 40 */
#define SECRETS 8
#define SECURE_HEAP (1u << 20)

#ifndef POSTERN_VERSION
#define POSTERN_VERSION "unknown"
#endif

static const char help[] = "Usage: postern-asker [--person DIR] [--passphrase-file FILE]\n"
                           "\n"
                           "Asks every connector of the tenant with a person's key, for postern-web on a host\n"
                           "without a connector: one question from standard input, a socket, one answer there.\n"
                           "postern-asker.socket starts it; postern-web(8) shows how to set it up.\n"
                           "\n"
                           "Options:\n"
                           "      --person DIR            the folder of the key (" DIR_DEFAULT ")\n"
                           "      --passphrase-file FILE  its passphrase; else the unit's credential `passphrase`\n"
                           "  -h, --help                  this text\n"
                           "  -V, --version               the version\n";

static char late[160] = "{\"ok\":false,\"code\":\"late\",\"error\":\"the connectors gave no answer within 38 s\"}\n";
static const char *passphrase_file;

/* The relay and the resolver may block; this is the bound. */
static void on_alarm(int signo)
{
        (void)signo;
        (void)!write(STDIN_FILENO, late, strlen(late));
        _exit(1);
}

static int refuse(const char *code, const struct error *err)
{
        log_warning("asker.failed", KV_S("code", code), KV_S("why", err->text));
        (void)control_answer(STDIN_FILENO, json_pack("{s:b, s:s, s:s}", "ok", 0, "code", code, "error",
                                                     utf8_valid(err->text, strlen(err->text)) ? err->text : "?"));
        return 1;
}

/* ---- before the question is read ---- */

static int read_passphrase(struct secret **ret_pass, struct error *err)
{
        const char *credentials = getenv("CREDENTIALS_DIRECTORY");
        char path[FOLDER_PATH_MAX];

        if (!passphrase_file && !credentials)
                return error_fail(err, -EACCES,
                                  "the key is encrypted, and nobody is there to type its passphrase: give it as the "
                                  "credential `" PASSPHRASE "` of postern-asker@.service, postern-web(8)");
        folder_path(path, credentials ? credentials : "", PASSPHRASE);
        int r = folder_secret_read(passphrase_file ? passphrase_file : path, ret_pass, err);
        return r > 0 ? error_fail(err, -EINVAL, "the passphrase is empty") : r;
}

static int harden(struct error *err)
{
        int r = geteuid() == 0 ? error_fail(err, -EPERM,
                                            "postern-asker never runs as root; start it by its socket, or as the user "
                                            "whose key it is")
                               : harden_process(err);

        r = r < 0 ? r : tls_self_test(err);
        r = r < 0 ? r : secure_heap_init(SECURE_HEAP, err);
        return r < 0 ? r : secret_arena_init(SECRETS, err);
}

/* What is left open: the way to the relay, and the folder, where the roster's number is remembered. */
static int shut(const struct service_store *store, struct error *err)
{
        const struct confine_path paths[] = {{.path = store->dir, .write = true},
                                             {.path = store->ca_file ? store->ca_file : "/etc/ssl"},
                                             {.path = "/etc/ssl"},
                                             {.path = "/usr/lib/ssl"},
                                             {.path = "/usr/share/ca-certificates"},
                                             {.path = "/usr/local/share/ca-certificates"},
                                             {.path = "/etc/resolv.conf"},
                                             {.path = "/etc/hosts"},
                                             {.path = "/etc/nsswitch.conf"},
                                             {.path = "/etc/gai.conf"},
                                             {.path = "/etc/host.conf"}};
        const struct confine_rules rules = {.process = "asker",
                                            .needs = CONFINE_CONNECT | CONFINE_READ | CONFINE_WRITE | CONFINE_THREADS,
                                            .paths = paths,
                                            .n_paths = sizeof(paths) / sizeof(paths[0])};
        struct confined confined;

        return confine(&rules, CONFINE_ENFORCE, &confined, err);
}

static int prepare(struct everywhere_person *ret_p, const char *dir, const char **ret_code, struct error *err)
{
        const struct everywhere_key key = {.dir = dir, .passphrase = read_passphrase};
        char asked[FOLDER_PATH_MAX];
        int r = harden(err);

        *ret_code = "setup";
        r = r < 0 ? r : everywhere_open(ret_p, &key, err);
        if (r < 0)
                return r;
        folder_path(asked, dir, ASKED_FILE);
        r = rate_file_take(asked, RATE_N, err);
        if (r == -EAGAIN)
                *ret_code = "rate";
        return r < 0 ? r : shut(&ret_p->store, err);
}

/* ---- the question ---- */

/* An id or a name, without the blanks around it. */
static int take_what(struct question_claims *q, const char *text, struct error *err)
{
        size_t n = strlen(text);

        typed_trim(&text, &n);
        if (n == 0 || n > QUESTION_WHAT_MAX)
                return error_fail(err, -EBADMSG, "what is looked for has 1 to %d bytes", QUESTION_WHAT_MAX);
        (void)snprintf(q->what, sizeof(q->what), "%.*s", (int)n, text);
        return 0;
}

static int take_member(struct question_claims *q, const char *key, const json_t *value, struct error *err)
{
        static const enum question_op ops[] = {QUESTION_EXPLAIN, QUESTION_LOG, QUESTION_STATUS};
        const char *text = json_string_value(value);
        const json_int_t number = json_integer_value(value);

        for (size_t i = 0; text && strcmp(key, "do") == 0 && i < sizeof(ops) / sizeof(ops[0]); i++)
                if (strcmp(question_op_text(ops[i]), text) == 0) {
                        q->op = ops[i];
                        return 0;
                }
        if (text && (strcmp(key, "what") == 0 || strcmp(key, "user") == 0))
                return take_what(q, text, err);
        if (text && strcmp(key, "person") == 0)
                return 0; /* for the log alone */
        if (text && strcmp(key, "verdict") == 0 && strlen(text) < sizeof(q->verdict))
                memcpy(q->verdict, text, strlen(text) + 1);
        else if (json_is_integer(value) && number > 0 && strcmp(key, "since") == 0)
                q->since = number;
        else if (json_is_integer(value) && number > 0 && strcmp(key, "until") == 0)
                q->until = number;
        else if (json_is_integer(value) && number > 0 && strcmp(key, "limit") == 0)
                q->limit = number < QUESTION_ROWS_MAX ? (uint32_t)number : QUESTION_ROWS_MAX;
        else
                return error_fail(err, -EBADMSG, "'%.64s' is no member of a question to all connectors, or is wrong",
                                  key);
        return 0;
}

static int read_claims(struct question_claims *q, const json_t *question, struct error *err)
{
        const json_t *value;
        const char *key;
        int r = 0;

        json_object_foreach ((json_t *)(uintptr_t)question, key, value)
                r = r < 0 ? r : take_member(q, key, value, err);
        if (r == 0 && !q->op)
                r = error_fail(err, -EBADMSG, "'do' is missing");
        if (r == 0 && q->op != QUESTION_STATUS && !q->what[0] &&
            (q->op != QUESTION_LOG || !question_claims_short_time(q->since, q->until)))
                r = error_fail(err, -EBADMSG,
                               "all connectors are asked for an exact name or id, or for all sign-ins of an hour at "
                               "most: give one");
        return r;
}

static int serve(struct everywhere_person *p)
{
        struct ucred peer = {0, (uid_t)-1, (gid_t)-1};
        socklen_t n = sizeof(peer);
        struct question_claims q = {0};
        struct error err = {""};
        json_auto_t *question = control_question(STDIN_FILENO, &err);
        json_t *told = NULL;

        if (!question || read_claims(&q, question, &err) < 0)
                return refuse("malformed", &err);
        (void)getsockopt(STDIN_FILENO, SOL_SOCKET, SO_PEERCRED, &peer, &n);
        log_info("asker.asked", KV_S("op", question_op_text(q.op)), KV_S("what", q.what),
                 KV_S("person", fact_text(question, "person")), KV_U("uid", peer.uid));
        int r = everywhere_ask(p, &q, &told, &err);
        return r == 0 ? control_answer(STDIN_FILENO, told) < 0
                      : refuse(r == -EACCES ? "not_allowed" : "unavailable", &err);
}

int main(int argc, char **argv)
{
        static const struct option options[] = {{"person", required_argument, NULL, 'p'},
                                                {"passphrase-file", required_argument, NULL, 'f'},
                                                {"help", no_argument, NULL, 'h'},
                                                {"version", no_argument, NULL, 'V'},
                                                {NULL, 0, NULL, 0}};
        struct everywhere_person person = {0};
        const char *dir = DIR_DEFAULT, *code = NULL;
        struct error err = {""};
        int c;

        while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
                switch (c) {
                case 'p':
                        dir = optarg;
                        break;
                case 'f':
                        passphrase_file = optarg;
                        break;
                case 'h':
                        fputs(help, stdout);
                        return 0;
                case 'V':
                        puts("postern-asker " POSTERN_VERSION);
                        return 0;
                default:
                        return 2;
                }
        }
        log_open("postern-asker", LOG_LEVEL_INFO, NULL);
        (void)umask(077);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGALRM, on_alarm);
        (void)alarm(ALARM_S);
        const int status = prepare(&person, dir, &code, &err) < 0 ? refuse(code, &err) : serve(&person);
        everywhere_close(&person);
        return status;
}
