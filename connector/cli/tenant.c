/*
 * `postern tenant`: the tenant key and the roster, on the admin's machine.
 *
 * The tenant key never leaves its folder; the relay gets signed rosters and nothing else.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connector/base/text.h"
#include "connector/cli/cli.h"
#include "connector/cli/folder.h"
#include "connector/cli/prompt.h"
#include "connector/cli/service-store.h"
#include "connector/cli/tenant-store.h"

static const char help[] = "Usage: postern tenant COMMAND [OPTIONS]\n"
                           "\n"
                           "Holds the tenant key, which says who may be a connector and who a sign-in\n"
                           "service of this tenant. Run it on the admin's machine, never on the relay.\n"
                           "\n"
                           "  init TENANT                 make the tenant key; prints its pin\n"
                           "  approve NAME FINGERPRINT    take a waiting connector into the roster\n"
                           "  approve-service FILE        take the service of a service.pub.json\n"
                           "  remove WHICH                take out a connector or service (name or id)\n"
                           "  roster [show|sign|publish]  show it; sign it anew; send it to the relay\n"
                           "\n"
                           "  --dir DIR                   folder of the key (~/.config/postern/tenant)\n"
                           "  --relay URL                 remembered after the first call, as are\n"
                           "  --admin-secret-file FILE      the secret from `postern-relay tenant add`\n"
                           "  --ca-file FILE                and the CA of the relay (else the system's)\n"
                           "  --days N                    how long a new roster is valid (1..30, 30)\n"
                           "  --passphrase-file FILE      of the tenant key; else you are asked\n"
                           "  --no-passphrase             init: store the key unencrypted\n"
                           "  --no-publish                approve, remove: only sign, publish later\n"
                           "  --json                      machine-readable output\n";

struct options {
        char *dir;
        const char *relay, *ca_file, *admin_secret_file, *passphrase_file;
        bool no_passphrase, no_publish, json;
        uint64_t days;
};

enum {
        OPT_DIR = 256,
        OPT_RELAY,
        OPT_CA,
        OPT_SECRET,
        OPT_DAYS,
        OPT_PASSFILE,
        OPT_NOPASS,
        OPT_NOPUBLISH,
        OPT_JSON,
        OPT_HELP
};

static const struct option longopts[] = {
        {"dir", required_argument, NULL, OPT_DIR},
        {"relay", required_argument, NULL, OPT_RELAY},
        {"ca-file", required_argument, NULL, OPT_CA},
        {"admin-secret-file", required_argument, NULL, OPT_SECRET},
        {"days", required_argument, NULL, OPT_DAYS},
        {"passphrase-file", required_argument, NULL, OPT_PASSFILE},
        {"no-passphrase", no_argument, NULL, OPT_NOPASS},
        {"no-publish", no_argument, NULL, OPT_NOPUBLISH},
        {"json", no_argument, NULL, OPT_JSON},
        {"help", no_argument, NULL, OPT_HELP},
        {NULL, 0, NULL, 0},
};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
        int c;

        while ((c = getopt_long(argc, argv, "h", longopts, NULL)) != -1) {
                switch (c) {
                case OPT_DIR:
                        if (text_set(&o->dir, optarg) < 0)
                                return EXIT_UNAVAILABLE;
                        break;
                case OPT_RELAY:
                        o->relay = optarg;
                        break;
                case OPT_CA:
                        o->ca_file = optarg;
                        break;
                case OPT_SECRET:
                        o->admin_secret_file = optarg;
                        break;
                case OPT_DAYS:
                        if (text_parse_u64(optarg, 1, 30, &o->days) < 0)
                                return cli_usage("tenant", "--days %s: a number from 1 to 30", optarg);
                        break;
                case OPT_PASSFILE:
                        o->passphrase_file = optarg;
                        break;
                case OPT_NOPASS:
                        o->no_passphrase = true;
                        break;
                case OPT_NOPUBLISH:
                        o->no_publish = true;
                        break;
                case OPT_JSON:
                        o->json = true;
                        break;
                case 'h':
                case OPT_HELP:
                        fputs(help, stdout);
                        return 0;
                default:
                        return cli_usage("tenant", NULL);
                }
        }
        return -1;
}

static int passphrase(const struct options *o, const char *prompt, struct secret **ret, struct error *err)
{
        int r = o->passphrase_file ? prompt_secret_file(o->passphrase_file, ret, err)
                                   : prompt_secret(prompt, ret, err);

        return r > 0 ? error_fail(err, -EINVAL, "the passphrase is empty") : r;
}

/* For a new key: asked twice when a person types it. */
static int new_passphrase(const struct options *o, struct secret **ret, struct error *err)
{
        struct secret *again = NULL;
        int r = passphrase(o, "New passphrase for the tenant key: ", ret, err);

        if (r < 0 || o->passphrase_file)
                return r;
        r = passphrase(o, "Again: ", &again, err);
        if (r == 0 && !secret_equal(*ret, again))
                r = error_fail(err, -EINVAL, "the two passphrases differ");
        secret_free(again);
        return r;
}

static int do_init(const struct options *o, const char *tenant)
{
        struct secret *pass = NULL;
        struct error err = {""};
        char pin[KID_LEN + 1];
        int r = o->no_passphrase ? 0 : new_passphrase(o, &pass, &err);

        if (r == 0)
                r = tenant_store_create(o->dir, tenant, pass ? secret_text(pass) : NULL, pin, &err);
        secret_free(pass);
        if (r == -EEXIST)
                return cli_fail("%s already holds a tenant key; it is never overwritten. Name another folder "
                                "with --dir.",
                                o->dir);
        if (r < 0)
                return cli_fail("%s", err.text);
        if (o->json) {
                printf("{\"tenant\":\"%s\",\"pin\":\"%s\",\"dir\":\"%s\"}\n", tenant, pin, o->dir);
                return 0;
        }
        printf("Tenant %s: the key is in %s.\n"
               "Pin (both ends trust this and nothing else):\n\n  %s\n\n"
               "Next, on the relay: postern-relay --config FILE tenant add %s --pin %s\n",
               tenant, o->dir, pin, tenant, pin);
        return 0;
}

