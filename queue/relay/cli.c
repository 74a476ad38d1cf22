/*
 * Tenants, secrets and tokens from the command line.
 *
 * Secrets are made here, shown once on standard output, and stored as SHA-256 only. The relay may run
 * meanwhile: it reads what is written here at its next request. Exit status: 0 done, 1 failed, 2 wrong usage.
 */
#include "queue/relay/cli.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/process/harden.h"
#include "base/core/secret.h"
#include "base/core/text.h"
#include "queue/relay/cli-internal.h"
#include "queue/relay/store-cluster.h"
#include "queue/relay/store-process.h"

#define SECRET_BYTES 32
#define EXPIRES_DEFAULT (24 * 3600)
#define EXPIRES_MAX (30 * 86400)

int relay_cli_complain(const char *what, const char *why)
{
        fprintf(stderr, "postern-relay: %s: %s\n", what, why);
        return 1;
}

int relay_cli_misused(const char *what, const char *why)
{
        relay_cli_complain(what, why);
        return EXIT_USAGE;
}

/* ---- making secrets ---- */

/* 32 random bytes as text, and their text's hash, which is what is stored. */
static int make_secret(char text[B64U_LEN(SECRET_BYTES) + 1], uint8_t hash[STORE_HASH_LEN])
{
        uint8_t bytes[SECRET_BYTES];

        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                return -EIO;
        b64u_encode_to(text, bytes, sizeof(bytes));
        SHA256((const unsigned char *)text, strlen(text), hash);
        wipe(bytes, sizeof(bytes));
        return 0;
}

static int issue_secret(struct store *store, const char *tenant, enum store_secret_kind kind,
                        char text[B64U_LEN(SECRET_BYTES) + 1])
{
        uint8_t hash[STORE_HASH_LEN];

        int r = make_secret(text, hash);
        return r < 0 ? r : store_secret_add(store, tenant, kind, hash, time(NULL));
}

