/*
 * Reading the command line: subcommands, options, help, and what to say about a wrong word.
 *
 * Everything is taken from tables, so help and parser can't differ. Nothing here does the work of a
 * subcommand.
 */
#include "connector/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "connector/conf/config.h"

void cli_print_text(FILE *out, const char *text)
{
        size_t n = strlen(text);

        for (size_t at = 0; at < n;) {
                uint32_t cp = 0;
                size_t len = utf8_next(text + at, n - at, &cp);
                bool plain = len > 0 && cp >= 0x20 && cp != 0x7f && !(cp >= 0x80 && cp < 0xa0) &&
                             !(cp >= 0x202a && cp <= 0x202e) && !(cp >= 0x2066 && cp <= 0x2069);
                if (plain)
                        (void)fwrite(text + at, 1, len, out);
                else
                        (void)fputc('?', out);
                at += len ? len : 1;
        }
}

static void __attribute__((format(printf, 2, 0))) complain(const char *program, const char *fmt, va_list ap)
{
        char text[2 * ERROR_TEXT_MAX];

        (void)vsnprintf(text, sizeof(text), fmt, ap);
        (void)fprintf(stderr, "%s: ", program);
        cli_print_text(stderr, text);
        (void)fputc('\n', stderr);
}

int cli_error(const struct cli *cli, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        complain(cli->program, fmt, ap);
        va_end(ap);
        return CLI_FAILED;
}

int cli_usage_error(const struct cli *cli, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        complain(cli->program, fmt, ap);
        va_end(ap);
        return CLI_USAGE;
}

/* ---- options ---- */

static const struct cli_option common_options[] = {
        {"json", NULL, NULL, NULL, "print JSON instead of text"},
        {"config", "PATH", NULL, NULL, "configuration (default: " CONFIG_DEFAULT ")"},
        {"socket", "PATH", NULL, NULL, "control socket of posternd"},
        {"help", NULL, NULL, NULL, "show this"},
        {NULL, NULL, NULL, NULL, NULL},
};

static bool common_known(const struct cli_usage *u, const char *name)
{
        return !((u->no_json && strcmp(name, "json") == 0) || (u->no_config && strcmp(name, "config") == 0) ||
                 (u->no_socket && strcmp(name, "socket") == 0));
}

