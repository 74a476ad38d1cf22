/*
 * `postern tenant`: the tenant key and the roster, on the admin's machine.
 *
 * The tenant key never leaves its folder; the relay gets signed rosters and nothing else.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "connector/base/text.h"
#include "connector/cli/cli.h"
#include "connector/cli/folder.h"
#include "connector/cli/prompt.h"
#include "connector/cli/service-store.h"
#include "connector/cli/tenant-store.h"
#include "connector/cli/trace.h"
#include "connector/cli/view.h"

static struct {
        const char *dir, *relay, *ca_file, *admin_secret_file, *passphrase_file, *days_text, *key_uri, *identity_file;
        bool no_passphrase, no_publish;
} o;

#define OPTION_DIR                                                                                           \
        {                                                                                                    \
                "dir", "DIR", &o.dir, NULL, "the key's folder (~/.config/postern/tenant)"                    \
        }
#define OPTION_PASSPHRASE                                                                                    \
        {                                                                                                    \
                "passphrase-file", "FILE", &o.passphrase_file, NULL, "the key's passphrase; else asked for"  \
        }
#define OPTIONS_RELAY                                                                                        \
        {"relay", "URL", &o.relay, NULL, "the relay; remembered, as are:"},                                  \
                {"admin-secret-file", "FILE", &o.admin_secret_file, NULL,                                    \
                 "what `postern-relay tenant add` printed"},                                                 \
        {                                                                                                    \
                "ca-file", "FILE", &o.ca_file, NULL, "the relay's CA (else the system's)"                    \
        }

static const struct cli_option init_options[] = {
        OPTION_DIR,
        OPTION_PASSPHRASE,
        {"key", "URI", &o.key_uri, NULL, "a key in hardware: pkcs11:..., tpm2:, handle:0x..."},
        {"no-passphrase", NULL, NULL, &o.no_passphrase, "store the key unencrypted"},
        {0},
};
static const struct cli_option approve_options[] = {
        OPTION_DIR,
        OPTIONS_RELAY,
        OPTION_PASSPHRASE,
        {"identity", "FILE", &o.identity_file, NULL, "its connector.pub.json, instead of asking the relay"},
        {"days", "N", &o.days_text, NULL, "how long the roster is valid, 1..30 (30)"},
        {"no-publish", NULL, NULL, &o.no_publish, "only sign; `tenant roster publish` later"},
        {0},
};
static const struct cli_option edit_options[] = {
        OPTION_DIR,
        OPTIONS_RELAY,
        OPTION_PASSPHRASE,
        {"days", "N", &o.days_text, NULL, "how long the roster is valid, 1..30 (30)"},
        {"no-publish", NULL, NULL, &o.no_publish, "only sign; `tenant roster publish` later"},
        {0},
};

static int passphrase(const char *prompt, struct secret **ret, struct error *err)
{
        int r = o.passphrase_file ? prompt_secret_file(o.passphrase_file, ret, err)
                                  : prompt_secret(prompt, ret, err);

        return r > 0 ? error_fail(err, -EINVAL, "the passphrase is empty") : r;
}

/* For a new key: asked twice when a person types it. */
static int new_passphrase(struct secret **ret, struct error *err)
{
        struct secret *again = NULL;
        int r = passphrase("New passphrase for the tenant key: ", ret, err);

        if (r < 0 || o.passphrase_file || !isatty(STDIN_FILENO))
                return r;
        r = passphrase("Again: ", &again, err);
        if (r == 0 && !secret_equal(*ret, again))
                r = error_fail(err, -EINVAL, "the two passphrases differ");
        secret_free(again);
        return r;
}

static int do_init(const struct cli *cli, const char *tenant)
{
        struct tenant_new new = {.tenant = tenant, .key_uri = o.key_uri};
        struct secret *pass = NULL;
        struct error err = {""};
        char pin[KID_LEN + 1];
        int r = o.no_passphrase || o.key_uri ? 0 : new_passphrase(&pass, &err);

        new.passphrase = pass ? secret_text(pass) : NULL;
        if (r == 0)
                r = tenant_store_create(o.dir, &new, pin, &err);
        secret_free(pass);
        if (r == -EEXIST && !o.key_uri)
                return cli_error(
                        cli,
                        "%s already holds a tenant key; it is never overwritten. Name another folder "
                        "with --dir.",
                        o.dir);
        if (r < 0)
                return cli_error(cli, "%s", err.text);
        if (cli->json)
                return view_show_json(
                        cli, json_pack("{s:s, s:s, s:s}", "tenant", tenant, "pin", pin, "dir", o.dir));
        printf("Tenant %s: the key is in %s.\n"
               "Pin (both ends trust this and nothing else):\n\n  %s\n\n"
               "Next, on the relay: postern-relay --config FILE tenant add %s --pin %s\n",
               tenant, o.dir, pin, tenant, pin);
        return 0;
}