int relay_cli_print_json(json_t *json)
{
        if (!json || json_dumpf(json, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF)
                return relay_cli_complain("output", "cannot be written");
        json_decref(json);
        return 0;
}

int relay_cli_store_failed(struct store *store, int code)
{
        if (code == -ENOSPC)
                return relay_cli_complain("secret", "the tenant has too many already (32)");
        if (code == -EHOSTUNREACH)
                fputs("postern-relay: nothing was changed: the store is on NATS and cannot be written now; see "
                      "`postern-relay store status`\n",
                      stderr);
        return relay_cli_complain(code == -EHOSTUNREACH ? "store" : "database", store_why(store));
}

/* Exit status 0 when the tenant exists. */
int relay_cli_need_tenant(struct store *store, const char *name, struct store_tenant *ret_tenant)
{
        int r = store_tenant_get(store, name, ret_tenant);

        if (r == -ENOENT)
                return relay_cli_complain(name, "no such tenant; make it with `postern-relay tenant add`");
        return r < 0 ? relay_cli_store_failed(store, r) : 0;
}

/* ---- tenant ---- */

static int tenant_add(const struct relay_cli *cli, struct store *store, const char *name)
{
        char admin[B64U_LEN(SECRET_BYTES) + 1], service[B64U_LEN(SECRET_BYTES) + 1];
        uint8_t pin[32];

        if (!tenant_valid(name))
                return relay_cli_misused(name, "a tenant's name is 1 to 64 characters a-z 0-9 -");
        if (!cli->pin || b64u_decode_exact(pin, sizeof(pin), cli->pin, strlen(cli->pin)) < 0)
                return relay_cli_misused("--pin", "give the pin that `postern tenant init` printed, 43 characters");
        int r = store_tenant_add(store, name, cli->pin, time(NULL));
        if (r == -EEXIST)
                return relay_cli_complain(name, "exists already; `postern-relay secret` issues further secrets");
        if (r == 0)
                r = issue_secret(store, name, SECRET_ADMIN, admin);
        if (r == 0)
                r = issue_secret(store, name, SECRET_SERVICE, service);
        if (r < 0)
                return relay_cli_store_failed(store, r);
        if (cli->json)
                return relay_cli_print_json(json_pack("{s:s, s:s, s:s, s:s}", "tenant", name, "pin", cli->pin,
                                                      "admin_secret", admin, "service_secret", service));
        printf("tenant          %s\npin             %s\nadmin secret    %s\nservice secret  %s\n"
               "The secrets are shown this once. The admin secret publishes rosters; the service secret "
               "sends sign-ins.\n",
               name, cli->pin, admin, service);
        return 0;
}

static void list_json(void *arg, const struct store_tenant *t)
{
        json_array_append_new(
                arg, json_pack("{s:s, s:s, s:I}", "tenant", t->name, "pin", t->pin, "since", (json_int_t)t->since));
}

static void list_line(void *arg, const struct store_tenant *t)
{
        (void)arg;
        printf("%-32s %s\n", t->name, t->pin);
}

struct hanging {
        size_t connectors, linked, secrets;
};

static void count_connector(void *arg, const struct store_listed *c)
{
        struct hanging *h = arg;

        h->connectors += !c->revoked;
        h->linked += !c->revoked && c->certificates > 0;
}

/* What ends with the tenant, and whether that is meant. 0, or the exit status. */
static int confirm_removal(const struct relay_cli *cli, struct store *store, const char *name)
{
        struct store_secret secrets[STORE_SECRETS_MAX];
        struct hanging h = {0};
        char answer[16];
        int r = store_connectors(store, name, count_connector, &h);

        if (r == 0)
                r = store_secrets(store, name, secrets, &h.secrets);
        if (r < 0)
                return relay_cli_store_failed(store, r);
        if (cli->yes)
                return 0;
        fprintf(stderr,
                "Tenant %s has %zu connector%s, %zu of them with a certificate, and %zu secret%s. All of its links and "
                "sign-ins end within a second, and its records are gone; to come back, each connector enrols anew with "
                "a "
                "new token, and each service gets a new secret.\n",
                name, h.connectors, h.connectors == 1 ? "" : "s", h.linked, h.secrets, h.secrets == 1 ? "" : "s");
        if (!isatty(STDIN_FILENO))
                return relay_cli_misused("tenant remove",
                                         "standard input is no terminal to ask at: say --yes where that is meant");
        fprintf(stderr, "Remove it? (yes/no) ");
        if (!fgets(answer, sizeof(answer), stdin) || strcasecmp(answer, "yes\n") != 0)
                return relay_cli_complain("tenant remove", "nothing was changed");
        return 0;
}

static int tenant_remove(const struct relay_cli *cli, struct store *store, const char *name)
{
        struct store_tenant tenant;
        int status = relay_cli_need_tenant(store, name, &tenant);

        if (status == 0)
                status = confirm_removal(cli, store, name);
        if (status)
                return status;
        int r = store_tenant_remove(store, name, time(NULL));
        if (r < 0)
                return relay_cli_store_failed(store, r);
        if (cli->json)
                return relay_cli_print_json(json_pack("{s:s}", "removed", name));
        printf("tenant %s is removed, with its secrets, tokens, connectors, certificates, roster, events and records "
               "of sign-ins; "
               "its links end within a second.\n",
               name);
        return 0;
}

static int run_tenant(const struct relay_cli *cli, struct store *store, int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[0], "add") == 0)
                return tenant_add(cli, store, argv[1]);
        if (argc == 2 && strcmp(argv[0], "remove") == 0)
                return tenant_remove(cli, store, argv[1]);
        if (argc != 1 || strcmp(argv[0], "list") != 0)
                return relay_cli_misused("tenant",
                                         "usage: tenant add NAME --pin PIN | tenant list | tenant remove NAME [--yes]");
        json_t *list = json_array();
        const int r = store_tenants(store, cli->json ? list_json : list_line, list);
        if (r == 0 && cli->json)
                return relay_cli_print_json(list);
        json_decref(list);
        return r < 0 ? relay_cli_store_failed(store, r) : 0;
}

/* ---- secret ---- */

/* By which a secret is named: the first 12 hex digits of its SHA-256. */
#define SECRET_ID_LEN 12

static void secret_id(const struct store_secret *secret, char id[SECRET_ID_LEN + 1])
{
        hex_encode_to(id, secret->hash, SECRET_ID_LEN / 2);
}

