/*
 * `postern service`: makes a sign-in service's key, beside the service. Nobody's private key is ever made by
 * someone else.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector/base/text.h"
#include "connector/cli/cli.h"
#include "connector/cli/folder.h"
#include "connector/cli/service-store.h"

static const char help[] = "Usage: postern service init NAME [OPTIONS]\n"
                           "       postern service show [OPTIONS]\n"
                           "\n"
                           "init makes the key with which this sign-in service signs its requests, and\n"
                           "service.pub.json, which the tenant's admin approves:\n"
                           "  postern tenant approve-service service.pub.json FINGERPRINT\n"
                           "\n"
                           "  --service DIR        folder of the service (~/.config/postern/service)\n"
                           "  --relay URL          remembered for `postern sign-in`, as are\n"
                           "  --tenant T             the tenant,\n"
                           "  --pin PIN              its pin (from `postern tenant init`),\n"
                           "  --secret-file FILE     the relay's secret for this service, and\n"
                           "  --ca-file FILE         the relay's CA (else the system's)\n"
                           "  --json               machine-readable output\n";

struct options {
        const char *dir, *relay, *tenant, *pin, *secret_file, *ca_file;
        int json;
};

static const struct option longopts[] = {
        {"service", required_argument, NULL, 's'},
        {"relay", required_argument, NULL, 'r'},
        {"tenant", required_argument, NULL, 't'},
        {"pin", required_argument, NULL, 'p'},
        {"secret-file", required_argument, NULL, 'S'},
        {"ca-file", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
};

static int parse(int argc, char **argv, struct options *o)
{
        int c;

        while ((c = getopt_long(argc, argv, "h", longopts, NULL)) != -1) {
                if (c == 's')
                        o->dir = optarg;
                else if (c == 'r')
                        o->relay = optarg;
                else if (c == 't')
                        o->tenant = optarg;
                else if (c == 'p')
                        o->pin = optarg;
                else if (c == 'S')
                        o->secret_file = optarg;
                else if (c == 'c')
                        o->ca_file = optarg;
                else if (c == 'j')
                        o->json = 1;
                else if (c == 'h')
                        return fputs(help, stdout), 0;
                else
                        return cli_usage("service", NULL);
        }
        return -1;
}

/* Writes the options that were given into the store. */
static int remember(struct service_store *s, const struct options *o, struct error *err)
{
        if (o->pin && strlen(o->pin) != KID_LEN)
                return error_fail(err, -EINVAL,
                                  "--pin %s is no pin: %d characters, as `postern tenant init` printed it",
                                  o->pin, KID_LEN);
        if ((o->relay && text_set(&s->relay, o->relay) < 0) ||
            (o->tenant && text_set(&s->tenant, o->tenant) < 0) || (o->pin && text_set(&s->pin, o->pin) < 0) ||
            (o->secret_file && text_set(&s->secret_file, o->secret_file) < 0) ||
            (o->ca_file && text_set(&s->ca_file, o->ca_file) < 0))
                return error_fail(err, -ENOMEM, "out of memory");
        return service_store_save(s, err);
}

static int show(const struct service_store *s, int json)
{
        if (json)
                printf("{\"id\":\"%s\",\"fingerprint\":\"%s\",\"public\":\"%s/service.pub.json\"}\n", s->id,
                       key_kid(s->key), s->dir);
        else
                printf("Service %s (%s)\n  fingerprint  %s\n  to approve   %s/service.pub.json\n", s->name,
                       s->id, key_kid(s->key), s->dir);
        return 0;
}

static int run(const struct options *o, const char *dir, const char *name)
{
        _cleanup_(service_store_clear) struct service_store s = {0};
        struct error err = {""};
        int r = name ? service_store_create(dir, name, &s, &err) : service_store_open(&s, dir, &err);

        if (r == -EEXIST)
                return cli_fail("%s already holds a service key; it is never overwritten. Name another "
                                "folder with --service.",
                                dir);
        if (r == 0)
                r = remember(&s, o, &err);
        return r < 0 ? cli_fail("%s", err.text) : show(&s, o->json);
}

int cmd_service(int argc, char **argv)
{
        _cleanup_(freep) char *fallback = NULL;
        struct options o = {0};
        const char *name = NULL;
        int code = parse(argc, argv, &o);

        if (code >= 0)
                return code;
        argc -= optind;
        argv += optind;
        if (argc == 2 && !strcmp(argv[0], "init"))
                name = argv[1];
        else if (argc != 1 || strcmp(argv[0], "show") != 0)
                return cli_usage("service", "init takes the service's name; or show");
        fallback = folder_default("service");
        if (!o.dir && !fallback)
                return cli_fail("HOME is not set: name the folder with --service");
        return run(&o, o.dir ? o.dir : fallback, name);
}