static void show_options(const struct cli_usage *u, const struct cli_option *o)
{
        char left[64];

        for (; o && o->name; o++) {
                if (!common_known(u, o->name))
                        continue;
                (void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
                bool wide = strlen(left) > 20; /* its help goes on a line of its own */
                (void)printf("  %-20s%s%*s%s\n", left, wide ? "\n" : "", wide ? 23 : 1, "", o->help);
        }
}

static int show_help(const struct cli *cli, const struct cli_usage *u)
{
        (void)printf("usage: %s%s%s [OPTIONS]\n\n%s\n", cli->program, u->words ? " " : "", u->words ? u->words : "",
                     u->about);
        show_options(u, u->options);
        show_options(u, common_options);
        return CLI_OK;
}

static const struct cli_option *find_option(const struct cli_usage *u, const char *name, size_t n, struct text_guess *g)
{
        const struct cli_option *const lists[2] = {u->options, common_options};

        for (size_t i = 0; i < 2; i++)
                for (const struct cli_option *o = lists[i]; o && o->name; o++) {
                        if (!common_known(u, o->name))
                                continue;
                        if (strlen(o->name) == n && strncmp(o->name, name, n) == 0)
                                return o;
                        text_guess_consider(g, o->name);
                }
        return NULL;
}

static void set_option(struct cli *cli, const struct cli_option *o, const char *value)
{
        if (o->ret_value)
                *o->ret_value = value;
        else if (o->ret_flag)
                *o->ret_flag = true;
        else if (strcmp(o->name, "json") == 0)
                cli->json = true;
        else if (strcmp(o->name, "config") == 0)
                cli->config = value;
        else if (strcmp(o->name, "socket") == 0)
                cli->socket = value;
}

/* One `--name`, `--name=value` or `--name value`. Moves *i past a value of its own. -1 to go on, or the exit
 * code. */
static int take_option(struct cli *cli, const struct cli_usage *u, char **argv, int *i)
{
        const char *name = argv[*i] + 2, *equals = strchr(name, '=');
        size_t n = equals ? (size_t)(equals - name) : strlen(name);
        char word[TEXT_GUESS_MAX + 1];

        (void)snprintf(word, sizeof(word), "%.*s", (int)(n < TEXT_GUESS_MAX ? n : TEXT_GUESS_MAX), name);
        struct text_guess g = TEXT_GUESS(word);
        const struct cli_option *o = find_option(u, name, n, &g);
        if (!o)
                return cli_usage_error(cli, "there is no option --%s%s%s%s", word, g.best ? "; did you mean --" : "",
                                       g.best ? g.best : "", g.best ? "?" : "");
        if (!o->value) {
                if (equals)
                        return cli_usage_error(cli, "--%s takes no value", o->name);
                if (strcmp(o->name, "help") == 0)
                        return show_help(cli, u);
                set_option(cli, o, NULL);
                return -1;
        }
        const char *value = equals ? equals + 1 : argv[*i + 1];
        if (!value)
                return cli_usage_error(cli, "--%s needs a value: %s", o->name, o->value);
        if (!equals)
                (*i)++;
        set_option(cli, o, value);
        return -1;
}

/* A fingerprint is base64url and may begin with a dash; no option is as long. */
static bool is_fingerprint(const char *word)
{
        return strlen(word) == 43 &&
               strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == 43;
}

int cli_parse(struct cli *cli, const struct cli_usage *u, int argc, char **argv, char ***ret_words)
{
        bool only_words = false;
        int n = 1;

        for (int i = 1; i < argc; i++) {
                if (!only_words && strcmp(argv[i], "--") == 0) {
                        only_words = true;
                } else if (is_fingerprint(argv[i])) {
                        argv[n++] = argv[i];
                } else if (!only_words && strncmp(argv[i], "--", 2) == 0) {
                        int code = take_option(cli, u, argv, &i);
                        if (code >= 0)
                                return code;
                } else if (!only_words && strcmp(argv[i], "-h") == 0) {
                        return show_help(cli, u);
                } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
                        return cli_usage_error(cli, "there is no option %s", argv[i]);
                } else {
                        argv[n++] = argv[i];
                }
        }
        argv[n] = NULL; /* argv has argc + 1 elements */
        *ret_words = argv + 1;
        if (n - 1 > u->max_words)
                return cli_usage_error(cli, "'%s' is one word too many; %s --help shows the use",
                                       argv[u->max_words + 1], cli->program);
        if (n - 1 < u->min_words)
                return cli_usage_error(cli, "%s is missing; %s --help shows the use", u->words ? u->words : "a word",
                                       cli->program);
        return -1;
}

/* ---- subcommands ---- */

static int list_commands(const struct cli *cli, const struct cli_command *table, const char *about, FILE *out)
{
        (void)fprintf(out, "usage: %s COMMAND [OPTIONS]\n%s%s\n", cli->program, about,
                      about[strcspn(about, "\n")] ? "" : "\n");
        for (const struct cli_command *c = table; c->name; c++)
                (void)fprintf(out, "  %-18s %s\n", c->name, c->help);
        (void)fprintf(out, "\nCOMMAND --help shows more. Exit codes: 0 yes, 1 no, 2 wrong, 3 unavailable.\n");
        return CLI_OK;
}

int cli_dispatch(struct cli *cli, const struct cli_command *table, const char *about, int argc, char **argv)
{
        static char program[128], help_option[] = "--help";

        if (argc < 2) {
                (void)list_commands(cli, table, about, stderr);
                return CLI_USAGE;
        }
        bool help = strcmp(argv[1], "help") == 0;
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (help && argc == 2))
                return list_commands(cli, table, about, stdout);
        if (help) { /* `help COMMAND` is `COMMAND --help` */
                argv[1] = argv[2];
                argv[2] = help_option;
        }
        struct text_guess g = TEXT_GUESS(argv[1]);
        for (const struct cli_command *c = table; c->name; c++) {
                if (strcmp(c->name, argv[1]) == 0) {
                        char before[96];
                        (void)snprintf(before, sizeof(before), "%s", cli->program);
                        (void)snprintf(program, sizeof(program), "%s %s", before, c->name);
                        cli->program = program;
                        return c->run(cli, argc - 1, argv + 1);
                }
                text_guess_consider(&g, c->name);
        }
        if (g.best)
                return cli_usage_error(cli, "there is no command '%s'; did you mean '%s'?", argv[1], g.best);
        return cli_usage_error(cli, "there is no command '%s'; %s --help lists them", argv[1], cli->program);
}
