/*
 * postern domain: what this connector holds on to of a domain, edited in its state folder. The daemon notices within
 * seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "connector/cli/cli.h"
#include "connector/person/folder.h"
#include "connector/conf/config.h"
#include "connector/frames/acts.h"
#include "connector/frames/sid-file.h"

static int load(struct cli *cli, struct config **ret_config)
{
        struct conf_errors errors = CONF_ERRORS;
        int r = config_load(ret_config, cli->config, NULL, &errors);

        if (r < 0)
                (void)cli_error(cli, "%s has errors: run postern check-config", cli->config);
        conf_errors_clear(&errors);
        return r;
}

/* Takes the SID that a DC said last in the place of the one that was learnt, and says so. False where there is nothing
 * to do. */
static bool repin(struct cli *cli, struct sid_file *file, const char *name, char ret_what[1024])
{
        struct sid_file_domain *d = sid_file_find(file, name, false);

        if (!d || (!d->sid[0] && !d->seen[0])) {
                (void)printf("%s: no SID has been learnt yet, so the next that a domain controller tells is taken\n",
                             name);
                return false;
        }
        if (strcmp(d->source, "roster") == 0) {
                (void)cli_error(cli, "the SID of %s is the roster's: the tenant's admin corrects it there", name);
                return false;
        }
        if (d->seen[0])
                (void)snprintf(ret_what, 1024, "%s: %s takes the place of %s", name, d->seen,
                               d->sid[0] ? d->sid : "none");
        else
                (void)snprintf(ret_what, 1024, "%s: %s is forgotten; the next that a domain controller tells is taken",
                               name, d->sid);
        (void)printf("%s\n", ret_what);
        (void)snprintf(d->sid, sizeof(d->sid), "%s", d->seen);
        d->seen[0] = '\0';
        return true;
}

static int edit(struct cli *cli, const char *state_dir, const char *name)
{
        char path[FOLDER_PATH_MAX], what[1024];

        folder_path(path, state_dir, FILE_DOMAIN_SIDS);
        _cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        struct sid_file file = {0};
        struct error err = {""};
        int r = 0;

        if (fd < 0 && errno != ENOENT)
                return cli_error(cli, "%s: %s", path, strerror(errno));
        if (fd >= 0)
                r = sid_file_lock(fd, &err);
        if (fd >= 0 && r == 0)
                r = sid_file_read(&file, fd, &err);
        if (r == 0 && repin(cli, &file, name, what)) {
                r = sid_file_write(&file, fd, &err);
                if (r == 0 && acts_note(state_dir, "domain.repinned", what, &err) < 0)
                        (void)cli_error(cli, "%s", err.text);
        }
        return r < 0 ? cli_error(cli, "%s", err.text) : CLI_OK;
}

static int cmd_repin(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "repin",
                .words = "DOMAIN",
                .min_words = 1,
                .max_words = 1,
                .about = "Takes the SID that a domain controller of DOMAIN told last, in the place of\n"
                         "the one that was learnt from it before. Only for a domain that was built\n"
                         "anew: whoever names its accounts decides who signs in.\n",
                .no_socket = true,
                .no_json = true,
        };
        _cleanup_(config_freep) struct config *config = NULL;
        const struct domain_config *domain;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (load(cli, &config) < 0)
                return CLI_FAILED;
        int i = config_domain_find(config, words[0]);
        if (i < 0 || config->domains[i].directory != DIRECTORY_AD)
                return cli_error(cli, "%s is no domain of Active Directory in %s", words[0], cli->config);
        domain = &config->domains[i];
        if (domain->sid)
                return cli_error(cli, "the SID of %s is in the configuration: correct domain_sid there", domain->name);
        return edit(cli, config->state_dir, domain->name);
}

int cmd_domain(struct cli *cli, int argc, char **argv)
{
        static const struct cli_command table[] = {
                {"repin", "take another SID than the one that was learnt", cmd_repin},
                {NULL, NULL, NULL},
        };

        return cli_dispatch(cli, table, "What this connector holds on to of a domain.\n", argc, argv);
}
