/*
 * Asking postern-account, for `postern account` and `postern check`.
 */
#pragma once

#include <jansson.h>

#include "connector/cli/cli.h"

#define ACCOUNT_SOCKET "/run/postern-account.sock"

/* By its socket, or as root by starting it with cli->config. The answer may be a refusal ("ok" is false, with "code"
 * and "error"). -errno where there is none. */
int account_ask(const struct cli *cli, const json_t *question, json_t **ret_answer, struct error *err);

/*
 * What `postern check` says of the reader of a domain: 0 it reads and can do nothing else; 1 it can do more, which text
 * tells with the remedy; -errno it cannot be used, and text says why.
 */
int account_judge_reader(const struct cli *cli, const char *domain, char *text, size_t cap);