static int remember(struct tenant_store *s, const struct options *o, struct error *err)
{
        if ((o->relay && text_set(&s->relay, o->relay) < 0) ||
            (o->ca_file && text_set(&s->ca_file, o->ca_file) < 0) ||
            (o->admin_secret_file && text_set(&s->admin_secret_file, o->admin_secret_file) < 0))
                return error_fail(err, -ENOMEM, "out of memory");
        return 0;
}

static int open_key(const struct tenant_store *s, const struct options *o, struct key **ret_key,
                    struct error *err)
{
        struct secret *pass = NULL;
        int r = 0;

        if (tenant_store_key_encrypted(s))
                r = passphrase(o, "Passphrase of the tenant key: ", &pass, err);
        if (r == 0)
                r = tenant_store_key(s, pass ? secret_text(pass) : NULL, ret_key, err);
        secret_free(pass);
        return r;
}

/* What a command does to the roster before it is signed. */
typedef int edit_fn(struct tenant_store *s, const char *const *args, struct error *err);

static int edit_approve(struct tenant_store *s, const char *const *args, struct error *err)
{
        struct pending_identity p = {0};
        int r = tenant_find_pending(s, args[0], args[1], &p, err);

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

static int sign_and_save(struct tenant_store *s, const struct options *o, struct key *key, struct error *err)
{
        int r = roster_sign(s->roster, key, (int64_t)time(NULL), (int64_t)o->days * 86400, err);

        return r < 0 ? r : tenant_store_save(s, err);
}

static void print_roster(const struct roster *r, bool json)
{
        char until[32];
        time_t exp = (time_t)r->exp;
        struct tm tm;

        if (json) {
                cli_print_roster_json(r);
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

static int do_edit(const struct options *o, edit_fn *edit, const char *const *args)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        _cleanup_(key_freep) struct key *key = NULL;
        struct error err = {""};
        int r = tenant_store_open(&s, o->dir, &err);

        if (r == 0)
                r = remember(&s, o, &err);
        if (r == 0)
                r = open_key(&s, o, &key, &err);
        if (r == 0 && !s.roster)
                r = roster_new(&s.roster, s.tenant, key);
        if (r == 0)
                r = edit(&s, args, &err);
        if (r == 0)
                r = sign_and_save(&s, o, key, &err);
        if (r < 0)
                return cli_fail("%s", err.text[0] ? err.text : strerror(-r));
        if (s.relay && !o->no_publish && publish(&s, &err) < 0)
                return cli_fail("%s", err.text);
        print_roster(s.roster, o->json);
        if (!o->json && (!s.relay || o->no_publish))
                printf("Not published: run `postern tenant roster publish --relay URL --admin-secret-file "
                       "FILE`.\n");
        return 0;
}

static int do_roster_read(const struct options *o, bool send)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        struct error err = {""};
        int r = tenant_store_open(&s, o->dir, &err);

        if (r == 0)
                r = remember(&s, o, &err);
        if (r == 0 && !s.roster)
                r = error_fail(&err, -ENOENT,
                               "there is no roster yet: approve a connector or a service first");
        if (r == 0 && send && (r = tenant_publish(&s, &err)) == 0)
                r = tenant_store_save(&s, &err);
        if (r < 0)
                return cli_fail("%s", err.text);
        print_roster(s.roster, o->json);
        return 0;
}

static int dispatch(const struct options *o, int n, char **w)
{
        const char *args[3] = {n > 1 ? w[1] : NULL, n > 2 ? w[2] : NULL, NULL};

        if (n == 0)
                return cli_usage("tenant", "which command?");
        if (!strcmp(w[0], "init"))
                return n == 2 ? do_init(o, w[1]) : cli_usage("tenant", "init takes the tenant's name");
        if (!strcmp(w[0], "approve"))
                return n == 3 ? do_edit(o, edit_approve, args)
                              : cli_usage("tenant", "approve takes NAME and FINGERPRINT");
        if (!strcmp(w[0], "approve-service"))
                return n == 2 || n == 3
                               ? do_edit(o, edit_approve_service, args)
                               : cli_usage("tenant", "approve-service takes FILE and perhaps FINGERPRINT");
        if (!strcmp(w[0], "remove"))
                return n == 2 ? do_edit(o, edit_remove, args)
                              : cli_usage("tenant", "remove takes a name, id or fingerprint");
        if (!strcmp(w[0], "roster") && n <= 2) {
                if (n == 1 || !strcmp(w[1], "show"))
                        return do_roster_read(o, false);
                if (!strcmp(w[1], "publish"))
                        return do_roster_read(o, true);
                if (!strcmp(w[1], "sign"))
                        return do_edit(o, edit_nothing, args);
                return cli_usage("tenant", "roster %s: show, sign or publish", w[1]);
        }
        return cli_usage("tenant", "unknown command %s", w[0]);
}

int cmd_tenant(int argc, char **argv)
{
        struct options o = {.days = 30};
        int code = parse(argc, argv, &o);

        if (code < 0 && !o.dir)
                o.dir = folder_default("tenant");
        if (code < 0)
                code = o.dir ? dispatch(&o, argc - optind, argv + optind)
                             : cli_fail("HOME is not set: name the folder with --dir");
        free(o.dir);
        return code;
}
