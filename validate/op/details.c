/*
 * The step after a sign-in that was accepted: the service account reads, at the same DC, the attributes that the
 * verdict is to carry where the account's own bind did not, and of which kind the account is where nothing else told.
 *
 * Invariant: it takes at most DETAILS_MS and none beyond the operation's deadline, and whatever goes wrong leaves an
 * accepted sign-in accepted, unless the configuration requires the attributes. A DC that refused the service account is
 * left alone as in op/lookup.c.
 */
#include "validate/op/internal.h"

#define DETAILS_MS 2000

/* Whether the configuration asks for attributes that are not there yet. */
static bool lacks_attributes(const struct validate_op *op)
{
        return op->domain->attributes[0] && (op->out.method == METHOD_KRB5 || op->domain->fast_bind) &&
               op->out.details.state == DETAILS_NONE;
}

bool op_wants_details(const struct validate_op *op)
{
        return !op->detailed && op->domain && reason_info(op->out.reason)->verdict == VERDICT_ACCEPTED &&
               (lacks_attributes(op) ||
                (op->domain->directory == DIRECTORY_AD && op->out.user.kind == ACCOUNT_UNKNOWN));
}

static void unavailable(struct validate_op *op, const char *why)
{
        op_judge_kind(&op->out, why);
        if (lacks_attributes(op) && op->out.reason != REASON_NOT_A_USER) {
                op->out.details.state = DETAILS_UNAVAILABLE;
                outcome_require_details(&op->out, op->domain->attributes_required, why);
        }
        op_finish(op);
}

static void details_found(struct validate_op *op, const struct method_found *found)
{
        if (found->reason != REASON_OK) {
                unavailable(op, found->context);
                return;
        }
        if (lacks_attributes(op))
                op->out.details = found->details;
        if (op->out.user.kind == ACCOUNT_UNKNOWN)
                op->out.user.kind = found->kind;
        op_judge_kind(&op->out, "the service account cannot read it");
        op_finish(op);
}

void op_details_start(struct validate_op *op)
{
        struct method_look_up look_up = {.sid = op->out.user.id};
        const char *why = "no domain controller has the account in hand";

        op->detailed = true;
        if (op->committed)
                why = op_search_start(op, op->committed->dc, DETAILS_MS, &look_up, details_found);
        if (why)
                unavailable(op, why);
}