static int remember(struct tenant_store *s, struct error *err)
{
        int r;

        if (o.relay && text_set(&s->relay, o.relay) < 0)
                return error_fail(err, -ENOMEM, "out of memory");
        r = folder_set_path(&s->ca_file, o.ca_file, err);
        return r < 0 ? r : folder_set_path(&s->admin_secret_file, o.admin_secret_file, err);
}

static int open_key(const struct tenant_store *s, struct key **ret_key, struct error *err)
{
        struct secret *pass = NULL;
        int r = 0;

        if (tenant_store_key_encrypted(s))
                r = passphrase("Passphrase of the tenant key: ", &pass, err);
        if (r == 0)
                r = tenant_store_key(s, pass ? secret_text(pass) : NULL, ret_key, err);
        secret_free(pass);
        return r;
}

/* What a command does to the roster before it is signed. */
typedef int edit_fn(struct tenant_store *s, const char *const *args, struct error *err);

/* roster_add replaces by id, and the id is what the newcomer says: it must not push out another connector. */
static int refuse_displacing(const struct roster *roster, const struct pending_identity *p, struct error *err)
{
        for (size_t i = 0; i < roster->n_connectors; i++)
                if (!strcmp(roster->connectors[i].id, p->id) &&
                    strcmp(key_kid(roster->connectors[i].key), key_kid(p->key)) != 0)
                        return error_fail(err, -EEXIST,
                                          "connector %s already has the id %s with another key: if it was "
                                          "enrolled anew, first "
                                          "`postern tenant remove %s`",
                                          roster->connectors[i].name, p->id, roster->connectors[i].name);
        return 0;
}

/* From the file that `postern enroll` wrote, for a tenant key that is kept without a network. */
static int read_identity(const char *const *args, struct pending_identity *ret_p, struct error *err)
{
        struct service_public file = {0};
        int r = service_public_read(&file, o.identity_file, err);

        if (r == 0 && (strcmp(file.name, args[0]) != 0 || strcmp(key_kid(file.key), args[1]) != 0))
                r = error_fail(err, -EKEYREJECTED, "%s holds %s with the fingerprint %s", o.identity_file, file.name,
                               key_kid(file.key));
        if (r == 0) {
                (void)snprintf(ret_p->id, sizeof(ret_p->id), "%s", file.id);
                (void)snprintf(ret_p->name, sizeof(ret_p->name), "%s", file.name);
                ret_p->key = key_ref(file.key);
        }
        service_public_clear(&file);
        return r;
}

static int edit_approve(struct tenant_store *s, const char *const *args, struct error *err)
{
        struct pending_identity p = {0};

        for (size_t i = 0; i < s->roster->n_connectors; i++)
                if (!strcmp(key_kid(s->roster->connectors[i].key), args[1]))
                        return error_fail(err, -EEXIST, "%s (%s) is in the roster already",
                                          s->roster->connectors[i].name, args[1]);
        int r = o.identity_file ? read_identity(args, &p, err) : tenant_find_pending(s, args[0], args[1], &p, err);

        if (r == 0)
                r = refuse_displacing(s->roster, &p, err);
        if (r == 0)
                r = roster_add(s->roster, false, p.id, p.name, p.key, err);
        key_free(p.key);
        return r;
}

static int edit_approve_service(struct tenant_store *s, const char *const *args, struct error *err)
{
        struct service_public p = {0};
        int r = service_public_read(&p, args[0], err);

        if (r == 0 && args[1] && strcmp(key_kid(p.key), args[1]) != 0)
                r = error_fail(err, -EKEYREJECTED, "%s holds the key %s, not %s", args[0], key_kid(p.key),
                               args[1]);
        if (r == 0)
                r = roster_add(s->roster, true, p.id, p.name, p.key, err);
        service_public_clear(&p);
        return r;
}

