/*
 * Asking the ledger's database where no posternd runs, by `postern-ledger --offline`.
 */
#pragma once

#include <jansson.h>

#include "base/core/error.h"

/* The answer, an object whose "ok" and "offline" are true, to a request (not owned). -EREMOTEIO: the ledger's own
 * refusal; -errno where it could not be run. Each with err. */
int offline_ask(json_t **ret_answer, const char *config_path, const json_t *request, struct error *err);
