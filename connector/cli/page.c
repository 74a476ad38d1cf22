/*
 * postern page: a link for one use to the helpdesk's page on this host.
 */
#include <errno.h>
#include <stdio.h>

#include "connector/cli/view.h"
#include "connector/frames/control.h"

#define ADMIT_DEFAULT "/run/postern-web/admit.sock"

static const struct cli_usage usage = {
        .name = "page",
        .about = "Prints a link to the helpdesk's page of this host (postern-web). It works once,\n"
                 "within a minute, in a browser on this host; for another host forward its port,\n"
                 "like: ssh -L 8470:127.0.0.1:8470 HOST. Whoever opens it is an administrator.\n"
                 "--socket names the page's socket: " ADMIT_DEFAULT ".\n"
                 "Exit code 3: postern-web does not run, or you may not ask it.\n",
        .no_config = true,
};

int cmd_page(struct cli *cli, int argc, char **argv)
{
        json_t *answer = NULL;
        struct error err;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        const char *socket = cli->socket ? cli->socket : ADMIT_DEFAULT;
        json_t *request = json_pack("{s:s}", "do", "link");
        int r = control_ask(&answer, socket, request, &err);
        json_decref(request);
        if (r == -ENOENT || r == -ECONNREFUSED)
                (void)cli_error(cli, "postern-web does not run here (%s). Start it: systemctl start postern-web",
                                socket);
        else if (r == -EACCES)
                (void)cli_error(cli, "not allowed to ask postern-web (%s); be root or a member of postern-web", socket);
        else if (r < 0)
                (void)cli_error(cli, "%s", err.text);
        if (r < 0)
                return r == -EREMOTEIO ? CLI_FAILED : CLI_UNAVAILABLE;
        if (cli->json)
                view_print_json(answer);
        else
                (void)printf("%s\n", fact_text(answer, "url"));
        json_decref(answer);
        return CLI_OK;
}
