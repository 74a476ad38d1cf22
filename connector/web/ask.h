/*
 * Asking the ledger of a running posternd, the reader of accounts, or whoever asks all connectors, without waiting for
 * the answer: the page serves others meanwhile.
 */
#pragma once

#include <jansson.h>

#include "base/ipc/loop.h"

struct web_ask;
enum web_asked { WEB_ASKED_LEDGER = 0, WEB_ASKED_READER, WEB_ASKED_EVERYWHERE };
/* Once: the answer (borrowed), or NULL and a sentence that says why there is none. The ask is gone after it. */
typedef void web_ask_fn(void *arg, const json_t *answer, const char *why);

/*
 * Sends request (borrowed) to that one's socket; fn is called later, from the loop, after at most CONTROL_TIMEOUT_S, or
 * 40 s where it is not the ledger. 0 or -ENOMEM.
 */
int web_ask_new(struct web_ask **ret_ask, struct loop *loop, enum web_asked whom, const char *socket,
                const json_t *request, web_ask_fn *fn, void *arg);
/* Gives it up: fn is not called. */
struct web_ask *web_ask_free(struct web_ask *ask);
