/*
 * `postern service`: makes a sign-in service's key, beside the service. Nobody's private key is ever made by
 * someone else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "connector/cli/canary.h"
#include "connector/cli/cli.h"
#include "connector/person/folder.h"
#include "connector/cli/prompt.h"
#include "connector/cli/service-gateway.h"
#include "connector/person/service-store.h"
#include "connector/cli/service.h"
#include "connector/cli/view.h"

static struct {
        const char *dir;
        bool gateway;
        struct service_settings given;
} o;

#define OPTIONS {"service", "DIR", &o.dir, NULL, "folder (~/.config/postern/service)"}, SERVICE_OPTIONS(o.given)
static const struct cli_option options[] = {OPTIONS, {0}};
static const struct cli_option init_options[] = {
        OPTIONS,
        {"gateway", NULL, NULL, &o.gateway, "for this host's gateway, which is started"},
        {0},
};

int service_show(const struct cli *cli, const struct service_store *s, const char *what, const char *kid)
{
        char public[FOLDER_PATH_MAX];
        struct error missing = {""};

        folder_path(public, s->dir, service_store_file(s->kind, STORE_FILE_PUBLIC));
        if (cli->json)
                return view_show_json(cli,
                                      json_pack("{s:s, s:s, s:s}", "id", s->id, "fingerprint", kid, "public", public));
        printf("%s %s (%s)\n  fingerprint  %s\n  to approve   %s\n", what, s->name, s->id, kid, public);
        if (service_store_complete(s, &missing) < 0)
                printf("  to do        %s\n", missing.text);
        return 0;
}

static int run(const struct cli *cli, const char *dir, const char *name)
{
        _cleanup_(service_store_clear) struct service_store s = {0};
        struct error err = {""};
        int r = name ? service_store_create(dir, name, &o.given, &s, &err) : service_store_open(&s, dir, &err);

        if (r == -EEXIST)
                return cli_error(cli,
                                 "%s already holds a service key; it is never overwritten. Name another folder with "
                                 "--service; to give that service its relay and other settings, run: postern service "
                                 "show, with these options",
                                 dir);
        if (r == 0 && !name)
                r = service_store_take(&s, &o.given, &err);
        if (r == 0 && !name)
                r = service_store_save(&s, &err);
        return r < 0 ? cli_error(cli, "%s", err.text) : service_show(cli, &s, "Service", key_kid(s.key));
}

static int parse_and_run(struct cli *cli, const struct cli_usage *usage, int argc, char **argv)
{
        _cleanup_(freep) char *fallback = NULL;
        char **words;
        int code = cli_parse(cli, usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (o.gateway && o.dir)
                return cli_usage_error(cli, "--gateway has its own folder: leave --service out");
        if (secrets_setup(cli) < 0)
                return CLI_FAILED;
        if (o.gateway)
                return service_gateway_init(cli, words[0], &o.given);
        fallback = folder_default("service");
        if (!o.dir && !fallback)
                return cli_usage_error(cli, "HOME is not set: name the folder with --service");
        return run(cli, o.dir ? o.dir : fallback, usage->max_words ? words[0] : NULL);
}

static int cmd_init(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "init",
                .words = "NAME",
                .min_words = 1,
                .max_words = 1,
                .about = "Makes the key with which this sign-in service signs its requests, and\n"
                         "service.pub.json, which the tenant's admin approves. With --gateway all that\n"
                         "postern-gateway(8) needs on this host, its gateway.conf included, and starts it.\n",
                .options = init_options,
                .no_config = true,
                .no_socket = true,
        };

        return parse_and_run(cli, &usage, argc, argv);
}

static int cmd_show(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "show",
                .about = "Prints the service's id and fingerprint; stores the options that are given.\n",
                .options = options,
                .no_config = true,
                .no_socket = true,
        };

        return parse_and_run(cli, &usage, argc, argv);
}

int cmd_service(struct cli *cli, int argc, char **argv)
{
        static const struct cli_command table[] = {
                {"init", "make a sign-in service's key", cmd_init},
                {"show", "print its id and fingerprint", cmd_show},
                {"canary", "ask each connector for a password that is wrong", cmd_service_canary},
                {"trust", "use a connector again that a canary found out", cmd_service_trust},
                {NULL, NULL, NULL},
        };

        return cli_dispatch(cli, table, "The key of a sign-in service, beside the service.\n", argc, argv);
}
