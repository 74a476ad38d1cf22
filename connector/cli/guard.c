/*
 * postern guard: how far an account is from the lockout guard's limit here, and letting it go on.
 *
 * The guard keeps hashes under a key that dies with the validator and no names, so it can be asked for one account and
 * list none. Asks the ledger, which asks the validator.
 */
#include <string.h>

#include "connector/cli/view.h"

#define NAME_MAX_BYTES 512 /* REQUEST_TEXT_MAX of the ledger */

static void show(const char *user, const json_t *guard, long long now)
{
        const long long failures = fact_number(guard, "failures", 0), limit = fact_number(guard, "limit", 0),
                        left = fact_number(guard, "left_s", 0);
        const bool stopped = json_is_true(json_object_get(guard, "stopped")),
                   released = json_is_true(json_object_get(guard, "released")),
                   observes = strcmp(fact_text(guard, "mode"), "observe") == 0;
        char until[32], age[32];

        fact_time(now + left, until, sizeof(until));
        fact_age(left, age, sizeof(age));
        cli_print_text(stdout, user);
        if (strcmp(fact_text(guard, "mode"), "off") == 0) {
                (void)printf(": the guard is off (guard = off), so nothing is counted\n");
                return;
        }
        (void)printf(" (%s): %lld failure%s here, of %lld that it may have%s\n", fact_text(guard, "domain"), failures,
                     failures == 1 ? "" : "s", limit,
                     json_is_true(json_object_get(guard, "share")) ? " (this connector's share of guard_failures)"
                                                                   : "");
        if (stopped && observes)
                (void)printf("with guard = on it would be stopped until %s (%s)\n", until, age);
        else if (stopped)
                (void)printf("%s until %s (%s): no domain controller %s asked\n",
                             released ? "it was stopped" : "stopped", until, age, released ? "was" : "is");
        else if (failures > 0)
                (void)printf("not stopped; without another failure they are forgotten at %s (%s)\n", until, age);
        else
                (void)printf("not stopped\n");
        if (released)
                (void)printf("forgotten: its next sign-in here is checked again. The other connectors count for "
                             "themselves: release it there, too. The domain's own count is the domain's.\n");
}

static int ask(struct cli *cli, const char *user, bool release)
{
        json_auto_t *answer = NULL, *request = NULL;
        int code;

        if (!user[0] || strlen(user) > NAME_MAX_BYTES)
                return cli_usage_error(cli, "USER takes 1 to %d bytes", NAME_MAX_BYTES);
        request = json_pack("{s:s, s:s, s:b}", "do", "guard", "user", user, "release", release);
        if (view_ask(cli, request, &answer, &code) < 0)
                return code;
        if (cli->json)
                view_print_json(answer);
        else
                show(user, json_object_get(answer, "guard"), fact_number(answer, "now", 0));
        return CLI_OK;
}

static int cmd_show(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "show",
                .words = "USER",
                .min_words = 1,
                .max_words = 1,
                .about = "Says how often USER failed at this connector within guard_window_s, how often\n"
                         "the lockout guard lets it fail, and until when it is stopped. It keeps no\n"
                         "names, so there is no list: postern log --verdict refused shows `throttled`.\n",
        };
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : ask(cli, words[0], false);
}

static int cmd_release(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "release",
                .words = "USER",
                .min_words = 1,
                .max_words = 1,
                .about = "Has the lockout guard of this connector forget the failures of USER, as root, so\n"
                         "that the next sign-in is checked at a domain controller again. It says how it\n"
                         "was before. Whoever did not mend what failed (a device with an old password)\n"
                         "comes nearer to the domain's own lockout. It is recorded.\n",
        };
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        return code >= 0 ? code : ask(cli, words[0], true);
}

int cmd_guard(struct cli *cli, int argc, char **argv)
{
        static const struct cli_command table[] = {
                {"show", "how far an account is from its limit", cmd_show},
                {"release", "let an account that is stopped go on", cmd_release},
                {NULL, NULL, NULL},
        };

        return cli_dispatch(cli, table, "What the lockout guard of this connector has of an account.\n", argc, argv);
}
