/*
 * What people of the helpdesk ask of this connector: opening, checking, asking the ledger, answering (PROTOCOL.md,
 * section 21). Of the validator, since it alone holds the keys.
 */
#pragma once

#include "base/ipc/ipc.h"
#include "certs/trust/roster.h"
#include "connector/validator/enckeys.h"

#define HELPDESK_PENDING_MAX 8 /* at the ledger at once */

/* What questions need of the validator around them. All borrowed; the functions are called from the loop. */
struct helpdesk_config {
        struct loop *loop;
        const struct enckeys *keys;
        const char *connector_id, *tenant;
        const char *const *domains; /* that this connector serves */
        size_t n_domains;
        const struct roster *(*roster)(void *arg); /* the valid roster or NULL */
        int (*to_link)(void *arg, const struct msg_out *m);
        int (*to_ledger)(void *arg, const struct msg_out *m); /* negative: there is none, or it does not take it */
        void *arg;
};

struct helpdesk;
int helpdesk_new(struct helpdesk **ret_q, const struct helpdesk_config *config);
struct helpdesk *helpdesk_free(struct helpdesk *q); /* what is under way ends without a word */
DEFINE_FREEP(struct helpdesk, helpdesk_free)

/* FRAME_QUESTION, FRAME_FOUND. */
void helpdesk_ask(struct helpdesk *q, const struct msg_in *m);
void helpdesk_found(struct helpdesk *q, const struct msg_in *m);