static int edit_remove(struct tenant_store *s, const char *const *args, struct error *err)
{
        return roster_remove(s->roster, args[0], err);
}

static int edit_nothing(struct tenant_store *s, const char *const *args, struct error *err)
{
        (void)s;
        (void)args;
        (void)err;
        return 0;
}

static int sign_and_save(struct tenant_store *s, uint64_t days, struct key *key, struct error *err)
{
        int r = roster_sign(s->roster, key, (int64_t)time(NULL), (int64_t)days * 86400, err);

        return r < 0 ? r : tenant_store_save(s, err);
}

static json_t *members_json(const struct roster_member *members, size_t n)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < n; i++)
                if (json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "id", members[i].id, "name",
                                                          members[i].name, "fingerprint",
                                                          key_kid(members[i].key))) < 0)
                        return json_decref(list), NULL;
        return list;
}

static void print_roster_json(const struct roster *r)
{
        json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:o, s:o}", "tenant", r->tenant, "seq",
                                 (json_int_t)r->seq, "iat", (json_int_t)r->iat, "exp", (json_int_t)r->exp,
                                 "connectors", members_json(r->connectors, r->n_connectors), "services",
                                 members_json(r->services, r->n_services));

        if (json && json_dumpf(json, stdout, JSON_INDENT(2)) == 0)
                putchar('\n');
        json_decref(json);
}

#define ROSTER_WARN_DAYS 7

/* Services and connectors stop where it ends, so the one who can sign hears of it in time. */
static void warn_of_end(const struct roster *r)
{
        const int64_t left = r->exp - (int64_t)time(NULL);

        if (r->seq && left > 0 && left < ROSTER_WARN_DAYS * 86400)
                fprintf(stderr,
                        "postern: the roster ends in %" PRId64 " hours, and with it every sign-in: run `postern tenant "
                        "roster sign`\n",
                        left / 3600);
}

static void print_roster(const struct roster *r, bool json)
{
        char until[32];
        time_t exp = (time_t)r->exp;
        struct tm tm;

        warn_of_end(r);
        if (json) {
                print_roster_json(r);
                return;
        }
        gmtime_r(&exp, &tm);
        strftime(until, sizeof(until), "%Y-%m-%d %H:%M UTC", &tm);
        printf("Roster of tenant %s, number %" PRIu64 ", valid until %s%s\n", r->tenant, r->seq,
               r->seq ? until : "(never signed)",
               r->seq && r->exp < (int64_t)time(NULL) ? " (EXPIRED: run `postern tenant roster sign`)" : "");
        for (size_t i = 0; i < r->n_connectors; i++)
                printf("  connector  %-20s %s  %s\n", r->connectors[i].name, r->connectors[i].id,
                       key_kid(r->connectors[i].key));
        for (size_t i = 0; i < r->n_services; i++)
                printf("  service    %-20s %s  %s\n", r->services[i].name, r->services[i].id,
                       key_kid(r->services[i].key));
}

static int publish(const struct tenant_store *s, struct error *err)
{
        int r = tenant_publish(s, err);

        return r < 0 ? error_prefix(err, r,
                                    "the roster is signed and stored, but not published (`postern tenant "
                                    "roster publish` tries again)")
                     : 0;
}

static int do_edit(const struct cli *cli, edit_fn *edit, const char *const *args)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        _cleanup_(key_freep) struct key *key = NULL;
        struct error err = {""};
        uint64_t days = 30;
        int r;

        if (o.days_text && text_parse_u64(o.days_text, 1, 30, &days) < 0)
                return cli_usage_error(cli, "--days %s: a number from 1 to 30", o.days_text);
        r = tenant_store_open(&s, o.dir, &err);
        if (r == 0)
                r = remember(&s, &err);
        if (r == 0)
                r = open_key(&s, &key, &err);
        if (r == 0 && !s.roster)
                r = roster_new(&s.roster, s.tenant, key);
        if (r == 0)
                r = edit(&s, args, &err);
        if (r == 0)
                r = sign_and_save(&s, days, key, &err);
        if (r < 0)
                return cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
        if (s.relay && !o.no_publish && publish(&s, &err) < 0)
                return cli_error(cli, "%s", err.text);
        print_roster(s.roster, cli->json);
        if (!cli->json && (!s.relay || o.no_publish))
                printf("Not published: run `postern tenant roster publish --relay URL --admin-secret-file "
                       "FILE`.\n");
        return 0;
}

