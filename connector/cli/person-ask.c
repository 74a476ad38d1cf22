/*
 * A person's question on the command line: the key opened, all connectors asked, and on standard error who is missing
 * in the answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "connector/cli/person.h"
#include "connector/cli/prompt.h"
#include "connector/cli/view.h"
#include "connector/findings/connectors.h"

static int fail(struct cli *cli, const struct error *err, int code, int *ret_code)
{
        *ret_code = code;
        if (cli->json)
                (void)view_show_json(cli,
                                     json_pack("{s:b, s:s, s:s}", "ok", 0, "code", "everywhere", "error", err->text));
        (void)cli_error(cli, "%s", err->text);
        return -1;
}

/* Who asks: opened once, since a passphrase is asked for once, however many questions there are. */
static struct everywhere_person opened;

static void close_person(void)
{
        everywhere_close(&opened);
}

int person_ask(struct cli *cli, const struct question_claims *question, json_t **ret_answer, int *ret_code)
{
        struct error err = {""};
        int r = 0;

        if (!opened.store.key) { /* once for all questions of this process */
                if (secrets_setup(cli) < 0)
                        r = error_fail(&err, -EPERM, "no key is opened where its memory cannot be locked");
                else if ((r = person_open(&opened, &err)) == 0 && atexit(close_person) != 0)
                        r = error_fail(&err, -ENOMEM, "out of memory");
        }
        if (r < 0)
                return fail(cli, &err, CLI_FAILED, ret_code);
        r = everywhere_ask(&opened, question, ret_answer, &err);
        if (r < 0)
                return fail(cli, &err, r == -EACCES ? CLI_FAILED : CLI_UNAVAILABLE, ret_code);
        *ret_code = CLI_OK;
        return 0;
}

/* Lines that may hold what others chose. */
static void print_lines(json_t *lines, const char *before)
{
        const json_t *line;
        size_t i;

        json_array_foreach (lines, i, line) {
                (void)fputs(before, stderr);
                cli_print_text(stderr, json_string_value(line));
                (void)fputc('\n', stderr);
        }
        json_decref(lines);
}

void person_tell(const json_t *answer)
{
        print_lines(connectors_missing(answer), "");
}

void person_tell_reach(const json_t *answer)
{
        print_lines(connectors_reach(answer), "  ");
}
