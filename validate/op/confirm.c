/*
 * The step after a refusal by Kerberos that, where it is true, is the user's to know if the password is right, and that
 * proves nothing of that: a plain KRB-ERROR, or what a kpasswd service says, is written by whoever is on the way; and
 * some DCs tell such a state before anybody has sent a password. The same DC is asked over LDAPS, where its certificate
 * proves it.
 *
 * Invariants: once in an operation, at the DC that answered. Where the password was sent before, only if one failure
 * more, besides the one that the first answer may hide, leaves the account below the guard's limit: the guard keeps a
 * place for it. Where it was not, this bind is the operation's one attempt. Nobody is accepted by it: where the two
 * answers differ the first stays a refusal, unproved, and whether the first counted anything is unknown.
 */
#include <stdio.h>
#include <string.h>

#include "validate/op/internal.h"

#define CONFIRM_MS 3000

bool op_may_confirm(struct validate_op *op)
{
        if (op->out.claim == CLAIM_NONE || reason_info(op->out.reason)->verdict != VERDICT_REFUSED ||
            op->out.password_proved || op->confirmed || !op->password || op->domain->directory != DIRECTORY_AD ||
            !domain_has_ldaps(op->domain) || loop_now(op->v->loop) >= op->deadline)
                return false;
        op->unasked = !op->committed;
        return op->unasked || guard_again(op->v->guard, &op->ticket);
}

static void add_context(struct outcome *out, const char *what, const struct outcome *ldap)
{
        char text[sizeof out->context];

        snprintf(text, sizeof text, "%.120s; %s%.80s", out->context, what, ldap->context);
        snprintf(out->context, sizeof out->context, "%s", text);
}

/* The bind's answer takes the first one's place; the first one's codes stay beside it. */
static void take_answer(struct outcome *out, const struct outcome *ldap)
{
        out->reason = ldap->reason;
        out->password_proved = ldap->password_proved;
        out->has_ldap = ldap->has_ldap;
        out->ldap = ldap->ldap;
        out->has_ldap_data = ldap->has_ldap_data;
        out->ldap_data = ldap->ldap_data;
}

/* Both answers in one, of which the first may have counted as well, but for unasked. */
static void weigh(struct outcome *out, const struct outcome *ldap, bool unasked)
{
        enum verdict verdict = reason_info(ldap->reason)->verdict;
        bool same = ldap->reason == out->reason;

        out->counted = COUNTED_UNKNOWN;
        if (out->claim == CLAIM_RIGHT && (ldap->password_proved || verdict == VERDICT_ACCEPTED)) {
                out->password_proved = true;
                out->counted = COUNTED_NO;
                add_context(out, "the old password is right by LDAPS, too", &(struct outcome){0});
        } else if (verdict == VERDICT_REFUSED && ldap->password_proved) {
                take_answer(out, ldap);
                out->counted = same ? COUNTED_NO : COUNTED_UNKNOWN;
                add_context(out, same ? "confirmed over LDAPS: " : "over LDAPS: ", ldap);
        } else if (verdict == VERDICT_REFUSED && !same) {
                take_answer(out, ldap);
                add_context(out, "over LDAPS: ", ldap);
        } else if (verdict == VERDICT_ACCEPTED) {
                add_context(out, "not confirmed: by LDAPS the account may sign in", &(struct outcome){0});
        } else {
                add_context(out, "not confirmed over LDAPS: ", ldap);
        }
        if (unasked)
                out->counted = ldap->counted;
}

static void on_confirm_answer(void *arg, const struct outcome *ldap, bool left)
{
        struct validate_op *op = arg;

        op->confirm = NULL;
        op->ticket.twice = left && !op->unasked;
        weigh(&op->out, ldap, op->unasked);
        op_finish(op);
}

void op_confirm_start(struct validate_op *op)
{
        struct method_instance *ldap = op->v->tools.methods[METHOD_LDAP];
        struct attempt attempt;

        op->confirmed = true;
        if (op_side_attempt(&attempt, op, op->committed->dc, CONFIRM_MS)) {
                attempt.name = &op->name;
                attempt.password = op->password;
                if (ldap->ops->start(&op->confirm, ldap, &attempt, on_confirm_answer, op) == 0)
                        return;
        }
        op_finish(op);
}

void op_confirm_cancel(struct validate_op *op)
{
        if (!op->confirm)
                return;
        op->ticket.twice = !op->unasked; /* it may have left */
        method_cancel(op->confirm);
        op->confirm = NULL;
}
