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

#include "base/core/text.h"
#include "connector/cli/cli.h"
#include "connector/person/folder.h"
#include "connector/cli/prompt.h"
#include "connector/person/service-store.h"
#include "connector/cli/tenant-internal.h"
#include "connector/cli/trace.h"
#include "connector/cli/view.h"

struct tenant_options tenant_o;

static const struct cli_option init_options[] = {
        OPTION_DIR,
        OPTION_PASSPHRASE,
        {"key", "URI", &tenant_o.key_uri, NULL, "a key in hardware: pkcs11:..., tpm2:, handle:0x..."},
        {"no-passphrase", NULL, NULL, &tenant_o.no_passphrase, "store the key unencrypted"},
        {0},
};
static const struct cli_option approve_options[] = {
        OPTION_DIR,
        OPTIONS_RELAY,
        OPTION_PASSPHRASE,
        {"identity", "FILE", &tenant_o.identity_file, NULL, "its connector.pub.json, instead of asking the relay"},
        {"domains", "A,B", &tenant_o.domains, NULL, "the domains that it may speak for"},
        OPTIONS_SIGN,
        {0},
};
static const struct cli_option remove_options[] = {
        OPTION_DIR,   OPTIONS_RELAY, OPTION_PASSPHRASE, {"yes", NULL, NULL, &tenant_o.yes, "answer what it asks"},
        OPTIONS_SIGN, {0},
};
static const struct cli_option edit_options[] = {
        OPTION_DIR, OPTIONS_RELAY, OPTION_PASSPHRASE, OPTIONS_SIGN, {0},
};

static const struct cli_option service_options[] = {
        OPTION_DIR,
        OPTIONS_RELAY,
        OPTION_PASSPHRASE,
        {"replace", NULL, NULL, &tenant_o.replace, "the file has a service's id and a new key: put that in"},
        OPTIONS_SIGN,
        {0},
};

static int do_init(const struct cli *cli, const char *tenant)
{
        struct tenant_new new = {.tenant = tenant, .key_uri = tenant_o.key_uri};
        struct secret *pass = NULL;
        struct error err = {""};
        char pin[KID_LEN + 1];
        int r = tenant_store_has_key(tenant_o.dir) ? -EEXIST : 0;

        if (r == 0 && !tenant_o.no_passphrase && !tenant_o.key_uri)
                r = prompt_new_passphrase(tenant_o.passphrase_file, "New passphrase for the tenant key: ", &pass, &err);
        new.passphrase = pass ? secret_text(pass) : NULL;
        if (r == 0)
                r = tenant_store_create(tenant_o.dir, &new, pin, &err);
        secret_free(pass);
        if (r == -EEXIST && !err.text[0])
                return cli_error(cli,
                                 "%s already holds a tenant key; it is never overwritten. Name another folder "
                                 "with --dir.",
                                 tenant_o.dir);
        if (r < 0)
                return cli_error(cli, "%s", err.text);
        if (cli->json)
                return view_show_json(cli,
                                      json_pack("{s:s, s:s, s:s}", "tenant", tenant, "pin", pin, "dir", tenant_o.dir));
        printf("Tenant %s: the key is in %s.\n"
               "Pin (both ends trust this and nothing else):\n\n  %s\n\n"
               "Next, on the relay: postern-relay tenant add %s --pin %s\n",
               tenant, tenant_o.dir, pin, tenant, pin);
        return 0;
}

static int edit_approve_service(struct tenant_store *s, const char *const *args, struct error *err)
{
        struct service_public p = {0};
        int r = service_public_read(&p, args[0], err);

        if (r == 0 && args[1] && strcmp(key_kid(p.key), args[1]) != 0)
                r = error_fail(err, -EKEYREJECTED, "%s holds the key %s, not %s", args[0], key_kid(p.key), args[1]);
        if (r == 0 && tenant_o.replace)
                r = roster_replace(s->roster, true, p.id, p.name, p.key, err);
        else if (r == 0)
                r = roster_add(s->roster, true, p.id, p.name, p.key, err);
        if (r == -EEXIST && !tenant_o.replace)
                (void)error_prefix(err, r, "%s pushes nobody out; if that service has a new key, say --replace",
                                   args[0]);
        service_public_clear(&p);
        return r;
}

/* On stderr: who goes, and what ends with it. */
static void show_removal(const struct roster *roster, const struct roster_member *m)
{
        if (m->exp) {
                fprintf(stderr, "%s (%s, %s) goes for good, and asks no connector any more.\n", m->name, m->id,
                        key_kid(m->key));
                return;
        }
        const bool service = m->role != NULL;
        const size_t left = (service ? roster->n_services : roster->n_connectors) - 1;

        fprintf(stderr, "%s %s (%s, %s) goes for good: its key is not accepted again. %zu %s%s stay%s.\n",
                service ? "Service" : "Connector", m->name, m->id, key_kid(m->key), left,
                service ? "service" : "connector", left == 1 ? "" : "s", left == 1 ? "s" : "");
        if (service)
                fprintf(stderr, "No sign-in that it asks for is checked any more.\n");
        for (size_t i = 0; i < m->n_domains; i++) {
                bool another = false; /* speaks for the domain as well */

                for (size_t k = 0; k < roster->n_connectors; k++)
                        another |=
                                &roster->connectors[k] != m && roster_speaks_for(&roster->connectors[k], m->domains[i]);
                if (!another)
                        fprintf(stderr, "No connector is left for %s then: nobody of it can sign in.\n", m->domains[i]);
        }
}

