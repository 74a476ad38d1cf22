/*
 * postern words: what a word means that a verdict, the relay or postern status shows; and catalogues of the users'
 * sentences, checked and shown.
 */
#include <string.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"
#include "connector/cli/view.h"
#include "connector/findings/glossary.h"
#include "validate/types/words.h"

static const char *check;
static bool html, catalogue;

static const struct cli_option options[] = {
        {"html", NULL, NULL, &html, "all of them as one HTML document"},
        {"catalogue", NULL, NULL, &catalogue, "what users read, in English, to translate"},
        {"check", "FILE", &check, NULL, "look at a catalogue, and show it filled in"},
        {NULL, NULL, NULL, NULL, NULL},
};

static const struct cli_usage usage = {
        .name = "words",
        .words = "[WORD]",
        .max_words = 1,
        .about = "Explains a reason, a problem of the relay, a decline or a finding: what it\n"
                 "means, what the user reads, what to do. Without WORD it lists all.\n"
                 "Exit code 1: there is no such word.\n",
        .options = options,
        .no_config = true,
        .no_socket = true,
};

static int show_one(const struct cli *cli, const char *word)
{
        static const struct {
                const char *label, *key;
        } lines[] = {{"verdict", "verdict"}, {"class", "class"},         {"level", "level"},
                     {"meaning", "meaning"}, {"the user reads", "user"}, {"  unproved", "user_unproved"},
                     {"to do", "remedy"}};
        json_auto_t *found = glossary_find(word), *all = glossary_all();
        struct text_guess guess = TEXT_GUESS(word);
        json_t *e;
        size_t i;

        json_array_foreach (all, i, e)
                text_guess_consider(&guess, fact_text(e, "id"));
        if (json_array_size(found) == 0)
                return cli_error(cli, "there is no word '%s'%s%s%s", word, guess.best ? "; did you mean '" : "",
                                 guess.best ? guess.best : "", guess.best ? "'?" : "");
        if (cli->json) {
                view_print_json(found);
                return CLI_OK;
        }
        json_array_foreach (found, i, e) {
                (void)printf("%s (%s)\n", fact_text(e, "id"), fact_text(e, "kind"));
                for (size_t k = 0; k < sizeof(lines) / sizeof(lines[0]); k++)
                        if (fact_text(e, lines[k].key)[0]) {
                                (void)printf("  %-16s ", lines[k].label);
                                view_wrap(19, fact_text(e, lines[k].key));
                        }
        }
        return CLI_OK;
}

/* A line for each sentence; of a catalogue as a user may read it. */
static int show_sentences(const struct cli *cli, const struct words *words)
{
        const struct words_facts facts = {.id = "01JD0000000000000000000000", .until = 1800000000};

        if (!words)
                (void)printf(
                        "# Postern: what people read who sign in. A line for each sentence; which one is shown when, "
                        "Postern decides.\n"
                        "# Your own: copy this file, change it, and name it by --words; check it with: postern words "
                        "--check FILE\n"
                        "# {helpdesk} becomes what stands under helpdesk, {id} the reference of the sign-in, {until} a "
                        "time of day;\n# [A|B] reads A where all in it is known, else B.\n"
                        "language = en\nhelpdesk = your helpdesk\n");
        for (enum reason r = 0; r < REASON_MAX; r++) {
                _cleanup_(buffer_free) struct buffer text = BUFFER(4096);
                if (words_key(r, true) != r)
                        continue;
                if ((words ? words_user(words, r, true, &facts, &text) : words_english(r, &text)) < 0)
                        return cli_error(cli, "%s: the sentence gets too long", reason_info(r)->id);
                (void)printf("%s = %s\n", reason_info(r)->id, text.data);
        }
        return CLI_OK;
}

static int check_catalogue(const struct cli *cli)
{
        struct words *words = NULL;
        struct error err = {""};

        if (words_load(&words, check, &err) < 0)
                return cli_error(cli, "%s", err.text);
        int code = show_sentences(cli, words);
        words_free(words);
        return code;
}

int cmd_words(struct cli *cli, int argc, char **argv)
{
        _cleanup_(buffer_free) struct buffer page = BUFFER(1024 * 1024);
        char **words;
        json_t *e;
        size_t i;
        int code = cli_parse(cli, &usage, argc, argv, &words);

        if (code >= 0)
                return code;
        if (check)
                return check_catalogue(cli);
        if (catalogue)
                return show_sentences(cli, NULL);
        if (html && glossary_html(&page) < 0)
                return cli_error(cli, "out of memory");
        if (html) {
                (void)fwrite(page.data, 1, page.len, stdout);
                return CLI_OK;
        }
        if (words[0])
                return show_one(cli, words[0]);
        json_auto_t *all = glossary_all();
        if (cli->json)
                view_print_json(all);
        json_array_foreach (all, i, e)
                if (!cli->json)
                        (void)printf("%-9s %-32s %s\n", fact_text(e, "kind"), fact_text(e, "id"),
                                     fact_text(e, "meaning"));
        return CLI_OK;
}
