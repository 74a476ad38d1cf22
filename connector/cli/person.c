/*
 * `postern person`: the key of a person of the helpdesk, beside the person. Nobody's private key is ever made by
 * someone else, and a person's is encrypted or in a token, since it is on a desk and not on a server.
 */
#include "connector/cli/person.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/text.h"
#include "connector/person/folder.h"
#include "connector/person/key-file.h"
#include "connector/cli/prompt.h"
#include "connector/cli/service.h"

struct person_options person_o;

static struct {
        const char *uri;
        bool no_passphrase;
        struct service_settings given;
} o;

#define SETTINGS                                                                                                       \
        {"relay", "URL", &o.given.relay, NULL, "the relay; remembered, as are:"},                                      \
                {"tenant", "T", &o.given.tenant, NULL, "the tenant"},                                                  \
                {"pin", "PIN", &o.given.pin, NULL, "its pin, from `postern tenant init`"},                             \
                {"secret-file", "FILE", &o.given.secret_file, NULL, "the relay's secret for the helpdesk"},            \
        {                                                                                                              \
                "ca-file", "FILE", &o.given.ca_file, NULL, "the relay's CA (else the system's)"                        \
        }

static const struct cli_option init_options[] = {
        PERSON_OPTIONS,
        {"key", "URI", &o.uri, NULL, "a key in hardware: pkcs11:..., tpm2:, handle:0x..."},
        {"no-passphrase", NULL, NULL, &o.no_passphrase, "store the key unencrypted"},
        SETTINGS,
        {0},
};
static const struct cli_option show_options[] = {PERSON_OPTIONS, SETTINGS, {0}};

/* Where the key is; NULL where nothing says so. */
static const char *folder(void)
{
        static char *fallback;

        if (!person_o.dir && !fallback)
                fallback = folder_default("person");
        return person_o.dir ? person_o.dir : fallback;
}

static int ask_passphrase(struct secret **ret_pass, struct error *err)
{
        return prompt_passphrase(person_o.passphrase_file, "Passphrase of your key: ", ret_pass, err);
}

int person_open(struct everywhere_person *ret_p, struct error *err)
{
        const struct everywhere_key key = {.dir = folder(), .passphrase = ask_passphrase, .pin = prompt_pin};

        return key.dir ? everywhere_open(ret_p, &key, err)
                       : error_fail(err, -EINVAL, "HOME is not set: name the folder with --person");
}

static int show(const struct cli *cli, const struct service_store *s)
{
        _cleanup_(service_public_clear) struct service_public p = {0};
        char public[FOLDER_PATH_MAX];
        struct error err = {""};

        folder_path(public, s->dir, service_store_file(STORE_PERSON, STORE_FILE_PUBLIC));
        return service_public_read(&p, public, &err) < 0 ? cli_error(cli, "%s", err.text)
                                                         : service_show(cli, s, "Person", key_kid(p.key));
}

static int run(const struct cli *cli, const char *name)
{
        _cleanup_(service_store_clear) struct service_store s = {0};
        _cleanup_(buffer_free) struct buffer reference = BUFFER(FOLDER_KEY_MAX);
        struct secret *pass = NULL;
        struct error err = {""};
        char path[FOLDER_PATH_MAX];
        struct folder_key file = {.path = path, .ask = prompt_pin};
        int r = 0;

        folder_path(path, folder(), service_store_file(STORE_PERSON, STORE_FILE_KEY));
        if (name && access(path, F_OK) == 0)
                return cli_error(cli,
                                 "%s already holds a key; it is never overwritten. Name another folder with --person",
                                 folder());
        if (name && !o.no_passphrase && !o.uri)
                r = prompt_new_passphrase(person_o.passphrase_file, "New passphrase for your key: ", &pass, &err);
        file.passphrase = pass ? secret_text(pass) : NULL;
        if (r == 0)
                r = name ? service_store_begin(&s, STORE_PERSON, folder(), name, &err)
                         : service_store_open_without_key(&s, STORE_PERSON, folder(), &err);
        if (r == 0 && name)
                r = folder_key_make(&file, o.uri, &s.key, &reference, &err);
        if (r == 0)
                r = service_store_take(&s, &o.given, &err);
        if (r == 0)
                r = name ? service_store_finish(&s, &err) : service_store_save(&s, &err);
        if (r == 0 && name)
                r = folder_key_write(&file, s.key, &reference, &err);
        secret_free(pass);
        return r < 0 ? cli_error(cli, "%s", err.text) : show(cli, &s);
}

static int parse_and_run(struct cli *cli, const struct cli_usage *usage, int argc, char **argv)
{
        char **words;
        int code = cli_parse(cli, usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (secrets_setup(cli) < 0)
                return CLI_FAILED;
        if (!folder())
                return cli_usage_error(cli, "HOME is not set: name the folder with --person");
        return run(cli, usage->max_words ? words[0] : NULL);
}

static int cmd_init(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "init",
                .words = "NAME",
                .min_words = 1,
                .max_words = 1,
                .about = "Makes the key with which you ask the connectors what became of sign-ins,\n"
                         "encrypted with a passphrase, and person.pub.json, which the tenant's admin\n"
                         "approves: `postern tenant approve-person`.\n",
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
                .about = "Prints your id and fingerprint; stores the options that are given.\n",
                .options = show_options,
                .no_config = true,
                .no_socket = true,
        };

        return parse_and_run(cli, &usage, argc, argv);
}

int cmd_person(struct cli *cli, int argc, char **argv)
{
        static const struct cli_command table[] = {
                {"init", "make your key", cmd_init},
                {"show", "print your id and fingerprint", cmd_show},
                {"connectors", "how every connector of your domains is", cmd_person_connectors},
                {NULL, NULL, NULL},
        };

        return cli_dispatch(cli, table, "A person of the helpdesk: the key, and what it is for.\n", argc, argv);
}
