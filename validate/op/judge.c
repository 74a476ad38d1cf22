/*
 * Whom a DC may name: what every accepted sign-in must stand, by whatever method and DC it came.
 *
 * Invariant: nothing is accepted here that was not before, and what is refused names nobody any more.
 */
#include <stdio.h>
#include <string.h>

#include "validate/op/internal.h"

static void deny(struct outcome *out, enum reason reason)
{
        out->reason = reason;
        out->user = (struct identity){0};
        out->details = (struct account_details){0};
}

static void judge_sid(struct validate_op *op, size_t i, struct outcome *out)
{
        struct validate *v = op->v;
        char account[SID_TEXT_MAX];
        struct validate_sid known;
        enum sid_answer answer;

        snprintf(account, sizeof account, "%s", out->user.id);
        answer = domain_sids_judge(v->sids, i, account, loop_now(v->loop));
        if (answer == SID_IS_OURS)
                return;
        domain_sids_get(v->sids, i, loop_now(v->loop), &known);
        deny(out, REASON_FOREIGN_SID);
        out->password_proved = false; /* who names others' accounts is not believed in anything */
        if (answer == SID_IS_DISPUTED)
                snprintf(out->context, sizeof out->context,
                         "the domain's SID %.80s is also that of %.80s: set domain_sid of both", known.sid,
                         known.rival);
        else
                snprintf(out->context, sizeof out->context,
                         "account %.80s is not of the domain, whose SID is %.80s (%s)", account, known.sid,
                         sid_source_text(known.source));
}

void op_judge_kind(struct outcome *out, const char *why)
{
        if (out->user.kind == ACCOUNT_PERSON)
                return;
        snprintf(out->context, sizeof out->context, "%s: %.150s",
                 out->user.kind == ACCOUNT_OTHER ? "the account's type is not a person's"
                                                 : "the account's type is not known",
                 out->user.kind == ACCOUNT_OTHER ? out->user.sam : why);
        deny(out, REASON_NOT_A_USER);
}

void op_judge(struct validate_op *op, struct outcome *out)
{
        const struct domain_config *domain = op->domain; /* that the account must be of */

        if (!domain)
                return;
        const size_t i = (size_t)(domain - op->v->config->domains);
        if (out->domain_sid[0])
                (void)domain_sids_told(op->v->sids, i, out->domain_sid, loop_now(op->v->loop));
        if (out->reason != REASON_OK || domain->directory != DIRECTORY_AD)
                return;
        judge_sid(op, i, out);
        const bool can_look_up = domain->service_account && domain->service_password && domain_has_ldaps(domain);
        if (out->reason == REASON_OK && (out->user.kind != ACCOUNT_UNKNOWN || !can_look_up))
                op_judge_kind(out, "its own bind tells nothing of it, and no service_account may look");
}

/* The alternate id's account is the only one that may come out. */
void op_check_found(const struct validate_op *op, struct outcome *out)
{
        if (!op->lookup.sid[0] || reason_info(out->reason)->verdict != VERDICT_ACCEPTED ||
            strcmp(op->lookup.sid, out->user.id) == 0)
                return;
        out->reason = REASON_NAME_AMBIGUOUS;
        out->password_proved = false;
        out->user = (struct identity){0};
        snprintf(out->context, sizeof out->context,
                 "another account signed in than the one that the alternate id belongs to");
}
