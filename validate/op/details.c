/*
 * The step after a sign-in that was accepted: the service account reads, at the same DC, the attributes that the
 * verdict is to carry where the account's own bind did not, and of which kind the account is where nothing else told.
 *
 * Invariant: it takes at most DETAILS_MS and none beyond the operation's deadline, and whatever goes wrong leaves an
 * accepted sign-in accepted, unless the configuration requires the attributes. A DC that refused the service account is
 * left alone as in op/lookup.c.
 */
#include <stdio.h>

#include "validate/op/internal.h"

#define LOOKUP_REST_MS (10 * 60 * 1000)
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
        if (!lacks_attributes(op) || op->out.reason == REASON_NOT_A_USER) {
                op_detailed(op);
                return;
        }
        op->out.details.state = DETAILS_UNAVAILABLE;
        outcome_require_details(&op->out, op->domain->attributes_required, why);
        op_detailed(op);
}

static void on_found(void *arg, const struct ldap_found *found)
{
        struct validate_op *op = arg;
        struct validate *v = op->v;

        op->lookup.search = NULL;
        if (found->refused)
                v->lookup_from[op->domain - v->config->domains] = loop_now(v->loop) + LOOKUP_REST_MS;
        if (found->reason == REASON_OK) {
                if (lacks_attributes(op))
                        op->out.details = found->details;
                if (op->out.user.kind == ACCOUNT_UNKNOWN)
                        op->out.user.kind = found->kind;
                op_judge_kind(&op->out, "the service account cannot read it");
                op_detailed(op);
        } else {
                unavailable(op, found->context);
        }
}

void op_details_start(struct validate_op *op)
{
        const struct dc_config *dc = op->committed ? dc_get_config(op->committed->dc) : NULL;
        struct validate *v = op->v;
        uint64_t now = loop_now(v->loop), end = now + DETAILS_MS;
        struct dns_address address;
        struct attempt attempt = {
                .id = op->id, .domain = op->domain, .deadline = end < op->deadline ? end : op->deadline};
        const struct ldap_lookup_request request = {.attempt = &attempt, .sid = op->out.user.id};

        op->detailed = true;
        if (now < v->lookup_from[op->domain - v->config->domains]) {
                unavailable(op, "the DC refused the service account a moment ago");
                return;
        }
        if (!dc || !dns_known(v->tools.dns, &address, dc->address ? dc->address : dc->host)) {
                unavailable(op, "the DC's address is not known any more");
                return;
        }
        attempt.host = dc->host;
        attempt.address = address.storage;
        attempt.address_len = address.len;
        if (ldap_lookup_start(&op->lookup.search, v->tools.ldap, &request, on_found, op) < 0)
                unavailable(op, "out of memory");
}
