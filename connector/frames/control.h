/*
 * Asking the ledger of a running posternd: one JSON request, one JSON answer, over its control socket.
 * Blocking, for the command line.
 */
#pragma once

#include <jansson.h>

#include "base/core/error.h"

#define CONTROL_REQUEST_MAX 4096
#define CONTROL_ANSWER_MAX (8 * 1024 * 1024)
#define CONTROL_TIMEOUT_S 10

/* `postern-ledger --offline CONFIG`: the request on its standard input, the answer on its standard output. */
#define LEDGER_OFFLINE "--offline"

/*
 * Sends request (not owned) and reads the answer, an object whose "ok" is true. -ENOENT and -ECONNREFUSED: no
 * posternd there; -EACCES: not allowed; -ETIMEDOUT; -EBADMSG; -EREMOTEIO: the ledger's own refusal. Each with
 * a sentence in err.
 */
int control_ask(json_t **ret_answer, const char *socket_path, const json_t *request, struct error *err);
