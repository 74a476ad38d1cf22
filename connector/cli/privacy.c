/*
 * postern privacy: what the ledger holds of one person, all of it as JSON lines, and its erasure.
 *
 * Exports by the questions that `log` asks, page by page; it knows nothing of the database. Only root may erase.
 */
#include <stdint.h>
#include <string.h>

#include "connector/cli/view.h"

#define PAGE 500           /* REQUEST_LIMIT_MAX of the ledger */
#define NAME_MAX_BYTES 512 /* REQUEST_TEXT_MAX */

/* Prints those of a page that were not printed, and gives back how many and the time of the oldest. */
static size_t print_page(const json_t *records, json_t *ids, json_int_t *ret_oldest)
{
        json_t *record;
        size_t i, n = 0;

        json_array_foreach ((json_t *)(uintptr_t)records, i, record) {
                *ret_oldest = json_integer_value(json_object_get(record, "wall"));
                if (json_object_get(ids, fact_text(record, "id")))
                        continue;
                (void)json_object_set_new(ids, fact_text(record, "id"), json_true());
                (void)json_dumpf(record, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
                (void)fputc('\n', stdout);
                n++;
        }
        return n;
}

static int cmd_export(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "export",
                .words = "USER",
                .min_words = 1,
                .max_words = 1,
                .about = "Prints every record of USER that the ledger here holds, the newest first, a JSON\n"
                         "object a line. Exit code 1: there is none.\n",
                .no_json = true,
        };
        json_auto_t *ids = json_object();
        json_int_t until = 0;
        size_t n = 1, all = 0;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!words[0][0] || strlen(words[0]) > NAME_MAX_BYTES)
                return cli_usage_error(cli, "USER takes 1 to %d bytes", NAME_MAX_BYTES);
        while (n > 0) {
                json_auto_t *answer = NULL, *request = json_pack("{s:s, s:s, s:i, s:I}", "do", "log", "user", words[0],
                                                                 "limit", PAGE, "until", until);

                if (view_ask(cli, request, &answer, &code) < 0)
                        return code;
                n = print_page(json_object_get(answer, "records"), ids, &until);
                all += n;
        }
        if (all == 0)
                return cli_error(cli, "the ledger holds nothing of '%s'", words[0]);
        return CLI_OK;
}

static int cmd_erase(struct cli *cli, int argc, char **argv)
{
        static const struct cli_usage usage = {
                .name = "erase",
                .words = "USER",
                .min_words = 1,
                .max_words = 1,
                .about = "Erases every record of USER from this connector's ledger, for good, as root; an\n"
                         "event says that it was done, not whose they were. `postern privacy export`\n"
                         "shows them before. The other connectors have their own. Exit code 1: there was\n"
                         "none.\n",
        };
        json_auto_t *answer = NULL, *request = NULL;
        long long n;
        char **words;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (!words[0][0] || strlen(words[0]) > NAME_MAX_BYTES)
                return cli_usage_error(cli, "USER takes 1 to %d bytes", NAME_MAX_BYTES);
        request = json_pack("{s:s, s:s}", "do", "erase", "user", words[0]);
        if (view_ask(cli, request, &answer, &code) < 0)
                return code;
        n = fact_number(answer, "erased", 0);
        if (cli->json)
                view_print_json(answer);
        else
                (void)printf("%lld record%s erased\n", n, n == 1 ? "" : "s");
        return n > 0 ? CLI_OK : CLI_FAILED;
}

int cmd_privacy(struct cli *cli, int argc, char **argv)
{
        static const struct cli_command table[] = {
                {"export", "every record of a user, as JSON lines", cmd_export},
                {"erase", "remove every record of a user", cmd_erase},
                {NULL, NULL, NULL},
        };

        return cli_dispatch(cli, table, "What the ledger holds of one person.\n", argc, argv);
}
