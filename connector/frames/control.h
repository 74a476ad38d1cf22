/*
 * Asking the ledger of a running posternd: one JSON request, one JSON answer, over its control socket.
 * Blocking, for the command line; and the answering end of programs that are asked in the same way, a process for each
 * question.
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

/* Reads the question from the socket: an object on a line of at most CONTROL_REQUEST_MAX bytes. NULL with err. */
json_t *control_question(int fd, struct error *err);
/* Sends object (its reference is taken; NULL: no memory) as a line. 0 or -errno. */
int control_answer(int fd, json_t *object);
