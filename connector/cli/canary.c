/*
 * `postern service canary`: whether a connector believes a password that can't be right; meant for cron.
 *
 * What is found out is remembered beside the service's key: sign-ins avoid that connector until `service trust`.
 */
#include "connector/cli/canary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector/person/folder.h"
#include "connector/cli/prompt.h"
#include "connector/person/service-store.h"
#include "connector/cli/view.h"
#include "queue/client/client.h"

static struct {
        const char *dir, *user;
        const char *ip, *agent, *app;
        struct service_settings given;
} o;

static const struct cli_option canary_options[] = {
        {"user", "NAME", &o.user, NULL, "the canary account"},
        {"app", "TEXT", &o.app, NULL, "application, as this service's sign-ins name it"},
        {"agent", "TEXT", &o.agent, NULL, "user agent, likewise"},
        {"ip", "ADDRESS", &o.ip, NULL, "the user's address, likewise"},
        {"service", "DIR", &o.dir, NULL, "folder (~/.config/postern/service)"},
        SERVICE_OPTIONS(o.given),
        {0},
};
static const struct cli_option trust_options[] = {
        {"service", "DIR", &o.dir, NULL, "folder (~/.config/postern/service)"},
        {0},
};

struct tally {
        const struct cli *cli;
        json_t *list;
        unsigned asked, lying;
};

static void on_probe(void *arg, const struct client_probe *probe)
{
        struct tally *t = arg;
        const struct sign_in_result *r = probe->result;
        const char *what = !probe->asked ? "unasked" : probe->honest ? "honest" : "lying";
        const char *said = r->has_verdict ? r->verdict.reason : r->problem;

        t->asked += probe->asked;
        t->lying += !probe->honest;
        json_array_append_new(t->list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", probe->connector->id, "name",
                                                 probe->connector->name ? probe->connector->name : "", "kid",
                                                 key_kid(probe->connector->key), "state", what, "said", said));
        if (t->cli->json)
                return;
        (void)printf("%-20s ", probe->connector->name ? probe->connector->name : probe->connector->id);
        if (!probe->honest)
                (void)printf(
                        "BELIEVED a random password: it lies or was changed; no sign-in goes there any more (%s)\n",
                        probe->connector->id);
        else if (probe->asked)
                (void)printf("refused it, as it must (%s)\n", said);
        else
                (void)printf("could not be asked: %s\n", said);
}

static int open_service(const struct cli *cli, struct service_store *s, struct error *err)
{
        static char *fallback;

        (void)cli;
        if (!o.dir)
                o.dir = fallback = folder_default("service");
        if (!o.dir)
                return error_fail(err, -EINVAL, "HOME is not set: name the folder with --service");
        return service_store_open(s, o.dir, err);
}

static int probe_all(struct service_store *s, struct tally *tally, struct error *err)
{
        _cleanup_(client_freep) struct client *client = NULL;
        struct secret *bearer = NULL;
        const struct client_probe_params params = {o.user, o.ip, o.agent, o.app};
        struct client_config config;
        int r;

        r = service_store_complete(s, err);
        if (r < 0)
                return r;
        r = folder_secret_read(s->secret_file, &bearer, err);
        if (r > 0)
                r = error_fail(err, -EINVAL, "%s is empty", s->secret_file);
        if (r == 0) {
                config = service_store_client(s, secret_text(bearer));
                config.n_distrusted = 0; /* those are asked as well */
                r = client_new(&client, &config, err);
        }
        secret_free(bearer);
        if (r == 0)
                r = client_probe(client, &params, on_probe, tally, err);
        if (r < 0)
                return r;
        /* found out once is found out: a connector that lies only sometimes does not come back by itself */
        const struct sealer_view seen = sealer_view(client_sealer(client));
        for (size_t i = 0; r == 0 && i < seen.n_distrusted; i++)
                r = service_store_distrust(s, seen.distrusted[i]);
        service_store_saw(s, client);
        return r < 0 ? error_fail(err, r, "out of memory") : service_store_save(s, err);
}

int cmd_service_canary(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "canary",
                .about = "Asks every connector, one by one, to sign the canary account in with a random\n"
                         "password. One that believes it lies or was changed by somebody: it is shown, and\n"
                         "no sign-in of this service goes there any more. Run it from cron. The account\n"
                         "gets one wrong password per connector: it must never lock out (postern(1)).\n"
                         "Exit code: 0 all that answered refuse, 1 one believed it, 3 nobody answered.\n",
                .options = canary_options,
                .no_config = true,
                .no_socket = true,
        };
        _cleanup_(service_store_clear) struct service_store s = {0};
        struct tally tally = {.cli = cli};
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);
        int r;

        if (code >= 0)
                return code;
        if (!o.user)
                return cli_usage_error(cli, "--user is missing: the canary account");
        if (secrets_setup(cli) < 0)
                return CLI_UNAVAILABLE;
        tally.list = json_array();
        r = open_service(cli, &s, &err);
        if (r == 0)
                r = service_store_take(&s, &o.given, &err);
        if (r == 0)
                r = probe_all(&s, &tally, &err);
        if (r == 0 && cli->json)
                view_print_json(tally.list);
        json_decref(tally.list);
        if (r < 0) {
                (void)cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
                return tally.lying ? CLI_FAILED : CLI_UNAVAILABLE;
        }
        return tally.lying ? CLI_FAILED : tally.asked ? CLI_OK : CLI_UNAVAILABLE;
}

int cmd_service_trust(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "trust",
                .words = "FINGERPRINT",
                .min_words = 1,
                .max_words = 1,
                .about = "Uses a connector again that a canary found out. Its identity should be a new one\n"
                         "by then: remove it (postern tenant remove) and enrol its host anew instead.\n",
                .options = trust_options,
                .no_config = true,
                .no_socket = true,
        };
        _cleanup_(service_store_clear) struct service_store s = {0};
        struct error err = {""};
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);
        size_t n = 0;

        if (code >= 0)
                return code;
        if (open_service(cli, &s, &err) < 0)
                return cli_error(cli, "%s", err.text);
        const char **kept = calloc(s.n_distrusted + 1, sizeof(*kept));
        for (size_t i = 0; kept && i < s.n_distrusted; i++)
                if (strcmp(s.distrusted[i], words[0]) != 0)
                        kept[n++] = s.distrusted[i];
        const bool found = kept && n < s.n_distrusted;
        int r = kept ? service_store_set_distrusted(&s, kept, n) : -ENOMEM;
        free(kept);
        if (r == 0 && !found)
                return cli_error(cli, "no connector of this fingerprint is distrusted");
        if (r < 0 || service_store_save(&s, &err) < 0)
                return cli_error(cli, "%s", err.text[0] ? err.text : strerror(-r));
        (void)printf("%s is used again.\n", words[0]);
        return CLI_OK;
}
