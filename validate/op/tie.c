/*
 * The step after a password that was wrong by LDAP, where nothing has shown yet whose the name is: the service account
 * looks, once for each name, so that the guard counts one account under all its names. Kerberos tells that by itself.
 *
 * Invariant: whatever comes of it, the verdict stays. It takes at most TIE_MS and none beyond the operation's deadline,
 * and a DC that refused the service account is left alone as in op/lookup.c.
 */
#include "validate/op/internal.h"

#define TIE_MS 1000

bool op_wants_tie(const struct validate_op *op)
{
        const struct domain_config *domain = op->domain;

        return !op->tied && domain && op->committed && op->out.reason == REASON_WRONG_PASSWORD &&
               (op->out.method == METHOD_LDAP || op->unasked) && domain->directory == DIRECTORY_AD &&
               domain->service_account && domain->service_password && !guard_is_tied(op->v->guard, &op->ticket);
}

static void account_found(struct validate_op *op, const struct method_found *found)
{
        if (found->reason == REASON_OK)
                guard_tie(op->v->guard, &op->ticket, found->sid, loop_now(op->v->loop));
        op_finish(op);
}

void op_tie_start(struct validate_op *op)
{
        char value[OP_VALUE_MAX];
        struct method_look_up look_up = op_what_to_search(op, value);

        op->tied = true;
        if (op_search_start(op, op->committed->dc, TIE_MS, &look_up, account_found))
                op_finish(op);
}