static const struct roster_member *member(const struct roster_member *members, size_t n, const char *which)
{
        for (size_t i = 0; i < n; i++)
                if (!strcmp(members[i].id, which) || !strcmp(members[i].name, which) ||
                    !strcmp(key_kid(members[i].key), which))
                        return &members[i];
        return NULL;
}

static int edit_remove(struct tenant_store *s, const char *const *args, struct error *err)
{
        const struct roster_member *m = member(s->roster->connectors, s->roster->n_connectors, args[0]);
        int r = 0;

        if (!m)
                m = member(s->roster->services, s->roster->n_services, args[0]);
        if (!m)
                m = member(s->roster->people, s->roster->n_people, args[0]);
        if (m && !tenant_o.yes) {
                show_removal(s->roster, m);
                r = tenant_confirm("Remove it? (yes/no) ", "say --yes where that is meant", err);
        }
        return r < 0 ? r : roster_remove(s->roster, args[0], err);
}

static int edit_nothing(struct tenant_store *s, const char *const *args, struct error *err)
{
        (void)s;
        (void)args;
        (void)err;
        return 0;
}

enum roster_word { ROSTER_SHOW, ROSTER_FETCH, ROSTER_PUBLISH };

/* The relay's roster where it is newer; then the newest of the folder goes to the relay again, byte for byte. */
static int do_roster_read(const struct cli *cli, enum roster_word word)
{
        _cleanup_(tenant_store_clear) struct tenant_store s = {0};
        struct error err = {""};
        int r = tenant_store_open(&s, tenant_o.dir, &err);

        if (r == 0)
                r = tenant_remember(&s, &err);
        if (r == 0 && word != ROSTER_SHOW)
                r = tenant_newest(&s, &err);
        if (r == 0 && !s.roster)
                r = error_fail(&err, -ENOENT, "there is no roster yet: approve a connector or a service first");
        if (r == 0 && word == ROSTER_PUBLISH && (r = tenant_publish(&s, &err)) == 0)
                r = tenant_store_save(&s, &err);
        if (r < 0)
                return cli_error(cli, "%s", err.text);
        tenant_print_roster(s.roster, cli->json);
        return 0;
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
        int code = tenant_parse(cli, &usage, argc, argv, &words);

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
                         "connector's host: get it from there, not from the relay. It is shown which\n"
                         "domains the connector announces; where there is a choice, --domains makes it.\n",
                .options = approve_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = tenant_parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : tenant_edit(cli, tenant_edit_approve, (const char *const[]){words[0], words[1]});
}

static int cmd_approve_service(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "approve-service",
                .words = "FILE FINGERPRINT",
                .min_words = 2,
                .max_words = 2,
                .about = "Takes a sign-in service into the roster. FILE is its service.pub.json, and\n"
                         "FINGERPRINT what `postern service init` printed there. An id that a service has\n"
                         "already is refused with another key, but with --replace: the old key then never\n"
                         "comes back.\n",
                .options = service_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = tenant_parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : tenant_edit(cli, edit_approve_service, (const char *const[]){words[0], words[1]});
}

static int cmd_remove(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "remove",
                .words = "WHICH",
                .min_words = 1,
                .max_words = 1,
                .about = "Takes a connector, sign-in service or person out of the roster, by name, id or\n"
                         "fingerprint, for good: its key is not accepted again. It is said what ends with\n"
                         "it, and asked; --yes answers that, and is needed without a terminal.\n",
                .options = remove_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = tenant_parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : tenant_edit(cli, edit_remove, (const char *const[]){words[0], NULL});
}

static int cmd_roster(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "roster",
                .words = "[show | sign | fetch | publish]",
                .max_words = 1,
                .about = "show: prints the roster (the default). sign: signs it anew, with a later end,\n"
                         "and publishes it. fetch: takes the relay's where it is newer. publish: sends\n"
                         "the newest one to the relay again.\n",
                .options = edit_options,
                .no_config = true,
                .no_socket = true,
        };
        char **words;
        int code = tenant_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!words[0] || !strcmp(words[0], "show"))
                return do_roster_read(cli, ROSTER_SHOW);
        if (!strcmp(words[0], "publish"))
                return do_roster_read(cli, ROSTER_PUBLISH);
        if (!strcmp(words[0], "fetch"))
                return do_roster_read(cli, ROSTER_FETCH);
        if (!strcmp(words[0], "sign"))
                return tenant_edit(cli, edit_nothing, NULL);
        return cli_usage_error(cli, "%s: show, sign, fetch or publish", words[0]);
}

int cmd_tenant(struct cli *cli, int argc, char **argv)
{
        static const struct cli_command table[] = {
                {"init", "make the tenant key; prints its pin", cmd_init},
                {"approve", "take a waiting connector into the roster", cmd_approve},
                {"approve-service", "take a sign-in service into the roster", cmd_approve_service},
                {"approve-person", "let a person ask all connectors of sign-ins", cmd_tenant_approve_person},
                {"domain", "whose names and SID a domain has; list, set, remove", cmd_tenant_domain},
                {"connector-domains", "for which domains a connector may speak", cmd_tenant_connector_domains},
                {"remove", "take a connector, service or person out", cmd_remove},
                {"roster", "show the roster, sign it anew, publish it", cmd_roster},
                {"connectors", "what the relay sees of each connector now", cmd_tenant_connectors},
                {"events", "what the relay noted of connectors", cmd_tenant_events},
                {"release", "let a connector out of quarantine", cmd_tenant_release},
                {"trace", "what the relay knows of a sign-in", cmd_tenant_trace},
                {NULL, NULL, NULL},
        };

        if (secrets_setup(cli) < 0)
                return CLI_FAILED;
        return cli_dispatch(cli, table, "The tenant key and the roster, on the admin's machine.\n", argc, argv);
}