static const char *kind_word(enum store_secret_kind kind)
{
        return kind == SECRET_ADMIN ? "admin" : kind == SECRET_HELPDESK ? "helpdesk" : "service";
}

static int secret_issue(const struct relay_cli *cli, struct store *store, const char *tenant, const char *kind)
{
        char text[B64U_LEN(SECRET_BYTES) + 1];
        int r = issue_secret(store, tenant,
                             strcmp(kind, "admin") == 0      ? SECRET_ADMIN
                             : strcmp(kind, "helpdesk") == 0 ? SECRET_HELPDESK
                                                             : SECRET_SERVICE,
                             text);

        if (r < 0)
                return relay_cli_store_failed(store, r);
        if (cli->json)
                return relay_cli_print_json(
                        json_pack("{s:s, s:s, s:s}", "tenant", tenant, "kind", kind, "secret", text));
        printf("%s\n", text);
        return 0;
}

static int secret_list(const struct relay_cli *cli, struct store *store, const char *tenant)
{
        struct store_secret secrets[STORE_SECRETS_MAX];
        json_t *list = json_array();
        size_t n = 0;
        int r = store_secrets(store, tenant, secrets, &n);

        for (size_t i = 0; r == 0 && i < n; i++) {
                char id[SECRET_ID_LEN + 1], since[32];

                secret_id(&secrets[i], id);
                relay_cli_when(secrets[i].since, since);
                if (cli->json)
                        json_array_append_new(list,
                                              json_pack("{s:s, s:s, s:I}", "id", id, "kind", kind_word(secrets[i].kind),
                                                        "since", (json_int_t)secrets[i].since));
                else
                        printf("%s  %-7s  since %s\n", id, kind_word(secrets[i].kind), since);
        }
        if (r == 0 && cli->json)
                return relay_cli_print_json(list);
        json_decref(list);
        return r < 0 ? relay_cli_store_failed(store, r) : 0;
}

/* The one secret that the beginning of an id means; NULL after complaining. */
static const struct store_secret *find_secret(const struct store_secret *secrets, size_t n, const char *word)
{
        const struct store_secret *found = NULL;

        for (size_t i = 0; i < n; i++) {
                char id[SECRET_ID_LEN + 1];

                secret_id(&secrets[i], id);
                if (strlen(word) < 4 || strncmp(id, word, strlen(word)) != 0)
                        continue;
                if (found) {
                        relay_cli_complain(word, "several secrets begin so; give the whole id");
                        return NULL;
                }
                found = &secrets[i];
        }
        if (!found)
                relay_cli_complain(word, "no secret of the tenant has this id; see `secret list`");
        return found;
}

static int secret_revoke(struct store *store, const char *tenant, const char *word)
{
        struct store_secret secrets[STORE_SECRETS_MAX];
        const struct store_secret *secret;
        char id[SECRET_ID_LEN + 1], text[128];
        size_t n = 0;
        int r = store_secrets(store, tenant, secrets, &n);

        if (r < 0)
                return relay_cli_store_failed(store, r);
        secret = find_secret(secrets, n, word);
        if (!secret)
                return 1;
        r = store_secret_remove(store, tenant, secret->hash, time(NULL));
        if (r < 0)
                return relay_cli_store_failed(store, r);
        secret_id(secret, id);
        (void)snprintf(text, sizeof(text), "the %s secret %s was revoked by the relay's operator",
                       kind_word(secret->kind), id);
        relay_cli_note(store, tenant, "", "secret_revoked", text);
        printf("%s secret %s is revoked, at once.\n", kind_word(secret->kind), id);
        return 0;
}

