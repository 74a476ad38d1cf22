/*
 * What the ledger is told of a sign-in: everything but the credential.
 */
#pragma once

#include "connector/validator/signin.h"

typedef void record_send_fn(void *arg, const struct msg_out *m);

void record_signin(const struct signins_config *c, const char *id, const struct intake *in, const struct outcome *o,
                   uint32_t ms_opened, uint32_t ms_total);
/* in may be NULL, or hold no claims: then only id and why are known. */
void record_declined(const struct signins_config *c, const char *id, const struct intake *in, const char *why);
/* What happened, without an id. */
void record_event(const struct signins_config *c, const char *name, const char *text);
/* state: "confirmed" | "late" | "lost" */
void record_delivery(record_send_fn *send, void *arg, const char *id, const char *state);
