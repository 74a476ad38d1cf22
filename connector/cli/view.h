/*
 * What status, log and explain share: asking the ledger, and showing times and fields.
 */
#pragma once

#include <jansson.h>

#include "base/core/pairs.h"

#include <jansson.h>

#include "connector/cli/cli.h"
#include "connector/findings/facts.h"

/* --socket, or the socket of that name in the configuration's runtime_dir, or (no configuration to be read) in the
 * default one. */
void view_socket(const struct cli *cli, const char *name, char *out, size_t cap);
/* Asks the ledger at --socket or at the configuration's runtime_dir; where no posternd runs there, the database that
 * its last run left, which is said on standard error, and the answer has "offline". On failure the reason was printed
 * (with --json as {"ok":false,"code","error"}) and *ret_code is the exit code. */
int view_ask(struct cli *cli, const json_t *request, json_t **ret_answer, int *ret_code);
void view_print_json(const json_t *value);
/* Prints the object (reference taken over) and returns the exit code. NULL is what json_pack gives for text
 * that is not UTF-8: an error. */
int view_show_json(const struct cli *cli, json_t *object);

/* The columns of the terminal (COLUMNS, else what it says itself); 0 where the output is no terminal: no
 * limit. */
size_t view_width(void);
/* Prints text and a newline, broken between words to fit the terminal; indent: the columns before it, on each
 * line. */
void view_wrap(size_t indent, const char *text);
/* Names like the one that was asked for, as the ledger offers them, to standard error. */
void view_near(const json_t *near);
/* {"name":["value",...],...}; NULL without memory. */
json_t *view_pairs_json(const struct pairs *pairs);