static int run_secret(const struct relay_cli *cli, struct store *store, int argc, char **argv)
{
        struct store_tenant tenant;
        /* `secret TENANT service|admin|helpdesk` issues one, also for a tenant of the name "list" or "revoke" */
        const bool issue = argc == 2 && (strcmp(argv[1], "admin") == 0 || strcmp(argv[1], "service") == 0 ||
                                         strcmp(argv[1], "helpdesk") == 0);
        const bool list = argc == 2 && !issue && strcmp(argv[0], "list") == 0;
        const bool revoke = argc == 3 && strcmp(argv[0], "revoke") == 0;

        if (!issue && !list && !revoke)
                return relay_cli_misused(
                        "secret",
                        "usage: secret TENANT service|admin|helpdesk | secret list TENANT | secret revoke TENANT ID");
        const char *name = issue ? argv[0] : argv[1];
        int status = relay_cli_need_tenant(store, name, &tenant);
        if (status)
                return status;
        return issue  ? secret_issue(cli, store, name, argv[1])
               : list ? secret_list(cli, store, name)
                      : secret_revoke(store, name, argv[2]);
}

/* ---- token ---- */

/* "90", "90s", "15m", "24h", "7d". */
static int parse_duration(const char *text, int64_t *ret_seconds)
{
        static const struct {
                char unit;
                uint64_t seconds;
        } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
        size_t n = strlen(text);
        char digits[16];
        uint64_t factor = 1, value;

        for (size_t i = 0; n && i < sizeof(units) / sizeof(units[0]); i++) {
                if (text[n - 1] == units[i].unit) {
                        factor = units[i].seconds;
                        n--;
                        break;
                }
        }
        if (n == 0 || n >= sizeof(digits))
                return -EINVAL;
        memcpy(digits, text, n);
        digits[n] = '\0';
        if (text_parse_u64(digits, 1, EXPIRES_MAX, &value) < 0 || value * factor > EXPIRES_MAX)
                return -EINVAL;
        *ret_seconds = (int64_t)(value * factor);
        return 0;
}

static int run_token(const struct relay_cli *cli, struct store *store, int argc, char **argv)
{
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
        char text[B64U_LEN(SECRET_BYTES) + 1];
        uint8_t hash[STORE_HASH_LEN];
        struct store_tenant tenant;
        int64_t life = EXPIRES_DEFAULT;

        if (argc != 2)
                return relay_cli_misused("token", "usage: token TENANT CONNECTOR-NAME [--expires 24h]");
        if (!argv[1][0] || strlen(argv[1]) > NAME_MAX_LEN || strspn(argv[1], allowed) != strlen(argv[1]))
                return relay_cli_misused(argv[1], "a connector's name is 1 to 64 characters A-Z a-z 0-9 . _ -");
        if (cli->expires && parse_duration(cli->expires, &life) < 0)
                return relay_cli_misused("--expires", "give a time of 1s to 30d, like 90s, 15m, 24h or 7d");
        int status = relay_cli_need_tenant(store, argv[0], &tenant);
        if (status)
                return status;
        int r = make_secret(text, hash);
        if (r == 0)
                r = store_token_add(store, argv[0], argv[1], hash, time(NULL) + life);
        if (r < 0)
                return relay_cli_store_failed(store, r);
        if (cli->json)
                return relay_cli_print_json(json_pack("{s:s, s:s, s:s+++, s:I}", "tenant", argv[0], "name", argv[1],
                                                      "token", text, ".", tenant.pin, "", "expires",
                                                      (json_int_t)(time(NULL) + life)));
        printf("%s.%s\n", text, tenant.pin);
        return 0;
}

/* ---- the table ---- */

static const struct word {
        const char *name;
        int (*run)(const struct relay_cli *cli, struct store *store, int argc, char **argv);
} words[] = {{"tenant", run_tenant}, {"secret", run_secret}, {"token", run_token}, {"connector", run_connector},
             {"event", run_event},   {"ca", run_ca},         {"store", run_store}};

/* Joins the cluster, where the configuration has one; without it the copy serves, for what changes nothing. */
static int join(const struct relay_cli *cli, struct store *store, struct store_cluster **ret_cluster)
{
        struct store_settings settings;
        struct cluster_files files;
        struct error err;

        if (cli->config->store != RELAY_ON_NATS)
                return 0;
        cluster_files_init(&files);
        store_settings_of(cli->config, &settings);
        int r = cluster_files_read(&files, &cli->config->nats, CLUSTER_STORE, &err);
        if (r == 0)
                r = store_cluster_new(ret_cluster, NULL, store, &settings, &files, NULL, NULL, &err);
        cluster_files_free(&files);
        if (r < 0)
                return relay_cli_complain("store", err.text);
        if (!store_cluster_writable(*ret_cluster))
                fprintf(stderr, "postern-relay: %s: this is what this node knows, and nothing can be changed\n",
                        store_cluster_why(*ret_cluster));
        return 0;
}

