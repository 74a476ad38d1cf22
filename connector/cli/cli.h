/*
 * The frame of the command line: one file per subcommand, one table of them (commands.c).
 *
 * A subcommand is `int cmd_x(struct cli *cli, int argc, char **argv)` in cli/x.c, where argv[0] is its name.
 * It calls cli_parse first, which handles --help, --json, --config and --socket and every wrong word, then
 * does its work and returns an exit code. Output goes to stdout, everything that is wrong through cli_error
 * to stderr.
 *
 *      static const char *relay;
 *      static bool force;
 *      static const struct cli_option options[] = {
 *              { "relay", "URL", &relay, NULL, "the relay to use" },
 *              { "force", NULL, NULL, &force, "do it anyway" },
 *              { 0 },
 *      };
 *      static const struct cli_usage usage = {
 *              .name = "enroll", .words = "NAME", .min_words = 1, .max_words = 1,
 *              .about = "Enrols this connector at a relay.\n", .options = options,
 *      };
 *      int cmd_enroll(struct cli *cli, int argc, char **argv)
 *      {
 *              char **words;
 *              int code = cli_parse(cli, &usage, argc, argv, &words);
 *              if (code >= 0)
 *                      return code;
 *              ...
 *      }
 *
 * Nested words (`tenant init`, `tenant approve`): the command gives cli_dispatch a table of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/core/error.h"

enum cli_exit {
        CLI_OK = 0,
        CLI_FAILED = 1, /* the answer is no: refused, not found, errors in the configuration */
        CLI_USAGE = 2,
        CLI_UNAVAILABLE = 3, /* nobody could answer: relay, daemon or connector not there */
};

struct cli {
        bool json;
        const char *config;  /* --config, or CONFIG_DEFAULT */
        const char *socket;  /* --socket, or NULL: the one of the configuration */
        const char *program; /* "postern tenant", for messages */
};

struct cli_option {
        const char *name;  /* without the dashes */
        const char *value; /* what the value is called in --help; NULL: a flag */
        const char **ret_value;
        bool *ret_flag;
        const char *help; /* a few words */
};

struct cli_usage {
        const char *name;  /* of the subcommand */
        const char *words; /* positional words as shown, or NULL */
        int min_words, max_words;
        const char *about;                  /* sentences of at most 79 columns a line, with newline */
        const struct cli_option *options;   /* ends with a name of NULL; NULL: only the common ones */
        bool no_config, no_socket, no_json; /* the common options that this subcommand doesn't know */
};

/*
 * Reads argv. -1: go on; *ret_words points to the positional words, NULL at the end. Otherwise the exit code
 * to return:
 * --help was shown (0), or the wrong word was named on stderr (2).
 */
int cli_parse(struct cli *cli, const struct cli_usage *usage, int argc, char **argv, char ***ret_words);

struct cli_command {
        const char *name;
        const char *help; /* one line of at most 55 columns */
        int (*run)(struct cli *cli, int argc, char **argv);
};

/* Runs the subcommand that argv[1] names, from a table that ends with a name of NULL; --help lists the table.
 * about: a line on what the group is. Wrong words are named on stderr, with a suggestion. */
int cli_dispatch(struct cli *cli, const struct cli_command *table, const char *about, int argc, char **argv);

/* "postern tenant: text" to stderr; returns CLI_FAILED. */
int cli_error(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, returns CLI_USAGE. */
int cli_usage_error(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints text with control characters and invalid UTF-8 replaced by '?': for what others chose. */
void cli_print_text(FILE *out, const char *text);

/* commands.c: all subcommands of postern */
extern const struct cli_command cli_commands[];

int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_log(struct cli *cli, int argc, char **argv);
int cmd_metrics(struct cli *cli, int argc, char **argv);
int cmd_account(struct cli *cli, int argc, char **argv);
int cmd_words(struct cli *cli, int argc, char **argv);
int cmd_report(struct cli *cli, int argc, char **argv);
int cmd_privacy(struct cli *cli, int argc, char **argv);
int cmd_explain(struct cli *cli, int argc, char **argv);
int cmd_guard(struct cli *cli, int argc, char **argv);
int cmd_page(struct cli *cli, int argc, char **argv);
int cmd_domain(struct cli *cli, int argc, char **argv);
int cmd_support_bundle(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_check_config(struct cli *cli, int argc, char **argv);
int cmd_tenant(struct cli *cli, int argc, char **argv);
int cmd_service(struct cli *cli, int argc, char **argv);
int cmd_person(struct cli *cli, int argc, char **argv);
int cmd_enroll(struct cli *cli, int argc, char **argv);
int cmd_sign_in(struct cli *cli, int argc, char **argv);