static int do_roster_read(const struct cli *cli, bool send)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        struct error err = {""};
        int r = tenant_store_open(&s, o.dir, &err);

        if (r == 0)
                r = remember(&s, &err);
        if (r == 0 && !s.roster)
                r = error_fail(&err, -ENOENT,
                               "there is no roster yet: approve a connector or a service first");
        if (r == 0 && send && (r = tenant_publish(&s, &err)) == 0)
                r = tenant_store_save(&s, &err);
        if (r < 0)
                return cli_error(cli, "%s", err.text);
        print_roster(s.roster, cli->json);
        return 0;
}

static int parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, char ***ret_words)
{
        static char *fallback;
        int code = cli_parse(cli, usage, argc, argv, ret_words);

        if (code >= 0 || o.dir)
                return code;
        fallback = folder_default("tenant");
        o.dir = fallback;
        return fallback ? -1 : cli_usage_error(cli, "HOME is not set: name the folder with --dir");
}

static int cmd_init(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "init",
                .words = "TENANT",
                .min_words = 1,
                .max_words = 1,
                .about = "Makes the tenant key, encrypted with a passphrase, and prints its pin: what the\n"
                         "relay, the connectors and the sign-in services trust. Run it on the admin's\n"
                         "machine; the key never leaves its folder.\n",
                .options = init_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : do_init(cli, words[0]);
}

static int cmd_approve(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "approve",
                .words = "NAME FINGERPRINT",
                .min_words = 2,
                .max_words = 2,
                .about = "Takes a connector that asks for it (or whose connector.pub.json is given with\n"
                         "--identity, without a network) into the roster, signs the roster anew and\n"
                         "sends it to the relay. FINGERPRINT is what `postern enroll` printed on the\n"
                         "connector's host: get it from there, not from the relay.\n",
                .options = approve_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : do_edit(cli, edit_approve, (const char *const[]){words[0], words[1]});
}

static int cmd_approve_service(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "approve-service",
                .words = "FILE FINGERPRINT",
                .min_words = 2,
                .max_words = 2,
                .about = "Takes a sign-in service into the roster. FILE is its service.pub.json, and\n"
                         "FINGERPRINT what `postern service init` printed there.\n",
                .options = edit_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code
                         : do_edit(cli, edit_approve_service, (const char *const[]){words[0], words[1]});
}

static int cmd_remove(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "remove",
                .words = "WHICH",
                .min_words = 1,
                .max_words = 1,
                .about = "Takes a connector or sign-in service out of the roster, by name, id or\n"
                         "fingerprint, for good: its key is not accepted again.\n",
                .options = edit_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : do_edit(cli, edit_remove, (const char *const[]){words[0], NULL});
}

static int cmd_roster(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "roster",
                .words = "[show | sign | publish]",
                .max_words = 1,
                .about = "show: prints the roster (the default). sign: signs it anew, with a later end,\n"
                         "and publishes it. publish: sends the newest one to the relay again.\n",
                .options = edit_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!words[0] || !strcmp(words[0], "show"))
                return do_roster_read(cli, false);
        if (!strcmp(words[0], "publish"))
                return do_roster_read(cli, true);
        if (!strcmp(words[0], "sign"))
                return do_edit(cli, edit_nothing, NULL);
        return cli_usage_error(cli, "%s: show, sign or publish", words[0]);
}

int cmd_tenant(struct cli *cli, int argc, char **argv)
{
        static const struct cli_command table[] = {
                {"init", "make the tenant key; prints its pin", cmd_init},
                {"approve", "take a waiting connector into the roster", cmd_approve},
                {"approve-service", "take a sign-in service into the roster", cmd_approve_service},
                {"remove", "take a connector or service out", cmd_remove},
                {"roster", "show the roster, sign it anew, publish it", cmd_roster},
                {"events", "what the relay noted of connectors", cmd_tenant_events},
                {"release", "let a connector out of quarantine", cmd_tenant_release},
                {"trace", "what the relay knows of a sign-in", cmd_tenant_trace},
                {NULL, NULL, NULL},
        };

        if (secrets_setup(cli) < 0)
                return CLI_FAILED;
        return cli_dispatch(cli, table, "The tenant key and the roster, on the admin's machine.\n", argc,
                            argv);
}