/* Whether the words change something, and what; which is known by their number and the second one. */
static bool is_act(int argc, char **argv, struct relay_cli_act *ret_act)
{
        static const struct {
                const char *name, *second; /* second NULL: any */
                int argc, tenant, about;   /* places in argv; 0: none */
                const char *act;
        } acts[] = {{"tenant", "add", 3, 2, 0, "tenant.add"},
                    {"tenant", "remove", 3, 2, 0, "tenant.remove"},
                    {"secret", "list", 3, 0, 0, NULL},
                    {"secret", NULL, 3, 1, 2, "secret.issue"},
                    {"secret", "revoke", 4, 2, 3, "secret.revoke"},
                    {"token", NULL, 3, 1, 2, "token.issue"},
                    {"connector", "revoke", 4, 2, 3, "connector.revoke"},
                    {"connector", "release", 4, 2, 3, "connector.release"},
                    {"ca", "install", 3, 0, 2, "ca.install"},
                    {"ca", "trust", 3, 0, 2, "ca.trust"},
                    {"ca", "forget", 3, 0, 2, "ca.forget"},
                    {"store", "push", 2, 0, 0, "store.push"},
                    {"store", "backup", 2, 0, 0, "store.backup"}};

        for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
                if (strcmp(acts[i].name, argv[0]) != 0 || acts[i].argc != argc ||
                    (acts[i].second && strcmp(acts[i].second, argv[1]) != 0))
                        continue;
                *ret_act = (struct relay_cli_act){.tenant = acts[i].tenant ? argv[acts[i].tenant] : NULL,
                                                  .about = acts[i].about ? argv[acts[i].about] : NULL,
                                                  .uid = getuid()};
                (void)snprintf(ret_act->act, sizeof(ret_act->act), "%s", acts[i].act ? acts[i].act : "");
                /* what is no beginning of an id is perhaps the secret itself, which counts still */
                if (strcmp(ret_act->act, "secret.revoke") == 0 &&
                    (strlen(ret_act->about) > SECRET_ID_LEN ||
                     ret_act->about[strspn(ret_act->about, "0123456789abcdef")]))
                        ret_act->about = NULL;
                return acts[i].act;
        }
        return false;
}

int relay_cli_run(const struct relay_cli *cli, int argc, char **argv)
{
        _cleanup_(store_freep) struct store *store = NULL;
        _cleanup_(store_cluster_freep) struct store_cluster *cluster = NULL;
        struct relay_cli_act act;
        const bool changes = is_act(argc, argv, &act);
        struct error err;

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                if (strcmp(words[i].name, argv[0]) != 0)
                        continue;
                /* As the relay's user, so that the relay can read the files. */
                if (harden_become(cli->config->user, HARDEN_NO_GROUPS, &err) < 0 ||
                    store_open(&store, cli->config->state_dir, &err) < 0)
                        return relay_cli_complain(argv[0], err.text);
                const bool alone = words[i].run == run_ca ||
                                   (words[i].run == run_store && argc > 1 && strcmp(argv[1], "backup") == 0);
                if (!alone && join(cli, store, &cluster) != 0)
                        return 1;
                const int code = words[i].run(cli, store, argc - 1, argv + 1);
                fflush(stdout);
                if (changes && code != EXIT_USAGE)
                        relay_cli_act(cli, &act, code == 0);
                if (cluster && (store_flush(store) < 0 || store_waiting(store) > 0))
                        fprintf(stderr, "postern-relay: done at this node; the others hear of it once the store can be "
                                        "written and this node's relay runs\n");
                if (!store_process_written(cli->config->state_dir))
                        (void)relay_cli_complain(
                                argv[0], "done, but the running relay has not said that it goes by it; see its log");
                return code;
        }
        return relay_cli_misused(argv[0], "unknown word; see `postern-relay --help`");
}
